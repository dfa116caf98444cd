"""``resize`` and everything it checks: kinds of image, sizes, names and boxes."""

import difflib
import math
from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode

from torchresample.bands import Axis
from torchresample.ops import resample
from torchresample.profiles import METHODS, PROFILES

Image = TypeVar("Image", Tensor, np.ndarray, PIL.Image.Image)
Size = int | Sequence[int]
Box = Sequence[float]
Method = str | InterpolationMode | PIL.Image.Resampling

_ENUM_NAMES = {
    **{member: member.name.lower() for member in PIL.Image.Resampling},
    PIL.Image.Resampling.LANCZOS: "lanczos3",
    **{member: member.value for member in InterpolationMode},
    InterpolationMode.LANCZOS: "lanczos3",
}
_NEAREST = ("nearest", "nearest-exact")
_DTYPES = (
    torch.uint8,
    torch.uint16,
    torch.int16,
    torch.int32,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
)
_PIL_MODES = ("L", "LA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "I;16", "I", "F")
_PIL_INDEXED = ("1", "P")
_PREMULTIPLIED = {"LA": "La", "RGBA": "RGBa"}


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
) -> Image:
    """Resample the last two axes of an image.

    Args:
        image: ``[..., H, W]`` tensor, uint8, uint16, int16, int32, float16, bfloat16, float32 or
            float64 (nearest methods: any real dtype), any strides; ``[H, W]`` or ``[H, W, C]``
            ndarray; PIL image; or tv_tensor: ``Image`` and ``Video`` as tensors, ``Mask`` by
            nearest whatever ``method`` says, ``BoundingBoxes`` and ``KeyPoints`` by moving their
            coordinates.
        size: ``(h, w)`` in pixels, or the length of the shorter side, the longer one then being
            ``int(size * longer / shorter)`` as in torchvision, and at least 1. ``None``: the
            longer side becomes ``max_size``.
        method: a key of ``METHODS`` that the profile has, a torchvision ``InterpolationMode`` or a
            ``PIL.Image.Resampling``; not a bare int, which means different filters to Pillow and
            to OpenCV.
        like: the library whose pixels to reproduce, a key of ``PROFILES``.
        antialias: widen the filter by the downscale factor; ``None`` takes the profile's default.
        box: ``(left, top, right, bottom)`` in source pixels, may be fractional: the part of the
            image that fills the result. Pixels around it are read as well.
        max_size: with a single ``size``, the longest that the longer side may become.
        boundary: what stands outside the image, a key of ``bands.BOUNDARIES``; ``None`` takes the
            profile's default. ``"torch"``, ``"opencv"`` and ``"tf"`` leave no choice.

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
    method = check_options(size, method, like, antialias, max_size, boundary)
    if isinstance(image, (tv_tensors.BoundingBoxes, _KEY_POINTS)):
        return _resize_coordinates(image, size, max_size, box)
    if isinstance(image, tv_tensors.Mask):
        # Labels have no mean, and no place for smoothing.
        method, antialias, boundary = "nearest", False, None
    options = {"like": like, "antialias": antialias, "max_size": max_size, "boundary": boundary}
    if isinstance(image, tv_tensors.TVTensor):
        plain = _resize_tensor(image.as_subclass(Tensor), size, method, box, **options)
        return tv_tensors.wrap(plain, like=image)
    if isinstance(image, Tensor):
        return _resize_tensor(image, size, method, box, **options)
    if isinstance(image, PIL.Image.Image):
        return _resize_pil(image, size, method, box, **options)
    if isinstance(image, np.ndarray):
        return _resize_array(image, size, method, box, **options)
    raise TypeError(
        "image must be a tensor, an ndarray, a PIL image or a tv_tensor, "
        f"got {type(image).__module__}.{type(image).__qualname__}"
    )


_KEY_POINTS = getattr(tv_tensors, "KeyPoints", tv_tensors.BoundingBoxes)


def check_options(
    size: Size | None,
    method: Method,
    like: str,
    antialias: bool | None,
    max_size: int | None,
    boundary: str | None,
) -> str:
    """Check what can be checked without an image; returns the method's name."""
    _check_size(size, max_size)
    profile = PROFILES[_known("like", like, PROFILES)]
    name = _known("method", _method_name(method), METHODS)
    if name not in profile.methods:
        others = [key for key, other in PROFILES.items() if name in other.methods]
        raise ValueError(
            f"method must be one that like={like!r} has, {_listed(profile.methods)}, "
            f"got {name!r} (which {_listed(others)} have)"
        )
    if antialias is not None and not isinstance(antialias, bool):
        raise TypeError(f"antialias must be True, False or None, got {antialias!r}")
    if antialias is not None and antialias not in profile.methods[name].antialias:
        raise ValueError(
            f"antialias must be {not antialias} or None for method {name!r} of like={like!r}, "
            f"got {antialias}"
        )
    if boundary is not None:
        _known(f"boundary of like={like!r}", boundary, profile.boundaries)
    return name


