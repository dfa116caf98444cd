"""The CPU engine: which code applies which passes, in how many threads.

| pixels | pass | applied by |
|---|---|---|
| of any kind | a gather | ``loops``, moving values |
| uint8 | fixed point, sums within int32 | ``loops``, products of 16-bit numbers |
| uint8 | floating weights | ``loops``, sums in float64, or float32 where ordered so |
| int32 between two passes | fixed point, a mean, products cut one by one | ``loops``, in int32 |
| float32, float64 | weighted sums | ``loops``, in their own type |
| all others | all others | ``reference``: torch operations |

Two passes that ``loops`` applies go together; where it lacks one, the reference applies both.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor

from torchresample import reference
from torchresample.bands import kept
from torchresample.passes import HORIZONTAL, VERTICAL, Pass

PART = 2**20
"""Bytes of an image and its result worth a thread of their own."""

_BETWEEN = {
    torch.uint8: np.empty(0, np.uint8),
    torch.int32: np.empty(0, np.int32),
    torch.float32: np.empty(0, np.float32),
    torch.float64: np.empty(0, np.float64),
}
_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

Limits = tuple[float, float]
Step = Callable[[Tensor, Tensor | None, torch.memory_format], Tensor]


@dataclass(frozen=True, eq=False)
class Weighing:
    """A pass as ``loops`` takes it: see there for ``band``, ``index`` and ``cut``."""

    dim: int
    n_out: int
    band: tuple
    index: np.ndarray | None
    cut: np.int32 | None
    store: torch.dtype


def apply(x: Tensor, passes: tuple[Pass, ...], out: Tensor) -> Tensor:
    """Run ``passes`` (at least one) over ``x`` ``[B, C, H, W]`` into ``out`` ``[B, C, h, w]``.

    ``out`` is packed, with its channels outermost or innermost.
    """
    layout = torch.contiguous_format if out.is_contiguous() else torch.channels_last
    if x.is_neg() or x._is_zerotensor():  # NumPy has no view of either
        x = torch.empty_like(x).copy_(x)
    *steps, last = _steps(passes, x.dtype, x.is_cpu)
    for step in steps:
        x = step(x, None, layout)
    return last(x, out, layout)


@lru_cache(maxsize=64)
def _steps(passes: tuple[Pass, ...], dtype: torch.dtype, on_cpu: bool) -> list[Step]:
    """What applies the passes: functions of an image, a place for the result, and its layout."""
    selects, weighings, kind, limits = {}, [], dtype, (0.0, 255.0)
    for step in passes if on_cpu else ():
        if step.band.selects and step.store in (None, kind):
            selects[step.dim] = step.band.start
            continue
        weighing, limits = _weighing(step, kind, limits)
        if weighing is None:
            break
        weighings.append(weighing)
        kind = weighing.store
    if len(selects) + len(weighings) < len(passes):
        return [partial(_by_reference, step) for step in passes]
    if len(weighings) == 2 and weighings[0].dim == HORIZONTAL:
        across, down = weighings
        return [partial(_weigh_columns_and_rows, across, *_compact(down))]
    if len(weighings) == 2:
        return [partial(_weigh_rows_and_columns, *weighings)]
    steps = [partial(_weigh, weighing) for weighing in weighings]
    if selects:  # which may change places with a pass along the other axis
        steps.insert(0, partial(_select, selects.get(VERTICAL), selects.get(HORIZONTAL)))
    return steps


@kept(lambda step, *_: step.band.weight.size)
def _weighing(step: Pass, dtype: torch.dtype, limits: Limits) -> tuple[Weighing | None, Limits]:
    """A pass over pixels of ``dtype`` within ``limits``, and the limits of what it stores.

    ``None`` where ``loops`` lacks its arithmetic.
    """
    band, sums = step.band, _sums(step, dtype)
    ascending = band.gather is None or (np.diff(band.gather) >= 0).all()
    if band.gather is not None and not (step.dim == VERTICAL and ascending):
        return None, limits
    if sums is None or band.fold is not None:
        return None, limits
    from torchresample import weights  # numba takes a while to import

    dense = np.ascontiguousarray(band.weight)
    lead, count, negative, positive = weights.extents(dense)
    half = 2 ** (step.bits - 1) if step.rule == "fixed" and step.bits else 0
    if sums is np.int32:
        low = positive * limits[0] + negative * limits[1]
        high = positive * limits[1] + negative * limits[0] + half
        if low < -(2**31) or high >= 2**31 or max(positive, -negative) >= 2**30:
            return None, limits
        limits = low / 2**step.bits, high / 2**step.bits
    taps = int(max(count.max(), 1))
    if sums is np.int32 and dtype == torch.uint8:
        limbs = 1 if max(positive, -negative) < 2**15 else 2
        weight = weights.as_limbs(
            dense, lead, count, np.zeros((band.rows, limbs, taps + taps % 2), np.int16)
        )
        weight = weight[:, 0] if limbs == 1 else weight
    else:
        weight = weights.trimmed(dense, lead, count, np.zeros((band.rows, taps), sums))
    scale = np.float32(1) / np.float32(step.count) if step.rule == "mean" else np.int32(step.bits)
    cut = np.int32(16) if step.sums == "floor16" else None
    store = step.store or (dtype if dtype.is_floating_point else torch.float64)
    prepared = band.start + lead, count, weight, sums(half), scale
    return Weighing(step.dim, band.n_out, prepared, band.gather, cut, store), limits


def _sums(step: Pass, dtype: torch.dtype) -> type | None:
    """NumPy's type of the sums of a pass, where ``loops`` has its arithmetic."""
    if step.rule in ("fixed", "floor", "mean") and step.store in (torch.uint8, torch.int32):
        if dtype == torch.int32:  # stored by a pass before: no image of int32 has such passes
            return np.int32 if step.sums in ("exact", "floor16") else None
        plain = step.sums == "exact" and step.rule != "mean"
        return np.int32 if dtype == torch.uint8 and plain else None
    rounded = step.store == torch.uint8 and step.rule == "half-even"
    real = rounded or step.store is None or step.store.is_floating_point
    if not real or dtype not in (torch.uint8, torch.float32, torch.float64):
        return None
    if step.sums == "exact":
        return np.float32 if dtype == torch.float32 else np.float64
    return np.float32 if step.sums == "float32" and dtype != torch.float64 else None


