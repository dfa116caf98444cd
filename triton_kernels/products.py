"""Kernels: bands applied as matrix products on the matrix units, along one axis or both at once.

A band is cut into blocks of neighbouring outputs, each a dense matrix over the window of pixels
that it reads. The units multiply short numbers only, so that a weight is a sum of limbs, the
largest first: three of int8 as digits of base 256, or two of float16 or three of bfloat16, each the
rounded rest of those before. A uint8 pixel is taken as int8 less 128, for which ``bias`` makes up;
one of float32 as three limbs of bfloat16.

The first axis is the one that is resampled first, be it the rows or the columns. Tiles have its
outputs as rows: so the sums of the first product are an operand of the second.
"""

import triton
import triton.language as tl

from .kernels import (
    COLUMNS,
    _along,
    _as_rgb,
    _beside,
    _placed,
    _weighed_by_alpha,
    _write,
)
from .taps import _tap_sums, _tap_sums_of_both, _taps

# Arguments that change with every image are not compiled for; ALIGN says what counts of them. Nor
# where images begin: for AMD they would be read as buffers, byte by byte whatever ALIGN says.
_IMAGE = ("x_image", "x_channel")


@triton.jit
def _multiplied(
    pixels, sums, weight_ptr, LIMBS: tl.constexpr, OUTPUTS: tl.constexpr, LEFT: tl.constexpr
):  # fmt: skip
    """``sums`` and the products of a chunk's pixels with the first limbs of its weights.

    ``pixels`` are ``[CHUNK, lanes]`` with the weights on their ``LEFT``, else ``[lanes, CHUNK]``.
    """
    CHUNK: tl.constexpr = pixels.shape[0 if LEFT else 1]
    weight_ptr += tl.arange(0, OUTPUTS)[:, None] * CHUNK + tl.arange(0, CHUNK)[None, :]
    digits: tl.constexpr = pixels.dtype == tl.int8
    total = tl.zeros_like(sums) if digits else sums
    for _ in tl.static_range(LIMBS):
        if digits:
            total = total << 8
        weight = tl.load(weight_ptr)
        if LEFT:
            total = tl.dot(weight, pixels, total, out_dtype=sums.dtype)
        else:
            total = tl.dot(pixels, weight.trans(), total, out_dtype=sums.dtype)
        weight_ptr += OUTPUTS * CHUNK
    return sums + total if digits else total


@triton.jit
def _multiplied_floats(pixels, sums, weight_ptr, OUTPUTS: tl.constexpr, LEFT: tl.constexpr):
    """``_multiplied`` for float32 in limbs, without products below the last bit.

    The units cut sums off, where others round: what is small is added first, and to ``sums`` once.
    """
    high = pixels.to(tl.bfloat16)
    pixels -= high.to(tl.float32)
    middle = pixels.to(tl.bfloat16)
    low = (pixels - middle.to(tl.float32)).to(tl.bfloat16)
    LIMB: tl.constexpr = OUTPUTS * pixels.shape[0 if LEFT else 1]
    second_ptr, third_ptr = weight_ptr + LIMB, weight_ptr + 2 * LIMB
    total = _multiplied(low, tl.zeros_like(sums), weight_ptr, 1, OUTPUTS, LEFT)
    total = _multiplied(middle, total, second_ptr, 1, OUTPUTS, LEFT)
    total = _multiplied(high, total, third_ptr, 1, OUTPUTS, LEFT)
    total = _multiplied(middle, total, weight_ptr, 1, OUTPUTS, LEFT)
    total = _multiplied(high, total, second_ptr, 1, OUTPUTS, LEFT)
    return sums + _multiplied(high, total, weight_ptr, 1, OUTPUTS, LEFT)


@triton.jit
def _window(window_ptr, weight_ptr, block, CHUNK: tl.constexpr, ALIGN: tl.constexpr):
    """The first pixel of a block's window, its length, and where its weights begin.

    ``CHUNK``: weights of a chunk, with all limbs. What is derived from the place of a chunk takes
    fewer registers than a pointer that moves on.
    """
    window_ptr += 4 * block
    start, place = tl.load(window_ptr), tl.load(window_ptr + 2).to(tl.int64)
    return tl.multiple_of(start, ALIGN), tl.load(window_ptr + 1), weight_ptr + place * CHUNK


