"""The public call: kinds of image, sizes, boxes, layouts and memory."""

import subprocess
import sys

import numpy as np
import oracles
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2

import torchresample as tr


@pytest.fixture
def image(rng):
    return torch.from_numpy(rng.integers(0, 256, (3, 40, 60), dtype=np.uint8))


def test_every_kind_gives_the_same_pixels_back(image):
    expected = tr.resize(image, (17, 23))
    array = image.permute(1, 2, 0).contiguous().numpy()
    frozen = np.frombuffer(array.tobytes(), np.uint8).reshape(40, 60, 3)
    results = {
        "array": tr.resize(array, (17, 23)),
        "grey array": np.stack([tr.resize(plane.numpy(), (17, 23)) for plane in image], axis=-1),
        "flipped array": tr.resize(array[::-1], (17, 23)),
        "read-only array": tr.resize(frozen, (17, 23)),
        "pil": np.asarray(tr.resize(PIL.Image.fromarray(array), (17, 23))),
    }
    flipped = results.pop("flipped array")
    assert np.array_equal(flipped, tr.resize(array[::-1].copy(), (17, 23)))
    for kind, result in results.items():
        assert np.array_equal(result, expected.permute(1, 2, 0)), kind
    for kind in (tv_tensors.Image, tv_tensors.Video):
        result = tr.resize(kind(image[None]), (17, 23))
        assert type(result) is kind
        assert torch.equal(result, expected[None])


def test_any_rank_and_layout(image):
    expected = tr.resize(image, (17, 23), "lanczos3")
    assert torch.equal(tr.resize(image[0], (17, 23), "lanczos3"), expected[0])
    stack = image.expand(2, 4, 3, 40, 60)
    assert torch.equal(tr.resize(stack, (17, 23), "lanczos3"), expected.expand(2, 4, -1, -1, -1))
    last = image[None].contiguous(memory_format=torch.channels_last)
    result = tr.resize(last, (17, 23), "lanczos3")
    assert torch.equal(result[0], expected)
    assert result.is_contiguous(memory_format=torch.channels_last)
    array = tr.resize(image.permute(1, 2, 0).contiguous().numpy(), (17, 23))
    assert array.flags.c_contiguous


def test_the_input_is_left_alone_and_the_result_is_new(image):
    before = image.clone()
    for size in ((40, 60), (9, 9)):
        result = tr.resize(image, size)
        result.zero_()
        assert torch.equal(image, before)


@pytest.mark.parametrize("method", ["bilinear", "nearest"])
def test_more_axes_than_numpy_has(rng, method):
    x = torch.from_numpy(rng.integers(0, 256, (2, 3, 20, 30), dtype=np.uint8))
    result = tr.resize(x[(None,) * 70], (5, 6), method)
    assert result.ndim == 74
    assert torch.equal(result[(0,) * 70], tr.resize(x, (5, 6), method))


def test_empty_batches_work():
    assert tr.resize(torch.empty(0, 3, 20, 30), (5, 6)).shape == (0, 3, 5, 6)
    without = tr.resize(torch.empty(2, 0, 20, 30, dtype=torch.uint8), 10)
    assert without.shape == (2, 0, 10, 15)
    assert without.stride() == torch.empty(2, 0, 10, 15).stride()
    assert tr.resize(torch.empty(0, 20, 30), 10, like="skimage").shape == (0, 10, 15)
    assert tr.resize(np.empty((20, 30, 0)), 10).shape == (10, 15, 0)