def _method_name(method: Method) -> str:
    if isinstance(method, (PIL.Image.Resampling, InterpolationMode)):
        return _ENUM_NAMES[method]
    if not isinstance(method, str):
        raise TypeError(
            "method must be a name, an InterpolationMode or a PIL.Image.Resampling (an int means "
            f"different filters to Pillow and OpenCV), got {method!r}"
        )
    return method


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names) or "none"


def _known(argument: str, name: str, names: Iterable[str]) -> str:
    if not isinstance(name, str):
        raise TypeError(f"{argument} must be a string, got {name!r}")
    if name not in names:
        close = difflib.get_close_matches(name, names, 1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(f"{argument} must be one of {_listed(names)}, got {name!r}{hint}")
    return name


def _is_whole(value: object) -> bool:
    return isinstance(value, (int, torch.SymInt, np.integer)) and not isinstance(value, bool)


def _check_size(size: Size | None, max_size: int | None) -> None:
    if max_size is not None and not _is_whole(max_size):
        raise TypeError(f"max_size must be an int or None, got {max_size!r}")
    if max_size is not None and max_size < 1:
        raise ValueError(f"max_size must be at least 1, got {max_size}")
    if size is None:
        if max_size is None:
            raise ValueError("size must be given where max_size is not, got None")
        return
    sides = (size,) if _is_whole(size) else size
    if not isinstance(sides, Sequence) or not all(_is_whole(side) for side in sides):
        raise TypeError(f"size must be an int or (h, w) of ints, got {size!r}")
    if len(sides) not in (1, 2):
        raise ValueError(f"size must be an int or (h, w), got {size!r}")
    if any(side < 1 for side in sides):
        raise ValueError(f"size must be at least 1 pixel, got {size!r}")
    if max_size is None:
        return
    if len(sides) == 2:
        raise ValueError(f"max_size must be None where size is (h, w), got {max_size}")
    if max_size <= sides[0]:
        raise ValueError(f"max_size must be above size, {sides[0]}, got {max_size}")


def _check_box(box: Box | None, h: int, w: int) -> tuple[float, ...] | None:
    if box is None:
        return None
    if isinstance(box, str) or not isinstance(box, (Sequence, np.ndarray)) or len(box) != 4:
        raise TypeError(f"box must be (left, top, right, bottom), got {box!r}")
    if any(isinstance(v, bool) or not isinstance(v, (int, float, np.number)) for v in box):
        raise TypeError(f"box must hold four numbers, got {box!r}")
    left, top, right, bottom = (float(v) for v in box)
    if not all(math.isfinite(v) for v in (left, top, right, bottom)):
        raise ValueError(f"box must be finite, got {box!r}")
    if left >= right or top >= bottom:
        raise ValueError(f"box must have left < right and top < bottom, got {box!r}")
    if left < 0 or top < 0 or right > w or bottom > h:
        raise ValueError(f"box must lie inside the image, (0, 0, {w}, {h}), got {box!r}")
    return left, top, right, bottom


def _output_size(
    size: Size | None, max_size: int | None, h: int, w: int, box: tuple[float, ...] | None
) -> tuple[int, int]:
    """``(h, w)`` of the result, by torchvision's rule for a single length."""
    if size is not None and not _is_whole(size):
        if len(size) == 2:
            return int(size[0]), int(size[1])
        size = size[0]
    if box is not None:
        w, h = box[2] - box[0], box[3] - box[1]
    short, long = (w, h) if w <= h else (h, w)
    if size is None:
        new_short, new_long = int(max_size * short / long), max_size
    else:
        new_short, new_long = size, int(size * long / short)
        if max_size is not None and new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
    new_short, new_long = max(new_short, 1), max(new_long, 1)
    return (new_long, new_short) if w <= h else (new_short, new_long)


def _check_tensor(image: Tensor, method: str, antialias: bool | None) -> None:
    if image.layout != torch.strided or image.is_quantized:
        raise TypeError(f"image must be a dense tensor, got layout {image.layout}, {image.dtype}")
    if image.ndim < 2:
        raise ValueError(f"image must have shape [..., H, W], got {tuple(image.shape)}")
    if image.shape[-2] < 1 or image.shape[-1] < 1:
        raise ValueError(f"image must have at least one pixel, got shape {tuple(image.shape)}")
    selects = method in _NEAREST and not antialias
    if image.dtype not in _DTYPES and (image.is_complex() or not selects):
        rule = f"one of {', '.join(str(d).removeprefix('torch.') for d in _DTYPES)}"
        hint = "" if image.is_complex() else ", or any real dtype with a nearest method"
        raise TypeError(f"image must have dtype {rule}{hint}; got {image.dtype} for {method!r}")


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
) -> Tensor:
    _check_tensor(image, method, antialias)
    profile = PROFILES[like]
    h, w = image.shape[-2:]
    box = _check_box(box, h, w)
    new_h, new_w = _output_size(size, max_size, h, w, box)
    if antialias is None:
        antialias = profile.default_antialias(method, image.dtype)
    if boundary is None and profile.boundaries:
        boundary = profile.boundaries[0]
    out = resample(image, (new_h, new_w), method, like, antialias, boundary, box, False)
    overshoots = profile.clips and not (method in _NEAREST and not antialias)
    return _clipped(out, image, boundary) if overshoots and out.numel() else out


