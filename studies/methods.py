"""Accuracy per resampling method and size with a pretrained network that is not trained."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

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
    mode: Literal["linear", "none"] = "linear"
    """linear fits a head. none asks a whole classifier as it is: how often its answer is that at
    the original resolution, and how far its probabilities are from those."""
    up_to: int | None = None
    """Enlarge each size to this side again, by the same method: what sources of low resolution
    lose. By default the network sees the sizes themselves."""


def keys(config: Config, lab: Lab) -> list[Cell]:
    """The keys of all cells: per network and data set both originals, then sizes and methods."""
    shown = [Pixels(ORIGINAL, None, config.like), Pixels(WHOLE, None, config.like)]
    for size, method in product(config.sizes, config.methods):
        if config.up_to is None:
            shown.append(Pixels(method, size, config.like))
        else:
            shown.append(Pixels(method, config.up_to, config.like, via=size))
    how = {"mode": config.mode, "split": config.split}
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
        for i, shape in enumerate(task.dataset.shapes):
            if min(shape) < least:
                raise ValueError(
                    f"data: image {images.paths[i] if images.paths else i} must have at least "
                    f"{least} px a side for {task.backbone.name}, has {shape}"
                )


def against_original(rows: pd.DataFrame) -> pd.DataFrame:
    """Compare all sizes and methods with the same square at its own resolution, as one family."""
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
    """Say which sizes and methods lose accuracy against the original resolution."""
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
    if config.up_to is not None:
        check_sizes("up_to", (config.up_to,), lab.tasks)
    for task in lab.tasks:
        if config.mode == "none" and task.backbone.classifier is None:
            raise ValueError(
                f"mode: none needs the classifier of {task.backbone.name}, it has none"
            )
    every = keys(config, lab)
    study = Run("methods", every, device=config.device, out=config.out, known=config.known)
    cells = study.finish(lab.measure, lab.expected(every), lab.spread())
    frame = findings.to_frame(lab.with_costs(cells))
    # A source that was enlarged again is told by its own size.
    seen = frame.assign(
        size=frame["via"].fillna(frame["size"]), test_size=frame["test_via"].fillna(frame.test_size)
    )
    sections, intro = [], []
    for name, rows in findings.groups(seen):
        if config.mode == "none":
            intro += describe_drift(name, rows)
            sections += drift_sections(name, rows)
            continue
        intro += [f"{name}: {line}" for line in describe_originals(rows)]
        sentences = [
            *describe_against_original(rows),
            *findings.describe_methods(rows),
            *findings.describe_gap(rows),
        ]
        note = "Top-1 in % and its 95 % interval. All show the central square of each image."
        if config.up_to is not None:
            note += f" Each size was enlarged to {config.up_to} px again."
        plot = draw(rows, f"{name}: linear head on frozen features", "top-1 (%)")
        sections.append(Section(name, sentences, findings.size_table(rows), [plot], note))
        sections.append(Section(f"{name}: costs", (), findings.cost_table(rows)))
    sections.append(Section("The images", findings.describe_images(lab, config.sizes)))
    title, sure = "Resampling methods and sizes, without training", statistics.HOW_SURE
    return publish(study, title, cells, frame, sections, intro, sure)


def draw(rows: pd.DataFrame, title: str, what: str) -> Figure:
    """A line per method over sizes."""
    figure = Figure((7, 5), layout="constrained")
    axes = figure.add_subplot()
    curves.draw_lines(axes, rows, title)
    axes.set_ylabel(what)
    axes.legend(frameon=False, fontsize=9)
    return figure


def describe_drift(name: str, rows: pd.DataFrame) -> list[str]:
    """Say how often answers stay as they are at the original resolution, per size."""
    rows = rows[~rows.method.isin((ORIGINAL, WHOLE))]
    lines = []
    for size, at in rows.groupby("size", sort=True):
        best, worst = at.loc[at.agreement.idxmax()], at.loc[at.agreement.idxmin()]
        lines.append(
            f"{name}, {size} px: {findings.percent(best.agreement)} % of the answers stay with "
            f"{best.method} (KL {best.kl:.3f} nats), {findings.percent(worst.agreement)} % with "
            f"{worst.method} (KL {worst.kl:.3f} nats)."
        )
    return lines


def drift_sections(name: str, rows: pd.DataFrame) -> list[Section]:
    """Agreement with the original resolution, and accuracy where the classes are the network's."""
    note = "Answers in % that are those at the original resolution, and the 95 % interval."
    rows_and_more = rows[rows.method != ORIGINAL]
    plot = draw(rows_and_more, f"{name}: the classifier as it is", "agreement (%)")
    sections = [Section(name, (), findings.size_table(rows), [plot], note)]
    if "hits" in rows and rows.hits.notna().all():
        accurate = rows.assign(right=rows.hits)
        sections.append(
            Section(
                f"{name}: accuracy",
                [*describe_originals(accurate), *describe_against_original(accurate)],
                findings.size_table(accurate),
                [draw(accurate, f"{name}: the classifier as it is", "top-1 (%)")],
                "Top-1 in %: the folders' classes, in alphabetical order, are the network's.",
            )
        )
    return sections
