"""Kernels: bands made on the device, as the blocks that ``products`` multiplies.

In float64, with the operations of the host's ``filters`` and ``bands`` in their order, so that the
weights are the same bits. Filters are named by their form and its parameters.
"""

import triton
import triton.language as tl

from .kernels import _rounded

BAND = tl.constexpr(10)
"""Columns of the table of bands: see ``blocks_kernel``."""

STEP = tl.constexpr(16)
"""Columns of a block that are made at once: with more, registers would run out."""


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
def _exponential(x):
    """Of numbers from -43 to 0, as the host's ``weights.exponential``."""
    turns = _rounded(x / 0.6931471805599453)
    r = x - turns * 0.6931471803691238 - turns * 1.9082149292705877e-10
    series = r / 6227020800.0 + 1 / 479001600.0
    series = (series * r + 1 / 39916800.0) * r + 1 / 3628800.0
    series = (series * r + 1 / 362880.0) * r + 1 / 40320.0
    series = (series * r + 1 / 5040.0) * r + 1 / 720.0
    series = (series * r + 1 / 120.0) * r + 1 / 24.0
    series = (series * r + 1 / 6.0) * r + 0.5
    return ((series * r * r + r) + 1) / (1 << (-turns).to(tl.int64)).to(tl.float64)


@triton.jit
def _piecewise(x, pieces_ptr, count):
    """Polynomials of degree 3 in the distance past each whole number; zero from ``count`` on."""
    x = tl.abs(x)
    below = tl.floor(x)
    past = x - below
    pieces_ptr += 4 * tl.minimum(below, count - 1).to(tl.int32)
    weight = tl.load(pieces_ptr) * past + tl.load(pieces_ptr + 1)
    weight = (weight * past + tl.load(pieces_ptr + 2)) * past + tl.load(pieces_ptr + 3)
    return tl.where(x < count, weight, 0.0)


@triton.jit
def _filter(x, filter_ptr, FORM: tl.constexpr):
    """Weights at distances ``x``, not normalised; all float64.

    ``filter_ptr``: see ``blocks_kernel``.
    """
    a, b = tl.load(filter_ptr + 1), tl.load(filter_ptr + 2)
    if FORM == "box":
        weight = tl.where((x > -0.5) & (x <= 0.5), 1.0, 0.0).to(tl.float64)
    elif FORM == "triangle":
        weight = tl.maximum(1.0 - tl.abs(x), 0.0)
    elif FORM == "hamming":
        sine = _sinc(x / 2) * (1.5707963267948966 * x)
        window = 0.5400000214576721 + 0.46000000834465027 * (1 - 2 * (sine * sine))
        inside = tl.where(x == 0, 1.0, _sinc(x) * window)
        weight = tl.where(tl.abs(x) < 1, inside, 0.0)
    elif FORM == "gaussian":
        x = tl.minimum(tl.abs(x), 1.5)
        weight = tl.where(x < 1.5, _exponential(-2 * (x * x)), 0.0)
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
    elif FORM == "piecewise":
        weight = _piecewise(x, filter_ptr + 1, tl.load(filter_ptr))
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
def _store_limbs(place_ptr, weight, limb_stride, LIMBS: tl.constexpr):
    """float32 weights as a sum of shorter floats, the largest first."""
    for _ in tl.static_range(LIMBS):
        limb = weight.to(place_ptr.dtype.element_ty)
        tl.store(place_ptr, limb)
        weight -= limb.to(tl.float32)
        place_ptr += limb_stride


