"""What ``resize`` accepts: every check of names, sizes and boxes, and the size of a result."""

import difflib
import math
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Union

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from torch.autograd import forward_ad

from torchresample.bands import BOUNDARIES
from torchresample.profiles import METHODS, PROFILES

if TYPE_CHECKING:
    from torchvision.transforms import InterpolationMode

Size = int | Sequence[int]
Box = Sequence[float] | Tensor
Method = Union[str, "InterpolationMode", PIL.Image.Resampling]

_ENUM_NAMES = {
    **{member: member.name.lower() for member in PIL.Image.Resampling},
    PIL.Image.Resampling.LANCZOS: "lanczos3",
}
LONGEST = 2**31
"""Past the longest side that a size may ask for, in pixels."""

_WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
"""Dtypes of tensors that may stand for a size."""

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


def check_options(
    size: Size | None,
    method: Method,
    like: str,
    antialias: bool | None,
    max_size: int | None,
    boundary: str | None,
    box: Box | None,
    size_name: str = "size",
) -> str:
    """Check what can be checked without an image; returns the method's name."""
    _check_size(size, max_size, size_name)
    _corners(box)
    profile = PROFILES[known("like", like, PROFILES)]
    name = known("method", _method_name(method), METHODS)
    if name not in profile.methods:
        others = [key for key, other in PROFILES.items() if name in other.methods]
        raise ValueError(
            f"method must be one that like={like!r} has, {listed(profile.methods)}, "
            f"got {name!r} (which {listed(others)} have)"
        )
    if antialias is not None and not isinstance(antialias, bool):
        raise TypeError(f"antialias must be True, False or None, got {antialias!r}")
    choices = profile.methods[name].antialias
    if antialias is not None and antialias not in choices and name not in profile.nearest:
        raise ValueError(
            f"antialias must be {not antialias} or None for method {name!r} of like={like!r}, "
            f"got {antialias}"
        )
    if boundary is not None:
        _check_boundary(boundary, like, name)
    return name


def _check_boundary(boundary: str, like: str, method: str) -> None:
    profile = PROFILES[like]
    known("boundary", boundary, BOUNDARIES)
    if not profile.methods[method].extends:
        raise ValueError(
            f"boundary must be None for {method!r} of like={like!r}, which reads nothing outside "
            f"the image, got {boundary!r}"
        )
    if boundary not in profile.boundaries:
        choice = listed(profile.boundaries) if profile.boundaries else "None"
        raise ValueError(f"boundary must be {choice} for like={like!r}, got {boundary!r}")


def _method_name(method: Method) -> str:
    if isinstance(method, PIL.Image.Resampling):
        return _ENUM_NAMES[method]
    torchvision = sys.modules.get("torchvision.transforms")  # which takes seconds to import
    if isinstance(method, getattr(torchvision, "InterpolationMode", ())):
        return "lanczos3" if method.value == "lanczos" else method.value
    if not isinstance(method, str):
        raise TypeError(
            "method must be a name, an InterpolationMode or a PIL.Image.Resampling (an int means "
            f"different filters to Pillow and OpenCV), got {method!r}"
        )
    return method


def listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names) or "none"


