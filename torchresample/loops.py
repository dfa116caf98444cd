"""Passes over uint8, float32 and float64, compiled to vector instructions by numba.

Both passes are one loop, which adds weighted rows of contiguous memory. The horizontal pass
transposes a tile of the image first, so that its columns are such rows. Sums over uint8 are int32
and exact, others have the type of the image.
"""

import numpy as np
from numba import njit, types
from numba.extending import overload

LANES_OF_ONE, LANES_OF_SEVERAL = 128, 64
"""Rows of a tile, whose columns hold one or several channels: a few of the widest vectors."""

SPAN = 2048
"""Bytes that a tile takes of each row: long runs of memory, and tiles that overlap little."""

SUMS = 2048
"""Sums kept at a time: with the pixels that they read, they stay in the first-level cache."""


def _compiled(function):
    """Compiled at its first call, and kept on disk for later processes where there is a place."""
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's folder nor the user's can be written to
        return njit(**options)(function)


def _stored(total, bits):
    """A sum as it is stored: rounded and clamped to uint8, or as it is if floating."""


@overload(_stored)
def _(total, bits):
    if isinstance(total, types.Float):
        return lambda total, bits: total
    return lambda total, bits: np.uint8(min(max(total >> bits, np.int32(0)), np.int32(255)))


@_compiled
def _weigh(x, first, start, count, weight, half, bits, out, begin, end):
    """``out[o - begin] = sum_k weight[o, k] * x[start[o] - first + k]``, row by row."""
    n, real = x.shape[1], weight.dtype.type
    sums = np.empty(min(n, SUMS), weight.dtype)
    for c in range(0, n, SUMS):
        m = min(SUMS, n - c)
        for o in range(begin, end):
            row, taps = start[o] - first, count[o]
            for i in range(m):
                sums[i] = half
            k = 0
            while k + 4 <= taps:  # four at a time, to load and store the sums less often
                w0, w1, w2, w3 = weight[o, k], weight[o, k + 1], weight[o, k + 2], weight[o, k + 3]
                x0, x1 = x[row + k, c : c + m], x[row + k + 1, c : c + m]
                x2, x3 = x[row + k + 2, c : c + m], x[row + k + 3, c : c + m]
                for i in range(m):
                    near = w0 * real(x0[i]) + w1 * real(x1[i])
                    sums[i] += near + w2 * real(x2[i]) + w3 * real(x3[i])
                k += 4
            while k < taps:
                w0, x0 = weight[o, k], x[row + k, c : c + m]
                for i in range(m):
                    sums[i] += w0 * real(x0[i])
                k += 1
            y = out[o - begin, c : c + m]
            for i in range(m):
                y[i] = _stored(sums[i], bits)


@_compiled
def weigh_rows(x, start, count, weight, half, bits, out, begin, end):
    """A vertical pass: ``out[:, o]`` for the outputs ``begin <= o < end``.

    Args:
        x: ``[P, n_in, N]``, contiguous; uint8, float32 or float64.
        start, count: int64 ``[n_out]``, the first pixel that an output reads, and how many.
        weight: ``[n_out, taps]``; int32 for uint8, and no sum may leave it; else as ``x``.
        half: what a sum starts from, of the type of ``weight``.
        bits: int32, by which a sum of integers is shifted down.
        out: ``[P, n_out, N]``, contiguous, of the type of ``x``.
    """
    for p in range(x.shape[0]):
        _weigh(x[p], 0, start, count, weight, half, bits, out[p, begin:end], begin, end)


@_compiled
def _swap(a, b, shift, mask):
    """Exchange the bytes of ``a`` under ``mask << shift`` with those of ``b`` under ``mask``."""
    moved = ((a >> np.uint64(shift)) ^ b) & np.uint64(mask)
    return a ^ (moved << np.uint64(shift)), b ^ moved


@_compiled
def _transposed(a, b, c, d, e, f, g, h):
    """The columns of 8 x 8 bytes, given as rows, first byte lowest."""
    a, b = _swap(a, b, 8, 0x00FF00FF00FF00FF)
    c, d = _swap(c, d, 8, 0x00FF00FF00FF00FF)
    e, f = _swap(e, f, 8, 0x00FF00FF00FF00FF)
    g, h = _swap(g, h, 8, 0x00FF00FF00FF00FF)
    a, c = _swap(a, c, 16, 0x0000FFFF0000FFFF)
    b, d = _swap(b, d, 16, 0x0000FFFF0000FFFF)
    e, g = _swap(e, g, 16, 0x0000FFFF0000FFFF)
    f, h = _swap(f, h, 16, 0x0000FFFF0000FFFF)
    a, e = _swap(a, e, 32, 0x00000000FFFFFFFF)
    b, f = _swap(b, f, 32, 0x00000000FFFFFFFF)
    c, g = _swap(c, g, 32, 0x00000000FFFFFFFF)
    d, h = _swap(d, h, 32, 0x00000000FFFFFFFF)
    return a, b, c, d, e, f, g, h


