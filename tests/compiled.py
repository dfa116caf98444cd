"""The kernels compiled without a GPU, and what the machine code contains.

``python tests/compiled.py`` writes ``tests/kernels.csv``, which ``test_kernels`` compares with.
"""

import re
import subprocess
import tempfile
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
import torch
import triton
import triton.backends.nvidia
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from torchresample import cpu, gpu
from torchresample import ragged as lists
from torchresample.filters import FILTERS
from torchresample.ops import planned_passes
from torchresample.profiles import PROFILES
from torchresample.triton_kernels import launch, ragged, tables

TABLE = Path(__file__).parent / "kernels.csv"
TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
DTYPES = (
    *(torch.uint8, torch.int16, torch.uint16, torch.int32),
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
)
TYPES = {
    **{getattr(torch, f"uint{n}"): f"u{n}" for n in (8, 16)},
    **{getattr(torch, f"int{n}"): f"i{n}" for n in (8, 16, 32, 64)},
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.float32: "fp32",
    torch.float64: "fp64",
}
FLOATS = DTYPES[4:]
SIZES = (((20, 30), (9, 44)), ((20, 30), (10, 15)), ((21, 30), (7, 10)), ((21, 31), (8, 11)))
ALONG_ONE = (((20, 30), (20, 11)), ((20, 30), (9, 30)))
SCALED = (
    *((torch.uint8, torch.float32), (torch.uint8, torch.bfloat16)),
    *((torch.bfloat16, torch.bfloat16), (torch.float32, torch.float32)),
)
# Lines of whole 16 bytes, 4 bytes or neither, and the columns first (Pillow).
PRODUCTS = (
    *(((90, 160), (48, 80)), ((90, 164), (48, 80)), ((91, 159), (45, 77))),
    ((240, 64), (80, 32)),
)


class Variant(NamedTuple):
    """A kernel, and what it is compiled for; ``registers``: of all but sm_90, and of that."""

    kernel: triton.JITFunction
    types: tuple[str | None, ...]
    constants: tuple[tuple[str, object], ...]
    warps: int
    registers: tuple[int, int] | None

    @property
    def name(self) -> str:
        types = [t[1:] if t else "no" for t in self.types if t is None or t[0] == "*"]
        constants = [str(value) for _, value in self.constants]
        wide = ["far"] if "i64" in self.types else []
        return "-".join([self.kernel.fn.__name__, *types, *constants, *wide])


class Recorder:
    """Stands for a kernel, and notes what it is launched with."""

    def __init__(self, kernel, variants: dict):
        self.kernel, self.variants = kernel, variants

    def __getitem__(self, grid):
        return self.noted

    def noted(self, *arguments, enable_fp_fusion, num_warps=4, maxnreg=None, **constants):
        assert not enable_fp_fusion
        maxnreg = (maxnreg, maxnreg) if isinstance(maxnreg, int) else maxnreg
        types = tuple(map(_type, arguments))
        variant = Variant(self.kernel, types, tuple(constants.items()), num_warps, maxnreg)
        self.variants.setdefault(variant, arguments)


def _type(argument) -> str | None:
    if isinstance(argument, torch.Tensor):
        return f"*{TYPES[argument.dtype]}"
    if argument is None:
        return None
    if isinstance(argument, float):
        return "fp32"
    return "i32" if -(2**31) <= argument < 2**31 else "i64"


@contextmanager
def recording():
    """Notes what is launched, in a dictionary as ``launched`` returns, and launches nothing."""
    variants = {}
    with pytest.MonkeyPatch.context() as patch:
        for module in (launch, ragged):
            for name in (n for n in dir(module) if n.endswith("_kernel")):
                patch.setattr(module, name, Recorder(getattr(module, name), variants))
        patch.setattr(launch, "most", partial(_of_both_kinds, launch.most))
        yield variants


def _of_both_kinds(most, *arguments) -> tuple[int, int]:
    """What all GPUs but sm_90, and that, would be told."""
    with pytest.MonkeyPatch.context() as patch:
        found = []
        for from_memory in (False, True):
            patch.setattr(launch, "_multiplies_from_memory", lambda _, is_so=from_memory: is_so)
            found.append(most(*arguments))
    return tuple(found)