NUMBERS = [torch.uint8, torch.uint16, torch.int16, torch.int32]
NUMBERS += [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize(
    ("like", "dtype"),
    [
        (like, dtype)
        for like, profile in tr.PROFILES.items()
        for dtype in NUMBERS
        if dtype.is_floating_point or not profile.linear  # whose bytes are not its floats
    ],
)
def test_every_dtype_agrees_with_double(rng, like, dtype):
    # Far enough from 0 and 255 that no filter overshoots them, so that nothing is clamped.
    values = torch.from_numpy(rng.integers(100, 157, (3, 20, 30)))
    for method in set(tr.PROFILES[like].methods) - {"nearest", "nearest-exact"}:
        for size in ((5, 90), (20, 7), (31, 30)):
            exact = tr.resize(values.double(), size, method, like=like)
            result = tr.resize(values.to(dtype), size, method, like=like)
            assert result.dtype == dtype
            # Integers are rounded after each pass, whose filter may double what the first lost.
            bound = 1.5 + 0.5 * (dtype == torch.uint8)  # and its weights have as few as 8 bits
            if dtype.is_floating_point:
                bound = max(torch.finfo(dtype).eps, 2.0**-16) * 256
            assert (result.double() - exact).abs().max() <= bound, (method, size)


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.uint32, torch.int64, torch.uint64])
def test_nearest_gathers_every_real_dtype(rng, dtype):
    labels = torch.from_numpy(rng.integers(0, 100, (20, 30)))
    for like in tr.PROFILES:
        expected = tr.resize(labels.to(torch.uint8), (7, 50), "nearest", like=like).to(dtype)
        assert torch.equal(tr.resize(labels.to(dtype), (7, 50), "nearest", like=like), expected)


def test_nearest_keeps_large_labels(rng):
    labels = torch.from_numpy(rng.integers(-(2**62), 2**62, (20, 30)))
    for like in tr.PROFILES:
        assert torch.isin(tr.resize(labels, (9, 70), "nearest", like=like), labels).all()


@given(
    h=st.integers(1, 60),
    w=st.integers(1, 60),
    size=st.integers(1, 50),
    max_size=st.none() | st.integers(1, 80),
)
@settings(max_examples=200, deadline=None)
def test_single_sizes_follow_torchvision(h, w, size, max_size):
    if max_size is not None and max_size <= size:
        max_size = None
    long = int(size * max(h, w) / min(h, w))
    if max_size is not None and long > max_size and int(max_size * size / long) == 0:
        # torchvision rounds so thin an image down to no pixels, and fails; we keep one.
        assert min(tr.resize(torch.empty(1, h, w), size, max_size=max_size).shape) == 1
        return
    expected = v2.functional.resize(torch.empty(1, h, w), [size], max_size=max_size).shape
    assert tr.resize(torch.empty(1, h, w), size, max_size=max_size).shape == expected
    if max_size is not None:
        result = tr.resize(torch.empty(1, h, w), None, max_size=max_size)
        assert max(result.shape[1:]) == max_size


def test_size_spellings(image):
    for size in (20, [20], (20, 30), np.int64(20), np.uint8(20), torch.Size([20, 30])):
        assert tr.resize(image, size).shape == (3, 20, 30)
    wide = torch.zeros(1, 480, 640)
    assert tr.resize(wide, np.int16(224), max_size=np.int16(256)).shape == (1, 192, 256)
    assert tr.resize(image, 10, box=(0, 0, 20, 40)).shape == (3, 20, 10)


def test_enums_name_their_filters(image):
    array = image.permute(1, 2, 0).contiguous().numpy()
    picture = PIL.Image.fromarray(array)
    for member in PIL.Image.Resampling:
        ours = tr.resize(picture, (9, 50), member)
        assert np.array_equal(np.asarray(ours), np.asarray(picture.resize((50, 9), member)))
    for mode in InterpolationMode:
        ours = tr.resize(picture, (9, 50), mode)
        assert np.array_equal(ours, v2.functional.resize(picture, [9, 50], mode)), mode


def test_torchvision_tensors_in_torchvisions_arithmetic(image):
    for mode in (InterpolationMode.BILINEAR, InterpolationMode.BICUBIC):
        for antialias in (True, False):
            theirs = v2.functional.resize(image, [17, 90], mode, antialias=antialias)
            ours = tr.resize(image, (17, 90), mode, like="torch", antialias=antialias)
            assert torch.equal(ours, theirs)


