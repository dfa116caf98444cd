"""Colours weighed by alpha where a kernel reads them: the CPU's bytes, in every route."""

import numpy as np
import pytest
import torch

import torchresample as tr
from torchresample import cpu, functional
from torchresample.triton_kernels import launch, tables

# Size before and after: both axes in either order, one, and a part of the image.
CASES = {
    "down": ((40, 64), (11, 17), {}),
    "columns first": ((80, 32), (9, 30), {}),
    "up": ((13, 18), (40, 61), {}),
    "one axis": ((20, 36), (20, 11), {}),
    "box": ((30, 41), (11, 29), {"box": (1.5, 2.0, 40.0, 27.75)}),
    "crop": ((30, 41), (11, 29), {"box": (3, 2, 32, 13)}),
}


@pytest.fixture
def on_kernels(monkeypatch, poisoned):
    """``resize`` of CPU tensors by the kernels."""

    def compute(x, *arguments, **options):
        with monkeypatch.context() as patch:
            patch.setattr(functional, "engine", lambda x: "gpu")
            return tr.resize(x, *arguments, alpha=True, **options)

    return compute


def image(rng, channels, size, inner):
    x = torch.from_numpy(rng.integers(0, 256, (2, channels, *size), dtype=np.uint8))
    x[:, -1, ::3], x[:, -1, 1::5] = 0, 255
    return x.contiguous(memory_format=torch.channels_last) if inner else x


@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize(
    ("like", "method"), [("pillow", "bicubic"), ("torch", "bilinear"), ("opencv", "area")]
)
def test_bytes(rng, on_kernels, like, method, channels, case, inner):
    size, size_out, options = CASES[case]
    x = image(rng, channels, size, inner)
    ours = on_kernels(x, size_out, method, like=like, **options)
    theirs = tr.resize(x, size_out, method, like=like, alpha=True, **options)
    assert torch.equal(ours, theirs)
    assert ours.stride() == theirs.stride()


@pytest.mark.parametrize("tile", tables.SOURCE_TILES)
@pytest.mark.parametrize("case", ["down", "columns first", "up"])
def test_tiles(rng, on_kernels, monkeypatch, tile, case):
    """In one launch, and one that divides by alpha, of images far and near and parts of them."""
    size, size_out, _ = CASES[case]
    monkeypatch.setattr(tables, "tile", lambda *_: tile)
    monkeypatch.setattr(launch, "select", None)
    for x in (image(rng, 4, size, False), image(rng, 5, (99, 99), False)[:, 1:, : size[0], 3:67]):
        ours = on_kernels(x, size_out, "lanczos3")
        assert torch.equal(ours, tr.resize(x, size_out, "lanczos3", alpha=True))


def test_every_quotient():
    """Of all pairs of a colour and alpha."""
    pairs = np.stack(np.meshgrid(np.arange(256), np.arange(256)))[None].astype(np.uint8)
    x = torch.from_numpy(pairs)
    expected = cpu.straight(x)
    launch.straighten(x)
    assert torch.equal(x, expected)
