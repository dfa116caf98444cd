"""OpenCV's ``cv2.resize`` (x86-64 wheels of 4.14 and 5.0): its coefficients and its arithmetic.

Source: OpenCV ``modules/imgproc/src/resize.cpp``; of what the wheels leave to Intel's IPP (see
``_by_ipp``), their results on CPUs with AVX2. Rows are always filtered before columns.
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
ORDERED = (torch.uint8, torch.uint16, torch.int16)
"""Integers whose sums resize.cpp forms in float32, or in integers, in an order that shows."""


def plan(request: Request) -> tuple[Pass, ...]:
    """The two passes of ``cv2.resize``."""
    name, axis_y, axis_x = request.name, request.axis_y, request.axis_x
    if axis_x.unchanged and axis_y.unchanged:
        return ()
    if name == "linear-exact" and request.dtype.is_floating_point:
        name = "bilinear"  # as OpenCV does: it is exact for integers only
    if _by_ipp(name, request):
        return _ipp_passes(name, request)
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


def _by_ipp(name: str, request: Request) -> bool:
    """Whether the wheels leave a request to IPP, as a comparison with and without it shows.

    Bytes are left out: their bilinear is resize.cpp's, and their bicubic is rounded correctly here.
    """
    least = {"bilinear": 2, "bicubic": 4}.get(name)
    lacks = (torch.uint8,) if name == "bilinear" else (torch.uint8, torch.float64)
    if least is None or request.dtype in lacks:
        return False
    return request.channels in (1, 3, 4) and min(request.axis_y.n_in, request.axis_x.n_in) >= least


def _ipp_passes(name: str, request: Request) -> tuple[Pass, ...]:
    """IPP keeps fractions in double, and its bilinear of 16 bits sums by fused multiply-adds."""
    dtype = request.dtype
    fused = name == "bilinear" and dtype in ORDERED

    def rows(axis: Axis) -> Rows:
        position = axis.centres - 0.5
        left = np.floor(position)
        fraction = position - left
        if name == "bicubic":
            weight = keys(-0.75, fraction[:, None] - np.arange(-1, 3))
        else:
            fraction = fraction.astype(np.float32).astype(np.float64) if fused else fraction
            weight = np.stack([1 - fraction, fraction], axis=1)
        return Rows(left.astype(np.int64) - (weight.shape[1] // 2 - 1), weight)

    across = folded_band(rows(request.axis_x), request.axis_x.n_in, "edge")
    if not fused:
        down = folded_band(rows(request.axis_y), request.axis_y.n_in, "edge")
        return rounded_once([(HORIZONTAL, across), (VERTICAL, down)], dtype)
    # Of integers, sums in double are exact, as the product of a fused multiply-add is.
    return (
        Pass(HORIZONTAL, across, torch.float32, sums="float64"),
        Pass(
            VERTICAL,
            gathered_band(rows(request.axis_y), request.axis_y.n_in, "edge"),
            dtype,
            "mean",
            sums="lerp",
        ),
    )


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
    return _cubic(fraction) if kind == "cubic" else _lanczos4(fraction)


def _cubic(fraction: np.ndarray) -> np.ndarray:
    """Those of bicubic in the steps of resize.cpp, each of which is rounded to float32."""
    a, x = np.float32(-0.75), fraction
    left, right = x + 1, 1 - x
    before = ((a * left - 5 * a) * left + 8 * a) * left - 4 * a
    first = ((a + 2) * x - (a + 3)) * x * x + 1
    second = ((a + 2) * right - (a + 3)) * right * right + 1
    return np.stack([before, first, second, 1 - before - first - second], axis=1)


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


def _ordered_passes(kind: str, x: tuple, y: tuple, request: Request) -> tuple[Pass, ...]:
    """Integers of 16 bits: sums in float32, in the order of the taps."""
    # Each product is rounded on its own, so taps past the edge may not be merged.
    across = gathered_band(_rows(kind, *x, None), request.axis_x.n_in, "edge")
    down = gathered_band(_rows(kind, *y, None), request.axis_y.n_in, "edge")
    if kind == "cubic" or (kind == "lanczos4" and request.dtype == torch.int16):
        down = _backwards(down)  # the vectors of these begin with the last row
    return (
        Pass(HORIZONTAL, across, torch.float32, sums="float32"),
        Pass(VERTICAL, down, request.dtype, sums="float32"),
    )


def _backwards(band: Band) -> Band:
    """A band that gathers, with the taps of each row in the other order."""
    start = len(band.gather) - band.taps - band.start
    weight, gather = band.weight[:, ::-1].copy(), band.gather[::-1].copy()
    return replace(band, start=start, weight=weight, gather=gather)


def _linear(x: tuple, y: tuple, request: Request) -> tuple[Pass, ...]:
    x = _clamped(request.axis_x, *x)
    if request.dtype in ORDERED[1:]:
        return _ordered_passes("bilinear", x, y, request)
    if request.dtype != torch.uint8:
        return _float_passes("bilinear", x, y, request)
    across = _rows("bilinear", *x, COEFFICIENT_BITS)
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
    if request.dtype in ORDERED[1:]:
        return _ordered_passes("cubic", x, y, request)
    return _float_passes("bicubic" if request.dtype == torch.uint8 else "cubic", x, y, request)


def _lanczos(request: Request) -> tuple[Pass, ...]:
    x, y = _fraction(request.axis_x), _fraction(request.axis_y)
    if request.dtype in ORDERED[1:]:
        return _ordered_passes("lanczos4", x, y, request)
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
    axes, dtype = (request.axis_y, request.axis_x), request.dtype
    factors = [int(np.rint(_scale(axis))) for axis in axes]
    close = [abs(_scale(a) - f) < np.finfo(float).eps for a, f in zip(axes, factors, strict=True)]
    whole = all(close) and all(axis.lo % 1 == 0 for axis in axes)
    if whole and (dtype in ORDERED or dtype.is_floating_point):
        return _block_mean(factors, request)
    across, down = _overlap_band(request.axis_x), _overlap_band(request.axis_y)
    if dtype not in ORDERED:
        return rounded_once([(HORIZONTAL, across), (VERTICAL, down)], dtype)
    return (
        Pass(HORIZONTAL, across, torch.float32, sums="float32"),
        Pass(VERTICAL, down, dtype, sums="float32"),
    )


def _block_mean(factors: list[int], request: Request) -> tuple[Pass, ...]:
    """Integer factors: the sum of a block of pixels, divided once.

    Sums of integers are exact. OpenCV adds those of 16 bits in float32, whose rounding shows from
    ``2**24`` on, in blocks of over 256 pixels.
    """
    dtype, count = request.dtype, math.prod(factors)

    def band(axis: Axis, factor: int, weight: float = 1.0) -> Band:
        first = int(axis.lo) + factor * np.arange(axis.n_out)
        return folded_band(Rows(first, np.full((axis.n_out, factor), weight)), axis.n_in, "edge")

    across = band(request.axis_x, factors[1])
    if dtype.is_floating_point:
        share = float(np.float32(1) / np.float32(count))  # float32 also for images of float64
        down = band(request.axis_y, factors[0], share)
        return Pass(HORIZONTAL, across), Pass(VERTICAL, down)
    wide = torch.int32 if dtype == torch.uint8 else torch.float64
    down = band(request.axis_y, factors[0])
    return (
        Pass(HORIZONTAL, across, wide, "fixed"),
        Pass(VERTICAL, down, dtype, "mean", count=count),
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
