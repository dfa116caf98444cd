"""What a profile is made of: methods that build bands, and passes that say how sums are stored."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from torchresample.bands import Axis, Band, select_band
from torchresample.filters import Filter
from torchresample.kept import kept

HORIZONTAL, VERTICAL = -1, -2


@dataclass(frozen=True)
class Pass:
    """One band applied along one axis, and how its exact sums become stored values.

    Args:
        dim: ``HORIZONTAL`` or ``VERTICAL``.
        band: integer-valued weights where ``rule`` is ``"fixed"`` or ``"floor"``.
        store: dtype of the result; ``None`` keeps the sums (floating, see ``reference.sum_dtype``).
        rule: ``"fixed"``: ``floor(sum / 2**bits + 1/2)``; ``"floor"``: ``floor(sum / 2**bits)``;
            ``"half-even"`` and ``"half-away"``: to the nearest integer, by how ties go;
            ``"mean"``: ``sum * float32(1 / count)`` in float32, then half-even;
            ``"srgb"``: half-even, and the byte that ``light.tables`` has for it.
            Integers are clamped to the range of ``store`` or, before they are encoded, of that.
        bits: see ``rule``.
        count: see ``rule``.
        sums: ``"exact"`` in any order; ``"float32"`` and ``"float64"``: in the order of the taps,
            rounded to that type after each product and each sum; ``"floor16"``: each product is
            divided by ``2**16`` and floored before it is added; ``"lerp"``: two taps, ``a + w * (b
            - a)`` with the weight of the second, in float64 but for the difference, which is
            rounded to float32.
        decodes: whether the bytes that it reads are looked up in ``light.tables``.
    """

    dim: int
    band: Band
    store: torch.dtype | None = None
    rule: str = "half-even"
    bits: int = 0
    count: int = 1
    sums: str = "exact"
    decodes: bool = False

    def moves(self, dtype: torch.dtype) -> bool:
        """Whether it is a gather of pixels of ``dtype``, as they are."""
        return self.band.selects and self.store in (None, dtype) and not self.decodes


def rounded_once(bands: Sequence[tuple[int, Band]], dtype: torch.dtype) -> tuple[Pass, ...]:
    """Real-valued passes, given as ``(dim, band)``, and one rounding (half to even) for integers.

    The order of their sums may decide how these fall at a tie, so that it is that of the taps.
    Floats keep their sums.
    """
    if dtype.is_floating_point:
        return tuple(Pass(dim, band) for dim, band in bands)
    stores = [None] * (len(bands) - 1) + [dtype]
    return tuple(
        Pass(dim, band, store, sums="float64")
        for (dim, band), store in zip(bands, stores, strict=True)
    )


@dataclass(frozen=True)
class Method:
    """One method as one profile does it.

    Args:
        band: ``(axis, antialias, boundary) -> Band``; ``None`` where a profile plans both axes
            together, and for pixels that are taken as they are (``Profile.nearest``).
        antialias: the values that may be asked for, the default first.
        keeps: whether an axis whose size is unchanged is left alone; or the filter, which says so
            by its values, once they are asked for.
        extends: whether it reads outside the image, so that a boundary rule applies.
        slopes: bands of the derivatives of ``band`` with respect to ``axis.lo`` and ``axis.hi``, of
            the same arguments; ``None`` where a box has no gradient.
    """

    band: Callable[[Axis, bool, str | None], Band] | None
    antialias: tuple[bool, ...] = (True, False)
    keeps: bool | Filter = True
    extends: bool = True
    slopes: Callable[[Axis, bool, str | None], tuple[Band, Band]] | None = None

    @property
    def skip(self) -> bool:
        """Whether an axis whose size is unchanged is left alone."""
        return self.keeps if isinstance(self.keeps, bool) else self.keeps.interpolating


@dataclass(frozen=True)
class Request:
    """Everything a plan depends on: one method on two axes, for one dtype.

    ``channels`` is ``image.shape[-3]``; OpenCV's rounding depends on it.
    """

    name: str
    method: Method
    axis_y: Axis
    axis_x: Axis
    antialias: bool
    boundary: str | None
    dtype: torch.dtype
    channels: int

    def band(self, axis: Axis) -> Band:
        return _band(self.method, axis, self.antialias, self.boundary)


@kept
def _band(method: Method, axis: Axis, antialias: bool, boundary: str | None) -> Band:
    return method.band(axis, antialias, boundary)


Position = Callable[[Request, Axis], np.ndarray]
"""Where the outputs of an axis of a request read: ``[n_out]`` or, of several, ``[n, n_out]``."""


def in_order(request: Request, vertical_first: bool = False) -> list[tuple[int, Axis]]:
    """The axes that are resampled, as ``(dim, axis)``."""
    axes = [(HORIZONTAL, request.axis_x), (VERTICAL, request.axis_y)]
    axes = axes[::-1] if vertical_first else axes
    return [(dim, axis) for dim, axis in axes if not (request.method.skip and axis.unchanged)]


@dataclass(frozen=True)
class Profile:
    """A library's conventions.

    Args:
        source: the library and version, or the file, that it reproduces.
        methods: what the profile has, by name.
        plan: the passes of a request, in order, for methods that weigh pixels.
        nearest: by name, where those read that take one pixel for each output, unless they smooth
            before: ``(request, axis) -> positions``.
        boundaries: the boundary rules that may be asked for, the default first; empty where the
            library leaves no choice.
        clips: whether float results of overshooting methods are clamped to the image's own range.
        float32_boxes: whether box edges are kept as float32.
        linear: whether pixels, which are sRGB, are resampled as linear light.
        columns_first: by the axes along the height and the width, whether columns are resampled
            first; ``None``: never.
    """

    source: str
    methods: dict[str, Method]
    plan: Callable[[Request], tuple[Pass, ...]]
    nearest: dict[str, Position]
    boundaries: tuple[str, ...] = ()
    clips: bool = False
    linear: bool = False
    float32_boxes: bool = False
    columns_first: Callable[[Axis, Axis], bool] | None = None

    def axis(self, n_in: int, n_out: int, lo: float, hi: float) -> Axis:
        """The axis with this profile's precision of box edges."""
        if self.float32_boxes:
            # Pillow parses the box as C floats, and subtracts them as such.
            low, high = np.float32(lo), np.float32(hi)
            low, length = low.astype(np.float64), (high - low).astype(np.float64)
            return Axis(n_in, n_out, low, low + length)
        return Axis(n_in, n_out, lo, hi)

    def position(self, method: str, antialias: bool) -> Position | None:
        """Of the pixels that a method takes as they are; ``None`` where it weighs them."""
        return None if antialias else self.nearest.get(method)

    def passes(self, request: Request) -> tuple[Pass, ...]:
        """Of a request, in order."""
        position = self.position(request.name, request.antialias)
        if position is None:
            return self.plan(request)
        return tuple(
            Pass(dim, select_band(axis.n_in, position(request, axis)))
            for dim, axis in in_order(request)
        )

    def wraps(self, dtype: torch.dtype, method: str, antialias: bool) -> bool:
        """Whether more than passes makes the results of images of ``dtype``."""
        if self.position(method, antialias) is not None:
            return False
        return self.clips or (self.linear and dtype.is_floating_point)

    @property
    def boundary(self) -> str | None:
        """What ``boundary=None`` means; ``None`` where there is no choice."""
        return self.boundaries[0] if self.boundaries else None

    def antialias(self, asked: bool | None, method: str, dtype: torch.dtype) -> bool:
        """Whether a method antialiases, by the argument ``asked`` (see ``check_options``)."""
        choices = self.methods[method].antialias
        if asked is None and len(choices) > 1 and method == "nearest":
            # scikit-image smooths floats before order 0, but not integers, which may be labels.
            return dtype.is_floating_point
        return asked if asked in choices else choices[0]


@kept
def quantized(band: Band, bits: int) -> Band:
    """Weights times ``2**bits``, rounded half away from zero."""
    scaled = band.weight * 2.0**bits
    return replace(band, weight=np.trunc(scaled + np.copysign(0.5, scaled)))
