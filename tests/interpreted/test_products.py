"""The matrix units: every tile, both orders of the axes, windows of many chunks, infinities."""

import numpy as np
import pytest
import torch
from engines import bound, by_reference, check, computed

from torchresample import gpu
from torchresample.ops import planned_passes
from torchresample.profiles import PROFILES
from torchresample.triton_kernels import launch, tables

# Size before and after; rows of whole 16 bytes or not, axes in either order (Pillow).
SIZES = {
    "down": ((50, 75), (33, 40)),
    "down, aligned": ((50, 96), (33, 40)),
    "down, words": ((50, 76), (33, 40)),
    "columns first": ((90, 31), (11, 30)),
    "columns first, aligned": ((90, 32), (11, 30)),
    "up": ((20, 17), (70, 75)),
    "from a few": ((2, 3), (5, 70)),
    "to a pixel": ((20, 70), (1, 1)),
    "prime": ((7, 941), (5, 10)),
}
DTYPES = torch.uint8, torch.float16, torch.bfloat16, torch.float32


def planned(name, like, dtype, method="lanczos3"):
    size, size_out = SIZES[name]
    boundary = None if like == "torch" else "renormalize"
    return planned_passes(
        size, size_out, method, like, True, boundary, None, None, False, False, dtype, 2
    )


def image(rng, name, dtype, inner=False):
    values = torch.from_numpy(rng.integers(0, 256, (2, 2, *SIZES[name][0]), dtype=np.uint8))
    x = values.to(dtype) if dtype == torch.uint8 else (values.to(torch.float64) / 255).to(dtype)
    return x.contiguous(memory_format=torch.channels_last) if inner else x


def weighings(passes, dtype):
    (step,) = gpu.program(passes, dtype).args[0]
    return [taken.weighing for taken in step.args]


@pytest.mark.parametrize(
    ("dtype", "tile"), [(dtype, tile) for dtype in DTYPES for tile in tables.TILES[dtype.itemsize]]
)
@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("like", ["pillow", "torch"])
def test_both_axes(rng, like, dtype, name, tile):
    passes = planned(name, like, dtype)
    x = image(rng, name, dtype, inner=tile[0] == 16)
    out = torch.full((2, 2, *SIZES[name][1]), 77, dtype=dtype)
    assert launch.resize(x, *weighings(passes, dtype), None, out, tile)
    check(out, x, passes)


@pytest.mark.parametrize("outputs", tables.BLOCKS)
@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_axis(rng, monkeypatch, dtype, name, outputs):
    monkeypatch.setattr(tables, "block", lambda *_: outputs)
    passes = planned(name, "pillow", dtype)
    x = image(rng, name, dtype)
    for step, weighing in zip(passes, weighings(passes, dtype), strict=True):
        shape = list(x.shape)
        shape[step.dim] = step.band.n_out
        out = torch.full(shape, 77, dtype=dtype)
        launch.multiply(x, weighing, None, out)
        check(out, x, [step])


def test_two_launches(rng, monkeypatch):
    """Where they cost less, of the matrix units too."""
    monkeypatch.setattr(tables, "tile", lambda *_: None)
    for other in ("resize_kernel", "weigh_kernel", "weigh_both_kernel"):
        monkeypatch.setattr(launch, other, None)
    for dtype in DTYPES:
        passes = planned("down", "pillow", dtype)
        x = image(rng, "down", dtype)
        check(computed(gpu.program(passes, dtype), x, SIZES["down"][1], False), x, passes)


@pytest.mark.parametrize("strides", [(2**31 + 64, 30), (2**31 + 64, 2**25)])
def test_far_addresses(rng, strides):
    """Images, and rows, that lie gigabytes apart (of memory that is hardly touched)."""
    passes = planned_passes((20, 30), (9, 44), "bicubic", "pillow", True, "renormalize",
                            None, None, False, False, torch.uint8, 1)  # fmt: skip
    memory = torch.empty(strides[0] + 20 * strides[1], dtype=torch.uint8)
    x = memory.as_strided((2, 1, 20, 30), (strides[0], 1, strides[1], 1))
    x.copy_(torch.from_numpy(rng.integers(0, 256, x.shape, dtype=np.uint8)))
    assert launch.near(x) == (strides[1] < 2**25)
    check(computed(gpu.program(passes, x.dtype), x, (9, 44), False), x, passes)


