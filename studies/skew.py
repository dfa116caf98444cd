"""What a silent change of resizing between training and serving costs."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pandas as pd

from studies import findings, processes, statistics
from studies.data import SplitRule
from studies.lab import Lab, Settings, check_distinct, check_sizes
from studies.page import Section
from studies.pixels import Pixels
from studies.publish import publish
from studies.run import Cell, Run

PIXELS = (
    "pillow/nearest",
    "pillow/bilinear",
    "pillow/bicubic",
    "pillow/lanczos3",
    "pillow/box",
    "pillow/bilinear:reduced",
    "torch/bilinear",
    "torch/bilinear:float",
    "torch/bilinear:no-antialias",
    "torch/bicubic:no-antialias",
    "opencv/nearest",
    "opencv/bilinear",
    "opencv/bicubic",
    "opencv/area",
    "skimage/bilinear",
    "tf/bilinear",
)
"""What pipelines use: Pillow's filters, also behind a reduced JPEG; torchvision with and without
antialiasing; OpenCV's defaults; and the defaults of scikit-image and TensorFlow."""


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """Top-1 trained on the pixels of one library and served with those of another."""

    sizes: tuple[int, ...] = (64, 128, 224)
    """Sides of the square in pixels."""
    pixels: tuple[str, ...] = PIXELS
    """LIKE/METHOD, each trained on and each served. A METHOD may be followed by :no-antialias,
    by :float (it resizes floats) and by :reduced (a JPEG is decoded at 1/2, 1/4 or 1/8 first)."""
    seeds: tuple[int, ...] = (0,)
    """With a resampled split, each seed is a split of its own."""
    split: SplitRule = "given"
    """given: train/ and val/ as they are. resampled: drawn anew by each seed."""


def parse(text: str, size: int) -> Pixels:
    """``"LIKE/METHOD"`` as pixels of a size.

    Raises:
        ValueError: no slash, or an unknown library or method.
    """
    like, slash, method = text.partition("/")
    if not slash:
        raise ValueError(f"pixels: expected LIKE/METHOD, such as pillow/bilinear, got {text!r}")
    return Pixels(method, size, like)


def keys(config: Config, lab: Lab) -> list[Cell]:
    """The keys of all cells: per network, data set and size every pair of pixels."""
    how = {"mode": "linear", "split": config.split}
    every = []
    for task, size, seed in product(lab.tasks, config.sizes, config.seeds):
        pixels = [parse(text, size) for text in config.pixels]
        every += [lab.key(task, *pair, seed=seed, **how) for pair in product(pixels, pixels)]
    return every


def served_otherwise(rows: pd.DataFrame) -> pd.DataFrame:
    """Compare every pair with the same training served as it was trained, as one family."""
    found = []
    for _, of in rows.groupby(["method", "like", "size"], sort=False):
        found.append(statistics.against(of, findings.like_for_like(of), findings.CELL))
    table = statistics.settle(pd.concat(found, ignore_index=True))
    trained, served = table.like + "/" + table.method, table.test_like + "/" + table.test_method
    return table.assign(trained=trained, served=served)


def matrix(differences: pd.DataFrame) -> pd.DataFrame:
    """Points lost or gained: trained down, served across; settled ones have a star."""
    text = differences.points.map("{:+.1f}".format)
    text = text.where(differences.verdict == statistics.UNSETTLED, text + "*")
    wide = differences.assign(text=text).pivot(index="trained", columns="served", values="text")
    order = list(dict.fromkeys(differences.trained))
    wide = wide.reindex(index=order, columns=order).fillna("")
    return wide.rename_axis(columns=None).reset_index()


def describe(differences: pd.DataFrame) -> list[str]:
    """The pairs that cost most, and those that cost nothing that can be seen."""
    lines = []
    worse = differences[differences.verdict == statistics.WORSE].sort_values("points")
    for row in worse.head(10).itertuples():
        lines.append(
            f"Trained on {row.trained}, served with {row.served} at {row.size} px: "
            f"{findings.points(row)}."
        )
    same = differences[(differences.lost + differences.gained) == 0]
    lines.append(
        f"{len(worse)} of {len(differences)} pairs are worse than serving what was trained on; "
        f"{len(same)} give the same answer for every image."
    )
    return lines


def matrices(name: str, differences: pd.DataFrame) -> list[Section]:
    """The matrix of each size."""
    note = "Points of top-1 against serving what was trained on (rows). A star: it is settled."
    return [
        Section(f"{name}, {size} px", table=matrix(at), note=note)
        for size, at in differences.groupby("size", sort=True)
    ]


def run(config: Config) -> Path:
    """Measure, and write the report; returns the run folder."""
    processes.check_alone("skew")
    check_distinct(config, "sizes", "pixels", "seeds")
    lab = Lab(config)
    check_sizes("sizes", config.sizes, lab.tasks)
    every = keys(config, lab)
    study = Run("skew", every, device=config.device, out=config.out, known=config.known)
    cells = study.finish(lab.measure, lab.expected(study.todo()), lab.spread())
    frame = findings.to_frame(cells)
    parts, intro = [], []
    for name, rows in findings.groups(frame):
        differences = served_otherwise(rows)
        intro += [f"{name}: {line}" for line in describe(differences)]
        parts += matrices(name, differences)
    title, sure = "Trained like one library, served like another", statistics.HOW_SURE
    return publish(study, title, cells, frame, parts, intro, sure)
