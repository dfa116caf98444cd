"""Images of different sizes: launches for the bands of each axis, and one for all images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
import triton
from torch import Tensor

from . import launch, tables
from .kernels import select_kernel
from .products import resize_kernel
from .tables import Blocks, ScalingTable
from .weights import bits_kernel, blocks_kernel


class Axes(NamedTuple):
    """One axis of every image, int64 ``[images, 4]`` and float64 ``[images, 2]``.

    See ``blocks_kernel``, whose first columns of ``axis_ptr`` ``whole`` has.
    """

    whole: np.ndarray
    edges: np.ndarray


class _Memory(NamedTuple):
    """Where the images lie.

    Args:
        address, lead: int64 ``[images, 1]``: a multiple of ``align`` pixels, and how many pixels
            past that the image begins.
        strides: int64 ``[images, 3]``.
        packed: whether pixels of all images are neighbours along the axis that is resampled first.
        align: pixels, of which there are 16 or 4 bytes, that divide the other strides; or 1.
    """

    address: np.ndarray
    strides: np.ndarray
    lead: np.ndarray
    packed: bool
    align: int


class _Plan(NamedTuple):
    """The bands of an axis that differ: see ``blocks_kernel``.

    Args:
        band: int64 ``[images, 1]``, which of them each image has.
        axis: int64 ``[bands, BAND]``.
        edges: float64 ``[bands, 2]``.
    """

    band: np.ndarray
    axis: np.ndarray
    edges: np.ndarray


@dataclass(frozen=True)
class Filter:
    """A filter by its form and parameters, and how it is used: see ``blocks_kernel``."""

    form: str
    parameters: tuple
    radius: float
    antialias: bool


def resize(
    images: Sequence[Tensor],
    down: Axes,
    across: Axes,
    swap: np.ndarray,
    filter_: Filter,
    bits: int | None,
    scaling: ScalingTable | None,
    out: Tensor,
) -> None:
    """``images`` ``[C, H, W]`` of one device, each into its ``out[i]`` ``[C, h, w]``.

    uint8, or floats of up to 32 bits. ``swap``, bool ``[images, 1]``: whether the height is
    resampled first; ``bits``: fraction bits of the weights of uint8, ``None``: see ``bits_kernel``.
    """
    first, second = _chosen(swap, down, across), _chosen(swap, across, down)
    x, whole = images[0], images[0].dtype == torch.uint8
    memory = _memory(images, down.whole[:, :1], swap)
    aligns = memory.align, 1
    *outputs, chunk = tables.LIST_TILES[x.itemsize][0 if _scales(first).mean() > 1 else 1]
    kinds = [(torch.int8, 3)] * 2 if whole else [launch.LIMBS[x.dtype], launch.LIMBS[torch.float32]]
    n_out = [int(axes.whole[:, 1].max()) for axes in (first, second)]
    blocks = [triton.cdiv(n, size) for n, size in zip(n_out, outputs, strict=True)]
    plans = [
        _planned(axes, before, *sizes, chunk, filter_, bits or 0)
        for axes, before, *sizes in zip(
            (first, second), (memory.lead, 0 * memory.lead), blocks, outputs, aligns, strict=True
        )
    ]
    table = _table(first, second, swap, memory, plans, out)
    parts = table, *(part for plan in plans for part in plan[1:])
    kernel = np.array([filter_.radius, *np.ravel(filter_.parameters), 0.0, 0.0])
    table, *described, kernel = _on_device((*parts, kernel), out.device)
    # Strides of each image take registers.
    warps = launch.warps(*outputs, x.itemsize) if memory.packed else 8
    room = launch.most(outputs[0], x.itemsize, warps == 4 and memory.align == 1, x.device)
    with launch.on(out.device):
        (one, taps_1), (two, taps_2) = (
            _bands(plan, axis, edges, kernel, filter_, whole and bits is None, chunk, *sizes)
            for plan, axis, edges, *sizes in zip(
                plans, described[::2], described[1::2], blocks, outputs, aligns, kinds, strict=True
            )
        )
        resize_kernel[(len(images) * len(x) * blocks[0] * blocks[1],)](
            x, out, *one, *taps_1, *two, *taps_2,
            None, None, launch.scaling_ptr(scaling, out.device), table, len(x), *blocks,
            1, 1, 1, 1, 1, 1, 0, 0, 1, 1, out.stride(0), out.stride(1), 1, 1,
            LIMBS_1=kinds[0][1], OUTPUTS_1=outputs[0], CHUNK_1=chunk, ALIGN_1=aligns[0],
            LIMBS_2=kinds[1][1], OUTPUTS_2=outputs[1], CHUNK_2=chunk, ALIGN_2=1,
            IMAGE=launch.image_type(scaling), PACKED=memory.packed, enable_fp_fusion=False,
            num_warps=warps, **launch.registers(room),
        )  # fmt: skip


def select(
    images: Sequence[Tensor],
    rows: np.ndarray,
    columns: np.ndarray,
    scaling: ScalingTable | None,
    out: Tensor,
) -> None:
    """``images`` ``[C, H, W]`` of one device, of each its pixels at ``rows`` and ``columns``.

    int64 ``[images, h]`` and ``[images, w]``; otherwise as ``launch.select``.
    """
    x, (height, width) = images[0], out.shape[2:]
    parts = np.concatenate(_places(images), 1), rows, columns
    table, rows, columns = _on_device(parts, out.device)
    with launch.on(out.device):
        select_kernel[(launch.programs(out, height, 4, width, 128),)](
            x, out, None, None, rows, columns, launch.scaling_ptr(scaling, out.device), table,
            len(x), height, width, 0, 1, 1, 1, *out.stride(),
            HEIGHT=4, WIDTH=128, IMAGE=launch.image_type(scaling), enable_fp_fusion=False,
        )  # fmt: skip


def _places(images: Sequence[Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Addresses ``[images, 1]`` and strides ``[images, 3]``."""
    addresses = np.array([image.data_ptr() for image in images])[:, None]
    strides = chain.from_iterable(image.stride() for image in images)
    return addresses, np.fromiter(strides, np.int64).reshape(-1, 3)