def _clipped(out: Tensor, image: Tensor, boundary: str | None) -> Tensor:
    """Clamp to the range of each image (its channels together), as scikit-image does."""
    if image.dtype == torch.uint16:  # torch has no minimum of it
        return _clipped(out.int(), image.int(), boundary).to(torch.uint16)
    dims = tuple(range(-min(image.ndim, 3), 0))
    low = high = image
    if image.is_floating_point():  # NaN is no bound
        low, high = image.nan_to_num(math.inf), image.nan_to_num(-math.inf)
    low, high = low.amin(dims, keepdim=True), high.amax(dims, keepdim=True)
    if boundary == "constant":
        # The zeros outside count as part of the image where the result reaches them.
        reached = (out.amin(dims, keepdim=True) <= 0) & (out.amax(dims, keepdim=True) >= 0)
        low = torch.where(reached & (low > 0), 0, low)
        high = torch.where(reached & (high < 0), 0, high)
    return out.clamp(low, high)


def _resize_array(image: np.ndarray, size: Size | None, method: str, box: Box | None, **options):
    if isinstance(image, np.ma.MaskedArray):
        raise TypeError("image must be a plain ndarray, got a masked array")
    if image.dtype.kind not in "biufc" or not image.dtype.isnative or image.dtype.itemsize > 16:
        raise TypeError(f"image must be an array of native numbers, got dtype {image.dtype}")
    if image.ndim not in (2, 3):
        raise ValueError(f"image must be an array [H, W] or [H, W, C], got shape {image.shape}")
    # torch takes neither negative strides nor memory that it may not write to.
    if not image.flags.writeable or any(stride < 0 for stride in image.strides):
        image = image.copy()
    tensor = torch.from_numpy(image)
    if image.ndim == 2:
        return _resize_tensor(tensor, size, method, box, **options).numpy()
    resized = _resize_tensor(tensor.movedim(-1, 0), size, method, box, **options)
    return np.ascontiguousarray(resized.movedim(0, -1).numpy())


