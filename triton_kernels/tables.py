"""What kernels read beside pixels: bands, and bands cut into blocks for the matrix units."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial, wraps
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

TILES = {
    1: ((16, 32, 64), (32, 32, 64), (64, 64, 64), (64, 64, 32)),
    2: ((16, 32, 64), (32, 32, 64), (64, 64, 32)),
    4: ((16, 32, 32), (64, 32, 32)),
}
"""By bytes of a pixel: outputs of a tile along both axes, and how much of a window is multiplied
at once. With larger ones registers run out."""

SOURCE_TILES = (*TILES[1][:2], TILES[1][3])
"""Those for bytes of which something is made where they are read, which takes registers too."""

LIST_TILES = {pixel: (tiles[0], tiles[1 if pixel == 4 else 2]) for pixel, tiles in TILES.items()}
"""Those for images of different sizes of which most become smaller, and for others."""

BLOCKS = (16, 64)
"""Outputs of a block, where one axis is resampled."""

LINES = 64
"""Lines of such a tile."""

SIDE = 32
"""Outputs along each axis of a tile that is summed in the order of the taps, both axes at once."""

CHUNK = {1: 64, 2: 64, 4: 32}
"""By bytes of a pixel: those of a window that are multiplied at once."""

PRODUCTS = 90
"""Products of int8 that a GPU can do while it reads a byte.

