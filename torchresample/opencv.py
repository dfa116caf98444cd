"""OpenCV's ``cv2.resize`` (wheels of 4.14 and 5.0): its coefficients and its integer arithmetic.

Source: OpenCV ``modules/imgproc/src/resize.cpp``. Rows are always filtered before columns.
"""

import math
from dataclasses import replace

import numpy as np
import torch

from torchresample.bands import Axis, Band, Rows, folded_band, gathered_band
from torchresample.filters import keys
from torchresample.passes import HORIZONTAL, VERTICAL, Method, Pass, Request, rounded_once

METHODS = {
    "nearest": Method(None, (False,)),
    "nearest-exact": Method(None, (False,)),
    "bilinear": Method(None, (False,)),
    "linear-exact": Method(None, (False,)),
    "bicubic": Method(None, (False,)),
    "area": Method(None, (True,)),
    "lanczos4": Method(None, (False,)),
}

COEFFICIENT_BITS = 11


def plan(request: Request) -> tuple[Pass, ...]:
    """The two passes of ``cv2.resize``."""
    name, axis_y, axis_x = request.name, request.axis_y, request.axis_x
    if axis_x.unchanged and axis_y.unchanged:
        return ()
    scales = _scale(axis_x), _scale(axis_y)
    halves = all(abs(scale - 2) < np.finfo(float).eps for scale in scales)
    # resize.cpp: INTER_LINEAR to exactly half is INTER_AREA; INTER_LINEAR_EXACT past 4 channels.
    if halves and (name == "bilinear" or (name == "linear-exact" and request.channels > 4)):
        name = "area"
    if name == "area" and min(scales) < 1:
        name = "area-up"
    passes = _PLANS[name](request)
    if halves and passes[-1].rule == "mean" and request.channels in (1, 3, 4):
        # Only these have a vectorised loop, which rounds half up; the other rounds half to even.
        passes = passes[0], replace(passes[1], rule="fixed", bits=2)
    return passes


def _scale(axis: Axis) -> float:
    # OpenCV divides twice, which differs from n_in / n_out in the last bit.
    return 1.0 / (axis.n_out / (axis.hi - axis.lo))


def _fraction(axis: Axis) -> tuple[np.ndarray, np.ndarray]:
    """Pixel left of each centre, and the centre's distance from it, as float32."""
    position = axis.lo + (np.arange(axis.n_out) + 0.5) * _scale(axis) - 0.5
    position = position.astype(np.float32)
    left = np.floor(position)
    return left.astype(np.int64), position - left


def _area_up_fraction(axis: Axis) -> tuple[np.ndarray, np.ndarray]:
    """INTER_AREA where an axis is enlarged: bilinear with coordinates of its own."""
    scale, j = _scale(axis), np.arange(axis.n_out)
    left = np.floor(axis.lo + j * scale)
    ratio = axis.n_out / (axis.hi - axis.lo)
    fraction = ((j + 1) - (left + 1 - axis.lo) * ratio).astype(np.float32)
    fraction = np.where(fraction <= 0, np.float32(0), fraction - np.floor(fraction))
    return left.astype(np.int64), fraction


def _coefficients(fraction: np.ndarray, kind: str) -> np.ndarray:
    """Float32 coefficients ``[n_out, 2 | 4 | 8]`` at ``fraction`` past the left pixel."""
    if kind == "bilinear":
        return np.stack([1 - fraction, fraction], axis=1)
    if kind == "bicubic":
        return keys(-0.75, fraction[:, None] - np.arange(-1, 3)).astype(np.float32)
    return _lanczos4(fraction)


