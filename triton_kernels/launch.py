"""Launches of the kernels on tensors ``[B, C, H, W]`` of any strides."""

import logging
import math
from functools import lru_cache
from itertools import chain

import torch
import triton
import triton.language as tl
from torch import Tensor

from . import tables
from .kernels import select_kernel, straighten_kernel
from .products import multiply_kernel, resize_kernel
from .tables import ALPHA, CHUNK, LINES, SIDE, Blocks, Frame, ScalingTable, Source, Weighing
from .taps import weigh_both_kernel, weigh_kernel

_TYPES = {
    torch.uint8: tl.uint8,
    torch.uint16: tl.uint16,
    torch.int16: tl.int16,
    torch.int32: tl.int32,
    torch.int64: tl.int64,
    torch.float16: tl.float16,
    torch.bfloat16: tl.bfloat16,
    torch.float32: tl.float32,
    torch.float64: tl.float64,
}

LIMBS = {
    torch.float16: (torch.float16, 2),
    torch.bfloat16: (torch.bfloat16, 3),
    torch.float32: (torch.bfloat16, 3),
}
"""Those of a weight of float32, by the pixels' dtype."""


_logger = logging.getLogger("torchresample")


@lru_cache(maxsize=1)
def _announce() -> None:
    """Say once in a process why the first calls on a GPU take long."""
    _logger.warning(
        "torchresample compiles Triton kernels, each at the first call that needs it, and keeps "
        "them in %s. 'python -m torchresample warmup' compiles the usual ones ahead of time.",
        triton.knobs.cache.dir,
    )


def _compiled(*, src, cache_hit: bool, **_) -> None:
    """Listen to Triton's compiler."""
    ours = getattr(getattr(src, "fn", None), "module", "").startswith(__package__)
    if ours and not cache_hit:
        _announce()


if triton.knobs.compilation.listener is None:  # somebody else may listen
    triton.knobs.compilation.listener = _compiled


def near(x: Tensor) -> bool:
    """Whether the places of a tile's pixels, counted from its first, fit 32 bits."""
    return LINES * (x.stride(-2) + x.stride(-1)) < 2**31


def resize(
    x: Tensor, first: Weighing, second: Weighing, scaling: ScalingTable | None, out: Tensor,
    tile: tuple[int, int, int] | None = None, source: Source = None,
) -> bool:  # fmt: skip
    """Both axes in one launch; ``False``, and nothing done, where two launches take less time.

    See ``near`` and ``Weighing.multiplies`` for what it takes. ``tile``: one of ``tables.TILES``,
    in place of that choice. ``source``: what is made of ``x`` before.
    """
    one, two = _axis(first), _axis(second)
    whole, aligns = x.dtype == torch.uint8, _aligns(x, one, two)
    lines, planes = x.shape[two], x.shape[0] * x.shape[1]
    where = aligns, x.itemsize, planes, lines, _processors(x.device)
    tiles = tables.TILES[x.itemsize] if source is None else tables.SOURCE_TILES
    tile = tile or tables.tile(first, second, tiles, *where)
    if tile is None:
        return False
    across, down, chunk = tile
    if whole:  # of one number of digits, as each pair of two would be another compiled kernel
        kinds = [(torch.int8, max(first.digits, second.digits))] * 2
    else:  # between the passes they are float32
        kinds = [LIMBS[x.dtype], LIMBS[torch.float32]]
    a = tables.blocks(first, across, aligns[0], chunk, *kinds[0], x.device)
    b = tables.blocks(second, down, aligns[1], chunk, *kinds[1], x.device)
    n_out = out.shape[one], out.shape[two]
    blocks = triton.cdiv(n_out[0], across), triton.cdiv(n_out[1], down)
    order, count = (0, 1, one, two), warps(across, down, x.itemsize, source)
    rough = isinstance(source, Frame) or (count == 4 and max(aligns) == 1)
    with on(x.device):
        resize_kernel[(planes * blocks[0] * blocks[1],)](
            x, out, *_pointers(a, first, whole), *_pointers(b, second, whole),
            *_side_ptrs(x, source, one == 2), scaling_ptr(scaling, x.device), None,
            out.shape[1], *blocks,
            x.shape[one], n_out[0], first.weight.shape[1],
            lines, n_out[1], second.weight.shape[1],
            *(x.stride(i) for i in order), *(out.stride(i) for i in order),
            LIMBS_1=a.weight.shape[1], OUTPUTS_1=across, CHUNK_1=chunk, ALIGN_1=aligns[0],
            LIMBS_2=b.weight.shape[1], OUTPUTS_2=down, CHUNK_2=chunk, ALIGN_2=aligns[1],
            IMAGE=image_type(scaling), PACKED=True, enable_fp_fusion=False,
            num_warps=count, **registers(most(across, x.itemsize, rough, x.device)),
        )  # fmt: skip
    return True


