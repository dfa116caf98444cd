"""Resampling filters: name -> kernel, radius and source.

A kernel maps distances from the filter's centre, in units of the filter's own grid, to weights.
Adding a filter is one line in ``FILTERS``; bands, tests and tables iterate the registry. A new form
of kernel is written in ``triton_kernels/weights.py`` too, for lists of images on a GPU.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from torchresample import native

Kernel = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Filter:
    """A separable, even kernel.

    Args:
        kernel: distance (float64, any shape) -> weight, not normalised.
        radius: the kernel is zero beyond ``[-radius, radius]``, in source pixels at scale 1.
        source: the paper or file that defines it.
        poles: poles of the prefilter that makes a B-spline interpolate; empty for plain filters.
    """

    kernel: Kernel
    radius: float
    source: str
    poles: tuple[float, ...] = ()

    @property
    def form(self) -> tuple[str, tuple]:
        """The kernel's name and parameters, by which a GPU has it."""
        kernel = self.kernel
        bound = (kernel.func, kernel.args) if isinstance(kernel, partial) else (kernel, ())
        return bound[0].__name__.strip("_"), bound[1]

    @property
    def slope(self) -> Kernel | None:
        """The kernel's derivative, its jumps left out; ``None`` where nothing else is left."""
        name, parameters = self.form
        return partial(_SLOPES[name], *parameters) if name in _SLOPES else None

    @cached_property
    def interpolating(self) -> bool:
        """Whether resampling onto the same grid returns the samples themselves."""
        offsets = np.arange(1.0, int(self.radius) + 1)
        at_samples = self.kernel(np.concatenate([[0.0], offsets, -offsets]))
        return bool(at_samples[0] == 1 and np.abs(at_samples[1:]).max(initial=0) < 1e-15) or bool(
            self.poles
        )


def _box(x: np.ndarray) -> np.ndarray:
    return ((x > -0.5) & (x <= 0.5)).astype(np.float64)


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1.0 - np.abs(x), 0.0)


def _hamming(x: np.ndarray) -> np.ndarray:
    # The cosine of an angle, by the sine of its half.
    sine = native.sinc(x / 2) * (np.pi / 2 * x)
    # Pillow writes the two constants as float literals and the rest in double.
    window = float(np.float32(0.54)) + float(np.float32(0.46)) * (1 - 2 * (sine * sine))
    inside = np.where(x == 0, 1.0, native.sinc(x) * window)  # where the two add up to more
    return np.where(np.abs(x) < 1, inside, 0.0)


def _lanczos(lobes: int, x: np.ndarray) -> np.ndarray:
    return np.where((x >= -lobes) & (x < lobes), native.sinc(x) * native.sinc(x / lobes), 0.0)


def _gaussian(x: np.ndarray) -> np.ndarray:
    x = np.minimum(np.abs(x), 1.5)
    return np.where(x < 1.5, native.exponential(-2 * (x * x)), 0.0)


