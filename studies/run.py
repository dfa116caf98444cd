"""A study's cells: found by what they are, kept one by one, reported as they finish."""

import dataclasses
import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm

import torchresample
from studies import processes

Cell = dict[str, Any]
"""One row of a study's table: its key (what was done), its outcome, and the environment."""

Measure = Callable[[Cell, Callable[[float], None]], Cell]
"""From a cell's key to its outcome; calls its second argument with the share that is done."""

Spread = Callable[[list[Cell]], Iterator[tuple[Cell, Cell]]]
"""From cells' keys to keys and outcomes, in the order in which they are measured."""

ROOT = Path("runs")
PACKAGES = ("torch", "torchvision", "numpy", "pillow", "scikit-learn")
LOG_SECONDS = 20
"""Without a terminal a line is written for every cell, but not more often than this."""


class CellsFailedError(Exception):
    """Some cells ended in an error; the others are finished and reported."""


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a whole file or nothing."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


@cache
def commit() -> str:
    """Return the checkout's commit when this was first asked, marked where the code differs."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


@cache
def processor() -> str:
    """Return the CPU's name, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")


def environment(device: str) -> Cell:
    """Return what a result depends on besides its key: versions, machine, command."""
    on_gpu = torch.device(device).type == "cuda"
    return {
        "torchresample": torchresample.__version__,
        **{name.replace("-", "_"): metadata.version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name(device) if on_gpu else device,
        "cpu": processor(),
        "threads": torch.get_num_threads(),
        "processes": processes.count(),
        "commit": commit(),
        "command": shlex.join(["python", *sys.orig_argv[1:]]),
    }


def settings_of(config: Any) -> Cell:
    """The fields of a study's configuration that change its results."""
    return {k: v for k, v in dataclasses.asdict(config).items() if k != "out"}


def as_text(key: Cell) -> dict[str, str]:
    """A key as text, in which ``8`` is ``8.0``, as pandas writes it.

    Fields that are empty are left out, so that a new one does not change older cells.
    """
    return {
        name: str(value).removesuffix(".0")
        for name, value in key.items()
        if value is not None and value != ""
    }


def attempt(measure: Measure, key: Cell, tick: Callable[[float], None]) -> Cell:
    """A cell's outcome, or its ``error`` in a line: one cell must not end the others."""
    try:
        return measure(key, tick)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}


def read_cells(table: Path, fields: Sequence[str]) -> dict[str, Cell]:
    """The finished cells in a CSV file, by their keys as text.

    Raises:
        ValueError: a file that cannot be read, or without any such column.
    """
    try:
        texts = pd.read_csv(table, dtype=str, keep_default_na=False)
        values = pd.read_csv(table)
    except (OSError, ValueError) as error:
        raise ValueError(f"known: cannot read {table} as a table: {error}") from error
    fields = [name for name in fields if name in texts]
    if not fields:
        raise ValueError(f"known: {table} must be a table of this study, has {list(texts)}")
    cells = values.astype(object).where(values.notna(), None).to_dict("records")
    keys = texts[fields].to_dict("records")
    return {
        json.dumps(as_text(key), sort_keys=True): cell
        for key, cell in zip(keys, cells, strict=True)
        if not cell.get("error")
    }


