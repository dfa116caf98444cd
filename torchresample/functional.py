"""``resize`` for every kind of image."""

import math
from functools import lru_cache
from typing import TypeVar

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from torchvision import tv_tensors

from torchresample.alpha import premultiplied, resized_on_gpu, straight
from torchresample.bands import Axis
from torchresample.boxes import with_box_gradient
from torchresample.checks import (
    Box,
    Method,
    Size,
    check_alpha,
    check_alpha_channel,
    check_box,
    check_box_gradient,
    check_dense,
    check_options,
    check_pixels,
    is_dense,
    listed,
    output_size,
    wants_gradient,
)
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
from torchresample.pil import from_pixels, load, pixels
from torchresample.profiles import PROFILES

Image = TypeVar("Image", Tensor, np.ndarray, PIL.Image.Image)

_PIL_MODES = ("L", "LA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "I;16", "I", "F")
_PIL_INDEXED = ("1", "P")
_TRANSPARENT = ("LA", "RGBA")
_BOX_FORMATS = (
    tv_tensors.BoundingBoxFormat.XYXY,
    tv_tensors.BoundingBoxFormat.XYWH,
    tv_tensors.BoundingBoxFormat.CXCYWH,
)


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
            float64 (nearest methods: any real dtype), any strides; ``[H, W]`` or ``[H, W, C]``
            ndarray; PIL image; or tv_tensor: ``Image`` and ``Video`` as tensors, ``Mask`` by
            nearest whatever ``method`` says, ``BoundingBoxes`` and ``KeyPoints`` by moving their
            coordinates, without clamping them. ``shape[-3]`` counts the channels, on which
            OpenCV's rounding and scikit-image's clamp depend.
        size: ``(h, w)`` in pixels, or the length of the shorter side, the longer one then being
            ``int(size * longer / shorter)`` as in torchvision, and at least 1. ``None``: the
            longer side becomes ``max_size``.
        method: a key of ``METHODS`` that the profile has, a torchvision ``InterpolationMode`` or a
            ``PIL.Image.Resampling``; not a bare int, which means different filters to Pillow and
            to OpenCV.
        like: the library whose pixels to reproduce, a key of ``PROFILES``; of ``"linear-light"``
            floats are sRGB from 0, black, to 1, white.
        antialias: widen the filter by the downscale factor; ``None`` takes the profile's default.
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
        method for uint8; differentiable for floating tensors.

    Raises:
        ValueError: unknown name, a pair that the profile does not have, a size that is not
            positive, an empty box or one outside the image, an image without pixels, a truncated
            image file.
        TypeError: an image, dtype or argument of a type that is not served.

    Source: Pillow ``Resample.c``, ATen ``UpSampleKernel.cpp``, OpenCV ``resize.cpp``, and what
    ``METHODS`` names.
    """
    if box is None and alpha is False and is_plain(image) and is_dense(image):
        planned = _looked_up(image, size, method, like, antialias, max_size, boundary)
        if planned is not None:
            return run_program(image, *planned)
    options = {"like": like, "antialias": antialias, "max_size": max_size, "boundary": boundary}
    if wants_gradient(box) and not isinstance(image, Tensor):
        raise TypeError(
            "image must be a tensor where box requires a gradient, "
            f"got {type(image).__module__}.{type(image).__qualname__}"
        )
    if isinstance(image, np.ndarray):
        return _resize_array(image, size, method, box=box, alpha=alpha, **options)
    method = check_options(size, method, like, antialias, max_size, boundary, box)
    check_alpha(alpha, like)
    labels = tv_tensors.BoundingBoxes, tv_tensors.KeyPoints, tv_tensors.Mask
    if isinstance(image, labels) and isinstance(box, Tensor):
        box = box.detach()
    if isinstance(image, (tv_tensors.BoundingBoxes, tv_tensors.KeyPoints)):
        return _resize_coordinates(image, size, max_size, box)
    options["alpha"] = alpha
    if isinstance(image, tv_tensors.Mask):
        # Labels have no mean, and no place for smoothing.
        method = "nearest"
        options |= {"antialias": False, "boundary": None, "alpha": False}
    if isinstance(image, tv_tensors.TVTensor):
        plain = _resize_tensor(image.as_subclass(Tensor), size, method, box, **options)
        return tv_tensors.wrap(plain, like=image)
    if isinstance(image, Tensor):
        return _resize_tensor(image, size, method, box, **options)
    if isinstance(image, PIL.Image.Image):
        return _resize_pil(image, size, method, box, **options)
    raise TypeError(
        "image must be a tensor, an ndarray, a PIL image or a tv_tensor, "
        f"got {type(image).__module__}.{type(image).__qualname__}"
    )


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

    ``None`` where more than the program has to run.
    """
    method = check_options(size, method, like, antialias, max_size, boundary, None)
    profile = PROFILES[like]
    arguments = shape, dtype, size, method, None, like, antialias, max_size
    new_size, antialias, box = resolved(*arguments)
    if profile.wraps(dtype, method, antialias):
        return None
    options = method, like, antialias, boundary or profile.boundary, box, None, False, False
    channels = shape[-3] if len(shape) > 2 else 1
    run = program(shape[-2:], new_size, *options, dtype, channels, engine)
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
    if antialias is None:
        antialias = PROFILES[like].default_antialias(method, dtype)
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
) -> Tensor:
    check_dense(image)
    arguments = image.shape, image.dtype, size, method, box, like, antialias, max_size
    size, antialias, corners = resolved(*arguments)
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


