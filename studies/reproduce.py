"""Measure one row of a table again, and say what came out otherwise."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import tyro

from studies.lab import Lab, Settings
from studies.outcomes import unpack
from studies.run import Cell, environment

WHOLE_NUMBERS = ("stages", "seed", "size", "test_size", "epochs", "batch")
LAST_OF_KEY = "weights_digest"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Measure one row of a results.csv again, and print the difference."""

    table: Annotated[Path, tyro.conf.Positional]
    """A results.csv of transfer, methods or skew."""
    row: int
    """Which row, from 0, not counting the header."""
    data: str | None = None
    """Where the images are now, if not where the row says."""
    weights: str | None = None
    """Where the weights are now, if not where the row says."""
    device: str = "cpu"
    """Where to run the network."""


def read_row(table: Path, row: int) -> Cell:
    """A row of a table, with ``None`` for what is empty.

    Raises:
        ValueError: a file that is no table of such cells, a row that it does not have, or one that
            failed.
    """
    try:
        frame = pd.read_csv(table, low_memory=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"table: cannot read {table}: {error}") from error
    if missing := [
        n for n in (LAST_OF_KEY, "right", "data_from", "weights_from") if n not in frame
    ]:
        raise ValueError(f"table: {table} must have a column for each of {missing}")
    if not 0 <= row < len(frame):
        raise ValueError(f"row: expected 0 to {len(frame) - 1}, got {row}")
    cell = {k: None if pd.isna(v) else v for k, v in frame.iloc[row].to_dict().items()}
    if cell["right"] is None:
        raise ValueError(f"row: expected a row with an outcome, got one that failed: {row}")
    return cell | {k: int(cell[k]) for k in WHOLE_NUMBERS if cell[k] is not None}


def run(config: Config) -> bool:
    """Measure the row again; returns whether every answer is the same.

    Raises:
        ValueError: no such row, or data or weights that are not those of the row.
    """
    old = read_row(config.table, config.row)
    names = list(old)
    key = {name: old[name] for name in names[: names.index(LAST_OF_KEY) + 1]}
    threads = torch.get_num_threads()
    torch.set_num_threads(int(old["threads"]))  # sums in another order differ in their last bits
    try:
        settings = Settings(
            data=(config.data or old["data_from"],),
            weights=(config.weights or old["weights_from"],),
            stages=() if key["stages"] is None else (key["stages"],),
            head=key["head"],
            device=config.device,
            precision=key["precision"],
        )
        lab = Lab(settings, trained=key["mode"] != "scratch")
        for name, found in zip(("data", "weights"), lab.tasks[0].identity, strict=False):
            if found != key[f"{name}_digest"]:
                raise ValueError(
                    f"{name}: expected those of the row, with the digest {key[f'{name}_digest']}, "
                    f"got {found}"
                )
        new = lab.measure(key)
    finally:
        torch.set_num_threads(threads)
    return report(old, new, environment(config.device))


def report(old: Cell, new: Cell, here: Cell) -> bool:
    """Print both accuracies, how many answers differ, and what else is not as it was."""
    differ = int(np.sum(unpack(old["right"]) != unpack(new["right"])))
    print(f"top-1 then {100 * old['top1']:.2f} %, now {100 * new['top1']:.2f} %")
    print(f"{differ} of {new['n']} images are right in one and wrong in the other")
    print(
        f"training images then {100 * old['train_top1']:.2f} %, now {100 * new['train_top1']:.2f} %"
    )
    for name, value in here.items():
        if name not in ("command", "threads") and str(old.get(name)) != str(value):
            print(f"{name} then {old.get(name)}, now {value}")
    return not differ
