"""Gradients with respect to a box: how a result changes as the edges of its crop move."""

from collections.abc import Sequence

import torch
from torch import Tensor

from torchresample.bands import Band
from torchresample.kept import kept
from torchresample.ops import engine, engine_program, request, result_layout, run_program
from torchresample.passes import HORIZONTAL, VERTICAL, Pass
from torchresample.profiles import PROFILES


def with_box_gradient(out: Tensor, image: Tensor, box: Tensor, *resized) -> Tensor:
    """``out``, a resize of ``image``, with a gradient for ``box``.

    The box has no second derivatives; those of the image stay. ``resized``: the last arguments of
    ``box_gradient``.
    """
    return _Moved.apply(out, image.detach(), box, *resized)


class _Moved(torch.autograd.Function):
    """``out`` itself, of which ``box`` is an argument too."""

    @staticmethod
    def forward(ctx, out: Tensor, image: Tensor, box: Tensor, *resized) -> Tensor:
        ctx.mark_dirty(out)  # so that it is no view, which could not be changed in place
        ctx.save_for_backward(image, box)
        ctx.resized = resized
        return out

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        image, box = ctx.saved_tensors
        of_box = box_gradient(grad, image, *ctx.resized).to(box)
        return grad, None, of_box, *(None for _ in ctx.resized)


@torch.library.custom_op("torchresample::box_gradient", mutates_args=())
def box_gradient(
    grad: Tensor,
    image: Tensor,
    flip: bool,
    method: str,
    like: str,
    antialias: bool,
    boundary: str | None,
    box: Sequence[float],
) -> Tensor:
    """The gradient with respect to left, top, right and bottom, float64 ``[4]``.

    Args:
        grad: that of a result ``[..., h, w]``.
        image: ``[..., H, W]``, floating.
        flip, method, ..., box: how the result was made: see ``ops.compute``.
    """
    wide = torch.promote_types(image.dtype, torch.float32)
    image, grad = image.to(wide), grad.to(wide)
    grad = grad.flip(-1) if flip else grad
    channels = image.shape[-3] if image.ndim > 2 else 1
    sizes, options = (image.shape[-2:], grad.shape[-2:]), (method, like, antialias, boundary)
    changes = [
        (grad * _applied(image, sizes[1], passes)).sum(dtype=torch.float64)
        for passes in slope_passes(*sizes, *options, tuple(box), wide, channels)
    ]
    return torch.stack(changes)


@box_gradient.register_fake
def _(grad, image, *resized):
    return grad.new_empty(4, dtype=torch.float64)


@kept
def slope_passes(
    size_x: tuple[int, int],
    size: tuple[int, int],
    method: str,
    like: str,
    antialias: bool,
    boundary: str | None,
    box: tuple[float, ...],
    dtype: torch.dtype,
    channels: int,
) -> tuple[tuple[Pass, ...], ...]:
    """The passes that make a result's derivatives with respect to left, top, right and bottom."""
    asked = request(size_x, size, method, like, antialias, boundary, box, dtype, channels)
    plan = PROFILES[like].passes(asked)

    def passes(dim: int, band: Band) -> tuple[Pass, ...]:
        return Pass(dim, band), *(step for step in plan if step.dim != dim)

    across, down = (
        asked.method.slopes(axis, antialias, boundary) for axis in (asked.axis_x, asked.axis_y)
    )
    return tuple(
        passes(dim, bands[edge])
        for edge in (0, 1)
        for dim, bands in ((HORIZONTAL, across), (VERTICAL, down))
    )


def _applied(image: Tensor, size: torch.Size, passes: tuple[Pass, ...]) -> Tensor:
    run = engine_program(passes, image.dtype, engine(image))
    return run_program(image, run, *result_layout(image.shape, image.stride(), size))
