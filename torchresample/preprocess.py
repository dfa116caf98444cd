"""From an image to a network's input: resize, crop, mirror, convert and normalise in one go."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from torchresample import cpu, ragged
from torchresample.arrays import to_planes
from torchresample.checks import (
    channels_seem_last,
    check_dense,
    check_not_traced,
    conversion,
    is_number,
    warn_of_channels,
)
from torchresample.functional import resample_part, resolved
from torchresample.gpu import scaling_table
from torchresample.kinds import as_tensor
from torchresample.ops import engine, fuses_scaling, is_plain, resample_scaled, result_layout
from torchresample.pil import load, pixels
from torchresample.profiles import PROFILES

_PIL_CHANNELS = {"L": 1, "RGB": 3}
_LAYOUTS = (torch.contiguous_format, torch.channels_last)


@dataclass(frozen=True)
class Scaling:
    """What pixels become: see ``transforms.ImageClassification``."""

    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    dtype: torch.dtype
    layout: torch.memory_format

    @property
    def pair(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation, where there are none those that change nothing."""
        return ((0.0,), (1.0,)) if self.mean is None else (self.mean, self.std)

    # ``torch.save`` uses pickle protocol 2, with which a ``torch.memory_format`` has no pickle.
    def __getstate__(self) -> dict[str, object]:
        return vars(self) | {"layout": str(self.layout).removeprefix("torch.")}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state, layout=getattr(torch, state["layout"]))


def check_scaling(
    mean: Sequence[float] | np.ndarray | Tensor | None,
    std: Sequence[float] | np.ndarray | Tensor | None,
    dtype: torch.dtype,
    layout: torch.memory_format,
) -> Scaling:
    """The arguments, checked."""
    if layout not in _LAYOUTS:
        raise ValueError(
            f"layout must be torch.contiguous_format or torch.channels_last, got {layout!r}"
        )
    if not isinstance(dtype, torch.dtype) or not (dtype.is_floating_point or dtype == torch.uint8):
        raise ValueError(f"dtype must be a floating one or torch.uint8, got {dtype!r}")
    if (mean is None) != (std is None):
        raise ValueError(f"mean and std must both be given or both be None, got {mean!r}, {std!r}")
    if mean is None:
        return Scaling(None, None, dtype, layout)
    if dtype == torch.uint8:
        raise ValueError(f"mean must be None where dtype is torch.uint8, got {mean!r}")
    pair = []
    for name, values in (("mean", mean), ("std", std)):
        if isinstance(values, (np.ndarray, Tensor)):
            values = values.tolist()
        numbers = isinstance(values, Sequence) and not isinstance(values, str) and len(values) > 0
        if not numbers or not all(map(is_number, values)):
            raise TypeError(
                f"{name} must be a sequence of numbers, one per channel, got {values!r}"
            )
        # In float32, where the arithmetic is.
        if not all(abs(v) <= torch.finfo(torch.float32).max for v in values):
            raise ValueError(f"{name} must be finite in float32, got {values!r}")
        pair.append(tuple(float(v) for v in values))
    if len(pair[0]) != len(pair[1]):
        raise ValueError(f"mean and std must be of one length, got {mean!r} and {std!r}")
    if not all(abs(v) >= torch.finfo(torch.float32).tiny for v in pair[1]):
        raise ValueError(f"std must not contain 0, nor what float32 takes for it, got {std!r}")
    return Scaling(*pair, dtype, layout)


def check_any_scaling(
    mean: Sequence[float] | np.ndarray | Tensor | None,
    std: Sequence[float] | np.ndarray | Tensor | None,
    dtype: torch.dtype | None,
    layout: torch.memory_format,
) -> Scaling:
    """The arguments, checked; without a ``dtype`` as for bytes, which stay as they are."""
    if dtype is None and (mean is not None or std is not None):
        given = f"{mean!r}, {std!r}"
        raise ValueError(f"dtype must be given where mean or std are, got None with {given}")
    return check_scaling(mean, std, torch.uint8 if dtype is None else dtype, layout)


def centre(length: int, crop: int) -> tuple[int, int, int, int]:
    """First pixel and length of a central crop, and the zeros before and after it.

    Source: torchvision ``functional.center_crop``.
    """
    if crop <= length:
        return round((length - crop) / 2.0), crop, 0, 0
    return 0, length, (crop - length) // 2, (crop - length + 1) // 2


