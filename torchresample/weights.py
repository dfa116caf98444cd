"""Weights of bands in compiled loops: random crops ask for new ones each time."""

import numpy as np

from torchresample.jit import compiled
from torchresample.vectors import LIMB


@compiled
def footprints(centre, support):
    """The pixels whose centres lie within ``support`` of each output's ``centre``.

    int64 ``[n_out]``: the first one, which may lie before the image, and how many.
    """
    first, width = np.empty(len(centre), np.int64), np.empty(len(centre), np.int64)
    for o in range(len(centre)):
        first[o] = np.int64(np.floor(centre[o] - support + 0.5))
        width[o] = np.int64(np.floor(centre[o] + support + 0.5)) - first[o]
    return first, width


@compiled
def distances(centre, first, width, inverse, outside, out):
    """``out[o, k]``: the distance of pixel ``first[o] + k`` from ``centre[o]``, times ``inverse``.

    From ``width[o]`` on it is ``outside``.
    """
    for o in range(len(out)):
        for k in range(out.shape[1]):
            distance = (first[o] + k - centre[o] + 0.5) * inverse
            out[o, k] = distance if k < width[o] else outside
    return out


@compiled
def sinc(x, out):
    """``sin(pi * x) / (pi * x)`` of float64 ``[n]``, within four units in the last place.

    Four roundings reach the result: two of the reduced angle, the sine's last sum, the quotient.
    In vectors, where the C library's sine would take most of the time of a Lanczos band. The angle
    is reduced by pi in three parts (Cody & Waite 1980), then Taylor's series is cut where it falls
    below the rounding of a double.
    """
    for i in range(len(x)):
        angle = x[i] * np.pi
        turns = np.rint(angle / np.pi)
        # The first two parts of pi have 30 bits: their products with few turns are exact.
        r = angle - turns * 3.141592651605606 - turns * 1.9841871583270443e-09
        r -= turns * 1.034036596358821e-18
        s = r * r
        series = s / 51090942171709440000.0 - 1 / 121645100408832000.0  # 21!, 19!
        series = (series * s + 1 / 355687428096000.0) * s - 1 / 1307674368000.0  # 17!, 15!
        series = (series * s + 1 / 6227020800.0) * s - 1 / 39916800.0  # 13!, 11!
        series = (series * s + 1 / 362880.0) * s - 1 / 5040.0  # 9!, 7!
        series = (series * s + 1 / 120.0) * s - 1 / 6.0  # 5!, 3!
        sine = (r + r * s * series) * (1 - 2 * (turns - 2 * np.floor(turns / 2)))
        out[i] = sine / angle if angle != 0 else 1.0
    return out


@compiled
def exponential(x, out):
    """``exp(x)`` of float64 ``[n]`` from -43 to 0, within two units in the last place.

    As a GPU has it, where each C library rounds in its own way; otherwise as ``sinc``.
    """
    for i in range(len(x)):
        turns = np.rint(x[i] / 0.6931471805599453)
        r = x[i] - turns * 0.6931471803691238 - turns * 1.9082149292705877e-10
        series = r / 6227020800.0 + 1 / 479001600.0  # 13!, 12!
        series = (series * r + 1 / 39916800.0) * r + 1 / 3628800.0  # 11!, 10!
        series = (series * r + 1 / 362880.0) * r + 1 / 40320.0  # 9!, 8!
        series = (series * r + 1 / 5040.0) * r + 1 / 720.0  # 7!, 6!
        series = (series * r + 1 / 120.0) * r + 1 / 24.0  # 5!, 4!
        series = (series * r + 1 / 6.0) * r + 0.5  # 3!, 2!
        out[i] = ((series * r * r + r) + 1) / np.float64(1 << np.int64(-turns))
    return out


@compiled
def window(first, weight, n_in, start, out):
    """Rows of weights from ``first`` on, cut to ``n_in`` pixels, each divided by its sum.

    Args:
        first: int64 ``[n_out]``, may be negative.
        weight: float64 ``[n_out, width]``.
        n_in: length of the axis.
        start, out: where the rows of ``out`` ``[n_out, taps]`` begin; zeros where nothing is known.
    """
    for o in range(len(out)):
        low, high = max(-first[o], 0), min(n_in - first[o], weight.shape[1])
        total = 0.0
        for k in range(low, high):
            total += weight[o, k]
        if total == 0:
            total = 1.0
        for k in range(out.shape[1]):
            source = k + start[o] - first[o]
            if low <= source < high:
                out[o, k] = weight[o, source] / total
    return out


@compiled
def extents(weight):
    """Of weights ``[n_out, taps]``: zeros before each row's first weight, weights to its last.

    And the least sum of a row's negative weights, the largest one of its positive weights, and the
    largest size of a single one.
    """
    n_out, taps = weight.shape
    lead, count = np.zeros(n_out, np.int64), np.zeros(n_out, np.int64)
    least = largest = size = 0.0
    for o in range(n_out):
        first, last, negative, positive = taps, -1, 0.0, 0.0
        for k in range(taps):
            w = weight[o, k]
            if w != 0:
                first, last = min(first, k), k
                negative, positive = negative + min(w, 0.0), positive + max(w, 0.0)
                size = max(size, abs(w))
        if last >= 0:
            lead[o], count[o] = first, last + 1 - first
        least, largest = min(least, negative), max(largest, positive)
    return lead, count, least, largest, size


@compiled
def trimmed(weight, lead, count, out):
    """``out`` ``[n_out, taps]`` with the rows of ``weight`` between those zeros.

    They take time, and would spread an infinity.
    """
    for o in range(len(out)):
        for k in range(count[o]):
            out[o, k] = weight[o, lead[o] + k]
    return out


@compiled
def as_limbs(weight, lead, count, out):
    """``trimmed`` for whole numbers, as int16 ``[n_out, limbs, taps]``; see ``weigh_block``."""
    for o in range(len(out)):
        for k in range(count[o]):
            w = np.int64(weight[o, lead[o] + k])
            if out.shape[1] == 1:
                out[o, 0, k] = w
            else:
                out[o, 0, k], out[o, 1, k] = w & (2**LIMB - 1), w >> LIMB
    return out
