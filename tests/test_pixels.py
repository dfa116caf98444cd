"""Zero differing bytes against the live libraries; of uint8 5,000 fresh random cases a method."""

import numpy as np
import oracles
import PIL.Image
import pytest
import torch
from numpy.testing import assert_array_equal

import torchresample as tr

CASES = 5_000


def strided(rng: np.random.Generator, image: np.ndarray) -> torch.Tensor:
    """``[C, H, W]`` with channels outermost, channels innermost, or every second column."""
    x = torch.from_numpy(image).permute(2, 0, 1)
    kind = rng.integers(3)
    if kind == 0:
        return x.contiguous()
    return x if kind == 1 else torch.stack([x, x], dim=-1)[..., 0]


@pytest.mark.parametrize("method", oracles.PILLOW_METHODS)
def test_pillow(rng, method):
    for _ in range(CASES):
        h, w, size, box = oracles.random_resize(rng)
        image = oracles.random_image(rng, h, w, int(rng.integers(1, 5)))
        ours = tr.resize(strided(rng, image), size, method, like=oracles.PILLOW_PROFILE, box=box)
        theirs = oracles.pillow(image, tuple(size), method, box)
        assert_array_equal(ours.permute(1, 2, 0), theirs, f"{image.shape} {size} {box}")


@pytest.mark.parametrize(("method", "antialias"), oracles.ATEN_METHODS)
def test_torch(rng, method, antialias):
    for _ in range(CASES):
        h, w, *size = oracles.random_sizes(rng)
        image = oracles.random_image(rng, h, w, int(rng.integers(1, 6)))
        x = strided(rng, image)[None]
        # A box of the whole image keeps this from being ATen against itself.
        box = (0, 0, w, h)
        ours = tr.resize(x, size, method, like="torch", antialias=antialias, box=box)
        theirs = oracles.aten(x, tuple(size), method, antialias)
        assert_array_equal(ours, theirs, f"{image.shape} {size}")
        assert_array_equal(ours, tr.resize(x, size, method, like="torch", antialias=antialias))


