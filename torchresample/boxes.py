"""Gradients with respect to a box: how a result changes as the edges of its crop move."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from torchresample.bands import Band
from torchresample.ops import engine, engine_program, request, result_layout, run_program
from torchresample.passes import HORIZONTAL, VERTICAL, Pass
from torchresample.profiles import PROFILES


class Resized(NamedTuple):
    """How a result was made: see ``ops.compute``."""

    flip: bool
    method: str
    like: str
    antialias: bool
    boundary: str | None
    box: tuple[float, ...]


def with_box_gradient(out: Tensor, image: Tensor, box: Tensor, *resized) -> Tensor:
    """``out``, a resize of ``image`` by the fields of ``Resized``, with a gradient for ``box``.

    Not for second derivatives. In a compiled function it breaks the graph, as the values of
    ``box`` do.
    """
    return _Moved.apply(out, image.detach(), box, Resized(*resized))


class _Moved(torch.autograd.Function):
    @staticmethod
    def forward(ctx, out: Tensor, image: Tensor, box: Tensor, resized: Resized) -> Tensor:
        ctx.save_for_backward(image, box)
        ctx.resized = resized
        return out.view_as(out)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        image, box = ctx.saved_tensors
        if not ctx.needs_input_grad[2]:
            return grad, None, None, None
        wide = torch.promote_types(image.dtype, torch.float32)
        image, wanted = image.to(wide), grad.to(wide)
        wanted = wanted.flip(-1) if ctx.resized.flip else wanted
        changes = (
            (wanted * _applied(image, grad.shape[-2:], passes)).sum(dtype=torch.float64)
            for passes in slope_passes(image, grad.shape[-2:], ctx.resized)
        )
        return grad, None, torch.stack(list(changes)).to(box), None


def slope_passes(image: Tensor, size: torch.Size, resized: Resized) -> list[tuple[Pass, ...]]:
    """The passes that make a result's derivatives with respect to left, top, right and bottom."""
    channels = image.shape[-3] if image.ndim > 2 else 1
    asked = request(image.shape[-2:], size, *resized[1:], image.dtype, channels)
    plan = PROFILES[resized.like].plan(asked)

    def passes(dim: int, band: Band) -> tuple[Pass, ...]:
        return Pass(dim, band), *(step for step in plan if step.dim != dim)

    across, down = (
        asked.method.slopes(axis, resized.antialias, resized.boundary)
        for axis in (asked.axis_x, asked.axis_y)
    )
    return [
        passes(dim, bands[edge])
        for edge in (0, 1)
        for dim, bands in ((HORIZONTAL, across), (VERTICAL, down))
    ]


def _applied(image: Tensor, size: torch.Size, passes: tuple[Pass, ...]) -> Tensor:
    run = engine_program(passes, image.dtype, engine(image))
    return run_program(image, run, *result_layout(image.shape, image.stride(), size))
