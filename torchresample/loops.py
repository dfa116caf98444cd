"""Passes in vector instructions, compiled by numba.

Both passes add weighted rows of contiguous memory, a block of lanes at a time. The horizontal pass
transposes a tile of the image first, so that its columns are such rows. Two passes go together from
strip to strip, so that what lies between them stays in the cache.

Throughout, a ``band`` is ``(start, count, weight, half, scale)``: int64 ``[n_out]``, the first
pixel that an output reads, and how many; their weights ``[n_out, taps]``, and what a sum starts
from, both as ``vectors.weigh_block`` takes them; and its scale. An image ``x`` is ``[P, H, N]``,
contiguous, of which the first ``W * step`` of the ``N`` values of a row are its columns, and of
each column the first ``channels`` count; ``out`` is ``[P, h, w * channels]``, contiguous. ``begin``
and ``end`` count the rows of all planes together, so that threads share planes and rows alike.
"""

import numpy as np
from numba import types
from numba.extending import overload

from torchresample.jit import compiled
from torchresample.vectors import (
    GROUPS,
    LANES,
    prefetch,
    side,
    transpose_block,
    transpose_tall,
    weigh_block,
)

SPAN = 2048
"""Bytes that a tile takes of each row: long runs of memory, and tiles that overlap little."""

STRIPE = 2048
"""Values of a row weighed before the next: those that neighbours read again stay in the cache."""

LINE = 64
"""Bytes of a cache line."""

STRIP = 2**19
"""Bytes that lie between two passes at a time: half of a second-level cache."""


@compiled
def _narrow_row(x, first, index, band, o, cut, out, row):
    """``weigh_block`` for rows of less than ``LANES``."""
    _, count, weight, half, scale = band
    n, taps = out.shape[1], count[o]
    wide, weighed = np.zeros((taps, LANES), x.dtype), np.empty((1, LANES), out.dtype)
    for k in range(taps):
        source = first + k if index is None else index[first + k]
        for i in range(n):
            wide[k, i] = x[source, i]
    weigh_block(wide, 0, 0, None, weight, o, taps, half, scale, cut, weighed, 0, 0)
    for i in range(n):
        out[row, i] = weighed[0, i]


@compiled
def _rows(x, first, index, band, cut, out, row, begin, end):
    """``out[row + o - begin] = sum_k weight[o, k] * x[start[o] - first + k]``."""
    start, count, weight, half, scale = band
    n = out.shape[1]
    if n < LANES:
        for o in range(begin, end):
            _narrow_row(x, start[o] - first, index, band, o, cut, out, row + o - begin)
        return
    for stripe in range(0, n, STRIPE):
        for o in range(begin, end):
            for i in range(stripe, min(stripe + STRIPE, n), LANES):
                c = min(i, n - LANES)  # the last block overlaps the one before
                weigh_block(
                    x, start[o] - first, c, index, weight, o, count[o], half, scale, cut,
                    out, row + o - begin, c,
                )  # fmt: skip


