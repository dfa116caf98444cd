"""The fast CPU engine against the reference, which does the same in torch operations."""

import numpy as np
import oracles
import PIL.Image
import pytest
import torch

import torchresample as tr
from torchresample import cpu, native, reference
from torchresample.bands import Band
from torchresample.ops import planned_passes
from torchresample.passes import Pass
from torchresample.pil import SHARED, from_pixels, pixels
from torchresample.profiles import PROFILES

METHODS = [
    pytest.param(like, method, antialias, id=f"{like}-{method}-{antialias}")
    for like in ("pillow", "torch", "opencv", "skimage", "tf")
    for method, spec in PROFILES[like].methods.items()
    for antialias in spec.antialias
]


def by_reference(x, passes):
    for step in passes:
        x = reference.apply_pass(x, step, None)
    return x


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize(("like", "method", "antialias"), METHODS)
def test_passes(rng, like, method, antialias, dtype):
    profile = PROFILES[like]
    boundary = profile.boundary
    for case in range(12):
        h, w, size, box = oracles.random_resize(rng, 300)
        b, c = (int(n) for n in rng.integers(1, 5, 2))
        layout = torch.channels_last if case % 2 else torch.contiguous_format
        x = torch.from_numpy(rng.integers(0, 256, (b, c, h, w), dtype=np.uint8))
        x = x.to(dtype).contiguous(memory_format=layout)
        passes = planned_passes(
            (h, w),
            tuple(size),
            method,
            like,
            antialias,
            boundary,
            box,
            None,
            False,
            False,
            dtype,
            c,
        )
        if not passes:
            continue
        # Whatever is not written stays visible.
        out = torch.full((b, c, *size), 77, dtype=dtype).contiguous(memory_format=layout)
        cpu.program(passes, dtype, True)(x, out, bool(case % 2 and c > 1))
        expected = by_reference(x, passes)
        if dtype == torch.uint8:
            assert torch.equal(out, expected), (h, w, size, box, c)
            continue
        # Two orders of summation: taps + 1 roundings a pass, each amplified by the other's weights.
        sums = [float(np.abs(step.band.weight).sum(1).max()) for step in passes]
        taps = sum(step.band.taps + 1 for step in passes)
        bound = 2 * taps * torch.finfo(dtype).eps / 2 * np.prod(np.maximum(sums, 1)) * 255
        assert (out - expected).abs().max() <= bound, (h, w, size, box, c)


@pytest.mark.parametrize("name", ["avx2", "sse2"])
def test_instruction_sets_agree(rng, name):
    """Integers are the same; floats differ where one set adds a product in one rounding."""
    best = native.instructions()
    if best in (name, "generic"):
        pytest.skip(f"this CPU's best instruction set is {best}")
    x = torch.from_numpy(rng.integers(0, 256, (2, 3, 150, 170), dtype=np.uint8))
    inner = x.contiguous(memory_format=torch.channels_last)

    def computed():
        for like, profile in PROFILES.items():
            for method in profile.methods:
                for image in (x, inner, x.float() / 255):
                    yield tr.resize(image, (97, 190), method, like=like)
        yield tr.ImageClassification(100, 120)(x)
        yield tr.resize(inner[:, :2], (97, 190), alpha=True)
        yield tr.resize_nv12(x[:, 0], inner[:, :2, :75, :85].permute(0, 2, 3, 1), (97, 190))

    fast = list(computed())
    try:
        native.use(name)
        slow = list(computed())
    finally:
        native.use(best)
    for one, other in zip(fast, slow, strict=True):
        if one.is_floating_point():
            # Two passes of at most 32 roundings each, of values near 1.
            assert (one - other).abs().max() <= 2 * 32 * torch.finfo(one.dtype).eps
        else:
            assert torch.equal(one, other)


def test_unknown_instruction_set():
    with pytest.raises(ValueError, match="got 'avx3'"):
        native.use("avx3")


def test_rows_that_lie_far_apart_behind_one_output(rng):
    """An output that reads through a gather may span more rows than it has taps."""
    gather = np.concatenate([np.arange(10000), np.arange(14000, 20000)])
    start, weight = np.arange(0, 15000, 300), rng.random((50, 400))
    across = Band(90, 64, np.arange(64), rng.random((64, 8)))
    down = Band(20000, 50, start, weight, gather)
    passes = tuple(Pass(dim, band) for dim, band in ((-1, across), (-2, down)))
    x = torch.from_numpy(rng.random((1, 1, 20000, 90), dtype=np.float32))
    out = torch.empty(1, 1, 50, 64)
    cpu.program(passes, x.dtype, True)(x, out, False)
    # 8 and 400 taps, of sums up to 3200.
    bound = 2 * (8 + 400 + 2) * torch.finfo(torch.float32).eps / 2 * 3200
    assert (out - by_reference(x, passes)).abs().max() <= bound


def test_threads_change_nothing(rng):
    x = torch.from_numpy(rng.integers(0, 256, (2, 3, 700, 900), dtype=np.uint8))
    images = [x, x.contiguous(memory_format=torch.channels_last), x.float()]

    def computed():
        for image in images:
            yield from (tr.resize(image, size, "lanczos3") for size in ((400, 301), (400, 900)))
            yield from (tr.resize(image, size, "lanczos3") for size in ((700, 301), (90, 880)))
            yield tr.resize(image, (400, 301), "nearest")
            yield tr.ImageClassification(500, 500)(image)

    singly = list(computed())
    try:
        torch.set_num_threads(4)  # parts that end within a plane, in either layout
        together = list(computed())
    finally:
        torch.set_num_threads(1)
    for one, many in zip(singly, together, strict=True):
        assert torch.equal(one, many)


def test_sums_that_leave_int32_take_the_reference(rng):
    """Weights whose positive part sums to over 2: Pillow's int32 would overflow, ours does not."""
    options = ("bilinear", "pillow", True, "renormalize", None, None, False, False)
    passes = planned_passes((30, 30), (30, 31), *options, torch.uint8, 1)
    step = passes[0]
    loud = step.band.weight * np.where(np.arange(step.band.taps) % 2, -3, 5)
    step = type(step)(step.dim, type(step.band)(30, 31, step.band.start, loud), torch.uint8,
                      "fixed", bits=step.bits)  # fmt: skip
    x = torch.full((1, 1, 30, 30), 255, dtype=torch.uint8)
    out = torch.empty(1, 1, 30, 31, dtype=torch.uint8)
    cpu.program((step,), x.dtype, True)(x, out, False)
    assert torch.equal(out, reference.apply_pass(x, step, None))
    assert [call.func for call in cpu._steps((step,), x.dtype, True)] == [cpu._by_reference]


@pytest.mark.parametrize("mode", SHARED)
@pytest.mark.parametrize("size", [(37, 21), (3000, 2000)])  # Pillow keeps the second in pieces
def test_pixels_of_pil_images(rng, mode, size):
    bands = len(PIL.Image.new(mode, (1, 1)).getbands())
    array = rng.integers(0, 256, (size[1], size[0], bands), dtype=np.uint8)
    image = PIL.Image.frombytes(mode, size, array.tobytes())
    with pixels(image, share=True) as shared, pixels(image, share=False) as copied:
        assert np.array_equal(copied.reshape(array.shape), array)
        assert np.array_equal(shared.reshape(*array.shape[:2], -1)[..., :bands], array)
    assert np.array_equal(np.asarray(from_pixels(copied, mode)), np.asarray(image))