def multiply(x: Tensor, weighing: Weighing, scaling: ScalingTable | None, out: Tensor) -> None:
    """One axis on the matrix units: ``out`` is shaped as ``x`` but along ``weighing.dim``.

    See ``near`` and ``Weighing.multiplies`` for what it takes.
    """
    axis = _axis(weighing)
    other, whole = 5 - axis, x.dtype == torch.uint8
    aligns = _aligns(x, axis, other)
    n_out, n_other = out.shape[axis], out.shape[other]
    lines = out.shape[0] * out.shape[1] * n_other
    outputs = tables.block(weighing, aligns[0], x.itemsize, lines, _processors(x.device))
    kind = (torch.int8, weighing.digits) if whole else LIMBS[x.dtype]
    chunk = CHUNK[x.itemsize]
    blocks = tables.blocks(weighing, outputs, aligns[0], chunk, *kind, x.device)
    grid = (programs(out, n_out, outputs, n_other, LINES),)
    order = 0, 1, axis, other
    with on(x.device):
        multiply_kernel[grid](
            x, out, *_pointers(blocks, weighing, whole), scaling_ptr(scaling, x.device),
            out.shape[1], x.shape[axis], n_out, n_other,
            weighing.weight.shape[1],
            *(x.stride(i) for i in order), *(out.stride(i) for i in order),
            LIMBS=blocks.weight.shape[1], OUTPUTS=outputs, CHUNK=chunk, ALIGN=aligns[0],
            LANES=LINES, ALIGN_LANES=aligns[1], IMAGE=image_type(scaling),
            num_warps=8 if x.itemsize == 4 else 4, enable_fp_fusion=False,
            **registers(most(outputs, x.itemsize, False, x.device)),
        )  # fmt: skip


def weigh(x: Tensor, weighing: Weighing, scaling: ScalingTable | None, out: Tensor) -> None:
    """One axis in the order of the taps: ``out`` is shaped as ``x`` but along ``weighing.dim``."""
    axis = _axis(weighing)
    other = 5 - axis
    n_out, n_other = out.shape[axis], out.shape[other]
    turned = x.stride(axis) < x.stride(other)  # a warp has neighbours in memory
    outputs, lanes = (64, 16) if turned else (16, 64)
    grid = (programs(out, n_out, outputs, n_other, lanes),)
    order = 0, 1, axis, other
    with on(x.device):
        weigh_kernel[grid](
            x, out, *_band(weighing, x.device), scaling_ptr(scaling, x.device),
            out.shape[1], n_out, n_other, weighing.weight.shape[1],
            *(x.stride(i) for i in order), *(out.stride(i) for i in order),
            *_limits(weighing),
            SUMS=_TYPES[weighing.weight.dtype], CUT=weighing.cut, RULE=weighing.rule,
            OUTPUTS=outputs, LANES=lanes, TURNED=turned, IMAGE=image_type(scaling),
            enable_fp_fusion=False,
        )  # fmt: skip


