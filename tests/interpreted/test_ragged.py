"""Images of different sizes in one launch, with bands made by the kernel."""

from functools import partial

import numpy as np
import pytest
import torch
from engines import METHODS, bound, by_reference, check

import torchresample as tr
from torchresample import batch, ops
from torchresample import ragged as lists
from torchresample.bands import Axis, filter_band
from torchresample.filters import FILTERS
from torchresample.gpu import SINGLE
from torchresample.ops import planned_passes
from torchresample.passes import Request
from torchresample.profiles import PROFILES
from torchresample.triton_kernels import launch, ragged, tables, weights

SERVED = [method for method in PROFILES["pillow"].methods if method in FILTERS]
SIZES = ((30, 41), (9, 100), (120, 11), (24, 31), (1, 1), (48, 16), (24, 64), (70, 31))


@pytest.fixture
def on_kernels(monkeypatch, poisoned):
    """``resize_batch`` by kernels, in memory that shows what is unwritten; whether all at once."""
    launches = []

    def noted(plain, *arguments):
        launches.append(len(arguments[0]))
        plain(*arguments)

    for name in ("resize", "select"):
        monkeypatch.setattr(ragged, name, partial(noted, getattr(ragged, name)))

    def resize_batch(*arguments, **options):
        launches.clear()
        with pytest.MonkeyPatch.context() as patch:
            for module in (batch, ops):
                patch.setattr(module, "engine", lambda x: "gpu")
            return tr.resize_batch(*arguments, **options), launches == [len(arguments[0])]

    return resize_batch


def images(rng, sizes=SIZES, channels=2):
    return [torch.from_numpy(rng.integers(0, 256, (channels, *s), dtype=np.uint8)) for s in sizes]


def floats(rng, dtype, sizes=SIZES):
    """From 0 to 1, as ``bound`` wants them."""
    return [(image.double() / 255).to(dtype) for image in images(rng, sizes)]


def planned(image, size, method, like, box=None, flip=False):
    options = method, like, True, PROFILES[like].boundary, box, None, flip, False
    return planned_passes(tuple(image.shape[1:]), size, *options, image.dtype, len(image))


def random_boxes(rng, sizes):
    low = [(rng.uniform(0, w - 0.6), rng.uniform(0, h - 0.6)) for h, w in sizes]
    return [
        (left, top, rng.uniform(left + 0.5, w), rng.uniform(top + 0.5, h))
        for (left, top), (h, w) in zip(low, sizes, strict=True)
    ]


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("method", SERVED)
def test_methods(rng, on_kernels, method, antialias):
    check_together(rng, on_kernels, "pillow", method, antialias)


@pytest.mark.parametrize("method", ["bilinear", "bicubic", "lanczos3"])
def test_methods_of_torch(rng, on_kernels, method):
    check_together(rng, on_kernels, "torch", method, True)


def check_together(rng, on_kernels, like, method, antialias):
    x, flips = images(rng), [i % 2 == 0 for i in range(8)]
    options = {"like": like, "antialias": antialias, "flips": flips}
    boxes = random_boxes(rng, SIZES)
    boxes[3] = None
    for boxes_ in (None, boxes):
        expected = tr.resize_batch(x, (24, 31), method, boxes=boxes_, **options)
        result, together = on_kernels(x, (24, 31), method, boxes=boxes_, **options)
        assert torch.equal(result, expected)
        assert together


@pytest.mark.parametrize("method", SERVED)
def test_methods_of_floats(rng, on_kernels, method):
    check_floats(rng, on_kernels, "pillow", method, torch.float32, "as they are", (24, 31))


@pytest.mark.parametrize("dtype", SINGLE)
@pytest.mark.parametrize(("like", "size"), [("pillow", (24, 31)), ("torch", (65, 90))])
@pytest.mark.parametrize("kind", ["aligned", "words", "channels_last", "strided"])
def test_memory_of_floats(rng, on_kernels, kind, size, like, dtype):
    check_floats(rng, on_kernels, like, "bicubic", dtype, kind, size)


