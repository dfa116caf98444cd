"""Images of different sizes to one batch."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from torchresample import cpu, gpu, ragged
from torchresample.arrays import to_planes
from torchresample.checks import (
    Box,
    Method,
    channels_seem_last,
    check_box,
    check_not_traced,
    check_options,
    check_pixels,
    is_dense,
    not_scripted,
    plain_size,
    wants_gradient,
    warn_of_channels,
)
from torchresample.functional import resample_box
from torchresample.kinds import as_tensor, is_tv_tensor
from torchresample.ops import engine, fuses_scaling, is_plain, program
from torchresample.preprocess import Scaling, check_any_scaling, check_scalable, scaled
from torchresample.profiles import PROFILES


@not_scripted
def resize_batch(
    images: Sequence[Tensor | np.ndarray],
    size: Sequence[int],
    method: Method = "bilinear",
    *,
    like: str = "pillow",
    antialias: bool | None = None,
    boundary: str | None = None,
    boxes: Sequence[Box | None] | Tensor | None = None,
    flips: Sequence[bool] | Tensor | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    dtype: torch.dtype | None = None,
    layout: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """Images of different sizes, each resized to one size, as a batch.

    Every image becomes what ``resize`` makes of it alone (floats on a GPU up to rounding): none is
    padded to the size of others. A CUDA graph cannot capture it, as its images may lie elsewhere
    when that runs.

    Args:
        images: tensors (or ``tv_tensors.Image``) ``[C, H, W]`` or ndarrays ``[H, W]`` or
            ``[H, W, C]``, of one dtype, number of channels and device, any strides.
        size: ``(h, w)`` in pixels.
        method, like, antialias, boundary: see ``resize``.
        boxes: for each image ``(left, top, right, bottom)`` in its pixels, may be fractional, or
            ``None`` for all of it; or an array or tensor ``[B, 4]``, which is read from its device,
            and gets a gradient as the ``box`` of ``resize`` does.
        flips: for each image, whether its result is mirrored left to right; or a bool array.
        mean, std, dtype: see ``ImageClassification``; without a ``dtype`` values stay as they are.
        layout: of the batch, ``torch.contiguous_format`` or ``torch.channels_last``.

    Returns:
        A tensor ``[B, C, h, w]``, also of arrays, of the images' dtype or ``dtype``; differentiable
        where they are floating.

    Raises:
        ValueError, TypeError: an argument out of range or of the wrong type, naming it, and which
            of the images it is.
    """
    check_not_traced()
    size = plain_size(size)
    if not isinstance(size, Sequence) or len(size) != 2:
        raise ValueError(f"size must be (h, w), as all results have one size, got {size!r}")
    method = check_options(size, method, like, antialias, None, boundary, None)
    scaling = check_any_scaling(mean, std, dtype, layout)
    given, images = images, _checked(images)
    if dtype is not None:
        check_scalable(images[0], scaling, "images")
    flips = [False] * len(images) if flips is None else _listed("flips", flips, len(images))
    if not all(isinstance(flip, (bool, np.bool_)) for flip in flips):
        raise TypeError(f"flips must consist of True and False, got {flips!r}")
    flips = [bool(flip) for flip in flips]
    pieces = _differentiated(boxes, len(images))
    boxes = [None] * len(images) if boxes is None else _listed("boxes", boxes, len(images))
    new_size = int(size[0]), int(size[1])
    corners, smooth = _resolved(images, boxes, method, like, antialias)
    for i, image in enumerate(given):
        if isinstance(image, Tensor) and channels_seem_last(image.shape, new_size):
            warn_of_channels(image.shape, new_size, f"images[{i}]")
            break
    options = method, like, smooth, boundary or PROFILES[like].boundary
    scaling = None if dtype is None else scaling
    moving = any(piece is not None for piece in pieces)
    wraps = PROFILES[like].wraps(images[0].dtype, method, smooth)
    if moving or wraps or not all(map(is_plain, images)):
        parts = [
            resample_box(image, new_size, *options, *rest)
            for image, *rest in zip(images, corners, flips, pieces, strict=True)
        ]
        return _finished(torch.stack(parts), scaling, layout)
    return _filled(images, new_size, options, corners, flips, scaling, layout)


def _differentiated(boxes: Sequence[Box | None] | Tensor | None, count: int) -> list[Tensor | None]:
    """The boxes that get a gradient, in their places."""
    if wants_gradient(boxes):
        return list(boxes.unbind()) if boxes.ndim else []
    if not isinstance(boxes, (list, tuple)):
        return [None] * count
    return [box if wants_gradient(box) else None for box in boxes]


def _resolved(
    images: list[Tensor],
    boxes: list[Box | None],
    method: str,
    like: str,
    antialias: bool | None,
) -> tuple[list[tuple[float, ...] | None], bool]:
    """Corners of each box, and whether to antialias; errors name the image."""
    corners, dtype = [], images[0].dtype
    antialias = PROFILES[like].antialias(antialias, method, dtype)
    for i, (image, box) in enumerate(zip(images, boxes, strict=True)):
        try:
            check_pixels(image.shape, dtype, method, like, antialias)
            corners.append(check_box(box, *image.shape[-2:]))
        except (ValueError, TypeError) as error:
            which = f"images[{i}]" if box is None else f"images[{i}], boxes[{i}]"
            raise type(error)(f"{which}: {error}") from None
    return corners, antialias


def _filled(
    images: list[Tensor],
    size: tuple[int, int],
    options: tuple,
    boxes: list[tuple[float, ...] | None],
    flips: list[bool],
    scaling: Scaling | None,
    layout: torch.memory_format,
) -> Tensor:
    """Without gradients: a batch, and every image resized into its place there."""
    first, channels = images[0], len(images[0])
    fused, table = scaling is not None and fuses_scaling(first, scaling.dtype), None
    if fused:
        table = gpu.scaling_table(first.dtype, channels, *scaling.pair)
    kind = {"dtype": scaling.dtype if fused else first.dtype, "device": first.device}
    batch = torch.empty((len(images), channels, *size), **kind, memory_format=layout)
    if engine(first) == "gpu" and ragged.serves(images, *options):
        ragged.resize_images(images, *options[:3], boxes, flips, table, batch)
    else:
        inner = layout == torch.channels_last and channels > 1
        finish = {"scaling": table} if fused else {}
        for image, box, flip, out in zip(images, boxes, flips, batch, strict=True):
            scalars = *options, box, None, flip, False, image.dtype, channels, engine(image)
            program(image.shape[-2:], size, *scalars)(image, out, inner, **finish)
    return batch if fused else _finished(batch, scaling, layout)


def _finished(batch: Tensor, scaling: Scaling | None, layout: torch.memory_format) -> Tensor:
    if scaling is None:
        return batch.contiguous(memory_format=layout)
    return scaled(batch, scaling, False)


def _checked(images: Sequence[Tensor | np.ndarray]) -> list[Tensor]:
    """Plain tensors ``[C, H, W]`` of one kind."""
    if not isinstance(images, (list, tuple)):
        raise TypeError(f"images must be a list of tensors or arrays, got {type(images).__name__}")
    if not images:
        raise ValueError("images must have at least one image, got none")
    images, wanted = list(images), None
    for i, image in enumerate(images):
        kind = type(image)
        if isinstance(image, np.ndarray):
            if image.ndim not in (2, 3):
                raise ValueError(
                    f"images[{i}] must be an array [H, W] or [H, W, C], got shape {image.shape}"
                )
            planes = to_planes(image, f"images[{i}]")
            image = images[i] = planes if planes.ndim == 3 else planes[None]
        other = is_tv_tensor(image) and not is_tv_tensor(image, "Image")
        if not isinstance(image, Tensor) or other:
            raise TypeError(
                f"images[{i}] must be a tensor, a tv_tensors.Image or an ndarray, "
                f"got {kind.__module__}.{kind.__qualname__}"
            )
        if not is_dense(image):
            raise TypeError(f"images[{i}] must be a dense tensor, got {image.layout}")
        if image.ndim != 3:
            raise ValueError(f"images[{i}] must have shape [C, H, W], got {tuple(image.shape)}")
        found = image.shape[0], image.dtype, image.device
        wanted = wanted or found
        if found != wanted:
            names = "channels", "dtype", "device"
            name, ours, its = next(
                v for v in zip(names, wanted, found, strict=True) if v[1] != v[2]
            )
            raise ValueError(
                f"images must agree in their {name}: {ours} in images[0], {its} in images[{i}]"
            )
    images = map(as_tensor, images)
    if torch.compiler.is_compiling():  # which cannot ask; the operator does it
        return list(images)
    return [cpu.materialised(image) for image in images]


def _listed(name: str, values: Sequence | np.ndarray | Tensor, count: int) -> list:
    """An entry for each image."""
    if is_tv_tensor(values, "BoundingBoxes") and values.format.value != "XYXY":
        raise ValueError(f"{name} must have the format XYXY, got {values.format.value}")
    if isinstance(values, Tensor) and (not is_dense(values) or values.is_meta):
        raise TypeError(f"{name} must be a dense tensor with values, got {values!r}")
    if isinstance(values, (Tensor, np.ndarray)):
        values = values.tolist()
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise TypeError(f"{name} must be a sequence, one entry for each image, got {values!r}")
    if len(values) != count:
        raise ValueError(f"{name} must have an entry for each of {count} images, got {len(values)}")
    return list(values)
