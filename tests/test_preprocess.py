"""ImageClassification and RandomResizedCrop against torchvision, and what they add to it."""

import copy
import pickle

import numpy as np
import PIL.Image
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, _presets, v2

import torchresample as tr
from torchresample import preprocess
from torchresample.profiles import PROFILES

MODES = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}
BYTES = {"mean": None, "std": None, "dtype": torch.uint8}
UNIT = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def noise(rng, h, w, channels=3):
    return rng.integers(0, 256, (h, w, channels), dtype=np.uint8)


def tensors(array):
    """One image as a decoder gives it, contiguous, and as a batch of two."""
    x = torch.from_numpy(array).permute(2, 0, 1)
    return x, x.contiguous(), torch.stack([x, x])


@pytest.mark.parametrize("method", MODES)
def test_presets_floats_for_pil_images(rng, method):
    """Bit for bit: the pixels are Pillow's, and every rounding after them torchvision's."""
    for _ in range(60):
        h, w, resize_size = (int(n) for n in rng.integers(10, 250, 3))
        crop_size = int(rng.integers(1, 300))  # also past the image
        picture = PIL.Image.fromarray(noise(rng, h, w))
        theirs = _presets.ImageClassification(
            crop_size=crop_size, resize_size=resize_size, interpolation=MODES[method]
        )
        ours = tr.ImageClassification(crop_size, resize_size, method)
        assert torch.equal(ours(picture), theirs(picture)), (h, w, crop_size, resize_size)


@pytest.mark.parametrize("method", MODES)
def test_v2s_pixels_for_tensors(rng, method):
    for _ in range(60):
        h, w, resize_size = (int(n) for n in rng.integers(10, 250, 3))
        crop_size = int(rng.integers(1, 300))
        theirs = v2.Compose([v2.Resize(resize_size, MODES[method]), v2.CenterCrop(crop_size)])
        ours = tr.ImageClassification(crop_size, resize_size, method, like="torch", **BYTES)
        images = tensors(noise(rng, h, w))
        # For results one pixel wide ATen is right for channels_last only.
        expected = theirs(images[0])
        for image in images:
            result = ours(image)
            assert result.is_contiguous()
            assert torch.equal(result, expected.expand_as(result)), (h, w, crop_size, resize_size)


@pytest.mark.parametrize("like", PROFILES)
def test_the_crop_is_that_of_the_whole_resize(rng, like):
    for method in PROFILES[like].methods:
        for size, crop in ((40, 31), ((50, 20), 17), (23, 23)):
            for x in tensors(noise(rng, 61, 47)):
                whole = v2.functional.center_crop(tr.resize(x, size, method, like=like), crop)
                part = tr.ImageClassification(crop, size, method, like=like, **BYTES)(x)
                assert torch.equal(part, whole), (method, size, crop)


def test_v2s_random_crops(rng):
    theirs = v2.Compose([v2.RandomResizedCrop((30, 50)), v2.RandomHorizontalFlip(0.5)])
    for seed in range(60):
        h, w = (int(n) for n in rng.integers(10, 250, 2))
        array = noise(rng, h, w)
        for like, images in (
            ("pillow", [PIL.Image.fromarray(array)]),
            ("torch", tensors(array)),
        ):
            kept = tr.RandomResizedCrop((30, 50), like=like, hflip_prob=0.5)
            bytes_ = tr.RandomResizedCrop((30, 50), like=like, hflip_prob=0.5, dtype=torch.uint8)
            floats = tr.RandomResizedCrop(
                (30, 50), like=like, hflip_prob=0.5, dtype=torch.float32, **UNIT
            )
            for image in images:
                results = []
                for transform in (theirs, kept, bytes_, floats):
                    torch.manual_seed(seed)
                    results.append(transform(image))
                expected, same, pixels, values = results
                assert type(same) is type(expected)
                expected, same = (v2.functional.to_image(r).as_subclass(torch.Tensor)
                                  for r in (expected, same))  # fmt: skip
                assert torch.equal(same, expected)
                assert torch.equal(pixels, expected)
                assert torch.equal(values, normalised(expected))


def normalised(x):
    mean, std = (torch.tensor(UNIT[name])[:, None, None] for name in ("mean", "std"))
    return (x.float() / 255 - mean) / std


