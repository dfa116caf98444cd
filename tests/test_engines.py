"""The fast CPU engine against the reference, which does the same in torch operations."""

from dataclasses import replace

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


def two_orders(passes, dtype):
    """How far two orders of summation may differ, of values up to 1.

    There are taps + 1 roundings in a pass, each amplified by the weights of the other passes.
    """
    sums = [float(np.abs(step.band.weight).sum(1).max()) for step in passes]
    taps = sum(step.band.taps + 1 for step in passes)
    return taps * torch.finfo(dtype).eps * np.prod(np.maximum(sums, 1))


@pytest.mark.parametrize("sums", ["float32", "float64"])
def test_sums_in_order_are_not_fused(rng, sums):
    """A product that is not rounded before it is added changes last bits."""
    dtype = getattr(torch, sums)
    x = torch.from_numpy(rng.random((1, 2, 70, 90))).to(dtype)
    for like, method in (("pillow", "lanczos3"), ("torch", "bicubic")):
        scalars = method, like, True, PROFILES[like].boundary, None, None, False, False, dtype, 2
        for size in ((70, 41), (33, 90), (33, 41)):
            planned = planned_passes((70, 90), size, *scalars)
            weights = (s.band.weight.astype(sums).astype(np.float64) for s in planned)
            bands = (replace(s.band, weight=w) for s, w in zip(planned, weights, strict=True))
            passes = tuple(
                Pass(s.dim, band, dtype, sums=sums) for s, band in zip(planned, bands, strict=True)
            )
            out = torch.empty(1, 2, *size, dtype=dtype)
            cpu.program(passes, dtype, True)(x, out, False)
            assert torch.equal(out, by_reference(x, passes))


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
        bound = two_orders(passes, dtype) * 255
        assert (out - expected).abs().max() <= bound, (h, w, size, box, c)


@pytest.mark.parametrize("name", ["avx2", "sse2"])
def test_instruction_sets_agree(rng, name):
    """Integers are the same; floats differ where one set adds a product in one rounding."""
    best = native.instructions()
    if best in (name, "generic"):
        pytest.skip(f"this CPU's best instruction set is {best}")
    x = torch.from_numpy(rng.integers(0, 256, (2, 3, 150, 170), dtype=np.uint8))
    inner = x.contiguous(memory_format=torch.channels_last)

    real = x.float() / 255

    def bound(like, method):
        antialias = PROFILES[like].antialias(None, method, real.dtype)
        scalars = method, like, antialias, PROFILES[like].boundary, None, None, False, False
        return two_orders(
            planned_passes((150, 170), (97, 190), *scalars, real.dtype, 3), real.dtype
        )

    def computed():
        for like, profile in PROFILES.items():
            for method in profile.methods:
                for image in (x, inner):
                    yield tr.resize(image, (97, 190), method, like=like), 0
                if not profile.linear:  # whose powers amplify what sums differ by
                    yield tr.resize(real, (97, 190), method, like=like), bound(like, method)
        yield tr.ImageClassification(100, 120)(x), 0
        yield tr.resize(inner[:, :2], (97, 190), alpha=True), 0
        yield tr.resize_nv12(x[:, 0], inner[:, :2, :75, :85].permute(0, 2, 3, 1), (97, 190)), 0

    fast = list(computed())
    try:
        native.use(name)
        slow = list(computed())
    finally:
        native.use(best)
    for (one, most), (other, _) in zip(fast, slow, strict=True):
        assert (one.double() - other.double()).abs().max() <= most


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
