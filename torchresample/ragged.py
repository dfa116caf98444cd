"""Images of different sizes in one launch: their bands are made on the device.

For uint8 in Pillow's or ATen's arithmetic.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from torchresample.bands import Axis
from torchresample.filters import FILTERS
from torchresample.profiles import PILLOW_BITS, PROFILES

if TYPE_CHECKING:
    from torchresample.triton_kernels.tables import ScalingTable


def serves(
    images: Sequence[Tensor], method: str, like: str, antialias: bool, boundary: str | None
) -> bool:
    """Whether ``resize_images`` has the arithmetic for such images."""
    pillow = PROFILES[like].columns_first is not None and boundary == "renormalize"
    aten = like == "torch" and antialias
    if not (pillow or aten) or images[0].dtype != torch.uint8 or method not in FILTERS:
        return False
    from torchresample.triton_kernels import launch

    return all(map(launch.near, images))


def resize_images(
    images: Sequence[Tensor],
    method: str,
    like: str,
    antialias: bool,
    boxes: Sequence[tuple[float, ...] | None],
    flips: Sequence[bool],
    scaling: "ScalingTable | None",
    out: Tensor,
) -> None:
    """``images`` ``[C, H, W]``, each resized into its ``out[i]`` ``[C, h, w]``.

    All arguments are checked by the caller. ``boxes``: of each image, ``None`` for all of it.
    """
    from torchresample.triton_kernels import ragged

    profile, spec = PROFILES[like], PROFILES[like].methods[method]
    sizes = np.array([image.shape[1:] for image in images])
    whole = np.zeros((len(images), 4))
    whole[:, 2:] = sizes[:, ::-1]
    edges = np.array([row if box is None else box for row, box in zip(whole, boxes, strict=True)])
    y = profile.axis(sizes[:, 0], out.shape[-2], edges[:, 1], edges[:, 3])
    x = profile.axis(sizes[:, 1], out.shape[-1], edges[:, 0], edges[:, 2])
    pillow = profile.columns_first is not None
    keeps = spec.skip & pillow & (y.crops & x.crops)
    down = ragged.Axes(*_described(y, keeps | (spec.skip & y.unchanged), np.zeros(len(images))))
    across = ragged.Axes(*_described(x, keeps | (spec.skip & x.unchanged), np.array(flips)))
    form, parameters = FILTERS[method].form
    filter_ = ragged.Filter(form, parameters, FILTERS[method].radius, antialias)
    first = profile.columns_first(y, x) if pillow else np.zeros(len(images), dtype=bool)
    bits = PILLOW_BITS if pillow else None
    ragged.resize(images, down, across, first, filter_, bits, scaling, out)


def _described(axis: Axis, copies: np.ndarray, reverse: np.ndarray) -> tuple[np.ndarray, ...]:
    """An axis of all images as ``blocks_kernel`` takes it."""
    length = np.full(len(copies), axis.n_out)
    whole = np.stack([axis.n_in, length, reverse.astype(np.int64), copies], 1, dtype=np.int64)
    return whole, np.stack([axis.lo, axis.hi], 1, dtype=np.float64)
