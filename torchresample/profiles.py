"""Profiles: whose pixels a resize reproduces. Conventions and arithmetic, as data."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from torchresample import opencv
from torchresample.bands import (
    BOUNDARIES,
    Axis,
    Band,
    Rows,
    filter_band,
    filter_rows,
    filter_slopes,
    folded_band,
    overlap_rows,
    select_band,
    spline_prefilter,
    window_band,
)
from torchresample.filters import FILTERS, Filter, keys
from torchresample.kept import kept
from torchresample.opencv import accumulated_centres
from torchresample.passes import (
    HORIZONTAL,
    VERTICAL,
    Method,
    Pass,
    Profile,
    Request,
    in_order,
    quantized,
    rounded_once,
)

METHODS: dict[str, str] = {
    "nearest": "the pixel under the output's centre (torch and opencv: under its corner)",
    "nearest-exact": "the pixel under the output's centre",
    "area": "mean over the output pixel's footprint (torch: adaptive_avg_pool2d)",
    "linear-exact": "OpenCV INTER_LINEAR_EXACT: bilinear in 8-bit fixed point",
    **{name: filter_.source for name, filter_ in FILTERS.items()},
}
"""Every method: name -> what it is, or the paper or file that defines it."""

_PLAIN = {name: f for name, f in FILTERS.items() if not f.poles}
_PILLOW_FILTERS = ("box", "bilinear", "hamming", "bicubic", "lanczos3", "mks2013", "mks2021")
NEAREST = ("nearest", "nearest-exact")
PILLOW_BITS = 22
_KEYS_075 = Filter(partial(keys, -0.75), 2.0, "ATen UpSample.h, cubic_convolution1 and 2")


def _smooth(
    rule: Callable[..., tuple[Filter, str]],
    antialias: tuple[bool, ...] = (True, False),
    keeps: bool | Filter = True,
) -> Method:
    """A method that is one filter under one boundary rule, by ``rule(antialias, boundary)``."""

    def band(axis: Axis, antialias: bool, boundary: str | None) -> Band:
        filter_, boundary = rule(antialias, boundary)
        return filter_band(filter_, axis, antialias, boundary)

    def slopes(axis: Axis, antialias: bool, boundary: str | None) -> tuple[Band, Band]:
        filter_, boundary = rule(antialias, boundary)
        return filter_slopes(filter_, axis, antialias, boundary)

    filter_, _ = rule(True, None)
    return Method(band, antialias, keeps, slopes=slopes if filter_.slope else None)


def _bounded(filter_: Filter, antialias: bool, boundary: str | None) -> tuple[Filter, str]:
    return filter_, boundary


def _renormalized(filter_: Filter, antialias: bool, boundary: str | None) -> tuple[Filter, str]:
    return filter_, "renormalize"


def _saves_columns(y: Axis, x: Axis) -> bool:
    """Whether Pillow 13 resizes columns first: where that leaves fewer sums."""
    fewer_rows, fewer_columns = y.n_in - y.n_out, x.n_in - x.n_out
    return (fewer_rows > 0) & (fewer_rows > 2 * fewer_columns)


def _very_tall(y: Axis, x: Axis) -> bool:
    """Whether Pillow 12.2 and 12.3 resize columns first. Before, none did."""
    return (y.n_out < y.n_in) & (y.n_in > 100 * x.n_in)


def _cropped(request: Request) -> tuple[Pass, ...] | None:
    """Pillow crops where nothing is scaled, even with filters that would sharpen."""
    if not (request.method.skip and request.axis_y.crops and request.axis_x.crops):
        return None
    return tuple(
        Pass(dim, select_band(axis.n_in, axis.lo + np.arange(axis.n_out)))
        for dim, axis in in_order(request)
    )


def _plan_linear(request: Request) -> tuple[Pass, ...]:
    """Bytes as 16 bits of linear light, weights of 16 fraction bits: sums are exact in float64."""
    cropped = _cropped(request)
    if cropped is not None:
        return cropped
    if request.dtype != torch.uint8:
        return tuple(Pass(dim, request.band(axis)) for dim, axis in in_order(request))
    across, down = (
        select_band(axis.n_in, np.arange(axis.n_out))
        if request.method.skip and axis.unchanged
        else _sixteen_bits(request.band(axis))
        for axis in (request.axis_x, request.axis_y)
    )
    return (
        Pass(HORIZONTAL, across, decodes=True),
        Pass(VERTICAL, down, torch.uint8, "srgb"),
    )


@kept
def _sixteen_bits(band: Band) -> Band:
    return replace(band, weight=quantized(band, 16).weight * 2.0**-16)


def _plan_pillow(columns_first: Callable[[Axis, Axis], bool], request: Request) -> tuple[Pass, ...]:
    cropped = _cropped(request)
    if cropped is not None:
        return cropped
    dtype, passes = request.dtype, []
    for dim, axis in in_order(request, columns_first(request.axis_y, request.axis_x)):
        band = request.band(axis)
        if dtype.is_floating_point:
            passes.append(Pass(dim, band))
        elif dtype == torch.uint8:
            fixed = quantized(band, PILLOW_BITS)
            passes.append(Pass(dim, fixed, dtype, "fixed", bits=PILLOW_BITS))
        else:  # modes I;16 and I: sums in double, the image between the passes is an integer
            passes.append(Pass(dim, band, dtype, "half-away", sums="float64"))
    return tuple(passes)


def _plan_torch(request: Request) -> tuple[Pass, ...]:
    # ATen has no integer area; its mean is rounded once, like the other integer dtypes.
    if request.dtype != torch.uint8 or request.name == "area":
        return _plan_rounded(request)
    passes = []
    for dim, axis in in_order(request):
        band = request.band(axis)
        folds = request.name == "bicubic" and not request.antialias
        fixed, bits = _int16(band, axis if folds else None)
        passes.append(Pass(dim, fixed, torch.uint8, "fixed", bits=bits))
    return tuple(passes)


@kept
def _int16(band: Band, folded: Axis | None) -> tuple[Band, int]:
    """Weights with the most fraction bits with which they fit int16, at most 22; and those bits.

    Source: ATen ``UpSampleKernel.cpp``, ``_compute_index_ranges_int16_weights``, which notes the
    largest weight before it moves those outside onto the edge (of a ``folded`` axis), and after.
    """
    largest = float(band.weight.max())
    if folded is not None:
        rows = filter_rows(_KEYS_075.kernel, _KEYS_075.radius, folded, False)
        largest = max(largest, float(rows.weight.max()))
    bits = next((p for p in range(22) if int(0.5 + largest * 2.0 ** (p + 1)) >= 2**15), 22)
    return quantized(band, bits), bits


def _plan_rounded(request: Request) -> tuple[Pass, ...]:
    bands = [(dim, request.band(axis)) for dim, axis in in_order(request)]
    if all(band.selects for _, band in bands):
        return tuple(Pass(dim, band) for dim, band in bands)
    return rounded_once(bands, request.dtype)


def _area_band(axis: Axis, antialias: bool, boundary: str | None) -> Band:
    return window_band(overlap_rows(axis), axis.n_in)


def _pillow_position(request: Request, axis: Axis) -> np.ndarray:
    """Mode I;16 takes Pillow's general affine transform, which multiplies."""
    return axis.centres if request.dtype == torch.uint16 else accumulated_centres(request, axis)


