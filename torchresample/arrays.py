"""Arrays as torch has images, and back: channels stand last in arrays, before rows in tensors."""

import numpy as np
import torch
from torch import Tensor


def check_array(array: np.ndarray, name: str = "image") -> tuple[int, int]:
    """Height and width of an array ``[H, W]`` or ``[..., H, W, C]``; ``name``: of the argument."""
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a plain ndarray, got a masked array")
    if not array.dtype.isnative:
        raise TypeError(
            f"{name} must be an array of native numbers (convert it, as by "
            f"{name}.astype({array.dtype.newbyteorder('=').name!r})), got dtype {array.dtype}"
        )
    wide = array.dtype.kind == "f" and array.dtype.itemsize > 8  # longdouble
    if array.dtype.kind not in "biufc" or wide:
        raise TypeError(f"{name} must be an array of native numbers, got dtype {array.dtype}")
    if array.ndim < 2:
        raise ValueError(
            f"{name} must be an array [H, W] or [..., H, W, C], got shape {array.shape}"
        )
    h, w = array.shape if array.ndim == 2 else array.shape[-3:-1]
    if h < 1 or w < 1:
        raise ValueError(f"{name} must have at least one pixel, got shape {array.shape}")
    return h, w


def to_planes(array: np.ndarray, name: str = "image") -> Tensor:
    """``[H, W]`` of an array of that shape, ``[..., C, H, W]`` of ``[..., H, W, C]``.

    In the array's own memory where torch takes that.
    """
    check_array(array, name)
    # torch takes neither memory that it may not write to, nor strides that are negative or split
    # an element.
    size_of = array.dtype.itemsize
    if not array.flags.writeable or any(s < 0 or s % size_of for s in array.strides):
        array = array.copy()
    # NumPy exchanges axes in a small part of the time of torch's or its own moves.
    return torch.from_numpy(array if array.ndim == 2 else array.swapaxes(-2, -1).swapaxes(-3, -2))


def to_array(planes: Tensor) -> np.ndarray:
    """The inverse of ``to_planes``, contiguous."""
    array = planes.numpy()
    return (
        array if array.ndim == 2 else np.ascontiguousarray(array.swapaxes(-3, -2).swapaxes(-2, -1))
    )
