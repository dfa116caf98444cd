"""The operator ``torchresample::resample``: schema, shapes, gradients and routing by device.

It takes the scalars that describe a resize, not its weights, so that ``torch.compile`` and
``torch.export`` see one opaque call whose sizes may change.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from torchresample import cpu, gpu
from torchresample.bands import Axis, Band, select_band
from torchresample.kept import LARGEST, kept
from torchresample.passes import HORIZONTAL, VERTICAL, Pass, Request
from torchresample.profiles import PROFILES

if TYPE_CHECKING:
    from torchresample.triton_kernels.tables import Source


def resample(x: Tensor, *scalars) -> Tensor:
    """Run ``compute`` with whatever gradients, transforms, modes or tracers ask for.

    Where nothing but the values is asked for, torch's dispatcher is left out, which takes as long
    as a small resize. torch gives the result of a custom operator no tangent, which then counts as
    zero, and refuses its gradient inside ``torch.func``: ``_Resample`` has both.
    """
    if is_plain(x):
        return compute(x, *scalars)
    if not torch.compiler.is_compiling() and (
        torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0
    ):
        return _Resample.apply(x, *scalars)
    # A compiler does not take ``_Resample`` in forward mode; it takes these steps.
    primal, tangent = forward_ad.unpack_dual(x)
    if tangent is None:
        return operator(x, *scalars)
    return forward_ad.make_dual(resample(primal, *scalars), resample(tangent, *scalars))


class _Resample(torch.autograd.Function):
    """``resample`` inside the transforms of ``torch.func``, one level at a time; and for tangents.

    Its forward must be the operator: a tensor keeps its tangent here, and would come back.
    """

    @staticmethod
    def forward(x: Tensor, *scalars) -> Tensor:
        return operator(x, *scalars)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        _setup_context(ctx, inputs, output)
        ctx.inputs = inputs[1:]

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _backward(ctx, grad)

    @staticmethod
    def jvp(ctx, tangent: Tensor, *_) -> Tensor:
        return resample(tangent, *ctx.inputs)

    @staticmethod
    def vmap(info, in_dims, x: Tensor, *scalars) -> tuple[Tensor, int]:
        return _over_batch(info, in_dims, x, *scalars)


def is_plain(x: Tensor) -> bool:
    """Whether no gradient, transform, mode or tracer wants to see the operator."""
    return (
        type(x) is Tensor
        and not torch.compiler.is_compiling()
        and (x.is_cpu or x.is_cuda)
        and not (x.requires_grad and torch.is_grad_enabled())
        and forward_ad._current_level < 0
        and not torch.jit.is_tracing()
        and not torch._C._len_torch_dispatch_stack()
        and not torch._C._functorch.is_legacy_batchedtensor(x)  # of ``is_grads_batched``
        # Also of what they do not follow: new memory for its result would be theirs.
        and not torch._C._are_functorch_transforms_active()
    )


def compute(
    x: Tensor,
    size: Sequence[int],
    method: str,
    like: str,
    antialias: bool,
    boundary: str | None,
    box: Sequence[float] | None,
    window: Sequence[int] | None,
    flip: bool,
    transpose: bool,
) -> Tensor:
    """Resample ``x`` ``[..., H, W]`` to ``[..., *size]``; all arguments are checked by the caller.

    Args:
        x: any dtype that the method serves, any strides, at least one pixel.
        size: ``(h, w)`` of the result.
        method: a key of the profile's methods.
        like: a key of ``PROFILES``.
        antialias: see ``functional.resize``.
        boundary: a rule the profile has; ``None`` where it has no choice.
        box: ``(left, top, right, bottom)``, ``None`` for the whole image.
        window: ``(top, left, h, w)``: the resize is to ``(h, w)``, of which the result is the part
            of ``size`` at ``(top, left)``; ``None`` for all of it.
        flip: whether that part is mirrored left to right.
        transpose: apply the adjoint, from the size of a result back to the size of an image.

    Returns:
        A new tensor; channels innermost in memory where they are so in ``x``.
    """
    box = None if box is None else tuple(box)
    window = None if window is None else tuple(window)
    options = method, like, antialias, boundary, box, window, flip, transpose
    channels = x.shape[-3] if x.ndim > 2 else 1
    run = program(x.shape[-2:], tuple(size), *options, x.dtype, channels, engine(x))
    return run_program(x, run, *result_layout(x.shape, x.stride(), size))


def engine(x: Tensor) -> str:
    """What applies passes to ``x``: see ``program``."""
    if x.is_cpu:
        return "cpu"
    return "gpu" if gpu.serves(x.device) else "torch"


def fuses_scaling(x: Tensor, dtype: torch.dtype) -> bool:
    """Whether ``resample_scaled`` takes ``x`` for a result of ``dtype``."""
    if x.dtype not in (torch.uint8, *gpu.SINGLE) or dtype not in gpu.SINGLE or x.ndim < 3:
        return False
    return is_plain(x) and x.numel() > 0 and engine(x) == "gpu"


def resample_scaled(
    x: Tensor,
    size: tuple[int, int],
    *options,
    pair: tuple[tuple[float, ...], tuple[float, ...]] | None,
    dtype: torch.dtype,
    layout: torch.memory_format,
    source: "Source" = None,
) -> Tensor:
    """``(y / 255 - mean) / std`` in float32, of the result ``y`` of ``compute`` ``[..., C, h, w]``.

    In the launch that resamples; of floating images without the division by 255.

    Args:
        x, size, options: as ``compute`` takes them, without its last argument.
        pair: mean and std, a value for each channel, or one for all; ``None``: ``y`` as it is.
        dtype, layout: of the result.
        source: see ``gpu.program``.
    """
    run = program(x.shape[-2:], size, *options, False, x.dtype, x.shape[-3], "gpu")
    shape = x.shape[:-3].numel(), x.shape[-3], *size
    out = torch.empty(shape, dtype=dtype, device=x.device, memory_format=layout)
    if out.numel():
        _, _, inner = result_layout(x.shape, x.stride(), size)
        table = None if pair is None else gpu.scaling_table(x.dtype, x.shape[-3], *pair)
        run(x, out, inner, table, source)
    return out.view(*x.shape[:-3], *shape[1:])


@lru_cache(maxsize=64)
def rows_read(size_x: tuple[int, int], size: tuple[int, int], *scalars) -> tuple[int, int]:
    """First row of an image that ``compute`` reads, and last + 1; the scalars as of ``program``."""
    down = next((s.band for s in planned_passes(size_x, size, *scalars) if s.dim == VERTICAL), None)
    if down is None:
        return 0, size_x[0]
    first, last = int(down.start.min()), int(down.start.max()) + down.taps
    if down.gather is None:
        return first, last
    read = down.gather[first:last]
    return int(read.min()), int(read.max()) + 1


def run_program(
    x: Tensor, run: Callable[..., None], shape: Sequence[int], strides: Sequence[int], inner: bool
) -> Tensor:
    """What ``compute`` returns, by the ``program`` of its arguments and the ``result_layout``."""
    out = x.new_empty_strided(shape, strides)
    if out.numel():
        run(x, out, inner)
    return out


def result_layout(
    shape: Sequence[int], strides: Sequence[int], size: Sequence[int]
) -> tuple[tuple[int, ...], list[int], bool]:
    """Shape and strides of a result, and whether its channels stand innermost."""
    inner = len(shape) > 2 and shape[-3] > 1 and strides[-3] == 1 and strides[-1] >= shape[-3]
    shape = *shape[:-2], *size
    return shape, cpu.packed_strides(shape, inner), inner


operator = torch.library.custom_op("torchresample::resample", compute, mutates_args=())


@kept
def program(*scalars) -> Callable[..., None]:
    """``cpu.program`` of a request: sizes before and after, and the scalars of ``compute``.

    And the dtype of its image, how many channels that has, and the engine: ``"cpu"``, ``"gpu"``,
    or ``"torch"`` for the operations of ``reference``.
    """
    *scalars, dtype, channels, engine = scalars
    return engine_program(planned_passes(*scalars, dtype, channels), dtype, engine)


@kept
def program_in_double(*scalars) -> Callable[..., None]:
    """``program`` for float32 on a CPU, with sums in double and float32 between the passes.

    Arguments as of ``program``, without dtype, channels and engine.
    """
    passes = tuple(
        step if step.moves(torch.float32) else replace(step, store=torch.float32, sums="float64")
        for step in planned_passes(*scalars, torch.float32, 1)
    )
    return engine_program(passes, torch.float32, "cpu")


def engine_program(passes: tuple[Pass, ...], dtype: torch.dtype, engine: str) -> Callable:
    """What runs these passes over pixels of ``dtype``."""
    on_gpu = engine == "gpu"
    run = gpu.program(passes, dtype) if on_gpu else cpu.program(passes, dtype, engine == "cpu")
    # Its parts are kept themselves, unless they are too large.
    run.nbytes = sum(step.band.nbytes for step in passes if step.band.nbytes > LARGEST)
    return run


def planned_passes(
    size_x: tuple[int, int],
    size_out: tuple[int, int],
    method: str,
    like: str,
    antialias: bool,
    boundary: str | None,
    box: tuple[float, ...] | None,
    window: tuple[int, ...] | None,
    flip: bool,
    transpose: bool,
    dtype: torch.dtype,
    channels: int,
) -> tuple[Pass, ...]:
    """The passes of a resize of ``size_x`` to ``size_out``.

    Arguments as of ``resize`` where they are resolved; and ``window``: of a result the part
    ``size_out``, as row and column of its corner, and its height and width; ``flip``: that part
    from right to left; ``transpose``: of the adjoint.
    """
    size_in, (h, w) = (size_out, size_x) if transpose else (size_x, size_out)
    y, x, h_out, w_out = window or (0, 0, h, w)
    options = method, like, antialias, boundary, box, dtype, channels
    asked = request(size_in, (h_out, w_out), *options)
    passes = PROFILES[like].passes(asked)
    if (y, h) != (0, h_out):
        passes = _part(passes, VERTICAL, asked.axis_y, range(y, y + h))
    if flip or (x, w) != (0, w_out):
        columns = range(x, x + w)
        passes = _part(passes, HORIZONTAL, asked.axis_x, columns[::-1] if flip else columns)
    if transpose:
        return tuple(replace(step, band=step.band.transposed()) for step in reversed(passes))
    return passes


def request(
    size_in: tuple[int, int],
    size_out: tuple[int, int],
    method: str,
    like: str,
    antialias: bool,
    boundary: str | None,
    box: tuple[float, ...] | None,
    dtype: torch.dtype,
    channels: int,
) -> Request:
    """What a profile plans: see ``compute``."""
    left, top, right, bottom = box or (0.0, 0.0, size_in[1], size_in[0])
    profile = PROFILES[like]
    axis_y = profile.axis(size_in[0], size_out[0], top, bottom)
    axis_x = profile.axis(size_in[1], size_out[1], left, right)
    spec = profile.methods[method]
    return Request(method, spec, axis_y, axis_x, antialias, boundary, dtype, channels)


def _part(passes: tuple[Pass, ...], dim: int, axis: Axis, outputs: range) -> tuple[Pass, ...]:
    """The passes that make these outputs only."""
    if all(step.dim != dim for step in passes):  # an axis that is left as it is
        return Pass(dim, select_band(axis.n_in, int(axis.lo) + np.array(outputs))), *passes
    return tuple(
        replace(step, band=_band_part(step.band, outputs)) if step.dim == dim else step
        for step in passes
    )


@kept
def _band_part(band: Band, outputs: range) -> Band:
    return band.part(np.array(outputs))


@operator.register_fake
def _(x, size, *scalars):
    shape, strides, _ = result_layout(x.shape, x.stride(), size)
    return x.new_empty_strided(shape, strides)


def _setup_context(ctx, inputs, output):
    x, _, *ctx.scalars, ctx.transpose = inputs
    ctx.size = x.shape[-2:]


def _backward(ctx, grad):
    grad = resample(grad, ctx.size, *ctx.scalars, not ctx.transpose)
    return grad, *(None,) * 9


operator.register_autograd(_backward, setup_context=_setup_context)


def _over_batch(info, in_dims, x, *scalars):
    x = x.movedim(in_dims[0], 0)
    if x.ndim > 3:
        return resample(x, *scalars), 0
    # Grey images: the batch is no channel, on which some roundings depend.
    return resample(x[:, None], *scalars)[:, 0], 0


operator.register_vmap(_over_batch)
