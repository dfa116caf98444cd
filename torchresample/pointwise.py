"""What is done to single pixels, in loops compiled by numba: NV12 to RGB, scaling, alpha.

``begin`` and ``end`` count the rows of all images together, so that threads share both alike.
"""

import numpy as np
from numba.extending import register_jitable

from torchresample.jit import compiled


@register_jitable
def _mixed(a, b, fourths):
    """Four times what lies between two samples; int32, which vectors have twice as many of."""
    return np.int32(np.int32(a * np.int32(4 - fourths)) + np.int32(b * np.int32(fourths)))


@register_jitable
def _between_rows(near, far, fourths, u, v):
    """Pairs of chroma of two rows, each into a line of its own, which repeats its ends."""
    n = len(near) // 2
    for k in range(n):
        u[k + 1] = _mixed(np.int32(near[2 * k]), np.int32(far[2 * k]), fourths)
        v[k + 1] = _mixed(np.int32(near[2 * k + 1]), np.int32(far[2 * k + 1]), fourths)
    for line in (u, v):
        line[0], line[n + 1] = line[1], line[n]


@register_jitable
def _between_columns(line, even, even_fourths, odd, odd_fourths, out):
    near, left, right = line[1:], line[1 + even :], line[1 + odd :]
    for k in range(len(out) // 2):
        out[2 * k] = _mixed(near[k], left[k], even_fourths)
        out[2 * k + 1] = _mixed(near[k], right[k], odd_fourths)


@register_jitable
def _as_channel(row, u, v, weights, out):
    of_luma, of_u, of_v, added = weights
    for j in range(len(out)):
        chroma = np.int32(np.int32(u[j] * of_u) + np.int32(v[j] * of_v))
        value = np.int32(np.int32(np.int32(np.int32(row[j]) * of_luma) + chroma) + added)
        out[j] = min(max(np.int32(value >> 21), np.int32(0)), np.int32(255))


@compiled
def rgb_of_nv12(weights, down, across, lines, luma, chroma, out, begin, end):
    """``out``: see ``nv12.as_rgb``; rows ``begin`` to ``end`` of the ``lines`` of all images.

    Args:
        weights: int32 ``[3, 4]``, of luma and both chroma values, and what is added.
        down, across: for even places, then for odd ones, a step to another sample and its fourths.
        lines: first row of an image, and last + 1.
        luma, chroma: uint8 ``[B, H, W]`` and ``[B, h, 2 * w]``, contiguous.
        out: uint8 ``[B, 3, H, W]``, contiguous.
    """
    height, (n_rows, n) = lines[1] - lines[0], chroma.shape[1:]
    u, v = np.empty(n // 2 + 2, np.int32), np.empty(n // 2 + 2, np.int32)
    wide_u, wide_v = np.empty(n, np.int32), np.empty(n, np.int32)
    for r in range(begin, end):
        b, i = r // height, lines[0] + r % height
        step, fourths = down[2 * (i % 2)], down[2 * (i % 2) + 1]
        near, far = i // 2, min(max(i // 2 + step, 0), n_rows - 1)
        _between_rows(chroma[b, near], chroma[b, far], fourths, u, v)
        _between_columns(u, across[0], across[1], across[2], across[3], wide_u)
        _between_columns(v, across[0], across[1], across[2], across[3], wide_v)
        for c in range(3):
            _as_channel(luma[b, i], wide_u, wide_v, weights[c], out[b, c, i])


@register_jitable(inline="always")  # so that the step is known
def _normalised(source, step, m, s, target):
    for j in range(len(target)):
        target[j] = (np.float32(source[step * j]) / np.float32(255) - m) / s


@compiled
def normalise(x, channels, mean, std, flip, out, begin, end):
    """``out = (x / 255 - mean) / std``: rows ``begin`` to ``end`` of all images together.

    Args:
        x: uint8 ``[B, h, w * channels]``, or ``[B * C, h, w]`` where ``channels`` is 1; contiguous.
        channels: how many values a column of ``x`` holds.
        mean, std: float32 ``[C]``.
        flip: whether rows are mirrored.
        out: float32 ``[B, C, h, w]``, contiguous.
    """
    _, n, height, width = out.shape
    for r in range(begin, end):
        b, i = r // height, r % height
        for c in range(n):
            target = out[b, c, i]
            source = x[b * n + c, i] if channels == 1 else x[b, i, c:]
            # Known steps become vectors.
            if channels == 1:
                _normalised(source, 1, mean[c], std[c], target)
            elif channels == 3:
                _normalised(source, 3, mean[c], std[c], target)
            elif channels == 4:
                _normalised(source, 4, mean[c], std[c], target)
            else:
                _normalised(source, channels, mean[c], std[c], target)
            if flip:
                for j in range(width // 2):
                    target[j], target[width - 1 - j] = target[width - 1 - j], target[j]


@register_jitable
def _weighed_by_alpha(colour, alpha):
    product = np.int32(np.int32(np.int32(colour) * np.int32(alpha)) + np.int32(128))
    return np.int32(np.int32(product + np.int32(product >> 8)) >> 8)


@register_jitable
def _divided_by_alpha(colour, alpha):
    # A quotient of such numbers is off by less than what would make it the next whole number.
    divisor = np.float32(alpha) if alpha != 0 else np.float32(255)
    return min(np.int32(np.float32(np.int32(colour) * np.int32(255)) / divisor), np.int32(255))


@register_jitable(inline="always")  # so that the channels are known
def _changed(change, channels, x, out):
    last = channels - 1
    for j in range(len(x) // channels):
        for c in range(last):
            out[channels * j + c] = change(x[channels * j + c], x[channels * j + last])
        out[channels * j + last] = x[channels * j + last]


@register_jitable
def _by_alpha(change, inner, x, out, begin, end):
    """Rows ``begin`` to ``end`` of uint8 ``[B, H, W, C]`` or, not ``inner``, ``[B, C, H, W]``."""
    height = x.shape[1] if inner else x.shape[2]
    for r in range(begin, end):
        b, i = r // height, r % height
        if not inner:
            last = x.shape[1] - 1
            for c in range(last):
                for j in range(x.shape[3]):
                    out[b, c, i, j] = change(x[b, c, i, j], x[b, last, i, j])
            out[b, last, i] = x[b, last, i]
        elif x.shape[3] == 4:
            _changed(change, 4, x[b, i].ravel(), out[b, i].ravel())
        else:
            _changed(change, x.shape[3], x[b, i].ravel(), out[b, i].ravel())


@compiled
def weigh_by_alpha(inner, x, out, begin, end):
    """See ``_by_alpha``: the other channels weighed by the last, as Pillow rounds it."""
    _by_alpha(_weighed_by_alpha, inner, x, out, begin, end)


@compiled
def divide_by_alpha(inner, x, out, begin, end):
    """See ``_by_alpha``: the other channels divided by the last, as Pillow rounds it."""
    _by_alpha(_divided_by_alpha, inner, x, out, begin, end)
