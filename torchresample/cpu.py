"""The CPU engine: which code applies which passes, in how many threads.

| pixels | pass | applied by |
|---|---|---|
| of any kind | a gather | the compiled library, moving values |
| uint8 | fixed point, sums within int32 | the library, products of int16 numbers |
| uint8 | floating weights | the library, sums in float64, or float32 where ordered so |
| int32 between two passes | fixed point, a mean, products cut one by one | the library, in int32 |
| float32, float64 | weighted sums | the library, in their own type, or float64 where ordered so |
| all others | all others | ``reference``: torch operations |

Two passes that the library applies go together; where it lacks one, the reference applies both.
"""

from collections.abc import Callable, Sequence
from ctypes import byref, pointer
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from torchresample import light, native, reference
from torchresample.bands import Band
from torchresample.kept import kept
from torchresample.passes import HORIZONTAL, VERTICAL, Pass

if TYPE_CHECKING:
    from torchresample.nv12 import Conversion

PART = 2**20
"""Bytes of an image and its result worth a thread of their own."""

WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

_ARRAYS = {
    torch.uint8: np.dtype(np.uint8),
    torch.int32: np.dtype(np.int32),
    torch.float32: np.dtype(np.float32),
    torch.float64: np.dtype(np.float64),
}

Limits = tuple[float, float]
Step = Callable[[Tensor, Tensor | None, bool], Tensor]


@dataclass(frozen=True, eq=False)
class Weighing:
    """A pass as the library takes it.

    Args:
        dim: ``HORIZONTAL`` or ``VERTICAL``.
        n_in: length of the axis that it reads.
        start, count: int64 ``[n_out]``, the first pixel of each output, and how many.
        weight: ``[n_out, taps]``, or int16 ``[n_out, limbs, taps]``; see ``native.trimmed``.
        index: int64, the row that stands at each position, ascending; ``None``: that row itself.
        pixel, store: dtypes of what is read and of what is stored.
        half, shift, cut, mean: see ``Rounding`` in ``api.h``.
        light: what stands for each byte that is read, float32, and the byte that stands for each
            sum of 16 bits; each may be ``None``.
    """

    dim: int
    n_in: int
    start: np.ndarray
    count: np.ndarray
    weight: np.ndarray
    index: np.ndarray | None
    pixel: torch.dtype
    store: torch.dtype
    half: int
    shift: int
    cut: int
    mean: float
    light: tuple[np.ndarray | None, np.ndarray | None]

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return self.start.nbytes + self.count.nbytes + self.weight.nbytes

    @cached_property
    def structure(self) -> native.Pass:
        """What the library reads; it keeps the arrays that it points to."""
        arrays = self.start, self.count, self.weight, self.index
        pixel, store = _ARRAYS[self.pixel], _ARRAYS[self.store]
        types = (native.TYPES[dtype] for dtype in (pixel, self.weight.dtype, store))
        limbs = self.weight.shape[1] if self.weight.ndim == 3 else 1
        structure = native.Pass(
            self.n_in,
            len(self.start),
            self.weight.shape[-1],
            *map(native.address, arrays),
            *types,
            limbs,
            native.Rounding(self.half, self.shift, self.cut, self.mean),
            *map(native.address, self.light),
        )
        structure.arrays = arrays, self.light
        return structure