@_compiled
def _eight_rows(x, row, begin, end):
    """Bytes of eight rows as words: one view a row, as one a word would take most of the time."""
    a, b = x[row, begin:end].view(np.uint64), x[row + 1, begin:end].view(np.uint64)
    c, d = x[row + 2, begin:end].view(np.uint64), x[row + 3, begin:end].view(np.uint64)
    e, f = x[row + 4, begin:end].view(np.uint64), x[row + 5, begin:end].view(np.uint64)
    g, h = x[row + 6, begin:end].view(np.uint64), x[row + 7, begin:end].view(np.uint64)
    return a, b, c, d, e, f, g, h


@_compiled
def _bytes_to_columns(x, row, column, tile, m):
    """``tile[i, j] = x[row + j, column + i]`` for ``j < m``, in blocks of 8 x 8 bytes."""
    n, eights = len(tile), m - m % 8
    whole = n - n % 8
    words = tile.view(np.uint64)
    for j in range(0, eights, 8):
        q, r = j // 8, row + j
        a, b, c, d, e, f, g, h = _eight_rows(x, r, column, column + whole)
        for k in range(whole // 8):
            i = 8 * k
            (
                words[i, q], words[i + 1, q], words[i + 2, q], words[i + 3, q],
                words[i + 4, q], words[i + 5, q], words[i + 6, q], words[i + 7, q],
            ) = _transposed(a[k], b[k], c[k], d[k], e[k], f[k], g[k], h[k])  # fmt: skip
        for i in range(whole, n):
            for v in range(8):
                tile[i, j + v] = x[r + v, column + i]
    for j in range(eights, m):
        for i in range(n):
            tile[i, j] = x[row + j, column + i]


@_compiled
def _bytes_to_rows(tile, out, row, column, m):
    """``out[row + j, column + i] = tile[i, j]`` for ``j < m``, in blocks of 8 x 8 bytes."""
    n, eights = len(tile), m - m % 8
    whole = n - n % 8
    words = tile.view(np.uint64)
    for j in range(0, eights, 8):
        q, r = j // 8, row + j
        a, b, c, d, e, f, g, h = _eight_rows(out, r, column, column + whole)
        for k in range(whole // 8):
            i = 8 * k
            a[k], b[k], c[k], d[k], e[k], f[k], g[k], h[k] = _transposed(
                words[i, q], words[i + 1, q], words[i + 2, q], words[i + 3, q],
                words[i + 4, q], words[i + 5, q], words[i + 6, q], words[i + 7, q],
            )  # fmt: skip
        for i in range(whole, n):
            for v in range(8):
                out[r + v, column + i] = tile[i, j + v]
    for j in range(eights, m):
        for i in range(n):
            out[row + j, column + i] = tile[i, j]


@_compiled
def _values_to_columns(x, row, column, tile, m):
    for i in range(len(tile)):
        for j in range(m):
            tile[i, j] = x[row + j, column + i]


@_compiled
def _values_to_rows(tile, out, row, column, m):
    for j in range(m):
        for i in range(len(tile)):
            out[row + j, column + i] = tile[i, j]


def _to_columns(x, row, column, tile, m):
    """``tile[i, j] = x[row + j, column + i]`` for ``j < m``."""


@overload(_to_columns)
def _(x, row, column, tile, m):
    copy = _bytes_to_columns if x.dtype == types.uint8 else _values_to_columns
    return lambda x, row, column, tile, m: copy(x, row, column, tile, m)


def _to_rows(tile, out, row, column, m):
    """``out[row + j, column + i] = tile[i, j]`` for ``j < m``."""


@overload(_to_rows)
def _(tile, out, row, column, m):
    copy = _bytes_to_rows if out.dtype == types.uint8 else _values_to_rows
    return lambda tile, out, row, column, m: copy(tile, out, row, column, m)


@_compiled
def weigh_columns(x, channels, start, count, weight, half, bits, out, begin, end):
    """A horizontal pass over the rows ``begin <= r < end``.

    Args:
        x: ``[P, R, n_in * channels]``, contiguous.
        channels: how many values a column holds.
        start, count, weight, half, bits: see ``weigh_rows``.
        out: ``[P, R, n_out * channels]``, contiguous.
    """
    n_out, span = len(weight), SPAN // (channels * x.itemsize)
    lanes = LANES_OF_SEVERAL if channels > 1 else LANES_OF_ONE
    o = 0
    while o < n_out:
        # As many outputs as read a window that fits the tile.
        low, high, stop = start[o], start[o] + count[o], o + 1
        while stop < n_out:
            first, last = min(low, start[stop]), max(high, start[stop] + count[stop])
            if last - first > max(span, 2 * count[stop]):
                break
            low, high, stop = first, last, stop + 1
        columns = np.empty(((high - low) * channels, lanes), x.dtype)
        sums = np.empty(((stop - o) * channels, lanes), x.dtype)
        # A column's channels are weighed together.
        window = columns.reshape(high - low, channels * lanes)
        weighed = sums.reshape(stop - o, channels * lanes)
        for p in range(x.shape[0]):
            for r in range(begin, end, lanes):
                m = min(lanes, end - r)
                _to_columns(x[p], r, low * channels, columns, m)
                _weigh(window, low, start, count, weight, half, bits, weighed, o, stop)
                _to_rows(sums, out[p], r, o * channels, m)
        o = stop
