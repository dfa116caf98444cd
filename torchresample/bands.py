"""Bands: per axis, ``y[j] = sum_k weight[j, k] * x[start[j] + k]``.

Everything here *builds* bands, in float64. Engines only apply them.
"""

from dataclasses import dataclass

import numpy as np

from torchresample import native
from torchresample.filters import Filter, Kernel

BOUNDARIES = {
    "renormalize": "drop weights outside the image and divide by the sum of the rest",
    "edge": "repeat the edge pixel (scipy: nearest; torch: border)",
    "symmetric": "mirror about the image's edge, d c b a | a b c d (scipy: reflect)",
    "reflect": "mirror about the edge pixel's centre, d c b | a b c d (scipy: mirror)",
    "wrap": "repeat the image periodically (scipy: grid-wrap)",
    "constant": "zeros outside (scipy: grid-constant with cval 0)",
    "extrapolate": "continue the line through the last two pixels: 2 * p1 - p2",
}


@dataclass(frozen=True)
class Axis:
    """One axis of a resize: pixels ``[lo, hi)`` of ``n_in`` become ``n_out`` pixels.

    Coordinates count pixel edges: pixel ``i`` covers ``[i, i + 1)``. Numbers, or arrays ``[n, 1]``
    of them for the axes of several images, but for ``n_out``; outputs are then ``[n, n_out]``.
    """

    n_in: int
    n_out: int
    lo: float
    hi: float

    @property
    def scale(self) -> float:
        """Source pixels per output pixel."""
        return (self.hi - self.lo) / self.n_out

    @property
    def centres(self) -> np.ndarray:
        """Source coordinate of each output pixel's centre, float64 ``[n_out]``."""
        return self.lo + (np.arange(self.n_out) + 0.5) * self.scale

    @property
    def unchanged(self) -> bool:
        return (self.n_in == self.n_out) & self.crops

    @property
    def crops(self) -> bool:
        """Whether the outputs are whole pixels of the input, in order."""
        return (self.lo == np.floor(self.lo)) & (self.hi - self.lo == self.n_out)


@dataclass(frozen=True, eq=False)
class Band:
    """The rows of one axis' resampling matrix, ``[n_out, n_in]`` and mostly zero.

    Args:
        n_in: length of the axis it reads.
        n_out: length of the axis it writes.
        start: int64 ``[rows]``, ``0 <= start`` and ``start + taps <= len(gather) or n_in``.
        weight: float64 ``[rows, taps]``.
        gather: int64, pixels to gather before the rows apply, for boundary rules whose weights do
            not fold into one window per row; ``None`` reads the axis as it is.
        fold: int64 ``[rows]``, the output that each row is added into, the adjoint of ``gather``;
            ``None`` where rows and outputs are the same.
    """

    n_in: int
    n_out: int
    start: np.ndarray
    weight: np.ndarray
    gather: np.ndarray | None = None
    fold: np.ndarray | None = None

    @property
    def rows(self) -> int:
        return len(self.start)

    @property
    def taps(self) -> int:
        return self.weight.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        others = (part.nbytes for part in (self.gather, self.fold) if part is not None)
        return self.start.nbytes + self.weight.nbytes + sum(others)

    @property
    def selects(self) -> bool:
        """Whether every output is one unweighted pixel, so that applying it is a gather."""
        direct = self.gather is None and self.fold is None
        return direct and self.taps == 1 and bool((self.weight == 1).all())

    def part(self, outputs: np.ndarray) -> "Band":
        """The rows of some outputs, in their order."""
        start, weight = self.start[outputs], self.weight[outputs]
        return Band(self.n_in, len(outputs), start, weight, self.gather)

    def transposed(self) -> "Band":
        """The adjoint: the same entries, one window per input."""
        n_columns = self.n_in if self.gather is None else len(self.gather)
        column = self.start[:, None] + np.arange(self.taps)  # [rows, taps]
        row = np.broadcast_to(np.arange(self.rows)[:, None], column.shape)
        used = self.weight != 0
        start, weight = _windows(n_columns, self.rows, column[used], row[used], self.weight[used])
        return Band(self.n_out, self.n_in, start, weight, self.fold, self.gather)


