"""Apply passes with torch operations, on any device: what every faster engine is compared with.

A band is applied as small dense matrix products, one per block of outputs. Integer products run
in float64, where every sum of a pixel times a 22-bit weight is exact in any order.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from torchresample import light
from torchresample.bands import Band
from torchresample.kept import kept
from torchresample.passes import HORIZONTAL, VERTICAL, Pass

BLOCK = 32
"""Outputs per product: enough to keep the product efficient, few enough to stay near the band."""

WINDOW = 2**18
"""Elements of a converted window: bounds the scratch memory and stays inside the cache."""


def sum_dtype(dtype: torch.dtype) -> torch.dtype:
    """Where sums over pixels of ``dtype`` are formed."""
    if dtype in (torch.float16, torch.bfloat16, torch.float32):
        # A user may have traded float32 products for bfloat16 ones; a resize does not follow.
        exact = torch.get_float32_matmul_precision() == "highest"
        return torch.float32 if exact else torch.float64
    return torch.float64


def apply_pass(x: Tensor, step: Pass, out: Tensor | None) -> Tensor:
    """``out`` (allocated where ``None``), with ``step`` applied to ``x`` ``[B, C, H, W]``."""
    dim, band = step.dim, step.band
    if step.moves(x.dtype):
        picked = _gather(x, dim, band.start)
        return picked if out is None else out.copy_(picked)
    if out is None:
        out = _along(x, dim, band.n_out, step.store or sum_dtype(x.dtype))
    if band.gather is not None:
        # By parts, so that the extended image never stands in memory as a whole.
        direct = replace(step, band=replace(band, gather=None))
        for part, into in _chunks(x, out, _other(dim)):
            apply_pass(_gather(part, dim, band.gather), direct, into)
        return out
    if band.fold is None:
        return _apply_rows(x, step, out)
    rows = _apply_rows(x, step, _along(x, dim, band.rows, sum_dtype(x.dtype)))
    index = torch.from_numpy(band.fold).to(x.device)
    sums = torch.zeros_like(_along(x, dim, band.n_out, rows.dtype)).index_add_(dim, index, rows)
    return out.copy_(sums)


def _along(x: Tensor, dim: int, length: int, dtype: torch.dtype) -> Tensor:
    """An empty tensor shaped as ``x`` but for ``length`` along ``dim``."""
    shape = list(x.shape)
    shape[dim] = length
    return x.new_empty(shape, dtype=dtype)


def _apply_rows(x: Tensor, step: Pass, out: Tensor) -> Tensor:
    if step.sums == "exact":
        return _sum_products(x, step, out)
    # Every output in the order of its taps, over parts that keep the scratch memory small.
    product, dtype = _TAP_SUMS[step.sums]
    start, weight = step.band.start, step.band.weight
    for part, into in _chunks(x, out, _other(step.dim)):
        if step.sums == "lerp":
            sums = _lerped(part.to(dtype), step.dim, start, weight)
        elif x.is_floating_point() and not bool(part.isfinite().all()):
            sums = _tap_sums(part.to(dtype), step.dim, start, weight, _read)
        else:
            sums = _tap_sums(part.to(dtype), step.dim, start, weight, product)
        into.copy_(_stored(sums, step, into.dtype))
    return out


def _other(dim: int) -> int:
    return VERTICAL if dim == HORIZONTAL else HORIZONTAL


def _gather(x: Tensor, dim: int, index: np.ndarray) -> Tensor:
    return x.index_select(dim, torch.from_numpy(index).to(x.device))


def _sum_products(x: Tensor, step: Pass, out: Tensor) -> Tensor:
    dtype = sum_dtype(x.dtype)
    across = step.dim == HORIZONTAL
    for j, i, weight in _blocks(step.band, dtype, x.device):
        n_out, n_window = weight.shape
        target = out.narrow(step.dim, j, n_out)
        window = x.narrow(step.dim, i, n_window)
        for part, into in _chunks(window, target, _other(step.dim)):
            values = _decoded(part) if step.decodes else part
            values = values.to(dtype, memory_format=torch.contiguous_format)
            sums = values @ weight.mT if across else weight @ values
            if x.is_floating_point() and not bool(sums.isfinite().all()):
                # A NaN or infinity must stay within the taps that read it.
                finite = _finite_taps(values, step, j, n_out, i)
                sums = torch.where(sums.isfinite(), sums, finite)
            into.copy_(_stored(sums, step, into.dtype))
    return out


def _decoded(x: Tensor) -> Tensor:
    return light.tables()[0].to(x.device)[x.int()]


def _chunks(window: Tensor, target: Tensor, dim: int):
    """Matching parts of input and output, cut along the axis that is not resampled."""
    lead = max(1, min(window.shape[0], WINDOW // window[0].numel()))
    lines = max(1, WINDOW * window.shape[dim] // (lead * window[0].numel()))
    for b in range(0, window.shape[0], lead):
        for r in range(0, window.shape[dim], lines):
            count = min(lines, window.shape[dim] - r)
            yield (
                window[b : b + lead].narrow(dim, r, count),
                target[b : b + lead].narrow(dim, r, count),
            )


@kept
def _blocks(band: Band, dtype: torch.dtype, device: torch.device) -> list[tuple[int, int, Tensor]]:
    """``(first output, first input, dense weights [outputs, window])`` of each block."""
    blocks = []
    for j in range(0, band.rows, BLOCK):
        start, weight = band.start[j : j + BLOCK], band.weight[j : j + BLOCK]
        first = int(start.min())
        dense = np.zeros((len(start), int(start.max()) - first + band.taps))
        column = (start - first)[:, None] + np.arange(band.taps)
        np.put_along_axis(dense, column, weight, axis=1)
        blocks.append((j, first, torch.from_numpy(dense).to(device=device, dtype=dtype)))
    return blocks


def _finite_taps(values: Tensor, step: Pass, j: int, n_out: int, first: int) -> Tensor:
    """The sums of one block tap by tap, leaving out products with a weight of zero."""
    band = step.band
    start, weight = band.start[j : j + n_out] - first, band.weight[j : j + n_out]
    return _tap_sums(values, step.dim, start, weight, _read)


def _read(pixel: Tensor, weight: Tensor) -> Tensor:
    """A product, and zero where the weight is: a pixel that does not count may be infinite."""
    return torch.where(weight == 0, 0, pixel * weight)


def _tap_sums(x: Tensor, dim: int, start: np.ndarray, weight: np.ndarray, product) -> Tensor:
    """Sum ``product(pixel, weight)`` in the order of the taps."""
    shape = (-1,) if dim == HORIZONTAL else (-1, 1)
    total = None
    for k in range(weight.shape[1]):
        w = torch.from_numpy(weight[:, k].copy()).to(device=x.device, dtype=x.dtype).view(shape)
        term = product(_gather(x, dim, start + k), w)
        total = term if total is None else total.add_(term)
    return total


def _floor16(pixel: Tensor, weight: Tensor) -> Tensor:
    return (pixel * weight).bitwise_right_shift_(16)


def _lerped(x: Tensor, dim: int, start: np.ndarray, weight: np.ndarray) -> Tensor:
    """``a + w * (b - a)`` of two taps of float32, in float64 but for the difference."""
    a, b = (_gather(x, dim, start + k) for k in (0, 1))
    w = torch.from_numpy(weight[:, 1].copy()).to(x.device)
    w = w.view((-1,) if dim == HORIZONTAL else (-1, 1))
    return (b - a).to(torch.float64).mul_(w).add_(a)


_TAP_SUMS = {
    "float32": (torch.mul, torch.float32),
    "float64": (torch.mul, torch.float64),
    "floor16": (_floor16, torch.int32),
    "lerp": (None, torch.float32),
}


def _stored(sums: Tensor, step: Pass, dtype: torch.dtype) -> Tensor:
    """Sums to values of ``dtype``, by the rule of the pass; may reuse ``sums``."""
    if dtype.is_floating_point:
        return sums
    if not sums.is_floating_point():
        sums = sums.to(torch.float64)
    if step.rule == "fixed":
        sums = sums.mul_(2.0**-step.bits).add_(0.5).floor_()
    elif step.rule == "floor":
        sums = sums.mul_(2.0**-step.bits).floor_()
    elif step.rule == "half-away":
        sums = sums.add_(torch.copysign(torch.full_like(sums, 0.5), sums)).trunc_()
    elif step.rule == "mean":
        sums = sums.to(torch.float32).mul_(float(np.float32(1) / np.float32(step.count))).round_()
    else:
        sums = sums.round_()
    if step.rule == "srgb":
        encoded = light.tables()[1].to(sums.device)
        return encoded[sums.clamp_(0, light.WHITE).int()]
    limits = torch.iinfo(dtype)
    return sums.clamp_(limits.min, limits.max)
