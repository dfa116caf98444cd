"""Accuracy of a pretrained network on your images, per input size and resampling method."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure

from studies import curves, findings, processes, statistics
from studies.data import Dataset, SplitRule
from studies.lab import METHODS, Lab, Settings, check_distinct, check_sizes
from studies.page import Section
from studies.pixels import ORIGINAL, WHOLE, Augment, Pixels
from studies.publish import publish
from studies.run import Cell, Run, short
from studies.train import RECIPES, Optimiser, Recipe

SAME = "same"
TITLES = {
    "finetune": "Fine-tuning at different input sizes and resampling methods",
    "linear": "Frozen features at different input sizes and resampling methods",
    "scratch": "Training from scratch at different input sizes and resampling methods",
}


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """Fine-tune pretrained networks at input sizes and methods; accuracy beside cost."""

    mode: Literal["finetune", "linear", "scratch"] = "finetune"
    """finetune trains all weights, linear a head on frozen features, scratch random weights."""
    sizes: tuple[int, ...] = (64, 128, 224)
    """Sides in pixels of the square that is trained on."""
    test_sizes: tuple[str, ...] = (SAME,)
    """Sides of the square that is validated on: numbers, or 'same' as trained on."""
    methods: tuple[str, ...] = METHODS
    """Methods of torchresample, each as METHOD or METHOD:no-antialias."""
    like: tuple[str, ...] = ("pillow",)
    """Libraries whose pixels to reproduce."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each seed is a training of its own: split, first weights, order and augmentation."""
    split: SplitRule | None = None
    """given: train/ and val/ as they are. resampled: drawn anew by each seed, with as many images
    of each class. The default is resampled for the linear mode, which has no other randomness."""
    augment: Augment | None = None
    """none, flip, or crop: random resized crops and flips. The default follows the mode."""
    epochs: int | None = None
    """How often each image is trained on. The default follows the mode, as do those below."""
    batch: int | None = None
    """Images per step."""
    optimiser: Optimiser | None = None
    """sgd (with Nesterov momentum 0.9) or adamw."""
    lr: float | None = None
    """Learning rate at the top of its schedule."""
    head_lr: float | None = None
    """The new layer's learning rate, as a multiple of lr."""
    weight_decay: float | None = None
    """L2 penalty, or AdamW's decay; biases and norms are spared."""
    label_smoothing: float | None = None
    """Share of the target that is spread over all classes."""
    warmup: float | None = None
    """Share of the steps in which the learning rate rises."""
    controls: bool = True
    """Also train on shuffled labels, once per data set and network: accuracy must be chance."""
    dry_run: bool = False
    """Only list the cells that are left, and the time they are expected to take."""


def recipe_of(config: Config) -> Recipe | None:
    """The mode's recipe, with what the command line changes.

    Raises:
        ValueError: an option that is out of range, or that the linear mode has no use for.
    """
    names = [field.name for field in dataclasses.fields(Recipe)]
    given = {name: getattr(config, name) for name in names if getattr(config, name) is not None}
    if config.mode == "linear":
        if given:
            raise ValueError(f"mode: linear has no use for {', '.join(given)}")
        return None
    recipe = dataclasses.replace(RECIPES[config.mode], **given)
    for name in ("epochs", "batch", "lr", "head_lr"):
        if getattr(recipe, name) <= 0:
            raise ValueError(f"{name}: expected more than 0, got {getattr(recipe, name)}")
    for name in ("weight_decay", "label_smoothing", "warmup"):
        if not 0 <= getattr(recipe, name) < 1:
            raise ValueError(
                f"{name}: expected at least 0 and less than 1, got {getattr(recipe, name)}"
            )
    return recipe


def conditions(config: Config) -> Iterator[tuple[Pixels, Pixels]]:
    """Yield the pixels to train on and to validate on, for every cell of a network and seed."""
    for size, like, method in product(config.sizes, config.like, config.methods):
        if method in (ORIGINAL, WHOLE):
            raise ValueError(f"methods: expected methods that resize, got {method!r}")
        shown = Pixels(method, size, like)
        for test_size in config.test_sizes:
            side = size if test_size == SAME else int(test_size)
            yield shown, dataclasses.replace(shown, size=side)


