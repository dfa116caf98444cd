"""Frames as video decoders give them, NV12, to RGB of any size."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from torchresample import cpu
from torchresample.checks import (
    Box,
    Method,
    check_not_traced,
    check_options,
    is_dense,
    known,
    not_scripted,
    plain_size,
    wants_gradient,
)
from torchresample.functional import resample_part, resolved
from torchresample.gpu import SINGLE
from torchresample.kinds import as_tensor, is_tv_tensor
from torchresample.ops import engine, is_plain, resample_scaled, rows_read
from torchresample.preprocess import check_any_scaling, scaled
from torchresample.profiles import PROFILES

if TYPE_CHECKING:
    from torchresample.triton_kernels.tables import Frame

MATRICES = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
"""Shares of red and blue in luma. Source: ITU-R BT.601-7, BT.709-6, BT.2020-2 (not constant
luminance)."""

RANGES = {"limited": (16, 219, 224), "full": (0, 255, 255)}
"""Luma of black, and how far luma and chroma go. Source: the same; and JFIF (ITU-T T.871)."""

_BITS = 17
_SHIFT = _BITS + 4
"""Bits of the fractions of weights; and of sums, as chroma has sixteenths. They just fit int32."""

_NEAR = (0, 0, 0, 0)
_BETWEEN = (-1, 1, 1, 1)  # even places lie a quarter before a sample, odd ones a quarter after it
_COSITED = (0, 0, 1, 2)  # even places lie on a sample, odd ones half-way to the next
SITINGS = {"left": (_BETWEEN, _COSITED), "center": (_BETWEEN, _BETWEEN)}
"""Along height and width, for even places, then for odd ones: a step from the nearest sample to the
next one, and how many fourths that counts."""


_FUSED = (torch.uint8, *SINGLE)


@dataclass(frozen=True)
class Conversion:
    """How luma and chroma become RGB: ``(a * y + b * (16 * u) + c * (16 * v) + added) >> 21``.

    Args:
        weights: ``a, b, c, added`` for red, green and blue.
        down, across: as in ``SITINGS``.
    """

    weights: tuple[tuple[int, int, int, int], ...]
    down: tuple[int, ...]
    across: tuple[int, ...]


def conversion(matrix: str, color_range: str, upsampling: str, siting: str) -> Conversion:
    """By names that are checked: see ``resize_nv12``."""
    red, blue = MATRICES[matrix]
    green = 1 - red - blue
    black, luma, span = RANGES[color_range]
    of_chroma = (
        (0, 2 * (1 - red)),
        (-2 * blue * (1 - blue) / green, -2 * red * (1 - red) / green),
        (2 * (1 - blue), 0),
    )
    weights = []
    for of_u, of_v in of_chroma:
        parts = 1 / luma, of_u / span, of_v / span
        y, u, v = (round(part * 255 * 2**_BITS) for part in parts)
        added = 2 ** (_SHIFT - 1) - 16 * (black * y + 128 * (u + v))
        weights.append((16 * y, u, v, added))
    down, across = (_NEAR, _NEAR) if upsampling == "nearest" else SITINGS[siting]
    return Conversion(tuple(weights), down, across)


@not_scripted
def resize_nv12(
    luma: Tensor,
    chroma: Tensor,
    size: int | Sequence[int] | None = None,
    method: Method = "bilinear",
    *,
    like: str = "pillow",
    antialias: bool | None = None,
    boundary: str | None = None,
    box: Box | None = None,
    matrix: str = "bt709",
    color_range: str = "limited",
    upsampling: str = "bilinear",
    siting: str = "left",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    dtype: torch.dtype | None = None,
    layout: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """Frames of a video decoder as RGB of another size: what ``resize`` makes of their RGB bytes.

    Bytes of RGB are the exact ones, rounded (within 0.002 of a tie to either side). On a GPU they
    are made where they are read, in the launch that resizes, under ``"pillow"`` and ``"torch"``.

    Args:
        luma: uint8 ``[..., H, W]``, any strides.
        chroma: uint8 ``[..., ceil(H / 2), ceil(W / 2), 2]``, U and V, any strides. Of a frame as
            one tensor ``[H * 3 / 2, W]`` they are ``frame[:H]`` and
            ``frame[H:].unflatten(-1, (-1, 2))``.
        size, method, like, antialias, boundary, box: see ``resize``; a ``size`` of ``None``: all
            pixels as they are.
        matrix: ``"bt601"``, ``"bt709"`` or ``"bt2020"``.
        color_range: ``"limited"``, luma from 16 to 235 and chroma from 16 to 240, or ``"full"``.
        upsampling: how chroma gets the size of luma, ``"bilinear"`` or ``"nearest"``.
        siting: where bilinear chroma lies: along the width on every other column of luma,
            ``"left"``, as MPEG-2, H.264 and later have it unless told otherwise; or between two,
            ``"center"``, as JPEG and MPEG-1. Along the height it lies between two.
        mean, std, dtype, layout: see ``ImageClassification``; without a ``dtype`` bytes stay bytes.

    Returns:
        RGB ``[..., 3, h, w]``, uint8 or ``dtype``.

    Raises:
        ValueError, TypeError: an argument out of range or of the wrong type, naming it.

    Source: ITU-R BT.601-7, BT.709-6, BT.2020-2; sitings: ITU-T H.264, annex E.
    """
    check_not_traced()
    size = plain_size(size)
    scaling = check_any_scaling(mean, std, dtype, layout)
    if scaling.mean is not None and len(scaling.mean) not in (1, 3):
        raise ValueError(f"mean must have one value, or three, got {scaling.mean}")
    converted = conversion(
        known("matrix", matrix, MATRICES),
        known("color_range", color_range, RANGES),
        known("upsampling", upsampling, ("bilinear", "nearest")),
        known("siting", siting, SITINGS),
    )
    luma, chroma = _plain("luma", luma), _plain("chroma", chroma)
    _check_planes(luma, chroma)
    if size is None and box is not None:
        raise ValueError(f"size must be given where box is, got None with {box!r}")
    kept = size is None
    size = tuple(luma.shape[-2:]) if kept else size
    method = check_options(size, method, like, antialias, None, boundary, box)
    if kept:  # also by filters that would smooth or sharpen
        method, antialias, boundary = "nearest", False, None
    if wants_gradient(box):
        raise TypeError(f"box must not require a gradient, as bytes have none, got {box!r}")
    # Channels share the memory of luma.
    x = luma.unsqueeze(-3).expand(*luma.shape[:-2], 3, *luma.shape[-2:])
    new_size, smooth, box = resolved(x.shape, x.dtype, size, method, box, like, antialias, None)
    options = method, like, smooth, boundary or PROFILES[like].boundary, box
    plain = is_plain(luma) and is_plain(chroma)
    if plain and not PROFILES[like].clips and engine(luma) == "gpu" and scaling.dtype in _FUSED:
        pair = None if scaling.dtype == torch.uint8 else scaling.pair
        options = *options, None, False
        kinds = {"dtype": scaling.dtype, "layout": layout, "source": _frame(chroma, converted)}
        return resample_scaled(x, new_size, *options, pair=pair, **kinds)
    rgb = _rgb(luma, chroma, converted, plain, new_size, options)
    return scaled(rgb if kept else resample_part(rgb, new_size, *options), scaling, False)


def _rgb(
    luma: Tensor,
    chroma: Tensor,
    converted: Conversion,
    plain: bool,
    size: tuple[int, int],
    options: tuple,
) -> Tensor:
    """RGB bytes ``[..., 3, H, W]``; only the rows that ``options`` read have values."""
    if not (plain and luma.is_cpu and luma.numel()):
        return as_rgb(luma, chroma, converted)
    lines = 0, luma.shape[-2]
    if not PROFILES[options[1]].clips:  # to values of all rows
        scalars = *options, None, False, False, luma.dtype, 3
        lines = rows_read(luma.shape[-2:], size, *scalars)
    planes = luma.reshape(-1, *luma.shape[-2:]), chroma.reshape(-1, *chroma.shape[-3:])
    rgb = cpu.rgb_of_nv12(*planes, converted, lines)
    return rgb.view(*luma.shape[:-2], *rgb.shape[1:])


def as_rgb(luma: Tensor, chroma: Tensor, converted: Conversion) -> Tensor:
    """RGB bytes ``[..., 3, H, W]``, in torch operations."""
    wide = chroma.int()
    for dim, n, axis in (
        (-3, luma.shape[-2], converted.down),
        (-2, luma.shape[-1], converted.across),
    ):
        wide = _upsampled(wide, dim, n, axis)
    sums = []
    for of_luma, of_u, of_v, added in converted.weights:
        total = luma.int() * of_luma + wide[..., 0] * of_u + wide[..., 1] * of_v + added
        sums.append((total >> _SHIFT).clamp(0, 255))
    return torch.stack(sums, dim=-3).to(torch.uint8)


def _upsampled(x: Tensor, dim: int, n: int, axis: tuple[int, ...]) -> Tensor:
    """Four times the samples at ``n`` places along ``dim``."""
    place = torch.arange(n, device=x.device)
    near, odd = place // 2, place % 2 == 1
    step = torch.where(odd, axis[2], axis[0])
    far = (near + step).clamp(0, x.shape[dim] - 1)
    fourths = torch.where(odd, axis[3], axis[1]).int().reshape(-1, *[1] * (-dim - 1))
    return x.index_select(dim, near) * (4 - fourths) + x.index_select(dim, far) * fourths


def _frame(chroma: Tensor, converted: Conversion) -> "Frame":
    from torchresample.triton_kernels.tables import Frame

    chroma = cpu.materialised(chroma).reshape(-1, *chroma.shape[-3:])
    *strides, last = chroma.stride()
    reach = sum((n - 1) * s for n, s in zip(chroma.shape[1:3], strides[1:], strict=True))
    places = *strides, chroma.storage_offset(), chroma.data_ptr()
    if last != 1 or any(place % 2 for place in places) or reach >= 2**32:
        chroma = chroma.clone(memory_format=torch.contiguous_format)
    numbers = *converted.weights, converted.down, converted.across
    return Frame(chroma.view(torch.uint16)[..., 0], numbers)


def _plain(name: str, plane: Tensor) -> Tensor:
    other = is_tv_tensor(plane) and not is_tv_tensor(plane, "Image")
    if not isinstance(plane, Tensor) or other:
        kind = type(plane)
        raise TypeError(f"{name} must be a tensor, got {kind.__module__}.{kind.__qualname__}")
    if not is_dense(plane) or plane.dtype != torch.uint8:
        raise TypeError(f"{name} must be a dense uint8 tensor, got {plane.layout}, {plane.dtype}")
    return as_tensor(plane)


def _check_planes(luma: Tensor, chroma: Tensor) -> None:
    if luma.ndim < 2 or 0 in luma.shape[-2:]:
        raise ValueError(f"luma must have shape [..., H, W] with pixels, got {tuple(luma.shape)}")
    h, w = luma.shape[-2:]
    wanted = *luma.shape[:-2], (h + 1) // 2, (w + 1) // 2, 2
    if chroma.shape != wanted:
        raise ValueError(
            f"chroma must have shape {wanted} for luma of {tuple(luma.shape)}, "
            f"got {tuple(chroma.shape)}"
        )
    if luma.device != chroma.device:
        raise ValueError(f"chroma must be on luma's device, {luma.device}, got {chroma.device}")