def test_structures(rng):
    """Boxes and masks move with the image, labels stay, and only the image is normalised."""
    sample = {
        "image": tv_tensors.Image(tensors(noise(rng, 60, 80))[1]),
        "boxes": tv_tensors.BoundingBoxes(
            torch.tensor([[10.0, 10, 50, 40]]), format="XYXY", canvas_size=(60, 80)
        ),
        "mask": tv_tensors.Mask(torch.ones(60, 80, dtype=torch.int64)),
        "label": 3,
    }
    options = {"hflip_prob": 1.0, "dtype": torch.float32, **UNIT}
    torch.manual_seed(0)
    ours = tr.RandomResizedCrop(24, like="torch", **options)(sample)
    torch.manual_seed(0)
    theirs = v2.Compose([v2.RandomResizedCrop(24), v2.RandomHorizontalFlip(1.0)])(sample)
    assert isinstance(ours["image"], tv_tensors.Image)
    assert torch.equal(ours["image"], normalised(theirs["image"]))
    assert torch.allclose(ours["boxes"], theirs["boxes"])
    assert ours["boxes"].canvas_size == (24, 24)
    assert torch.equal(ours["mask"], theirs["mask"])
    assert ours["label"] == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_dtypes_and_layouts(rng, dtype, layout):
    transform = tr.ImageClassification(20, 24, dtype=dtype, layout=layout)
    pixels = tr.ImageClassification(20, 24, **BYTES)
    for x in (*tensors(noise(rng, 30, 40)), PIL.Image.fromarray(noise(rng, 30, 40))):
        result = transform(x)
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        mean, std = (torch.tensor(UNIT[k], dtype=wide)[:, None, None] for k in ("mean", "std"))
        expected = ((pixels(x).to(wide) / 255 - mean) / std).to(dtype)
        assert result.dtype == dtype
        assert torch.equal(result, expected)
        assert result.reshape(-1, 3, 20, 20).is_contiguous(memory_format=layout)


def test_every_number_of_channels(rng):
    """One, three and four have loops of their own."""
    for channels in range(1, 7):
        for x in tensors(noise(rng, 30, 40, channels)):
            options = {"mean": [0.1] * channels, "std": [0.5] * channels}
            result = tr.ImageClassification(20, 24, **options)(x)
            pixels = tr.ImageClassification(20, 24, **BYTES)(x)
            assert torch.equal(result, (pixels.float() / 255 - 0.1) / 0.5)
    grey = PIL.Image.fromarray(noise(rng, 30, 40)[..., 0])
    assert tr.ImageClassification(20, 24, mean=[0.1], std=[0.5])(grey).shape == (1, 20, 20)


def test_floating_images_and_gradients(rng):
    x = torch.rand(2, 3, 30, 40, dtype=torch.float64, requires_grad=True)
    transform = tr.ImageClassification(20, 24, dtype=torch.float64)
    whole = v2.functional.center_crop(tr.resize(x, 24), 20)
    mean, std = (x.new_tensor(UNIT[k])[:, None, None] for k in ("mean", "std"))
    expected = (whole - mean) / std
    assert torch.allclose(transform(x), expected, rtol=0, atol=1e-12)
    (ours,) = torch.autograd.grad(transform(x).square().sum(), x)
    (theirs,) = torch.autograd.grad(expected.square().sum(), x)
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-9)
    torch.manual_seed(5)
    crop = tr.RandomResizedCrop(8, hflip_prob=1.0, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda t: crop.transform(t, crop_at(2, 3, 20, 11)), x[:1])


def crop_at(top, left, height, width):
    return {"top": top, "left": left, "height": height, "width": width, "flip": True}


def test_compiled(rng):
    transform = tr.ImageClassification(20, 24)
    compiled = torch.compile(transform, fullgraph=True, backend="aot_eager")
    for x in tensors(noise(rng, 30, 40)):
        assert torch.equal(compiled(x), transform(x))


def test_exported(rng):
    transform = tr.ImageClassification(20, 24)
    x = tensors(noise(rng, 30, 40))[1]
    program = torch.export.export(transform, (x,))
    assert torch.equal(program.module()(x), transform(x))


def test_images_stay_where_they_are(rng):
    """A default device is for new tensors, not for the results of old ones."""
    array = noise(rng, 30, 40)
    images = [*tensors(array), PIL.Image.fromarray(array)]
    transform = tr.ImageClassification(20, 24)
    expected = [transform(image) for image in images]
    torch.set_default_device("meta")
    try:
        results = [transform(image) for image in images]
        plane = tr.resize(images[1][0].expand(3, -1, -1), (30, 10), "lanczos3")
    finally:
        torch.set_default_device(None)
    assert all(torch.equal(r, e) for r, e in zip(results, expected, strict=True))
    assert plane.device.type == "cpu"