def test_whole_boxes_are_crops_where_nothing_outside_is_read(image):
    box = (10, 5, 50, 35)
    crop = image[:, 5:35, 10:50]
    assert torch.equal(
        tr.resize(image, (60, 80), "nearest", box=box), tr.resize(crop, (60, 80), "nearest")
    )
    assert torch.equal(tr.resize(image, (15, 20), "box", box=box), tr.resize(crop, (15, 20), "box"))
    assert torch.equal(tr.resize(image, (40, 60), box=(0, 0, 60, 40)), image)
    assert torch.equal(tr.resize(image, (30, 40), "bicubic", box=box), crop)


@pytest.mark.parametrize("like", tr.PROFILES)
def test_narrow_boxes(rng, like):
    x = torch.from_numpy(rng.integers(0, 256, (3, 20, 30), dtype=np.uint8))
    boxes = [
        (5, 5, 5 + 1e-7, 5 + 1e-7),
        (0, 0, 1e-7, 20),
        (12.3, 0, 12.4, 20),
        (29.9999, 0, 30, 20),
    ]
    for method in tr.PROFILES[like].methods:
        for box in boxes:
            result = tr.resize(x, (4, 5), method, like=like, box=box)
            assert result.shape == (3, 4, 5)
            if method in ("nearest", "area") and box[:2] == (5, 5) and like != "opencv":
                assert (result == x[:, 5:6, 5:6]).all()
    tr.resize(x, (4, 5), "box", like="pillow", box=(29.9999999, 0, 30, 20))


@pytest.mark.parametrize("like", tr.PROFILES)
def test_constant_images_stay_constant(like):
    for method in tr.PROFILES[like].methods:
        for value in (0, 1, 128, 255):
            image = torch.full((1, 37, 23), value, dtype=torch.uint8)
            for size in ((5, 90), (11, 11), (37, 23)):
                assert (tr.resize(image, size, method, like=like) == value).all(), (method, size)


@pytest.mark.parametrize("like", tr.PROFILES)
def test_every_pair_at_every_ratio(rng, like):
    for method in tr.PROFILES[like].methods:
        for h, w, *size in [(941, 3, 10, 5), (8192, 1, 1, 1), (1, 1, 1, 300), (3, 9000, 3, 40)]:
            image = torch.from_numpy(rng.integers(0, 256, (h, w), dtype=np.uint8))
            result = tr.resize(image, size, method, like=like)
            assert result.shape == tuple(size)
            floats = tr.resize(image.float(), size, method, like=like)
            assert floats.isfinite().all()


def test_pil_images_keep_what_they_carry():
    picture = PIL.Image.new("P", (20, 10), 3)
    picture.putpalette([i for c in range(256) for i in (c, 255 - c, 7)])
    picture.info["dpi"] = (72, 72)
    result = tr.resize(picture, (5, 8), "nearest")
    assert (result.mode, result.size, result.info["dpi"]) == ("P", (8, 5), (72, 72))
    assert result.convert("RGB").getpixel((0, 0)) == (3, 252, 7)
    colours = PIL.Image.new("RGBA", (6, 4), (200, 10, 20, 90))
    glass = colours.quantize(4)
    assert tr.resize(glass, (9, 9), "nearest").convert("RGBA").getpixel((4, 4)) == (
        glass.convert("RGBA").getpixel((0, 0))
    )
    bits = PIL.Image.fromarray(np.eye(8) > 0)
    assert tr.resize(bits, (16, 16), "nearest").mode == "1"
    assert np.array_equal(
        np.asarray(tr.resize(bits, (16, 16), "nearest")), np.kron(np.eye(8), np.ones((2, 2))) > 0
    )


@pytest.mark.parametrize("like", tr.PROFILES)
def test_pil_images_have_the_pixels_of_arrays(rng, like):
    """Dark ones, whose range the byte that Pillow keeps beside RGB would widen."""
    array = rng.integers(0, 90, (40, 60, 3), dtype=np.uint8)
    for method in tr.PROFILES[like].methods:
        picture = tr.resize(PIL.Image.fromarray(array), (31, 90), method, like=like)
        assert np.array_equal(np.asarray(picture), tr.resize(array, (31, 90), method, like=like))


