"""What a resize does to signals whose right result is known: waves, a step, a zone plate.

A resize is any function ``(lines [N, rows, n] float64, m) -> [N, rows, m]``. Frequencies are in
cycles per input pixel. The *limit* is the largest frequency that both grids can carry (Nyquist):
half a cycle per pixel of the coarser one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from scipy.integrate import trapezoid
from torch import Tensor

Resample = Callable[[Tensor, int], Tensor]

ROWS, READ = 12, 8
"""Rows of a line's image, of which the first holds black and white and one is read.

scikit-image clamps a result to the range of its image, which the first row makes the full one. No
filter along columns that were not resized reaches from there to the row that is read.
"""
CORE = 64
"""Pixels of the coarser grid that are evaluated; half as many on each side are not."""
SWING = 1e-4
"""Amplitude of the waves around 0.5: so small that linear light, a curve, is straight over it."""
FRACTIONS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
"""Frequencies over the limit at which the amplitude is listed."""


@dataclass(frozen=True)
class Response:
    """What a resize makes of waves of all frequencies, at every place of its output.

    Args:
        factor: output pixels per input pixel.
        frequency: ``[K]``, evenly spaced from 0 to 0.5.
        wave: ``[K, outputs]`` complex, the result over what an exact resize would give.
    """

    factor: Fraction
    frequency: np.ndarray
    wave: np.ndarray

    @property
    def limit(self) -> float:
        """The largest frequency that both grids can carry."""
        return min(1.0, float(self.factor)) / 2

    @property
    def own(self) -> np.ndarray:
        """``[K]`` complex, what is left of a wave at its own frequency."""
        return self.wave.mean(1)

    @property
    def energy(self) -> np.ndarray:
        """``[K]`` of all that a wave becomes, the mean over places and phases; the wave's is 1."""
        return np.square(np.abs(self.wave)).mean(1)

    @property
    def gain(self) -> np.ndarray:
        """``[K]`` amplitudes: at the own frequency up to the limit, of all that is left above."""
        above = self.frequency > self.limit + 1e-9
        return np.where(above, np.sqrt(self.energy), np.abs(self.own))

    @property
    def wrong(self) -> np.ndarray:
        """``[K]`` of the energy what differs from place to place: images of the spectrum."""
        return np.maximum(self.energy - np.abs(self.own) ** 2, 0)

    def gain_at(self, fraction: float) -> float:
        """The gain at a fraction of the limit; NaN beyond what the input can carry."""
        at = fraction * self.limit
        return float(np.interp(at, self.frequency, self.gain)) if at <= 0.5 else math.nan

    def aliasing(self) -> float:
        """The share of the output's energy at wrong frequencies, where the input is white noise.

        All is wrong that comes of frequencies above the limit (aliases). Below it, what differs
        from place to place is (images of the spectrum, where pixels are enlarged).
        White noise has the same energy at each frequency.
        """
        # The frequencies are evenly spaced, and the limit is one of them.
        edge = np.searchsorted(self.frequency, self.limit - 1e-9)
        below, above = trapezoid(self.wrong[: edge + 1]), trapezoid(self.energy[edge:])
        return float((below + above) / trapezoid(self.energy))

    def loss_db(self) -> float:
        """The loss of amplitude at half the limit in decibels, negative where it is raised."""
        return -20 * math.log10(self.gain_at(0.5))

    def shift(self) -> float:
        """Return how many output pixels the result lies too far right (too far down).

        It is the mean over the frequencies up to a quarter of the limit.
        """
        low = (self.frequency > 0) & (self.frequency <= self.limit / 4)
        phase = np.angle(self.own[low])
        moved = -phase / (2 * math.pi * self.frequency[low])
        return float(moved.mean() * float(self.factor))


def _blocks(factor: Fraction) -> int:
    """Count how often the pattern of both grids repeats within the pixels evaluated."""
    return 2 ** math.ceil(math.log2(CORE / min(factor.as_integer_ratio())))


def _resized(resample: Resample, lines: Tensor, factor: Fraction) -> np.ndarray:
    """``[N, outputs]``: the evaluated part of lines ``[N, n]``."""
    out, blocks = factor.numerator, _blocks(factor)
    images = lines[:, None].repeat(1, ROWS, 1)
    images[:, 0], images[:, 0, ::2] = 0.0, 1.0
    result = resample(images, 2 * blocks * out)
    return result[:, READ, blocks // 2 * out : blocks // 2 * 3 * out].numpy()


def respond(resample: Resample, factor: Fraction) -> Response:
    """Resize cosines and sines of frequencies from 0 to 0.5, which together have every phase."""
    n = 2 * _blocks(factor) * factor.denominator
    step = 2 ** max(0, int(math.log2(n / 256)))
    frequency = np.arange(0, n // 2 + 1, step) / n
    angle = 2 * math.pi * torch.from_numpy(frequency)[:, None] * torch.arange(n)
    lines = torch.cat([torch.zeros(1, n, dtype=torch.float64), angle.cos(), angle.sin()])
    flat, *waves = _resized(resample, 0.5 + SWING * lines, factor)
    cosines, sines = (np.stack(waves) - flat).reshape(2, len(frequency), -1) / SWING
    m, across = n * factor, cosines.shape[1]
    # Where the evaluated outputs lie on the input's grid.
    j = (int(m) - across) // 2 + np.arange(across)
    place = (j + 0.5) / float(factor) - 0.5
    exact = np.exp(2j * math.pi * frequency[:, None] * place)
    return Response(factor, frequency, (cosines + 1j * sines) / exact)


def overshoot(resample: Resample, factor: Fraction) -> float:
    """Measure how far a step from 0.25 to 0.75 is overshot, in percent of its height.

    It is the most over every place that the step can have between output pixels.
    """
    n = 2 * _blocks(factor) * factor.denominator
    edges = n // 2 + torch.arange(factor.denominator)
    lines = torch.where(torch.arange(n) < edges[:, None], 0.25, 0.75).double()
    result = _resized(resample, lines, factor)
    return 200 * max(float(result.max()) - 0.75, 0.25 - float(result.min()), 0.0)


def zone_plate(side: int) -> Tensor:
    """``[side, side]`` uint8 of full contrast, whose frequency grows with the radius.

    It reaches half a cycle per pixel in the middle of each edge.
    """
    x = torch.arange(side, dtype=torch.float64) + 0.5 - side / 2
    square = x**2 + x[:, None] ** 2
    return (127.5 + 127.5 * (math.pi / side * square).cos()).round().to(torch.uint8)