@pytest.mark.parametrize(
    ("size", "size_out"), [((20, 18), (16, 16)), ((20, 300), (16, 2)), ((300, 20), (2, 16))]
)
def test_cut_off_once_a_chunk(rng, size, size_out):
    """Each chunk of a window costs sums of float32 at most their last place, on average.

    That they are rounded as well averages out.
    """
    options = "bilinear", "pillow", True, "renormalize", None, None, False, False
    passes = planned_passes(size, size_out, *options, torch.float32, 2)
    x = torch.from_numpy(rng.uniform(0.5, 1, (4, 2, *size))).to(torch.float32)
    out = torch.full((4, 2, *size_out), 77, dtype=torch.float32)
    tile = tables.TILES[4][0]
    bands = weighings(passes, x.dtype)
    chunks = [
        tables.windows(band, outputs, 1, tile[2])[1].max() // tile[2]
        for band, outputs in zip(bands, tile[:2], strict=True)
    ]
    assert max(chunks) == -(-max(size) // tile[2])
    assert launch.resize(x, *bands, None, out, tile)
    check(out, x, passes)
    exact = by_reference(x.to(torch.float64), passes)
    assert (exact - out).mean().abs() < sum(chunks) * torch.finfo(torch.float32).eps / 2


def _tile(size, size_out, planes, dtype):
    options = "lanczos3", "pillow", True, "renormalize", None, None, False, False
    first, second = weighings(planned_passes(size, size_out, *options, dtype, 3), dtype)
    pixel = dtype.itemsize
    aligns = 16 // pixel, 1
    return tables.tile(first, second, tables.TILES[pixel], aligns, pixel, planes, size[0], 132)


@pytest.mark.parametrize("dtype", DTYPES)
def test_cost(dtype):
    """Two launches where one would leave processors without work, or read much twice."""
    assert _tile((6000, 6000), (32, 32), 3, dtype) is None
    for size in ((1080, 1920), (375, 500), (256, 256)):
        assert _tile(size, (224, 224), 192, dtype) is not None
    across, down, _ = _tile((224, 224), (448, 448), 768, dtype)
    assert (across, down) == tables.TILES[dtype.itemsize][-1][:2]


@pytest.mark.parametrize(
    ("like", "method", "antialias", "size", "size_out", "planes", "together"),
    [
        ("opencv", "bilinear", False, (1080, 1920), (224, 224), 192, True),
        ("opencv", "bicubic", False, (1080, 1920), (224, 224), 192, True),
        ("opencv", "bilinear", False, (112, 112), (224, 224), 768, True),
        ("opencv", "lanczos4", False, (112, 112), (224, 224), 768, False),
        ("opencv", "area", True, (2000, 2000), (1, 1), 3, False),
        ("opencv", "area", True, (4000, 6000), (32, 32), 3, False),
        ("linear-light", "lanczos3", True, (1080, 1920), (224, 224), 192, False),
        ("linear-light", "lanczos3", True, (240, 320), (224, 224), 3, True),
    ],
)
def test_cost_in_the_order_of_taps(like, method, antialias, size, size_out, planes, together):
    """One launch where few rows are read, images are small, or products are few; two where one
    would leave processors without work.
    """
    options = method, like, antialias, PROFILES[like].boundary, None, None, False, False
    passes = planned_passes(size, size_out, *options, torch.uint8, 3)
    first, second = weighings(passes, torch.uint8)
    between = gpu.program(passes, torch.uint8).args[0][0].args[0].store
    assert tables.joins(first, second, between.itemsize, planes, size[0], 132) == together


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("dtype", DTYPES[1:])
@pytest.mark.parametrize("name", ["down", "columns first"])
def test_infinities_stay_within_their_taps(rng, dtype, name):
    passes = planned(name, "pillow", dtype)
    x = image(rng, name, dtype)
    x[0, 0, 9, 11], x[0, 0, 3, 20], x[1, 1, -1, -1] = torch.inf, -torch.inf, torch.nan
    result = computed(gpu.program(passes, dtype), x, SIZES[name][1], False)
    expected = by_reference(x, passes)
    finite = expected.isfinite()
    assert 0 < finite.float().mean() < 1
    torch.testing.assert_close(result[~finite], expected[~finite].to(dtype), equal_nan=True)
    close = torch.finfo(dtype).eps * expected[finite].abs() + 2 * bound(passes, torch.float32, 1)
    assert ((result[finite] - expected[finite]).abs() <= close).all()


@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
@pytest.mark.parametrize("name", ["down", "up"])
def test_sums_beyond_half_precision(rng, name):
    """Between the passes, of which the second makes them smaller."""
    passes = planned(name, "pillow", torch.float16)
    largest = torch.finfo(torch.float16).max
    x = torch.where(image(rng, name, torch.float16) > 0.5, largest, 0.8 * largest).to(torch.float16)
    between = by_reference(x, passes[:1])
    assert between.max() > largest
    result = computed(gpu.program(passes, x.dtype), x, SIZES[name][1], False)
    expected = by_reference(x.to(torch.float64), passes)
    within = expected.abs() <= largest
    assert within.any()
    error = (result.to(torch.float64) - expected)[within].abs()
    assert (error <= torch.finfo(x.dtype).eps * largest).all()