def test_grey_with_alpha_is_weighted_as_pillow_does(rng):
    pixels = rng.integers(0, 256, 1200, dtype=np.uint8)
    image = PIL.Image.frombytes("LA", (20, 30), pixels.tobytes())
    for size in ((7, 9), (30, 20)):
        theirs = image.resize(size[::-1], PIL.Image.Resampling.BICUBIC)
        assert np.array_equal(np.asarray(tr.resize(image, size, "bicubic")), np.asarray(theirs))


def test_hidden_colours_do_not_bleed_at_the_same_size_either():
    picture = PIL.Image.new("RGBA", (9, 9), (255, 0, 0, 0))
    picture.putpixel((4, 4), (0, 255, 0, 255))
    for method in ("bspline", "mitchell", "gaussian"):
        for size in ((9, 9), (9, 10)):
            pixels = np.asarray(tr.resize(picture, size, method))
            assert not pixels[pixels[..., 3] > 0][:, 0].any()


def test_lazy_files_load(tmp_path, rng):
    pixels = rng.integers(0, 256, (50, 40, 3), dtype=np.uint8)
    PIL.Image.fromarray(pixels).save(tmp_path / "a.png")
    with PIL.Image.open(tmp_path / "a.png") as opened:
        assert np.array_equal(np.asarray(tr.resize(opened, 20)), tr.resize(pixels, 20))


PEAK = """
import re, sys, torch, torchresample as tr
from pathlib import Path

def resident(key):
    return int(re.search(key + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

torch.set_num_threads(1)
like, method, boundary = sys.argv[1:]
options = {"like": like, "boundary": boundary or None}
tr.resize(torch.zeros(64, 64, dtype=torch.uint8), 8, method, **options)
image = torch.randint(0, 256, (12_000, 12_000), dtype=torch.uint8)
Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
before = resident("VmRSS")
tr.resize(image, 512, method, **options)
print((resident("VmHWM") - before) / image.nbytes)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's /proc")
@pytest.mark.parametrize(
    ("like", "method", "boundary"),
    [
        ("pillow", "lanczos3", ""),
        ("torch", "bicubic", ""),
        ("opencv", "area", ""),
        ("skimage", "spline3", ""),
        ("skimage", "bilinear", "wrap"),
    ],
)
def test_memory_of_a_large_image(like, method, boundary):
    """A 12,000 x 12,000 uint8 image to 512 takes at most 1.3 times the image on top of it."""
    run = [sys.executable, "-c", PEAK, like, method, boundary]
    ratio = float(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    assert 0 < ratio <= 1.3


def test_import_is_quiet_and_starts_no_accelerator():
    code = "import torch, torchresample; print(torch.cuda.is_initialized())"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert (run.stdout.strip(), run.stderr) == ("False", "")


def test_profiles_and_methods_agree():
    assert set(tr.METHODS) == {name for p in tr.PROFILES.values() for name in p.methods}
    assert set(oracles.PILLOW_METHODS) <= set(tr.PROFILES["pillow"].methods)
    assert set(oracles.OPENCV_METHODS) == set(tr.PROFILES["opencv"].methods)
    assert all(text.strip() for text in tr.METHODS.values())


@pytest.mark.parametrize("method", ["nearest", "bilinear"])
def test_views_that_numpy_does_not_have(method):
    x = torch.randn(3, 12, 13, dtype=torch.complex64)
    for image in (torch.imag(x.conj()), torch._neg_view(torch.rand(3, 12, 13))):
        assert image.is_neg()
        result = tr.resize(image, (7, 9), method)
        assert torch.equal(result, tr.resize(image.resolve_neg(), (7, 9), method))
    zero = torch._efficientzerotensor((3, 8, 8))
    assert torch.equal(tr.resize(zero, (4, 4), method), torch.zeros(3, 4, 4))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "I"])
def test_pil_images_without_pixels(mode):
    for size in ((0, 5), (5, 0)):
        with pytest.raises(ValueError, match="image must have at least one pixel"):
            tr.resize(PIL.Image.new(mode, size), (4, 4))
