"""Images of different sizes: launches for the bands of each axis, and one for all images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import triton
from torch import Tensor

from . import launch, tables
from .kernels import COLUMNS, select_kernel
from .products import resize_kernel
from .tables import Blocks, ScalingTable
from .weights import bits_kernel, blocks_kernel


class Axes(NamedTuple):
    """One axis of every image, int64 ``[images, 4]`` and float64 ``[images, 2]``.

    See ``blocks_kernel``.
    """

    whole: np.ndarray
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
    addresses, strides = _places(images)
    packed = bool(not swap.any() and (strides[:, 2] == 1).all())
    aligns = _align(images, addresses, strides) if packed else 1, 1
    *outputs, chunk = tables.LIST_TILES[x.itemsize][0 if _scales(first).mean() > 1 else 1]
    kinds = [(torch.int8, 3)] * 2 if whole else [launch.LIMBS[x.dtype], launch.LIMBS[torch.float32]]
    n_out = [int(axes.whole[:, 1].max()) for axes in (first, second)]
    blocks = [triton.cdiv(n, size) for n, size in zip(n_out, outputs, strict=True)]
    ours = np.array([[out.stride(3), out.stride(2)]])
    table = [
        *(addresses, strides[:, :1]),
        *(axes.whole[:, i : i + 1] for i in (0, 1) for axes in (first, second)),
        *(np.where(swap, ours[:, ::-1], ours), np.where(swap, strides[:, 1:], strides[:, :0:-1])),
        np.full((len(images), 2), bits or 0),
    ]
    parts = np.concatenate(table, 1), first.whole, second.whole, first.edges, second.edges
    kernel = np.array([filter_.radius, *np.ravel(filter_.parameters), 0.0, 0.0])
    table, *described, kernel = _on_device((*parts, kernel), out.device)
    with launch.on(out.device):
        (one, taps_1), (two, taps_2) = (
            _bands(
                axes, sizes, edges, kernel, table[COLUMNS.value - last :], filter_,
                whole and bits is None, n, size, chunk, align, *kind,
            )
            for axes, n, size, align, kind, sizes, edges, last in zip(
                (first, second), blocks, outputs, aligns, kinds, described[:2], described[2:],
                (2, 1), strict=True,
            )
        )  # fmt: skip
        resize_kernel[(len(images) * len(x) * blocks[0] * blocks[1],)](
            x, out, *one, *taps_1, *two, *taps_2,
            None, None, launch.scaling_ptr(scaling, out.device), table, len(x), *blocks,
            1, 1, one.weight.shape[3], _taps(taps_1), 0, 1, 1, two.weight.shape[3], _taps(taps_2),
            0, 0, 0, 1, 1, out.stride(0), out.stride(1), 1, 1,
            LIMBS_1=kinds[0][1], OUTPUTS_1=outputs[0], CHUNK_1=chunk, ALIGN_1=aligns[0],
            LIMBS_2=kinds[1][1], OUTPUTS_2=outputs[1], CHUNK_2=chunk, ALIGN_2=1,
            IMAGE=launch.image_type(scaling), PACKED=packed, enable_fp_fusion=False,
            # Strides of each image take registers.
            num_warps=launch.warps(*outputs, x.itemsize) if packed else 8,
            **({} if whole else launch.registers(255)),
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
    addresses = np.array([[image.data_ptr()] for image in images])
    return addresses, np.array([image.stride() for image in images])


def _align(images: Sequence[Tensor], addresses: np.ndarray, strides: np.ndarray) -> int:
    """As ``launch.align`` along rows, of all images."""
    shapes, pixel = np.array([image.shape for image in images]), images[0].itemsize
    apart = np.where(shapes[:, :2] > 1, strides[:, :2], 0)
    units = addresses, pixel * shapes[:, 2], pixel * apart
    unit = np.gcd.reduce(np.concatenate([part.ravel() for part in units]))
    return launch.divisor(int(unit), (16, 4), pixel)


def _bands(
    axes: Axes, sizes: Tensor, edges: Tensor, kernel: Tensor, bits: Tensor, filter_: Filter,
    find_bits: bool, blocks: int, outputs: int, chunk: int, align: int, dtype: torch.dtype,
    limbs: int,
) -> tuple[Blocks, tuple[Tensor | None, ...]]:  # fmt: skip
    """Those of an axis of every image, by ``blocks_kernel``, after ``bits_kernel`` if need be.

    And tap by tap, for tiles of floats that are not finite.
    """
    images, kind = len(axes.whole), {"FORM": filter_.form, "ANTIALIAS": filter_.antialias}
    width = triton.cdiv(_longest(axes, outputs, filter_) + align, chunk) * chunk
    made = tables.empty_blocks(images * blocks, outputs, width, dtype, limbs, sizes.device)
    taps = (None,) * 3
    if made.bias is None:
        count, rows = _longest(axes, 1, filter_), images * blocks * outputs
        places = (torch.empty(rows, dtype=torch.int64, device=sizes.device) for _ in range(2))
        taps = *places, torch.empty(rows, count, device=sizes.device)
    described = sizes, edges, kernel, bits
    if find_bits:
        bits_kernel[(images,)](*described, **kind, OUTPUTS=128, enable_fp_fusion=False)
    blocks_kernel[(images * blocks,)](
        *described, *made, *taps, blocks, width, _taps(taps), align, chunk, **kind,
        LIMBS=limbs, OUTPUTS=outputs, enable_fp_fusion=False, num_warps=4 if outputs < 64 else 8,
    )  # fmt: skip
    return made, taps


def _taps(taps: tuple[Tensor | None, ...]) -> int:
    """Of each output there is place for."""
    return 1 if taps[-1] is None else taps[-1].shape[1]


def _chosen(swap: np.ndarray, if_so: Axes, else_: Axes) -> Axes:
    return Axes(*(np.where(swap, a, b) for a, b in zip(if_so, else_, strict=True)))


def _scales(axes: Axes) -> np.ndarray:
    return (axes.edges[:, 1] - axes.edges[:, 0]) / axes.whole[:, 1]


def _longest(axes: Axes, outputs: int, filter_: Filter) -> int:
    """No fewer pixels than any window of so many outputs has."""
    scale, (n_in, n_out) = _scales(axes), axes.whole[:, :2].T
    support = filter_.radius * (np.maximum(scale, 1) if filter_.antialias else 1)
    longest = (np.minimum(outputs, n_out) - 1) * scale + 2 * support + 2
    return math.ceil(np.minimum(longest, n_in).max())


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