@lru_cache(maxsize=1)
def launched() -> dict[Variant, tuple]:
    """The variants that the engine launches, each with the arguments of its first launch.

    For images of either layout by all methods of all profiles, with every tile; scaled; and bytes
    and floats by bilinear with other boundary rules, and the gradients of these.
    """
    with recording() as variants:
        for like, method in (("pillow", "lanczos3"), ("torch", "bicubic")):
            for dtype in (torch.uint8, torch.float16, torch.bfloat16, torch.float32):
                for size, size_out in PRODUCTS:
                    _multiply(like, method, dtype, size, size_out)
            for size, size_out in PRODUCTS:
                for source in (_frame(size), tables.ALPHA):
                    _multiply(like, method, torch.uint8, size, size_out, source)
        for size, size_out in PRODUCTS:  # as presets have it
            _multiply("pillow", "lanczos3", torch.uint8, size, size_out, store=torch.bfloat16)
        for like, smooths in (("pillow", (True, False)), ("torch", (True,))):
            for method in (name for name in PROFILES[like].methods if name in FILTERS):
                for antialias, dtype in product(smooths, (torch.uint8, *FLOATS[:3])):
                    together(method, antialias, 161, dtype, ((40, 60), (200, 400)), like, dtype)
        for width in (160, 164, 161):
            together("bilinear", False, width, torch.uint8, ((40, 60), (200, 400)))
            together("lanczos3", True, width, torch.float32, ((40, 60), (200, 400)))
            for dtype in FLOATS[:3]:
                together("lanczos3", True, width, dtype, ((40, 60), (200, 400)), dtype=dtype)
        together("lanczos3", True, 161, torch.bfloat16, ((40, 60),), dtype=torch.float32)
        for dtype, store in ((torch.uint8, torch.uint8), (torch.int64, torch.int64), *SCALED):
            together("nearest", False, 161, store, ((40, 60),), dtype=dtype)
        for joins in (True, False):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(tables, "joins", lambda *_, joins=joins: joins)
                _every_method()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tables, "tile", lambda *_: None)
            for dtype in FLOATS[:3]:
                resize("pillow", "lanczos3", True, dtype)
            for dtype, store in SCALED:
                _scale("pillow", "lanczos3", True, dtype, store)
        for method, antialias in (("lanczos3", True), ("nearest", False)):
            for dtype in (torch.uint8, torch.float32):
                _far(method, antialias, dtype)
    return variants


def _every_method():
    for like, profile in PROFILES.items():
        for method, spec in profile.methods.items():
            for antialias in spec.antialias:
                for dtype in DTYPES:
                    resize(like, method, antialias, dtype, SIZES + ALONG_ONE)
                for dtype, scaled in SCALED:
                    _scale(like, method, antialias, dtype, scaled)
        for boundary in profile.boundaries[1:]:
            for dtype in (torch.uint8, *FLOATS):
                resize(like, "bilinear", True, dtype, (*SIZES, ((20, 30), (1, 1))), boundary)
            for dtype in FLOATS:
                resize(like, "bilinear", True, dtype, boundary=boundary, back=True)


def _far(method, antialias, dtype):
    """Images that would lie gigabytes apart in memory; of both axes, and of one."""
    for size, size_out in (((20, 30), (9, 11)), ((20, 30), (20, 11))):
        x, out = _empty(size, dtype, False), _empty(size_out, dtype, False)
        strides = 2**31 + 64, *x.stride()[1:]
        x = torch.empty_strided((2, *x.shape[1:]), strides, dtype=dtype, device="meta")
        options = method, "pillow", antialias, "renormalize", None, None, False, False
        gpu.program(planned_passes(size, size_out, *options, dtype, 3), dtype)(x, out, False)


def _multiply(like, method, dtype, size, size_out, source=None, store=None):
    """On the matrix units, with every tile, of both axes, from a ``tables.Source`` or scaled, or of
    each axis.
    """
    options = method, like, True, PROFILES[like].boundary, None, None, False, False
    passes = planned_passes(size, size_out, *options, dtype, 3)
    x, out = _empty(size, dtype, False), _empty(size_out, store or dtype, False)
    scaling = None if store is None else gpu.scaling_table(dtype, 3, (0.5,), (0.2,))
    steps = [step for part in gpu.program(passes, dtype).args[0] for step in part.args]
    first, second = (step.weighing for step in steps)
    for tile in tables.TILES[dtype.itemsize] if source is None else tables.SOURCE_TILES:
        launch.resize(x, first, second, scaling, out, tile, source)
    if store is not None:
        return
    if source is not None:
        launch.select(x, None, None, None, x, source)
        launch.straighten(x)
        return
    halves = dtype.itemsize == 2  # which are float32 between two launches
    for outputs in tables.BLOCKS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tables, "block", lambda *_, outputs=outputs: outputs)
            for weighing in (first, second):
                shape = list(x.shape)
                shape[weighing.dim] = len(weighing.start)
                launch.multiply(x, weighing, None, x.new_empty(shape))
                if halves:
                    launch.multiply(x, weighing, None, x.new_empty(shape, dtype=torch.float32))
                    launch.multiply(x.float(), weighing, None, x.new_empty(shape))


