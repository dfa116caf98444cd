"""sRGB and linear light. Source: IEC 61966-2-1."""

from functools import lru_cache

import torch
from torch import Tensor

WHITE = 2**16 - 1
"""What stands for white where bytes are taken as linear light: a byte's black has 20 steps."""


def to_linear(x: Tensor) -> Tensor:
    """Linear light of sRGB, floating; black is 0 and white 1, values below 0 are mirrored."""
    size = x.abs()
    # Where the power is not taken, its slope must be finite all the same.
    curve = ((size.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(size <= 0.04045, x / 12.92, curve * x.sign())


def to_srgb(x: Tensor) -> Tensor:
    """sRGB of linear light: the inverse of ``to_linear``."""
    size = x.abs()
    curve = 1.055 * size.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(size <= 0.0031308, x * 12.92, curve * x.sign())


@lru_cache(maxsize=1)
def tables() -> tuple[Tensor, Tensor]:
    """Bytes as light, float32 of whole numbers up to ``WHITE``; the byte of each such number."""
    options = {"dtype": torch.float64, "device": "cpu"}
    code = torch.arange(256, **options) / 255
    light = torch.arange(WHITE + 1, **options) / WHITE
    decoded = (to_linear(code) * WHITE).round().to(torch.float32)
    return decoded, (to_srgb(light) * 255).round().to(torch.uint8)