@triton.jit
def _footprints(
    axis_ptr, edge_ptr, filter_ptr, band, j, FORM: tl.constexpr, ANTIALIAS: tl.constexpr
):  # fmt: skip
    """Of outputs ``j``: first pixel with a weight and the one past the last, centre, sum and
    largest of the weights, all in ``[outputs]``; then what distances are multiplied with.

    Arguments as of ``blocks_kernel``.
    """
    axis_ptr += BAND * band
    n_in, n_out = tl.load(axis_ptr), tl.load(axis_ptr + 1)
    reverse, copies = tl.load(axis_ptr + 2), tl.load(axis_ptr + 3)
    low, high = tl.load(edge_ptr + 2 * band), tl.load(edge_ptr + 2 * band + 1)
    valid = j < n_out
    j = tl.where(reverse != 0, n_out - 1 - j, j)
    scale = (high - low) / n_out.to(tl.float64)
    filter_scale = tl.maximum(scale, 1.0) if ANTIALIAS else scale * 0 + 1.0
    support, inverse = tl.load(filter_ptr) * filter_scale, 1.0 / filter_scale
    centre = low + (j.to(tl.float64) + 0.5) * scale
    first = tl.maximum(tl.floor(centre - support + 0.5).to(tl.int64), 0)
    stop = tl.minimum(tl.floor(centre + support + 0.5).to(tl.int64), n_in)
    pixel = low.to(tl.int64) + j
    first = tl.where(copies != 0, pixel, first)
    stop = tl.where(valid, tl.where(copies != 0, pixel + 1, stop), first)
    total, largest = centre * 0, centre * 0
    begin, end = stop, first
    for k in range(tl.max(stop - first, 0)):
        at = first + k
        weight = _filter((at.to(tl.float64) - centre + 0.5) * inverse, filter_ptr, FORM)
        weight = tl.where(at < stop, weight, 0.0)
        total, largest = total + weight, tl.maximum(largest, weight)
        begin = tl.where(weight != 0, tl.minimum(begin, at), begin)
        end = tl.where(weight != 0, at + 1, end)
    end = tl.maximum(begin, end)
    return begin, end, centre, tl.where(total == 0, 1.0, total), largest, inverse


@triton.jit
def bits_kernel(
    axis_ptr, edge_ptr, filter_ptr,
    FORM: tl.constexpr, ANTIALIAS: tl.constexpr, OUTPUTS: tl.constexpr,
):  # fmt: skip
    """The most fraction bits, at most 22, with which the weights of a band fit int16.

    They are written to ``axis_ptr``; arguments as of ``blocks_kernel``. Source: ATen
    ``UpSampleKernel.cpp``, ``_compute_index_ranges_int16_weights``.
    """
    band = tl.program_id(0)
    most = tl.zeros((OUTPUTS,), tl.float64)
    for block in range(0, tl.load(axis_ptr + BAND * band + 1).to(tl.int32), OUTPUTS):
        j = block + tl.arange(0, OUTPUTS)
        _, _, _, total, largest, _ = _footprints(
            axis_ptr, edge_ptr, filter_ptr, band, j, FORM, ANTIALIAS
        )
        most = tl.maximum(most, largest / total)
    most = tl.max(most, 0)
    bits, scaled = most.to(tl.int64) * 0 + 22, most * 4194304.0
    for less in range(1, 23):  # with 22 - less bits: whether one more would be too many
        bits = tl.where(scaled + 0.5 >= 32768.0, 22 - less, bits)
        scaled *= 0.5
    tl.store(axis_ptr + BAND * band + 4, bits)