def _frame(size):
    chroma = torch.empty(1, *((n + 1) // 2 for n in size), dtype=torch.uint16)
    return tables.Frame(chroma, ((1,) * 4,) * 5)


def together(method, antialias, width, store, sizes, like="pillow", dtype=torch.uint8):
    """Images of different sizes, down and up, and with the columns first."""
    for size in sizes:
        for height in (90, 2000):
            images = [_empty((h, width), dtype, False)[0] for h in (90, height)]
            scaling = None if store == dtype else gpu.scaling_table(dtype, 3, (0.5,), (0.2,))
            out = torch.empty(2, 3, *size, dtype=store)
            options = method, like, antialias, [None, None], [False, True]
            lists.resize_images(images, *options, scaling, out)


def resize(like, method, antialias, dtype, sizes=SIZES, boundary=None, back=False):
    place = boundary or PROFILES[like].boundary, None, None, False, back
    options = method, like, antialias, *place
    for size, size_out in sizes:
        run = gpu.program(planned_passes(size, size_out, *options, dtype, 3), dtype)
        for inner in (False, True):
            run(_empty(size, dtype, inner), _empty(size_out, dtype, inner), inner)


def _scale(like, method, antialias, dtype, scaled):
    options = method, like, antialias, PROFILES[like].boundary, None, None, False, False
    for size, size_out in SIZES[1::2]:
        run = gpu.program(planned_passes(size, size_out, *options, dtype, 3), dtype)
        x, out = _empty(size, dtype, False), _empty(size_out, scaled, False)
        run(x, out, False, gpu.scaling_table(dtype, 3, (0.5,), (0.2,)))


def _empty(size, dtype, inner):
    shape = 1, 3, *size
    return torch.empty_strided(shape, cpu.packed_strides(shape, inner), dtype=dtype)


class Driver:
    """Stands for a GPU's driver, of which Triton asks this to compile a launch."""

    def __init__(self, target: str):
        self.target = target

    def get_current_target(self) -> GPUTarget:
        return TARGETS[self.target]

    def get_current_device(self) -> str:  # by which Triton finds what it has compiled
        return self.target

    def get_current_stream(self, device: str) -> int:
        return 0


def compiled(variant: Variant, arguments: tuple, target: str):
    """The variant for a target, as Triton compiles it when it is launched with such arguments."""
    options = dict(variant.constants) | {"num_warps": variant.warps, "enable_fp_fusion": False}
    if variant.registers and TARGETS[target].backend == "cuda":
        options["maxnreg"] = variant.registers[TARGETS[target].arch == 90]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "_active", Driver(target))  # there may be none to go back to
        return variant.kernel.warmup(*arguments, grid=(1,), **options)


def contents(kernel) -> dict[str, object]:
    """Registers, shared bytes, spills to memory, widths of loads in bits, matrix instructions."""
    shared = kernel.metadata.shared
    if "amdgcn" in kernel.asm:
        code = kernel.asm["amdgcn"]
        widths = {"ubyte": 8, "sbyte": 8, "ushort": 16, "sshort": 16, "short": 16, "dword": 32}
        loads = re.findall(
            r"(?:global|buffer|flat)_load_(ubyte|sbyte|ushort|sshort|short|dword)(?:_d16\w*)?(?:x(\d))?",
            code,
        )
        return {
            "registers": _sum(r"\.(?:agpr|vgpr)_count: *(\d+)", code),
            "shared": shared,
            # Scalar registers spill into lanes of vector registers, not into memory.
            "spills": _sum(r"(?:vgpr_spill_count|private_segment_fixed_size): *(\d+)", code),
            "loads": _listed(widths[kind] * int(times or 1) for kind, times in loads),
            "matrix": len(re.findall(r"\bv_s?mfma_", code)),
        }
    code = _dumped(kernel.asm["cubin"])
    assert "EXIT" in code
    loads = re.findall(r"\bLDG(?:STS)?\.E(?:\.[A-Z]+)*(?:\.([US]?\d+))?(?:\.[A-Z]+)*\b", code)
    return {
        "registers": _sum(r"REG:(\d+)", code),
        "shared": shared,
        "spills": len(re.findall(r"\b(?:STL|LDL)\b", code)),
        "loads": _listed(int(width.lstrip("US") or 32) for width in loads),
        "matrix": len(re.findall(r"\b(?:I|H|IG|HG|UTCI|UTCH|UTCQ)MMA\b", code)),
    }


def _dumped(cubin: bytes) -> str:
    """Instructions, and what they use."""
    tool = Path(triton.backends.nvidia.__file__).parent / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        return subprocess.run(
            [tool, "-sass", "-res-usage", file.name], stdout=-1, stderr=-2, text=True, check=True
        ).stdout


def _sum(pattern: str, text: str) -> int:
    return sum(map(int, re.findall(pattern, text)))


def _listed(widths) -> str:
    return " ".join(map(str, sorted(set(widths))))


def row(name: str) -> list[dict[str, object]]:
    """What the table says of a variant, for every target."""
    (variant, arguments), *_ = (v for v in launched().items() if v[0].name == name)
    return [
        {"triton": triton.__version__, "variant": name, "target": target}
        | contents(compiled(variant, arguments, target))
        for target in TARGETS
    ]


def main():
    names = [variant.name for variant in launched()]
    assert len(set(names)) == len(names)
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        rows = [one for rows in pool.map(row, names) for one in rows]
    table = pd.DataFrame(rows).sort_values(["variant", "target"])
    table.to_csv(TABLE, index=False)
    print(table.groupby("target").agg({"variant": "count", "registers": "max", "spills": "sum"}))


if __name__ == "__main__":
    main()