@triton.jit
def _places(left, LENGTH: tl.constexpr, ALIGN: tl.constexpr):
    """``[LENGTH]`` places of which ``left`` remain, in groups of ``ALIGN``; then the last again.

    Masks in place of what is read again would take too many registers.
    """
    k = tl.arange(0, LENGTH)
    if ALIGN == 1:
        k = tl.minimum(k, left - 1)
    else:
        k = tl.minimum(k // ALIGN, left // ALIGN - 1) * ALIGN + k % ALIGN
        k = tl.max_contiguous(tl.multiple_of(k, ALIGN), ALIGN)
    return k


@triton.jit
def _pixels(
    x_ptr, side_ptr, frame_ptr, channel, first, second, n_first, n_second, x_first, x_second,
    CHUNK: tl.constexpr, LANES: tl.constexpr, ALIGN: tl.constexpr, ALIGN_LANES: tl.constexpr,
):  # fmt: skip
    """Pixels ``[LANES, CHUNK]`` from the places ``second`` and ``first`` on."""
    # Places within a tile fit 32 bits, see ``launch``; those of tiles need not.
    begin = first.to(tl.int64) * x_first + second.to(tl.int64) * x_second
    x_ptr += begin
    SIZE: tl.constexpr = x_ptr.dtype.element_ty.primitive_bitwidth // 8
    x_ptr = tl.multiple_of(x_ptr, max(ALIGN, ALIGN_LANES) * SIZE)
    # Products with a constant tell the compiler what is known of them.
    if ALIGN > 1:
        x_second = x_second // ALIGN * ALIGN
    if ALIGN_LANES > 1:
        x_first = x_first // ALIGN_LANES * ALIGN_LANES
    k, i = _places(n_first - first, CHUNK, ALIGN), _places(n_second - second, LANES, ALIGN_LANES)
    # Added one after the other: places of their own would take registers.
    if SIZE == 4 and ALIGN_LANES > 1:  # neighbours side by side, so that they are loaded together
        pixels = tl.load(x_ptr + k[:, None] * x_first + i[None, :] * x_second).trans()
    else:
        pixels = tl.load(x_ptr + i[:, None] * x_second + k[None, :] * x_first)
    if frame_ptr is not None:
        j, i = (first + k)[None, :], (second + i)[:, None]
        pixels = _as_rgb(pixels, side_ptr, frame_ptr, channel, i, j)
    elif side_ptr is not None:
        side_ptr = tl.multiple_of(side_ptr + begin, max(ALIGN, ALIGN_LANES) * SIZE)
        side_ptr = side_ptr + i[:, None] * x_second + k[None, :] * x_first
        pixels = _weighed_by_alpha(pixels, side_ptr, channel)
    if pixels.dtype == tl.uint8:
        pixels = (pixels ^ 128).to(tl.int8, bitcast=True)
    return pixels


@triton.jit
def _first_sums(
    x_ptr, side_ptr, frame_ptr, channel, n_first, n_second, x_first, x_second, second,
    window_ptr, weight_ptr, bias_ptr, block,
    LIMBS: tl.constexpr, OUTPUTS: tl.constexpr, CHUNK: tl.constexpr, LANES: tl.constexpr,
    ALIGN: tl.constexpr, ALIGN_LANES: tl.constexpr,
):  # fmt: skip
    """Along the first axis, ``[OUTPUTS, LANES]``, from ``second`` on along the other one.

    Bytes, or sums in float32.
    """
    whole: tl.constexpr = x_ptr.dtype.element_ty == tl.uint8
    sums = tl.zeros((OUTPUTS, LANES), tl.int32 if whole else tl.float32)
    OF_PIXEL: tl.constexpr = LIMBS * OUTPUTS
    start, length, weight_ptr = _window(window_ptr, weight_ptr, block, CHUNK * OF_PIXEL, ALIGN)
    for at in range(0, length, CHUNK):
        pixels = _pixels(
            x_ptr, side_ptr, frame_ptr, channel,
            start + at, second, n_first, n_second, x_first, x_second,
            CHUNK, LANES, ALIGN, ALIGN_LANES,
        )  # fmt: skip
        chunk_ptr = weight_ptr + at * tl.full((), OF_PIXEL, tl.int64)
        if pixels.dtype == tl.float32:
            sums = _multiplied_floats(pixels.trans(), sums, chunk_ptr, OUTPUTS, True)
        else:
            sums = _multiplied(pixels.trans(), sums, chunk_ptr, LIMBS, OUTPUTS, True)
    if whole:
        bias = tl.load(bias_ptr + block * OUTPUTS + tl.arange(0, OUTPUTS))
        sums = _bytes(sums + bias[:, None], window_ptr, block)
    return sums


@triton.jit
def _second_sums(
    between, sums, weight_ptr, LIMBS: tl.constexpr, OUTPUTS: tl.constexpr, FINE: tl.constexpr
):  # fmt: skip
    """``sums`` and the products of ``between`` ``[lanes, CHUNK]``, bytes or float32, as above.

    ``FINE``: whether float32 has to be kept to its last bits (of sizes from 2**-110 on, below
    which the third limb is too small for bfloat16).
    """
    if sums.dtype == tl.int32:
        pixels = (between - 128).to(tl.int8)
        sums = _multiplied(pixels, sums, weight_ptr, LIMBS, OUTPUTS, False)
    elif FINE:
        sums = _multiplied_floats(between, sums, weight_ptr, OUTPUTS, False)
    else:
        for taken in tl.static_range(LIMBS):  # products below the last bit are left out
            part = between.to(tl.bfloat16)
            sums = _multiplied(part, sums, weight_ptr, LIMBS - taken, OUTPUTS, False)
            between -= part.to(tl.float32)
    return sums


@triton.jit
def _bytes(sums, window_ptr, block):
    """Of sums in fixed point, whose fraction bits a block's window tells."""
    return tl.minimum(tl.maximum(sums >> tl.load(window_ptr + 4 * block + 3), 0), 255)


@triton.jit
def _finite(sums):
    """Whether all are: a NaN or an infinity times the zeros of a block is in all its outputs."""
    return tl.min((tl.abs(sums) < float("inf")).to(tl.int32)) > 0


@triton.jit(
    do_not_specialize=["x_ptr", "channels", "n_in", "taps", *_IMAGE],
    do_not_specialize_on_alignment=["x_axis", "x_other"],
)
def multiply_kernel(
    x_ptr, out_ptr, window_ptr, weight_ptr, bias_ptr,
    tap_start_ptr, tap_count_ptr, tap_weight_ptr, scaling_ptr,
    channels, n_in, n_out, n_other, taps,
    x_image, x_channel, x_axis, x_other,
    out_image, out_channel, out_axis, out_other,
    LIMBS: tl.constexpr, OUTPUTS: tl.constexpr, CHUNK: tl.constexpr, ALIGN: tl.constexpr,
    LANES: tl.constexpr, ALIGN_LANES: tl.constexpr, IMAGE: tl.constexpr,
):  # fmt: skip
    """A band along one axis: uint8 in fixed point, or floats of up to 32 bits in float32.

    Args:
        window_ptr: int32 ``[blocks, 4]``, where each window begins, its length, which chunk of
            ``weight_ptr`` is its first, and by how many bits sums of uint8 are shifted down.
        weight_ptr: ``[chunks, LIMBS, OUTPUTS, CHUNK]``.
        bias_ptr: int32 ``[blocks, OUTPUTS]``, what sums of uint8 start from; else ``None``.
        tap_start_ptr, tap_count_ptr, tap_weight_ptr: the band as ``weigh_kernel`` takes it, in
            float32, for tiles with a NaN or an infinity; ``None`` for uint8.
        scaling_ptr, IMAGE: see ``_write``.
        x_image, ..., out_other: strides.
        CHUNK: divides the lengths of windows.
        ALIGN: divides ``n_in``, the places where windows begin and, where it is more than 1,
            other strides than ``x_axis``, which is 1.
        LANES, ALIGN_LANES: places of a program on the other axis, and as ``ALIGN`` there.
    """
    x_ptr, out_ptr, _, channel, row, column = _placed(
        x_ptr, out_ptr, tl.cdiv(n_out, OUTPUTS), tl.cdiv(n_other, LANES),
        channels, x_image, x_channel, out_image, out_channel,
    )  # fmt: skip
    j, i = _along(row, OUTPUTS, False), _along(column, LANES, True)
    sums = _first_sums(
        x_ptr, None, None, channel, n_in, n_other, x_axis, x_other, column * LANES,
        window_ptr, weight_ptr, bias_ptr, row,
        LIMBS, OUTPUTS, CHUNK, LANES, ALIGN, ALIGN_LANES,
    )  # fmt: skip
    if sums.dtype != tl.int32 and not _finite(sums):
        start, count, weights = _taps(tap_start_ptr, tap_count_ptr, tap_weight_ptr, taps, j, n_out)
        sums = _tap_sums(
            x_ptr, None, x_axis, x_other, i, i < n_other, None, start, count, weights,
            tl.zeros_like(sums), 0,
        )  # fmt: skip
    _write(out_ptr, sums, j, n_out, out_axis, i, n_other, out_other, scaling_ptr, channel, IMAGE)


@triton.jit(
    do_not_specialize=[
        *("x_ptr", "side_ptr", "channels", "blocks_1", "blocks_2", "n_in_1", "n_in_2"),
        *("taps_1", "taps_2", *_IMAGE),
    ],
    do_not_specialize_on_alignment=["x_1", "x_2"],
)
def resize_kernel(
    x_ptr, out_ptr,
    window_1_ptr, weight_1_ptr, bias_1_ptr, tap_start_1_ptr, tap_count_1_ptr, tap_weight_1_ptr,
    window_2_ptr, weight_2_ptr, bias_2_ptr, tap_start_2_ptr, tap_count_2_ptr, tap_weight_2_ptr,
    side_ptr, frame_ptr, scaling_ptr, images_ptr, channels, blocks_1, blocks_2,
    n_in_1, n_out_1, taps_1, n_in_2, n_out_2, taps_2,
    x_image, x_channel, x_1, x_2,
    out_image, out_channel, out_1, out_2,
    LIMBS_1: tl.constexpr, OUTPUTS_1: tl.constexpr, CHUNK_1: tl.constexpr, ALIGN_1: tl.constexpr,
    LIMBS_2: tl.constexpr, OUTPUTS_2: tl.constexpr, CHUNK_2: tl.constexpr, ALIGN_2: tl.constexpr,
    IMAGE: tl.constexpr, PACKED: tl.constexpr,
):  # fmt: skip
    """Bands along both axes, one after the other: what ``multiply_kernel`` gives in two launches.

    Arguments as there, for each axis, of ``blocks_1`` and ``blocks_2`` blocks; and

        side_ptr, frame_ptr: see ``select_kernel``; the second axis first.
        images_ptr: int64 ``[images, COLUMNS]``, of each image the address, stride of channels,
            lengths of the axes before (up to a multiple of ``ALIGN_1``, from the address on, where
            they may be other pixels), after, their strides in ``out``, in the image, the numbers
            of their bands, of which each has ``blocks_1`` or ``blocks_2``, and for floats the taps
            of an output, and where in ``tap_weight_1_ptr`` and so on those of the band begin.
            ``None``: all are parts of ``x_ptr``.
        PACKED: whether the stride of the first axis is ``x_1`` for all images.

    Between the passes uint8 is uint8, and others are float32.
    """
    x_ptr, out_ptr, image, channel, row, column = _placed(
        x_ptr, out_ptr, blocks_2, blocks_1, channels, x_image, x_channel, out_image, out_channel
    )
    whole: tl.constexpr = x_ptr.dtype.element_ty == tl.uint8
    part = channel
    if side_ptr is not None:
        side_ptr, part = _beside(side_ptr, frame_ptr, image, channel, channels, x_image)
    block_1, block_2 = column, row
    if images_ptr is not None:
        images_ptr += COLUMNS * image
        x_ptr = tl.load(images_ptr).to(x_ptr.dtype) + channel * tl.load(images_ptr + 1)
        n_in_1, n_in_2 = tl.load(images_ptr + 2).to(tl.int32), tl.load(images_ptr + 3).to(tl.int32)
        x_2 = tl.load(images_ptr + 9).to(tl.int32)
        if not PACKED:
            x_1 = tl.load(images_ptr + 8).to(tl.int32)
        block_1 += tl.load(images_ptr + 10).to(tl.int32) * blocks_1
        block_2 += tl.load(images_ptr + 11).to(tl.int32) * blocks_2
    j, i = _along(column, OUTPUTS_1, False), _along(row, OUTPUTS_2, True)
    FINE: tl.constexpr = x_ptr.dtype.element_ty == tl.float32
    OF_PIXEL: tl.constexpr = LIMBS_2 * OUTPUTS_2
    sums = tl.zeros((OUTPUTS_1, OUTPUTS_2), tl.int32 if whole else tl.float32)
    start, length, weight_2_ptr = _window(
        window_2_ptr, weight_2_ptr, block_2, CHUNK_2 * OF_PIXEL, ALIGN_2
    )
    for at in range(0, length, CHUNK_2):
        between = _first_sums(
            x_ptr, side_ptr, frame_ptr, part, n_in_1, n_in_2, x_1, x_2, start + at,
            window_1_ptr, weight_1_ptr, bias_1_ptr, block_1,
            LIMBS_1, OUTPUTS_1, CHUNK_1, CHUNK_2, ALIGN_1, ALIGN_2,
        )  # fmt: skip
        chunk_ptr = weight_2_ptr + at * tl.full((), OF_PIXEL, tl.int64)
        sums = _second_sums(between, sums, chunk_ptr, LIMBS_2, OUTPUTS_2, FINE)
    if images_ptr is not None:  # not before, as registers are scarce
        n_out_1 = tl.load(images_ptr + 4).to(tl.int32)
        n_out_2 = tl.load(images_ptr + 5).to(tl.int32)
        out_1, out_2 = tl.load(images_ptr + 6), tl.load(images_ptr + 7)
    if whole:
        bias = tl.load(bias_2_ptr + block_2 * OUTPUTS_2 + tl.arange(0, OUTPUTS_2))
        sums = _bytes(sums + bias[None, :], window_2_ptr, block_2)
    elif not _finite(sums):
        if images_ptr is not None:
            before_1, before_2 = (block_1 - column) * OUTPUTS_1, (block_2 - row) * OUTPUTS_2
            tap_start_1_ptr += before_1
            tap_count_1_ptr += before_1
            tap_start_2_ptr += before_2
            tap_count_2_ptr += before_2
            taps_1 = tl.load(images_ptr + 12).to(tl.int32)
            taps_2 = tl.load(images_ptr + 13).to(tl.int32)
            tap_weight_1_ptr += tl.load(images_ptr + 14)
            tap_weight_2_ptr += tl.load(images_ptr + 15)
        start_1, count_1, weights_1 = _taps(
            tap_start_1_ptr, tap_count_1_ptr, tap_weight_1_ptr, taps_1, j, n_out_1
        )
        start_2, count_2, weights_2 = _taps(
            tap_start_2_ptr, tap_count_2_ptr, tap_weight_2_ptr, taps_2, i, n_out_2
        )
        sums = _tap_sums_of_both(
            x_ptr, None, x_1, x_2, None, start_1, count_1, weights_1, 0.0, 0.0, 0, 0,
            None, start_2, count_2, weights_2, tl.zeros_like(sums),
            tl.float32, 0, "keep", tl.float32, 0,
        )  # fmt: skip
    _write(out_ptr, sums, j, n_out_1, out_1, i, n_out_2, out_2, scaling_ptr, channel, IMAGE)