def _memory(images: Sequence[Tensor], heights: np.ndarray, swap: np.ndarray) -> _Memory:
    """Of images of ``heights`` ``[images, 1]``; ``swap`` as of ``resize``."""
    (addresses, strides), x, align = _places(images), images[0], 1
    packed = bool(not swap.any() and (strides[:, 2] == 1).all())
    if packed:
        lines = np.gcd.reduce(np.where(heights > 1, strides[:, 1:2], 0)[:, 0])
        channels = np.gcd.reduce(strides[:, 0]) if len(x) > 1 else 0
        align = launch.divisor(x.itemsize * math.gcd(lines, channels), (16, 4), x.itemsize)
    # No allocation begins or ends within the 16 bytes of which a line is a part.
    lead = addresses % (align * x.itemsize) // x.itemsize
    return _Memory(addresses - lead * x.itemsize, strides, lead, packed, align)


def _table(
    first: Axes,
    second: Axes,
    swap: np.ndarray,
    memory: _Memory,
    plans: Sequence[_Plan],
    out: Tensor,
) -> np.ndarray:
    """int64 ``[images, COLUMNS]``: see ``resize_kernel``."""
    read = -(-(first.whole[:, :1] + memory.lead) // memory.align) * memory.align
    ours, theirs = np.array([[out.stride(3), out.stride(2)]]), memory.strides
    columns = [
        *(memory.address, theirs[:, :1], read, second.whole[:, :1]),
        *(axes.whole[:, 1:2] for axes in (first, second)),
        *(np.where(swap, ours[:, ::-1], ours), np.where(swap, theirs[:, 1:], theirs[:, :0:-1])),
        *(plan.band for plan in plans),
        *(plan.axis[plan.band, i] for i in (7, 8) for plan in plans),
    ]
    return np.concatenate(columns, 1)


def _planned(
    axes: Axes, lead: np.ndarray, blocks: int, outputs: int, align: int, chunk: int,
    filter_: Filter, bits: int,
) -> _Plan:  # fmt: skip
    """Places for the bands of an axis of every image; images that have the same share one."""
    rows = np.concatenate([axes.whole, axes.edges.view(np.int64), lead], 1)
    numbers: dict[bytes, int] = {}  # in a quarter of the time of ``np.unique`` of rows
    keys = rows.view(f"V{rows.strides[0]}").ravel().tolist()
    band = np.array([numbers.setdefault(key, len(numbers)) for key in keys])
    _, first = np.unique(band, return_index=True)
    axes, lead = Axes(*(part[first] for part in axes)), lead[first, 0]
    chunks = -(-(_longest(axes, outputs, filter_) + align) // chunk)
    taps = _longest(axes, 1, filter_)
    places = blocks * (chunks.cumsum() - chunks), blocks * outputs * (taps.cumsum() - taps)
    columns = np.full_like(chunks, bits), chunks, places[0], taps, places[1], lead
    return _Plan(band[:, None], np.stack([*axes.whole.T, *columns], 1), axes.edges)


def _bands(
    plan: _Plan, axis: Tensor, edges: Tensor, kernel: Tensor, filter_: Filter, find_bits: bool,
    chunk: int, blocks: int, outputs: int, align: int, kind: tuple[torch.dtype, int],
) -> tuple[Blocks, tuple[Tensor | None, ...]]:  # fmt: skip
    """Those of a plan by ``blocks_kernel``, after ``bits_kernel`` if need be.

    And tap by tap, for tiles of floats that are not finite.
    """
    form = {"FORM": filter_.form, "ANTIALIAS": filter_.antialias, "enable_fp_fusion": False}
    (dtype, limbs), count, device = kind, len(plan.axis), axis.device
    chunks, taps = (blocks * int(plan.axis[:, i].sum()) for i in (5, 7))
    made = tables.empty_blocks(count * blocks, outputs, chunks, chunk, dtype, limbs, device)
    by_tap = (None,) * 3
    if made.bias is None:
        rows = torch.empty(2, count * blocks * outputs, dtype=torch.int64, device=device)
        by_tap = *rows, torch.empty(outputs * taps, dtype=torch.float32, device=device)
    if find_bits:
        bits_kernel[(count,)](axis, edges, kernel, **form, OUTPUTS=128)
    blocks_kernel[(count * blocks,)](
        axis, edges, kernel, *made, *by_tap, blocks, align, chunk, **form,
        LIMBS=limbs, OUTPUTS=outputs, num_warps=4 if outputs < 64 else 8, **launch.registers(255),
    )  # fmt: skip
    return made, by_tap


def _chosen(swap: np.ndarray, if_so: Axes, else_: Axes) -> Axes:
    return Axes(*(np.where(swap, a, b) for a, b in zip(if_so, else_, strict=True)))


def _scales(axes: Axes) -> np.ndarray:
    return (axes.edges[:, 1] - axes.edges[:, 0]) / axes.whole[:, 1]


def _longest(axes: Axes, outputs: int, filter_: Filter) -> np.ndarray:
    """No fewer pixels than any window of so many outputs has: int64 ``[images]``."""
    scale, (n_in, n_out) = _scales(axes), axes.whole[:, :2].T
    support = filter_.radius * (np.maximum(scale, 1) if filter_.antialias else 1)
    longest = (np.minimum(outputs, n_out) - 1) * scale + 2 * support + 2
    return np.ceil(np.minimum(longest, n_in)).astype(np.int64)


def _on_device(parts: Sequence[np.ndarray], device: torch.device) -> list[Tensor]:
    """Arrays of eight bytes an element, in one copy that nothing waits for.

    Each begins at a multiple of 16 bytes, as Triton compiles a kernel again where one does not.
    """
    cuda = device.type == "cuda"
    if cuda and torch.cuda.is_current_stream_capturing():
        raise RuntimeError(
            "lists of images and random crops cannot be part of a CUDA graph, "
            "as it would read what these images and boxes need again for others"
        )
    sizes = [part.size + part.size % 2 for part in parts]
    flat = torch.zeros(sum(sizes), dtype=torch.int64, device="cpu", pin_memory=cuda)
    for place, part in zip(flat.split(sizes), parts, strict=True):
        place.numpy()[: part.size] = part.view(np.int64).ravel()
    found = flat.to(device, non_blocking=True).split(sizes)
    return [
        place[: part.size].view(torch.float64 if part.dtype == np.float64 else torch.int64)
        for place, part in zip(found, parts, strict=True)
    ]