@triton.jit(do_not_specialize=["blocks", "align", "chunk"])
def blocks_kernel(
    axis_ptr, edge_ptr, filter_ptr, window_ptr, weight_ptr, bias_ptr,
    tap_start_ptr, tap_count_ptr, tap_weight_ptr, blocks, align, chunk,
    FORM: tl.constexpr, ANTIALIAS: tl.constexpr, LIMBS: tl.constexpr, OUTPUTS: tl.constexpr,
):  # fmt: skip
    """Bands as blocks, ``blocks`` of each: see ``multiply_kernel``.

    In fixed point, or in float32 where there is no ``bias_ptr``, and then also tap by tap.

    Args:
        axis_ptr: int64 ``[bands, BAND]``: lengths of the axis before and after, whether outputs are
            in reverse order, whether they are pixels as they are, from the lower edge on; fraction
            bits of weights in fixed point; chunks that a block may have, and the band's first; taps
            that an output may have, and where in ``tap_weight_ptr`` those of the band begin; pixels
            in memory before the axis, from which on the places that are written count.
        edge_ptr: float64 ``[bands, 2]``: lower and upper edge of what is resampled, in pixels.
        filter_ptr: float64 ``[3]`` or more: radius and parameters of the filter.
        window_ptr, weight_ptr, bias_ptr: written.
        tap_start_ptr, tap_count_ptr, tap_weight_ptr: written, of each band ``blocks * OUTPUTS``
            outputs; ``None`` in fixed point.
        align, chunk: divide the places where windows begin, and their lengths.
        FORM: of the filter: see ``_filter``.
        ANTIALIAS: whether it is widened by the scale.
    """
    whole: tl.constexpr = bias_ptr is not None
    program = tl.program_id(0)
    band, block = program // blocks, program % blocks
    first, stop, centre, total, _, inverse = _footprints(
        axis_ptr, edge_ptr, filter_ptr, band, block * OUTPUTS + tl.arange(0, OUTPUTS),
        FORM, ANTIALIAS,
    )  # fmt: skip
    axis_ptr += BAND * band
    begin = tl.min(tl.where(stop > first, first, 1 << 62), 0)
    lead = tl.load(axis_ptr + 9)
    begin = (tl.minimum(begin, tl.load(axis_ptr)) + lead) // align * align - lead
    length = tl.max(tl.where(stop > first, stop, begin), 0) - begin
    length = (length + chunk - 1) // chunk * chunk
    bits = tl.load(axis_ptr + 4)
    place = tl.load(axis_ptr + 6) + block * tl.load(axis_ptr + 5)
    window_ptr += 4 * program
    tl.store(window_ptr, (begin + lead).to(tl.int32))
    tl.store(window_ptr + 1, length.to(tl.int32))
    tl.store(window_ptr + 2, place.to(tl.int32))
    tl.store(window_ptr + 3, bits.to(tl.int32))
    limb = OUTPUTS * chunk
    weight_ptr += place * LIMBS * limb
    rows = tl.arange(0, OUTPUTS)
    if whole:
        one = (1 << bits).to(tl.float64)
        sums = tl.zeros((OUTPUTS,), tl.int32)
    else:
        output = program * OUTPUTS + rows
        tl.store(tap_start_ptr + output, first + lead)
        tl.store(tap_count_ptr + output, stop - first)
        taps = tl.load(axis_ptr + 8) + (block * OUTPUTS + rows) * tl.load(axis_ptr + 7)
        tap_weight_ptr += (taps - first)[:, None]
    for column in range(0, length, STEP):
        columns = column + tl.arange(0, STEP)
        at = begin + columns
        used = (at[None, :] >= first[:, None]) & (at[None, :] < stop[:, None])
        distance = (at.to(tl.float64)[None, :] - centre[:, None] + 0.5) * inverse
        weight = _filter(distance, filter_ptr, FORM) / total[:, None]
        place_ptr = weight_ptr + (column // chunk) * LIMBS * limb
        place_ptr = place_ptr + rows[:, None] * chunk + (columns % chunk)[None, :]
        if whole:
            weight *= one
            weight = tl.where(used, tl.where(weight < 0, weight - 0.5, weight + 0.5), 0.0)
            fixed = weight.to(tl.int32)
            sums += tl.sum(fixed, 1)
            _store_digits(place_ptr, fixed, limb, LIMBS)
        else:
            weight = tl.where(used, weight, 0.0).to(tl.float32)
            tl.store(tap_weight_ptr + at[None, :], weight, mask=used)
            _store_limbs(place_ptr, weight, limb, LIMBS)
    if whole:
        bias = sums * 128 + (1 << (bits - 1)).to(tl.int32)
        tl.store(bias_ptr + program * OUTPUTS + rows, bias)
