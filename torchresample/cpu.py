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
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from torchresample import light, reference
from torchresample.bands import Band, kept
from torchresample.passes import HORIZONTAL, VERTICAL, Pass

if TYPE_CHECKING:
    from torchresample.nv12 import Conversion

PART = 2**20
"""Bytes of an image and its result worth a thread of their own."""

_BETWEEN = {
    torch.uint8: np.empty(0, np.uint8),
    torch.int32: np.empty(0, np.int32),
    torch.float32: np.empty(0, np.float32),
    torch.float64: np.empty(0, np.float64),
}
WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

Limits = tuple[float, float]
Step = Callable[[Tensor, Tensor | None, bool], Tensor]


@dataclass(frozen=True, eq=False)
class Weighing:
    """A pass as ``loops`` takes it: see there for ``band``, ``index`` and ``cut``.

    ``light``: ``decoded`` and ``encoded`` there.
    """

    dim: int
    n_in: int
    band: tuple
    index: np.ndarray | None
    cut: np.int32 | None
    store: torch.dtype
    light: Sequence[np.ndarray | None]


def program(passes: tuple[Pass, ...], dtype: torch.dtype, on_cpu: bool) -> Callable[..., None]:
    """What runs ``passes`` over pixels of ``dtype``: a function of ``x, out, inner``.

    It reads ``x`` ``[..., H, W]``, of any strides, and writes ``out`` ``[..., h, w]``, packed, with
    its channels outermost or, ``inner``, innermost.
    """
    return partial(_run, _steps(passes, dtype, on_cpu))


def packed_strides(shape: Sequence[int], inner: bool) -> list[int]:
    """Strides of packed memory for ``[..., C, H, W]``, the channels innermost where ``inner``."""
    order = [*range(len(shape))]
    if inner:
        order.append(order.pop(-3))
    strides, size = [0] * len(shape), 1
    for axis in reversed(order):
        strides[axis] = size
        size *= max(shape[axis], 1)  # as torch counts
    return strides


def _run(steps: list[Step], x: Tensor, out: Tensor, inner: bool) -> None:
    x = materialised(x)
    if x.ndim > 4:  # nor of more than 64 axes
        x, out = as_4d(x), as_4d(out)
    if x.requires_grad:  # nor of this; whoever wants the gradient has seen to it
        x = x.detach()
    *first, last = steps
    for step in first:
        x = step(x, None, inner)
    last(x, out, inner)


def materialised(x: Tensor) -> Tensor:
    """``x``, whose memory holds its values: not less a sign, nor none as of a tensor of zeros."""
    return torch.empty_like(x).copy_(x) if x.is_neg() or x._is_zerotensor() else x


def _steps(passes: tuple[Pass, ...], dtype: torch.dtype, on_cpu: bool) -> list[Step]:
    """Functions of an image, a place for the result, and whether channels are innermost there."""
    if not passes:
        return [_copy]
    selects, weighings, kind, limits = {}, [], dtype, (0.0, 255.0)
    for step in passes if on_cpu else ():
        if step.moves(kind):
            selects[step.dim] = step.band
            continue
        weighing, limits = _weighing(step, kind, limits)
        if weighing is None:
            break
        weighings.append(weighing)
        kind = weighing.store
    if len(selects) + len(weighings) < len(passes):
        return [partial(_by_reference, step) for step in passes]
    steps = [_weighed(*weighings)] if weighings else []
    if selects:  # which may change places with a pass along the other axis
        steps.insert(0, partial(_selected, selects.get(VERTICAL), selects.get(HORIZONTAL)))
    return steps