class Run:
    """Cells that belong together, and the folder ``OUT/NAME-HASH`` of their report.

    A finished cell is a file in ``OUT/cells``, found by its key, by what all cells have in common
    and by the release of torchresample. So a study that is given one more size or seed computes
    only what is new, and a kill loses only the cell that was at work.

    Args:
        name: the study.
        keys: what tells each cell from all others, in the order of the table.
        common: what every cell depends on besides its key.
        device: where the cells are measured.
        out: the folder of cells and reports.
        known: CSV files whose rows count as finished cells.
    """

    def __init__(
        self,
        name: str,
        keys: Iterable[Cell],
        common: Cell | None = None,
        *,
        device: str = "cpu",
        out: Path = ROOT,
        known: Iterable[Path] = (),
    ) -> None:
        self.keys, self.common = list(keys), common or {}
        self.environment = environment(device)
        self.cells = out / "cells"
        text = json.dumps([name, [self._identity(key) for key in self.keys]])
        self.folder = out / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
        fields = list(self.keys[0]) if self.keys else []
        self._known = {k: v for table in known for k, v in read_cells(table, fields).items()}

    def _identity(self, key: Cell) -> str:
        whole = self.common | key | {"release": torchresample.__version__}
        return json.dumps(as_text(whole), sort_keys=True)

    def _path(self, key: Cell) -> Path:
        return self.cells / f"{hashlib.sha256(self._identity(key).encode()).hexdigest()[:24]}.json"

    def find(self, key: Cell) -> Cell | None:
        """The finished cell with this key, if there is one."""
        path = self._path(key)
        if path.exists():
            return json.loads(path.read_bytes())
        known = self._known.get(json.dumps(as_text(key), sort_keys=True))
        return known and known | key  # which a CSV file may have changed: 8 to 8.0

    def add(self, key: Cell, outcome: Cell) -> Cell:
        """Keep a finished cell, in whose outcome may be the environment it was measured in."""
        cell = key | outcome | self.environment | outcome
        self.cells.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path(key), json.dumps(cell) + "\n")
        return cell

    def todo(self) -> list[Cell]:
        """The keys of cells that are not finished."""
        return [key for key in self.keys if self.find(key) is None]

    def finish(
        self,
        measure: Measure,
        expected: Callable[[Cell], float] = lambda key: 1.0,
        spread: Spread | None = None,
    ) -> list[Cell]:
        """Measure the cells that are not there yet.

        A cell whose measurement raises an error is not kept, so that the next run tries again. It
        stands in the result with its ``error``.

        Args:
            measure: makes a cell's outcome.
            expected: how long a cell takes, in seconds or in any other unit, for the progress bar.
            spread: measures the cells instead, in any order; they are kept in this process.

        Returns:
            One cell per key, in the order of the keys.
        """
        todo = self.todo()
        progress = Progress(len(self.keys) - len(todo), [expected(key) for key in todo])
        failed = {}
        one_by_one = ((key, attempt(measure, key, progress.tick)) for key in todo)
        with closing(spread(todo) if spread and todo else one_by_one) as measured:
            for key, outcome in measured:
                if error := outcome.get("error"):
                    failed[self._identity(key)] = error
                    progress.say(f"failed: {short(key)}: {error}")
                else:
                    self.add(key, outcome)
                progress.next(short(key), expected(key))
        progress.close()
        return [
            self.find(key) or key | {"error": failed[self._identity(key)]} | self.environment
            for key in self.keys
        ]


def short(key: Cell) -> str:
    """The fields of a key that tell people which cell it is."""
    shown = (str(v) for k, v in key.items() if v is not None and not k.endswith("digest"))
    return " ".join(shown)[:70]


class Progress:
    """A progress bar over cells and the steps within them; lines where there is no terminal.

    Args:
        finished: cells that were there before.
        expected: how long each remaining cell takes, in any unit.
    """

    def __init__(self, finished: int, expected: Sequence[float]) -> None:
        self.expected, self.done, self.count = list(expected), 0.0, 0
        if finished:
            print(f"resumed: {finished} of {finished + len(expected)} cells were finished before")
        self.terminal = sys.stderr.isatty()
        self.began = self.written = time.monotonic()
        self.bar = tqdm(
            total=sum(expected),
            disable=None,
            smoothing=0,  # the remaining time follows from all that was done
            bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left",
        )
        self.bar.set_description(f"0/{len(expected)} cells", refresh=False)

    def tick(self, share: float) -> None:
        """Show that a share of the cell at work is done."""
        self.bar.n = self.done + share * self.expected[self.count]
        self.bar.refresh()

    def next(self, what: str, expected: float) -> None:
        """Show that a cell is finished, which was expected to take so long."""
        self.done += expected
        self.count += 1
        self.bar.n = self.done
        self.bar.set_description(f"{self.count}/{len(self.expected)} cells")
        now = time.monotonic()
        if not self.terminal and (
            now - self.written > LOG_SECONDS or self.count == len(self.expected)
        ):
            self.written = now
            remaining = (now - self.began) * (sum(self.expected) / max(self.done, 1e-9) - 1)
            left = timedelta(seconds=round(remaining))
            self.say(f"{self.count}/{len(self.expected)} cells, about {left} left: {what}")

    def say(self, line: str) -> None:
        """Write a line that the bar does not overwrite."""
        self.bar.write(line, file=sys.stderr)

    def close(self) -> None:
        """End the bar."""
        self.bar.close()
