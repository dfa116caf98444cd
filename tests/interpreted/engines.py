"""What the kernels are compared with, and how near they must come."""

import numpy as np
import pytest
import torch

from torchresample import cpu, reference
from torchresample.profiles import PROFILES

METHODS = [
    pytest.param(like, method, antialias, id=f"{like}-{method}-{antialias}")
    for like, profile in PROFILES.items()
    for method, spec in profile.methods.items()
    for antialias in spec.antialias
    # Which is "pillow" with its axes in another order.
    if like != "pillow12" or method in ("nearest", "box", "lanczos3")
]


def by_reference(x, passes):
    for step in passes:
        x = reference.apply_pass(x, step, None)
    return x


def bound(passes, dtype, largest):
    """Of two orders of summation.

    taps + 1 roundings a pass, each amplified by the weights of the other.
    """
    sums = [float(np.abs(step.band.weight).sum(1).max()) for step in passes]
    taps = sum(step.band.taps + 1 for step in passes)
    return 2 * taps * torch.finfo(dtype).eps / 2 * np.prod(np.maximum(sums, 1)) * largest


def check(result, x, passes):
    """Bytes are those of the reference; floats of up to 1 are as near as ``bound`` says."""
    if x.dtype == torch.uint8:
        assert torch.equal(result, by_reference(x, passes))
        return
    exact = by_reference(x.to(torch.float64), passes)
    # The interpreter cuts bfloat16 off where GPUs round.
    unit = torch.finfo(x.dtype).eps / (1 if x.dtype == torch.bfloat16 else 2)
    sums = torch.float64 if x.dtype == torch.float64 else torch.float32
    allowed = unit * exact.abs() + (1 + unit) * bound(passes, sums, 1)
    assert ((result.to(torch.float64) - exact).abs() <= allowed).all()


def computed(run, x, size, inner):
    """The result of a program in memory that shows what is not written."""
    shape = *x.shape[:2], *size
    out = torch.full((np.prod(shape),), 77, dtype=x.dtype)
    out = out.as_strided(shape, cpu.packed_strides(shape, inner))
    run(x, out, inner)
    return out
