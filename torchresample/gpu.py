"""The GPU engine: which Triton kernel applies which passes.

| pass | applied by |
|---|---|
| a gather | ``select_kernel``, moving values; both axes at once |
| fixed point of uint8, weighted sums of float16, bfloat16 and float32 | ``resize_kernel``, both \
axes at once; ``multiply_kernel``, one; before, where they read an extended image, a gather |
| other fixed point, a mean, products cut one by one | ``weigh_both_kernel``, both axes at once, \
or ``weigh_kernel``, one, in int32 or wider |
| all others | the same, in float32 for floats of up to 32 bits or where ordered so, else float64 |

Nothing is added atomically: every run has the same bytes.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from torchresample import cpu, light, native
from torchresample.bands import Band
from torchresample.kept import kept
from torchresample.passes import HORIZONTAL, VERTICAL, Pass

if TYPE_CHECKING:
    from torchresample.triton_kernels.tables import ScalingTable, Source, Weighing

SINGLE = (torch.float16, torch.bfloat16, torch.float32)
"""Types whose sums are formed in float32."""

Limits = tuple[float, float]


@lru_cache(maxsize=16)
def serves(device: torch.device) -> bool:
    """Whether Triton is installed, and compiles for that device."""
    if device.type != "cuda" or find_spec("triton") is None:
        return False
    return torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)


def program(passes: tuple[Pass, ...], dtype: torch.dtype) -> Callable[..., None]:
    """What runs ``passes`` over pixels of ``dtype``: see ``cpu.program``.

    It takes a ``ScalingTable`` as well, for what is stored, and a ``Source``, for what is read: of
    ``x`` that is luma, repeated for three channels, RGB.
    """
    selects, weighings, kind, limits = {}, [], dtype, _limits(dtype)
    for step in passes:
        if step.moves(kind):
            selects[step.dim] = torch.from_numpy(step.band.start)
            continue
        gather, found, stored, limits = _weighings(step, kind, limits)
        if gather is not None:
            selects[step.dim] = gather
        weighings += (_Step(weighing, kind, stored) for weighing in found)
        kind = stored
    steps = _joined(weighings)
    if selects:  # which change places with passes along the other axis
        steps.insert(0, partial(_select, selects.get(VERTICAL), selects.get(HORIZONTAL)))
    return partial(_run, steps)


class _Step(NamedTuple):
    """A ``Weighing``, the dtype of its pixels, and the one that it stores."""

    weighing: "Weighing"
    dtype: torch.dtype
    store: torch.dtype


def _joined(steps: list[_Step]) -> list[Callable]:
    """What runs them: both axes at once, where there is one pass along each."""
    if len(steps) == 2 and steps[0].weighing.dim != steps[1].weighing.dim:
        return [partial(_both_axes, *steps)]
    return [partial(_weigh, step) for step in steps]


@lru_cache(maxsize=16)
def scaling_table(
    image: torch.dtype, channels: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> "ScalingTable":
    """What ``program`` takes for results ``(y / 255 - mean) / std``; floats are not divided."""
    from torchresample.triton_kernels.tables import ScalingTable

    kind = {"dtype": torch.float32, "device": "cpu"}
    table = torch.ones(channels, 3, **kind)
    table[:, 0] = 255 if image == torch.uint8 else 1
    table[:, 1], table[:, 2] = (torch.tensor(v, **kind) for v in (mean, std))
    return ScalingTable(table, image)


def _run(
    steps: list[Callable],
    x: Tensor,
    out: Tensor,
    inner: bool,
    scaling: "ScalingTable | None" = None,
    source: "Source" = None,
) -> None:
    if not steps and scaling is None and source is None:
        out.copy_(x)
        return
    x, out = cpu.as_4d(cpu.materialised(x)), cpu.as_4d(out)
    *first, last = steps or [partial(_select, None, None)]
    for step in first:
        x, source = step(x, None, inner, None, source), None
    last(x, out, inner, scaling, source)


def _select(
    rows: Tensor | None,
    columns: Tensor | None,
    x: Tensor,
    out: Tensor | None,
    inner: bool,
    scaling: "ScalingTable | None",
    source: "Source",
) -> Tensor:
    from torchresample.triton_kernels import launch

    if out is None:
        h = x.shape[-2] if rows is None else len(rows)
        w = x.shape[-1] if columns is None else len(columns)
        out = _empty(x, (*x.shape[:-2], h, w), x.dtype, inner)
    if scaling is None:  # moved as they are
        word = cpu.WORDS[x.itemsize]
        launch.select(x.view(word), rows, columns, None, out.view(word), source)
    else:
        launch.select(x, rows, columns, scaling, out, source)
    return out


def _both_axes(
    first: _Step,
    second: _Step,
    x: Tensor,
    out: Tensor,
    inner: bool,
    scaling: "ScalingTable | None",
    source: "Source",
) -> None:
    """In one launch, or in two where these take less time."""
    from torchresample.triton_kernels import launch

    bands = first.weighing, second.weighing
    if first.weighing.multiplies(first.dtype) and second.weighing.multiplies(second.dtype):
        if launch.near(x) and launch.resize(x, *bands, scaling, out, source=source):
            return
    else:
        if source is not None:
            x, source = _select(None, None, x, None, inner, None, source), None
        if launch.weigh_both(x, *bands, first.store, scaling, out):
            return
    between = _weigh(first, x, None, inner, None, source)
    _weigh(second, between, out, inner, scaling, None)


def _weigh(
    step: _Step,
    x: Tensor,
    out: Tensor | None,
    inner: bool,
    scaling: "ScalingTable | None",
    source: "Source",
) -> Tensor:
    from torchresample.triton_kernels import launch

    if source is not None:
        x = _select(None, None, x, None, inner, None, source)
    weighing = step.weighing
    if out is None:
        shape = list(x.shape)
        shape[weighing.dim] = len(weighing.start)
        out = _empty(x, shape, step.store, inner)
    multiplies = launch.near(x) and weighing.multiplies(x.dtype)
    (launch.multiply if multiplies else launch.weigh)(x, weighing, scaling, out)
    return out


def _empty(x: Tensor, shape: tuple[int, ...], dtype: torch.dtype, inner: bool) -> Tensor:
    return x.new_empty_strided(shape, cpu.packed_strides(shape, inner), dtype=dtype)


@kept
def _weighings(
    step: Pass, dtype: torch.dtype, limits: Limits
) -> tuple[Tensor | None, list["Weighing"], torch.dtype, Limits]:
    """A pass over pixels of ``dtype`` within ``limits``; what it stores, and the limits of that.

    Before these, which pixels to gather first, where the matrix units apply the rest.
    """
    from torchresample.triton_kernels.tables import Weighing

    band = step.band
    lead, count, negative, positive, _ = native.extents(np.ascontiguousarray(band.weight))
    sums, limits = _sums(step, dtype, limits, negative, positive)
    dense = native.trimmed(np.ascontiguousarray(band.weight), lead, count, np.float64)
    store = step.store or (torch.float64 if sums == torch.float64 else torch.float32)
    options = {"rule": "keep"}
    if step.store is not None and not step.store.is_floating_point:
        whole = torch.iinfo(step.store)
        options = {"rule": step.rule, "low": whole.min, "high": whole.max}
    if step.decodes:
        options["table"] = light.tables()[0]
    elif step.rule == "srgb":
        options |= {"high": light.WHITE, "table": light.tables()[1]}
    half = 0.5 if step.rule == "fixed" and step.bits else 0
    if options["rule"] in ("fixed", "floor") and sums == torch.float64:
        dense *= 2.0**-step.bits
        options |= {"rule": "floor", "begin": half}
    elif options["rule"] in ("fixed", "floor"):
        options |= {"rule": "shift", "scale": step.bits, "begin": int(half * 2**step.bits)}
    elif options["rule"] == "mean":
        options["scale"] = float(np.float32(1) / np.float32(step.count))
    if step.sums == "floor16":
        options["cut"] = 16
    elif step.sums == "lerp":  # the first pixel, and a step to the second times its weight
        options["cut"], dense[:, 0] = -1, 1
    place = torch.from_numpy(band.start + lead), torch.from_numpy(count)
    weighing = Weighing(step.dim, *place, torch.from_numpy(dense).to(sums), None, **options)
    gather, weighing = _gathered_first(weighing, band, dtype)
    folds = [] if band.fold is None else [_folded(step, sums)]
    return gather, [weighing, *folds], store, limits


def _gathered_first(
    weighing: "Weighing", band: Band, dtype: torch.dtype
) -> tuple[Tensor | None, "Weighing"]:
    """The pixels that a band reads of an extended image, and how these are weighed.

    ``None`` where they are read one by one: where there are more than twice those of the image, as
    they would take much memory, and where the matrix units have no arithmetic for them.
    """
    if band.gather is None:
        return None, weighing
    first, last = int(weighing.start.min()), int((weighing.start + weighing.count).max())
    if last - first > 2 * band.n_in or not weighing.multiplies(dtype):
        return None, replace(weighing, index=torch.from_numpy(band.gather))
    gather = torch.from_numpy(band.gather[first:last])
    return gather, replace(weighing, start=weighing.start - first)


def _folded(step: Pass, sums: torch.dtype) -> "Weighing":
    """The pass that adds the rows of a band into its outputs, by ``Band.fold``."""
    from torchresample.triton_kernels.tables import Weighing

    fold = step.band.fold
    order, outputs = np.argsort(fold, kind="stable"), np.arange(step.band.n_out)
    start = np.searchsorted(fold[order], outputs)
    count = np.searchsorted(fold[order], outputs, side="right") - start
    ones = torch.ones(len(start), max(int(count.max()), 1), dtype=sums, device="cpu")
    index = torch.from_numpy(order)
    return Weighing(step.dim, torch.from_numpy(start), torch.from_numpy(count), ones, index, "keep")


def _limits(dtype: torch.dtype) -> Limits:
    if dtype.is_floating_point or dtype == torch.bool:
        return 0.0, 0.0
    return float(torch.iinfo(dtype).min), float(torch.iinfo(dtype).max)


def _sums(
    step: Pass, dtype: torch.dtype, limits: Limits, negative: float, positive: float
) -> tuple[torch.dtype, Limits]:
    """The type of a pass' sums, and the limits of what it stores."""
    if step.sums == "lerp":
        return torch.float64, limits
    if step.rule in ("fixed", "floor", "mean"):
        low = positive * limits[0] + negative * limits[1]
        high = positive * limits[1] + negative * limits[0] + 2**step.bits / 2
        stored = low, high
        if step.store is not None and not step.store.is_floating_point:
            least, most = _limits(step.store)
            stored = max(low / 2**step.bits, least), min(high / 2**step.bits, most)
        # Products cut one by one are OpenCV's, in int32 by definition.
        if step.sums == "floor16" or (low >= -(2**31) and high < 2**31):
            return torch.int32, stored
        return torch.int64 if max(-low, high) < 2**63 else torch.float64, stored
    if step.sums == "exact":
        return torch.float32 if dtype in SINGLE else torch.float64, limits
    return {"float32": torch.float32, "float64": torch.float64}[step.sums], limits