def _weighed(first: Weighing, second: Weighing | None = None) -> Step:
    from torchresample import loops  # numba takes a while to import

    if second is None and first.dim == HORIZONTAL:
        return partial(_looped, partial(loops.weigh_columns, first.band), True)
    if second is None:
        rows = partial(loops.weigh_rows, first.index, first.band, first.cut)
        return partial(_looped, rows, False)
    between = _BETWEEN[first.store]
    if first.dim == HORIZONTAL:
        down, lines = _compact(second)
        bands = first.band, down.index, down.band, down.cut
        both = partial(loops.weigh_columns_and_rows, lines, *bands, between, *first.light)
        return partial(_looped, both, True)
    bands = first.index, first.band, first.cut, second.band
    both = partial(loops.weigh_rows_and_columns, *bands, second.n_in, between)
    return partial(_looped, both, True)


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
    lead, count, negative, positive, largest = weights.extents(dense)
    half = 2 ** (step.bits - 1) if step.rule == "fixed" and step.bits else 0
    if sums is np.int32:
        low = positive * limits[0] + negative * limits[1]
        high = positive * limits[1] + negative * limits[0] + half
        if low < -(2**31) or high >= 2**31 or largest >= 2**30:
            return None, limits
        whole = torch.iinfo(step.store)
        limits = max(low / 2**step.bits, whole.min), min(high / 2**step.bits, whole.max)
    taps = int(max(count.max(), 1))
    if sums is np.int32 and dtype == torch.uint8:
        limbs = 1 if largest < 2**15 else 2
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
    tables = [t.numpy() for t in light.tables()] if step.decodes else (None, None)
    return Weighing(step.dim, band.n_in, prepared, band.gather, cut, store, tables), limits


def _sums(step: Pass, dtype: torch.dtype) -> type | None:
    """NumPy's type of the sums of a pass, where ``loops`` has its arithmetic."""
    if step.rule in ("fixed", "floor", "mean") and step.store in (torch.uint8, torch.int32):
        if dtype == torch.int32:  # stored by a pass before: no image of int32 has such passes
            return np.int32 if step.sums in ("exact", "floor16") else None
        plain = step.sums == "exact" and step.rule != "mean"
        return np.int32 if dtype == torch.uint8 and plain else None
    rounded = step.store == torch.uint8 and step.rule in ("half-even", "srgb")
    real = rounded or step.store is None or step.store.is_floating_point
    if not real or dtype not in (torch.uint8, torch.float32, torch.float64):
        return None
    if step.sums == "float32":
        return np.float32 if dtype != torch.float64 else None
    return np.float32 if dtype == torch.float32 else np.float64


def _copy(x: Tensor, out: Tensor, inner: bool) -> Tensor:
    return out.copy_(x)


def _by_reference(step: Pass, x: Tensor, out: Tensor | None, inner: bool) -> Tensor:
    # Autocast would run the products in half precision.
    with torch.autocast(x.device.type, enabled=False):
        return reference.apply_pass(as_4d(x), step, None if out is None else as_4d(out))


def as_4d(x: Tensor) -> Tensor:
    """``[B, C, H, W]``; a view of what is packed."""
    if x.ndim == 4:
        return x
    if x.ndim == 3:
        return x.unsqueeze(0)
    return x[None, None] if x.ndim == 2 else x.flatten(0, -4)


def _selected(
    rows: Band | None, columns: Band | None, x: Tensor, out: Tensor | None, inner: bool
) -> Tensor:
    from torchresample import loops  # numba takes a while to import

    if out is None:
        h = x.shape[-2] if rows is None else rows.n_out
        w = x.shape[-1] if columns is None else columns.n_out
        shape = *x.shape[:-2], h, w
        out = x.new_empty_strided(shape, packed_strides(shape, inner))
    indices = (None if band is None else band.start for band in (rows, columns))
    word = WORDS[x.itemsize]
    _looped(partial(loops.select, *indices), False, x.view(word), out.view(word), inner)
    return out


def _looped(run: Callable[..., None], spread: bool, x: Tensor, out: Tensor, inner: bool) -> Tensor:
    """``run(source, step, channels, target, begin, end)``, a function of ``loops``.

    ``spread``: whether a column's channels may have others beside them that do not count.
    """
    source, step = _rows(x, inner, spread)
    target, channels = _planes(out, inner)
    size = source.nbytes + target.nbytes
    _in_threads(partial(run, source, step, channels, target), len(target) * target.shape[1], size)
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
    from torchresample import pointwise  # numba takes a while to import

    source, channels = _planes(x, x.shape[1] > 1 and x.stride(1) == 1)
    target = out.numpy()
    run = partial(pointwise.normalise, source, channels, mean, std, flip, target)
    _in_threads(run, out.shape[0] * out.shape[2], source.nbytes + target.nbytes)
    return out