def check_floats(rng, on_kernels, like, method, dtype, kind, size):
    sizes = sizes_of(kind)
    x, flips = laid_out(floats(rng, dtype, sizes), kind), [i % 2 == 0 for i in range(len(sizes))]
    boxes = random_boxes(rng, sizes)
    boxes[0] = None
    if kind == "strided":  # every other row
        boxes = [None] * len(sizes)
    options = {"like": like, "boxes": boxes, "flips": flips}
    result, together = on_kernels(x, size, method, **options)
    assert together
    for image, box, flip, out in zip(x, boxes, flips, result, strict=True):
        check(out, image, planned(image, size, method, like, box, flip))


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("dtype", SINGLE)
def test_infinities_stay_within_their_taps(rng, on_kernels, dtype):
    x = floats(rng, dtype)
    for image in x:
        image[0, 0, -1], image[1, -1, 0] = torch.inf, torch.nan
    x[0][1, 4, 20], x[2][0, 7, 3] = -torch.inf, torch.nan
    flips = [i % 2 == 0 for i in range(len(x))]
    # Some outputs of the last one lie where a filter ends, so that a first or last weight is zero.
    for method, size in (("bilinear", (24, 31)), ("lanczos3", (24, 31)), ("bicubic", (27, 33))):
        result, together = on_kernels(x, size, method, flips=flips)
        assert together
        for image, flip, out in zip(x, flips, result, strict=True):
            passes = planned(image, size, method, "pillow", None, flip)
            exact = by_reference(image.double(), passes)
            finite = exact.isfinite()
            assert not finite.all()
            assert torch.equal(out.isfinite(), finite)
            torch.testing.assert_close(out[~finite], exact[~finite].to(dtype), equal_nan=True)
            unit = torch.finfo(dtype).eps * exact[finite].abs()
            allowed = unit + 2 * bound(passes, torch.float32, 1)
            assert ((out[finite].double() - exact[finite]).abs() <= allowed).all()


@pytest.mark.parametrize(
    ("like", "method", "dtype"),
    [
        (like, method, dtype)
        for like, profile in PROFILES.items()
        for method in profile.nearest
        for dtype in (torch.uint8, torch.float8_e5m2fnuz, torch.float16, torch.int64, torch.float64)
        if like != "pillow12"  # which takes the pixels of "pillow"
    ],
)
def test_nearest(rng, on_kernels, like, method, dtype):
    flips, size = [True, False, False, True], (int(rng.integers(1, 70)), int(rng.integers(40, 90)))
    sizes = [tuple(rng.integers(1, 120, 2)) for _ in flips]
    x = [torch.from_numpy(rng.integers(0, 2**15, (2, *s))).to(dtype) for s in sizes]
    for kind, boxes in (("as they are", None), ("channels_last", random_boxes(rng, sizes))):
        y = laid_out(x, kind)
        options = {"like": like, "antialias": False, "flips": flips, "boxes": boxes}
        expected = tr.resize_batch(x, size, method, **options)
        result, together = on_kernels(y, size, method, **options)
        assert together
        assert torch.equal(result, expected)


@pytest.mark.parametrize("like", [like for like in PROFILES if not PROFILES[like].float32_boxes])
def test_nearest_of_an_unchanged_axis(like):
    """All its pixels in order, where positions in float32 no longer tell them apart."""
    n, profile = 2**24 + 3, PROFILES[like]
    length, low = np.array([[n]]), np.array([[0.0]])
    axis = profile.axis(length, n, low, length.astype(np.float64))
    for method, position in profile.nearest.items():
        options = False, profile.boundary, torch.uint8, 1
        asked = Request(method, profile.methods[method], axis, axis, *options)
        rows, columns = lists.pixels(position, asked, np.array([[True]]))
        assert np.array_equal(rows[0], np.arange(n))
        assert np.array_equal(columns[0], np.arange(n)[::-1])


def test_what_kernels_read_is_aligned(on_kernels, monkeypatch):
    """As in the launches that are compiled ahead of time, whatever the number of images."""
    told = []

    class Noted:
        def __getitem__(self, grid):
            return lambda *arguments, **constants: told.extend((*arguments[4:6], arguments[7]))

    monkeypatch.setattr(ragged, "select_kernel", Noted())
    for count in (1, 2, 3):
        for height in (5, 6):
            _, together = on_kernels(
                images(np.random.default_rng(0), SIZES[:count]), (height, 7), "nearest"
            )
            assert together
    assert len(told) == 18
    assert all(table.data_ptr() % 16 == 0 for table in told)


