"""Images made by the code: shapes (a coarse task) and gratings (a fine task)."""

import math

import torch
from torch import Tensor

# Outlines in polar form: corners at radius 1, and between them corners at the second number.
# A regular n-gon is the case cos(pi / n), where the inner corner lies on the straight side.
SHAPES = {
    "circle": (48, math.cos(math.pi / 48)),
    "triangle": (3, math.cos(math.pi / 3)),
    "square": (4, math.cos(math.pi / 4)),
    "propeller": (3, 0.2),
    "spark": (4, 0.3),
    "star": (5, 0.4),
}
NOISE = 0.06  # standard deviation; images span 0 to 1
# A grating's amplitude is SWING times a random contrast, so that a class is not given away by how
# strong it is.
SWING, CONTRAST = 0.3, (0.2, 1.0)


def uniform(generator: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    """Random numbers in [low, high)."""
    return low + (high - low) * torch.rand(*shape, generator=generator)


def _finish(image: Tensor, generator: torch.Generator) -> Tensor:
    """Add pixel noise to ``[N, 3, H, W]`` in [0, 1] and round to uint8."""
    noisy = image + NOISE * torch.randn(image.shape, generator=generator)
    return (noisy * 255).round().clamp(0, 255).to(torch.uint8)


def render_shapes(
    labels: Tensor, size: int, generator: torch.Generator, radius: tuple[float, float]
) -> Tensor:
    """One filled shape per image, at a random place, angle, scale and pair of colours.

    Args:
        labels: ``[N]`` indices into ``SHAPES``.
        size: side of the square images.
        radius: the smallest and the largest, over the image's side.

    Returns:
        ``[N, 3, size, size]`` uint8.
    """
    n = len(labels)
    table = torch.tensor(list(SHAPES.values()))[labels]  # [N, 2]
    sector = (math.pi / table[:, 0])[:, None, None]
    inner = table[:, 1][:, None, None]
    reach = torch.exp(uniform(generator, *map(math.log, radius), n, 1, 1))
    centre = uniform(generator, 0.40, 0.60, 2, n, 1, 1)
    turn = uniform(generator, 0, 2 * math.pi, n, 1, 1)
    grid = (torch.arange(size) + 0.5) / size
    dx, dy = grid[None, None, :] - centre[0], grid[None, :, None] - centre[1]  # [N, size, size]
    # All corners and sides look alike, so fold the angle into half of one of them.
    phi = (torch.remainder(torch.atan2(dy, dx) + turn, 2 * sector) - sector).abs()
    outline = inner * torch.sin(sector) / (torch.sin(phi) + inner * torch.sin(sector - phi))
    inside = ((reach * outline - torch.hypot(dx, dy)) * size + 0.5).clamp(0, 1)[:, None]
    back = uniform(generator, 0, 1, n, 3, 1, 1)
    # 0.35 to 0.65 around the circle of values: the colours differ in every channel.
    front = (back + uniform(generator, 0.35, 0.65, n, 3, 1, 1)) % 1
    return _finish(back + inside * (front - back), generator)


def render_gratings(
    frequency: Tensor, angle: Tensor, size: int, generator: torch.Generator
) -> Tensor:
    """Sine gratings of random phase, colours and contrast.

    Args:
        frequency: ``[N]`` in cycles per image side.
        angle: ``[N]`` direction of the wave vector in radians, 0 for vertical stripes.
        size: side of the square images.

    Returns:
        ``[N, 3, size, size]`` uint8.
    """
    n = len(frequency)
    grid = (torch.arange(size) + 0.5) / size
    wave = frequency * torch.stack((angle.cos(), angle.sin()))  # [2, N]
    along = wave[0][:, None, None] * grid + wave[1][:, None, None] * grid[:, None]
    phase = uniform(generator, 0, 1, n, 1, 1)
    stripes = torch.sin(2 * math.pi * (along + phase))[:, None]  # [N, 1, size, size]
    contrast = torch.exp(uniform(generator, *map(math.log, CONTRAST), n, 1, 1, 1))
    sign = torch.randint(0, 2, (n, 3, 1, 1), generator=generator) * 2 - 1
    swing = SWING * contrast * sign * uniform(generator, 0.8, 1.2, n, 3, 1, 1)
    mean = uniform(generator, 0.4, 0.6, n, 3, 1, 1)
    return _finish(mean + swing * stripes, generator)
