"""Fine-tune a small network on two tasks made by the code, or on your images.

Shapes differ in their outlines, gratings only in their frequency. So sampling theory says which
gratings no network can tell apart at a size.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from studies import transfer
from studies.data import Dataset
from studies.lab import Lab
from studies.outcomes import unpack
from studies.page import Section
from studies.pixels import Augment
from studies.pretrain import CHECKPOINT
from studies.synthetic import SHAPES, render_gratings, render_shapes
from studies.theory import kept, predict

SIDE = 96
# Odd multiples of 4: a size that is a multiple of 16 has its limit halfway between two of them,
# and folds those above exactly onto those below.
FREQUENCIES = (4, 12, 20, 28, 36, 44)
RADIUS = (0.14, 0.28)  # of the shapes, over the side
COARSE, FINE = "shapes", "gratings"


@dataclass(frozen=True, kw_only=True)
class Config(transfer.Config):
    """Fine-tune a small network at three sizes and with three methods; accuracy beside cost."""

    data: tuple[str, ...] = ()
    """Your images instead: a folder with train/ and val/, or with a folder per class."""
    weights: tuple[str, ...] = (str(CHECKPOINT),)
    """The bundled network knows shapes and gratings only. For photographs, name one of
    torchvision's, such as ResNet18_Weights.IMAGENET1K_V1, which is downloaded."""
    # These divide 96 px, so that plain sampling takes every k-th pixel, as theory assumes.
    sizes: tuple[int, ...] = (16, 32, 48)
    """Sides in pixels; the images made by the code have 96."""
    # No filter, a gradual one, and one that is close to ideal.
    methods: tuple[str, ...] = ("nearest", "bilinear", "lanczos3")
    """Methods of torchresample, each as METHOD or METHOD:no-antialias."""
    seeds: tuple[int, ...] = (0,)
    """Each seed is a training of its own."""
    epochs: int | None = 5
    """How often each image is trained on."""
    augment: Augment | None = "flip"
    """none, flip, or crop."""
    train: int = 100
    """Images per class to train on, of those made by the code."""
    val: int = 50
    """Images per class to validate on."""