def program(passes: tuple[Pass, ...], dtype: torch.dtype, on_cpu: bool) -> Callable[..., None]:
    """Return what runs ``passes`` over pixels of ``dtype``: a function of ``x, out, inner``.

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
    if x.ndim > 4:
        x, out = as_4d(x), as_4d(out)
    *first, last = steps
    for step in first:
        x = step(x, None, inner)
    last(x, out, inner)


def materialised(x: Tensor) -> Tensor:
    """Copy a tensor with the negative bit, or a zero tensor, whose memory lacks its values."""
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
        places = (_taken(selects.get(dim)) for dim in (VERTICAL, HORIZONTAL))
        steps.insert(0, partial(_selected, *places))
    return steps


def _weighed(first: Weighing, second: Weighing | None = None) -> Step:
    """One pass, or two along different axes."""
    lines = None
    if second is not None and first.dim == HORIZONTAL:
        second, lines = _compact(second)
    across_first = first.dim == HORIZONTAL
    program = native.Program(
        pointer(first.structure),
        None if second is None else pointer(second.structure),
        across_first,
        lines=native.address(lines),
    )
    program.passes = first, second, lines  # keeps what it points to
    # A horizontal pass may read columns in which other channels lie beside those that count.
    return partial(_resampled, program, across_first or second is not None)


@kept
def _weighing(step: Pass, dtype: torch.dtype, limits: Limits) -> tuple[Weighing | None, Limits]:
    """A pass over pixels of ``dtype`` within ``limits``, and the limits of what it stores.

    ``None`` where the library lacks its arithmetic.
    """
    band, sums = step.band, _sums(step, dtype)
    ascending = band.gather is None or (np.diff(band.gather) >= 0).all()
    if band.gather is not None and not (step.dim == VERTICAL and ascending):
        return None, limits
    if sums is None or band.fold is not None:
        return None, limits
    dense = np.ascontiguousarray(band.weight)
    lead, count, negative, positive, largest = native.extents(dense)
    half = 2 ** (step.bits - 1) if step.rule == "fixed" and step.bits else 0
    if sums is np.int32:
        low = positive * limits[0] + negative * limits[1]
        high = positive * limits[1] + negative * limits[0] + half
        if low < -(2**31) or high >= 2**31 or largest >= 2**30:
            return None, limits
        whole = torch.iinfo(step.store)
        limits = max(low / 2**step.bits, whole.min), min(high / 2**step.bits, whole.max)
    store = step.store or (dtype if dtype.is_floating_point else torch.float64)
    if sums is np.int32 and dtype == torch.uint8:
        weight = native.trimmed(dense, lead, count, np.int16, 1 if largest < 2**15 else 2)
    else:
        weight = native.trimmed(dense, lead, count, sums)
    mean = step.rule == "mean"
    weighing = Weighing(
        step.dim,
        band.n_in,
        band.start + lead,
        count,
        weight,
        band.gather,
        dtype,
        store,
        half=half,
        shift=0 if mean else step.bits,
        cut=16 if step.sums == "floor16" else 0,
        mean=float(np.float32(1) / np.float32(step.count)) if mean else 0.0,
        light=(
            light.tables()[0].numpy() if step.decodes else None,
            light.tables()[1].numpy() if step.rule == "srgb" else None,
        ),
    )
    return weighing, limits


def _sums(step: Pass, dtype: torch.dtype) -> type | None:
    """NumPy's type of the sums of a pass, where the library has its arithmetic."""
    if step.rule in ("fixed", "floor", "mean") and step.store in (torch.uint8, torch.int32):
        if dtype == torch.int32:  # stored by a pass before: no image of int32 has such passes
            return np.int32 if step.sums in ("exact", "floor16") else None
        plain = step.sums == "exact" and step.rule != "mean"
        return np.int32 if dtype == torch.uint8 and plain else None
    rounded = step.store == torch.uint8 and step.rule in ("half-even", "srgb")
    real = rounded or step.store is None or step.store.is_floating_point
    if not real or dtype not in (torch.uint8, torch.float32, torch.float64):
        return None
    if step.decodes or step.rule == "srgb":  # in float64, which holds every such sum
        return np.float64
    ordered = {"float32": np.float32, "float64": np.float64}
    exact = np.float32 if dtype == torch.float32 else np.float64
    sums = exact if step.sums == "exact" else ordered.get(step.sums)
    store = _ARRAYS.get(step.store or (dtype if dtype.is_floating_point else torch.float64))
    if sums is None or store is None or not native.serves(_ARRAYS[dtype], np.dtype(sums), store):
        return None
    # Where all is of one type, the library fuses products and sums, which those in order do not.
    fuses = _ARRAYS[dtype] == sums == store
    return None if fuses and step.sums != "exact" else sums


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


def _taken(band: Band | None) -> tuple[int | None, int | None, np.ndarray | None]:
    """How many rows or columns a gather takes, where their numbers stand, and these."""
    if band is None:
        return None, None, None
    start = np.ascontiguousarray(band.start)
    return band.n_out, native.address(start), start


def _selected(rows: tuple, columns: tuple, x: Tensor, out: Tensor | None, inner: bool) -> Tensor:
    """Gather; ``rows`` and ``columns``: see ``_taken``."""
    if out is None:
        shape = *x.shape[:-2], rows[0] or x.shape[-2], columns[0] or x.shape[-1]
        out = x.new_empty_strided(shape, packed_strides(shape, inner))
    source, x = _readable(x, inner, False)
    images, count = (byref(source), byref(_layout(out, inner, False))), _rows(out, inner)
    places = rows[1], columns[1], x.itemsize
    native.call("gather", *places, *images, count, _parts(count, x, out))
    return out


def _resampled(
    program: native.Program, spread: bool, x: Tensor, out: Tensor, inner: bool
) -> Tensor:
    """Run the library's passes; see ``_layout`` for ``spread``."""
    source, x = _readable(x, inner, spread)
    images, count = (byref(source), byref(_layout(out, inner, False))), _rows(out, inner)
    native.call("resample", byref(program), *images, count, _parts(count, x, out))
    return out


def _readable(x: Tensor, inner: bool, spread: bool) -> tuple[native.Image, Tensor]:
    """``_layout`` of a tensor or of a packed copy of it, and that, to be held while it is read."""
    image = _layout(x, inner, spread)
    if image is not None:
        return image, x
    strides = packed_strides(x.shape, inner)
    x = torch.empty_strided(x.shape, strides, dtype=x.dtype, device="cpu").copy_(x)
    return _layout(x, inner, spread), x