def rgb_of_nv12(
    luma: Tensor, chroma: Tensor, conversion: "Conversion", lines: tuple[int, int]
) -> Tensor:
    """Rows ``lines`` of uint8 ``[B, 3, H, W]``; what the others have is left open.

    See ``nv12.as_rgb``; ``luma`` is ``[B, H, W]``, ``chroma`` ``[B, h, w, 2]``.
    """
    from torchresample import pointwise  # numba takes a while to import

    # NumPy asks for large pages: torch's new memory takes as long to appear as this to fill.
    out = np.empty((len(luma), 3, *luma.shape[1:]), np.uint8)
    planes = (materialised(x).flatten(2).contiguous().numpy() for x in (luma, chroma))
    numbers = conversion.weights, conversion.down, conversion.across
    numbers = (np.array(part, np.int32) for part in numbers)
    run = partial(pointwise.rgb_of_nv12, *numbers, lines, *planes, out)
    rows = len(luma) * (lines[1] - lines[0])
    _in_threads(run, rows, 4 * rows * luma.shape[2])
    return torch.from_numpy(out)


def premultiplied(x: Tensor) -> Tensor:
    """uint8 ``[..., C, H, W]`` with its other channels weighed by the last: see ``alpha``."""
    from torchresample import pointwise  # numba takes a while to import

    return _by_alpha(pointwise.weigh_by_alpha, x)


def straight(x: Tensor) -> Tensor:
    """The inverse of ``premultiplied``: see ``alpha``."""
    from torchresample import pointwise  # numba takes a while to import

    return _by_alpha(pointwise.divide_by_alpha, x)


def _by_alpha(change: Callable[..., None], x: Tensor) -> Tensor:
    inner = x.shape[-3] > 1 and x.stride(-3) == 1
    flat = as_4d(materialised(x))
    source = flat.permute(0, 2, 3, 1) if inner else flat
    source = source.contiguous().numpy()
    out = np.empty_like(source)
    # Planes of pixels or, ``inner``, pixels of channels.
    rows = len(source) * (source.shape[1] if inner else source.shape[2])
    _in_threads(partial(change, inner, source, out), rows, 2 * source.nbytes)
    result = torch.from_numpy(out)
    return (result.permute(0, 3, 1, 2) if inner else result).view(x.shape)


def _view(x: Tensor, inner: bool) -> np.ndarray:
    """``[..., C, H, W]`` or, ``inner``, ``[..., H, W, C]``."""
    # NumPy's views take a small part of the time of torch's.
    return x.numpy().swapaxes(-3, -2).swapaxes(-2, -1) if inner else x.numpy()


def _as_planes(array: np.ndarray, inner: bool) -> tuple[np.ndarray, int]:
    """``[P, H, W]`` or, ``inner``, ``[P, H, W * C]``; and how many values a column has."""
    if not inner:
        return array.reshape(-1, *array.shape[-2:]), 1
    h, w, c = array.shape[-3:]
    return array.reshape(-1, h, w * c), c


def _planes(x: Tensor, inner: bool) -> tuple[np.ndarray, int]:
    """``_as_planes`` of contiguous memory: of ``x`` or, where that has gaps, of a copy."""
    array = _view(x, inner)
    if not array.flags.c_contiguous:
        array = torch.from_numpy(array).contiguous().numpy()  # in all of torch's threads
    return _as_planes(array, inner)


def _rows(x: Tensor, inner: bool, spread: bool) -> tuple[np.ndarray, int]:
    """Rows as ``_planes`` has them, or longer ones; and how many values a column has.

    A part of an image or, ``spread``, of its channels need not be copied first.
    """
    array = _view(x, inner)
    if array.flags.c_contiguous:
        return _as_planes(array, inner)
    h, w, c = array.shape[-3:] if inner else (0, 0, 0)
    if inner and array.size == h * w * c:
        row, step, channel = x.stride(-2), x.stride(-1), x.stride(-3)
        # Past the part, its last row may end outside the image.
        end = (x.storage_offset() + h * row) * x.itemsize
        whole = row >= w * step and end <= x.untyped_storage().nbytes()
        if whole and channel == 1 and c <= step <= (2 * c if spread else c):
            return x.as_strided((1, h, row), (h * row, row, 1)).numpy(), step
    return _planes(x, inner)


def _in_threads(run: Callable[[int, int], None], rows: int, size: int) -> None:
    """``run(begin, end)`` for parts of all rows: torch's threads, fewer for few bytes."""
    parts = threads = torch.get_num_threads()
    if threads > 1:
        parts = min(threads, max(size // PART, 1), rows)
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
