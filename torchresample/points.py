"""Boxes and key points, which move with the image that they lie on."""

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from torchresample.checks import Box, Size, check_box, output_size
from torchresample.ops import is_plain

_SIZED = (tv_tensors.BoundingBoxFormat.XYWH, tv_tensors.BoundingBoxFormat.CXCYWH)


def resize_points(
    points: Tensor, size: Size | None, max_size: int | None, box: Box | None
) -> Tensor:
    """Move boxes or key points with the image they lie on; their dtype stays, as in torchvision."""
    h, w = points.canvas_size
    box = check_box(box, h, w)
    new_h, new_w = output_size(size, max_size, h, w, box)
    corners = (0, 0, w, h) if box is None else (int(v) if v.is_integer() else v for v in box)
    left, top, right, bottom = corners
    format_ = getattr(points, "format", None)
    if format_ is not None and tv_tensors.is_rotated_bounding_format(format_):
        # A rectangle at an angle becomes a parallelogram where the axes have different scales:
        # what rectangle stands for it, and how it is clamped, is torchvision's choice.
        if box is not None:
            points = v2.functional.crop(points, top, left, bottom - top, right - left)
        moved = v2.functional.resize(points, [new_h, new_w]).as_subclass(Tensor).clone()
        return tv_tensors.wrap(moved, like=points, canvas_size=(new_h, new_w))
    columns = []
    for i, column in enumerate(points.as_subclass(Tensor).unbind(-1)):
        lo, hi, n = (top, bottom, new_h) if i % 2 else (left, right, new_w)
        origin = 0 if format_ in _SIZED and i >= 2 else lo  # the second pair is a size
        columns.append(_moved(column, origin, hi - lo, n))
    moved = torch.stack(columns, dim=-1)
    return tv_tensors.wrap(moved, like=points, canvas_size=(new_h, new_w))


def _moved(values: Tensor, lo: float, span: float, n: int) -> Tensor:
    """``(values - lo) * n / span`` in the dtype of ``values``, integers cut off towards zero.

    Multiplied before it is divided, so that what is whole stays whole. Integers are exact, also
    where the product has more than 64 bits: ``values`` and ``lo`` are divided by ``span`` first,
    and only what these divisions leave is multiplied. (Where ``lo`` or ``span`` is a fraction,
    the product is a float64.)
    """
    exact = (values.to(torch.float64) - lo) * n / span
    if values.is_floating_point():
        return exact.to(values.dtype)
    whole = exact.trunc().to(torch.int64)
    if not (isinstance(lo, float) or isinstance(span, float)):
        wide = values.to(torch.int64)
        product = (wide.remainder(span) - lo % span) * n
        below = (wide.div(span, rounding_mode="floor") - lo // span) * n
        below = below + product.div(span, rounding_mode="floor")
        whole = torch.where((below < 0) & (product.remainder(span) != 0), below + 1, below)
    moved = whole.to(values.dtype)
    if values.is_cpu and is_plain(values):  # of a GPU, the answer would be waited for
        # What int64 does not hold is off by 2**64, which is far more than exact is rounded by.
        fits = (moved == whole) & ((whole.to(torch.float64) - exact).abs() < 2.0**62)
        if not fits.all():
            raise ValueError(
                f"image must have coordinates that {values.dtype} holds after the resize, got "
                f"{values[~fits][0].item()}, which becomes {exact[~fits][0].item():.0f}"
            )
    return moved