def _resize_pil(
    image: PIL.Image.Image, size: Size | None, method: str, box: Box | None, **options
) -> PIL.Image.Image:
    mode = image.mode
    if mode not in _PIL_MODES + _PIL_INDEXED:
        raise TypeError(f"image must have a mode of {_listed(_PIL_MODES)}, got {mode!r}")
    if mode in _PIL_INDEXED and method not in _NEAREST:
        raise ValueError(
            f"method must be nearest for a PIL image of mode {mode!r}, whose values have no mean "
            f"(or convert the image to 'RGB' or 'L'), got {method!r}"
        )
    try:
        image.load()
    except OSError as error:
        name = getattr(image, "filename", "") or "an image in memory"
        raise ValueError(f"image must be a complete image file, got {name!r}: {error}") from error
    # Colours under a transparent pixel must not bleed out; Pillow weighs them by their alpha.
    weigh = mode in _PREMULTIPLIED and options["like"].startswith("pillow")
    if weigh and method not in _NEAREST and not _covers(image, size, box, options["max_size"]):
        image = image.convert(_PREMULTIPLIED[mode])
    array = np.array(image, dtype=np.uint8) * 255 if mode == "1" else np.array(image)
    resized = _resize_array(array, size, method, box, **options)
    return _to_pil(resized, image).convert(mode)


def _covers(image: PIL.Image.Image, size: Size | None, box: Box | None, max_size: int | None):
    """Whether Pillow would return a copy: same size, whole image."""
    w, h = image.size
    box = _check_box(box, h, w)
    return box in (None, (0, 0, w, h)) and _output_size(size, max_size, h, w, box) == (h, w)


def _to_pil(array: np.ndarray, source: PIL.Image.Image) -> PIL.Image.Image:
    h, w = array.shape[:2]
    mode = "L" if source.mode == "1" else source.mode
    image = PIL.Image.frombytes(mode, (w, h), array.tobytes())
    if source.palette is not None:
        image.putpalette(source.palette)
    image.info = source.info.copy()
    return image


def _resize_coordinates(
    points: Tensor, size: Size | None, max_size: int | None, box: Box | None
) -> Tensor:
    """Move boxes or key points with the image they lie on; their dtype stays, as in torchvision."""
    h, w = points.canvas_size
    box = _check_box(box, h, w)
    new_h, new_w = _output_size(size, max_size, h, w, box)
    left, top, right, bottom = box or (0.0, 0.0, w, h)
    axes = Axis(w, new_w, left, right), Axis(h, new_h, top, bottom)
    format_ = getattr(points, "format", None)
    if format_ is not None and format_ not in _BOX_FORMATS:
        raise TypeError(
            f"image must be boxes in {_listed(f.value for f in _BOX_FORMATS)}, got {format_.value}"
        )
    values = points.as_subclass(Tensor)
    origin = values.new_tensor([axis.lo for axis in axes], dtype=torch.float64)
    scale = values.new_tensor([axis.scale for axis in axes], dtype=torch.float64)
    if format_ in _BOX_FORMATS[1:]:
        origin = torch.stack([origin, torch.zeros_like(origin)])  # the second pair is a size
    pairs = values.to(torch.float64).unflatten(-1, (-1, 2))
    moved = ((pairs - origin) / scale).flatten(-2).to(values.dtype)
    return tv_tensors.wrap(moved, like=points, canvas_size=(new_h, new_w))


_BOX_FORMATS = (
    tv_tensors.BoundingBoxFormat.XYXY,
    tv_tensors.BoundingBoxFormat.XYWH,
    tv_tensors.BoundingBoxFormat.CXCYWH,
)
