"""Launches of the kernels on tensors ``[B, C, H, W]`` of any strides."""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from .kernels import select_kernel, weigh_kernel

_SUMS = {
    torch.int32: tl.int32,
    torch.int64: tl.int64,
    torch.float32: tl.float32,
    torch.float64: tl.float64,
}


@dataclass(frozen=True, eq=False)
class Weighing:
    """A band, and how its sums are formed and stored: see ``weigh_kernel``.

    Args:
        dim: the axis that it resamples, -1 or -2.
        start, count: int64 ``[n_out]``.
        weight: ``[n_out, taps]``, contiguous; int32, int64, float32 or float64, as the sums.
        index: int64, or ``None``.
        begin, scale, low, high, cut, rule: see there.
    """

    dim: int
    start: Tensor
    count: Tensor
    weight: Tensor
    index: Tensor | None
    rule: str
    begin: float = 0
    scale: float = 0
    low: int = 0
    high: int = 0
    cut: int = 0

    def to(self, device: torch.device) -> "Weighing":
        tensors = (self.start, self.count, self.weight, self.index)
        start, count, weight, index = (t if t is None else t.to(device) for t in tensors)
        rest = (self.rule, self.begin, self.scale, self.low, self.high, self.cut)
        return Weighing(self.dim, start, count, weight, index, *rest)


def weigh(x: Tensor, weighing: Weighing, out: Tensor) -> None:
    """One pass: ``out`` is shaped as ``x`` but along ``weighing.dim``."""
    axis, other = (3, 2) if weighing.dim == -1 else (2, 3)
    n_out, n_other = out.shape[axis], out.shape[other]
    # Neighbours in memory are lanes of one program.
    near = out.stride(axis) < out.stride(other)
    outputs, lanes = (64, 16) if near else (16, 64)
    grid = (_programs(out, n_out, outputs, n_other, lanes),)
    order = 0, 1, axis, other
    with _on(x.device):
        weigh_kernel[grid](
            x, out, weighing.index, weighing.start, weighing.count, weighing.weight,
            out.shape[1], n_out, n_other, weighing.weight.shape[1],
            *(x.stride(i) for i in order), *(out.stride(i) for i in order),
            weighing.begin, weighing.scale, weighing.low, weighing.high,
            SUMS=_SUMS[weighing.weight.dtype], CUT=weighing.cut, RULE=weighing.rule,
            OUTPUTS=outputs, LANES=lanes, enable_fp_fusion=False,
        )  # fmt: skip


def select(x: Tensor, rows: Tensor | None, columns: Tensor | None, out: Tensor) -> None:
    """``out[..., i, j] = x[..., rows[i], columns[j]]``; ``None``: all rows or columns, in order."""
    height, width = out.shape[2:]
    grid = (_programs(out, height, 4, width, 128),)
    with _on(x.device):
        select_kernel[grid](
            x, out, rows, columns, out.shape[1], height, width, *x.stride(), *out.stride(),
            HEIGHT=4, WIDTH=128, enable_fp_fusion=False,
        )  # fmt: skip


def _programs(out: Tensor, n: int, block: int, m: int, lanes: int) -> int:
    return out.shape[0] * out.shape[1] * triton.cdiv(n, block) * triton.cdiv(m, lanes)


def _on(device: torch.device):
    """Triton launches on the current device."""
    return torch.cuda.device(device if device.type == "cuda" else -1)