def _resize_array(image: np.ndarray, size: Size | None, method: Method, **options) -> np.ndarray:
    if isinstance(image, np.ma.MaskedArray):
        raise TypeError("image must be a plain ndarray, got a masked array")
    wide = image.dtype.kind == "f" and image.dtype.itemsize > 8  # longdouble
    if image.dtype.kind not in "biufc" or not image.dtype.isnative or wide:
        raise TypeError(f"image must be an array of native numbers, got dtype {image.dtype}")
    if image.ndim not in (2, 3):
        raise ValueError(f"image must be an array [H, W] or [H, W, C], got shape {image.shape}")
    if 0 in image.shape[:2]:
        raise ValueError(f"image must have at least one pixel, got shape {image.shape}")
    # torch takes neither memory that it may not write to, nor strides that are negative or split
    # an element.
    size_of = image.dtype.itemsize
    if not image.flags.writeable or any(s < 0 or s % size_of for s in image.strides):
        image = image.copy()
    if image.ndim == 2:
        return resize(torch.from_numpy(image), size, method, **options).numpy()
    planes = torch.from_numpy(image.transpose(2, 0, 1))
    resized = resize(planes, size, method, **options).numpy()
    return np.ascontiguousarray(resized.transpose(1, 2, 0))


def _resize_pil(
    image: PIL.Image.Image,
    size: Size | None,
    method: str,
    box: Box | None,
    *,
    alpha: bool,
    **options,
) -> PIL.Image.Image:
    mode, profile = image.mode, PROFILES[options["like"]]
    if mode not in _PIL_MODES + _PIL_INDEXED:
        raise TypeError(f"image must have a mode of {listed(_PIL_MODES)}, got {mode!r}")
    if alpha and mode not in _TRANSPARENT:
        raise ValueError(f"alpha must be False for a PIL image without it, got mode {mode!r}")
    if profile.linear and mode not in ("L", "RGB") and method not in profile.nearest:
        raise ValueError(
            f"image must have mode 'L' or 'RGB' for like={options['like']!r}, got {mode!r}"
        )
    if mode in _PIL_INDEXED:
        place = f"for a PIL image of mode {mode!r}, whose values have no mean"
        place += " (or convert the image to 'RGB' or 'L')"
        if method not in profile.nearest:
            raise ValueError(f"method must be nearest {place}, got {method!r}")
        if options["antialias"]:
            raise ValueError(f"antialias must be False {place}, got True")
    load(image)
    alpha = alpha or (mode in _TRANSPARENT and options["like"].startswith("pillow"))
    if mode == "1":
        image = image.convert("L")
    # The unused byte of RGB must not count in a clamp to the image's range.
    with pixels(image, share=not profile.clips) as array:
        if mode == "F" and options["like"].startswith("pillow"):
            resized = _resize_mode_f(array, size, method, box, **options)
        else:
            resized = _resize_array(array, size, method, box=box, alpha=alpha, **options)
    result = _to_pil(resized, image)
    return result if result.mode == mode else result.convert(mode)


def _resize_mode_f(
    array: np.ndarray,
    size: Size | None,
    method: str,
    box: Box | None,
    *,
    like: str,
    antialias: bool | None,
    max_size: int | None,
    boundary: str | None,
) -> np.ndarray:
    """Pillow's mode F: sums in double, which tensors of float32 do not take the time for."""
    image = torch.from_numpy(array)
    arguments = image.shape, image.dtype, size, method, box, like, antialias, max_size
    size, antialias, box = resolved(*arguments)
    options = method, like, antialias, boundary or PROFILES[like].boundary, box, None, False, False
    run = program_in_double(image.shape, size, *options)
    return run_program(image, run, *result_layout(image.shape, image.stride(), size)).numpy()


def _to_pil(array: np.ndarray, source: PIL.Image.Image) -> PIL.Image.Image:
    image = from_pixels(array, source.mode)
    if source.palette is not None:
        entries = source.palette.mode  # RGB or RGBA
        image.putpalette(source.getpalette(entries), entries)
    image.info = source.info.copy()
    return image


def _resize_coordinates(
    points: Tensor, size: Size | None, max_size: int | None, box: Box | None
) -> Tensor:
    """Move boxes or key points with the image they lie on; their dtype stays, as in torchvision."""
    h, w = points.canvas_size
    box = check_box(box, h, w)
    new_h, new_w = output_size(size, max_size, h, w, box)
    left, top, right, bottom = box or (0.0, 0.0, w, h)
    axes = Axis(w, new_w, left, right), Axis(h, new_h, top, bottom)
    format_ = getattr(points, "format", None)
    if format_ is not None and format_ not in _BOX_FORMATS:
        raise TypeError(
            f"image must be boxes in {listed(f.value for f in _BOX_FORMATS)}, got {format_.value}"
        )
    values = points.as_subclass(Tensor)
    origin = values.new_tensor([axis.lo for axis in axes], dtype=torch.float64)
    scale = values.new_tensor([axis.scale for axis in axes], dtype=torch.float64)
    if format_ in _BOX_FORMATS[1:]:
        origin = torch.stack([origin, torch.zeros_like(origin)])  # the second pair is a size
    pairs = values.to(torch.float64).unflatten(-1, (-1, 2))
    moved = ((pairs - origin) / scale).flatten(-2).to(values.dtype)
    return tv_tensors.wrap(moved, like=points, canvas_size=(new_h, new_w))