@pytest.mark.parametrize("method", oracles.OPENCV_METHODS)
def test_opencv(rng, method):
    for case in range(CASES):
        h, w, *size = oracles.random_sizes(rng)
        if case % 10 == 0:  # whole factors, and 2 x 2 above all, take paths of their own
            factors = rng.integers(1, 6, 2) if case % 20 else (2, 2)
            size = [max(h // factors[0], 1), max(w // factors[1], 1)]
            h, w = size[0] * int(factors[0]), size[1] * int(factors[1])
        most = 4 if method == "area" else 5  # OpenCV has no area for five channels
        image = oracles.random_image(rng, h, w, int(rng.integers(1, most + 1)))
        ours = tr.resize(image, size, method, like="opencv")
        theirs = oracles.opencv(image, tuple(size), method)
        if method == "bicubic":  # the wheel's own rounding depends on the processor (IPP)
            assert np.abs(ours.astype(int) - theirs).max() <= 1, f"{image.shape} {size}"
        else:
            assert_array_equal(ours, theirs, f"{image.shape} {size}")


@pytest.mark.parametrize("method", oracles.PILLOW_METHODS)
@pytest.mark.parametrize(
    "mode", ["L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "I;16", "F"]
)
def test_pillow_image_modes(rng, method, mode):
    """Whole images as ``Image.resize`` returns them, alpha and 16 or 32 bits included."""
    for _ in range(10):
        h, w, size, box = oracles.random_resize(rng, 60)
        bits = {"I": 4, "I;16": 2, "F": 4}.get(mode, len(PIL.Image.new(mode, (1, 1)).getbands()))
        pixels = rng.integers(0, 256, h * w * bits, dtype=np.uint8)
        if mode == "I":  # within a range whose double sums Pillow can round
            pixels = rng.integers(-(2**20), 2**20, h * w, dtype=np.int32)
        if mode == "F":
            pixels = (rng.standard_normal(h * w) * 10.0 ** rng.integers(-40, 38)).astype(np.float32)
        image = PIL.Image.frombytes(mode, (w, h), pixels.tobytes())
        ours = tr.resize(image, size, method, like=oracles.PILLOW_PROFILE, box=box)
        theirs = image.resize(size[::-1], oracles.PILLOW_METHODS[method], box=box)
        assert (ours.mode, ours.size) == (theirs.mode, theirs.size)
        assert_array_equal(np.asarray(ours), np.asarray(theirs), f"{image} {size} {box}")


@pytest.mark.parametrize("method", oracles.PILLOW_METHODS)
def test_pillow_floats(rng, method):
    """Mode F: sums in double, which neither round to float32 on the way nor overflow."""
    flat = [(value, 4, 1, (1, 3)) for value in (1, 3.4e38, -3.4e38, 1e-45)]
    for value, w, h, size in [*flat, (None, 500, 375, (224, 224)), (None, 40, 900, (1800, 31))]:
        image = PIL.Image.new("F", (w, h), value or 0)
        if value is None:
            pixels = np.exp(rng.normal(0, 9, (h, w))) * rng.choice([-1, 1], (h, w))
            image = PIL.Image.fromarray(pixels.astype(np.float32))
        ours = tr.resize(image, size, method, like=oracles.PILLOW_PROFILE)
        theirs = image.resize(size[::-1], oracles.PILLOW_METHODS[method])
        assert ours.mode == "F"
        assert_array_equal(np.asarray(ours), np.asarray(theirs), f"{value} {size}")


def test_pillow_floats_that_are_not_numbers(rng):
    """They stay where a weight reads them."""
    pixels = rng.random((60, 47)).astype(np.float32)
    clean = np.asarray(tr.resize(PIL.Image.fromarray(pixels), (30, 90), "bicubic"))
    pixels[20, 30], pixels[40, 10] = np.nan, np.inf
    touched = np.asarray(tr.resize(PIL.Image.fromarray(pixels), (30, 90), "bicubic"))
    marks = np.isnan(pixels) | np.isinf(pixels)
    reached = tr.resize(marks.astype(np.float64), (30, 90), "bicubic") != 0
    assert reached.any()
    assert not np.isfinite(touched[reached]).any()
    assert_array_equal(touched[~reached], clean[~reached])


def test_pillow_floats_by_other_filters_and_boundaries(rng):
    """What Pillow lacks is computed as it would be: each pass in double, stored as float32."""
    pixels = rng.standard_normal((60, 47)).astype(np.float32)
    for method, boundary in (("lanczos5", None), ("bicubic", "wrap"), ("catmull-rom", "edge")):
        options = {"like": oracles.PILLOW_PROFILE, "boundary": boundary}
        ours = tr.resize(PIL.Image.fromarray(pixels), (80, 33), method, **options)
        rows = tr.resize(pixels.astype(np.float64), (60, 33), method, **options)
        stored = rows.astype(np.float32).astype(np.float64)
        expected = tr.resize(stored, (80, 33), method, **options).astype(np.float32)
        assert_array_equal(np.asarray(ours), expected)


@pytest.mark.parametrize(
    ("size", "new"),
    [((941, 7), (10, 7)), ((8192, 3), (1, 3)), ((1, 3), (8192, 3)), ((1, 1), (1, 1)),
     ((1, 1), (37, 5)), ((3, 100_000), (2, 301)), ((3, 100_000), (3, 100_000)),
     ((3, 2_000), (1, 100_000))],
)  # fmt: skip
@pytest.mark.parametrize("method", ["nearest", "box", "bilinear", "lanczos3", "mks2021"])
def test_any_ratio(rng, size, new, method):
    if method not in oracles.PILLOW_METHODS:
        pytest.skip("this Pillow does not have the filter")
    image = oracles.random_image(rng, *size, 3)
    ours = tr.resize(image, new, method, like=oracles.PILLOW_PROFILE)
    assert_array_equal(ours, oracles.pillow(image, new, method))


def test_real_photographs(shared):
    """Decoded JPEGs, as a pipeline meets them, to the usual size by the three libraries."""
    files = sorted((shared / "data" / "dtd10" / "val").rglob("*.jpg"))[::20]
    assert files
    for file in files:
        with PIL.Image.open(file) as opened:
            photograph = opened.convert("RGB")
        image = np.array(photograph)
        for method in oracles.PILLOW_METHODS:
            ours = tr.resize(photograph, (224, 224), method, like=oracles.PILLOW_PROFILE)
            theirs = oracles.pillow(image, (224, 224), method)
            assert_array_equal(np.asarray(ours), theirs, str(file))
        x = torch.from_numpy(image).permute(2, 0, 1)[None]
        for method, antialias in oracles.ATEN_METHODS:
            whole = (0, 0, *photograph.size)
            options = {"like": "torch", "antialias": antialias, "box": whole}
            ours = tr.resize(x, (224, 224), method, **options)
            assert torch.equal(ours, oracles.aten(x, (224, 224), method, antialias)), file
        for method in set(oracles.OPENCV_METHODS) - {"bicubic"}:
            ours = tr.resize(image, (224, 224), method, like="opencv")
            assert_array_equal(ours, oracles.opencv(image, (224, 224), method), str(file))