def _layout(x: Tensor, inner: bool, spread: bool) -> native.Image | None:
    """Describe a tensor of at most four axes to the library.

    ``None`` where the values of a row do not lie side by side, channels innermost where ``inner``.
    There ``spread`` allows columns to be up to twice as far apart as the channels need, so that
    part of the channels need not be copied first.
    """
    shape, strides, size = x.shape, x.stride(), x.itemsize
    planes, plane, step, channels = 1, 0, 1, 1
    if inner:
        channels = shape[-3]
        step = strides[-1] if shape[-1] > 1 else channels  # of a single column it means nothing
        if strides[-3] != 1 or not channels <= step <= (2 * channels if spread else channels):
            return None
        if step > channels:  # what lies behind the last column is read with it
            last = sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + step - channels
            if (x.storage_offset() + last + 1) * size > x.untyped_storage().nbytes():
                return None
    elif strides[-1] != 1 and shape[-1] != 1:
        return None
    elif len(shape) > 2:
        planes, plane = shape[-3], strides[-3]
    batch = strides[0] if len(shape) > 3 else 0
    bytes_ = batch * size, plane * size, strides[-2] * size
    return native.Image(x.data_ptr(), *bytes_, planes, *shape[-2:], step, channels)


def _rows(out: Tensor, inner: bool) -> int:
    """The rows of all planes together."""
    return out.numel() // (out.shape[-1] * (out.shape[-3] if inner else 1))


def _parts(rows: int, *tensors: Tensor) -> int:
    """Into how many parts to cut all rows: one for each of torch's threads, fewer for few bytes."""
    threads = torch.get_num_threads()
    if threads == 1:
        return 1
    size = sum(tensor.numel() * tensor.itemsize for tensor in tensors)
    return min(threads, max(size // PART, 1), rows)


@kept
def _compact(down: Weighing) -> tuple[Weighing, np.ndarray | None]:
    """The pass over the rows that it reads only, where they are few, and which those are."""
    start, count = down.start, down.count
    if down.index is None and count.sum() > 0.75 * ((start + count).max() - start.min()):
        return down, None
    positions = np.unique(_positions(start, count))
    used = positions if down.index is None else np.unique(down.index[positions])
    if len(used) > 0.75 * (used[-1] + 1 - used[0]):
        return down, None
    if down.index is not None:
        return replace(down, index=np.searchsorted(used, down.index)), used
    return replace(down, start=np.searchsorted(used, start)), used


def _positions(start: np.ndarray, count: np.ndarray) -> np.ndarray:
    """What the outputs read, one after the other."""
    total = np.cumsum(count)
    return np.arange(total[-1]) + np.repeat(start - total + count, count)


def normalise(x: Tensor, mean: np.ndarray, std: np.ndarray, flip: bool, out: Tensor) -> Tensor:
    """``out = (x / 255 - mean) / std`` in float32, of bytes ``[B, C, h, w]``.

    ``mean`` and ``std`` are float32, one value for each channel of ``out``, which is contiguous and
    mirrored left to right by ``flip``.
    """
    inner = x.shape[1] > 1 and x.stride(1) == 1
    source, x = _readable(x, inner, True)
    count = out.shape[0] * out.shape[2]
    pair = native.address(mean), native.address(std)
    sizes = out.shape[1], out.data_ptr(), count, _parts(count, x, out)
    native.call("normalise", byref(source), *pair, flip, *sizes)
    return out


def rgb_of_nv12(
    luma: Tensor, chroma: Tensor, conversion: "Conversion", lines: tuple[int, int]
) -> Tensor:
    """Rows ``lines`` of uint8 ``[B, 3, H, W]``; what the others have is left open.

    See ``nv12.as_rgb``; ``luma`` is ``[B, H, W]``, ``chroma`` ``[B, h, w, 2]``.
    """
    batch, h, w = luma.shape
    out = torch.empty((batch, 3, h, w), dtype=torch.uint8, device="cpu")
    luma, chroma = (materialised(plane).contiguous() for plane in (luma, chroma))
    numbers = conversion.weights, conversion.down, conversion.across
    numbers = [np.array(part, np.int32) for part in numbers]
    count = batch * (lines[1] - lines[0])
    places = luma.data_ptr(), chroma.data_ptr(), out.data_ptr()
    parts = _parts(count, luma, out)
    native.call("rgb_of_nv12", *map(native.address, numbers), *lines, h, w, *places, count, parts)
    return out


def premultiplied(x: Tensor) -> Tensor:
    """uint8 ``[..., C, H, W]`` with its other channels weighed by the last: see ``alpha``."""
    return _by_alpha(False, x)


def straight(x: Tensor) -> Tensor:
    """The inverse of ``premultiplied``: see ``alpha``."""
    return _by_alpha(True, x)


def _by_alpha(divide: bool, x: Tensor) -> Tensor:
    inner = x.shape[-3] > 1 and x.stride(-3) == 1
    flat = as_4d(materialised(x))
    strides = packed_strides(flat.shape, inner)
    if list(flat.stride()) != strides:
        flat = torch.empty_strided(flat.shape, strides, dtype=x.dtype, device="cpu").copy_(flat)
    out = torch.empty_strided(flat.shape, strides, dtype=x.dtype, device="cpu")
    batch, channels, h, w = flat.shape
    count = batch * h
    sizes = channels, h, w, flat.data_ptr(), out.data_ptr(), count, _parts(count, flat, out)
    native.call("by_alpha", divide, inner, *sizes)
    return out.view(x.shape)
