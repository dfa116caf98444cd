"""Kernel: bands made on the device, as the blocks that ``products`` multiplies.

In float64, with the operations of the host's ``filters`` and ``bands`` in their order, so that the
weights are the same bits. Filters are named by their form and its parameters.
"""

import triton
import triton.language as tl

from .kernels import _rounded

STEP = tl.constexpr(16)
"""Columns of a block that are made at once: with more, registers would run out."""

FORMS = ("box", "triangle", "keys", "cubic", "lanczos", "mks2013", "mks2021")
"""Forms of filters, those with the operations that a GPU rounds as a CPU does."""


@triton.jit
def _sinc(x):
    angle = x * 3.141592653589793
    turns = _rounded(angle / 3.141592653589793)
    # pi in three parts, as in the host's ``weights.sinc``.
    r = angle - turns * 3.141592651605606 - turns * 1.9841871583270443e-09
    r -= turns * 1.034036596358821e-18
    s = r * r
    series = s / 51090942171709440000.0 - 1 / 121645100408832000.0
    series = (series * s + 1 / 355687428096000.0) * s - 1 / 1307674368000.0
    series = (series * s + 1 / 6227020800.0) * s - 1 / 39916800.0
    series = (series * s + 1 / 362880.0) * s - 1 / 5040.0
    series = (series * s + 1 / 120.0) * s - 1 / 6.0
    sine = (r + r * s * series) * (1 - 2 * (turns - 2 * tl.floor(turns / 2)))
    return tl.where(angle != 0, sine / tl.where(angle != 0, angle, 1.0), 1.0)


@triton.jit
def _filter(x, a, b, FORM: tl.constexpr):
    """Weights at distances ``x``, not normalised; all float64."""
    if FORM == "box":
        weight = tl.where((x > -0.5) & (x <= 0.5), 1.0, 0.0).to(tl.float64)
    elif FORM == "triangle":
        weight = tl.maximum(1.0 - tl.abs(x), 0.0)
    elif FORM == "keys":
        x = tl.abs(x)
        near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1
        far = (((x - 5) * x + 8) * x - 4) * a
        weight = tl.where(x < 1, near, tl.where(x < 2, far, 0.0))
    elif FORM == "cubic":
        x = tl.abs(x)
        near = ((12 - 9 * a - 6 * b) * x - (18 - 12 * a - 6 * b)) * x * x + (6 - 2 * a)
        far = (-(a + 6 * b) * x + (6 * a + 30 * b)) * x - (12 * a + 48 * b)
        far = far * x + (8 * a + 24 * b)
        weight = tl.where(x < 1, near, tl.where(x < 2, far, 0.0)) / 6
    elif FORM == "lanczos":
        weight = tl.where((x >= -a) & (x < a), _sinc(x) * _sinc(x / a), 0.0)
    elif FORM == "mks2013":
        x = tl.abs(x)
        far = -0.125 * ((x - 2.5) * (x - 2.5))
        weight = tl.where(x < 2.5, far, 0.0)
        weight = tl.where(x < 1.5, (1 - x) * (1.75 - x), weight)
        weight = tl.where(x < 0.5, 17 / 16 - 1.75 * (x * x), weight)
    else:
        tl.static_assert(FORM == "mks2021")
        x = tl.abs(x)
        far = -1 / 288 * ((x - 4.5) * (x - 4.5))
        weight = tl.where(x < 4.5, far, 0.0)
        weight = tl.where(x < 3.5, 1 / 36 * (x - 3) * (x - 3.75), weight)
        weight = tl.where(x < 2.5, 1 / 6 * (x - 2) * (65 / 24 - x), weight)
        weight = tl.where(x < 1.5, 35 / 36 * (x - 1) * (x - 239 / 140), weight)
        weight = tl.where(x < 0.5, 577 / 576 - 239 / 144 * (x * x), weight)
    return weight


@triton.jit
def _store_digits(place_ptr, weight, limb_stride, LIMBS: tl.constexpr):
    """Whole weights as int8 digits of base 256, the largest first."""
    place_ptr += (LIMBS - 1) * limb_stride
    for _ in tl.static_range(LIMBS):
        low = ((weight + 128) & 255) - 128
        tl.store(place_ptr, low.to(tl.int8))
        weight = (weight - low) >> 8
        place_ptr -= limb_stride


