"""What sampling theory says of gratings after a resize, without looking at any network.

``size`` pixels carry frequencies up to ``size / 2`` cycles per image (Nyquist). A wave above that
limit comes out as one below it, its alias, as strong as the filter lets it through. So a resized
grating is known by two numbers, the frequency and the amplitude that it shows, and classes whose
numbers coincide cannot be told apart by anyone.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch

from studies.pixels import Pixels
from studies.synthetic import CONTRAST, NOISE, SWING

BINS = 400


def alias(frequency: int, size: int) -> int:
    """The frequency that ``size`` samples of a wave show, in cycles per image."""
    return abs(frequency - size * round(frequency / size))


def kept(frequencies: Sequence[int], size: int) -> list[int]:
    """The frequencies below the Nyquist limit of ``size``."""
    return [frequency for frequency in frequencies if 2 * frequency < size]


def responses(
    frequencies: Sequence[int], side: int, size: int, method: str, like: str
) -> tuple[list[float], float]:
    """Measure what a resize leaves of the amplitude of each wave, and of white noise."""

    def along_rows(lines: torch.Tensor) -> torch.Tensor:  # [N, side] -> [N, size, size]
        image = lines[:, None].expand(-1, side, side)
        return Pixels(method, size, like).resizer()(image, (size, size))

    x = 2 * math.pi * (torch.arange(side, dtype=torch.float64) + 0.5) / side
    gains = []
    for frequency in frequencies:
        # Together a sine and a cosine have the same power wherever they are sampled.
        waves = torch.stack([(frequency * x).sin(), (frequency * x).cos()])
        gains.append(along_rows(waves).square().sum(0).mean().sqrt().item())
    # Independent pixels add up in power, and by the same factor along both axes.
    noise = along_rows(torch.eye(side, dtype=torch.float64)).square().sum(0).mean().item()
    return gains, noise


def best_top1(aliases: Sequence[int], gains: Sequence[float], floor: float) -> float:
    """The top-1 of the best guess from a grating's frequency and amplitude.

    Contrasts are log-uniform over ``CONTRAST``. An amplitude below ``floor`` shows nothing, not
    even its frequency.
    """
    edges = np.linspace(math.log(floor), math.log(max(gains)), BINS + 1)
    share: dict[int, np.ndarray] = {}  # alias -> [BINS], the likeliest class's share of the images
    grey = 0.0
    width = math.log(CONTRAST[1] / CONTRAST[0])
    for shown, strength in zip(aliases, gains, strict=True):
        low, high = (math.log(max(strength, 1e-9) * contrast) for contrast in CONTRAST)
        inside = np.diff(np.clip(edges, low, high)) / width
        share[shown] = np.maximum(share.get(shown, 0.0), inside)
        grey = max(grey, 1 - inside.sum())
    return (sum(part.sum() for part in share.values()) + grey) / len(gains)


def predict(frequencies: Sequence[int], side: int, size: int, method: str, like: str) -> float:
    """The best top-1 on gratings of ``side`` pixels after a resize to ``size``.

    Only for a ``size`` that divides ``side``: other ratios give a wave more than one alias.
    """
    if side % size:
        return math.nan
    gains, noise = responses(frequencies, side, size, method, like)
    # A wave counts as seen where it is stronger than the pixel noise that went through with it.
    floor = NOISE * noise / SWING
    return best_top1([alias(f, size) for f in frequencies], gains, floor)