def _by_reference(step: Pass, x: Tensor, out: Tensor | None, layout: torch.memory_format) -> Tensor:
    # Autocast would run the products in half precision.
    with torch.autocast(x.device.type, enabled=False):
        return reference.apply_pass(x, step, out)


def _select(
    rows: np.ndarray | None,
    columns: np.ndarray | None,
    x: Tensor,
    out: Tensor | None,
    layout: torch.memory_format,
) -> Tensor:
    from torchresample import loops  # numba takes a while to import

    if out is None:
        dim, index = (VERTICAL, rows) if columns is None else (HORIZONTAL, columns)
        out = _result(x, dim, len(index), x.dtype, layout)
    words = _WORDS[x.itemsize]
    source, channels = _planes(x.view(words), layout)
    target, _ = _planes(out.view(words), layout)
    run = partial(loops.select, source, channels, rows, columns, target)
    _in_threads(run, len(target) * target.shape[1], source, target)
    return out


def _weigh(
    weighing: Weighing, x: Tensor, out: Tensor | None, layout: torch.memory_format
) -> Tensor:
    from torchresample import loops

    if out is None:
        out = _result(x, weighing.dim, weighing.n_out, weighing.store, layout)
    target, channels = _planes(out, layout)
    band, index, cut = weighing.band, weighing.index, weighing.cut
    if weighing.dim == VERTICAL:
        source, _ = _planes(x, layout)
        run = partial(loops.weigh_rows, source, index, band, cut, target)
    else:
        source, step = _rows(x, layout)
        run = partial(loops.weigh_columns, source, step, channels, band, target)
    _in_threads(run, len(target) * target.shape[1], source, target)
    return out


def _weigh_columns_and_rows(
    across: Weighing,
    down: Weighing,
    lines: np.ndarray | None,
    x: Tensor,
    out: Tensor,
    layout: torch.memory_format,
) -> Tensor:
    from torchresample import loops

    source, step = _rows(x, layout)
    target, channels = _planes(out, layout)
    bands = across.band, down.index, down.band, down.cut, _BETWEEN[across.store]
    run = partial(loops.weigh_columns_and_rows, source, lines, step, channels, *bands, target)
    _in_threads(run, len(target) * target.shape[1], source, target)
    return out