def _lanczos4(fraction: np.ndarray) -> np.ndarray:
    """Eight taps of ``sinc(d) * sinc(d / 4)``, up to a factor that the division by the sum drops.

    ``sin(pi * d)`` is the same up to its sign for all eight, ``sin(pi * d / 4)`` is written by the
    angle sum from the one at the first tap, as resize.cpp does.
    """
    root = 0.70710678118654752440084436210485
    turn = np.array(
        [
            [1, 0],
            [-root, -root],
            [0, 1],
            [root, -root],
            [-1, 0],
            [root, root],
            [0, -1],
            [-root, root],
        ]
    )
    first = (fraction + np.float32(3)).astype(np.float32)
    angle = -first.astype(np.float64) * np.pi * 0.25
    waves = np.sin(angle)[:, None] * turn[:, 0] + np.cos(angle)[:, None] * turn[:, 1]
    distance = first[:, None] - np.arange(8, dtype=np.float32)
    zero = np.abs(distance) < 1e-6
    y = np.where(zero, 1.0, -distance.astype(np.float64) * np.pi * 0.25)
    taps = np.where(zero, 1e30, waves / (y * y)).astype(np.float32)
    total = np.cumsum(taps, axis=1, dtype=np.float32)[:, -1:]
    return taps * (np.float32(1) / total)