def make_images(task: str, per_class: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """``per_class`` images ``[N, 3, 96, 96]`` of each class, and labels; gratings stand or lie."""
    generator = torch.Generator().manual_seed(seed)
    count = len(SHAPES) if task == COARSE else len(FREQUENCIES)
    labels = torch.arange(count).repeat_interleave(per_class)
    if task == COARSE:
        return render_shapes(labels, SIDE, generator, RADIUS), labels
    frequency = torch.tensor(FREQUENCIES, dtype=torch.float32)[labels]
    angle = math.pi / 2 * torch.randint(0, 2, labels.shape, generator=generator)
    return render_gratings(frequency, angle, SIDE, generator), labels


def make_task(task: str, train: int, val: int) -> Dataset:
    """A task's training and validation images, drawn from different seeds."""
    classes = tuple(SHAPES) if task == COARSE else tuple(map(str, FREQUENCIES))
    images, labels = make_images(task, train, 0)
    more, more_labels = make_images(task, val, 1)
    held_out = np.arange(len(images) + len(more)) >= len(images)
    every = torch.cat([labels, more_labels]).numpy()
    return Dataset(task, classes, [*images, *more], every, held_out)


def with_theory(rows: pd.DataFrame, like: str) -> pd.DataFrame:
    """Add to the gratings' rows the gratings below the Nyquist limit, and what theory predicts."""
    survive = [" ".join(map(str, kept(FREQUENCIES, size))) for size in rows["size"]]
    predicted = [
        predict(FREQUENCIES, SIDE, size, method, like)
        for method, size in zip(rows.method, rows["size"], strict=True)
    ]
    return rows.assign(nyquist=rows["size"] / 2, kept=survive, predicted=predicted)


def theory_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Per size, which gratings survive, and per method the predicted and the measured top-1."""
    table = []
    for size, at in rows.groupby("size"):
        row = {"size": f"{size} px", "limit": f"{size / 2:g}", "gratings kept": at.kept.iloc[0]}
        for method, of in at.groupby("method", sort=False):
            row[method] = f"{100 * of.predicted.iloc[0]:.0f} / {100 * of.top1.mean():.0f}"
        table.append(row)
    return pd.DataFrame(table)


def recall(row: pd.Series, labels: np.ndarray) -> np.ndarray:
    """Top-1 per frequency ``[6]`` of one cell."""
    right = unpack(row.right)
    truth = labels[unpack(row.val)]
    return np.array([right[truth == label].mean() for label in range(len(FREQUENCIES))])


def draw_recall(axes: Axes, rows: pd.DataFrame, labels: np.ndarray, method: str) -> None:
    """Top-1 per frequency and size as a map, with the Nyquist limit as a staircase."""
    columns = rows[(rows.method == method) & (rows.seed == rows.seed.min())].sort_values("size")
    grid = 100 * np.stack([recall(row, labels) for _, row in columns.iterrows()], 1)
    axes.imshow(grid, origin="lower", cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (y, x), value in np.ndenumerate(grid):
        colour = "white" if value > 60 else "black"
        axes.text(x, y, f"{value:.0f}", ha="center", va="center", color=colour)
    steps = [len(kept(FREQUENCIES, size)) - 0.5 for size in columns["size"]]
    axes.stairs(steps, np.arange(len(columns) + 1) - 0.5, baseline=None, color="#D55E00", lw=2.5)
    axes.set_xticks(range(len(columns)), columns["size"].astype(str))
    axes.set_yticks(range(len(FREQUENCIES)), list(map(str, FREQUENCIES)))
    axes.set_xlabel("side (px); red: the Nyquist limit")
    axes.set_ylabel("class: cycles per image")
    axes.set_title(f"gratings right per class (%): {method}")


def describe_theory(rows: pd.DataFrame, labels: np.ndarray) -> list[str]:
    """Say how far measurement and theory are apart."""
    lines = []
    for method, at in rows.groupby("method", sort=False):
        right = np.stack([recall(row, labels) for _, row in at.iterrows()])  # [cells, frequencies]
        below = 2 * np.array(FREQUENCIES) < at["size"].to_numpy(int)[:, None]
        lines.append(
            f"{method}: {_percent(right[below])} of the gratings below the limit are right, "
            f"{_percent(right[~below])} of those above it."
        )
    known = rows[rows.predicted.notna()]
    if len(known):
        gap = 100 * (known.top1 - known.predicted)
        far = known.loc[gap.abs().idxmax()]
        lines.append(
            f"Theory is {gap.abs().mean():.1f} points off on average; farthest for {far.method} at "
            f"{far['size']} px: {100 * far.predicted:.1f} predicted, {100 * far.top1:.1f} measured."
        )
    return lines


def _percent(share: np.ndarray) -> str:
    return f"{100 * share.mean():.0f} %" if share.size else "none"


def theory_section(frame: pd.DataFrame, lab: Lab, like: str) -> Section:
    """Prediction beside measurement, as a table, in words and class by class."""
    rows = frame[(frame.data == FINE) & (frame.labels == "given") & (frame.like == like)]
    rows = with_theory(rows[rows.right.notna()], like)
    labels = next(task.dataset.labels for task in lab.tasks if task.dataset.name == FINE)
    methods = list(rows.method.unique())
    figure = Figure((4.7 * len(methods), 4.2), layout="constrained")
    for axes, method in zip(
        figure.subplots(1, len(methods), squeeze=False)[0], methods, strict=True
    ):
        draw_recall(axes, rows, labels, method)
    return Section(
        "Sampling theory for the gratings: top-1 in %, predicted / measured",
        describe_theory(rows, labels),
        theory_table(rows),
        [figure],
        "A size carries frequencies up to half as many cycles per image as it has pixels.",
    )


def run(config: Config) -> Path:
    """Fine-tune on both tasks or on the user's images; returns the run folder."""
    if min(config.train, config.val) < 1:
        raise ValueError(f"train, val: expected at least 1, got {config.train}, {config.val}")
    if config.data:
        return transfer.run(config)
    tasks = [make_task(task, config.train, config.val) for task in (COARSE, FINE)]
    return transfer.run(
        config,
        name="quickstart",
        datasets=tasks,
        more=lambda frame, lab: [theory_section(frame, lab, config.like[0])],
    )
