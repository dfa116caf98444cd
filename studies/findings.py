"""What a table of cells says: comparisons, sentences, tables and plots."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from studies import statistics
from studies.duplicates import describe_duplicates
from studies.lab import Lab
from studies.run import Cell

GROUP = ["data", "network", "stages"]
"""What is reported apart: no comparison goes across data sets or networks."""
CELL = ["method", "like", "size", "test_method", "test_like", "test_size"]
"""What tells the cells of a group apart, besides the seed."""
REFERENCE = "bilinear"
"""The method that others are compared with at a size: torchvision's default."""


def to_frame(cells: list[Cell]) -> pd.DataFrame:
    """One row per cell; ``cost_ms`` is the time to resize an image and to classify it."""
    frame = pd.DataFrame(cells)
    for name in ("right", "error"):
        if name not in frame:
            frame[name] = None
    frame = frame.astype(
        {
            name: "Int64"
            for name in ("stages", "size", "test_size", "via", "test_via")
            if name in frame
        }
    )
    if "cost_forward_per_s" in frame:
        frame["cost_ms"] = 1000 / frame.cost_forward_per_s + 1000 / frame.cost_resize_per_s
    return frame


def groups(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each group's name, and its cells that were trained on true labels."""
    true = frame[(frame.labels == "given") & frame.right.notna()]
    for (data, network, stages), rows in true.groupby(GROUP, sort=False, dropna=False):
        depth = "" if pd.isna(stages) else f" to stage {stages}"
        yield f"{data}, {network}{depth}", rows


def like_for_like(rows: pd.DataFrame) -> pd.DataFrame:
    """The cells that are validated on the pixels they were trained on."""
    same = rows.method.eq(rows.test_method) & rows.like.eq(rows.test_like)
    return rows[same & rows["size"].eq(rows.test_size).fillna(rows["size"].isna())]


def percent(share: float) -> str:
    """``0.8731`` as ``"87.3"``."""
    return f"{100 * share:.1f}"


def with_interval(top1: float, low: float, high: float) -> str:
    """Top-1 in percent and its 95 % interval: ``"87.3 (84.1-90.0)"``."""
    return f"{percent(top1)} ({percent(low)}-{percent(high)})"


def size_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Top-1 in percent and its interval: methods down, sizes across."""
    summary = statistics.accuracies(rows[rows["size"].notna()], CELL)
    summary["text"] = [with_interval(*row) for row in summary[["top1", "low", "high"]].to_numpy()]
    several = summary.like.nunique() > 1
    summary["method"] = summary.like + "/" + summary.method if several else summary.method
    tested = summary.test_size != summary["size"]
    summary["at"] = (
        summary["size"]
        .map("{} px".format)
        .where(
            ~tested, summary["size"].astype(str) + " px, tested at " + summary.test_size.astype(str)
        )
    )
    wide = summary.pivot(index="method", columns="at", values="text")
    wide = wide.loc[summary.method.unique(), summary["at"].unique()]
    wide.index.name, wide.columns.name = "method", None
    return wide.reset_index()


def methods_at_each_size(rows: pd.DataFrame) -> pd.DataFrame:
    """Compare every method with the reference at the same size; all sizes are one family."""
    found = []
    for _, at in like_for_like(rows).groupby("size", sort=True):
        reference = at[(at.method == REFERENCE) & (at.like == at.like.iloc[0])]
        if len(reference) and at.groupby(CELL, dropna=False).ngroups > 1:
            found.append(statistics.against(at, reference, CELL))
    return statistics.settle(pd.concat(found, ignore_index=True)) if found else pd.DataFrame()


def sizes_of_each_method(rows: pd.DataFrame) -> pd.DataFrame:
    """Compare every size with the largest one of its method; all methods are one family."""
    found = []
    for _, of in like_for_like(rows).groupby(["method", "like"], sort=False):
        largest = of[of["size"] == of["size"].max()]
        if of["size"].nunique() > 1:
            found.append(statistics.against(of, largest, CELL))
    return statistics.settle(pd.concat(found, ignore_index=True)) if found else pd.DataFrame()


def points(row: pd.Series) -> str:
    """A difference in words: ``"-3.2 points (-5.1 to -1.3)"``."""
    return f"{row.points:+.1f} points ({row.points_low:+.1f} to {row.points_high:+.1f})"


def describe_methods(rows: pd.DataFrame) -> list[str]:
    """Say where another filter than the reference makes a difference."""
    found = methods_at_each_size(rows)
    if found.empty:
        return []
    lines = []
    settled = found[found.verdict != statistics.UNSETTLED]
    for verdict, at in settled.groupby("verdict"):
        listed = "; ".join(f"{r.method} at {r['size']} px {points(r)}" for _, r in at.iterrows())
        lines.append(f"{verdict.capitalize()} than {REFERENCE} of the same size: {listed}.")
    open_ = found[found.verdict == statistics.UNSETTLED]
    if len(open_):
        wide = (open_.points_high - open_.points_low).max() / 2
        lines.append(
            f"Not settled: {len(open_)} of {len(found)} comparisons of a method with {REFERENCE} "
            f"at the same size; their intervals reach up to {wide:.1f} points to each side."
        )
    return lines


def describe_sizes(rows: pd.DataFrame) -> list[str]:
    """Below which size accuracy falls, per method."""
    found = sizes_of_each_method(rows)
    if found.empty:
        return []
    lines = []
    for (method, like), of in found.groupby(["method", "like"], sort=False):
        largest = rows[(rows.method == method) & (rows.like == like)]["size"].max()
        worse = of[of.verdict == statistics.WORSE]
        better = of[of.verdict == statistics.BETTER]
        parts = []
        if len(worse):
            row = worse.loc[worse["size"].astype(int).idxmax()]
            parts.append(f"worse from {row['size']} px down, where it is {points(row)}")
        if len(better):
            row = better.loc[better.points.idxmax()]
            parts.append(f"better at {row['size']} px, {points(row)}")
        if len(worse) + len(better) < len(of):
            rest = of[of.verdict == statistics.UNSETTLED]["size"].astype(str)
            parts.append(f"not settled at {', '.join(rest)} px")
        lines.append(f"{method}, against {largest} px: {'; '.join(parts)}.")
    return lines


def recommend(rows: pd.DataFrame) -> list[str]:
    """The cheapest cell that is not significantly worse than the best, in a sentence."""
    rows = like_for_like(rows)
    by = [name for name in ("method", "like", "size") if rows[name].nunique() > 1]
    if "cost_ms" not in rows or not by or rows.cost_ms.isna().all():
        return []
    return [statistics.cheapest_not_worse(rows, "cost_ms", by, "ms per image").sentence]


def describe_gap(rows: pd.DataFrame) -> list[str]:
    """Accuracy on the training images less that on the others, over sizes."""
    rows = like_for_like(rows)
    rows = rows[rows["size"].notna()]
    if rows.empty or "train_top1" not in rows:
        return []
    gap = 100 * (rows.train_top1 - rows.top1).groupby(rows["size"]).mean()
    listed = ", ".join(f"{size} px {value:.1f}" for size, value in gap.items())
    return [f"Training less validation accuracy, in points, mean of methods and seeds: {listed}."]


def describe_controls(frame: pd.DataFrame) -> list[str]:
    """Say whether training on shuffled labels lands at chance."""
    lines = []
    controls = frame[(frame.labels == "shuffled") & frame.right.notna()]
    for (data, network, _), rows in controls.groupby(GROUP, sort=False, dropna=False):
        found = statistics.at_chance(rows, rows.chance.iloc[0])
        verdict = "at chance, as it must be" if found.at_chance else "ABOVE CHANCE: do not trust"
        lines.append(
            f"{data}, {network}: trained on shuffled labels, {percent(found.top1)} % are right; "
            f"chance is {percent(found.chance)} % (p = {found.p:.2g}): {verdict}."
        )
    return lines


def cost_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Costs of each size: images per second, operations and memory."""
    rows = rows[rows["size"].notna()]
    names = [name for name in rows if name.startswith("cost_")]
    table = rows.groupby("test_size")[names].median().reset_index()
    titles = {
        "test_size": "size (px)",
        "cost_resize_per_s": "resized per s",
        "cost_forward_per_s": "forward per s",
        "cost_train_per_s": "trained per s",
        "cost_gflops": "GFLOP per image",
        "cost_forward_mb": "MB, batch forward",
        "cost_train_mb": "MB, batch trained",
        "cost_ms": "ms per image",
    }
    return table.rename(columns=titles).round(2)


def describe_images(lab: Lab, sizes: Sequence[int]) -> list[str]:
    """Images that are smaller than a size, and duplicates, per data set."""
    lines = []
    for dataset in dict.fromkeys(task.dataset.name for task in lab.tasks):
        images = next(task.dataset for task in lab.tasks if task.dataset.name == dataset)
        sides = np.array([min(shape) for shape in images.shapes])
        small = [f"{size} px: {n}" for size in sizes if (n := int((sides < size).sum()))]
        if small:
            lines.append(
                f"{dataset}: images that are smaller than a size, and so are enlarged, of "
                f"{len(sides)}: {', '.join(small)}."
            )
        lines.append(describe_duplicates(images))
    return lines