def _weigh_rows_and_columns(
    down: Weighing, across: Weighing, x: Tensor, out: Tensor, layout: torch.memory_format
) -> Tensor:
    from torchresample import loops

    source, step = _rows(x, layout)
    target, channels = _planes(out, layout)
    bands = across.band, down.index, down.band, down.cut, _BETWEEN[down.store]
    sizes = x.shape[-1] * step, step, channels
    run = partial(loops.weigh_rows_and_columns, source, *sizes, *bands, target)
    _in_threads(run, len(target) * target.shape[1], source, target)
    return out


@kept(lambda down: down.band[2].size)
def _compact(down: Weighing) -> tuple[Weighing, np.ndarray | None]:
    """The pass over the rows that it reads only, where they are few, and which those are."""
    start, count, *rest = down.band
    if down.index is None and count.sum() > 0.75 * ((start + count).max() - start.min()):
        return down, None
    positions = np.unique(_positions(start, count))
    used = positions if down.index is None else np.unique(down.index[positions])
    if len(used) > 0.75 * (used[-1] + 1 - used[0]):
        return down, None
    if down.index is not None:
        return replace(down, index=np.searchsorted(used, down.index)), used
    return replace(down, band=(np.searchsorted(used, start), count, *rest)), used


def _positions(start: np.ndarray, count: np.ndarray) -> np.ndarray:
    """What the outputs read, one after the other."""
    total = np.cumsum(count)
    return np.arange(total[-1]) + np.repeat(start - total + count, count)


def normalise(x: Tensor, mean: np.ndarray, std: np.ndarray, flip: bool, out: Tensor) -> Tensor:
    """``out = (x / 255 - mean) / std`` in float32, of bytes ``[B, C, h, w]``.

    ``mean`` and ``std`` are float32, one value for each channel of ``out``, which is contiguous and
    mirrored left to right by ``flip``.
    """
    from torchresample import loops

    inner = x.shape[1] > 1 and x.stride(1) == 1
    source, channels = _planes(x, torch.channels_last if inner else torch.contiguous_format)
    target = out.numpy()
    run = partial(loops.normalise, source, channels, mean, std, flip, target)
    _in_threads(run, out.shape[0] * out.shape[2], source, target)
    return out


def _result(
    x: Tensor, dim: int, n_out: int, dtype: torch.dtype, layout: torch.memory_format
) -> Tensor:
    """An empty tensor shaped as ``x`` but for ``n_out`` along ``dim``."""
    shape = list(x.shape)
    shape[dim] = n_out
    return torch.empty(shape, dtype=dtype, memory_format=layout, device=x.device)


def _planes(x: Tensor, layout: torch.memory_format) -> tuple[np.ndarray, int]:
    """``[B * C, H, W]`` or, channels_last, ``[B, H, W * C]``; and how many values a column has."""
    b, c, h, w = x.shape
    x = x.contiguous(memory_format=layout)
    if layout == torch.contiguous_format:
        return x.view(b * c, h, w).numpy(), 1
    return x.permute(0, 2, 3, 1).view(b, h, w * c).numpy(), c


def _rows(x: Tensor, layout: torch.memory_format) -> tuple[np.ndarray, int]:
    """Rows as ``_planes`` has them, or longer ones; and how many values a column has.

    A part of an image, or of its channels, need not be copied first.
    """
    b, c, h, w = x.shape
    _, channel, row, step = x.stride()
    inner = layout == torch.channels_last and b == 1 and channel == 1
    if inner and c <= step <= 2 * c and row >= w * step:
        # Past the part, its last row may end outside the image.
        end = x.storage_offset() + h * row
        if end * x.itemsize <= x.untyped_storage().nbytes():
            return x.as_strided((1, h, row), (h * row, row, 1)).numpy(), step
    return _planes(x, layout)


def _in_threads(run: Callable[[int, int], None], rows: int, *arrays: np.ndarray) -> None:
    """``run(begin, end)`` for parts of all rows: torch's threads, fewer for small ``arrays``."""
    parts = threads = torch.get_num_threads()
    if threads > 1:
        parts = min(threads, max(sum(array.nbytes for array in arrays) // PART, 1), rows)
    if parts == 1:
        run(0, rows)
        return
    edges = [rows * i // parts for i in range(parts + 1)]
    for _ in _pool(threads).map(run, edges[:-1], edges[1:]):
        pass


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "torchresample")


if hasattr(os, "register_at_fork"):  # not on Windows
    # A forked process has none of its parent's threads.
    os.register_at_fork(after_in_child=_pool.cache_clear)
