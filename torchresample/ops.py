"""The operator ``torchresample::resample``: schema, shapes, gradients and routing by device.

It takes the scalars that describe a resize, not its weights, so that ``torch.compile`` and
``torch.export`` see one opaque call whose sizes may change.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor
from torch.autograd import forward_ad

from torchresample import cpu
from torchresample.passes import Pass, Request
from torchresample.profiles import PROFILES


def resample(x: Tensor, *scalars) -> Tensor:
    """The operator below; in forward-mode differentiation with the tangent that torch leaves out.

    (torch gives a custom operator's result no tangent, which then counts as zero.)
    """
    primal, tangent = forward_ad.unpack_dual(x)
    if tangent is None:
        return operator(x, *scalars)
    return forward_ad.make_dual(resample(primal, *scalars), resample(tangent, *scalars))


@torch.library.custom_op("torchresample::resample", mutates_args=())
def operator(
    x: Tensor,
    size: Sequence[int],
    method: str,
    like: str,
    antialias: bool,
    boundary: str | None,
    box: Sequence[float] | None,
    transpose: bool,
) -> Tensor:
    """Resample ``x`` ``[..., H, W]`` to ``[..., *size]``; all arguments are checked by the caller.

    Args:
        x: any dtype that the method serves, any strides, at least one element.
        size: ``(h, w)`` of the result.
        method: a key of the profile's methods.
        like: a key of ``PROFILES``.
        antialias: see ``functional.resize``.
        boundary: a rule the profile has; ``None`` where it has no choice.
        box: ``(left, top, right, bottom)``, ``None`` for the whole image.
        transpose: apply the adjoint, from the size of a result back to the size of an image.

    Returns:
        A new tensor; channels innermost in memory where they are so in ``x``.
    """
    out = _allocate(x, size)
    if out.numel() == 0:
        return out
    passes = _passes(
        tuple(x.shape[-2:]),
        tuple(size),
        method,
        like,
        antialias,
        boundary,
        None if box is None else tuple(box),
        transpose,
        x.dtype,
        x.shape[-3] if x.ndim > 2 else 1,
    )
    if not passes:
        return out.copy_(x)
    cpu.apply(_as_4d(x), passes, _as_4d(out))
    return out


def _as_4d(x: Tensor) -> Tensor:
    """``[B, C, H, W]``; a view of ``out``, whose memory ``_allocate`` laid out."""
    if x.ndim < 4:
        return x[(None,) * (4 - x.ndim)]
    return x.flatten(0, -4)


def _channels_innermost(x: Tensor) -> bool:
    return x.ndim > 2 and x.shape[-3] > 1 and x.stride(-3) == 1 and x.stride(-1) == x.shape[-3]


def _allocate(x: Tensor, size: Sequence[int]) -> Tensor:
    h, w = size
    if _channels_innermost(x):
        return x.new_empty([*x.shape[:-3], h, w, x.shape[-3]]).movedim(-1, -3)
    return x.new_empty([*x.shape[:-2], h, w])


@lru_cache(maxsize=64)
def _passes(
    size_x: tuple[int, int],
    size_out: tuple[int, int],
    method: str,
    like: str,
    antialias: bool,
    boundary: str | None,
    box: tuple[float, ...] | None,
    transpose: bool,
    dtype: torch.dtype,
    channels: int,
) -> tuple[Pass, ...]:
    (h_in, w_in), (h_out, w_out) = (size_out, size_x) if transpose else (size_x, size_out)
    left, top, right, bottom = box or (0.0, 0.0, w_in, h_in)
    profile = PROFILES[like]
    axis_y = profile.axis(h_in, h_out, top, bottom)
    axis_x = profile.axis(w_in, w_out, left, right)
    spec = profile.methods[method]
    request = Request(method, spec, axis_y, axis_x, antialias, boundary, dtype, channels)
    passes = profile.plan(request)
    if transpose:
        return tuple(replace(step, band=step.band.transposed()) for step in reversed(passes))
    return passes


@operator.register_fake
def _(x, size, method, like, antialias, boundary, box, transpose):
    return _allocate(x, size)


def _setup_context(ctx, inputs, output):
    x, _, *ctx.scalars, ctx.transpose = inputs
    ctx.size = x.shape[-2:]


def _backward(ctx, grad):
    grad = resample(grad, ctx.size, *ctx.scalars, not ctx.transpose)
    return grad, None, None, None, None, None, None, None


operator.register_autograd(_backward, setup_context=_setup_context)


@operator.register_vmap
def _(info, in_dims, x, *scalars):
    x = x.movedim(in_dims[0], 0)
    if x.ndim > 3:
        return operator(x, *scalars), 0
    # Grey images: the batch is no channel, on which some roundings depend.
    return operator(x[:, None], *scalars)[:, 0], 0
