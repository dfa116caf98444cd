"""Kernels: bands applied in the order of their taps, along one axis or both at once.

``axis`` is the axis that a pass resamples, ``other`` the one that it leaves alone.
"""

import triton
import triton.language as tl

from .kernels import _along, _placed, _rounded, _write


@triton.jit
def _taps(start_ptr, count_ptr, weight_ptr, taps, j, n_out):
    """First pixel and number of the taps of outputs ``j``, and where their weights begin."""
    start = tl.load(start_ptr + j, mask=j < n_out, other=0).to(tl.int32)
    count = tl.load(count_ptr + j, mask=j < n_out, other=0).to(tl.int32)
    return start, count, weight_ptr + j.to(tl.int64) * taps


@triton.jit
def _tap_sums(
    x_ptr, decoded_ptr, x_axis, x_other, lane, within, index_ptr, start, count, weight_ptr, sums,
    CUT: tl.constexpr,
):  # fmt: skip
    """``sums``, with products added in the order of the taps.

    Of outputs and lanes, be they ``[outputs, 1]`` and ``[1, lanes]`` or ``[1, outputs]`` and
    ``[lanes, 1]``. ``decoded_ptr``: ``[256]``, what stands for bytes; ``lane``: places on the other
    axis, of those ``within``; ``weight_ptr``: of each output's first; ``CUT``: as of
    ``weigh_kernel``.
    """
    lanes = lane.to(tl.int64) * x_other
    if CUT < 0:
        previous = tl.zeros(sums.shape, tl.float32)
    for k in range(tl.max(count)):
        used = k < count
        position = start + k
        if index_ptr is not None:
            position = tl.load(index_ptr + position, mask=used, other=0).to(tl.int32)
        place = position.to(tl.int64) * x_axis + lanes
        pixels = tl.load(x_ptr + place, mask=used & within, other=0)
        if decoded_ptr is not None:
            pixels = tl.load(decoded_ptr + pixels)
        if CUT < 0:
            pixels, previous = pixels - previous, pixels
        weights = tl.load(weight_ptr + k, mask=used, other=0)
        products = weights * pixels.to(sums.dtype)
        if CUT > 0:
            products = products >> CUT
        sums += products
    return sums


@triton.jit
def _stored(sums, scale, low, high, table_ptr, RULE: tl.constexpr):
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
        elif RULE == "half-even" or RULE == "srgb":
            values = _rounded(sums)
        else:
            tl.static_assert(RULE == "half-away")
            values = tl.where(sums < 0, sums - 0.5, sums + 0.5)  # what is stored is cut off
        values = tl.minimum(tl.maximum(values, low), high)
        if RULE == "srgb":
            values = tl.load(table_ptr + values.to(tl.int32))
    return values


@triton.jit
def _tap_sums_of_both(
    x_ptr, decoded_ptr, x_1, x_2,
    index_1_ptr, start_1, count_1, weights_1_ptr, begin_1, scale_1, low_1, high_1,
    index_2_ptr, start_2, count_2, weights_2_ptr, sums,
    SUMS: tl.constexpr, CUT_1: tl.constexpr, RULE: tl.constexpr, BETWEEN: tl.constexpr,
    CUT_2: tl.constexpr,
):  # fmt: skip
    """``sums``, tap by tap along both axes, with outputs of each as in ``_tap_sums``.

    Those of the first axis, of the type ``SUMS``, are made again for each tap of the second, and
    are what ``weigh_kernel`` stores, of the type ``BETWEEN``.
    """
    if CUT_2 < 0:
        previous = tl.zeros(sums.shape, tl.float32)
    for k in range(tl.max(count_2)):
        used, position = k < count_2, start_2 + k
        if index_2_ptr is not None:
            position = tl.load(index_2_ptr + position, mask=used, other=0).to(tl.int32)
        between = _tap_sums(
            x_ptr, decoded_ptr, x_1, x_2, position, used, index_1_ptr, start_1, count_1,
            weights_1_ptr, tl.zeros(sums.shape, SUMS) + begin_1, CUT_1,
        )  # fmt: skip
        between = _stored(between, scale_1, low_1, high_1, None, RULE).to(BETWEEN)
        if CUT_2 < 0:
            between, previous = between - previous, between
        between = between.to(sums.dtype)
        weights = tl.load(weights_2_ptr + k, mask=used, other=0)
        products = weights * between
        if CUT_2 > 0:
            products = products >> CUT_2
        sums += products
    return sums


