"""PIL images: frames of animated files, every mode, broken files, and what results carry."""

import io
import pickle

import numpy as np
import PIL.GifImagePlugin
import PIL.Image
import pytest
import torch
from PIL.GifImagePlugin import LoadingStrategy
from torchvision import tv_tensors
from torchvision.transforms import v2

import torchresample as tr

BILINEAR, NEAREST = PIL.Image.Resampling.BILINEAR, PIL.Image.Resampling.NEAREST
FRAMES = 4


def assert_alike(ours, theirs):
    """All that two images hold and say of themselves."""
    assert (ours.mode, ours.size, ours.info) == (theirs.mode, theirs.size, theirs.info)
    assert ours.tobytes() == theirs.tobytes()
    assert (ours.palette is None) == (theirs.palette is None)
    if theirs.palette is not None:
        assert ours.palette.mode == theirs.palette.mode
        assert ours.getpalette() == theirs.getpalette()
        assert ours.convert("RGBA").tobytes() == theirs.convert("RGBA").tobytes()


def pictures(rng, mode, h=23, w=31):
    """Frames of noise in few colours, so that a palette holds them."""
    for _ in range(FRAMES):
        few = rng.integers(0, 4, (h, w, 4), dtype=np.uint8) * 85
        yield PIL.Image.fromarray(few, "RGBA").convert(mode)


def written(rng, path, mode, **options):
    first, *rest = pictures(rng, mode)
    first.save(path, save_all=True, append_images=rest, **options)


ANIMATIONS = [
    ("a.gif", "RGB", {}),
    ("a.gif", "RGBA", {"disposal": 2}),
    ("a.gif", "RGBA", {"disposal": 3}),
    ("a.gif", "P", {"transparency": 0}),
    ("a.gif", "L", {}),
    ("a.png", "RGB", {}),
    ("a.png", "RGBA", {"blend": 1}),
    ("a.png", "L", {}),
    ("a.png", "I;16", {}),
    ("a.webp", "RGB", {"lossless": True}),
    ("a.webp", "RGBA", {"lossless": True}),
    ("a.tiff", "RGB", {}),
    ("a.tiff", "RGBA", {"compression": "tiff_lzw"}),
    ("a.tiff", "LA", {}),
    ("a.tiff", "CMYK", {}),
]


@pytest.mark.parametrize(
    ("name", "mode", "options", "strategy"),
    [
        (*animation, strategy)
        for animation in ANIMATIONS
        for strategy in LoadingStrategy
        if strategy == LoadingStrategy.RGB_AFTER_FIRST or animation[0] == "a.gif"  # GIF's own
    ],
)
def test_every_frame_of_animated_files(rng, tmp_path, monkeypatch, name, mode, options, strategy):
    """Pixels, mode and palette of a result, and the state in which the file is left."""
    monkeypatch.setattr(PIL.GifImagePlugin, "LOADING_STRATEGY", strategy)
    written(rng, tmp_path / name, mode, **options)
    order = [0, 1, 2, 3, 1, 2, 3, 0, 2]
    with PIL.Image.open(tmp_path / name) as ours, PIL.Image.open(tmp_path / name) as theirs:
        assert ours.n_frames == theirs.n_frames == FRAMES
        for frame in order:
            for image in (ours, theirs):
                image.seek(frame)
            # Pillow ignores the filter for palettes, which we say instead.
            filter_ = NEAREST if theirs.mode in ("1", "P") else BILINEAR
            for size in ((9, 40), (23, 31), (50, 7)):
                assert_alike(tr.resize(ours, size, filter_), theirs.resize(size[::-1], filter_))
                assert (ours.tell(), ours.mode, ours.size) == (frame, theirs.mode, theirs.size)
                assert ours.info == theirs.info
        for image in (ours, theirs):  # a resize is no reason to lose the way through the file
            image.seek(FRAMES - 1)
            image.seek(1)
        assert ours.convert("RGBA").tobytes() == theirs.convert("RGBA").tobytes()


def test_frames_through_transforms(rng, tmp_path):
    written(rng, tmp_path / "a.gif", "RGB")
    with PIL.Image.open(tmp_path / "a.gif") as image:
        for frame in range(1, FRAMES):
            image.seek(frame)
            plain = image.convert("RGB")
            image.seek(0)
            image.seek(frame)
            preset = tr.ImageClassification(8, 9)
            assert torch.equal(preset(image), preset(plain))
            image.seek(0)
            image.seek(frame)
            crop = tr.RandomResizedCrop(8, hflip_prob=0.5)
            torch.manual_seed(frame)
            ours = crop(image)
            torch.manual_seed(frame)
            assert ours.tobytes() == crop(plain).tobytes()
            image.seek(0)
            image.seek(frame)
            assert_alike(tr.Resize(5)(image), tr.resize(image, 5))


