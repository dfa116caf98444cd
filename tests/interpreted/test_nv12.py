"""RGB made of luma and chroma where a kernel reads it: the CPU's bytes, in every route."""

import numpy as np
import pytest
import torch

import torchresample as tr
from torchresample import nv12
from torchresample.triton_kernels import launch, tables

KINDS = [("nearest", "left"), ("bilinear", "left"), ("bilinear", "center")]
# Size before and after: both axes in either order, one, none, and odd ones.
SIZES = {
    "down": ((40, 64), (11, 17)),
    "columns first": ((80, 32), (9, 30)),
    "up": ((13, 18), (40, 61)),
    "one axis": ((20, 36), (20, 11)),
    "none": ((21, 35), (21, 35)),
}


def frame(rng, size, pitch=0):
    h, w = size
    luma = rng.integers(0, 256, (2, h, w + pitch), dtype=np.uint8)[..., :w]
    chroma = rng.integers(0, 256, (2, (h + 1) // 2, (w + 1) // 2 + pitch, 2), dtype=np.uint8)
    return torch.from_numpy(luma), torch.from_numpy(chroma)[:, :, : (w + 1) // 2]


@pytest.fixture
def engines(monkeypatch, poisoned):
    """``compute(engine, ...)``, of CPU tensors by the kernels too."""

    def compute(engine, *arguments, **options):
        with monkeypatch.context() as patch:
            patch.setattr(nv12, "engine", lambda x: engine)
            return tr.resize_nv12(*arguments, **options)

    return compute


@pytest.mark.parametrize("pitch", [0, 5])
@pytest.mark.parametrize(("upsampling", "siting"), KINDS)
@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize(
    ("like", "method"),
    [("pillow", "lanczos3"), ("torch", "bilinear"), ("pillow", "nearest"), ("opencv", "bilinear")],
)
def test_bytes(rng, engines, like, method, name, upsampling, siting, pitch):
    planes, size = frame(rng, SIZES[name][0], pitch), SIZES[name][1]
    options = {"like": like, "upsampling": upsampling, "siting": siting}
    ours, theirs = (engines(e, *planes, size, method, **options) for e in ("gpu", "cpu"))
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", SIZES)
def test_scaled(rng, engines, name):
    """Also into a batch with the channels innermost, of half precision, of a part."""
    planes, size = frame(rng, SIZES[name][0]), SIZES[name][1]
    for kind in (
        {"dtype": torch.float32, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4)},
        {"dtype": torch.float16, "box": (1.5, 2.0, 17.0, 12.25), "layout": torch.channels_last},
    ):
        ours, theirs = (engines(e, *planes, size, **kind) for e in ("gpu", "cpu"))
        assert torch.equal(ours, theirs)
        assert ours.stride() == theirs.stride()


def test_bfloat16(rng, engines):
    """Within the last bit, which the interpreter cuts off where GPUs round."""
    planes, kind = frame(rng, (40, 64)), {"dtype": torch.bfloat16, "mean": (0.4,), "std": (0.2,)}
    ours, theirs = (engines(e, *planes, (11, 17), **kind).double() for e in ("gpu", "cpu"))
    assert ((ours - theirs).abs() <= 2.0**-7 * theirs.abs()).all()


def test_one_launch(rng, engines, monkeypatch):
    """Where both axes are resized, nothing lies between luma and result."""
    planes = frame(rng, *SIZES["down"][:1])
    monkeypatch.setattr(launch, "select", None)
    monkeypatch.setattr(launch, "weigh", None)
    assert torch.equal(
        engines("gpu", *planes, SIZES["down"][1]), engines("cpu", *planes, SIZES["down"][1])
    )


@pytest.mark.parametrize("tile", tables.SOURCE_TILES)
@pytest.mark.parametrize("name", ["down", "columns first", "up"])
def test_tiles(rng, engines, monkeypatch, tile, name):
    planes, size = frame(rng, SIZES[name][0]), SIZES[name][1]
    monkeypatch.setattr(tables, "tile", lambda *_: tile)
    ours, theirs = (engines(e, *planes, size, "bicubic") for e in ("gpu", "cpu"))
    assert torch.equal(ours, theirs)


def test_chroma_of_any_strides(rng, engines):
    """Where pairs do not lie together, or at an odd place, they are copied."""
    luma, chroma = frame(rng, (20, 30))
    for strange in (
        chroma.permute(3, 0, 1, 2).contiguous().permute(1, 2, 3, 0),
        torch.cat([chroma.flatten(), chroma.new_zeros(1)]).roll(1)[1:].view(chroma.shape),
        chroma.transpose(1, 2).contiguous().transpose(1, 2),
    ):
        assert torch.equal(engines("gpu", luma, strange, 7), engines("cpu", luma, chroma, 7))


def test_routing(rng, monkeypatch):
    """Float64 results, and profiles that clip, are computed without the kernels."""
    planes = frame(rng, (20, 30))
    monkeypatch.setattr(nv12, "engine", lambda x: "gpu")
    monkeypatch.setattr(nv12, "resample_scaled", None)
    assert tr.resize_nv12(*planes, 7, dtype=torch.float64).dtype == torch.float64
