"""The CPU engine: which code applies a pass, in how many threads.

| pixels | pass | applied by |
|---|---|---|
| uint8 ``[.., 3 or 4, H, W]``, channels_last | all of a whole resize as in torch | ATen |
| uint8, stored as uint8 | weights in fixed point, sums within int32 | ``loops``, in int32 |
| float32, float64 | weighted sums | ``loops``, in their own type |
| all others | all others | ``reference``: torch operations |
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from torch import Tensor

from torchresample import reference
from torchresample.bands import Band
from torchresample.passes import VERTICAL, Pass

PART = 2**17
"""Bytes of a result worth a thread of their own."""


def apply(x: Tensor, passes: tuple[Pass, ...], out: Tensor) -> Tensor:
    """Run ``passes`` (at least one) over ``x`` ``[B, C, H, W]`` into ``out`` ``[B, C, h, w]``.

    ``out`` is packed, with its channels outermost or innermost.
    """
    layout = torch.contiguous_format if out.is_contiguous() else torch.channels_last
    for i, step in enumerate(passes):
        last = i == len(passes) - 1
        into = out if last else None
        if _vectorised(x, step, into):
            x = _weigh(x, step, into, layout, None if last else passes[i + 1])
        else:
            x = reference.apply_pass(x, step, into)
    return out


def interpolates(x: Tensor, method: str) -> bool:
    """Whether ATen has a vectorised kernel for ``[B, C, H, W]`` with its channels innermost."""
    if x.dtype != torch.uint8 or x.device.type != "cpu" or x.numel() == 0:
        return False
    return x.shape[1] in (3, 4) and method in aten_modes()


@lru_cache(maxsize=1)
def aten_modes() -> dict[str, str]:
    """``interpolate``'s names of the methods; Lanczos came with torch 2.15."""
    modes = {"bilinear": "bilinear", "bicubic": "bicubic"}
    if hasattr(torch.ops.aten, "_upsample_lanczos2d_aa"):
        modes["lanczos3"] = "lanczos"
    return modes


def interpolate(x: Tensor, size: Sequence[int], method: str, antialias: bool) -> Tensor:
    result = F.interpolate(x, size, mode=aten_modes()[method], antialias=antialias)
    # Of images a pixel wide or high ATen may take the layout for the other.
    return result.contiguous(memory_format=torch.channels_last)


def _vectorised(x: Tensor, step: Pass, out: Tensor | None) -> bool:
    """Whether ``loops`` has the arithmetic of the pass."""
    if out is not None and out.dtype != x.dtype:
        return False
    if x.device.type != "cpu" or step.band.gather is not None or step.band.fold is not None:
        return False
    if x.dtype == torch.uint8:
        fixed = step.store == torch.uint8 and step.rule == "fixed"
        return fixed and step.sums == "exact" and _fits_int32(step.band, step.bits)
    real = x.dtype in (torch.float32, torch.float64)
    return real and step.store is None and step.sums == "exact" and not step.band.selects


@lru_cache(maxsize=64)
def _fits_int32(band: Band, bits: int) -> bool:
    """Whether no sum over uint8 leaves int32."""
    low = 255 * np.minimum(band.weight, 0).sum(axis=1).min()
    high = 255 * np.maximum(band.weight, 0).sum(axis=1).max() + 2.0 ** (bits - 1)
    return low >= -(2**31) and high < 2**31


@lru_cache(maxsize=64)
def _weights(band: Band, bits: int, dtype: torch.dtype) -> tuple:
    """What ``loops`` takes of a band: start, count, weight, half, bits."""
    used = band.weight != 0
    empty = ~used.any(axis=1)
    # Zeros at either end are left out: they take time, and would spread an infinity.
    lead = np.where(empty, 0, used.argmax(axis=1))
    count = np.where(empty, 0, band.taps - used[:, ::-1].argmax(axis=1) - lead)
    tap = np.minimum(lead[:, None] + np.arange(max(count.max(), 1)), band.taps - 1)
    kind = {torch.uint8: np.int32, torch.float32: np.float32}.get(dtype, np.float64)
    weight = np.take_along_axis(band.weight, tap, axis=1).astype(kind)
    return band.start + lead, count, weight, kind(2 ** (bits - 1) if bits else 0), np.int32(bits)


def _weigh(
    x: Tensor,
    step: Pass,
    out: Tensor | None,
    layout: torch.memory_format,
    following: Pass | None,
) -> Tensor:
    """A pass by ``loops``; the ``following`` one may read a part of its rows only."""
    from torchresample import loops  # numba takes a while to import

    x = x.contiguous(memory_format=layout)
    if out is None:
        shape = list(x.shape)
        shape[step.dim] = step.band.n_out
        out = torch.empty(shape, dtype=x.dtype, memory_format=layout)
    source, target = _planes(x, layout), _planes(out, layout)
    weights = _weights(step.band, step.bits, x.dtype)
    if step.dim == VERTICAL:
        begin, end = 0, target.shape[1]
        run = partial(loops.weigh_rows, source, *weights, target)
    else:
        begin, end = _rows_read(following, target.shape[1])
        channels = source.shape[2] // x.shape[-1]
        run = partial(loops.weigh_columns, source, channels, *weights, target)
    _in_threads(run, begin, end, target.nbytes)
    return out


def _rows_read(step: Pass | None, n_rows: int) -> tuple[int, int]:
    """The rows from the first to past the last that a vertical pass reads; else all."""
    if step is None or step.dim != VERTICAL or step.band.gather is not None:
        return 0, n_rows
    return int(step.band.start.min()), int(step.band.start.max()) + step.band.taps


def _planes(x: Tensor, layout: torch.memory_format) -> np.ndarray:
    """``[B * C, H, W]`` of a tensor ``[B, C, H, W]``, or ``[B, H, W * C]`` if channels_last."""
    b, c, h, w = x.shape
    if layout == torch.contiguous_format:
        return x.view(b * c, h, w).numpy()
    return x.permute(0, 2, 3, 1).view(b, h, w * c).numpy()


def _in_threads(run: Callable[[int, int], None], begin: int, end: int, size: int) -> None:
    """``run(begin, end)`` for parts of the range: torch's threads, fewer for a small ``size``."""
    threads = torch.get_num_threads()
    parts = min(threads, max(size // PART, 1), end - begin)
    if parts == 1:
        run(begin, end)
        return
    edges = [begin + (end - begin) * i // parts for i in range(parts + 1)]
    for _ in _pool(threads).map(run, edges[:-1], edges[1:]):
        pass


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "torchresample")


if hasattr(os, "register_at_fork"):  # not on Windows
    # A forked process has none of its parent's threads.
    os.register_at_fork(after_in_child=_pool.cache_clear)