def keys(a: float, x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel; ``a`` is its slope at distance 1."""
    x = np.abs(x)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _cubic(b: float, c: float, x: np.ndarray) -> np.ndarray:
    """The two-parameter family of Mitchell and Netravali."""
    x = np.abs(x)
    near = ((12 - 9 * b - 6 * c) * x - (18 - 12 * b - 6 * c)) * x * x + (6 - 2 * b)
    far = ((-(b + 6 * c) * x + (6 * b + 30 * c)) * x - (12 * b + 48 * c)) * x + (8 * b + 24 * c)
    return np.where(x < 1, near, np.where(x < 2, far, 0.0)) / 6


def _piecewise(pieces: tuple[tuple[float, ...], ...], x: np.ndarray) -> np.ndarray:
    """Polynomials, highest power first, in the distance past each whole number."""
    x = np.abs(x)
    interval = np.floor(x)
    result = np.zeros_like(x)
    for k, coefficients in enumerate(pieces):
        result = np.where(interval == k, np.polyval(coefficients, x - k), result)
    return result


def _mks2013(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    pieces = [17 / 16 - 1.75 * (x * x), (1 - x) * (1.75 - x), -0.125 * (x - 2.5) ** 2]
    return np.select([x < 0.5, x < 1.5, x < 2.5], pieces, 0.0)


def _mks2021(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    # Factored as Pillow 13 has it: the last bit decides ties in its 32-bit mode.
    pieces = [
        577 / 576 - 239 / 144 * (x * x),
        35 / 36 * (x - 1) * (x - 239 / 140),
        1 / 6 * (x - 2) * (65 / 24 - x),
        1 / 36 * (x - 3) * (x - 3.75),
        -1 / 288 * (x - 4.5) ** 2,
    ]
    return np.select([x < 0.5, x < 1.5, x < 2.5, x < 3.5, x < 4.5], pieces, 0.0)


def _bspline(degree: int, x: np.ndarray) -> np.ndarray:
    """Centred B-spline by the Cox-de Boor recursion, which has no cancellation."""
    if degree == 0:
        return ((x >= -0.5) & (x < 0.5)).astype(np.float64)
    half = (degree + 1) / 2
    left = (half + x) * _bspline(degree - 1, x + 0.5)
    right = (half - x) * _bspline(degree - 1, x - 0.5)
    return (left + right) / degree


def _triangle_slope(x: np.ndarray) -> np.ndarray:
    # At its kinks the mean of both sides: that is how an image changes about a pixel's centre.
    return (np.sign(x + 1) + np.sign(x - 1)) / 2 - np.sign(x)


def _sinc_slope(x: np.ndarray) -> np.ndarray:
    # The difference loses its digits about zero.
    near = np.abs(x) < 1e-4
    divisor = np.where(near, 1.0, x)
    return np.where(near, -(np.pi**2) / 3 * x, (np.cos(np.pi * x) - native.sinc(x)) / divisor)


def _hamming_slope(x: np.ndarray) -> np.ndarray:
    window, swing = float(np.float32(0.54)), float(np.float32(0.46))
    slope = _sinc_slope(x) * (window + swing * np.cos(np.pi * x))
    slope -= native.sinc(x) * (swing * np.pi * np.sin(np.pi * x))
    return np.where(np.abs(x) < 1, slope, 0.0)


def _lanczos_slope(lobes: int, x: np.ndarray) -> np.ndarray:
    slope = (
        _sinc_slope(x) * native.sinc(x / lobes) + native.sinc(x) * _sinc_slope(x / lobes) / lobes
    )
    return np.where(np.abs(x) < lobes, slope, 0.0)


def _gaussian_slope(x: np.ndarray) -> np.ndarray:
    return -4.0 * x * _gaussian(x)


def _keys_slope(a: float, x: np.ndarray) -> np.ndarray:
    # At a distance of 1 both of its parabolas have this slope.
    return np.sign(x) * _polynomials(
        x, (1.0, 2.0), ((3 * a + 6, -2 * a - 6, 0), (3 * a, -10 * a, 8 * a))
    )


def _cubic_slope(b: float, c: float, x: np.ndarray) -> np.ndarray:
    near = (12 - 9 * b - 6 * c) / 2, -(18 - 12 * b - 6 * c) / 3, 0
    far = -(b + 6 * c) / 2, (6 * b + 30 * c) / 3, -(12 * b + 48 * c) / 6
    return np.sign(x) * _polynomials(x, (1.0, 2.0), (near, far))


def _piecewise_slope(pieces: tuple[tuple[float, ...], ...], x: np.ndarray) -> np.ndarray:
    return np.sign(x) * _piecewise(tuple(tuple(np.polyder(piece)) for piece in pieces), x)


def _mks2013_slope(x: np.ndarray) -> np.ndarray:
    pieces = (-3.5, 0), (2, -2.75), (-0.25, 0.625)
    return np.sign(x) * _polynomials(x, (0.5, 1.5, 2.5), pieces)


def _mks2021_slope(x: np.ndarray) -> np.ndarray:
    pieces = (-478, 0), (280, -379), (-48, 113), (8, -27), (-1, 4.5)
    return np.sign(x) * _polynomials(x, (0.5, 1.5, 2.5, 3.5, 4.5), pieces) / 144


def _polynomials(
    x: np.ndarray, ends: tuple[float, ...], pieces: tuple[tuple[float, ...], ...]
) -> np.ndarray:
    """Polynomials of the distance, highest power first, each below its end."""
    x = np.abs(x)
    return np.select([x < end for end in ends], [np.polyval(piece, x) for piece in pieces], 0.0)


_SLOPES = {
    "triangle": _triangle_slope,
    "hamming": _hamming_slope,
    "lanczos": _lanczos_slope,
    "gaussian": _gaussian_slope,
    "keys": _keys_slope,
    "cubic": _cubic_slope,
    "piecewise": _piecewise_slope,
    "mks2013": _mks2013_slope,
    "mks2021": _mks2021_slope,
}
"""Derivatives, by the name in ``Filter.form``."""


def _roots(*coefficients: float) -> tuple[float, ...]:
    """The roots inside the unit circle of a reciprocal polynomial."""
    return tuple(float(r) for r in np.roots(coefficients).real if abs(r) < 1)


_LANCZOS = "Duchon 1979, Lanczos filtering in one and two dimensions"
_UNSER = "Unser, Aldroubi & Eden 1993, B-spline signal processing"
_PANOTOOLS = "Helmut Dersch, Panorama Tools (math.c)"
_MKS = "Costella 2021, The magic kernel"
_CUBICS = "Mitchell & Netravali 1988, Reconstruction filters in computer graphics"

_SPLINE16 = ((1, -9 / 5, -1 / 5, 1), (-1 / 3, 4 / 5, -7 / 15, 0))
_SPLINE36 = (
    (13 / 11, -453 / 209, -3 / 209, 1),
    (-6 / 11, 270 / 209, -156 / 209, 0),
    (1 / 11, -45 / 209, 26 / 209, 0),
)
_SPLINE64 = (
    (49 / 41, -6387 / 2911, -3 / 2911, 1),
    (-24 / 41, 4032 / 2911, -2328 / 2911, 0),
    (6 / 41, -1008 / 2911, 582 / 2911, 0),
    (-1 / 41, 168 / 2911, -97 / 2911, 0),
)

FILTERS: dict[str, Filter] = {
    "box": Filter(_box, 0.5, "Pillow Resample.c"),
    "bilinear": Filter(_triangle, 1.0, "Pillow Resample.c"),
    "hamming": Filter(_hamming, 1.0, "Pillow Resample.c"),
    "bicubic": Filter(partial(keys, -0.5), 2.0, "Keys 1981, Cubic convolution interpolation"),
    "catmull-rom": Filter(partial(_cubic, 0, 0.5), 2.0, "Catmull & Rom 1974"),
    "mitchell": Filter(partial(_cubic, 1 / 3, 1 / 3), 2.0, _CUBICS),
    "bspline": Filter(partial(_cubic, 1, 0), 2.0, "Hou & Andrews 1978, Cubic splines"),
    "gaussian": Filter(_gaussian, 1.5, "TensorFlow sampling_kernels.h, radius 1.5, sigma 0.5"),
    **{f"lanczos{n}": Filter(partial(_lanczos, n), float(n), _LANCZOS) for n in (2, 3, 4, 5)},
    "spline16": Filter(partial(_piecewise, _SPLINE16), 2.0, _PANOTOOLS),
    "spline36": Filter(partial(_piecewise, _SPLINE36), 3.0, _PANOTOOLS),
    "spline64": Filter(partial(_piecewise, _SPLINE64), 4.0, _PANOTOOLS),
    "mks2013": Filter(_mks2013, 2.5, _MKS),
    "mks2021": Filter(_mks2021, 4.5, _MKS),
    "spline2": Filter(partial(_bspline, 2), 1.5, _UNSER, _roots(1, 6, 1)),
    "spline3": Filter(partial(_bspline, 3), 2.0, _UNSER, _roots(1, 4, 1)),
    "spline4": Filter(partial(_bspline, 4), 2.5, _UNSER, _roots(1, 76, 230, 76, 1)),
    "spline5": Filter(partial(_bspline, 5), 3.0, _UNSER, _roots(1, 26, 66, 26, 1)),
}
