"""Image files as the studies take them: upright RGB of 8 bits in which nothing hidden shows."""

import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image
from torch import Tensor

BITS, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0
"""TIFF's tags for bits per sample and for the meaning of zero, and its value where that is white.
"""

STEPS = {"L;2": 85, "L;4": 17}
"""How far neighbouring greys of 2 and 4 bits are apart in 8 bits, by Pillow's name for them."""


def read_image(path: Path, reduce_to: int | None = None) -> Tensor:
    """An image file as ``[3, H, W]`` uint8: see ``to_pixels``.

    Args:
        path: the file.
        reduce_to: lets the JPEG decoder reduce the image by 2, 4 or 8, as long as both sides keep
            that many pixels. Other formats are decoded as they are.

    Raises:
        ValueError: no image file, a broken one, or one that ``to_pixels`` refuses.
    """
    try:
        if path.exists() and not path.is_file():
            # To open a pipe is to wait for whoever writes to it.
            raise ValueError("it is a folder" if path.is_dir() else "it is no regular file")
        with warnings.catch_warnings():
            # They are about what stands around the pixels, and do not name the file.
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                if reduce_to is not None:
                    image.draft(None, (reduce_to, reduce_to))
                return to_pixels(image)
    except Exception as error:  # decoders raise errors of all kinds where a file is broken
        reason = str(error) or type(error).__name__
        raise ValueError(f"data: cannot decode {path} as an image: {reason}") from error


def to_pixels(image: Image.Image) -> Tensor:
    """The first frame of a PIL image as ``[3, H, W]`` uint8, with the channels last in memory.

    It is turned as its EXIF orientation says. Grey of 16 bits is scaled by the range of 16 bits.
    What is transparent is laid over white, as the colours under it are not meant to be seen.

    Raises:
        ValueError: no pixels, or pixels whose range is not stated.
    """
    if 0 in image.size:
        raise ValueError(f"it must have at least one pixel, got size {image.size}")
    # Loading forgets how the pixels are stored.
    stored = image.tile[0][3] if getattr(image, "tile", None) else image.mode
    image.load()
    key = image.info.get("transparency")
    if image.mode == "F" or image.mode.startswith("I"):
        colours, alpha = _grey_of_16_bits(image, key)
    elif image.mode in ("1", "L", "RGB") and key is not None:
        colours, alpha = _without_colour(image, key, stored)
    elif image.has_transparency_data:
        rgba = np.array(image.convert("RGBA"))
        colours, alpha = rgba[..., :3], rgba[..., 3:]
    else:
        colours, alpha = np.array(image.convert("RGB")), None
    if alpha is not None:
        # No sum lies halfway between two bytes, as 255 is odd.
        sums = colours * np.uint32(alpha) + 255 * (255 - np.uint32(alpha))
        colours = ((sums + 127) // 255).astype(np.uint8)
    return torch.from_numpy(_upright(image, colours)).permute(2, 0, 1)


def _grey_of_16_bits(image: Image.Image, key: int | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Grey ``[H, W, 3]`` of 8 bits, and its alpha ``[H, W, 1]``."""
    # FITS has signed integers, which Pillow takes for unsigned ones; of PNG and PNM it makes
    # mode I of unsigned integers of 16 bits.
    sixteen = image.mode.startswith("I;16") and image.format != "FITS"
    if not sixteen and (image.mode != "I" or image.format not in ("PNG", "PPM")):
        held = "floats" if image.mode == "F" else "signed or 32-bit integers"
        raise ValueError(
            f"it holds {held} (mode {image.mode}), for which black and white are not stated; "
            "store it in 8 bits, or unsigned in 16 bits"
        )
    values = np.array(image).astype(np.uint32)[..., None]
    tags = getattr(image, "tag_v2", {})
    largest = 2 ** tags.get(BITS, (16,))[0] - 1
    alpha = None if key is None else np.where(values == key, 0, 255)
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        values = largest - values
    grey = (values * 255 + largest // 2) // largest
    return np.repeat(grey.astype(np.uint8), 3, axis=2), alpha


def _without_colour(
    image: Image.Image, key: int | tuple[int, ...], stored: str
) -> tuple[np.ndarray, np.ndarray]:
    """Colours ``[H, W, 3]``, and alpha ``[H, W, 1]``, which is 0 where they are ``key``."""
    if stored == "RGB;16B":
        raise ValueError(
            "it is 16-bit colour, one of which is declared transparent; Pillow reads the high "
            "bytes only, which do not tell that one from others; store it with an alpha channel"
        )
    colours = np.array(image.convert("RGB"))
    # Of wider numbers than a pixel's PNG takes the low bits.
    step = STEPS.get(stored, 1)
    key = np.bitwise_and(key, 255 // step) * step
    return colours, np.where((colours == key).all(-1, keepdims=True), 0, 255)


def _upright(image: Image.Image, pixels: np.ndarray) -> np.ndarray:
    """``[H, W, 3]`` turned as the image's EXIF orientation says."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # EXIF is broken in many photographs whose pixels are not
        return pixels
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
