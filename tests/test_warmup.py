"""What has to be compiled says so once, and can be compiled ahead of time."""

import subprocess
import sys

import torch

from torchresample import native
from torchresample.__main__ import warmup

COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from torchresample.triton_kernels.kernels import straighten_kernel as kernel
import torchresample.triton_kernels.launch

names = kernel.arg_names
constants = {"HEIGHT": 4, "WIDTH": 128}
types = {name: "*u8" if name.endswith("_ptr") else "i32" for name in names}
types |= dict.fromkeys(constants, "constexpr")
places = {(names.index(name),): value for name, value in constants.items()}
for arch in (80, 90):
    triton.compile(ASTSource(kernel, types, places), target=GPUTarget("cuda", arch, 32))
"""


def run(*command: str, **options) -> subprocess.CompletedProcess:
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    return done


def test_compiling_kernels_is_said_once(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    said = [run(sys.executable, "-c", COMPILE).stderr for _ in range(2)]
    assert said[0].count("python -m torchresample warmup") == 1
    assert str(tmp_path) in said[0]
    assert "torchresample" not in said[1]  # all were in the cache


def test_warmup():
    printed = run(sys.executable, "-m", "torchresample", "warmup").stdout.splitlines()
    assert printed[0].startswith(f"CPU ({native.instructions()})")
    assert len(printed) == 1 + max(torch.cuda.device_count(), 1)


def test_warmup_makes_calls_that_there_are(monkeypatch):
    """On the CPU, as a GPU may be missing: what it calls must not be refused."""
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    warmup(torch.device("cpu"))


def test_commands_are_listed():
    done = run(sys.executable, "-m", "torchresample", "--help")
    assert "warmup" in done.stdout