def known(argument: str, name: str, names: Iterable[str]) -> str:
    if not isinstance(name, str):
        raise TypeError(f"{argument} must be a string, got {name!r}")
    if name not in names:
        close = difflib.get_close_matches(name, names, 1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(f"{argument} must be one of {listed(names)}, got {name!r}{hint}")
    return name


def plain_size(size: object) -> object:
    """Turn whole numbers of NumPy, and in arrays or tensors of up to one axis, into ints."""
    if size is None or type(size) is int:
        return size
    if isinstance(size, (np.ndarray, Tensor)):
        whole = size.dtype.kind in "iu" if isinstance(size, np.ndarray) else size.dtype in _WHOLE
        if not whole or size.ndim > 1 or (isinstance(size, Tensor) and size.is_meta):
            return size
        values = size.tolist()
        return values if size.ndim == 0 else tuple(values)
    if isinstance(size, np.integer):
        return int(size)
    if isinstance(size, (tuple, list)):
        for side in size:  # in a loop, as most have nothing to turn
            if isinstance(side, (np.ndarray, np.integer, Tensor)):
                return tuple(map(plain_size, size))
    return size


def _plain(value: int) -> int:
    """A Python int where it was a NumPy one, whose products overflow; symbolic ints stay."""
    return int(value) if isinstance(value, np.integer) else value


def _is_whole(value: object) -> bool:
    return isinstance(value, (int, torch.SymInt, np.integer)) and not isinstance(value, bool)


def _check_size(size: Size | None, max_size: int | None, name: str) -> None:
    if max_size is not None and not _is_whole(max_size):
        raise TypeError(f"max_size must be an int or None, got {max_size!r}")
    if max_size is not None and (max_size < 1 or max_size >= LONGEST):
        raise ValueError(f"max_size must be from 1 to {LONGEST - 1}, got {max_size}")
    if size is None:
        if max_size is None:
            raise ValueError(f"{name} must be given where max_size is not, got None")
        return
    sides = (size,) if _is_whole(size) else size
    several = isinstance(sides, Sequence) and not isinstance(sides, (bytes, bytearray))
    if not several or not all(_is_whole(side) for side in sides):
        raise TypeError(f"{name} must be an int or (h, w) of ints, got {size!r}")
    if len(sides) not in (1, 2):
        raise ValueError(f"{name} must be an int or (h, w), got {size!r}")
    if any(side < 1 or side >= LONGEST for side in sides):
        raise ValueError(f"{name} must be from 1 to {LONGEST - 1} pixels, got {size!r}")
    if max_size is None:
        return
    if len(sides) == 2:
        raise ValueError(f"max_size must be None where {name} is (h, w), got {max_size}")
    if max_size <= sides[0]:
        raise ValueError(f"max_size must be above {name}, {sides[0]}, got {max_size}")


def check_side(argument: str, value: int) -> int:
    """A length in pixels."""
    value = plain_size(value)
    if not _is_whole(value):
        raise TypeError(f"{argument} must be an int, got {value!r}")
    if value < 1 or value >= LONGEST:
        raise ValueError(f"{argument} must be from 1 to {LONGEST - 1}, got {value}")
    return _plain(value)


def is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def check_probability(argument: str, value: float) -> float:
    if not is_number(value):
        raise TypeError(f"{argument} must be a number, got {value!r}")
    if not 0 <= value <= 1:
        raise ValueError(f"{argument} must be from 0 to 1, got {value}")
    return value


def check_range(
    argument: str, values: Sequence[float], most: float, zero: bool = False
) -> tuple[float, float]:
    """Least and largest of something positive or, where ``zero``, not negative.

    In the wrong order they are exchanged, with a warning, where torchvision warns.
    """
    if isinstance(values, (np.ndarray, Tensor)):
        values = values.tolist()
    pair = isinstance(values, Sequence) and not isinstance(values, str) and len(values) == 2
    if not pair or not all(map(is_number, values)):
        raise TypeError(f"{argument} must be two numbers, (least, largest), got {values!r}")
    least, largest = sorted(map(float, values))
    if not (least >= 0 if zero else least > 0) or not largest <= most or largest == 0:
        below = "<=" if zero else "<"
        raise ValueError(
            f"{argument} must have 0 {below} least <= largest <= {most}, got {values!r}"
        )
    if values[0] > values[1]:
        warnings.warn(
            f"{argument} should be (least, largest), got {values!r}; it is taken in that order",
            stacklevel=3,
        )
    return least, largest


def _corners(box: Box | None) -> tuple[float, ...] | None:
    """The box as floats, in order."""
    if box is None:
        return None
    if isinstance(box, Tensor):
        box = _values(box)
    if isinstance(box, str) or not isinstance(box, (Sequence, np.ndarray)) or len(box) != 4:
        raise TypeError(f"box must be (left, top, right, bottom), got {box!r}")
    if not all(map(is_number, box)):
        raise TypeError(f"box must hold four numbers, got {box!r}")
    try:
        left, top, right, bottom = (float(v) for v in box)
    except OverflowError:
        raise ValueError(f"box must be finite as floats, got {box!r}") from None
    if not all(-math.inf < v < math.inf for v in (left, top, right, bottom)):
        raise ValueError(f"box must be finite, got {box!r}")
    if left >= right or top >= bottom:
        raise ValueError(f"box must have left < right and top < bottom, got {box!r}")
    if left < 0 or top < 0:
        raise ValueError(f"box must have left >= 0 and top >= 0, got {box!r}")
    return left, top, right, bottom


def _values(box: Tensor) -> list[float]:
    if not is_dense(box) or box.is_meta or box.dtype.is_complex or box.dtype == torch.bool:
        raise TypeError(f"box must be a dense tensor of four real numbers, got {box!r}")
    if box.shape != (4,):
        raise ValueError(f"box must have shape [4], got {tuple(box.shape)}")
    if not torch.compiler.is_compiling() and torch._C._functorch.is_functorch_wrapped_tensor(box):
        raise TypeError(
            "box must not be a tensor that torch.func's transforms follow, as they do one that is "
            f"made inside them (pass four numbers), got {box!r}"
        )
    return box.tolist()


def check_alpha(alpha: bool, like: str) -> None:
    if not isinstance(alpha, bool):
        raise TypeError(f"alpha must be True or False, got {alpha!r}")
    if alpha and PROFILES[like].linear:
        raise ValueError(
            f"alpha must be False for like={like!r}, which has no place for it, got True"
        )


def check_alpha_channel(shape: Sequence[int], dtype: torch.dtype) -> None:
    """That an image has a last channel that weighs the others."""
    if len(shape) < 3 or shape[-3] not in (2, 4):
        raise ValueError(
            f"image must have 2 or 4 channels, [..., C, H, W], with alpha, got {tuple(shape)}"
        )
    if dtype != torch.uint8 and not dtype.is_floating_point:
        raise TypeError(
            f"image must have dtype uint8 or a floating one with alpha, got {dtype}"
            f"{conversion(dtype, floating=True)}"
        )


def wants_gradient(box: Box | None) -> bool:
    """Whether a box is a tensor for which a gradient is asked."""
    if not isinstance(box, Tensor):
        return False
    if forward_ad.unpack_dual(box).tangent is not None:
        raise TypeError("box must have no forward-mode tangent, which is not served")
    return box.requires_grad and torch.is_grad_enabled()


def check_box_gradient(image: Tensor, method: str, like: str) -> None:
    """That a box's gradient exists."""
    dtype, compiling = image.dtype, torch.compiler.is_compiling()
    if not compiling and torch._C._functorch.is_functorch_wrapped_tensor(image):
        raise TypeError("box must not require a gradient inside torch.func's transforms")
    if not dtype.is_floating_point:
        raise TypeError(f"image must be floating where box requires a gradient, got {dtype}")
    if PROFILES[like].methods[method].slopes is None:
        smooth = [name for name, m in PROFILES[like].methods.items() if m.slopes is not None]
        raise ValueError(
            f"method must have weights that change smoothly where box requires a gradient: of "
            f"like={like!r} {listed(smooth)}, got {method!r}"
        )


def check_box(box: Box | None, h: int, w: int) -> tuple[float, ...] | None:
    """The box as four floats that lie inside an image of ``h`` by ``w``."""
    corners = _corners(box)
    if corners is not None and (corners[2] > w or corners[3] > h):
        raise ValueError(f"box must lie inside the image, (0, 0, {w}, {h}), got {box!r}")
    return corners


def output_size(
    size: Size | None, max_size: int | None, h: int, w: int, box: tuple[float, ...] | None
) -> tuple[int, int]:
    """``(h, w)`` of the result, by torchvision's rule for a single length."""
    if size is not None and not _is_whole(size):
        if len(size) == 2:
            return _plain(size[0]), _plain(size[1])
        size = size[0]
    if box is not None:
        w, h = box[2] - box[0], box[3] - box[1]
    size, max_size = _plain(size), _plain(max_size)
    short, long = (w, h) if w <= h else (h, w)
    if box is not None and size is not None and size * long / short >= LONGEST:
        raise ValueError(
            f"size must give sides below {LONGEST} pixels, got {size} for a box of {w} x {h} pixels"
        )
    if size is None:
        new_short, new_long = int(max_size * short / long), max_size
    else:
        new_short, new_long = size, int(size * long / short)
        if max_size is not None and new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
    new_short, new_long = max(new_short, 1), max(new_long, 1)
    return (new_long, new_short) if w <= h else (new_short, new_long)


def check_not_traced() -> None:
    """That ``torch.jit.trace`` does not record a call, whose sizes it would keep for all images."""
    if torch.jit.is_tracing():
        raise RuntimeError(
            "torchresample cannot be recorded by torch.jit.trace, which would resize every later "
            "image as the first one; torch.export and torch.compile take changing sizes"
        )


def not_scripted(function: Callable) -> Callable:
    """Let ``torch.jit.script`` say that it cannot compile ``function``, nor what calls it."""

    def refuse() -> None:
        raise TypeError(
            f"{function.__name__} cannot be compiled by torch.jit.script; torch.export and "
            "torch.compile take it"
        )

    function.__prepare_scriptable__ = refuse
    return function


def is_dense(image: Tensor) -> bool:
    return not (image.is_nested or image.layout != torch.strided or image.is_quantized)


def check_dense(image: Tensor) -> None:
    if not is_dense(image):
        raise TypeError(f"image must be a dense tensor, got layout {image.layout}, {image.dtype}")


def check_pixels(
    shape: Sequence[int], dtype: torch.dtype, method: str, like: str, antialias: bool
) -> None:
    """What a dense tensor of that shape and dtype must fulfil."""
    if len(shape) < 2:
        raise ValueError(f"image must have shape [..., H, W], got {tuple(shape)}")
    if shape[-2] < 1 or shape[-1] < 1:
        raise ValueError(f"image must have at least one pixel, got shape {tuple(shape)}")
    selects = PROFILES[like].position(method, antialias) is not None
    if dtype not in _DTYPES and (dtype.is_complex or not selects):
        rule = f"one of {', '.join(str(d).removeprefix('torch.') for d in _DTYPES)}"
        hint = "" if dtype.is_complex else ", or any real dtype with a nearest method"
        raise TypeError(
            f"image must have dtype {rule}{hint}; got {dtype} for {method!r}"
            f"{conversion(dtype, floating=PROFILES[like].linear)}"
        )
    if PROFILES[like].linear and not (selects or dtype == torch.uint8 or dtype.is_floating_point):
        raise TypeError(
            f"image must have dtype uint8 or a floating one for {like!r}, got {dtype}"
            f"{conversion(dtype, floating=True)}"
        )


def conversion(dtype: torch.dtype, floating: bool = False) -> str:
    """For a message: to what a real ``dtype`` may be converted, keeping its values."""
    if dtype.is_complex:
        return ""
    name = {torch.int8: "int16"}.get(dtype, "float32")
    if dtype in (torch.int32, torch.int64, torch.uint32, torch.uint64):
        name = "float64"
    name = "float32" if floating and name == "int16" else name
    return f" (convert it, as by .to(torch.{name}), or .astype({name!r}) of an array)"


def channels_seem_last(shape: Sequence[int], size: tuple[int, int]) -> bool:
    """Whether the channels of a tensor seem to stand last, so that they are taken for its width.

    Such an image is resized to one of many channels and rows, which fills the memory. Those with
    up to 5 channels where they belong, and those of 3 x 3 or 4 x 4 pixels, are what they seem.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False  # whose shapes may be symbols
    if len(shape) < 3 or any(isinstance(n, torch.SymInt) for n in (*shape, *size)):
        return False
    if shape[-1] not in (3, 4) or shape[-3] <= 5 or shape[-2] == shape[-1]:
        return False
    return size[0] * size[1] > 10 * shape[-2] * shape[-1]


def warn_of_channels(shape: Sequence[int], size: tuple[int, int], name: str = "image") -> None:
    """Where ``channels_seem_last``: with the line that called this package or a transform of it."""
    frame, level = sys._getframe(), 1
    inside = "torchresample", "torchvision", "torch"
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in inside:
        frame, level = frame.f_back, level + 1
    n = len(shape)
    order = ", ".join(map(str, (*range(n - 3), n - 1, n - 3, n - 2)))
    warnings.warn(
        f"{name} has shape {tuple(shape)}, [..., H, W], which becomes {(*shape[:-2], *size)}. "
        f"If its last axis holds channels, {name}.permute({order}) puts them where they belong.",
        stacklevel=level,
    )