@compiled
def weigh_rows(index, band, cut, x, step, channels, out, begin, end):
    """A vertical pass: rows ``begin`` to ``end`` of the ``P * n_out`` that ``out`` has.

    Args:
        index: int64, the row that stands at each position; ``None`` where that is its number.
        band: see above.
        cut: see ``vectors.weigh_block``.
        x, step, channels: see above; ``step`` is ``channels``.
        out: see above.
    """
    n_out = out.shape[1]
    for p in range(begin // n_out, (end - 1) // n_out + 1):
        low, high = max(begin - p * n_out, 0), min(end - p * n_out, n_out)
        _rows(x[p], 0, index, band, cut, out[p], low, low, high)


@compiled
def _transpose(x, lines, row, column, n_rows, n_columns, out, out_row, out_column):
    """``out[out_row + i, out_column + j] = x[row + j, column + i]``, ``j < n_rows``."""
    n = side(x.itemsize)
    if n_rows < n or n_columns < n:
        for j in range(n_rows):
            source = row + j if lines is None else lines[row + j]
            for i in range(n_columns):
                out[out_row + i, out_column + j] = x[source, column + i]
        return
    tall = GROUPS * n
    if n_rows >= tall:
        for b in range(0, n_rows, tall):
            j = min(b, n_rows - tall)
            for a in range(0, n_columns, n):
                i = min(a, n_columns - n)
                transpose_tall(x, lines, row + j, column + i, out, out_row + i, out_column + j)
        return
    for b in range(0, n_rows, n):
        j = min(b, n_rows - n)
        for a in range(0, n_columns, n):
            i = min(a, n_columns - n)
            transpose_block(x, lines, row + j, column + i, out, out_row + i, out_column + j)


@compiled
def _tiles(channels, band, size):
    """Tiles of a horizontal pass: ``(first output, last + 1, first column, last + 1)``."""
    start, count = band[:2]
    span, n_out, o, n = SPAN // (channels * size), len(start), 0, 0
    tiles = np.empty((n_out, 4), np.int64)
    while o < n_out:
        # As many outputs as read a window that fits, and not many more than it holds.
        low, high, stop = start[o], start[o] + count[o], o + 1
        while stop < n_out and stop - o < max(2 * span, 1):
            first, last = min(low, start[stop]), max(high, start[stop] + count[stop])
            if last - first > max(span, 2 * count[stop]):
                break
            low, high, stop = first, last, stop + 1
        tiles[n, 0], tiles[n, 1], tiles[n, 2], tiles[n, 3] = o, stop, low, high
        o, n = stop, n + 1
    return tiles[:n]


@compiled
def _ask(x, lines, row, step, tile):
    """Prefetch what a tile reads of a row.

    A tile's rows are too short for the CPU to foresee them, and weighing leaves memory idle.
    """
    row = row if lines is None else lines[row]
    for c in range(tile[2] * step, tile[3] * step, LINE // x.itemsize):
        prefetch(x, row, c)


def _decodable(x, decoded):
    """Place for the numbers that stand in ``decoded`` for ``x``; ``x`` where there is ``None``."""


@overload(_decodable)
def _(x, decoded):
    if isinstance(decoded, types.NoneType):
        return lambda x, decoded: x
    return lambda x, decoded: np.empty(x.shape, decoded.dtype)


@compiled
def _columns(x, lines, step, channels, tiles, decoded, band, out, row, begin, end):
    """A horizontal pass from rows ``begin`` to ``end`` of ``x`` to rows from ``row`` of ``out``.

    With an array of ``lines``, from the rows that stand there. A column of ``x`` holds ``step``
    values, of which the first ``channels`` count. ``decoded``: see ``weigh_columns_and_rows``.
    """
    start, count, weight, half, scale = band
    read = written = 0
    for t in range(len(tiles)):
        read = max(read, tiles[t, 3] - tiles[t, 2])
        written = max(written, tiles[t, 1] - tiles[t, 0])
    columns = np.zeros((read * step, LANES), x.dtype)
    sums = np.empty((written * channels, LANES), out.dtype)
    values = _decodable(columns, decoded)
    # A column's channels are weighed together.
    window, weighed = values.reshape(-1, step * LANES), sums.reshape(-1, channels * LANES)
    for r in range(begin, end, LANES):
        # The last rows again where that makes them enough for a tall block.
        r = max(min(r, end - GROUPS * side(x.itemsize)), begin)
        m = min(LANES, end - r)
        for t in range(len(tiles)):
            o, stop, low, high = tiles[t, 0], tiles[t, 1], tiles[t, 2], tiles[t, 3]
            _transpose(x, lines, r, low * step, m, (high - low) * step, columns, 0, 0)
            if decoded is not None:
                for i in range((high - low) * step):
                    for j in range(LANES):
                        values[i, j] = decoded[columns[i, j]]
            # Until the next tile, of the same rows or the next ones, its rows are asked for.
            last = t + 1 == len(tiles)
            asked, following = (r + m, tiles[0]) if last else (r, tiles[t + 1])
            rows, due = min(LANES, end - asked), 0
            for j in range(o, stop):
                due += rows
                while due >= stop - o:
                    _ask(x, lines, asked, step, following)
                    asked, due = asked + 1, due - (stop - o)
                for i in range(0, channels * LANES, LANES):
                    weigh_block(
                        window, start[j] - low, i, None, weight, j, count[j], half, scale, None,
                        weighed, j - o, i,
                    )  # fmt: skip
            n = (stop - o) * channels
            _transpose(sums, None, 0, 0, n, m, out, row + r - begin, o * channels)


@compiled
def weigh_columns(band, x, step, channels, out, begin, end):
    """A horizontal pass: rows ``begin`` to ``end`` of the ``P * R`` that ``x`` and ``out`` have.

    Args:
        band, x, step, channels, out: see above.
    """
    height, tiles = x.shape[1], _tiles(step, band, x.itemsize)
    for p in range(begin // height, (end - 1) // height + 1):
        low, high = max(begin - p * height, 0), min(end - p * height, height)
        _columns(x[p], None, step, channels, tiles, None, band, out[p], low, low, high)


@compiled
def _strip(band, index, o, end, low, known, most):
    """Outputs from ``o`` on whose rows are few: ``most`` beside the known ones from ``low`` on.

    Returns the last output + 1, and the first and the last + 1 of the rows that they read.
    """
    start, count, weight = band[:3]
    first, last, stop = 0, 0, o
    while stop < end:
        near, far = start[stop], start[stop] + count[stop]
        if index is not None:
            near, far = index[near], index[far - 1] + 1
        if stop > o:
            near, far = min(near, first), max(far, last)
            new = far - known if low <= near <= known else far - near
            if new > most or far - near > most + weight.shape[-1]:
                break
        first, last, stop = near, far, stop + 1
    return stop, first, last


@compiled
def _rows_from(first, index, x, band, cut, encoded, out, begin, end):
    """``_rows``, where ``x`` begins with row ``first`` of an image."""
    if index is not None:
        index, first = index - first, 0
    if encoded is None:
        _rows(x, first, index, band, cut, out, begin, begin, end)
        return
    line = np.empty((1, out.shape[1]), np.uint16)
    for o in range(begin, end):
        _rows(x, first, index, band, cut, line, 0, o, o + 1)
        for i in range(out.shape[1]):
            out[o, i] = encoded[line[0, i]]


@compiled
def weigh_columns_and_rows(
    lines, across, index, down, cut, between, decoded, encoded,
    x, step, channels, out, begin, end,
):  # fmt: skip
    """A horizontal pass, then a vertical one: rows ``begin`` to ``end`` of ``P * h`` in ``out``.

    Args:
        lines: int64, the rows of ``x`` that count as its first, second, ...; ``None``: all.
        across, down: the bands.
        index, cut: see ``weigh_rows``; ``index`` ascends.
        between: an array of the type of what lies between the passes.
        decoded, encoded: ``None``; or what stands for each byte of ``x``, and the byte that stands
            for each sum of 16 bits.
        x, step, channels, out: see above.
    """
    n_out, width = out.shape[1:]
    tiles = _tiles(step, across, x.itemsize)
    most = max(STRIP // (width * between.itemsize) // LANES, 1) * LANES
    rows = np.empty((most + down[2].shape[-1], width), between.dtype)
    o, low, known = begin, 0, 0
    while o < end:
        p, j = o // n_out, o % n_out
        if j == 0:
            low, known = 0, 0
        stop, first, last = _strip(down, index, j, min(end - p * n_out, n_out), low, known, most)
        if low <= first < known:
            for r in range(known - first):
                for i in range(width):
                    rows[r, i] = rows[r + first - low, i]
        else:
            known = first
        if last > known:
            _columns(
                x[p], lines, step, channels, tiles, decoded, across,
                rows, known - first, known, last,
            )  # fmt: skip
        low, known = first, max(last, known)
        _rows_from(first, index, rows, down, cut, encoded, out[p], j, stop)
        o += stop - j


@compiled
def weigh_rows_and_columns(
    index, down, cut, across, n_in, between, x, step, channels, out, begin, end
):
    """A vertical pass, then a horizontal one over ``n_in`` columns; see the above."""
    n_out, width = out.shape[1], n_in * step
    tiles = _tiles(step, across, between.itemsize)
    most = max(STRIP // (width * between.itemsize) // LANES, 1) * LANES
    rows = np.empty((most, width), between.dtype)
    o = begin
    while o < end:
        p, j = o // n_out, o % n_out
        stop = min(j + most, end - p * n_out, n_out)
        _rows(x[p], 0, index, down, cut, rows, 0, j, stop)
        _columns(rows, None, step, channels, tiles, None, across, out[p], j, 0, stop - j)
        o += stop - j


@compiled
def select(rows, columns, x, step, channels, out, begin, end):
    """Gather: rows ``begin`` to ``end`` of the ``P * h`` that ``out`` has.

    Args:
        rows, columns: int64 ``[h]`` and ``[w]``, what to read; ``None``: all, in order.
        x, step, channels: see above; values of any integer type; ``step`` is ``channels``.
        out: see above.
    """
    height = out.shape[1]
    for r in range(begin, end):
        p, o = r // height, r % height
        row = o if rows is None else rows[o]
        source, target = x[p, row], out[p, o]
        if columns is None:
            target[:] = source[: len(target)]
        elif r > begin and o > 0 and rows is not None and rows[o - 1] == row:
            target[:] = out[p, o - 1]
        elif channels == 1:
            for j in range(len(columns)):
                target[j] = source[columns[j]]
        elif channels == 3:
            for j in range(len(columns)):
                i = 3 * columns[j]
                target[3 * j] = source[i]
                target[3 * j + 1] = source[i + 1]
                target[3 * j + 2] = source[i + 2]
        else:
            for j in range(len(columns)):
                for c in range(channels):
                    target[j * channels + c] = source[columns[j] * channels + c]
