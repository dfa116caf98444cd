"""What small sizes cost, on two tasks made by the code, beside what sampling theory predicts.

Shapes differ in their outlines, gratings only in their frequency, so that theory says which of
them no network can tell apart at a size.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from studies import report
from studies.data import Dataset, Split
from studies.pretrain import CHECKPOINT
from studies.probe import ORIGINAL, Settings, check, measure_all
from studies.run import Cell
from studies.synthetic import SHAPES, render_gratings, render_shapes
from studies.theory import kept, predict

SIDE = 96
# Odd multiples of 4: a size that is a multiple of 16 has its limit halfway between two of them,
# and folds those above exactly onto those below.
FREQUENCIES = (4, 12, 20, 28, 36, 44)
RADIUS = (0.14, 0.28)  # of the shapes, over the side
COARSE, FINE = "shapes", "gratings"
# No filter, a gradual one, and one that is close to ideal.
FEATURED = ("nearest", "bilinear", "lanczos3")


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """Top-1 per method and size on shapes and gratings made by the code, beside theory."""

    # These divide 96 px, so that plain sampling takes every k-th pixel, as theory assumes.
    sizes: tuple[int, ...] = (16, 32, 48)
    """Sides in pixels; the originals have 96."""
    weights: str = str(CHECKPOINT)
    """A ResNet's state_dict; `python -m studies pretrain` writes the default one."""
    train: int = 100
    """Images per class to fit the head on."""
    val: int = 50
    """Images per class to test it on."""
    seed: int = 0
    """Of the images."""


def make_split(task: str, per_class: int, seed: int) -> Split:
    """``per_class`` images ``[3, 96, 96]`` of each class; gratings stand upright or lie."""
    generator = torch.Generator().manual_seed(seed)
    count = len(SHAPES) if task == COARSE else len(FREQUENCIES)
    labels = torch.arange(count).repeat_interleave(per_class)
    if task == COARSE:
        images = render_shapes(labels, SIDE, generator, RADIUS)
    else:
        frequency = torch.tensor(FREQUENCIES, dtype=torch.float32)[labels]
        angle = math.pi / 2 * torch.randint(0, 2, labels.shape, generator=generator)
        images = render_gratings(frequency, angle, SIDE, generator)
    return Split(list(images), labels)


def make_task(task: str, config: Config) -> Dataset:
    """A task's training and validation images, drawn from different seeds."""
    classes = tuple(SHAPES) if task == COARSE else tuple(map(str, FREQUENCIES))
    train = make_split(task, config.train, 2 * config.seed)
    return Dataset(task, classes, train, make_split(task, config.val, 2 * config.seed + 1))


def with_theory(frame: pd.DataFrame, like: str) -> pd.DataFrame:
    """Add to each row the Nyquist limit, and to the gratings' rows what theory predicts."""
    sizes = frame["size"].fillna(SIDE).astype(int)
    predicted = []
    for task, method, size in zip(frame.task, frame.method, sizes, strict=True):
        if task == COARSE:
            predicted.append(math.nan)
        elif method == ORIGINAL:
            predicted.append(1.0)
        else:
            predicted.append(predict(FREQUENCIES, SIDE, size, method, like))
    survive = [" ".join(map(str, kept(FREQUENCIES, size))) for size in sizes]
    return frame.assign(nyquist=sizes / 2, frequencies_kept=survive, predicted_top1=predicted)