def sizes_of(kind):
    step = {"aligned": 16, "words": 4}.get(kind, 1)
    return [(h, -(-w // step) * step) for h, w in SIZES if h <= 48 or step == 1]


def laid_out(x, kind):
    if kind == "channels_last":
        return [image[None].contiguous(memory_format=torch.channels_last)[0] for image in x]
    if kind == "strided":
        return [image.transpose(1, 2).contiguous().transpose(1, 2)[:, ::2] for image in x]
    return x


@pytest.mark.parametrize("like", ["pillow", "pillow12", "torch"])
@pytest.mark.parametrize("size", [(24, 31), (1, 1), (90, 7), (65, 130)])
@pytest.mark.parametrize("kind", ["aligned", "words", "channels_last", "strided"])
def test_memory(rng, on_kernels, kind, size, like):
    x = laid_out(images(rng, sizes_of(kind)), kind)
    options = {"like": like, "layout": torch.channels_last}
    expected = tr.resize_batch(x, size, "bicubic", **options)
    result, together = on_kernels(x, size, "bicubic", **options)
    assert torch.equal(result, expected)
    assert result.stride() == expected.stride()
    assert together


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_scaling(rng, on_kernels, dtype):
    x = images(rng, channels=3)
    options = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.1), "dtype": dtype}
    expected = tr.resize_batch(x, (24, 31), "lanczos3", **options)
    result, together = on_kernels(x, (24, 31), "lanczos3", **options)
    assert torch.equal(result, expected)
    assert together


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize(("like", "method", "antialias"), METHODS)
def test_every_method(rng, on_kernels, like, method, antialias, dtype):
    x = images(rng, ((13, 17), (9, 40)))
    if dtype == torch.float32:
        x = [image / 255 for image in x]
    options = {"like": like, "antialias": antialias, "flips": [False, True]}
    expected = tr.resize_batch(x, (12, 11), method, **options)
    result, _ = on_kernels(x, (12, 11), method, **options)
    if dtype == torch.uint8:
        assert torch.equal(result, expected)
        return
    place = PROFILES[like].boundary, None, None, False, False, dtype, 2
    for image, one, other in zip(x, result, expected, strict=True):
        passes = planned_passes(image.shape[1:], (12, 11), method, like, antialias, *place)
        allowed = bound(passes, dtype, 1)
        if PROFILES[like].linear:  # sRGB is that steep at most; and its power is rounded
            allowed = 12.92 * allowed + 4 * torch.finfo(dtype).eps * one.abs().max()
        assert (one - other).abs().max() <= allowed


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("area", {}),
        ("bicubic", {"boundary": "reflect"}),
        ("bilinear", {"like": "torch", "antialias": False}),
        ("bilinear", {"like": "skimage"}),
    ],
)
def test_others_one_by_one(rng, on_kernels, method, options):
    x = images(rng)
    result, together = on_kernels(x, (9, 12), method, **options)
    assert torch.equal(result, tr.resize_batch(x, (9, 12), method, **options))
    assert not together


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("method", SERVED)
def test_weights(rng, method, antialias):
    """With 30 fraction bits, which tell weights apart that Pillow's 22 do not."""
    bits, digits, outputs, chunk = 30, 4, 16, 64
    filter_, profile, count = FILTERS[method], PROFILES["pillow"], 6
    n_in, n_out = rng.integers(1, 200, count), int(rng.integers(1, 40))
    low = rng.uniform(0, n_in - 0.9)
    axis = profile.axis(n_in, n_out, low, rng.uniform(low + 0.5, n_in))
    blocks, chunks = -(-n_out // outputs), 8
    columns = np.zeros((count, weights.BAND.value), dtype=int)
    columns[:, 0], columns[:, 1], columns[:, 4], columns[:, 5] = n_in, n_out, bits, chunks
    columns[:, 6] = blocks * chunks * np.arange(count)
    window = torch.zeros(count * blocks, 4, dtype=torch.int32)
    shape = count * blocks * chunks, digits, outputs, chunk
    weight = torch.full(shape, 77, dtype=torch.int8)
    form, parameters = filter_.form
    weights.blocks_kernel[(count * blocks,)](
        torch.from_numpy(columns), torch.from_numpy(np.stack([axis.lo, axis.hi], 1)),
        torch.tensor([filter_.radius, *np.ravel(parameters), 0.0, 0.0], dtype=torch.float64),
        window, weight, torch.empty(count * blocks, outputs, dtype=torch.int32),
        None, None, None, blocks, 1, chunk,
        FORM=form, ANTIALIAS=antialias, LIMBS=digits, OUTPUTS=outputs,
    )  # fmt: skip
    for i in range(count):
        one = Axis(int(n_in[i]), n_out, float(axis.lo[i]), float(axis.hi[i]))
        band = filter_band(filter_, one, antialias, "renormalize")
        for j in range(n_out):
            block, row = i * blocks + j // outputs, j % outputs
            start, length, place, found_bits = window[block].tolist()
            assert found_bits == bits
            rows = weight[place : place + length // chunk, :, row].transpose(0, 1).flatten(1)
            found = sum(digit.long() << 8 * (3 - d) for d, digit in enumerate(rows))
            expected = np.zeros(max(one.n_in, start + length))
            expected[band.start[j] :][: band.taps] = band.weight[j] * 2.0**bits
            expected = np.trunc(expected + np.copysign(0.5, expected))
            assert np.array_equal(found.numpy(), expected[start : start + length])
            assert not expected[:start].any() and not expected[start + length :].any()  # noqa: PT018


@pytest.mark.parametrize("method", SERVED)
def test_sums_fit_32_bits(rng, method):
    """Also where the image's end cuts a filter: positive weights add up to less than 2."""
    for _ in range(500):
        n_in, n_out = int(rng.integers(1, 40)), int(rng.choice([1, 2, 3, 7, 40, 300]))
        low = rng.choice([0, rng.uniform(0, n_in - 0.01)])
        axis = Axis(n_in, n_out, low, rng.choice([n_in, rng.uniform(low + 0.005, n_in)]))
        band = filter_band(FILTERS[method], axis, bool(rng.integers(2)), "renormalize")
        assert np.maximum(band.weight, 0).sum(1).max() < 2


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize(
    ("sizes", "size", "differ"),
    [
        (((9, 700), (4, 900)), (1, 1), (2, 2)),
        (((8, 2),), (90, 3), (1, 1)),
        (((5, 1500), (5, 20), (7, 20), (8, 21)), (6, 10), (3, 3)),
        (((31, 20),) * 3, (70, 5), (1, 1)),
    ],
)
def test_bands_take_what_images_have(rng, on_kernels, monkeypatch, sizes, size, differ, dtype):
    """Windows are no longer than their image, nor than the outputs that there are need.

    Whatever the largest image, and once for images of one size.
    """
    made, plain = [], tables.empty_blocks
    monkeypatch.setattr(tables, "empty_blocks", lambda *a: made.append(a) or plain(*a))
    some = images(rng, sizes) if dtype == torch.uint8 else floats(rng, dtype, sizes)
    batch, together = on_kernels(some, size, "lanczos3")
    assert together
    for image, out in zip(some, batch, strict=True):
        check(out, image, planned(image, size, "lanczos3", "pillow"))
    lengths = zip(*(s[::-1] for s in sizes), strict=True)
    axes = zip(size[::-1], lengths, differ[::-1], made, strict=True)
    for n_out, lengths, bands, (count, outputs, chunks, chunk, *_) in axes:
        blocks = -(-n_out // outputs)
        assert count == blocks * bands
        # Rounded up to whole chunks, from a multiple of 16 on.
        assert chunks * chunk <= blocks * sum(n + 16 + chunk for n in set(lengths))


@pytest.mark.parametrize("width", [48, 20, 30])
@pytest.mark.parametrize("address", [0, 4, 1])
@pytest.mark.parametrize("stride", [96, 52, 51])
@pytest.mark.parametrize("channel", [960, 964, 961])
def test_alignment(on_kernels, monkeypatch, width, address, stride, channel):
    """By how lines lie to each other, wherever the first begins and the last ends."""
    found = []

    class Noted:
        def __getitem__(self, grid):
            return lambda *arguments, **constants: found.append(constants["ALIGN_1"])

    monkeypatch.setattr(ragged, "resize_kernel", Noted())
    memory = torch.zeros(4096, dtype=torch.uint8)
    memory = memory[-memory.data_ptr() % 16 :]
    one = memory[address:].as_strided((2, 9, width), (channel, stride, 1))
    best = memory.as_strided((2, 9, 48), (960, 96, 1))
    _, together = on_kernels([best, one], (9, 9), "bilinear")
    assert together
    lines = memory.as_strided((1, 2, 9, 16), (0, channel, stride, 1))
    assert found == [launch.align(lines, 3, (16, 4))]


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("dtype", [torch.uint8, *SINGLE])
@pytest.mark.parametrize("size", [(25, 9), (40, 70)])
def test_parts_of_aligned_images(rng, on_kernels, monkeypatch, dtype, size):
    """Read by whole 16 bytes, from any place on; pixels around a part do not count.

    Two of them are of one size, but begin at other places within 16 bytes.
    """
    kernel, found = ragged.resize_kernel, []

    class Noted:
        def __getitem__(self, grid):
            return lambda *arguments, **constants: (
                found.append(constants["ALIGN_1"] * dtype.itemsize)
                or kernel[grid](*arguments, **constants)
            )

    monkeypatch.setattr(ragged, "resize_kernel", Noted())
    sizes = ((30, 64),) * 4
    around = images(rng, sizes) if dtype == torch.uint8 else floats(rng, dtype, sizes)
    x = []
    lefts = 4 * rng.integers(0, 7, 4) + rng.permutation(4)
    tops = rng.integers(0, 10, 4)
    for image, width, top, left in zip(around, (1, 17, 17, 34), tops, lefts, strict=True):
        x.append(image[:, top : top + 20, left : left + width])
        if dtype.is_floating_point:
            image[:, :, :left] = image[:, :, left + width :] = torch.nan
    flips = [False, True, True, False]
    result, together = on_kernels(x, size, "bicubic", flips=flips)
    assert together
    assert found == [16]
    for image, flip, out in zip(x, flips, result, strict=True):
        check(out, image, planned(image, size, "bicubic", "pillow", None, flip))
