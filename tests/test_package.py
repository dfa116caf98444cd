"""The wheel: what it holds, and that it works away from the checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from torchresample.native import LIBRARY, build

ROOT = Path(__file__).parents[1]


def run(*command: str, **options) -> str:
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_wheel_works_away_from_the_checkout(tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    source = tmp_path / "source"
    skip = shutil.ignore_patterns("__pycache__", LIBRARY.name)
    for name in ("torchresample", "triton_kernels"):
        shutil.copytree(ROOT / name, source / name, ignore=skip)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    options = ["--no-deps", "--no-build-isolation", "--no-index"]
    run(*pip, "wheel", *options, "--wheel-dir", str(tmp_path), str(source))
    (wheel,) = tmp_path.glob("torchresample-*.whl")
    packages = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in packages if not name.endswith(".dist-info")} == {"torchresample"}
    assert "torchresample/triton_kernels/kernels.py" in zipfile.ZipFile(wheel).namelist()
    assert wheel.name.split("-")[2:4] == ["py3", "none"]  # any Python, this platform
    site = tmp_path / "site"
    run(*pip, "install", "--no-deps", "--no-index", "--target", str(site), str(wheel))
    code = (
        "import torch, torchresample as tr; print(tr.__file__); "
        "print(tuple(tr.Resize(8, 'lanczos3')(torch.zeros(3, 16, 20)).shape))"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    file, shape = run(sys.executable, "-c", code, cwd=tmp_path, env=environment).splitlines()
    assert Path(file).is_relative_to(site)
    assert shape == "(3, 8, 10)"


def test_import_is_light():
    """torchvision and the kernels are loaded by what needs them; CUDA is let alone."""
    code = (
        "import sys, torch, torchresample as tr; tr.resize(torch.zeros(3, 8, 8), 4, 'bicubic'); "
        "tr.resize_batch([torch.zeros(3, 8, 8)], (4, 4)); "
        "print('torchvision' in sys.modules, 'torchresample.triton_kernels' in sys.modules, "
        "torch.cuda.is_initialized()); "
        "from torchresample import *; print(Resize(8), 'Resize' in dir(tr))"
    )
    printed = run(sys.executable, "-c", code).splitlines()
    assert printed[0].split() == ["False"] * 3
    assert printed[1] == "Resize(size=8, method='bilinear', like='pillow') True"


def test_a_missing_library_is_named(tmp_path):
    """A checkout that was not installed has none."""
    shutil.copytree(ROOT / "torchresample", tmp_path / "torchresample")
    (tmp_path / "torchresample" / "native" / LIBRARY.name).unlink()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", "import torchresample"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert "ImportError: torchresample's compiled library could not be loaded" in done.stderr
    assert "'pip install .'" in done.stderr


@pytest.mark.parametrize("platform", [("linux", "aarch64"), ("darwin", "arm64")], ids="-".join)
def test_library_compiles_for_other_platforms(tmp_path, platform):
    library = build.compile_library(*build.TARGETS[platform], tmp_path / "build")
    signature = library.read_bytes()[:4]
    assert signature == {"linux": b"\x7fELF", "darwin": b"\xcf\xfa\xed\xfe"}[platform[0]]
