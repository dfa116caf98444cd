"""Kernels: a band applied along one axis, in the order of its taps, and gathers.

An image is ``[B, C, H, W]`` of any strides. ``axis`` is the axis that a pass resamples, ``other``
the one that it leaves alone; planes are the pairs of an image and a channel.
"""

import triton
import triton.language as tl


@triton.jit
def _placed(
    x_ptr, out_ptr, down, across, channels, x_image, x_channel, out_image, out_channel
):  # fmt: skip
    """Where this program's planes begin, their image and channel, and its tile: row and column.

    Of ``[down, across]`` tiles. Channels come one after the other, as they may share memory.
    """
    program = tl.program_id(0)
    channel, tile = program % channels, program // channels
    image = (tile // across // down).to(tl.int64)
    x_ptr += image * x_image + channel.to(tl.int64) * x_channel
    out_ptr += image * out_image + channel.to(tl.int64) * out_channel
    return x_ptr, out_ptr, image, channel, tile // across % down, tile % across


@triton.jit
def _tap_sums(
    x_ptr, x_axis, x_other, lane, within, index_ptr, start, count, weight_ptr, sums,
    CUT: tl.constexpr,
):  # fmt: skip
    """``sums`` ``[outputs, lanes]``, with products added in the order of the taps.

    ``lane``: places on the other axis, of those ``within``; ``weight_ptr``: of each output's first.
    """
    lanes = lane.to(tl.int64)[None, :] * x_other
    for k in range(tl.max(count, 0)):
        used = k < count
        position = start + k
        if index_ptr is not None:
            position = tl.load(index_ptr + position, mask=used, other=0)
        inside = used[:, None] & within[None, :]
        pixels = tl.load(x_ptr + position[:, None] * x_axis + lanes, mask=inside, other=0)
        weights = tl.load(weight_ptr + k, mask=used, other=0)
        products = weights[:, None] * pixels.to(sums.dtype)
        if CUT > 0:
            products = products >> CUT
        sums += products
    return sums


@triton.jit
def _write(
    out_ptr, values, j, n_j, stride_j, i, n_i, stride_i, scaling_ptr, channel, IMAGE: tl.constexpr
):  # fmt: skip
    """``out[j, i] = values``, where there is such a place.

    Args:
        scaling_ptr: float32 ``[channels, 3]``: values as ``IMAGE`` has them, divided by the first,
            less the second, divided by the third; ``None``: values as they are.
    """
    if scaling_ptr is not None:
        scaling_ptr += 3 * channel
        values = tl.div_rn(values.to(IMAGE).to(tl.float32), tl.load(scaling_ptr))
        values = tl.div_rn(values - tl.load(scaling_ptr + 1), tl.load(scaling_ptr + 2))
    places = j.to(tl.int64)[:, None] * stride_j + i.to(tl.int64)[None, :] * stride_i
    inside = (j < n_j)[:, None] & (i < n_i)[None, :]
    tl.store(out_ptr + places, values.to(out_ptr.dtype.element_ty), mask=inside)


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


@triton.jit(
    do_not_specialize=["channels", "n_out", "taps", "begin", "scale", "low", "high"],
)
def weigh_kernel(
    x_ptr, out_ptr, index_ptr, start_ptr, count_ptr, weight_ptr, scaling_ptr,
    channels, n_out, n_other, taps,
    x_image, x_channel, x_axis, x_other,
    out_image, out_channel, out_axis, out_other,
    begin, scale, low, high,
    SUMS: tl.constexpr, CUT: tl.constexpr, RULE: tl.constexpr,
    OUTPUTS: tl.constexpr, LANES: tl.constexpr, IMAGE: tl.constexpr,
):  # fmt: skip
    """``out[j] = begin + sum_k weight[j, k] * x[start[j] + k]``, ``k < count[j]``, in that order.

    Args:
        index_ptr: int64, the pixel that stands at each position; ``None`` where that is its number.
        start_ptr, count_ptr: int64 ``[n_out]``.
        weight_ptr: ``[n_out, taps]``, of the type ``SUMS``.
        scaling_ptr, IMAGE: see ``_write``.
        x_image, ..., out_other: strides.
        begin, scale, low, high: what sums start from; see ``RULE``; the least and largest value.
        SUMS: the type of products and sums.
        CUT: bits by which each product is shifted down before it is added.
        RULE: ``"keep"``: sums are stored as they are; ``"shift"``: shifted down by ``scale``;
            ``"mean"``: times ``scale`` in float32, ties to even; ``"floor"``, ``"half-even"``,
            ``"half-away"``: rounded. All but the first are clamped to ``low`` and ``high``.
    """
    x_ptr, out_ptr, _, channel, row, column = _placed(
        x_ptr, out_ptr, tl.cdiv(n_out, OUTPUTS), tl.cdiv(n_other, LANES),
        channels, x_image, x_channel, out_image, out_channel,
    )  # fmt: skip
    j, i = row * OUTPUTS + tl.arange(0, OUTPUTS), column * LANES + tl.arange(0, LANES)
    start = tl.load(start_ptr + j, mask=j < n_out, other=0)
    count = tl.load(count_ptr + j, mask=j < n_out, other=0)
    sums = _tap_sums(
        x_ptr, x_axis, x_other, i, i < n_other, index_ptr, start, count,
        weight_ptr + j.to(tl.int64) * taps, tl.zeros((OUTPUTS, LANES), SUMS) + begin, CUT,
    )  # fmt: skip
    values = _stored(sums, scale, low, high, RULE)
    _write(
        out_ptr, values, j, n_out, out_axis, i, n_other, out_other, scaling_ptr, channel, IMAGE
    )  # fmt: skip


@triton.jit(do_not_specialize=["channels", "n_rows"])
def select_kernel(
    x_ptr, out_ptr, rows_ptr, columns_ptr, scaling_ptr,
    channels, n_rows, n_columns,
    x_image, x_channel, x_row, x_column,
    out_image, out_channel, out_row, out_column,
    HEIGHT: tl.constexpr, WIDTH: tl.constexpr, IMAGE: tl.constexpr,
):  # fmt: skip
    """``out[i, j] = x[rows[i], columns[j]]``.

    Args:
        rows_ptr, columns_ptr: int64 ``[n_rows]`` and ``[n_columns]``; ``None``: all, in order.
        scaling_ptr, IMAGE: see ``_write``.
        x_image, ..., out_column: strides.
    """
    x_ptr, out_ptr, _, channel, down, across = _placed(
        x_ptr, out_ptr, tl.cdiv(n_rows, HEIGHT), tl.cdiv(n_columns, WIDTH),
        channels, x_image, x_channel, out_image, out_channel,
    )  # fmt: skip
    i, j = down * HEIGHT + tl.arange(0, HEIGHT), across * WIDTH + tl.arange(0, WIDTH)
    row, column = i.to(tl.int64), j.to(tl.int64)
    if rows_ptr is not None:
        row = tl.load(rows_ptr + i, mask=i < n_rows, other=0)
    if columns_ptr is not None:
        column = tl.load(columns_ptr + j, mask=j < n_columns, other=0)
    inside = (i < n_rows)[:, None] & (j < n_columns)[None, :]
    pixels = tl.load(x_ptr + row[:, None] * x_row + column[None, :] * x_column, mask=inside)
    _write(
        out_ptr, pixels, i, n_rows, out_row, j, n_columns, out_column, scaling_ptr, channel, IMAGE
    )  # fmt: skip
