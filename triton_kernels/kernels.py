"""Kernels: a band applied along one axis, in the order of its taps, and gathers.

An image is ``[B, C, H, W]`` of any strides. ``axis`` is the axis that a pass resamples, ``other``
the one that it leaves alone; planes are the pairs of an image and a channel.
"""

import triton
import triton.language as tl


@triton.jit
def _plane(x_ptr, plane, channels, image_stride, channel_stride):
    """The first pixel of a plane."""
    image, channel = plane // channels, plane % channels
    return x_ptr + image.to(tl.int64) * image_stride + channel.to(tl.int64) * channel_stride


@triton.jit
def _rounded(sums):
    """To the nearest integer, ties to even; of a size below 2**22, or 2**51 in float64."""
    # Where the last bit of a sum with this number stands for 1, the sum is rounded to it.
    unit = 6755399441055744.0 if sums.dtype == tl.float64 else 12582912.0
    return (sums + unit) - unit


@triton.jit
def _stored(sums, scale, low, high, RULE: tl.constexpr):
    """Sums as they are stored: see ``weigh_kernel``."""
    if RULE == "keep":
        values = sums
    else:
        if RULE == "shift":
            values = sums >> scale
        elif RULE == "floor":
            values = tl.floor(sums)
        elif RULE == "mean":
            values = _rounded(sums.to(tl.float32) * scale)
        elif RULE == "half-even":
            values = _rounded(sums)
        else:
            tl.static_assert(RULE == "half-away")
            values = tl.where(sums < 0, sums - 0.5, sums + 0.5)  # what is stored is cut off
        values = tl.minimum(tl.maximum(values, low), high)
    return values


@triton.jit(do_not_specialize=["begin", "scale", "low", "high", "taps"])
def weigh_kernel(
    x_ptr, out_ptr, index_ptr, start_ptr, count_ptr, weight_ptr,
    channels, n_out, n_other, taps,
    x_image, x_channel, x_axis, x_other,
    out_image, out_channel, out_axis, out_other,
    begin, scale, low, high,
    SUMS: tl.constexpr, CUT: tl.constexpr, RULE: tl.constexpr,
    OUTPUTS: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """``out[j] = begin + sum_k weight[j, k] * x[start[j] + k]``, ``k < count[j]``, in that order.

    Args:
        index_ptr: int64, the pixel that stands at each position; ``None`` where that is its number.
        start_ptr, count_ptr: int64 ``[n_out]``.
        weight_ptr: ``[n_out, taps]``, of the type ``SUMS``.
        x_image, ..., out_other: strides.
        begin, scale, low, high: what sums start from; see ``RULE``; the least and largest value.
        SUMS: the type of products and sums.
        CUT: bits by which each product is shifted down before it is added.
        RULE: ``"keep"``: sums are stored as they are; ``"shift"``: shifted down by ``scale``;
            ``"mean"``: times ``scale`` in float32, ties to even; ``"floor"``, ``"half-even"``,
            ``"half-away"``: rounded. All but the first are clamped to ``low`` and ``high``.
    """
    across, down = tl.cdiv(n_other, LANES), tl.cdiv(n_out, OUTPUTS)
    program = tl.program_id(0)
    i = (program % across) * LANES + tl.arange(0, LANES)
    j = (program // across % down) * OUTPUTS + tl.arange(0, OUTPUTS)
    plane = program // across // down
    x_ptr = _plane(x_ptr, plane, channels, x_image, x_channel)
    out_ptr = _plane(out_ptr, plane, channels, out_image, out_channel)
    start = tl.load(start_ptr + j, mask=j < n_out, other=0)
    count = tl.load(count_ptr + j, mask=j < n_out, other=0)
    lanes = i.to(tl.int64)[None, :] * x_other
    sums = tl.zeros((OUTPUTS, LANES), SUMS) + begin
    for k in range(tl.max(count, 0)):
        used = k < count
        position = start + k
        if index_ptr is not None:
            position = tl.load(index_ptr + position, mask=used, other=0)
        inside = used[:, None] & (i < n_other)[None, :]
        pixels = tl.load(x_ptr + position[:, None] * x_axis + lanes, mask=inside, other=0)
        weights = tl.load(weight_ptr + j.to(tl.int64) * taps + k, mask=used, other=0)
        products = weights[:, None] * pixels.to(SUMS)
        if CUT > 0:
            products = products >> CUT
        sums += products
    values = _stored(sums, scale, low, high, RULE).to(out_ptr.dtype.element_ty)
    places = j.to(tl.int64)[:, None] * out_axis + i.to(tl.int64)[None, :] * out_other
    tl.store(out_ptr + places, values, mask=(j < n_out)[:, None] & (i < n_other)[None, :])


@triton.jit
def select_kernel(
    x_ptr, out_ptr, rows_ptr, columns_ptr,
    channels, n_rows, n_columns,
    x_image, x_channel, x_row, x_column,
    out_image, out_channel, out_row, out_column,
    HEIGHT: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """``out[i, j] = x[rows[i], columns[j]]``.

    Args:
        rows_ptr, columns_ptr: int64 ``[n_rows]`` and ``[n_columns]``; ``None``: all, in order.
        x_image, ..., out_column: strides.
    """
    across, down = tl.cdiv(n_columns, WIDTH), tl.cdiv(n_rows, HEIGHT)
    program = tl.program_id(0)
    j = (program % across) * WIDTH + tl.arange(0, WIDTH)
    i = (program // across % down) * HEIGHT + tl.arange(0, HEIGHT)
    plane = program // across // down
    x_ptr = _plane(x_ptr, plane, channels, x_image, x_channel)
    out_ptr = _plane(out_ptr, plane, channels, out_image, out_channel)
    row, column = i.to(tl.int64), j.to(tl.int64)
    if rows_ptr is not None:
        row = tl.load(rows_ptr + i, mask=i < n_rows, other=0)
    if columns_ptr is not None:
        column = tl.load(columns_ptr + j, mask=j < n_columns, other=0)
    inside = (i < n_rows)[:, None] & (j < n_columns)[None, :]
    pixels = tl.load(x_ptr + row[:, None] * x_row + column[None, :] * x_column, mask=inside)
    places = i.to(tl.int64)[:, None] * out_row + j.to(tl.int64)[None, :] * out_column
    tl.store(out_ptr + places, pixels, mask=inside)