def _rows(kind: str, left: np.ndarray, fraction: np.ndarray, bits: int | None) -> Rows:
    weight = _coefficients(fraction, kind)
    if bits is not None:
        weight = np.rint(weight * np.float32(2**bits))
    return Rows(left - (weight.shape[1] // 2 - 1), weight.astype(np.float64))


def _clamped(axis: Axis, left: np.ndarray, fraction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A position outside the centres of the first and last pixel reads that pixel alone."""
    outside = (left < 0) | (left >= axis.n_in - 1)
    return np.clip(left, 0, axis.n_in - 1), np.where(outside, np.float32(0), fraction)


def _corners(request: Request, axis: Axis) -> np.ndarray:
    return axis.lo + np.arange(axis.n_out) * _scale(axis)


def accumulated_centres(request: Request, axis: Axis) -> np.ndarray:
    """Centres by adding the scale once per pixel; its rounding differs from a product's.

    Source: Pillow ``Geometry.c``, ``ImagingScaleAffine``; OpenCV 5.0 INTER_NEAREST_EXACT.
    """
    steps = np.full((*np.shape(axis.scale)[:-1], axis.n_out), axis.scale)
    steps[..., :1] = axis.lo + axis.scale * 0.5
    return np.cumsum(steps, axis=-1)


NEAREST = {"nearest": _corners, "nearest-exact": accumulated_centres}


def _float_passes(kind: str, x: tuple, y: tuple, request: Request) -> tuple[Pass, ...]:
    """Float32 coefficients, one rounding at the end."""
    across = folded_band(_rows(kind, *x, None), request.axis_x.n_in, "edge")
    down = folded_band(_rows(kind, *y, None), request.axis_y.n_in, "edge")
    return rounded_once([(HORIZONTAL, across), (VERTICAL, down)], request.dtype)


def _linear(x: tuple, y: tuple, request: Request) -> tuple[Pass, ...]:
    if request.dtype != torch.uint8:
        return _float_passes("bilinear", x, y, request)
    across = _rows("bilinear", *_clamped(request.axis_x, *x), COEFFICIENT_BITS)
    across = folded_band(across, request.axis_x.n_in, "edge")
    # Each product is cut on its own, so taps past the edge may not be merged.
    down = _rows("bilinear", *y, COEFFICIENT_BITS)
    down = gathered_band(down, request.axis_y.n_in, "edge")
    return (
        Pass(HORIZONTAL, across, torch.int32, "floor", bits=4),
        Pass(VERTICAL, down, torch.uint8, "fixed", bits=2, sums="floor16"),
    )


def _bilinear(request: Request) -> tuple[Pass, ...]:
    return _linear(_fraction(request.axis_x), _fraction(request.axis_y), request)


def _area_up(request: Request) -> tuple[Pass, ...]:
    x, y = _area_up_fraction(request.axis_x), _area_up_fraction(request.axis_y)
    return _linear(x, y, request)


def _bicubic(request: Request) -> tuple[Pass, ...]:
    x, y = _fraction(request.axis_x), _fraction(request.axis_y)
    return _float_passes("bicubic", x, y, request)


def _lanczos(request: Request) -> tuple[Pass, ...]:
    x, y = _fraction(request.axis_x), _fraction(request.axis_y)
    if request.dtype != torch.uint8:
        return _float_passes("lanczos4", x, y, request)
    across = folded_band(_rows("lanczos4", *x, COEFFICIENT_BITS), request.axis_x.n_in, "edge")
    down = folded_band(_rows("lanczos4", *y, COEFFICIENT_BITS), request.axis_y.n_in, "edge")
    return (
        Pass(HORIZONTAL, across, torch.int32, "fixed"),
        Pass(VERTICAL, down, torch.uint8, "fixed", bits=2 * COEFFICIENT_BITS),
    )


def _linear_exact(request: Request) -> tuple[Pass, ...]:
    dtype = request.dtype
    if dtype.is_floating_point:
        return _bilinear(request)  # as OpenCV does: it is exact for integers only
    bits = 8 * dtype.itemsize  # fixed point with as many fraction bits as the pixel has

    def band(axis: Axis) -> Band:
        position = axis.lo + (np.arange(axis.n_out) + 0.5) * _scale(axis) - 0.5
        left = np.floor(position).astype(np.int64)
        left, fraction = _clamped(axis, left, position - left)
        right = np.rint(fraction * 2.0**bits)
        return folded_band(Rows(left, np.stack([2.0**bits - right, right], 1)), axis.n_in, "edge")

    wide = torch.int32 if dtype == torch.uint8 else torch.float64
    return (
        Pass(HORIZONTAL, band(request.axis_x), wide, "fixed"),
        Pass(VERTICAL, band(request.axis_y), dtype, "fixed", bits=2 * bits),
    )


def _area(request: Request) -> tuple[Pass, ...]:
    axes, ordered = (request.axis_y, request.axis_x), request.dtype == torch.uint8
    factors = [int(np.rint(_scale(axis))) for axis in axes]
    close = [abs(_scale(a) - f) < np.finfo(float).eps for a, f in zip(axes, factors, strict=True)]
    if ordered and all(close) and all(axis.lo % 1 == 0 for axis in axes):
        return _block_mean(factors, request)
    across, down = _overlap_band(request.axis_x), _overlap_band(request.axis_y)
    if not ordered:
        return rounded_once([(HORIZONTAL, across), (VERTICAL, down)], request.dtype)
    return (
        Pass(HORIZONTAL, across, torch.float32, sums="float32"),
        Pass(VERTICAL, down, torch.uint8, sums="float32"),
    )


def _block_mean(factors: list[int], request: Request) -> tuple[Pass, ...]:
    """Integer factors: the exact sum of a block of pixels, divided once."""

    def band(axis: Axis, factor: int) -> Band:
        first = int(axis.lo) + factor * np.arange(axis.n_out)
        return folded_band(Rows(first, np.ones((axis.n_out, factor))), axis.n_in, "edge")

    return (
        Pass(HORIZONTAL, band(request.axis_x, factors[1]), torch.int32, "fixed"),
        Pass(
            VERTICAL,
            band(request.axis_y, factors[0]),
            torch.uint8,
            "mean",
            count=math.prod(factors),
        ),
    )


def _overlap_band(axis: Axis) -> Band:
    """``computeResizeAreaTab``: overlaps under a thousandth of a pixel are left out."""
    scale = _scale(axis)
    left = axis.lo + np.arange(axis.n_out) * scale
    right = left + scale
    width = np.minimum(scale, axis.n_in - left)
    last = np.minimum(np.floor(right).astype(np.int64), axis.n_in - 1)
    first = np.minimum(np.ceil(left).astype(np.int64), last)
    taps = int((last - first).max()) + 2
    column = first[:, None] - 1 + np.arange(taps)
    head = np.where(first - left > 1e-3, (first - left) / width, 0.0)
    tail = np.minimum(np.minimum(right - last, 1.0), width) / width
    tail = np.where(right - last > 1e-3, tail, 0.0)
    middle = (column >= first[:, None]) & (column < last[:, None])
    weight = np.where(middle, (1.0 / width)[:, None], 0.0)
    weight[:, 0] = head
    weight = np.where(column == last[:, None], tail[:, None], weight)
    rows = Rows(first - 1, weight.astype(np.float32).astype(np.float64))
    return folded_band(rows, axis.n_in, "constant")


_PLANS = {
    "bilinear": _bilinear,
    "linear-exact": _linear_exact,
    "bicubic": _bicubic,
    "area": _area,
    "area-up": _area_up,
    "lanczos4": _lanczos,
}