@dataclass(frozen=True)
class Rows:
    """Rows before the boundary rule: ``first [n_out]`` may be negative or past the end."""

    first: np.ndarray
    weight: np.ndarray  # [n_out, taps]

    @property
    def positions(self) -> np.ndarray:
        return self.first[:, None] + np.arange(self.weight.shape[1])

    def normalised(self) -> "Rows":
        # Along its first axis NumPy adds in order, as the C libraries do; along the last, in pairs.
        total = np.ascontiguousarray(self.weight.T).sum(axis=0)
        total[total == 0] = 1.0
        return Rows(self.first, self.weight / total[:, None])

    def convolved(self, kernel: np.ndarray) -> "Rows":
        """Rows that read the input filtered with an odd-length, symmetric ``kernel``."""
        n_out, taps = self.weight.shape
        weight = np.zeros((n_out, taps + len(kernel) - 1))
        # Loop over the shorter of the two: a long Gaussian meets a few spline taps.
        for k in range(min(taps, len(kernel))):
            if taps <= len(kernel):
                weight[:, k : k + len(kernel)] += self.weight[:, k : k + 1] * kernel
            else:
                weight[:, k : k + taps] += self.weight * kernel[k]
        return Rows(self.first - len(kernel) // 2, weight)


def filter_rows(kernel: Kernel, radius: float, axis: Axis, antialias: bool) -> Rows:
    """Weights of ``kernel`` around each output's centre, widened by the downscale factor.

    Source: Pillow ``Resample.c``, ``precompute_coeffs``, in its order of operations.
    """
    first, distance = _distances(radius, axis, max(axis.scale, 1.0) if antialias else 1.0)
    return Rows(first, kernel(distance))


def _distances(radius: float, axis: Axis, filter_scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The first pixel of each output's footprint; distances of its pixels, in a filter's units."""
    centre = axis.centres
    first, width = native.footprints(centre, radius * filter_scale)
    # Past its footprint, where a kernel is zero.
    outside = radius + 1.0
    return first, native.distances(centre, first, width, 1.0 / filter_scale, outside)


def overlap_rows(axis: Axis) -> Rows:
    """Share of each source pixel that an output pixel's footprint covers."""
    edges = axis.lo + np.arange(axis.n_out + 1) * ((axis.hi - axis.lo) / axis.n_out)
    left, right = edges[:-1, None], edges[1:, None]
    first = np.minimum(np.floor(edges[:-1]).astype(np.int64), axis.n_in - 1)
    taps = max(int((np.ceil(edges[1:]).astype(np.int64) - first).max()), 1)
    pixel = first[:, None] + np.arange(taps)
    covered = np.maximum(np.minimum(pixel + 1, right) - np.maximum(pixel, left), 0.0)
    covered[covered.sum(axis=1) == 0, 0] = 1.0  # a footprint too narrow for its edges to differ
    return Rows(first, covered)


def select_band(n_in: int, position: np.ndarray) -> Band:
    """Output ``j`` is the pixel at ``position[j]``: see ``pixel_at``."""
    index = pixel_at(position, n_in)
    return Band(n_in, len(index), index, np.ones((len(index), 1)))


def pixel_at(position: np.ndarray, n_in: int) -> np.ndarray:
    """int64, the pixels that begin at or before each ``position``, clamped to the image."""
    return np.clip(np.floor(position).astype(np.int64), 0, n_in - 1)


def window_band(rows: Rows, n_in: int) -> Band:
    """Cut rows at the image's ends and normalise what is left."""
    stop = np.minimum(rows.first + rows.weight.shape[1], n_in)
    start = np.maximum(rows.first, 0)
    taps = max(int((stop - start).max()), 1)
    start = np.minimum(start, n_in - taps)
    weight = native.window(rows.first, rows.weight, n_in, start, taps)
    return Band(n_in, len(start), start, weight)


def folded_band(rows: Rows, n_in: int, boundary: str) -> Band:
    """Apply a boundary rule by moving weights from outside the image onto its pixels."""
    if boundary == "renormalize":
        return window_band(rows, n_in)
    if boundary == "wrap":
        return gathered_band(rows, n_in, boundary)
    row = np.broadcast_to(np.arange(len(rows.first))[:, None], rows.weight.shape)
    if boundary == "extrapolate":
        entries = _extrapolated(row, rows, n_in)
    else:
        used = rows.weight != 0
        if boundary == "constant":
            used &= (rows.positions >= 0) & (rows.positions < n_in)
        column = outside_index(rows.positions[used], n_in, boundary)
        entries = row[used], column, rows.weight[used]
    return Band(n_in, len(rows.first), *_windows(len(rows.first), n_in, *entries))


def gathered_band(rows: Rows, n_in: int, boundary: str) -> Band:
    """Keep every tap of its own, reading an image extended by ``boundary``."""
    low = min(int(rows.first.min()), 0)
    high = max(int(rows.first.max()) + rows.weight.shape[1], n_in)
    index = outside_index(np.arange(low, high), n_in, boundary)
    return Band(n_in, len(rows.first), rows.first - low, rows.weight, index)


def outside_index(position: np.ndarray, n: int, boundary: str) -> np.ndarray:
    """The pixel that stands at each ``position`` of the extended image."""
    if boundary == "wrap":
        return position % n
    if boundary == "reflect":
        period = max(2 * (n - 1), 1)
        folded = position % period
        return np.minimum(folded, period - folded) if n > 1 else np.zeros_like(position)
    if boundary == "symmetric":
        folded = position % (2 * n)
        return np.minimum(folded, 2 * n - 1 - folded)
    return np.clip(position, 0, n - 1)


def _extrapolated(row: np.ndarray, rows: Rows, n: int) -> tuple[np.ndarray, ...]:
    """Row, column and weight of ``x[edge] + distance * (x[edge] - x[inner])``."""
    position, weight = rows.positions, rows.weight
    edge = np.clip(position, 0, n - 1)
    distance = np.abs(position - edge)
    inner = np.clip(edge + np.sign(edge - position), 0, n - 1)
    outside = distance > 0
    moved = (weight * distance)[outside]
    return (
        np.concatenate([row.ravel(), row[outside], row[outside]]),
        np.concatenate([edge.ravel(), edge[outside], inner[outside]]),
        np.concatenate([weight.ravel(), moved, -moved]),
    )


def _windows(
    n_rows: int, n_columns: int, row: np.ndarray, column: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sum scattered entries into one window per row: ``start`` and ``weight`` of a band."""
    first = np.full(n_rows, n_columns)
    last = np.full(n_rows, -1)
    np.minimum.at(first, row, column)
    np.maximum.at(last, row, column)
    # A row without entries takes its neighbour's window, so that blocks of rows stay narrow.
    empty = last < 0
    if empty.any():
        nearest = np.maximum.accumulate(np.where(empty, 0, np.arange(n_rows)))
        first, last = first[nearest], last[nearest]
        first, last = np.where(last < 0, 0, first), np.where(last < 0, 0, last)
    taps = int((last - first).max()) + 1
    start = np.minimum(first, n_columns - taps)
    flat = row * taps + column - start[row]
    dense = np.bincount(flat, weights=weight, minlength=n_rows * taps)
    return start, dense.reshape(n_rows, taps)


def spline_prefilter(poles: tuple[float, ...]) -> np.ndarray:
    """Impulse response of the filter that turns samples into B-spline coefficients.

    Each pole ``z`` is the two-sided exponential ``(1 - z) / (1 + z) * z ** abs(k)``, cut where it
    falls below the rounding of a double. Source: Unser, Aldroubi & Eden 1993, part II.
    """
    response = np.ones(1)
    for z in poles:
        reach = int(np.ceil(np.log(2.0**-60) / np.log(abs(z))))
        response = np.convolve(
            response, (1 - z) / (1 + z) * z ** np.abs(np.arange(-reach, reach + 1))
        )
    return response


def filter_band(filter_: Filter, axis: Axis, antialias: bool, boundary: str) -> Band:
    """Band of a plain filter (no prefilter) under a boundary rule."""
    rows = filter_rows(filter_.kernel, filter_.radius, axis, antialias)
    return folded_band(
        rows if boundary == "renormalize" else rows.normalised(), axis.n_in, boundary
    )


def filter_slopes(filter_: Filter, axis: Axis, antialias: bool, boundary: str) -> tuple[Band, Band]:
    """Bands of the derivatives of ``filter_band``'s weights with respect to ``axis.lo`` and ``hi``.

    What the rounding of ``axis.lo`` and ``hi`` does to them is left out.
    """
    widened = antialias and axis.scale > 1
    filter_scale = axis.scale if widened else 1.0
    # A pixel at the very end of a footprint has a slope where it has no weight.
    first, distance = _distances(filter_.radius + 1e-3, axis, filter_scale)
    rows = Rows(first, filter_.kernel(distance))
    slope = filter_.slope(distance)
    if boundary == "renormalize":  # pixels outside count for nothing
        outside = (rows.positions < 0) | (rows.positions >= axis.n_in)
        rows.weight[outside], slope[outside], boundary = 0.0, 0.0, "constant"
    total = rows.weight.sum(axis=1, keepdims=True)
    total[total == 0] = 1.0
    # A distance is (pixel - centre) / filter_scale; both of those move with the edges.
    share = (np.arange(axis.n_out)[:, None] + 0.5) / axis.n_out
    spread = distance / axis.n_out if widened else 0.0
    bands = []
    for moved in ((spread - (1 - share)) / filter_scale, (-spread - share) / filter_scale):
        change = slope * moved
        normalised = (change - rows.weight * (change.sum(axis=1, keepdims=True) / total)) / total
        bands.append(folded_band(Rows(first, normalised), axis.n_in, boundary))
    return tuple(bands)