@triton.jit
def _footprints(centre, support, pixel, n_in, copies):
    """First pixel and the one past the last that outputs read, of those inside the image."""
    first = tl.floor(centre - support + 0.5).to(tl.int64)
    stop = tl.floor(centre + support + 0.5).to(tl.int64)
    first = tl.where(copies != 0, pixel, tl.maximum(first, 0))
    return first, tl.where(copies != 0, pixel + 1, tl.minimum(stop, n_in))


@triton.jit(do_not_specialize=["blocks", "bits"])
def blocks_kernel(
    axis_ptr, edge_ptr, filter_ptr, window_ptr, weight_ptr, bias_ptr,
    blocks, width, bits,
    FORM: tl.constexpr, ANTIALIAS: tl.constexpr,
    LIMBS: tl.constexpr, OUTPUTS: tl.constexpr, CHUNK: tl.constexpr, ALIGN: tl.constexpr,
):  # fmt: skip
    """Fixed-point bands of an axis of every image, as blocks: see ``multiply_kernel``.

    Args:
        axis_ptr: int64 ``[images, 4]``: lengths of the axis before and after, whether outputs are
            in reverse order, whether they are pixels as they are, from the lower edge on.
        edge_ptr: float64 ``[images, 2]``: lower and upper edge of what is resampled, in pixels.
        window_ptr, weight_ptr, bias_ptr: written, for each image ``blocks`` of ``width``; int32,
            int8 and int32.
        filter_ptr: float64 ``[3]``: radius and parameters of the filter.
        bits: fraction bits of the weights.
        FORM: of the filter, one of ``FORMS``.
        ANTIALIAS: whether it is widened by the scale.
    """
    program = tl.program_id(0)
    image, block = program // blocks, program % blocks
    n_in, n_out = tl.load(axis_ptr + 4 * image), tl.load(axis_ptr + 4 * image + 1)
    reverse, copies = tl.load(axis_ptr + 4 * image + 2), tl.load(axis_ptr + 4 * image + 3)
    low, high = tl.load(edge_ptr + 2 * image), tl.load(edge_ptr + 2 * image + 1)
    radius, a, b = tl.load(filter_ptr), tl.load(filter_ptr + 1), tl.load(filter_ptr + 2)
    o = block * OUTPUTS + tl.arange(0, OUTPUTS)
    valid = o < n_out
    j = tl.where(reverse != 0, n_out - 1 - o, o)
    scale = (high - low) / n_out.to(tl.float64)
    filter_scale = tl.maximum(scale, 1.0) if ANTIALIAS else scale * 0 + 1.0
    support, inverse = radius * filter_scale, 1.0 / filter_scale
    centre = low + (j.to(tl.float64) + 0.5) * scale
    first, stop = _footprints(centre, support, low.to(tl.int64) + j, n_in, copies)
    total = centre * 0
    for k in range(tl.max(tl.where(valid, stop - first, 0), 0)):
        at = first + k
        weight = _filter((at.to(tl.float64) - centre + 0.5) * inverse, a, b, FORM)
        total += tl.where(at < stop, weight, 0.0)
    total = tl.where(total == 0, 1.0, total)
    begin = tl.min(tl.where(valid, first, n_in), 0) // ALIGN * ALIGN
    length = tl.max(tl.where(valid, stop, begin), 0) - begin
    length = (length + CHUNK - 1) // CHUNK * CHUNK
    window_ptr += 2 * program
    tl.store(window_ptr, begin.to(tl.int32))
    tl.store(window_ptr + 1, length.to(tl.int32))
    weight_ptr += program.to(tl.int64) * LIMBS * OUTPUTS * width
    rows = tl.arange(0, OUTPUTS)
    one = (1 << bits).to(tl.float64)
    sums = tl.zeros((OUTPUTS,), tl.int32)
    for column in range(0, length, STEP):
        columns = column + tl.arange(0, STEP)
        at = begin + columns
        used = (at[None, :] >= first[:, None]) & (at[None, :] < stop[:, None]) & valid[:, None]
        distance = (at.to(tl.float64)[None, :] - centre[:, None] + 0.5) * inverse
        weight = _filter(distance, a, b, FORM) / total[:, None]
        weight *= one
        weight = tl.where(used, tl.where(weight < 0, weight - 0.5, weight + 0.5), 0.0)
        whole = weight.to(tl.int32)
        sums += tl.sum(whole, 1)
        place_ptr = weight_ptr + rows[:, None] * width + columns[None, :]
        _store_digits(place_ptr, whole, OUTPUTS * width, LIMBS)
    bias = sums * 128 + (1 << (bits - 1))
    tl.store(bias_ptr + program * OUTPUTS + rows, bias)
