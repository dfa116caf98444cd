"""How the studies read image files: the pixels of every kind, or a refusal that names the file."""

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image, ImageOps

from studies import methods, pretrain
from studies.data import read
from studies.images import read_image, to_pixels


def noise(rng, *shape, high=256, dtype=np.uint8):
    return rng.integers(0, high, shape).astype(dtype)


def pixels(path):
    """What the studies have of a file, ``[H, W, 3]``."""
    image = read_image(path)
    assert image.dtype == torch.uint8
    return image.permute(1, 2, 0).numpy()


def save(path, image, **options):
    image.save(path, **options)
    return path


def over_white(colours, alpha):
    """uint8 ``[..., 3]`` over white: exact, as no value lies halfway between two bytes."""
    share = alpha[..., None] / 255
    return np.rint(colours * share + 255 * (1 - share)).astype(np.uint8)


def grey(values):
    return np.stack([values] * 3, -1)


# Modes whose pixels are bytes.


@pytest.mark.parametrize("suffix", ["png", "jpg", "JPG", "bmp", "tif", "webp", "gif", "PpM"])
def test_rgb_and_grey_are_pillows_bytes(rng, tmp_path, suffix):
    for i, shape in enumerate([(9, 14, 3), (9, 14), (1, 1), (1, 1, 3), (1, 40, 3)]):
        path = save(tmp_path / f"{i}.{suffix}", Image.fromarray(noise(rng, *shape)))
        with Image.open(path) as image:
            np.testing.assert_array_equal(pixels(path), np.array(image.convert("RGB")))


def test_one_bit_is_black_and_white(rng, tmp_path):
    bits = noise(rng, 7, 19, high=2)
    for suffix in ("png", "tif", "bmp", "pbm"):
        path = save(tmp_path / f"bits.{suffix}", Image.fromarray(bits * 255).convert("1"))
        np.testing.assert_array_equal(pixels(path), grey(bits * 255))


def test_palettes_without_transparency_are_their_colours(rng, tmp_path):
    image = Image.fromarray(noise(rng, 8, 11, high=5), "P")
    colours = noise(rng, 5, 3)
    image.putpalette(colours.tobytes())
    path = save(tmp_path / "palette.png", image)
    np.testing.assert_array_equal(pixels(path), colours[np.array(image)])


def test_ycbcr_and_cmyk_are_pillows_rgb(rng, tmp_path):
    for mode, names in (("YCbCr", ("a.tif", "a.jpg")), ("CMYK", ("b.tif", "b.jpg"))):
        smooth = Image.fromarray(noise(rng, 3, 4, 3)).resize((32, 24), Image.Resampling.BICUBIC)
        for name in names:
            path = save(tmp_path / name, smooth.convert(mode))
            with Image.open(path) as image:
                np.testing.assert_array_equal(pixels(path), np.array(image.convert("RGB")))
            # The colours are those meant, and not their negative: Adobe stores CMYK inverted.
            error = np.abs(pixels(path).astype(int) - np.array(smooth))
            assert error.mean() < 12, name


# 16 bits.


def full_range(rng, *shape):
    values = noise(rng, *shape, high=65536, dtype=np.uint16)
    values.flat[:6] = 0, 65535, 128, 129, 256, 65535 - 129
    return values


def test_grey_of_16_bits_is_scaled_by_its_range(rng, tmp_path):
    values = full_range(rng, 13, 17)
    expected = grey(np.rint(values / 257).astype(np.uint8))
    big = Image.frombytes("I;16B", (17, 13), values.astype(">u2").tobytes())
    for name, image in {
        "a.png": Image.fromarray(values),
        "b.PNG": Image.fromarray(values),
        "c.tif": Image.fromarray(values),
        "d.TIFF": big,
        "e.pgm": Image.fromarray(values),
        "f.jp2": Image.fromarray(values),
    }.items():
        np.testing.assert_array_equal(pixels(save(tmp_path / name, image)), expected, name)
    older = Image.fromarray(values.astype(np.int32))
    older.format = "PNG"  # which Pillow up to 11 opens in mode I
    np.testing.assert_array_equal(to_pixels(older).permute(1, 2, 0).numpy(), expected)


