"""The GPU engine against the CPU engine: bytes equal for integers, a derived bound for floats."""

import numpy as np
import pytest
import torch
from engines import METHODS, bound, by_reference, check, computed

from torchresample import cpu, gpu
from torchresample.bands import BOUNDARIES
from torchresample.boxes import slope_passes
from torchresample.ops import planned_passes
from torchresample.profiles import PROFILES
from torchresample.triton_kernels import tables

# Shape, size of the result, whether channels are innermost, and changes; those with an odd number
# of rows take both axes at once off the matrix units too.
CASES = {
    "down": ((1, 3, 21, 29), (8, 11), False, {}),
    "down, channels_last": ((1, 3, 19, 33), (7, 9), True, {}),
    "by whole factors": ((1, 3, 12, 18), (4, 6), True, {}),
    "by whole factors at once": ((1, 3, 15, 18), (5, 6), True, {}),
    "up": ((2, 1, 9, 11), (23, 19), False, {}),
    "down and up": ((1, 2, 5, 66), (70, 6), True, {}),
    "box": ((1, 3, 30, 41), (11, 29), True, {"box": (1.5, 2.0, 40.0, 27.75)}),
    "part": ((1, 2, 30, 41), (7, 9), False, {"window": (3, 2, 21, 19)}),
    "flip": ((1, 1, 20, 31), (9, 40), False, {"flip": True}),
    "box at once": ((1, 2, 21, 31), (9, 22), False, {"box": (0.5, 1.0, 30.0, 19.25), "flip": True}),
    "part at once": ((1, 2, 21, 31), (5, 9), True, {"window": (3, 2, 18, 17)}),
}


def planned(case, like, method, antialias, dtype):
    (_, channels, *size), size_out, _, changes = CASES[case]
    place = changes.get("box"), changes.get("window"), changes.get("flip", False), False
    options = method, like, antialias, PROFILES[like].boundary, *place
    return planned_passes(size, size_out, *options, dtype, channels)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize(("like", "method", "antialias"), METHODS)
def test_passes(rng, monkeypatch, like, method, antialias, dtype, case):
    shape, size, inner, _ = CASES[case]
    monkeypatch.setattr(tables, "joins", lambda *_: shape[-2] % 2 == 1)
    x = torch.from_numpy(rng.integers(0, 256, shape, dtype=np.uint8)).to(dtype)
    layout = torch.channels_last if inner else torch.contiguous_format
    x = x.contiguous(memory_format=layout)
    passes = planned(case, like, method, antialias, dtype)
    result = computed(gpu.program(passes, dtype), x, size, inner)
    expected = computed(cpu.program(passes, dtype, True), x, size, inner)
    if dtype == torch.uint8:
        assert torch.equal(result, expected)
        return
    assert (result - expected).abs().max() <= bound(passes, dtype, 255)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(5, 30), (9, 30), (5, 12), (40, 31), (1, 2)])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_boundaries(rng, boundary, size, dtype):
    """And those that take a gather of the extended image first."""
    options = "lanczos3", "pillow", True, boundary, (0.5, 0.0, 12.0, 9.0), None, True, False
    passes = planned_passes((9, 12), size, *options, dtype, 2)
    x = torch.from_numpy(rng.integers(0, 256, (1, 2, 9, 12), dtype=np.uint8))
    x = x if dtype == torch.uint8 else (x.double() / 255).to(dtype)
    check(computed(gpu.program(passes, dtype), x, size, False), x, passes)


@pytest.mark.parametrize(
    ("size", "box", "most"),
    [
        ((20, 30), None, (94, 129)),  # the image, and what a filter reads past it
        ((20, 30), (50.0, 20.0, 95.0, 50.0), (39, 54)),  # a part, and what is read beside it
        ((1, 1), None, None),
    ],
)
def test_extended_images_take_little_memory(rng, size, box, most):
    options = "lanczos3", "pillow", True, "wrap", box, None, False, False
    passes = planned_passes((70, 100), size, *options, torch.uint8, 3)
    run = gpu.program(passes, torch.uint8)
    first, *rest = run.args[0]
    if most is None:
        assert not rest  # one launch, of the image as it is
        return
    x = torch.from_numpy(rng.integers(0, 256, (1, 3, 70, 100), dtype=np.uint8))
    check(computed(run, x, size, False), x, passes)
    assert len(rest) == 1  # both axes
    for index, n in zip(first.args, most, strict=True):
        assert len(index) <= n


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [(5, 30), (9, 30), (5, 12)])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_adjoints(rng, boundary, size, flip, dtype):
    """Gradients: the transposed bands, also of those that gather an extended image.

    These take two passes along an axis, whether or not there is one along the other.
    """
    sizes, options = ((9, 12), size), ("bicubic", "pillow", True, boundary)
    passes = planned_passes(*sizes, *options, None, None, flip, True, dtype, 2)
    x = torch.from_numpy(rng.random((1, 2, *sizes[0]))).to(dtype)
    result = computed(gpu.program(passes, x.dtype), x, sizes[1], False)
    assert (result - by_reference(x, passes)).abs().max() <= bound(passes, x.dtype, 1)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_box_gradients(rng, boundary):
    """The bands of the weights' derivatives, with the plan's band along the other axis."""
    x = torch.from_numpy(rng.random((1, 2, 21, 29)))
    box = 1.5, 2.25, 27.0, 20.5
    options = "bicubic", "pillow", True, boundary, box
    for passes in slope_passes((21, 29), (8, 33), *options, x.dtype, 2):
        result = computed(gpu.program(passes, x.dtype), x, (8, 33), False)
        assert (result - by_reference(x, passes)).abs().max() <= bound(passes, x.dtype, 1)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.uint16, torch.int32])