def keys(config: Config, lab: Lab) -> list[Cell]:
    """The keys of all cells; those that share features or a training stand side by side."""
    recipe, split = recipe_of(config), config.split
    if split is None:
        split = "resampled" if config.mode == "linear" else "given"
    how = {"mode": config.mode, "split": split, "recipe": recipe}
    pairs = list(conditions(config))
    every = []
    for task in lab.tasks:
        # All seeds share the features of frozen networks; a training is shared by what it is
        # validated on.
        if config.mode == "linear":
            order = [(seed, pair) for pair, seed in product(pairs, config.seeds)]
        else:
            order = product(config.seeds, pairs)
        every += [lab.key(task, *pair, seed=seed, **how) for seed, pair in order]
        if config.controls:
            least, _ = min(pairs, key=lambda pair: pair[0].size)
            seed = config.seeds[0]
            every.append(lab.key(task, least, least, seed=seed, labels="shuffled", **how))
    return every


def check(config: Config, lab: Lab) -> None:
    """Refuse what no cell could be measured with.

    Raises:
        ValueError: names the setting.
    """
    check_distinct(config, "sizes", "test_sizes", "methods", "like", "seeds")
    if wrong := [s for s in config.test_sizes if s != SAME and not s.isdecimal()]:
        raise ValueError(f"test_sizes: expected numbers of pixels or 'same', got {wrong}")
    tests = [int(size) for size in config.test_sizes if size != SAME]
    check_sizes("sizes", config.sizes, lab.tasks)
    if tests:
        check_sizes("test_sizes", tests, lab.tasks)
    if min(config.seeds) < 0:
        raise ValueError(f"seeds: expected 0 or more, got {config.seeds}")


def run(
    config: Config,
    *,
    name: str = "transfer",
    datasets: Sequence[Dataset] = (),
    more: Callable[[pd.DataFrame, Lab], list[Section]] = lambda frame, lab: [],
) -> Path:
    """Measure, and write the report; returns the run folder.

    Under torchrun only the first process does; the others train with it, and return ``out``.

    Args:
        config: what to measure.
        name: the study, for the folder.
        datasets: made by the code, instead of ``config.data``.
        more: makes further sections of the report.

    Raises:
        ValueError: settings, data or weights that cannot be used.
        CellsFailedError: cells that failed; the others are reported.
    """
    if config.mode == "linear" or config.engine != "local":
        processes.check_alone(f"mode {config.mode} with engine {config.engine}")
    with processes.joined(config.device):
        lab = Lab(config, datasets, trained=config.mode != "scratch")
        check(config, lab)
        if processes.rank() == 0:
            return _run(config, lab, name, more)
        lab.follow()
        return config.out


def _run(
    config: Config, lab: Lab, name: str, more: Callable[[pd.DataFrame, Lab], list[Section]]
) -> Path:
    every = keys(config, lab)
    study = Run(name, every, device=config.device, out=config.out, known=config.known)
    todo = study.todo()
    expected = lab.expected(todo)
    if config.dry_run:
        for key in todo:
            print(f"{expected(key):8.1f} s  {short(key)}")
        total = timedelta(seconds=round(sum(map(expected, todo))))
        print(f"{len(todo)} of {len(every)} cells are left, about {total}")
        return study.folder
    cells = study.finish(lab.measure, expected, lab.spread())
    frame = findings.to_frame(lab.with_costs(cells))
    sections = [*report(frame), *more(frame, lab)]
    sections.append(Section("The images", findings.describe_images(lab, config.sizes)))
    intro = [
        f"{name}: {line}"
        for name, rows in findings.groups(frame)
        for line in findings.recommend(rows)
    ]
    title, sure = TITLES[config.mode], statistics.HOW_SURE
    return publish(study, title, cells, frame, sections, intro, sure)


def report(frame: pd.DataFrame) -> list[Section]:
    """The sections about accuracy and cost, for each data set and network."""
    sections = []
    for name, rows in findings.groups(frame):
        figure = Figure((13, 5), layout="constrained")
        left, right = figure.subplots(1, 2)
        curves.draw_lines(left, rows, name)
        curves.draw_pareto(right, rows, "accuracy over cost")
        left.legend(frameon=False, fontsize=9)
        sentences = [
            *findings.describe_methods(rows),
            *findings.describe_sizes(rows),
            *findings.describe_gap(rows),
        ]
        note = "Top-1 in % and its 95 % interval. All show the central square of each image."
        sections.append(Section(name, sentences, findings.size_table(rows), [figure], note))
        sections.append(Section(f"{name}: costs", (), findings.cost_table(rows)))
    if controls := findings.describe_controls(frame):
        sections.append(Section("Controls", controls))
    return sections