def _torch_position(request: Request, axis: Axis) -> np.ndarray:
    """ATen has two kernels, which round differently where a position falls on a pixel's edge.

    Source: ATen ``UpSampleKernel.cpp``, ``_use_vectorized_kernel_cond_2d``, for contiguous input.
    """
    general = request.axis_y.n_out + request.axis_x.n_out > 128
    real = np.float64 if general and request.dtype == torch.float64 else np.float32
    scale = real((axis.hi - axis.lo) / axis.n_out)
    if request.name == "nearest":
        position = np.arange(axis.n_out).astype(real) * scale
    elif general:  # a fused multiply-add, then half a pixel added back in double
        fused = (np.arange(axis.n_out) + 0.5) * np.float64(scale) - 0.5
        position = fused.astype(real) + 0.5
    else:
        position = (np.arange(axis.n_out) + 0.5) * np.float64(scale)
    return np.float32(axis.lo) + position.astype(np.float32)


def _torch_area(axis: Axis, antialias: bool, boundary: str | None) -> Band:
    """``adaptive_avg_pool2d``: every pixel that the footprint touches counts in full."""
    span, j = axis.hi - axis.lo, np.arange(axis.n_out)
    first = np.floor(axis.lo + j * span / axis.n_out).astype(np.int64)
    stop = np.ceil(axis.lo + (j + 1) * span / axis.n_out).astype(np.int64)
    k = np.arange((stop - first).max())
    weight = (k < (stop - first)[:, None]).astype(np.float64)
    return window_band(Rows(first, weight), axis.n_in)


def _tf_position(request: Request, axis: Axis) -> np.ndarray:
    """Source: TensorFlow ``resize_nearest_neighbor_op.cc`` with half-pixel centres, in float32."""
    scale = np.float32(axis.hi - axis.lo) / np.float32(axis.n_out)
    centre = np.arange(axis.n_out, dtype=np.float32) + np.float32(0.5)
    return np.float32(axis.lo) + centre * scale


def _skimage_band(order: int, axis: Axis, antialias: bool, boundary: str | None) -> Band:
    """``skimage.transform.resize``: a Gaussian, a spline prefilter, then the spline.

    Source: scikit-image ``_warps.py``, ``resize``; scipy ``ndimage.zoom`` with ``grid_mode``.
    """
    sigma = max(0.0, (axis.scale - 1) / 2)
    rows = _skimage_spline(order, axis, boundary)
    if not antialias or sigma == 0:
        if order == 0:
            return select_band(axis.n_in, rows.first)
        return folded_band(rows, axis.n_in, boundary)
    if boundary != "wrap":
        # The Gaussian is evaluated inside the image only, and the spline extends its result.
        folded = folded_band(rows, axis.n_in, boundary)
        rows = Rows(folded.start, folded.weight)
    return folded_band(rows.convolved(_gaussian_kernel(sigma)), axis.n_in, boundary)


