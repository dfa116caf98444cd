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
from .kernels import COLUMNS
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
    columns_first: np.ndarray,
    filter_: Filter,
    bits: int | None,
    scaling: ScalingTable | None,
    out: Tensor,
) -> None:
    """``images``, uint8 ``[C, H, W]`` of one device, each into its ``out[i]`` ``[C, h, w]``.

    ``columns_first``: of each image, whether the height is resampled first; ``bits``: fraction bits
    of the weights, ``None``: see ``bits_kernel``.
    """
    swap = columns_first[:, None]
    first, second = _chosen(swap, down, across), _chosen(swap, across, down)
    x, addresses = images[0], np.array([[image.data_ptr()] for image in images])
    strides = np.array([image.stride() for image in images])
    packed = not swap.any() and (strides[:, 2] == 1).all()
    aligns = 1, 1
    if packed:  # as ``launch.align`` has it, of all images
        apart = np.stack([np.full(len(images), len(x)), down.whole[:, 0]], 1) > 1
        units = addresses, across.whole[:, 0], np.where(apart, strides[:, :2], 0)
        unit = np.gcd.reduce(np.concatenate([part.ravel() for part in units]))
        aligns = launch.divisor(int(unit), (16, 4), 1), 1
    *outputs, chunk = tables.DOWN if _scales(first).mean() > 1 else tables.UP
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
        one, two = (
            _bands(
                whole, edges, kernel, table[COLUMNS.value - last :], filter_, bits is None,
                n, size, _width(axes, size, align, chunk, filter_), chunk, align,
            )
            for axes, n, size, align, whole, edges, last in zip(
                (first, second), blocks, outputs, aligns, described[:2], described[2:], (2, 1),
                strict=True,
            )
        )  # fmt: skip
        resize_kernel[(len(images) * len(x) * blocks[0] * blocks[1],)](
            x, out, one.window, one.weight, one.bias, None, None, None,
            two.window, two.weight, two.bias, None, None, None,
            None, None, launch.scaling_ptr(scaling, out.device), table, len(x), *blocks,
            1, 1, one.weight.shape[3], 1, 0, 1, 1, two.weight.shape[3], 1, 0,
            0, 0, 1, 1, out.stride(0), out.stride(1), 1, 1,
            LIMBS_1=3, OUTPUTS_1=outputs[0], CHUNK_1=chunk, ALIGN_1=aligns[0],
            LIMBS_2=3, OUTPUTS_2=outputs[1], CHUNK_2=chunk, ALIGN_2=1,
            IMAGE=launch.image_type(scaling), PACKED=bool(packed), enable_fp_fusion=False,
            num_warps=launch.warps(*outputs, 1),
        )  # fmt: skip


def _bands(
    whole: Tensor, edges: Tensor, kernel: Tensor, bits: Tensor, filter_: Filter, find_bits: bool,
    blocks: int, outputs: int, width: int, chunk: int, align: int,
) -> Blocks:  # fmt: skip
    """Those of an axis of every image, by ``blocks_kernel``, after ``bits_kernel`` if need be."""
    images, kind = len(whole) // 4, {"FORM": filter_.form, "ANTIALIAS": filter_.antialias}
    made = tables.empty_blocks(images * blocks, outputs, width, whole.device)
    described = whole, edges, kernel, bits
    if find_bits:
        bits_kernel[(images,)](*described, **kind, OUTPUTS=128, enable_fp_fusion=False)
    blocks_kernel[(images * blocks,)](
        *described, made.window, made.weight, made.bias, blocks, width, **kind,
        LIMBS=3, OUTPUTS=outputs, CHUNK=chunk, ALIGN=align, enable_fp_fusion=False,
    )  # fmt: skip
    return made


def _chosen(swap: np.ndarray, if_so: Axes, else_: Axes) -> Axes:
    return Axes(*(np.where(swap, a, b) for a, b in zip(if_so, else_, strict=True)))


def _scales(axes: Axes) -> np.ndarray:
    return (axes.edges[:, 1] - axes.edges[:, 0]) / axes.whole[:, 1]


def _width(axes: Axes, outputs: int, align: int, chunk: int, filter_: Filter) -> int:
    """No less than any block's window is long."""
    scale, (n_in, n_out) = _scales(axes), axes.whole[:, :2].T
    support = filter_.radius * (np.maximum(scale, 1) if filter_.antialias else 1)
    longest = (np.minimum(outputs, n_out) - 1) * scale + 2 * support + 2
    return triton.cdiv(math.ceil(np.minimum(longest, n_in).max()) + align, chunk) * chunk


def _on_device(parts: Sequence[np.ndarray], device: torch.device) -> list[Tensor]:
    """Arrays of eight bytes an element, in one copy that nothing waits for."""
    flat = torch.from_numpy(np.concatenate([part.view(np.int64).ravel() for part in parts]))
    if device.type == "cuda":
        if torch.cuda.is_current_stream_capturing():
            raise RuntimeError("bands that are made anew cannot be part of a CUDA graph")
        flat = flat.pin_memory().to(device, non_blocking=True)
    found = flat.split([part.size for part in parts])
    return [
        tensor.view(torch.float64) if part.dtype == np.float64 else tensor
        for tensor, part in zip(found, parts, strict=True)
    ]
