"""``resize`` for every kind of image."""

import math
from functools import lru_cache
from typing import TypeVar

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from torchresample.alpha import premultiplied, resized_on_gpu, straight
from torchresample.arrays import to_array, to_planes
from torchresample.boxes import with_box_gradient
from torchresample.checks import (
    Box,
    Method,
    Size,
    channels_seem_last,
    check_alpha,
    check_alpha_channel,
    check_box,
    check_box_gradient,
    check_dense,
    check_not_traced,
    check_options,
    check_pixels,
    is_dense,
    listed,
    not_scripted,
    output_size,
    plain_size,
    wants_gradient,
    warn_of_channels,
)
from torchresample.kept import LARGEST, cleared
from torchresample.kinds import as_kind_of, as_tensor, is_tv_tensor
from torchresample.light import to_linear, to_srgb
from torchresample.ops import (
    engine,
    is_plain,
    program,
    program_in_double,
    resample,
    result_layout,
    run_program,
)
from torchresample.pil import PALETTED, from_pixels, load, pixels
from torchresample.profiles import PROFILES

Image = TypeVar("Image", Tensor, np.ndarray, PIL.Image.Image)

_PIL_MODES = ("L", "LA", "La", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")
_PIL_MODES += ("I;16", "I;16L", "I", "F")
# Modes whose values Pillow does not weigh, or weighs wrongly, and what to convert them to.
_PIL_SELECTED = {
    "1": "'L'",
    "P": "'RGB' or 'RGBA'",
    "PA": "'RGBA'",
    "I;16B": "'I'",
    "I;16N": "'I'",
}
_TRANSPARENT = ("LA", "RGBA")


@not_scripted
def resize(
    image: Image,
    size: Size | None,
    method: Method = "bilinear",
    *,
    like: str = "pillow",
    antialias: bool | None = None,
    box: Box | None = None,
    max_size: int | None = None,
    boundary: str | None = None,
    alpha: bool = False,
) -> Image:
    """Resample the last two axes of an image.

    Args:
        image: ``[..., H, W]`` tensor, uint8, uint16, int16, int32, float16, bfloat16, float32 or
            float64 (nearest methods: any real dtype), any strides; ``[H, W]`` or
            ``[..., H, W, C]`` ndarray; PIL image; or tv_tensor: ``Image`` and ``Video`` as
            tensors, ``Mask`` by nearest unless ``method`` is ``"nearest-exact"``, ``BoundingBoxes``
            and ``KeyPoints`` by moving their coordinates, without clamping them, integers exactly
            and then cut off towards zero. Boxes with rotation are moved and clamped by torchvision.
            ``shape[-3]`` counts the channels (of an array its last axis does), on which OpenCV's
            rounding and scikit-image's clamp depend.
        size: ``(h, w)`` in pixels, or the length of the shorter side, the longer one then being
            ``int(size * longer / shorter)`` as in torchvision, and at least 1. ``None``: the
            longer side becomes ``max_size``.
        method: a key of ``METHODS`` that the profile has, a torchvision ``InterpolationMode`` or a
            ``PIL.Image.Resampling``; not a bare int, which means different filters to Pillow and
            to OpenCV.
        like: the library whose pixels to reproduce, a key of ``PROFILES``; of ``"linear-light"``
            floats are sRGB from 0, black, to 1, white.
        antialias: widen the filter by the downscale factor; ``None`` takes the profile's default.
            Methods that take one pixel for each output ignore it, as in torchvision, but for
            ``"nearest"`` of ``"skimage"``, which then smooths first.
        box: ``(left, top, right, bottom)`` in source pixels, may be fractional: the part of the
            image that fills the result. Pixels around it are read as well. Pillow's own; under
            the other profiles it is the same geometry, which their libraries do not have. A tensor
            ``[4]`` that requires a gradient gets one (no second derivatives), where the image is a
            floating tensor and the method's weights change smoothly, by four more resizes of it;
            masks, boxes and key points follow without. ``"pillow"`` and ``"pillow12"`` round edges
            to float32, as Pillow does, and the gradient is that of the rounded box: finite
            differences need steps that float32 has (``eps=2**-14`` for ``gradcheck``).
        max_size: with a single ``size``, the longest that the longer side may become.
        boundary: what stands outside the image, a key of ``bands.BOUNDARIES``; ``None`` takes the
            profile's default. ``"torch"``, ``"opencv"`` and ``"tf"`` leave no choice, nor do
            methods that read nothing outside.
        alpha: whether the last of 2 or 4 channels (``shape[-3]``, or an array's last axis), uint8
            or floating, is straight alpha, by which the others are weighed, so that colours that
            are transparent do not bleed into others. Floats are not clamped: where a filter
            overshoots next to what is transparent, colours may be far out of range. Under the
            Pillow profiles transparent PIL images have it in any case, as in Pillow.

    Returns:
        ``[..., h, w]``, of the kind and dtype of ``image``, channels innermost in memory where
        they were so. uint8 is bit-exact with the profile's library where that library has the
        method for uint8; differentiable for floating tensors. It never shares memory with
        ``image``: a resize that changes nothing is a copy (torchvision returns its input then).

    Raises:
        ValueError: unknown name, a pair that the profile does not have, a size that is not
            positive, an empty box or one outside the image, an image without pixels.
        ImageFileError: a PIL image whose file cannot be decoded, as it is cut off, broken or
            closed; it is an ``OSError`` and a ``ValueError``.
        TypeError: an image, dtype or argument of a type that is not served.

    Warns:
        UserWarning: outside compiled code, where the channels of a tensor seem to stand last in its
            shape: its last axis is 3 or 4, which as a width makes the result more than ten times
            as large as the image, and ``shape[-3]`` is more than 5.

    Source: Pillow ``Resample.c``, ATen ``UpSampleKernel.cpp``, OpenCV ``resize.cpp``, and what
    ``METHODS`` names.
    """
    if box is None and alpha is False and is_plain(image) and is_dense(image):
        planned = _looked_up(image, size, method, like, antialias, max_size, boundary)
        if planned is not None:
            return run_program(image, *planned)
    check_not_traced()
    size, max_size = plain_size(size), plain_size(max_size)
    options = {"like": like, "antialias": antialias, "max_size": max_size, "boundary": boundary}
    if wants_gradient(box) and not isinstance(image, Tensor):
        raise TypeError(
            "image must be a tensor where box requires a gradient, "
            f"got {type(image).__module__}.{type(image).__qualname__}"
        )
    if isinstance(image, np.ndarray):
        return _resize_array(image, size, method, box, alpha=alpha, **options)
    method = check_options(size, method, like, antialias, max_size, boundary, box)
    check_alpha(alpha, like)
    options["alpha"] = alpha
    if isinstance(image, PIL.Image.Image):
        return _resize_pil(image, size, method, box, **options)
    if not isinstance(image, Tensor):
        raise TypeError(
            "image must be a tensor, an ndarray, a PIL image or a tv_tensor, "
            f"got {type(image).__module__}.{type(image).__qualname__}"
        )
    if not is_tv_tensor(image):
        return _resize_tensor(image, size, method, box, warns=True, **options)
    labels = is_tv_tensor(image, "Mask")
    points = is_tv_tensor(image, "BoundingBoxes", "KeyPoints")
    if (labels or points) and isinstance(box, Tensor):
        box = box.detach()
    if points:
        from torchresample.points import resize_points  # which takes torchvision

        return resize_points(image, size, max_size, box)
    if labels:  # which have no mean, no place for smoothing, and no channels
        method = method if method in PROFILES[like].nearest else "nearest"
        options |= {"antialias": False, "boundary": None, "alpha": False}
    resized = _resize_tensor(as_tensor(image), size, method, box, warns=not labels, **options)
    return as_kind_of(resized, image)


def _looked_up(image: Tensor, size: Size, *options) -> tuple | None:
    """``_planned`` for right arguments that have a hash, ``None`` for others.

    Checking and planning anew would take longer than a small resize.
    """
    sides = size if isinstance(size, (tuple, list)) else (size,)
    try:
        layout = image.shape, image.stride(), image.dtype, engine(image)
        return _planned(*layout, *options, *sides)
    except (TypeError, ValueError):  # the checks of ``resize`` will say why
        return None


@cleared
@lru_cache(maxsize=64, typed=True)  # 224 and 224.0 are equal
def _planned(
    shape: torch.Size,
    strides: tuple[int, ...],
    dtype: torch.dtype,
    engine: str,
    method: Method,
    like: str,
    antialias: bool | None,
    max_size: int | None,
    boundary: str | None,
    *size: int,
) -> tuple | None:
    """What ``run_program`` takes with the image, in a call without a box.

    ``None`` where more than the program has to run, a warning is due, or it is too large to be
    kept.
    """
    method = check_options(size, method, like, antialias, max_size, boundary, None)
    profile = PROFILES[like]
    arguments = shape, dtype, size, method, None, like, antialias, max_size
    new_size, antialias, box = resolved(*arguments)
    if profile.wraps(dtype, method, antialias) or channels_seem_last(shape, new_size):
        return None
    options = method, like, antialias, boundary or profile.boundary, box, None, False, False
    channels = shape[-3] if len(shape) > 2 else 1
    run = program(shape[-2:], new_size, *options, dtype, channels, engine)
    if run.nbytes > LARGEST:
        return None
    return run, *result_layout(shape, strides, new_size)


def resolved(
    shape: torch.Size,
    dtype: torch.dtype,
    size: Size | None,
    method: str,
    box: Box | None,
    like: str,
    antialias: bool | None,
    max_size: int | None,
) -> tuple[tuple[int, int], bool, tuple[float, ...] | None]:
    """Size of the result, antialias and box, as ``resample_part`` takes them."""
    antialias = PROFILES[like].antialias(antialias, method, dtype)
    check_pixels(shape, dtype, method, like, antialias)
    box = check_box(box, *shape[-2:])
    return output_size(size, max_size, *shape[-2:], box), antialias, box


def _resize_tensor(
    image: Tensor,
    size: Size | None,
    method: str,
    box: Box | None,
    *,
    like: str,
    antialias: bool | None,
    max_size: int | None,
    boundary: str | None,
    alpha: bool,
    warns: bool = False,
) -> Tensor:
    """``warns``: where channels seem to stand last, which is a mistake only of tensors."""
    check_dense(image)
    arguments = image.shape, image.dtype, size, method, box, like, antialias, max_size
    size, antialias, corners = resolved(*arguments)
    if warns and channels_seem_last(image.shape, size):
        warn_of_channels(image.shape, size)
    options = method, like, antialias, boundary or PROFILES[like].boundary, corners
    if not alpha:
        return resample_box(image, size, *options, False, box)
    check_alpha_channel(image.shape, image.dtype)
    profile, (h, w) = PROFILES[like], image.shape[-2:]
    same = size == (h, w) and corners in (None, (0, 0, w, h))
    if (same and profile.methods[method].skip) or profile.position(method, antialias) is not None:
        return resample_box(image, size, *options, False, box)
    fused = image.dtype == torch.uint8 and not profile.clips and is_plain(image)
    if fused and engine(image) == "gpu":
        return resized_on_gpu(image, size, *options, None, False, False)
    wide = image
    if image.is_floating_point():  # products and quotients of halves would be rounded
        wide = image.to(torch.promote_types(image.dtype, torch.float32))
    resampled = resample_box(premultiplied(wide), size, *options, False, box)
    return straight(resampled).to(image.dtype)


def resample_box(
    image: Tensor,
    size: tuple[int, int],
    method: str,
    like: str,
    antialias: bool,
    boundary: str | None,
    corners: tuple[float, ...] | None,
    flip: bool,
    box: Box | None,
) -> Tensor:
    """``resample_part`` of all the result, with a gradient for ``box``, the corners, if asked."""
    out = resample_part(image, size, method, like, antialias, boundary, corners, None, flip)
    if not wants_gradient(box):
        return out
    check_box_gradient(image, method, like)
    options = method, like, antialias, boundary or PROFILES[like].boundary, corners
    return with_box_gradient(out, image, box, flip, *options)


def resample_part(
    image: Tensor,
    size: tuple[int, int],
    method: str,
    like: str,
    antialias: bool,
    boundary: str | None = None,
    box: tuple[float, ...] | None = None,
    window: tuple[int, int, int, int] | None = None,
    flip: bool = False,
) -> Tensor:
    """``image`` resized to ``size``: its ``window`` ``(top, left, h, w)``, mirrored by ``flip``.

    All arguments are checked by the caller.
    """
    profile = PROFILES[like]
    boundary = boundary or profile.boundary
    top, left, *part = window or (0, 0, *size)
    place = None if window is None else (top, left, *size)
    options = method, like, antialias, boundary, box, place, flip, False
    if not profile.wraps(image.dtype, method, antialias):
        return resample(image, part, *options)
    if profile.linear:
        light = to_linear(image.to(torch.promote_types(image.dtype, torch.float32)))
        return to_srgb(resample(light, part, *options)).to(image.dtype)
    # The range that it is clamped to may depend on all of the result.
    out = resample(image, size, method, like, antialias, boundary, box, None, False, False)
    if out.numel():
        out = _clipped(out, image, boundary)
    out = out[..., top : top + part[0], left : left + part[1]]
    return out.flip(-1) if flip else out


def _clipped(out: Tensor, image: Tensor, boundary: str | None) -> Tensor:
    """Clamp to the range of each image (its channels together), as scikit-image does."""
    if image.dtype == torch.uint16:  # torch has no minimum of it
        return _clipped(out.int(), image.int(), boundary).to(torch.uint16)
    dims = tuple(range(-min(image.ndim, 3), 0))
    low, high = image.amin(dims, keepdim=True), image.amax(dims, keepdim=True)
    # NaN is no bound. Copies without it are made where it occurs, or where that cannot be asked.
    asked = image.is_cpu and is_plain(image)  # of a GPU, the answer would be waited for
    if image.is_floating_point() and not (asked and not low.isnan().any()):
        low = image.nan_to_num(math.inf, math.inf, -math.inf).amin(dims, keepdim=True)
        high = image.nan_to_num(-math.inf, math.inf, -math.inf).amax(dims, keepdim=True)
    if boundary == "constant":
        # The zeros outside count as part of the image where the result reaches them.
        reached = (out.amin(dims, keepdim=True) <= 0) & (out.amax(dims, keepdim=True) >= 0)
        low = torch.where(reached & (low > 0), 0, low)
        high = torch.where(reached & (high < 0), 0, high)
    return out.clamp(low, high)


def _resize_array(
    image: np.ndarray,
    size: Size | None,
    method: Method,
    box: Box | None,
    *,
    like: str,
    antialias: bool | None,
    max_size: int | None,
    boundary: str | None,
    alpha: bool,
) -> np.ndarray:
    planes = to_planes(image)
    options = like, antialias, max_size, boundary
    if box is None and alpha is False and is_plain(planes):
        planned = _looked_up(planes, size, method, *options)
        if planned is not None:
            return to_array(run_program(planes, *planned))
    method = check_options(size, method, *options, box)
    check_alpha(alpha, like)
    named = {"like": like, "antialias": antialias, "max_size": max_size, "boundary": boundary}
    return to_array(_resize_tensor(planes, size, method, box, alpha=alpha, **named))


def _resize_pil(
    image: PIL.Image.Image,
    size: Size | None,
    method: str,
    box: Box | None,
    *,
    alpha: bool,
    **options,
) -> PIL.Image.Image:
    load(image)
    mode, profile = image.mode, PROFILES[options["like"]]
    if mode not in _PIL_MODES and mode not in _PIL_SELECTED:
        raise TypeError(
            f"image must have a mode of {listed([*_PIL_MODES, *_PIL_SELECTED])} (convert it to "
            f"'RGB', 'RGBA' or 'F'), got {mode!r}"
        )
    if alpha and mode not in _TRANSPARENT:
        raise ValueError(f"alpha must be False for a PIL image without it, got mode {mode!r}")
    if mode in _PIL_SELECTED:
        place = f"for a PIL image of mode {mode!r}, whose values are not weighed"
        place += f" (or convert the image to {_PIL_SELECTED[mode]})"
        if method not in profile.nearest:
            raise ValueError(f"method must be nearest {place}, got {method!r}")
        if options["antialias"] and True in profile.methods[method].antialias:
            raise ValueError(f"antialias must be False {place}, got True")
    if profile.linear and mode not in ("L", "RGB") and method not in profile.nearest:
        raise ValueError(
            f"image must have mode 'L' or 'RGB' for like={options['like']!r} (convert it to one "
            f"of these), got {mode!r}"
        )
    alpha = alpha or (mode in _TRANSPARENT and options["like"].startswith("pillow"))
    # The unused byte of RGB must not count in a clamp to the image's range.
    with pixels(image, share=not profile.clips) as array:
        if mode == "F" and options["like"].startswith("pillow"):
            resized = _resize_mode_f(array, size, method, box, **options)
        else:
            resized = _resize_array(array, size, method, box, alpha=alpha, **options)
    return _to_pil(resized, image)


def _resize_mode_f(
    array: np.ndarray,
    size: Size | None,
    method: str,
    box: Box | None,
    boundary: str | None,
    **options,
) -> np.ndarray:
    """Pillow's mode F: sums in double, which tensors of float32 do not take the time for."""
    image, like = torch.from_numpy(array), options["like"]
    size, antialias, box = resolved(image.shape, image.dtype, size, method, box, **options)
    scalars = method, like, antialias, boundary or PROFILES[like].boundary, box, None, False, False
    run = program_in_double(image.shape, size, *scalars)
    return run_program(image, run, *result_layout(image.shape, image.stride(), size)).numpy()


def _to_pil(array: np.ndarray, source: PIL.Image.Image) -> PIL.Image.Image:
    image = from_pixels(array, source.mode)
    # Frames that were converted to RGB may still carry the palette that they had.
    if source.mode in PALETTED and source.palette is not None:
        entries = source.palette.mode  # RGB or RGBA
        image.putpalette(source.getpalette(entries), entries)
    image.info = source.info.copy()
    return image
