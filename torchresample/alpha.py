"""Colours weighed by alpha, and back: what is transparent must not bleed into what is not.

Bytes are those of Pillow. Source: ``Convert.c``, ``rgba2rgbA`` and ``rgbA2rgba``.
"""

import torch
from torch import Tensor

from torchresample import cpu
from torchresample.ops import is_plain, program, result_layout


def premultiplied(x: Tensor) -> Tensor:
    """``[..., C, H, W]``, uint8 or floating, its other channels weighed by the last."""
    if x.dtype == torch.uint8 and x.is_cpu and is_plain(x) and x.numel():
        return cpu.premultiplied(x)
    colours, alpha = x[..., :-1, :, :], x[..., -1:, :, :]
    if x.dtype != torch.uint8:  # nor does a NaN count where it is transparent
        return torch.cat([torch.where(alpha == 0, 0, colours * alpha), alpha], dim=-3)
    product = colours.int() * alpha.int() + 128
    return torch.cat([((product + (product >> 8)) >> 8).to(x.dtype), alpha], dim=-3)


def straight(x: Tensor) -> Tensor:
    """The inverse of ``premultiplied``; where alpha is 0 colours stay as they are."""
    if x.dtype == torch.uint8 and x.is_cpu and is_plain(x) and x.numel():
        return cpu.straight(x)
    colours, alpha = x[..., :-1, :, :], x[..., -1:, :, :]
    if x.dtype != torch.uint8:
        return torch.cat([colours / torch.where(alpha == 0, 1, alpha), alpha], dim=-3)
    divisor = torch.where(alpha == 0, 255, alpha.int())
    ratio = torch.div(255 * colours.int(), divisor, rounding_mode="floor").clamp(max=255)
    return torch.cat([ratio.to(x.dtype), alpha], dim=-3)


def resized_on_gpu(x: Tensor, size: tuple[int, int], *options) -> Tensor:
    """``straight`` of the resized ``premultiplied``: uint8 weighed where the kernel reads it."""
    from torchresample.triton_kernels import launch, tables

    run = program(x.shape[-2:], size, *options, x.dtype, x.shape[-3], "gpu")
    shape, strides, inner = result_layout(x.shape, x.stride(), size)
    out = x.new_empty_strided(shape, strides)
    if out.numel():
        run(x, out, inner, None, tables.ALPHA)
        launch.straighten(cpu.as_4d(out))
    return out