An estimate for an H100: half of its 1e15 a second, by 5.5e12 bytes of its second-level cache.
"""

STEP, LAUNCH = 2**10, 2**23
"""Bytes that it can read while a chunk is set up, and while a kernel is launched: estimates."""

MARGIN = 0.75
"""Two launches take so much less by the estimate, which leaves out much, where they are chosen."""


@dataclass(frozen=True, eq=False)
class Weighing:
    """A band, and how its sums are formed and stored: see ``weigh_kernel``.

    Args:
        dim: the axis that it resamples, -1 or -2.
        start, count: int64 ``[n_out]``.
        weight: ``[n_out, taps]``, contiguous; int32, int64, float32 or float64, as the sums.
        index: int64, or ``None``.
        table: see ``table_ptr`` there.
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
    table: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of its tensors."""
        return self.start.nbytes + self.count.nbytes + self.weight.nbytes

    def multiplies(self, dtype: torch.dtype) -> bool:
        """Whether the matrix units have its arithmetic, for pixels of ``dtype``."""
        if self.index is not None or self.table is not None:
            return False
        if dtype == torch.uint8:
            fixed = self.rule == "shift" and self.weight.dtype == torch.int32
            return fixed and (self.low, self.high, self.cut) == (0, 255, 0) and self.digits <= 3
        real = self.rule == "keep" and self.weight.dtype == torch.float32
        return real and dtype in (torch.float16, torch.bfloat16, torch.float32)

    @cached_property
    def digits(self) -> int:
        """Of base 256, that its whole weights have: 2, where they fit 16 bits, 3 or more."""
        size = int(self.weight.abs().max())
        return 2 if size < 2**15 - 2**7 else 3 if size < 2**23 - 2**15 else 4


class Blocks(NamedTuple):
    """A band for ``multiply_kernel``: see there for the tensors; without ``bias`` for floats."""

    window: Tensor
    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True, eq=False)
class ScalingTable:
    """What becomes of a result, of the dtype ``image``, before it is stored.

    ``table``: float32 ``[channels, 3]``, by which values are divided, what is taken off, and by
    which that is divided.
    """

    table: Tensor
    image: torch.dtype


@dataclass(frozen=True, eq=False)
class Frame:
    """What makes RGB of luma.

    Args:
        chroma: uint16 ``[B, h, w]``, pairs of bytes, all places within 32 bits.
        numbers: for red, green and blue the weights of luma and of both chroma values, and what is
            added; along height and width step and fourths, of even places, then of odd: see
            ``kernels._as_rgb``.
    """

    chroma: Tensor
    numbers: tuple[tuple[int, ...], ...]


ALPHA = "alpha"
"""uint8 images are weighed by their last channel."""

Source = Frame | str | None
"""What is made of pixels where they are read: RGB of luma, or ``ALPHA``."""


def empty_blocks(
    count: int, outputs: int, chunks: int, chunk: int, dtype: torch.dtype, limbs: int,
    device: torch.device,
) -> Blocks:  # fmt: skip
    """Place for so many blocks of so many chunks together, with ``limbs`` of ``dtype``."""
    new = partial(torch.empty, device=device)
    bias = new(count, outputs, dtype=torch.int32) if dtype == torch.int8 else None
    weight = new(chunks, limbs, outputs, chunk, dtype=dtype)
    return Blocks(new(count, 4, dtype=torch.int32), weight, bias)


@lru_cache(maxsize=512)
def windows(weighing: Weighing, outputs: int, align: int, chunk: int) -> np.ndarray:
    """Where the window of each block of ``outputs`` begins, and its length: ``[2, blocks]``.

    They begin at multiples of ``align``; lengths are rounded up to multiples of ``chunk``.
    """
    start, count = weighing.start.numpy(), weighing.count.numpy()
    edges = np.arange(0, len(start), outputs)
    end = np.maximum.reduceat(np.where(count > 0, start + count, 0), edges)
    first = np.minimum.reduceat(np.where(count > 0, start, np.iinfo(np.int64).max), edges)
    first = np.minimum(first, end) // align * align
    return np.stack([first, -((first - end) // chunk) * chunk])


def cached(size: int) -> Callable:
    """A cache of so many results, tensors on the device that is the last argument.

    They are made on its default stream, and stay in memory as long as a kernel may read them: where
    a CUDA graph is being captured, which reads them later, for good; on another stream until that
    has come so far, though they are forgotten before.
    """

    def caching(function: Callable) -> Callable:
        made = lru_cache(maxsize=size)(partial(_made, function))

        @wraps(function)
        def holding(*arguments):
            result, device = made(*arguments), arguments[-1]
            if not _on_other_stream(device):
                return result
            if torch.cuda.is_current_stream_capturing():
                _HELD[id(result)] = result
                return result
            for tensor in (result,) if isinstance(result, Tensor) else result:
                if tensor is not None:
                    tensor.record_stream(torch.cuda.current_stream(device))
            return result

        return holding

    return caching


def _made(function: Callable, *arguments) -> Tensor | tuple[Tensor | None, ...]:
    """Its result, made on the default stream."""
    if not _on_other_stream(arguments[-1]):
        return function(*arguments)
    if torch.cuda.is_current_stream_capturing():
        raise RuntimeError(
            "a CUDA graph can capture a resize once it was called with the same sizes and options"
        )
    # Where torch warms up for a graph, the graph owns what is new in this thread's memory.
    with ThreadPoolExecutor(1) as other:
        return other.submit(function, *arguments).result()


def _on_other_stream(device: torch.device) -> bool:
    """Whether what is done on ``device`` is done on a stream that is not its default."""
    if device.type != "cuda":  # the interpreter's
        return False
    return torch.cuda.current_stream(device).cuda_stream != 0


_HELD: dict[int, object] = {}


@cached(128)
def blocks(
    weighing: Weighing, outputs: int, align: int, chunk: int, dtype: torch.dtype, limbs: int,
    device: torch.device,
) -> Blocks:  # fmt: skip
    """A band on ``device`` with ``limbs`` of ``dtype``; otherwise see ``windows``."""
    start, length = windows(weighing, outputs, align, chunk)
    weight, count = weighing.weight.numpy(), weighing.count.numpy()
    dense = np.zeros((len(start) * outputs, length.max()), weight.dtype)
    lead = weighing.start.numpy() - np.repeat(start, outputs)[: len(count)]
    for k in range(weight.shape[1]):
        rows = np.flatnonzero(k < count)
        dense[rows, lead[rows] + k] = weight[rows, k]
    bias = None
    if dtype == torch.int8:
        sums = dense.sum(1, dtype=np.int64) * 128 + int(weighing.begin)
        bias = torch.from_numpy(sums).to(torch.int32).to(device)
    chunks = length // chunk
    dense = dense.reshape(len(start), outputs, chunks.max(), chunk).swapaxes(1, 2)
    dense = dense[np.arange(chunks.max()) < chunks[:, None]]  # [chunks, outputs, chunk]
    parts = torch.stack(_limbs(torch.from_numpy(dense), dtype, limbs), 1)
    bits = np.full_like(start, weighing.scale)
    window = np.stack([start, length, chunks.cumsum() - chunks, bits], 1)
    window = torch.from_numpy(window).to(torch.int32)
    return Blocks(window.to(device), parts.to(device), bias)


def _limbs(weight: Tensor, dtype: torch.dtype, count: int) -> list[Tensor]:
    """What adds up to ``weight``, the largest first: see ``products``."""
    limbs = []
    for _ in range(count):
        if dtype == torch.int8:
            low = (weight + 128) % 256 - 128
            limbs.insert(0, low.to(dtype))
            weight = (weight - low) // 256
        else:
            limbs.append(weight.to(dtype))
            weight = weight - limbs[-1].to(weight.dtype)
    return limbs


@lru_cache(maxsize=512)
def block(weighing: Weighing, align: int, pixel: int, lines: int, processors: int) -> int:
    """How many outputs the blocks have of a launch that resamples one axis.

    Args:
        align: see ``windows``.
        pixel: bytes of one.
        lines: of pixels, in all planes together.
        processors: that the GPU has.
    """
    arguments = align, pixel, lines, processors
    return min(BLOCKS, key=lambda outputs: _cost(weighing, outputs, *arguments))


@lru_cache(maxsize=512)
def tile(
    first: Weighing, second: Weighing, tiles: tuple[tuple[int, int, int], ...],
    aligns: tuple[int, int], pixel: int, planes: int, lines: int, processors: int,
) -> tuple[int, int, int] | None:  # fmt: skip
    """One of ``tiles`` for a launch that resamples both axes; ``None``: two launches cost less.

    ``lines``: of a plane's pixels, which ``first`` resamples. Otherwise as ``block``.
    """

    def apart(weighing: Weighing, align: int, size: int, n: int) -> float:
        arguments = align, size, planes * n, processors
        return _cost(weighing, block(weighing, *arguments), *arguments)

    between = 4 if pixel > 1 else 1  # as halves are float32 there
    two = apart(first, aligns[0], pixel, lines)
    two += apart(second, aligns[1], between, len(first.start))
    costs = [_cost_of_both(first, second, t, aligns, pixel, planes, processors) for t in tiles]
    return tiles[np.argmin(costs)] if two + LAUNCH > MARGIN * min(costs) else None


def joins(
    first: Weighing, second: Weighing, between: int, planes: int, lines: int, processors: int
) -> bool:
    """Whether one launch of ``weigh_both_kernel`` costs less than two of ``weigh_kernel``.

    It multiplies along the first axis again for each tap along the second. ``between``: bytes of a
    pixel between the two; otherwise as ``tile``.
    """
    (n_1, taps_1), (n_2, taps_2) = first.weight.shape, second.weight.shape
    one = _of_taps(planes, n_1 * n_2, taps_2 * (taps_1 + 1), processors)
    across = _of_taps(planes, n_1 * lines, taps_1 + 2 * between, processors)
    return one <= across + _of_taps(planes, n_1 * n_2, taps_2, processors) + LAUNCH


def _of_taps(planes: int, outputs: int, of_each: int, processors: int) -> float:
    """Of so many products or bytes for each output of each plane, alike in time."""
    return planes * outputs * of_each * max(1, processors / (planes * -(-outputs // SIDE**2)))


def _cost(
    weighing: Weighing, outputs: int, align: int, pixel: int, lines: int, processors: int
) -> float:
    """Of a launch that resamples one axis, in the time that a byte is read; see ``block``."""
    chunk, parts = CHUNK[pixel], -(-lines // LINES)
    lengths = windows(weighing, outputs, align, chunk)[1]
    line = lengths.sum() * (pixel + outputs * _product(pixel)) + lengths.size * outputs * pixel
    steps = lengths.sum() // chunk
    return parts * (LINES * line + steps * STEP) * max(1, processors / (lengths.size * parts))


def _cost_of_both(
    first: Weighing, second: Weighing, tile: tuple[int, int, int], aligns: tuple[int, int],
    pixel: int, planes: int, processors: int,
) -> float:  # fmt: skip
    """Of a launch that resamples both axes; see ``tile``."""
    across, down, chunk = tile
    lengths, rows = (
        windows(weighing, outputs, align, chunk)[1]
        for weighing, outputs, align in zip((first, second), tile, aligns, strict=False)
    )
    row = lengths.sum() * (pixel + across * _product(pixel))
    row += lengths.size * across * down * _product(pixel)
    steps = (lengths.sum() // chunk + lengths.size) * (rows.sum() // chunk)
    tiles = lengths.size * rows.size
    cost = rows.sum() * row + tiles * across * down * pixel + steps * STEP
    return planes * cost * max(1, processors / (tiles * planes))


def _product(pixel: int) -> float:
    """The time of a product with all limbs.

    Three, of halves at half the speed; of float32 it takes six of these.
    """
    return 3 * pixel / PRODUCTS