def test_copies_and_words():
    for transform in (
        tr.ImageClassification(20, 24, "bicubic", like="torch"),
        tr.RandomResizedCrop(20, hflip_prob=0.5, dtype=torch.float32, **UNIT),
    ):
        x = torch.arange(3 * 30 * 40).view(3, 30, 40).to(torch.uint8)
        results = []
        for module in (transform, copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):
            torch.manual_seed(0)
            results.append(module(x))
        assert torch.equal(results[0], results[1])
        assert torch.equal(results[0], results[2])
        assert "std=(0.229, 0.224, 0.225)" in repr(transform)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((0,), {}, "crop_size must be from 1 .*got 0"),
        ((2.5,), {}, "crop_size must be an int, got 2.5"),
        ((10, 0), {}, "resize_size must be from 1 .*got 0"),
        ((10, 12, "lanczos9"), {}, "method must be one of .*'lanczos9'"),
        ((10,), {"like": "gimp"}, "like must be one of .*'gimp'"),
        ((10,), {"mean": None}, "mean and std must both be given or both be None"),
        ((10,), {"mean": (0.5,)}, "mean and std must be of one length"),
        ((10,), {"mean": 0.5}, "mean must be a sequence of numbers.*0.5"),
        ((10,), {"std": (1, "2", 3)}, "std must be a sequence of numbers.*'2'"),
        ((10,), {"std": (1, float("nan"), 3)}, "std must be finite.*nan"),
        ((10,), {"mean": (10**400, 0, 0)}, "mean must be finite in float32"),
        ((10,), {"std": (0, 1e-60, 1)}, "std must not contain 0, nor what float32 takes for it"),
        ((10,), {"dtype": torch.int32}, "dtype must be a floating one or torch.uint8.*int32"),
        ((10,), {"dtype": torch.uint8}, "mean must be None where dtype is torch.uint8"),
        ((10,), {"layout": torch.preserve_format}, "layout must be torch.contiguous_format or"),
    ],
)
def test_bad_arguments(arguments, options, words):
    with pytest.raises((ValueError, TypeError), match=words):
        tr.ImageClassification(*arguments, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": None}, "size must be"),
        ({"scale": (0.5,)}, r"scale must be two numbers.*\(0.5,\)"),
        ({"scale": (0.0, 0.0)}, "scale must have 0 <= least <= largest"),
        ({"ratio": (0, 1)}, "ratio must have 0 < least <= largest"),
        ({"hflip_prob": 1.5}, "hflip_prob must be from 0 to 1, got 1.5"),
        ({"hflip_prob": "a"}, "hflip_prob must be a number, got 'a'"),
        ({"scale": (0.5, 2.0)}, "scale must have 0 <= least <= largest <= 1.0"),
        (UNIT, "dtype must be given where mean, std or layout are"),
        ({"std": [0.1]}, "dtype must be given where mean, std or layout are"),
        ({"mean": np.array([0.1, 0.2])}, "dtype must be given where mean, std or layout are"),
        ({"layout": torch.channels_last}, "dtype must be given where mean, std or layout are"),
    ],
)
def test_bad_arguments_of_random_crops(options, words):
    with pytest.raises((ValueError, TypeError), match=words):
        tr.RandomResizedCrop(**{"size": 10, **options})


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (PIL.Image.new("RGBA", (20, 20)), "image must be a PIL image of mode 'L' or 'RGB'.*RGBA"),
        (PIL.Image.new("L", (20, 20)), r"mean must have a value per channel of image, 1, got \("),
        (PIL.Image.new("RGB", (0, 5)), r"image must have at least one pixel, got size \(0, 5\)"),
        (torch.zeros(20, 20, dtype=torch.uint8), r"image must have shape \[..., C, H, W\]"),
        (torch.zeros(3, 20, 20, dtype=torch.int32), "image must have dtype uint8 or a floating"),
        ([[1]], "image must be a tensor, an ndarray or a PIL image, got builtins.list"),
        (torch.zeros(3, 0, 20), "image must have at least one pixel"),
    ],
)
def test_bad_images(image, words):
    with pytest.raises((ValueError, TypeError), match=words):
        tr.ImageClassification(10, 12)(image)


def test_bytes_from_a_floating_image():
    with pytest.raises(TypeError, match=r"dtype must be floating for image of torch\.float32"):
        tr.ImageClassification(10, 12, **BYTES)(torch.zeros(3, 20, 20))


def test_numbers_of_numpy_and_torch(rng):
    image = tensors(noise(rng, 30, 40))[0]
    expected = tr.ImageClassification(20, 24)(image)
    for kind in (np.array, torch.tensor, lambda values: [np.float64(v) for v in values]):
        options = {name: kind(values) for name, values in UNIT.items()}
        result = tr.ImageClassification(20, 24, **options)(image)
        assert torch.allclose(result, expected, rtol=1e-6)


def test_centre_of_odd_differences():
    """Python rounds halves to even, and so does torchvision."""
    assert [preprocess.centre(n, 4)[0] for n in (5, 7, 9, 11)] == [0, 2, 2, 4]
