"""Accuracy per resampling method and size with a pretrained network that is not trained."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from studies import curves, findings, processes, statistics
from studies.data import SplitRule
from studies.lab import METHODS, Lab, Settings, check_distinct, check_sizes
from studies.page import Section
from studies.pixels import ORIGINAL, WHOLE, Pixels
from studies.publish import publish
from studies.run import Cell, Run


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """Top-1 of a linear head on frozen features, per method and size, against the original pixels.

    Every cell shows the central square of an image, cut out before it is resized. So does the
    baseline, at the image's own resolution. The whole image stands beside it and is not compared.
    """

    sizes: tuple[int, ...] = (32, 48, 64, 96, 128, 224)
    """Sides of the square in pixels."""
    methods: tuple[str, ...] = METHODS
    """Methods of torchresample, each as METHOD or METHOD:no-antialias."""
    like: str = "pillow"
    """The library whose pixels to reproduce."""
    seeds: tuple[int, ...] = (0,)
    """With a resampled split, each seed is a split of its own."""
    split: SplitRule = "given"
    """given: train/ and val/ as they are. resampled: drawn anew by each seed."""


def keys(config: Config, lab: Lab) -> list[Cell]:
    """The keys of all cells: per network and data set both originals, then sizes and methods."""
    shown = [Pixels(ORIGINAL, None, config.like), Pixels(WHOLE, None, config.like)]
    shown += [Pixels(m, size, config.like) for size, m in product(config.sizes, config.methods)]
    how = {"mode": "linear", "split": config.split}
    return [
        lab.key(task, pixels, pixels, seed=seed, **how)
        for task in lab.tasks
        for pixels, seed in product(shown, config.seeds)
    ]


def check_originals(lab: Lab) -> None:
    """Refuse images that are too small for a network at their own resolution.

    Raises:
        ValueError: names the first one.
    """
    for task in lab.tasks:
        images, least = task.dataset.images, task.backbone.stride
        for i, image in enumerate(images):
            if min(image.shape[1:]) < least:
                raise ValueError(
                    f"data: image {images.paths[i] if images.paths else i} must have at least "
                    f"{least} px a side for {task.backbone.name}, has {tuple(image.shape[1:])}"
                )


def against_original(rows: pd.DataFrame) -> pd.DataFrame:
    """Every size and method against the same square at its own resolution, as one family."""
    original = rows[rows.method == ORIGINAL]
    return statistics.against(rows[rows.method != WHOLE], original, findings.CELL)


def describe_originals(rows: pd.DataFrame) -> list[str]:
    """Accuracy at the original resolution, of the central square and of the whole image."""
    lines = []
    for method, what in (
        (ORIGINAL, "the central square at its own resolution, which all cells are compared with"),
        (WHOLE, "the whole image, uncropped, which is a wider view and not compared"),
    ):
        top1 = findings.with_interval(*statistics.interval(rows[rows.method == method]))
        lines.append(f"{top1} % are right on {what}.")
    return lines


def describe_against_original(rows: pd.DataFrame) -> list[str]:
    """Which sizes lose accuracy against the original resolution, and with which methods."""
    found = against_original(rows)
    lines = []
    for size, at in found.groupby("size", sort=True):
        parts = []
        for verdict in (statistics.WORSE, statistics.BETTER, statistics.UNSETTLED):
            listed = at[at.verdict == verdict]
            if len(listed):
                names = ", ".join(f"{row.method} {row.points:+.1f}" for row in listed.itertuples())
                parts.append(f"{verdict}: {names}")
        lines.append(f"{size} px against the original resolution, in points: {'; '.join(parts)}.")
    return lines


def run(config: Config) -> Path:
    """Measure, and write the report; returns the run folder.

    Raises:
        ValueError: settings, data or weights that cannot be used.
        CellsFailedError: cells that failed; the others are reported.
    """
    processes.check_alone("methods")
    check_distinct(config, "sizes", "methods", "seeds")
    lab = Lab(config)
    check_sizes("sizes", config.sizes, lab.tasks)
    check_originals(lab)
    every = keys(config, lab)
    study = Run("methods", every, device=config.device, out=config.out, known=config.known)
    cells = study.finish(lab.measure, lab.expected(every), lab.spread())
    frame = findings.to_frame(lab.with_costs(cells))
    sections, intro = [], []
    for name, rows in findings.groups(frame):
        intro += [f"{name}: {line}" for line in describe_originals(rows)]
        figure = Figure((7, 5), layout="constrained")
        axes = figure.add_subplot()
        curves.draw_lines(axes, rows, f"{name}: linear head on frozen features")
        axes.legend(frameon=False, fontsize=9)
        sentences = [
            *describe_against_original(rows),
            *findings.describe_methods(rows),
            *findings.describe_gap(rows),
        ]
        note = "Top-1 in % and its 95 % interval. All show the central square of each image."
        sections.append(Section(name, sentences, findings.size_table(rows), [figure], note))
        sections.append(Section(f"{name}: costs", (), findings.cost_table(rows)))
    sections.append(Section("The images", findings.describe_images(lab, config.sizes)))
    title, sure = "Resampling methods and sizes, without training", statistics.HOW_SURE
    return publish(study, title, cells, frame, sections, intro, sure)
