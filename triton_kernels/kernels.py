"""Kernels: gathers, and what all kernels share.

An image is ``[B, C, H, W]`` of any strides; planes are the pairs of an image and a channel.
"""

import triton
import triton.language as tl

COLUMNS = tl.constexpr(16)
"""Of the table of images of different sizes: see ``resize_kernel``."""


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
def _along(tile, SIZE: tl.constexpr, ACROSS: tl.constexpr):
    """Places of a tile along one axis: a row ``[1, SIZE]`` if ``ACROSS``, else a column."""
    places = tile * SIZE + tl.arange(0, SIZE)
    return places[None, :] if ACROSS else places[:, None]


@triton.jit
def _write(
    out_ptr, values, j, n_j, stride_j, i, n_i, stride_i, scaling_ptr, channel, IMAGE: tl.constexpr
):  # fmt: skip
    """``out[j, i] = values``, where there is such a place.

    Args:
        j, i: ``[n, 1]`` and ``[1, m]``, or ``[1, n]`` and ``[m, 1]``.
        scaling_ptr: float32 ``[channels, 3]``: values as ``IMAGE`` has them, divided by the first,
            less the second, divided by the third; ``None``: values as they are.
    """
    if scaling_ptr is not None:
        scaling_ptr += 3 * channel
        values = tl.div_rn(values.to(IMAGE).to(tl.float32), tl.load(scaling_ptr))
        values = tl.div_rn(values - tl.load(scaling_ptr + 1), tl.load(scaling_ptr + 2))
    places = j.to(tl.int64) * stride_j + i.to(tl.int64) * stride_i
    inside = (j < n_j) & (i < n_i)
    tl.store(out_ptr + places, values.to(out_ptr.dtype.element_ty), mask=inside)


@triton.jit
def _chroma_places(place, axis_ptr):
    """Where the chroma samples nearest to places of luma lie, those after them; fourths of these.

    ``axis_ptr``: stride and number of samples; step and fourths, of even places, then of odd.
    """
    stride, last = tl.load(axis_ptr).to(tl.int32), tl.load(axis_ptr + 1).to(tl.int32) - 1
    odd, near = place % 2 == 1, place // 2
    step = tl.where(odd, tl.load(axis_ptr + 4), tl.load(axis_ptr + 2)).to(tl.int32)
    fourths = tl.where(odd, tl.load(axis_ptr + 5), tl.load(axis_ptr + 3)).to(tl.int32)
    return near * stride, tl.minimum(tl.maximum(near + step, 0), last) * stride, fourths


@triton.jit
def _chroma(chroma_ptr):
    """A sample as two numbers of 16 bits in one of 32."""
    pair = tl.load(chroma_ptr).to(tl.int32)
    return (pair | (pair << 8)) & 0xFF00FF


@triton.jit
def _as_rgb(luma, chroma_ptr, frame_ptr, channel, i, j):
    """A channel of pixels of which ``luma`` is known, uint8, at places ``i`` and ``j`` of its axes.

    Args:
        luma: uint8.
        chroma_ptr: uint16, pairs of bytes.
        frame_ptr: int64; ``[3, 4]``, for each channel the weights of luma and of both chroma values
            and what is added; then each axis as ``_chroma_places`` takes it.
        channel: red, green or blue.
        i, j: int32.
    """
    i_near, i_far, i_fourths = _chroma_places(i, frame_ptr + 12)
    j_near, j_far, j_fourths = _chroma_places(j, frame_ptr + 18)
    near = _chroma(chroma_ptr + i_near + j_near) * (4 - j_fourths)
    near += _chroma(chroma_ptr + i_near + j_far) * j_fourths
    far = _chroma(chroma_ptr + i_far + j_near) * (4 - j_fourths)
    far += _chroma(chroma_ptr + i_far + j_far) * j_fourths
    both = near * (4 - i_fourths) + far * i_fourths
    frame_ptr += 4 * channel
    sums = luma.to(tl.int32) * tl.load(frame_ptr).to(tl.int32)
    sums += (both & 0xFFFF) * tl.load(frame_ptr + 1).to(tl.int32)
    sums += (both >> 16) * tl.load(frame_ptr + 2).to(tl.int32)
    sums += tl.load(frame_ptr + 3).to(tl.int32)
    return tl.minimum(tl.maximum(sums >> 21, 0), 255).to(tl.uint8)


@triton.jit
def _weighed_by_alpha(pixels, alpha_ptr, channel):
    """uint8 by alpha, as Pillow rounds it; those of ``channel`` -1 as they are."""
    alpha = tl.where(channel < 0, 255, tl.load(alpha_ptr).to(tl.int32))
    product = pixels.to(tl.int32) * alpha + 128
    return ((product + (product >> 8)) >> 8).to(tl.uint8)


