"""The pixels of PIL images as arrays, without a copy where Pillow shares its memory.

Source: Pillow's ``Image.__arrow_c_array__`` (from 11.2 on), the Arrow C data interface.
"""

import ctypes
from contextlib import contextmanager

import numpy as np
import PIL.Image
from PIL import ImageMode

STRIP = 2**20
"""Bytes of a large image that are copied at a time."""

# Bytes that Pillow keeps per pixel: RGB has an unused fourth.
SHARED = {"L": 1, "RGB": 4, "RGBX": 4, "RGBA": 4, "RGBa": 4, "CMYK": 4}

PALETTED = ("P", "PA")


class ImageFileError(OSError, ValueError):
    """The file behind a PIL image cannot be decoded: it is cut off, broken or closed.

    Pipelines catch ``OSError`` where they read files, and ``ValueError`` is what ``resize`` raises
    for images that it cannot take.
    """


class _ArrowArray(ctypes.Structure):
    pass


_ArrowArray._fields_ = [
    *((name, ctypes.c_int64) for name in ("length", "null_count", "offset")),
    *((name, ctypes.c_int64) for name in ("n_buffers", "n_children")),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_ArrowArray))),
    *((name, ctypes.c_void_p) for name in ("dictionary", "release", "private_data")),
]

_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def load(image: PIL.Image.Image) -> None:
    """Decode the file behind an image, if it has one; an image must have pixels.

    Only then does the image have its mode: that of a GIF's frame may change when it is decoded.
    """
    if 0 in image.size:
        raise ValueError(f"image must have at least one pixel, got size {image.size}")
    file = getattr(image, "fp", None)  # which Pillow forgets where it fails
    try:
        image.load()
    except (MemoryError, Warning):  # which say nothing of the file
        raise
    except Exception as error:  # decoders raise nearly anything for broken files
        name = getattr(image, "filename", "") or getattr(file, "name", "")
        reason = str(error) or "the file is closed"  # Pillow asserts that it is not
        raise ImageFileError(
            f"image must be a complete image file, got {name or 'an image in memory'!r}: {reason}"
        ) from error


@contextmanager
def pixels(image: PIL.Image.Image, share: bool):
    """uint8 (or the mode's type) ``[H, W]`` or ``[H, W, C]`` of a loaded image.

    With ``share``, the memory may be the image's own, not to be written to, with four channels for
    a mode of three; it is the caller's until the context ends.
    """
    capsules = _export(image) if share else None  # keep the memory alive
    if capsules is not None:
        yield _view(image, capsules)
    else:
        yield _in_strips(image) if share else _copied(image)


def _export(image: PIL.Image.Image) -> tuple[object, object] | None:
    """Arrow's schema and array; ``None`` where Pillow has none or keeps the image in pieces."""
    if image.mode not in SHARED:
        return None
    try:
        return image.__arrow_c_array__()
    except (AttributeError, ValueError):
        return None


def _view(image: PIL.Image.Image, capsules: tuple[object, object]) -> np.ndarray:
    array = _ArrowArray.from_address(_pointer(capsules[1], b"arrow_array"))
    if array.n_children:
        array = array.children[0].contents
    memory = (ctypes.c_uint8 * array.length).from_address(array.buffers[1])
    shape = (image.height, image.width, SHARED[image.mode])
    view = np.frombuffer(memory, np.uint8).reshape(shape)
    return view[..., 0] if image.mode == "L" else view


def _in_strips(image: PIL.Image.Image) -> np.ndarray:
    """A copy, by strips that Pillow does share: several times as fast as its way to an array."""
    w, h, channels = *image.size, SHARED.get(image.mode, 0)
    if channels == 0:
        return _copied(image)
    copy = np.empty((h, w) if channels == 1 else (h, w, channels), np.uint8)
    rows = max(STRIP // (w * channels), 1)
    for y in range(0, h, rows):
        strip = image.crop((0, y, w, min(y + rows, h)))
        capsules = _export(strip)
        if capsules is None:  # an older Pillow, or a row past what Pillow keeps in one piece
            return np.array(image)
        copy[y : y + rows] = _view(strip, capsules)
    return copy


def _copied(image: PIL.Image.Image) -> np.ndarray:
    """A copy by Pillow itself, of native numbers."""
    array = np.array(image)
    if image.mode == "LAB":
        array[..., 1:] ^= 128  # signed outside, but shifted to unsigned bytes where Pillow resizes
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def from_pixels(array: np.ndarray, mode: str) -> PIL.Image.Image:
    """An image of ``mode`` from ``[h, w]`` or ``[h, w, C]``, four channels also for RGB."""
    size = array.shape[1::-1]
    if mode == "RGB" and array.shape[2] == 4:
        # An image that shares the memory has a mode with all four, from which this is a fast copy.
        return PIL.Image.frombuffer("RGBX", size, array, "raw", "RGBX", 0, 1).convert(mode)
    if mode == "1":
        array = np.packbits(array, axis=1)
    elif mode == "LAB":
        array = array ^ np.array([0, 128, 128], np.uint8)
    elif array.dtype == np.uint16:
        array = array.astype(ImageMode.getmode(mode).typestr, copy=False)
    return PIL.Image.frombytes(mode, size, array.tobytes())