def theory_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Per size, which gratings survive, and per method the predicted and the measured top-1."""
    fine = frame[(frame.task == FINE) & (frame.method != ORIGINAL)]
    rows = {}
    for size, at in fine.groupby("size"):
        row = {"limit": f"{size / 2:g}", "gratings kept": at.frequencies_kept.iloc[0]}
        for cell in at.itertuples():
            row[cell.method] = f"{100 * cell.predicted_top1:.0f} / {100 * cell.top1:.0f}"
        rows[f"{size} px"] = row
    return pd.DataFrame(rows)


def recall(cell: Cell) -> np.ndarray:
    """Top-1 per frequency: the validation images are stored class by class."""
    right = np.array([mark == "1" for mark in cell["right"]])
    return right.reshape(len(FREQUENCIES), -1).mean(1)


def draw_recall(axes: Axes, cells: list[Cell], method: str) -> None:
    """Top-1 per frequency and size as a map, with the Nyquist limit as a staircase."""
    columns = [c for c in cells if c["task"] == FINE and c["method"] in (method, ORIGINAL)]
    columns.sort(key=lambda cell: cell["size"] or SIDE)
    grid = 100 * np.stack([recall(cell) for cell in columns], 1)  # [frequencies, columns]
    axes.imshow(grid, origin="lower", cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (y, x), value in np.ndenumerate(grid):
        colour = "white" if value > 60 else "black"
        axes.text(x, y, f"{value:.0f}", ha="center", va="center", color=colour)
    steps = [len(kept(FREQUENCIES, cell["size"] or SIDE)) - 0.5 for cell in columns]
    edges = np.arange(len(columns) + 1) - 0.5
    axes.stairs(steps, edges, baseline=None, color="#D55E00", lw=2.5)
    labels = [str(cell["size"] or f"original ({SIDE})") for cell in columns]
    axes.set_xticks(range(len(columns)), labels)
    axes.set_yticks(range(len(FREQUENCIES)), list(map(str, FREQUENCIES)))
    axes.set_xlabel("side (px); red: the Nyquist limit")
    axes.set_ylabel("class: cycles per image")
    axes.set_title(f"gratings right per class (%): {method}")


def draw_theory(axes: Axes, rows: pd.DataFrame) -> None:
    """Measured over predicted top-1, a mark per method and size."""
    axes.plot([0, 100], [0, 100], color="0.35", lw=1.2, ls="--")
    for i, (_, line) in enumerate(rows.groupby("method", sort=False)):
        x, y = 100 * line.predicted_top1, 100 * line.top1
        error = np.stack((y - 100 * line.low, 100 * line.high - y)).clip(0)
        axes.errorbar(x, y, error, **report.style(i), ls="", elinewidth=0.8, capsize=2)
    axes.set_xlabel("predicted top-1 (%)")
    axes.set_ylabel("measured top-1 (%)")
    axes.set_title("gratings: theory and measurement")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def draw(frame: pd.DataFrame, cells: list[Cell]) -> Figure:
    """Both tasks over size, theory beside measurement, and the gratings class by class."""
    figure = Figure((14, 8.5), layout="constrained")
    top, bottom = figure.subplots(2, 3)
    report.draw_lines(top[0], frame[frame.task == COARSE], "coarse task: shapes")
    report.draw_lines(top[1], frame[frame.task == FINE], "fine task: gratings")
    draw_theory(top[2], frame[(frame.task == FINE) & (frame.method != ORIGINAL)])
    for axes in top:
        axes.set_ylim(0, 104)
    top[0].legend(frameon=False, fontsize=9)
    for axes, method in zip(bottom, FEATURED, strict=True):
        if method in set(frame.method):
            draw_recall(axes, cells, method)
        else:
            axes.remove()
    return figure


def describe_theory(frame: pd.DataFrame, cells: list[Cell]) -> list[str]:
    """How far measurement and theory are apart, in words."""
    rows = frame[(frame.task == FINE) & frame["size"].notna()]
    lines = []
    for method, at in rows.groupby("method", sort=False):
        right = np.stack([recall(cells[i]) for i in at.index])  # [sizes, frequencies]
        below = 2 * np.array(FREQUENCIES) < at["size"].to_numpy(int)[:, None]
        lines.append(
            f"{method}: {_percent(right[below])} of the gratings below the limit are right, "
            f"{_percent(right[~below])} of those above it."
        )
    known = rows[rows.predicted_top1.notna()]
    if len(known):
        gap = 100 * (known.top1 - known.predicted_top1)
        far = known.loc[gap.abs().idxmax()]
        inside = ((known.low <= known.predicted_top1) & (known.predicted_top1 <= known.high)).sum()
        lines.append(
            f"Theory is {gap.abs().mean():.1f} points off on average, and inside the interval of "
            f"{inside} of {len(known)} cells; farthest off for {far.method} at {far['size']} px: "
            f"{100 * far.predicted_top1:.1f} predicted, {100 * far.top1:.1f} measured."
        )
    return lines


def _percent(share: np.ndarray) -> str:
    return f"{100 * share.mean():.0f} %" if share.size else "none"


def run(config: Config) -> Path:
    """Measure both tasks, and write the report; returns the run folder."""
    check(config)
    if min(config.train, config.val) < 1:
        raise ValueError(f"train, val: expected at least 1, got {config.train}, {config.val}")
    tasks = [make_task(task, config) for task in (COARSE, FINE)]
    folder, cells = measure_all("quickstart", config, tasks)
    frame = with_theory(report.to_frame(cells), config.like)
    heading = "Sampling theory for the gratings: top-1 in %, predicted / measured"
    comparison = theory_table(frame).to_string()
    sections = [
        report.Section("Top-1", report.table(frame)),
        report.Section(heading, comparison, describe_theory(frame, cells)),
        *report.task_sections(frame),
    ]
    report.write(folder, frame, draw(frame, cells), sections)
    return folder