def _gaussian_kernel(sigma: float) -> np.ndarray:
    reach = int(4.0 * sigma + 0.5)
    kernel = np.exp(-0.5 / (sigma * sigma) * np.arange(-reach, reach + 1) ** 2)
    return kernel / kernel.sum()


def _skimage_spline(order: int, axis: Axis, boundary: str | None) -> Rows:
    if order == 0:
        return Rows(np.floor(axis.centres).astype(np.int64), np.ones((axis.n_out, 1)))
    if order == 1:
        return filter_rows(FILTERS["bilinear"].kernel, 1.0, axis, False)
    spline = FILTERS[f"spline{order}"]
    rows = filter_rows(spline.kernel, spline.radius, axis, False)
    prefilter = spline_prefilter(spline.poles)
    if boundary not in ("edge", "constant"):
        return rows.convolved(prefilter)
    # These two have no exact initial condition: scipy pads by 12 pixels and filters that.
    padding = 12
    ends = "symmetric" if boundary == "edge" else "reflect"
    padded = Rows(rows.first + padding, rows.weight).convolved(prefilter)
    band = folded_band(padded, axis.n_in + 2 * padding, ends)
    return Rows(band.start - padding, band.weight)


def _pillow_methods() -> dict[str, Method]:
    methods = {
        "nearest": Method(None, (False,), extends=False),
        "nearest-exact": Method(None, (False,), extends=False),
        "area": Method(_area_band, (True,), extends=False),
    }
    for name, filter_ in _PLAIN.items():
        # Pillow skips an unchanged axis whatever its filter, even those that would sharpen it.
        keeps = name in _PILLOW_FILTERS or filter_
        methods[name] = _smooth(partial(_bounded, filter_), keeps=keeps)
    return methods


def _pillow(source: str, columns_first: Callable[[Axis, Axis], bool]) -> Profile:
    return Profile(
        source,
        _pillow_methods(),
        partial(_plan_pillow, columns_first),
        dict.fromkeys(NEAREST, _pillow_position),
        tuple(BOUNDARIES),
        float32_boxes=True,
        columns_first=columns_first,
    )


def _torch_bicubic(antialias: bool, boundary: str | None) -> tuple[Filter, str]:
    # ATen uses Keys' a = -0.5 with antialias, as Pillow does, and -0.75 without, as OpenCV does.
    return _torch_filter(FILTERS["bicubic"] if antialias else _KEYS_075, antialias, boundary)


def _torch_filter(filter_: Filter, antialias: bool, boundary: str | None) -> tuple[Filter, str]:
    return filter_, "renormalize" if antialias else "edge"


PROFILES: dict[str, Profile] = {
    "pillow": _pillow("Pillow 13, Image.resize", _saves_columns),
    "pillow12": _pillow("Pillow 12.2 and 12.3, Image.resize", _very_tall),
    "torch": Profile(
        "torch.nn.functional.interpolate on the CPU, antialias=True unless asked otherwise",
        {
            "nearest": Method(None, (False,)),
            "nearest-exact": Method(None, (False,)),
            "area": Method(_torch_area, (True,)),
            "bilinear": _smooth(partial(_torch_filter, FILTERS["bilinear"])),
            "bicubic": _smooth(_torch_bicubic),
            "lanczos3": _smooth(partial(_torch_filter, FILTERS["lanczos3"]), (True,)),
        },
        _plan_torch,
        dict.fromkeys(NEAREST, _torch_position),
    ),
    "opencv": Profile(
        "OpenCV 5.0 and 4.14 wheels, cv2.resize",
        opencv.METHODS,
        opencv.plan,
        opencv.NEAREST,
    ),
    "skimage": Profile(
        "scikit-image 0.26, skimage.transform.resize with preserve_range",
        {
            "nearest": Method(partial(_skimage_band, 0)),
            "bilinear": Method(partial(_skimage_band, 1)),
            **{f"spline{n}": Method(partial(_skimage_band, n)) for n in (2, 3, 4, 5)},
        },
        _plan_rounded,
        {"nearest": lambda _, axis: axis.centres},
        ("reflect", "symmetric", "edge", "wrap", "constant"),
        clips=True,
    ),
    "tf": Profile(
        "tf.image.resize and jax.image.resize (which antialiases by default)",
        {
            "nearest": Method(None, (False,)),
            **{
                name: _smooth(partial(_renormalized, FILTERS[name]), (False, True), FILTERS[name])
                for name in ("bilinear", "bicubic", "lanczos3", "lanczos5", "gaussian", "mitchell")
            },
        },
        _plan_rounded,
        {"nearest": _tf_position},
    ),
    "linear-light": Profile(
        "the geometry of Pillow 13, of sRGB images as linear light (IEC 61966-2-1)",
        # Their values are no weighted sums of an image's.
        {name: replace(m, slopes=None) for name, m in _pillow_methods().items()},
        _plan_linear,
        dict.fromkeys(NEAREST, accumulated_centres),
        tuple(BOUNDARIES),
        linear=True,
    ),
}
"""Whose pixels: name -> conventions and arithmetic."""