@triton.jit(
    do_not_specialize=["channels", "n_out", "taps", "begin", "scale", "low", "high"],
)
def weigh_kernel(
    x_ptr, out_ptr, index_ptr, start_ptr, count_ptr, weight_ptr, table_ptr, scaling_ptr,
    channels, n_out, n_other, taps,
    x_image, x_channel, x_axis, x_other,
    out_image, out_channel, out_axis, out_other,
    begin, scale, low, high,
    SUMS: tl.constexpr, CUT: tl.constexpr, RULE: tl.constexpr,
    OUTPUTS: tl.constexpr, LANES: tl.constexpr, TURNED: tl.constexpr, IMAGE: tl.constexpr,
):  # fmt: skip
    """``out[j] = begin + sum_k weight[j, k] * x[start[j] + k]``, ``k < count[j]``, in that order.

    Args:
        index_ptr: int64, the pixel that stands at each position; ``None`` where that is its number.
        start_ptr, count_ptr: int64 ``[n_out]``.
        weight_ptr: ``[n_out, taps]``, of the type ``SUMS``.
        table_ptr: what stands for each byte of ``x`` or, by the ``RULE`` ``"srgb"``, the byte that
            stands for each value; ``None``: there is no such table.
        scaling_ptr, IMAGE: see ``_write``.
        x_image, ..., out_other: strides.
        begin, scale, low, high: what sums start from; see ``RULE``; the least and largest value.
        SUMS: the type of products and sums.
        CUT: bits by which each product is shifted down before it is added; below 0: weights are
            those of steps in float32, from zero to the first pixel and from each to the next.
        RULE: ``"keep"``: sums are stored as they are; ``"shift"``: shifted down by ``scale``;
            ``"mean"``: times ``scale`` in float32, ties to even; ``"floor"``, ``"half-even"``,
            ``"half-away"``: rounded; ``"srgb"``: rounded to even, and looked up. All but the first
            are clamped to ``low`` and ``high``.
        TURNED: whether a warp has neighbouring outputs; else neighbouring lanes.
    """
    x_ptr, out_ptr, _, channel, row, column = _placed(
        x_ptr, out_ptr, tl.cdiv(n_out, OUTPUTS), tl.cdiv(n_other, LANES),
        channels, x_image, x_channel, out_image, out_channel,
    )  # fmt: skip
    j, i = _along(row, OUTPUTS, TURNED), _along(column, LANES, not TURNED)
    start, count, weights_ptr = _taps(start_ptr, count_ptr, weight_ptr, taps, j, n_out)
    decoded_ptr = None if RULE == "srgb" else table_ptr
    sums = _tap_sums(
        x_ptr, decoded_ptr, x_axis, x_other, i, i < n_other, index_ptr, start, count, weights_ptr,
        tl.zeros((j + i).shape, SUMS) + begin, CUT,
    )  # fmt: skip
    values = _stored(sums, scale, low, high, table_ptr, RULE)
    _write(
        out_ptr, values, j, n_out, out_axis, i, n_other, out_other, scaling_ptr, channel, IMAGE
    )  # fmt: skip


@triton.jit(
    do_not_specialize=[
        *("channels", "n_out_1", "taps_1", "begin_1", "scale_1", "low_1", "high_1"),
        *("n_out_2", "taps_2", "begin_2", "scale_2", "low_2", "high_2"),
    ],
)
def weigh_both_kernel(
    x_ptr, out_ptr,
    index_1_ptr, start_1_ptr, count_1_ptr, weight_1_ptr, table_1_ptr,
    index_2_ptr, start_2_ptr, count_2_ptr, weight_2_ptr, table_2_ptr, scaling_ptr,
    channels, n_out_1, taps_1, n_out_2, taps_2,
    x_image, x_channel, x_1, x_2,
    out_image, out_channel, out_1, out_2,
    begin_1, scale_1, low_1, high_1, begin_2, scale_2, low_2, high_2,
    SUMS_1: tl.constexpr, CUT_1: tl.constexpr, RULE_1: tl.constexpr, BETWEEN: tl.constexpr,
    SUMS_2: tl.constexpr, CUT_2: tl.constexpr, RULE_2: tl.constexpr,
    OUTPUTS: tl.constexpr, TURNED: tl.constexpr, IMAGE: tl.constexpr,
):  # fmt: skip
    """Bands along both axes: what ``weigh_kernel`` gives in two launches.

    Arguments as there, for each axis; ``BETWEEN``: the type that the first of them would store;
    ``TURNED``: whether a warp has neighbours along the first axis.
    """
    x_ptr, out_ptr, _, channel, row, column = _placed(
        x_ptr, out_ptr, tl.cdiv(n_out_1, OUTPUTS), tl.cdiv(n_out_2, OUTPUTS),
        channels, x_image, x_channel, out_image, out_channel,
    )  # fmt: skip
    j, i = _along(row, OUTPUTS, TURNED), _along(column, OUTPUTS, not TURNED)
    start_1, count_1, weights_1_ptr = _taps(
        start_1_ptr, count_1_ptr, weight_1_ptr, taps_1, j, n_out_1
    )
    start_2, count_2, weights_2_ptr = _taps(
        start_2_ptr, count_2_ptr, weight_2_ptr, taps_2, i, n_out_2
    )
    sums = _tap_sums_of_both(
        x_ptr, table_1_ptr, x_1, x_2,
        index_1_ptr, start_1, count_1, weights_1_ptr, begin_1, scale_1, low_1, high_1,
        index_2_ptr, start_2, count_2, weights_2_ptr,
        tl.zeros((OUTPUTS, OUTPUTS), SUMS_2) + begin_2, SUMS_1, CUT_1, RULE_1, BETWEEN, CUT_2,
    )  # fmt: skip
    values = _stored(sums, scale_2, low_2, high_2, table_2_ptr, RULE_2)
    _write(
        out_ptr, values, j, n_out_1, out_1, i, n_out_2, out_2, scaling_ptr, channel, IMAGE
    )  # fmt: skip