def prepared(
    image: Tensor | np.ndarray | PIL.Image.Image,
    size: int | Sequence[int],
    crop: tuple[int, int] | None,
    method: str,
    like: str,
    antialias: bool | None,
    scaling: Scaling | None,
    box: tuple[int, int, int, int] | None = None,
    flip: bool = False,
) -> Tensor:
    """``image`` cut to ``box``, resized to ``size``, cropped to its centre, mirrored, and scaled.

    Args:
        image: uint8 or floating tensor ``[..., C, H, W]`` or ndarray ``[H, W]`` or
            ``[..., H, W, C]``, or PIL image of mode L or RGB; without ``scaling`` any tensor or
            array that ``functional.resize`` takes.
        size: see ``functional.resize``.
        crop: ``(h, w)`` of the central crop, past the image filled with zeros; ``None``: no crop.
        method, like, antialias: see ``functional.resize``.
        scaling: what values become; ``None``: they stay.
        box: ``(top, left, h, w)`` in whole pixels, beyond which nothing is read; ``None``: all.
        flip: whether to mirror the result left to right.
    """
    check_not_traced()
    if isinstance(image, PIL.Image.Image):
        load(image)
        if image.mode not in _PIL_CHANNELS:
            raise ValueError(
                "image must be a PIL image of mode 'L' or 'RGB' (convert it, as by "
                f"image.convert('RGB')), got {image.mode!r}"
            )
        with pixels(image, share=True) as array:
            x = torch.from_numpy(array if array.ndim == 3 else array[..., None]).permute(2, 0, 1)
            # The fourth byte of RGB is none of its channels.
            x = x[: _PIL_CHANNELS[image.mode]]
            return _part(x, size, crop, method, like, antialias, box, flip, scaling)
    if isinstance(image, np.ndarray):
        x = to_planes(image)
        x = x[None] if scaling is not None and x.ndim == 2 else x
        return _part(x, size, crop, method, like, antialias, box, flip, scaling)
    if not isinstance(image, Tensor):
        raise TypeError(
            "image must be a tensor, an ndarray or a PIL image, "
            f"got {type(image).__module__}.{type(image).__qualname__}"
        )
    x = as_tensor(image)
    if scaling is not None and image.ndim < 3:
        raise ValueError(f"image must have shape [..., C, H, W], got {tuple(image.shape)}")
    return _part(x, size, crop, method, like, antialias, box, flip, scaling, given=True)


def _part(
    x: Tensor,
    size: int | Sequence[int],
    crop: tuple[int, int] | None,
    method: str,
    like: str,
    antialias: bool | None,
    box: tuple[int, int, int, int] | None,
    flip: bool,
    scaling: Scaling | None,
    given: bool = False,
) -> Tensor:
    """``given``: as a tensor, whose channels may stand last by mistake."""
    shape = x.shape
    if box is not None:
        top, left, h, w = box
        x = x[..., top : top + h, left : left + w]
    check_dense(x)
    if scaling is not None:
        check_scalable(x, scaling)
    new_size, antialias, _ = resolved(x.shape, x.dtype, size, method, None, like, antialias, None)
    if given and channels_seem_last(shape, crop or new_size):
        warn_of_channels(shape, crop or new_size)
    window, pads = _window(new_size, crop)
    drawn = box and _drawn(x, new_size, method, like, antialias, flip, scaling)
    if drawn is not None:
        return drawn
    if scaling is None:
        now = flip and not any(pads)
        part = resample_part(x, new_size, method, like, antialias, window=window, flip=now)
        part = torch.nn.functional.pad(part, pads) if any(pads) else part
        return part.flip(-1) if flip and not now else part
    profile = PROFILES[like]
    wraps = profile.wraps(x.dtype, method, antialias)
    if not any(pads) and not wraps and fuses_scaling(x, scaling.dtype):
        top, left, *part = window or (0, 0, *new_size)
        options = method, like, antialias, profile.boundary, None, (top, left, *new_size), flip
        kind = {"dtype": scaling.dtype, "layout": scaling.layout}
        return resample_scaled(x, tuple(part), *options, pair=scaling.pair, **kind)
    part = resample_part(x, new_size, method, like, antialias, window=window)
    part = torch.nn.functional.pad(part, pads) if any(pads) else part
    return scaled(part, scaling, flip)