def weigh_both(
    x: Tensor, first: Weighing, second: Weighing, between: torch.dtype,
    scaling: ScalingTable | None, out: Tensor,
) -> bool:  # fmt: skip
    """Both axes in one launch, in the order of the taps; ``False``, and nothing done, where two
    launches take less time.

    ``between``: the dtype that a launch of ``first`` alone would store.
    """
    one, two = _axis(first), _axis(second)
    where = between.itemsize, x.shape[0] * x.shape[1], x.shape[two], _processors(x.device)
    if not tables.joins(first, second, *where):
        return False
    n_out = out.shape[one], out.shape[two]
    grid = (programs(out, n_out[0], SIDE, n_out[1], SIDE),)
    order = 0, 1, one, two
    with on(x.device):
        weigh_both_kernel[grid](
            x, out, *_band(first, x.device), *_band(second, x.device),
            scaling_ptr(scaling, x.device),
            out.shape[1], n_out[0], first.weight.shape[1], n_out[1], second.weight.shape[1],
            *(x.stride(i) for i in order), *(out.stride(i) for i in order),
            *_limits(first), *_limits(second),
            SUMS_1=_TYPES[first.weight.dtype], CUT_1=first.cut, RULE_1=first.rule,
            BETWEEN=_TYPES[between],
            SUMS_2=_TYPES[second.weight.dtype], CUT_2=second.cut, RULE_2=second.rule,
            OUTPUTS=SIDE, TURNED=x.stride(one) < x.stride(two), IMAGE=image_type(scaling),
            enable_fp_fusion=False, num_warps=8, **registers(128),
        )  # fmt: skip
    return True


def select(
    x: Tensor,
    rows: Tensor | None,
    columns: Tensor | None,
    scaling: ScalingTable | None,
    out: Tensor,
    source: Source = None,
) -> None:
    """``out[..., i, j] = x[..., rows[i], columns[j]]``; ``None``: all rows or columns, in order.

    Where nothing is scaled, both are of one dtype, which may be any that Triton knows. ``source``:
    what is made of ``x`` before.
    """
    height, width = out.shape[2:]
    grid = (programs(out, height, 4, width, 128),)
    rows, columns = (i if i is None else _copied(i, x.device) for i in (rows, columns))
    with on(x.device):
        select_kernel[grid](
            x, out, *_side_ptrs(x, source, False), rows, columns, scaling_ptr(scaling, x.device),
            None, out.shape[1], height, width,
            *x.stride(), *out.stride(),
            HEIGHT=4, WIDTH=128, IMAGE=image_type(scaling), enable_fp_fusion=False,
        )  # fmt: skip


def straighten(x: Tensor) -> None:
    """uint8 ``x``, weighed by alpha, its last channel, divided by that, in place."""
    colours, (height, width) = x[:, :-1], x.shape[2:]
    with on(x.device):
        straighten_kernel[(programs(colours, height, 4, width, 128),)](
            colours, x[:, -1], colours.shape[1], height, width, *x.stride(),
            HEIGHT=4, WIDTH=128, enable_fp_fusion=False,
        )  # fmt: skip


def scaling_ptr(scaling: ScalingTable | None, device: torch.device) -> Tensor | None:
    return None if scaling is None else _copied(scaling.table, device)


def _side_ptrs(x: Tensor, source: Source, columns_first: bool) -> tuple[Tensor | None, ...]:
    if source is None:
        return None, None
    if source == ALPHA:
        return x[:, -1], None
    layout = source.chroma.shape[1:], source.chroma.stride()
    return source.chroma, _frame_table(source.numbers, *layout, columns_first, x.device)


@tables.cached(64)
def _frame_table(
    numbers: tuple[tuple[int, ...], ...], shape: tuple[int, int], strides: tuple[int, int, int],
    columns_first: bool, device: torch.device,
) -> Tensor:  # fmt: skip
    *weights, down, across = numbers
    image, *strides = strides
    axes = [[s, n, *steps] for s, n, steps in zip(strides, shape, (down, across), strict=True)]
    axes = axes[::-1] if columns_first else axes
    return torch.tensor([*chain(*weights, *axes), image], device=device)


def image_type(scaling: ScalingTable | None) -> tl.dtype | None:
    return None if scaling is None else _TYPES[scaling.image]


def _axis(weighing: Weighing) -> int:
    return 4 + weighing.dim


def warps(across: int, down: int, pixel: int, source: Source = None) -> int:
    """With which the sums of such a tile, of pixels of so many bytes, fit the registers."""
    large = across * down >= (2048 if source is None else 1024)
    return 8 if large or pixel > 1 or isinstance(source, Frame) else 4