@pytest.mark.parametrize(
    ("like", "method"),
    [
        *(("pillow", "lanczos3"), ("torch", "bicubic")),
        *(("opencv", "lanczos4"), ("opencv", "linear-exact"), ("opencv", "area")),
        *(("opencv", "bilinear"), ("opencv", "bicubic")),
    ],
)
@pytest.mark.parametrize("case", ["down", "up", "by whole factors", "part at once"])
@pytest.mark.parametrize("at_once", [True, False])
def test_integers(rng, monkeypatch, like, method, dtype, case, at_once):
    monkeypatch.setattr(tables, "joins", lambda *_: at_once)
    shape, size, *_ = CASES[case]
    passes = planned(case, like, method, PROFILES[like].antialias(None, method, dtype), dtype)
    limits = torch.iinfo(dtype)
    x = torch.from_numpy(rng.integers(0, min(limits.max, 2**20) + 1, shape)).to(dtype)
    result = computed(gpu.program(passes, dtype), x, size, False)
    assert torch.equal(result, by_reference(x, passes))


def test_ties_at_every_boundary(rng):
    """Columns of one value, whose sums fall on ties but for their roundings, and so their order."""
    x = torch.from_numpy(rng.integers(0, 256, (8, 1, 1, 9), dtype=np.uint8)).expand(-1, 1, 15, 9)
    for boundary in PROFILES["skimage"].boundaries:
        options = "bilinear", "skimage", True, boundary, None, None, False, False
        passes = planned_passes((15, 9), (8, 12), *options, x.dtype, 1)
        result = computed(gpu.program(passes, x.dtype), x, (8, 12), False)
        assert torch.equal(result, computed(cpu.program(passes, x.dtype, True), x, (8, 12), False))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("case", ["down", "up"])
def test_half_precision(rng, dtype, case):
    """Sums in float32, rounded once."""
    shape, size, inner, _ = CASES[case]
    passes = planned(case, "pillow", "bicubic", True, dtype)
    x = torch.from_numpy(rng.random(shape)).to(dtype)
    result = computed(gpu.program(passes, dtype), x, size, inner).to(torch.float64)
    exact = by_reference(x.to(torch.float64), passes)
    # The interpreter cuts bfloat16 off where GPUs round.
    unit = torch.finfo(dtype).eps / (1 if dtype == torch.bfloat16 else 2)
    allowed = unit * exact.abs() + (1 + unit) * bound(passes, torch.float32, 1)
    assert ((result - exact).abs() <= allowed).all()


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float64, torch.bfloat16])
def test_gathers_of_any_type(rng, dtype):
    shape, size, inner, _ = CASES["down, channels_last"]
    passes = planned("down, channels_last", "pillow", "nearest", False, dtype)
    x = torch.from_numpy(rng.integers(0, 2, shape)).to(dtype)
    result = computed(gpu.program(passes, dtype), x, size, inner)
    assert torch.equal(result, by_reference(x, passes))


def test_any_strides(rng):
    x = torch.from_numpy(rng.integers(0, 256, (40, 3, 2, 50), dtype=np.uint8))
    x = x.permute(2, 1, 3, 0)[:, :, 3:47, ::2]
    passes = planned_passes((44, 20), (9, 31), "bicubic", "pillow", True, "renormalize",
                            None, None, False, False, torch.uint8, 3)  # fmt: skip
    result = computed(gpu.program(passes, x.dtype), x, (9, 31), False)
    assert torch.equal(result, by_reference(x, passes))


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_zero_weights_spread_no_infinity():
    """An infinity in every column, each in a row of its own."""
    passes = planned_passes((64, 64), (64, 9), "lanczos3", "pillow", True, "renormalize",
                            None, None, False, False, torch.float32, 1)  # fmt: skip
    x = torch.zeros(1, 1, 64, 64)
    x[0, 0].fill_diagonal_(torch.inf)
    result = computed(gpu.program(passes, x.dtype), x, (64, 9), False)
    assert torch.equal(result.isfinite(), by_reference(x, passes).isfinite())