@triton.jit
def _beside(side_ptr, frame_ptr, image, channel, channels, x_image):
    """``side_ptr`` of an image, and a channel as ``_as_rgb`` and ``_weighed_by_alpha`` have it."""
    if frame_ptr is not None:
        side_ptr += image * tl.load(frame_ptr + 24)
    else:
        side_ptr += image * x_image
        channel = tl.where(channel == channels - 1, -1, channel)
    return side_ptr, channel


@triton.jit
def _rounded(sums):
    """To the nearest integer, ties to even; of a size below 2**22, or 2**51 in float64."""
    # Where the last bit of a sum with this number stands for 1, the sum is rounded to it.
    unit = 6755399441055744.0 if sums.dtype == tl.float64 else 12582912.0
    return (sums + unit) - unit


@triton.jit(do_not_specialize=["channels", "n_rows"])
def select_kernel(
    x_ptr, out_ptr, side_ptr, frame_ptr, rows_ptr, columns_ptr, scaling_ptr, images_ptr,
    channels, n_rows, n_columns,
    x_image, x_channel, x_row, x_column,
    out_image, out_channel, out_row, out_column,
    HEIGHT: tl.constexpr, WIDTH: tl.constexpr, IMAGE: tl.constexpr,
):  # fmt: skip
    """``out[i, j] = x[rows[i], columns[j]]``.

    Args:
        side_ptr: uint16, chroma of pixels of which ``x`` is the luma; or uint8, the last channel of
            ``x``, alpha by which the others are weighed; ``None``: pixels are as they are.
        frame_ptr: of chroma, see ``_as_rgb``, rows first; and last the stride of images.
        rows_ptr, columns_ptr: int64 ``[n_rows]`` and ``[n_columns]``; ``None``: all, in order.
        scaling_ptr, IMAGE: see ``_write``.
        images_ptr: int64 ``[images, 4]``, of each image the address and the strides of channels,
            rows and columns; then each has rows and columns of its own. ``None``: all are parts of
            ``x``.
        x_image, ..., out_column: strides.
    """
    x_ptr, out_ptr, image, channel, down, across = _placed(
        x_ptr, out_ptr, tl.cdiv(n_rows, HEIGHT), tl.cdiv(n_columns, WIDTH),
        channels, x_image, x_channel, out_image, out_channel,
    )  # fmt: skip
    if images_ptr is not None:
        images_ptr += 4 * image
        x_ptr = tl.load(images_ptr).to(x_ptr.dtype) + channel * tl.load(images_ptr + 1)
        x_row, x_column = tl.load(images_ptr + 2), tl.load(images_ptr + 3)
        rows_ptr += image * n_rows
        columns_ptr += image * n_columns
    i, j = _along(down, HEIGHT, False), _along(across, WIDTH, True)
    row, column = i.to(tl.int64), j.to(tl.int64)
    if rows_ptr is not None:
        row = tl.load(rows_ptr + i, mask=i < n_rows, other=0)
    if columns_ptr is not None:
        column = tl.load(columns_ptr + j, mask=j < n_columns, other=0)
    inside = (i < n_rows) & (j < n_columns)
    places = row * x_row + column * x_column
    pixels = tl.load(x_ptr + places, mask=inside)
    if side_ptr is not None:
        side_ptr, part = _beside(side_ptr, frame_ptr, image, channel, channels, x_image)
        if frame_ptr is None:
            pixels = _weighed_by_alpha(pixels, side_ptr + tl.where(inside, places, 0), part)
        else:
            row = tl.where(i < n_rows, row, 0).to(tl.int32)
            column = tl.where(j < n_columns, column, 0).to(tl.int32)
            pixels = _as_rgb(pixels, side_ptr, frame_ptr, part, row, column)
    _write(
        out_ptr, pixels, i, n_rows, out_row, j, n_columns, out_column, scaling_ptr, channel, IMAGE
    )  # fmt: skip


@triton.jit(do_not_specialize=["channels", "n_rows"])
def straighten_kernel(
    x_ptr, alpha_ptr, channels, n_rows, n_columns,
    x_image, x_channel, x_row, x_column,
    HEIGHT: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """uint8 ``x``, ``channels`` weighed by alpha, divided by that in place, as Pillow does."""
    x_ptr, alpha_ptr, _, _, down, across = _placed(
        x_ptr, alpha_ptr, tl.cdiv(n_rows, HEIGHT), tl.cdiv(n_columns, WIDTH),
        channels, x_image, x_channel, x_image, 0,
    )  # fmt: skip
    i, j = _along(down, HEIGHT, False), _along(across, WIDTH, True)
    places = i.to(tl.int64) * x_row + j.to(tl.int64) * x_column
    inside = (i < n_rows) & (j < n_columns)
    colour = tl.load(x_ptr + places, mask=inside, other=0).to(tl.int32)
    alpha = tl.load(alpha_ptr + places, mask=inside, other=0).to(tl.int32)
    straight = tl.minimum(255 * colour // tl.maximum(alpha, 1), 255)
    straight = tl.where(alpha == 0, colour, straight)
    tl.store(x_ptr + places, straight.to(tl.uint8), mask=inside)