def most(outputs: int, pixel: int, rough: bool, device: torch.device) -> int:
    """Registers that a thread may have, with which products on the matrix units spill nothing.

    128, so that two programs of eight warps fit, where that is enough, as the compiled kernels
    tell; or all that there are.

    Args:
        outputs: of a tile, along the axis that is resampled first.
        pixel: bytes of one.
        rough: whether pixels are read byte by byte by four warps, or made of frames.
    """
    fits = outputs == 16 or (pixel == 1 and (outputs == 32 or _multiplies_from_memory(device)))
    return 128 if fits and not rough else 255


@lru_cache(maxsize=16)
def _multiplies_from_memory(device: torch.device) -> bool:
    """Whether the matrix units read from shared memory, whatever the version of Triton.

    Else operands take registers: also for compute capability 10.0, where Triton 3.6 compiles.
    """
    return device.type == "cuda" and torch.cuda.get_device_capability(device)[0] == 9


def registers(most: int) -> dict[str, int]:
    """As an option: how many a thread may have.

    Unless it is told, NVIDIA's assembler may use fewer, so that more threads run at once, and spill
    the rest. The compiler for AMD has no such option.
    """
    return {} if torch.version.hip else {"maxnreg": most}


def align(x: Tensor, axis: int, sizes: tuple[int, ...]) -> int:
    """Pixels of the first of ``sizes``, in bytes, of which all lines along ``axis`` consist.

    1 where they consist of none, or their pixels are apart.
    """
    if x.stride(axis) != 1:
        return 1
    lines = (x.stride(i) for i in range(4) if i != axis and x.shape[i] > 1)
    unit = math.gcd(x.data_ptr(), x.itemsize * math.gcd(x.shape[axis], *lines))
    return divisor(unit, sizes, x.itemsize)


def divisor(unit: int, sizes: tuple[int, ...], pixel: int) -> int:
    """Pixels of the first of ``sizes`` that divides ``unit``, all in bytes; 1 where none does."""
    return next((size // pixel for size in sizes if unit % size == 0), 1)


def _aligns(x: Tensor, first: int, second: int) -> tuple[int, int]:
    """``align`` along the axis that is resampled first, and along the other one."""
    return align(x, first, (16, 4)), align(x, second, (16,))


def _pointers(blocks: Blocks, weighing: Weighing, whole: bool) -> tuple[Tensor | None, ...]:
    """A band as ``multiply_kernel`` takes it."""
    taps = (None,) * 3 if whole else _on_device(weighing, blocks.window.device)[1:]
    return blocks.window, blocks.weight, blocks.bias, *taps


def _band(weighing: Weighing, device: torch.device) -> tuple[Tensor | None, ...]:
    """A band as ``weigh_kernel`` takes it."""
    table = None if weighing.table is None else _copied(weighing.table, device)
    return *_on_device(weighing, device), table


def _limits(weighing: Weighing) -> tuple[float, ...]:
    return weighing.begin, weighing.scale, weighing.low, weighing.high


@tables.cached(256)
def _on_device(weighing: Weighing, device: torch.device) -> tuple[Tensor | None, ...]:
    tensors = weighing.index, weighing.start, weighing.count, weighing.weight
    return tuple(t if t is None else t.to(device) for t in tensors)


@tables.cached(256)
def _copied(index: Tensor, device: torch.device) -> Tensor:
    return index.to(device)


@lru_cache(maxsize=16)
def _processors(device: torch.device) -> int:
    if device.type != "cuda":  # the interpreter's
        return 1
    return torch.cuda.get_device_properties(device).multi_processor_count


def programs(out: Tensor, n: int, block: int, m: int, lanes: int) -> int:
    """Of a launch with tiles of ``block`` of ``n`` places along an axis, ``lanes`` of ``m``."""
    return out.shape[0] * out.shape[1] * triton.cdiv(n, block) * triton.cdiv(m, lanes)


def on(device: torch.device):
    """Triton launches on the current device."""
    return torch.cuda.device(device if device.type == "cuda" else -1)