def _drawn(
    x: Tensor,
    size: tuple[int, int],
    method: str,
    like: str,
    antialias: bool,
    flip: bool,
    scaling: Scaling | None,
) -> Tensor | None:
    """``_part`` as lists of images have it on a GPU, as one that was drawn hardly comes again.

    ``None`` where they do not.
    """
    if engine(x) != "gpu" or not x.numel() or x.ndim < 3 or not is_plain(x):
        return None
    images = cpu.as_4d(cpu.materialised(x)).unbind()
    options = method, like, antialias
    if not ragged.serves(images, *options, PROFILES[like].boundary):
        return None
    scales = scaling is not None and scaling.dtype != torch.uint8
    if scales and not fuses_scaling(x, scaling.dtype):
        return None
    if scaling is None:
        shape, strides, _ = result_layout(x.shape, x.stride(), size)
        out = x.new_empty_strided(shape, strides)
    else:
        kind = {"dtype": scaling.dtype, "device": x.device, "memory_format": scaling.layout}
        out = torch.empty((len(images), x.shape[-3], *size), **kind)
    table = scaling_table(x.dtype, x.shape[-3], *scaling.pair) if scales else None
    boxes, flips = [None] * len(images), [flip] * len(images)
    ragged.resize_images(images, *options, boxes, flips, table, cpu.as_4d(out))
    return out.view(*x.shape[:-2], *size)


def _window(
    size: tuple[int, int], crop: tuple[int, int] | None
) -> tuple[tuple[int, ...] | None, tuple[int, ...]]:
    """``(top, left, h, w)`` of a central crop, and the zeros left, right, above and below it."""
    if crop is None:
        return None, (0, 0, 0, 0)
    (top, h, above, below), (left, w, before, after) = map(centre, size, crop)
    return (top, left, h, w), (before, after, above, below)


def check_scalable(x: Tensor, scaling: Scaling, name: str = "image") -> None:
    """Whether an image ``[..., C, H, W]`` can be scaled like that; ``name``: of the argument."""
    if x.dtype != torch.uint8 and not x.is_floating_point():
        raise TypeError(
            f"{name} must have dtype uint8 or a floating one, got {x.dtype}"
            f"{conversion(x.dtype, floating=True)}"
        )
    mean, dtype, channels = scaling.mean, scaling.dtype, x.shape[-3]
    if mean is not None and len(mean) != 1 and len(mean) != channels:
        raise ValueError(f"mean must have a value per channel of {name}, {channels}, got {mean}")
    if dtype == torch.uint8 != x.dtype:
        raise TypeError(f"dtype must be floating for {name} of {x.dtype}, got torch.uint8")


def scaled(x: Tensor, scaling: Scaling, flip: bool) -> Tensor:
    """``[..., C, H, W]``: bytes divided by 255, ``(x - mean) / std``.

    Computed in float32, or float64 where that is the dtype of image or result, with the roundings
    of torchvision's ``ImageClassification``; then mirrored left to right by ``flip``.
    """
    dtype, channels, lead = scaling.dtype, x.shape[-3], x.shape[:-3]
    x = x[None] if x.ndim == 3 else x.flatten(0, -4)
    single = x.dtype == torch.uint8 and dtype not in (torch.uint8, torch.float64)
    if single and x.numel() and engine(x) == "cpu" and is_plain(x):
        out = torch.empty(x.shape, dtype=torch.float32, device=x.device)
        cpu.normalise(x, *_constants(channels, scaling), flip, out)
    elif fuses_scaling(x, dtype):
        whole = 0, 0, *x.shape[-2:]
        options = "bilinear", "pillow", True, "renormalize", None, whole, flip  # which leaves it
        kind = {"pair": scaling.pair, "dtype": dtype, "layout": scaling.layout}
        out = resample_scaled(x, whole[2:], *options, **kind)
    else:
        out = _computed(x, scaling)
        out = out.flip(-1) if flip else out
    out = out.to(dtype).contiguous(memory_format=scaling.layout)
    return out[0] if not lead else out.unflatten(0, lead)


@lru_cache(maxsize=16)
def _constants(channels: int, scaling: Scaling) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, float32."""
    return tuple(np.resize(np.float32(values), channels) for values in scaling.pair)


def _computed(x: Tensor, scaling: Scaling) -> Tensor:
    """``scaled`` in torch operations, for floating images, gradients, compilers and GPUs."""
    if scaling.dtype == torch.uint8:
        return x
    wide = torch.float64 if torch.float64 in (x.dtype, scaling.dtype) else torch.float32
    values = x.to(wide)
    if x.dtype == torch.uint8:  # on GPUs torch would multiply with the rounded 1 / 255
        values = values / values.new_full((), 255)
    if scaling.mean is not None:
        mean, std = (values.new_tensor(v)[:, None, None] for v in (scaling.mean, scaling.std))
        values = (values - mean) / std
    return values
