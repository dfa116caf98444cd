"""A study's run folder: finished cells survive a kill, and a rerun skips them."""

import dataclasses
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

Cell = dict[str, Any]
ROOT = Path("runs")
PACKAGES = ("torchresample", "torch", "torchvision", "numpy", "pillow", "scikit-learn")


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a whole file or nothing."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(part, path)


def commit() -> str:
    """The checkout's commit, marked where the code differs from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")


def environment(device: str) -> dict[str, Any]:
    """What a result depends on besides the configuration."""
    on_gpu = torch.device(device).type == "cuda"
    return {
        **{name.replace("-", "_"): metadata.version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name(device) if on_gpu else device,
        "cpu": _processor(),
        "threads": torch.get_num_threads(),
        "commit": commit(),
    }


class Run:
    """The folder ``runs/NAME-HASH`` of one configuration and release of torchresample.

    Args:
        name: the study.
        config: its frozen dataclass, with a field ``device``.
        identity: replaces fields that are only addresses (of data, of weights) by what was found
            there, so that the hash follows the content.
    """

    def __init__(self, name: str, config: Any, identity: dict[str, str]) -> None:
        settings = dataclasses.asdict(config)
        resampler = {"torchresample": metadata.version("torchresample")}
        text = json.dumps({"study": name} | settings | identity | resampler, sort_keys=True)
        self.folder = ROOT / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
        self.environment = environment(config.device)
        self.folder.mkdir(parents=True, exist_ok=True)
        record = {"study": name, "config": settings, "identity": identity}
        write_atomically(self.folder / "config.json", json.dumps(record, indent=2) + "\n")
        write_atomically(self.folder / "env.json", json.dumps(self.environment, indent=2) + "\n")
        self.path = self.folder / "cells.jsonl"

    def cells(self) -> list[Cell]:
        """The finished cells; a last line that a kill cut short is dropped from the file."""
        if not self.path.exists():
            return []
        text = self.path.read_bytes()
        whole = text.rfind(b"\n") + 1
        if whole < len(text):
            write_atomically(self.path, text[:whole])
        return [json.loads(line) for line in text[:whole].splitlines()]

    def finish(self, keys: Iterable[Cell], measure: Callable[[Cell], Cell]) -> list[Cell]:
        """Measure the cells that are not there yet.

        Args:
            keys: what tells a cell from the others, in the order wanted.
            measure: from the key to the result; both, and the environment, are written as a line.

        Returns:
            One cell per key, in the order of the keys.
        """
        keys = list(keys)
        found = {_name(cell, keys[0]): cell for cell in self.cells()}
        todo = [key for key in keys if _name(key, key) not in found]
        with open(self.path, "a", encoding="utf-8") as stream:
            for key in tqdm(todo, "cells", disable=None):
                cell = key | measure(key) | self.environment
                stream.write(json.dumps(cell) + "\n")
                stream.flush()
                found[_name(key, key)] = cell
        return [found[_name(key, key)] for key in keys]


def _name(cell: Cell, key: Cell) -> str:
    """A cell's key as text, which can be compared after a round trip through JSON."""
    return json.dumps({field: cell[field] for field in key})