def test_grey_maps_of_any_maximum_are_scaled_by_it(rng, tmp_path):
    values = noise(rng, 5, 6, high=1001, dtype=np.uint16)
    path = tmp_path / "thousand.pgm"
    path.write_bytes(b"P5 6 5 1000\n" + values.astype(">u2").tobytes())
    wide = np.rint(values / 1000 * 65535)  # as Pillow stores it
    np.testing.assert_array_equal(pixels(path), grey(np.rint(wide / 257).astype(np.uint8)))


def tiff(path, size, bits, photometric, data):
    """A TIFF of one grey strip."""
    tags = [
        (256, 4, size[0]), (257, 4, size[1]), (258, 3, bits), (259, 3, 1), (262, 3, photometric),
        (273, 4, 8), (277, 3, 1), (278, 4, size[1]), (279, 4, len(data)),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    head = b"II*\0" + struct.pack("<I", 8 + len(data))
    path.write_bytes(head + data + struct.pack("<H", len(tags)) + entries + bytes(4))
    return path


def test_tiffs_whose_zero_is_white_or_that_have_12_bits(rng, tmp_path):
    values = full_range(rng, 4, 6)
    white = tiff(tmp_path / "white.tif", (6, 4), 16, 0, values.astype("<u2").tobytes())
    np.testing.assert_array_equal(pixels(white), grey(255 - np.rint(values / 257).astype(np.uint8)))
    values = noise(rng, 4, 6, high=4096, dtype=np.int32)
    pairs = values.reshape(-1, 2)
    packed = [pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255]
    twelve = tiff(tmp_path / "12.tif", (6, 4), 12, 1, np.stack(packed, 1).astype("u1").tobytes())
    # 4095 / 255 is no whole number, but 255 * v / 4095 never lies halfway between two.
    expected = grey(np.rint(values * 255 / 4095).astype(np.uint8))
    np.testing.assert_array_equal(pixels(twelve), expected)


# Transparency.


def test_alpha_is_laid_over_white(rng, tmp_path):
    rgba = noise(rng, 12, 15, 4)
    rgba[:3, :, 3], rgba[3:6, :, 3] = 0, 255
    expected = over_white(rgba[..., :3], rgba[..., 3])
    for suffix in ("png", "tif", "tga"):
        path = save(tmp_path / f"rgba.{suffix}", Image.fromarray(rgba))
        np.testing.assert_array_equal(pixels(path), expected, suffix)
    path = save(tmp_path / "rgba.webp", Image.fromarray(rgba), lossless=True, exact=True)
    np.testing.assert_array_equal(pixels(path), expected)
    la = rgba[..., [0, 3]].copy()
    path = save(tmp_path / "la.png", Image.fromarray(la, "LA"))
    np.testing.assert_array_equal(pixels(path), over_white(grey(la[..., 0]), la[..., 1]))


def test_palettes_with_transparency_are_laid_over_white(rng, tmp_path):
    index = noise(rng, 9, 10, high=6)
    index.flat[:6] = range(6)
    colours, alpha = noise(rng, 6, 3), noise(rng, 6)
    image = Image.fromarray(index, "P")
    image.putpalette(colours.tobytes())
    path = save(tmp_path / "some.png", image, transparency=alpha.tobytes())
    np.testing.assert_array_equal(pixels(path), over_white(colours[index], alpha[index]))
    alpha = np.array([255, 255, 0, 255, 255, 255], np.uint8)
    for name in ("one.png", "one.gif"):
        path = save(tmp_path / name, image, transparency=2)
        np.testing.assert_array_equal(pixels(path), over_white(colours[index], alpha[index]))


def test_pa_is_laid_over_white(rng, tmp_path, monkeypatch):
    rgba = np.repeat(noise(rng, 4, 1, 4), 5, axis=1)
    image = Image.fromarray(rgba).convert("PA")
    assert image.mode == "PA"
    shown = np.array(image.convert("RGBA"))
    monkeypatch.setattr(Image, "open", lambda _: image)  # Pillow writes no file of this mode
    path = tmp_path / "some.file"
    path.touch()
    np.testing.assert_array_equal(pixels(path), over_white(shown[..., :3], shown[..., 3]))


def png(path, size, bits, colour, rows, *chunks):
    """A PNG of unfiltered ``rows`` of packed samples."""

    def chunk(kind, data):
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    head = struct.pack(">IIBBBBB", *size, bits, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [chunk(b"IHDR", head), *(chunk(*c) for c in chunks), chunk(b"IDAT", data)]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_grey_declared_transparent_is_white(rng, tmp_path, bits):
    values = noise(rng, 6, 16, high=2**bits, dtype=np.uint16)
    key = int(values[2, 3])
    unpacked = values[..., None] >> np.arange(bits)[::-1] & 1
    rows = np.packbits(unpacked.astype(np.uint8).reshape(6, -1), axis=1)
    declared = b"tRNS", struct.pack(">H", key)
    path = png(tmp_path / "key.png", (16, 6), bits, 0, map(bytes, rows), declared)
    expected = np.where(values == key, 255, np.rint(values * (255 / (2**bits - 1))))
    np.testing.assert_array_equal(pixels(path), grey(expected.astype(np.uint8)))


def test_a_colour_declared_transparent_is_white(rng, tmp_path):
    rgb = noise(rng, 6, 7, 3)
    key = tuple(map(int, rgb[1, 2]))
    rgb[0, 0] = key[0], key[1], 255 - key[2]  # a part of it is not enough
    path = save(tmp_path / "key.png", Image.fromarray(rgb), transparency=key)
    expected = np.where((rgb == key).all(-1, keepdims=True), 255, rgb)
    np.testing.assert_array_equal(pixels(path), expected)


def test_colour_of_16_bits_has_its_high_byte(rng, tmp_path):
    values = full_range(rng, 5, 4, 3)
    rows = [row.astype(">u2").tobytes() for row in values]
    path = png(tmp_path / "deep.png", (4, 5), 16, 2, rows)
    np.testing.assert_array_equal(pixels(path), values >> 8)
    declared = b"tRNS", struct.pack(">HHH", 1, 2, 3)
    path = png(tmp_path / "key.png", (4, 5), 16, 2, rows, declared)
    with pytest.raises(ValueError, match=r"data: cannot decode .*key\.png .*16-bit colour"):
        read_image(path)


# What stands around the pixels.


@pytest.mark.parametrize("orientation", range(10))
def test_exif_orientation_is_applied(rng, tmp_path, orientation):
    stored = noise(rng, 8, 24, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = {
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.swapaxes(0, 1),
        6: np.rot90(stored, -1),
        7: stored[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(stored),
    }.get(orientation, stored)
    for suffix in ("png", "tif"):
        path = save(tmp_path / f"turned.{suffix}", Image.fromarray(stored), exif=exif)
        np.testing.assert_array_equal(pixels(path), upright, suffix)
    path = save(tmp_path / "turned.webp", Image.fromarray(stored), exif=exif, lossless=True)
    np.testing.assert_array_equal(pixels(path), upright)
    for suffix in ("jpg", "avif"):
        path = save(tmp_path / f"turned.{suffix}", Image.fromarray(stored), exif=exif)
        with Image.open(path) as image:
            turned = np.array(ImageOps.exif_transpose(image))
        np.testing.assert_array_equal(pixels(path), turned, suffix)
        # Whatever the decoder does, the shape and the place of the corner are the camera's.
        assert turned.shape == upright.shape
    deep = full_range(rng, 8, 24)
    path = save(tmp_path / "deep.png", Image.fromarray(deep), exif=exif)
    with Image.open(path) as image:
        turned = np.array(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(pixels(path), grey(np.rint(turned / 257).astype(np.uint8)))


def test_exif_that_cannot_be_read_leaves_the_image_as_it_is(rng, tmp_path):
    image = Image.fromarray(noise(rng, 8, 16, 3))
    plain = pixels(save(tmp_path / "plain.jpg", image))
    for i, exif in enumerate((b"Exif\0\0garbage here", b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12", b"x")):
        path = save(tmp_path / f"{i}.jpg", image, exif=exif)
        np.testing.assert_array_equal(pixels(path), plain)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_the_first_frame_counts(rng, tmp_path, suffix):
    frames = [Image.fromarray(noise(rng, 6, 9, high=200)) for _ in range(3)]
    options = {"lossless": True} if suffix == "webp" else {}
    path = tmp_path / f"frames.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    with Image.open(path) as image:
        assert image.n_frames == 3
    np.testing.assert_array_equal(pixels(path), grey(np.array(frames[0])))


# Refusals.


def test_what_states_no_range_is_refused_by_name(rng, tmp_path):
    floats = Image.fromarray(rng.random((5, 6), dtype=np.float32))
    whole = Image.fromarray(noise(rng, 5, 6, high=70000, dtype=np.int32))
    for name, image, words in (
        ("float.tif", floats, "floats"),
        ("float.pfm", floats, "floats"),
        ("whole.tif", whole, "32-bit"),
    ):
        with pytest.raises(ValueError, match=rf"data: cannot decode .*{name} .*{words}.* 16 bits"):
            read_image(save(tmp_path / name, image))


OPTIONS = {"jpg": {"quality": 95}, "tif": {"compression": "tiff_lzw"}}


@pytest.mark.parametrize(
    "suffix", ["png", "jpg", "gif", "bmp", "tif", "webp", "ppm", "jp2", "avif", "sgi", "pcx"]
)
def test_a_file_cut_short_is_refused_by_name(rng, tmp_path, suffix):
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(noise(rng, 40, 50, 3)).save(path, **OPTIONS.get(suffix, {}))
    whole = path.read_bytes()
    lengths = [0, 1, 7, 24, 60, *rng.integers(61, len(whole) * 9 // 10, 5)]
    for length in lengths:
        path.write_bytes(whole[:length])
        with pytest.raises(
            ValueError, match=rf"data: cannot decode .*cut\.{suffix} as an image: ."
        ):
            read_image(path)


def test_a_file_of_no_pixels_is_refused_by_name(tmp_path):
    for name, head in (("a.pgm", b"P5 0 3 255\n"), ("b.ppm", b"P6 3 0 255\n")):
        (tmp_path / name).write_bytes(head)
        with pytest.raises(ValueError, match=rf"data: cannot decode .*{name} as an image: ."):
            read_image(tmp_path / name)
    path = png(tmp_path / "c.png", (0, 0), 8, 2, [])
    with pytest.raises(ValueError, match=r"data: cannot decode .*c\.png as an image: ."):
        read_image(path)


def test_a_decompression_bomb_is_refused_by_name(tmp_path, monkeypatch):
    path = save(tmp_path / "bomb.png", Image.new("L", (40, 30)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600)
    assert pixels(path).shape == (30, 40, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 599)
    with pytest.raises(ValueError, match=r"data: cannot decode .*bomb\.png .*1200 pixels"):
        read_image(path)


def test_what_is_no_file_is_refused_by_name(tmp_path):
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "nowhere.jpg").symlink_to(tmp_path / "absent")
    (tmp_path / "round.jpg").symlink_to(tmp_path / "round.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")  # which would be waited for
    for path in tmp_path.iterdir():
        with pytest.raises(ValueError, match=rf"data: cannot decode .*{path.name} as an image: ."):
            read_image(path)


# Folders.


@pytest.fixture
def folder(rng, tmp_path):
    """Two classes, three images in each of train and val."""
    for split in ("train", "val"):
        for name, base in (("dark", 20), ("light", 160)):
            place = tmp_path / "images" / split / name
            place.mkdir(parents=True)
            for i in range(3):
                image = Image.fromarray(rng.integers(base, base + 60, (14, 12, 3), dtype=np.uint8))
                image.save(place / f"{i}.png")
    return tmp_path / "images"


LITTER = (
    ".DS_Store", "._0.png", "Thumbs.db", "thumbs.db", "ehthumbs.db", "desktop.ini", "Desktop.ini",
    "Icon\r",
)  # fmt: skip


def test_what_file_managers_leave_is_no_image(folder):
    before = read(str(folder)).digest
    for name in LITTER:
        (folder / "train" / "dark" / name).write_bytes(b"nothing of an image")
        (folder / "val" / name).write_bytes(b"nothing of an image")
    for name in ("__MACOSX", "@eaDir", ".ipynb_checkpoints"):
        (folder / "train" / name).mkdir()
        (folder / "train" / "dark" / name).mkdir()
    assert read(str(folder)).digest == before


def test_a_class_of_nothing_else_is_empty(folder):
    for path in (folder / "val" / "dark").iterdir():
        path.unlink()
    (folder / "val" / "dark" / "Thumbs.db").touch()
    with pytest.raises(ValueError, match=r"data: the class folder .*dark holds no images"):
        read(str(folder))


def test_a_file_of_a_class_that_is_no_image_is_named(folder):
    for name in ("notes.txt", "no suffix", "movie.mp4", "über 1 .JPG"):
        path = folder / "train" / "light" / name
        path.write_bytes(b"hello")
        with pytest.raises(ValueError, match=rf"data: cannot decode .*/light/{name} as an image"):
            read(str(folder))
        path.unlink()
    (folder / "train" / "light" / "more").mkdir()
    with pytest.raises(
        ValueError, match=r"data: cannot decode .*/light/more as an image: .*folder"
    ):
        read(str(folder))


def test_links_spaces_and_letters_of_all_kinds(folder, tmp_path):
    before = read(str(folder))
    for split in ("train", "val"):
        for name in ("dark", "light"):
            place = folder / split / name
            (place / "0.png").rename(place / "0 über naïve 画像.PNG")
            (place / "1.png").rename(tmp_path / f"{split} {name}")
            (place / "1.png").symlink_to(tmp_path / f"{split} {name}")
        (folder / split / "dark").rename(tmp_path / f"{split} elsewhere")
        (folder / split / "dark").symlink_to(tmp_path / f"{split} elsewhere")
    after = read(str(folder))
    assert after.digest == before.digest
    for split in ("train", "val"):
        (folder / split / "light").rename(folder / split / "läßt 光 b")
    assert read(str(folder)).classes == ("dark", "läßt 光 b")


@pytest.mark.parametrize("name", ["Übung\u00a0画像 b", "a $x_{ b$ %s {0}", "_"])
def test_a_study_runs_in_a_folder_of_any_name(folder, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    folder = folder.rename(tmp_path / name)
    for split in ("train", "val"):
        (folder / split / "dark").rename(folder / split / name)
    settings = {"sizes": (8,), "methods": ("bilinear",), "data": (str(folder),)}
    config = methods.Config(**settings, weights=(str(pretrain.CHECKPOINT),))
    assert name in (methods.run(config) / "results.csv").read_text()


def test_a_name_that_cannot_be_written_is_refused(folder, tmp_path):
    broken = os.fsdecode(b"bad\xff")
    for split in ("train", "val"):
        (folder / split / "dark").rename(folder / split / broken)
    with pytest.raises(ValueError, match=r"data: .*train and its .* UTF-8, got .*bad\\udcff"):
        read(str(folder))
    for split in ("train", "val"):
        (folder / split / broken).rename(folder / split / "dark")
    with pytest.raises(ValueError, match=r"data: .*train and its .* UTF-8, got .*bad\\udcff"):
        read(str(folder.rename(tmp_path / broken)))


@pytest.mark.skipif(os.geteuid() == 0, reason="everything is readable for this user")
def test_what_may_not_be_read_is_named(folder):
    path = folder / "val" / "dark" / "2.png"
    path.chmod(0)
    with pytest.raises(ValueError, match=r"data: cannot decode .*2\.png as an image: .*Permission"):
        read(str(folder))
    path.chmod(0o600)
    path.parent.chmod(0)
    with pytest.raises(ValueError, match=r"data: cannot read the folder .*dark: .*Permission"):
        read(str(folder))
    path.parent.chmod(0o700)


def test_a_folder_that_cannot_be_listed_is_named(folder, monkeypatch):
    listed = Path.iterdir

    def iterdir(path):
        if path.name == "dark":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(ValueError, match=r"data: cannot read the folder .*dark: .*Permission"):
        read(str(folder))


def test_the_study_runs_on_mixed_kinds_and_names_what_it_refuses(
    rng, folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    place = folder / "train" / "dark"
    Image.fromarray(noise(rng, 9, 9, high=12000, dtype=np.uint16)).save(place / "deep.png")
    Image.fromarray(noise(rng, 9, 9, 4)).save(folder / "val" / "light" / "alpha.webp")
    Image.fromarray(noise(rng, 4, 5)).save(place / "tiny.png")
    settings = {"sizes": (8,), "methods": ("bilinear",), "data": (str(folder),)}
    config = methods.Config(**settings, weights=(str(pretrain.CHECKPOINT),))
    assert (methods.run(config) / "results.csv").exists()
    Image.fromarray(noise(rng, 1, 9)).save(place / "line.png")
    with pytest.raises(ValueError, match=r"data: image .*dark/line\.png must have at least 4 px"):
        methods.run(config)
    (place / "line.png").unlink()
    Image.fromarray(rng.random((9, 9), dtype=np.float32)).save(place / "float.tif")
    with pytest.raises(ValueError, match=r"data: cannot decode .*dark/float\.tif .*floats"):
        methods.run(config)


def test_help_says_what_becomes_of_images():
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "studies", "methods", "--help"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    words = " ".join(done.stdout.replace("│", " ").split())
    for word in ("EXIF", "white", "16 bits", "first frame"):
        assert word in words


class Fifth:
    """A torchvision dataset of two images that differ in their kind from RGB."""

    classes = ("a", "b")
    items = ()

    def __init__(self, root, train=True, download=False):
        pass

    def __getitem__(self, i):
        return self.items[i], i

    def __len__(self):
        return len(self.items)


def test_images_of_torchvision_are_read_alike(rng, monkeypatch):
    monkeypatch.setattr(torchvision.datasets, "Fifth", Fifth, raising=False)
    rgba, deep = noise(rng, 5, 6, 4), full_range(rng, 5, 6)
    monkeypatch.setattr(Fifth, "items", (Image.fromarray(rgba), Image.fromarray(deep)))
    first, second = list(read("Fifth").images)[2:]
    expected = over_white(rgba[..., :3], rgba[..., 3])
    np.testing.assert_array_equal(first.permute(1, 2, 0).numpy(), expected)
    np.testing.assert_array_equal(second[0].numpy(), np.rint(deep / 257).astype(np.uint8))
    floats = Image.fromarray(rng.random((5, 6), dtype=np.float32))
    for wrong, words in ((floats, "floats"), (torch.zeros(3, 4, 4), "Tensor")):
        monkeypatch.setattr(Fifth, "items", (Fifth.items[0], wrong))
        with pytest.raises(ValueError, match=rf"data: .*image 1 of torchvision.*Fifth.*{words}"):
            read("Fifth")


@pytest.mark.parametrize("name", ["dtd10", "flowers5", "dogs10"])
def test_photographs_are_what_pillow_decodes(rng, shared, name):
    paths = sorted((shared / "data" / name).glob("*/*/*"))
    for path in rng.choice(paths, 20, replace=False):
        with Image.open(path) as image:
            np.testing.assert_array_equal(pixels(path), np.array(image.convert("RGB")))