def noise(rng, mode, h, w):
    """A PIL image of ``mode`` from random memory."""
    row = -(-w // 8) if mode == "1" else w * PIL.Image.getmodebands(mode)
    row *= 1 + mode.startswith("I;16")
    data = rng.integers(0, 256, h * row, dtype=np.uint8)
    image = PIL.Image.frombytes(mode, (w, h), data.tobytes())
    if mode in ("P", "PA"):
        image.putpalette(rng.integers(0, 256, 768, dtype=np.uint8).tobytes())
    return image


WEIGHED = ["L", "LA", "La", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"]
WEIGHED += ["I;16", "I;16L"]
SELECTED = {"1": "'L'", "P": "'RGB' or 'RGBA'", "PA": "'RGBA'", "I;16B": "'I'", "I;16N": "'I'"}


@pytest.mark.parametrize("mode", [*WEIGHED, *SELECTED])
def test_every_mode_as_pillow_resizes_it(rng, mode):
    for _ in range(12):
        h, w, *size = (int(n) for n in rng.integers(1, 60, 4))
        image = noise(rng, mode, h, w)
        image.info["dpi"] = (72, 72)
        box = (0, 0, w, h) if rng.random() < 0.5 else (w / 4, h / 4, w / 2 + 0.5, h / 2 + 0.5)
        for filter_ in PIL.Image.Resampling:
            if mode in SELECTED and filter_ != NEAREST:
                continue
            theirs = image.resize(size[::-1], filter_, box)
            assert_alike(tr.resize(image, size, filter_, box=box), theirs)


@pytest.mark.parametrize("mode", SELECTED)
@pytest.mark.parametrize("like", tr.PROFILES)
def test_modes_that_are_not_weighed_name_the_conversion(rng, mode, like):
    image = noise(rng, mode, 9, 8)
    with pytest.raises(ValueError, match=rf"mode '{mode}'.*convert the image to {SELECTED[mode]}"):
        tr.resize(image, 5, like=like)
    for target in SELECTED[mode].replace("'", "").split(" or "):
        converted = image.convert(target)
        if mode.startswith("I;16"):
            assert np.array_equal(np.asarray(converted), np.asarray(image))
        if like != "linear-light" or target in ("L", "RGB"):
            assert tr.resize(converted, 5, like=like).mode == target
    assert tr.resize(image, 5, "nearest", like=like).mode == mode


@pytest.mark.parametrize("mode", ["LAB", "La", "RGBa", "I;16B", "PA", "1"])
def test_modes_under_every_profile(rng, mode):
    """Their values are those of arrays; those of LAB as Pillow keeps them, without a sign."""
    image = noise(rng, mode, 20, 30)
    array = np.array(image)
    if mode == "LAB":
        array[..., 1:] ^= 128
    array = array.astype(array.dtype.newbyteorder("="))
    for like in set(tr.PROFILES) - {"linear-light"}:
        method = "nearest" if mode in SELECTED else "bilinear"
        values = np.array(tr.resize(image, (7, 41), method, like=like))
        if mode == "LAB":
            values[..., 1:] ^= 128
        assert np.array_equal(values, tr.resize(array, (7, 41), method, like=like)), like


def test_palettes_stay_with_indices_only(rng):
    """Also those of fewer colours, with transparency as one index or as bytes."""
    glass = noise(rng, "RGBA", 12, 10).quantize(7)
    single = noise(rng, "P", 12, 10)
    single.info["transparency"] = 3
    several = noise(rng, "P", 12, 10)
    several.info["transparency"] = bytes(rng.integers(0, 256, 256, dtype=np.uint8))
    for image in (glass, single, several, noise(rng, "PA", 12, 10)):
        before = image.tobytes(), image.getpalette()
        result = tr.resize(image, (5, 31), "nearest")
        assert_alike(result, image.resize((31, 5), NEAREST))
        result.putpalette([7] * 768)
        assert (image.tobytes(), image.getpalette()) == before
    grey = noise(rng, "L", 12, 10)
    grey.palette = single.palette  # as frames that were decoded to other modes have
    assert_alike(tr.resize(grey, (5, 31)), grey.resize((31, 5), BILINEAR))


def test_presets_name_the_conversion(rng):
    preset = tr.ImageClassification(4, 5)
    crop = tr.RandomResizedCrop(4, dtype=torch.float32)
    for mode in ("P", "RGBA", "CMYK", "I;16B", "1", "LAB"):
        for transform in (preset, crop):
            with pytest.raises(ValueError, match=rf"convert\('RGB'\).*got '{mode}'"):
                transform(noise(rng, mode, 9, 8))


# ---- files that cannot be decoded


BROKEN = {
    "cut.jpg": lambda data: data[: len(data) // 3],
    "cut.png": lambda data: data[: len(data) // 3],
    "cut.gif": lambda data: data[: len(data) // 3],
    "cut.bmp": lambda data: data[: len(data) // 3],
    "cut.ppm": lambda data: data[: len(data) // 3],
    "changed.png": lambda data: data[:500] + bytes(400) + data[900:],
    "changed.webp": lambda data: data[:40] + bytes(len(data) - 40),
    "swapped.png": lambda data: data[:60] + data[60:][::-1],
}


@pytest.fixture(params=[*BROKEN, "cut.tiff"])
def broken(request, rng, tmp_path):
    path, buffer = tmp_path / request.param, io.BytesIO()
    picture = PIL.Image.fromarray(rng.integers(0, 256, (200, 200, 3), dtype=np.uint8))
    kind = {".jpg": "JPEG", ".ppm": "PPM"}.get(path.suffix, path.suffix[1:].upper())
    picture.save(buffer, kind, lossless=True)
    data = buffer.getvalue()
    if path.suffix == ".tiff":  # only pixels are cut off, which may not stand at the end
        pixels = picture.tobytes()
        start = data.index(pixels)
        path.write_bytes(data[: start + len(pixels) // 3])
    else:
        path.write_bytes(BROKEN[request.param](data))
    return path


CALLS = {
    "resize": lambda image: tr.resize(image, 5),
    "Resize": tr.Resize(5),
    "ImageClassification": tr.ImageClassification(4, 5),
    "RandomResizedCrop": tr.RandomResizedCrop(4),
    "RandomResizedCrop, tensor": tr.RandomResizedCrop(4, dtype=torch.float32),
    "Compose": v2.Compose([tr.Resize(5), v2.PILToTensor()]),
    "sample": lambda image: tr.Resize(5)({"image": image, "mask": tv_tensors.Mask([[1]])}),
}


@pytest.mark.parametrize("call", CALLS)
def test_broken_files_are_one_error_of_two_kinds(broken, call):
    """``OSError`` is what pipelines catch, ``ValueError`` what bad images are elsewhere."""
    message = rf"^image must .*{broken.name}"
    with (
        PIL.Image.open(broken) as opened,
        pytest.raises(tr.ImageFileError, match=message) as caught,
    ):
        CALLS[call](opened)
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, ValueError)
    again = pickle.loads(pickle.dumps(caught.value))  # as it comes from a DataLoader's worker
    assert (type(again), str(again)) == (tr.ImageFileError, str(caught.value))


@pytest.mark.parametrize("call", CALLS)
def test_closed_files(rng, tmp_path, call):
    written(rng, tmp_path / "a.gif", "RGB")
    noise(rng, "RGB", 30, 30).save(tmp_path / "a.png")
    for name in ("a.gif", "a.png"):
        with PIL.Image.open(tmp_path / name) as image:
            pass
        with pytest.raises(tr.ImageFileError, match=rf"^image must .*{name}.*closed"):
            CALLS[call](image)
    closed = noise(rng, "RGB", 30, 30)
    closed.close()
    with pytest.raises(tr.ImageFileError, match=r"^image must .*memory.*closed"):
        CALLS[call](closed)


def test_open_file_objects_have_a_name(broken):
    with broken.open("rb") as file, pytest.raises(tr.ImageFileError, match=broken.name):
        tr.resize(PIL.Image.open(file), 5)


def test_what_is_no_fault_of_a_file_passes_through(monkeypatch):
    image = PIL.Image.new("RGB", (9, 9))
    for error in (MemoryError("no memory"), KeyboardInterrupt(), UserWarning("slow")):
        monkeypatch.setattr(image, "load", lambda error=error: (_ for _ in ()).throw(error))
        with pytest.raises(type(error)):
            tr.resize(image, 5)
