"""Images of different sizes in one launch.

By bands that are made on the device, of uint8 in Pillow's or ATen's arithmetic, and of floats of up
to 32 bits with the same filters; and by nearest methods, of any dtype.
"""

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from torchresample import cpu
from torchresample.bands import Axis, pixel_at
from torchresample.filters import FILTERS
from torchresample.gpu import SINGLE
from torchresample.passes import Position, Profile, Request
from torchresample.profiles import PILLOW_BITS, PROFILES

if TYPE_CHECKING:
    from torchresample.triton_kernels.tables import ScalingTable


def serves(
    images: Sequence[Tensor], method: str, like: str, antialias: bool, boundary: str | None
) -> bool:
    """Whether ``resize_images`` has the arithmetic for such images."""
    if PROFILES[like].position(method, antialias) is not None:
        return True
    pillow = PROFILES[like].columns_first is not None and boundary == "renormalize"
    aten = like == "torch" and antialias
    multiplied = images[0].dtype in (torch.uint8, *SINGLE)
    if not (pillow or aten) or not multiplied or method not in FILTERS:
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

    profile, flips, first = PROFILES[like], np.array(flips)[:, None], images[0]
    shapes = chain.from_iterable(image.shape for image in images)
    sizes = np.fromiter(shapes, np.int64).reshape(-1, 3)[:, 1:]  # in a fifth of np.array's time
    whole = np.zeros((len(images), 4))
    whole[:, 2:] = sizes[:, ::-1]
    edges = np.array([row if box is None else box for row, box in zip(whole, boxes, strict=True)])
    left, top, right, bottom = np.split(edges, 4, 1)
    y = profile.axis(sizes[:, :1], out.shape[-2], top, bottom)
    x = profile.axis(sizes[:, 1:], out.shape[-1], left, right)
    options = antialias, profile.boundary, first.dtype, len(first)
    request = Request(method, profile.methods[method], y, x, *options)
    position = profile.position(method, antialias)
    if position is None:
        ragged.resize(images, *_bands(profile, request, flips), scaling, out)
        return
    if scaling is None:  # moved as they are
        word = cpu.WORDS[first.itemsize]
        images, out = [image.view(word) for image in images], out.view(word)
    ragged.select(images, *pixels(position, request, flips), scaling, out)


def pixels(position: Position, request: Request, flips: np.ndarray) -> tuple[np.ndarray, ...]:
    """The rows and columns that are taken of each image, int64 ``[images, h]``, ``[images, w]``."""
    rows, columns = (
        np.where(
            request.method.skip & axis.unchanged,
            np.arange(axis.n_out),
            pixel_at(position(request, axis), axis.n_in),
        )
        for axis in (request.axis_y, request.axis_x)
    )
    return rows, np.where(flips, columns[:, ::-1], columns)


def _bands(profile: Profile, request: Request, flips: np.ndarray) -> tuple:
    """What ``triton_kernels.ragged.resize`` makes bands of."""
    from torchresample.triton_kernels import ragged

    y, x, skip = request.axis_y, request.axis_x, request.method.skip
    pillow, filter_ = profile.columns_first is not None, FILTERS[request.name]
    keeps = skip & pillow & (y.crops & x.crops)
    down = ragged.Axes(*_described(y, keeps | (skip & y.unchanged), np.zeros_like(flips)))
    across = ragged.Axes(*_described(x, keeps | (skip & x.unchanged), flips))
    swap = profile.columns_first(y, x) if pillow else np.zeros_like(flips)
    kernel = ragged.Filter(*filter_.form, filter_.radius, request.antialias)
    return down, across, swap, kernel, PILLOW_BITS if pillow else None


def _described(axis: Axis, copies: np.ndarray, reverse: np.ndarray) -> tuple[np.ndarray, ...]:
    """An axis of all images as ``blocks_kernel`` takes it."""
    length = np.full_like(axis.n_in, axis.n_out)
    whole = np.concatenate([axis.n_in, length, reverse, copies], 1, dtype=np.int64)
    return whole, np.concatenate([axis.lo, axis.hi], 1, dtype=np.float64)
