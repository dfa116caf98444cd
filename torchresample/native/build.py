"""Compile the library, as a step of ``pip install``.

The compiler is ``zig c++``, a Clang from the package index, so that a machine needs none of its own
and every machine gets the same code. This file is loaded by setuptools, not by the package.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

from setuptools import Extension
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

FLAGS = (
    *("-std=c++20", "-O3", "-fPIC", "-fvisibility=hidden", "-fno-exceptions", "-fno-rtti"),
    # Products and sums round apart, but where the source allows otherwise.
    "-ffp-contract=off",
    *("-Wall", "-Wextra", "-Werror", "-Wno-psabi"),
)

X86 = {
    "avx512": ("-mcpu=x86_64_v4+avx512vnni", "-mprefer-vector-width=512"),
    "avx2": ("-mcpu=x86_64_v3",),
    "sse2": ("-mcpu=x86_64",),
}
OTHER = {"generic": ()}

TARGETS = {
    ("linux", "x86_64"): ("x86_64-linux-gnu.2.17", X86),
    ("linux", "aarch64"): ("aarch64-linux-gnu.2.17", OTHER),
    ("darwin", "x86_64"): ("x86_64-macos.11.0", X86),
    ("darwin", "arm64"): ("aarch64-macos.11.0", OTHER),
}
"""For each platform the compiler's name of it, and the instruction sets: name -> flags."""


def compile_library(target: str, variants: dict[str, tuple[str, ...]], folder: Path) -> Path:
    """Compile the library for ``target`` into ``folder``, and return where it is.

    Raises:
        subprocess.CalledProcessError: the compiler failed; its output is shown.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = Path(__file__).parent
    command = [sys.executable, "-m", "ziglang", "c++", "-target", target, *FLAGS]
    # The compiler's own cache needs a home directory, which a build may lack.
    environment = {"ZIG_GLOBAL_CACHE_DIR": str(folder.resolve() / "cache"), **os.environ}

    def run(*arguments: str) -> None:
        subprocess.run([*command, *arguments], check=True, env=environment)

    # The object for the oldest CPUs comes first: what two of them share is taken from it.
    objects = [str(folder / "library.o")]
    run("-c", str(source / "library.cpp"), "-o", objects[0])
    for name, flags in reversed(variants.items()):
        objects.append(str(folder / f"{name}.o"))
        define = f"-DFUNCTIONS=functions_{name}"
        run(*flags, define, "-c", str(source / "variant.cpp"), "-o", objects[-1])
    library = folder / "libtorchresample.so"
    run("-shared", "-nostdlib++", "-s", *objects, "-o", str(library))
    return library


class BuildLibrary(build_ext):
    """Compiles one library for every Python version, not an extension module."""

    def get_ext_filename(self, fullname: str) -> str:
        return os.path.join(*fullname.split(".")) + ".so"

    def build_extension(self, ext: Extension) -> None:
        found = TARGETS.get((sys.platform, platform.machine()))
        if found is None:
            raise RuntimeError(
                f"the platform must be one of {sorted(TARGETS)}, "
                f"got {(sys.platform, platform.machine())}"
            )
        library = compile_library(*found, Path(self.build_temp))
        built = Path(self.get_ext_fullpath(ext.name))
        built.parent.mkdir(parents=True, exist_ok=True)
        self.copy_file(str(library), str(built))


class Wheel(bdist_wheel):
    """Tags the wheel as one for every Python version of this platform."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]
