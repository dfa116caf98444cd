"""Every kernel that the GPU engine launches compiles for every kind of GPU, and spills nothing."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
import triton
import triton.backends.nvidia
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from torchresample import cpu, gpu
from torchresample.ops import _passes
from torchresample.profiles import PROFILES
from torchresample.triton_kernels import kernels, launch

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
    **{getattr(torch, f"int{n}"): f"i{n}" for n in (16, 32, 64)},
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.float32: "fp32",
    torch.float64: "fp64",
}


class Recorder:
    """Stands for a kernel, and notes the types and constants that it is launched with."""

    def __init__(self, kernel, variants):
        self.kernel, self.variants = kernel, variants

    def __getitem__(self, grid):
        return self.noted

    def noted(self, *arguments, enable_fp_fusion=None, **constants):
        types = [
            f"*{TYPES[a.dtype]}" if isinstance(a, torch.Tensor) else _scalar(a) for a in arguments
        ]
        self.variants.add((self.kernel, tuple(types), tuple(constants.items())))


def _scalar(value):
    if value is None:
        return None
    return "fp32" if isinstance(value, float) else "i32"


def launched() -> list[tuple]:
    """The variants that all methods of all profiles need, for images of either layout."""
    variants = set()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("weigh_kernel", "select_kernel"):
            patch.setattr(launch, name, Recorder(getattr(kernels, name), variants))
        for like, profile in PROFILES.items():
            for method, spec in profile.methods.items():
                for antialias in spec.antialias:
                    for dtype in DTYPES:
                        _launch(like, method, antialias, dtype)
    return sorted(variants, key=repr)


def _launch(like, method, antialias, dtype):
    options = method, like, antialias, PROFILES[like].boundary, None, None, False, False
    for size, size_out in (((20, 30), (9, 44)), ((20, 30), (10, 15)), ((21, 30), (7, 10))):
        run = gpu.program(_passes(size, size_out, *options, dtype, 3), dtype)
        for inner in (False, True):
            x, out = (
                torch.empty_strided(s, cpu.packed_strides(s, inner), dtype=dtype)
                for s in ((1, 3, *size), (1, 3, *size_out))
            )
            run(x, out, inner)


VARIANTS = launched()


def _name(variant) -> str:
    kernel, types, constants = variant
    return "-".join([kernel.fn.__name__, *(t for t in types if t and t[0] == "*"),
                     *(str(v) for _, v in constants)])  # fmt: skip


def compiled(variant, target):
    kernel, types, constants = variant
    names = kernel.arg_names
    signature = {n: t or "constexpr" for n, t in zip(names, types, strict=False)}
    values = {n: None for n, t in zip(names, types, strict=False) if t is None}
    for name, value in constants:
        signature[name], values[name] = "constexpr", value
    source = ASTSource(kernel, signature, values)
    return triton.compile(source, target=target, options={"enable_fp_fusion": False})


def spills(kernel, path: Path) -> int:
    """Loads and stores of registers that have no place."""
    if "amdgcn" in kernel.asm:
        return sum(map(int, re.findall(r"[sv]gpr_spill_count: *(\d+)", kernel.asm["amdgcn"])))
    path.write_bytes(kernel.asm["cubin"])
    tool = Path(triton.backends.nvidia.__file__).parent / "bin" / "cuobjdump"
    done = subprocess.run([tool, "-sass", path], capture_output=True, text=True, check=True)
    assert "EXIT" in done.stdout
    return len(re.findall(r"\b(?:STL|LDL)\b", done.stdout))


def test_there_are_variants():
    """Of every type of sums."""
    sums = {str(dict(constants).get("SUMS")) for _, _, constants in VARIANTS}
    assert sums == {"int32", "int64", "fp32", "fp64", "None"}
    assert np.unique([kernel.fn.__name__ for kernel, *_ in VARIANTS]).size == 2


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("variant", VARIANTS, ids=_name)
def test_compiles_and_spills_nothing(tmp_path, variant, target):
    kernel = compiled(variant, TARGETS[target])
    assert spills(kernel, tmp_path / "kernel.cubin") == 0
