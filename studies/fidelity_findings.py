"""From the cells of the fidelity study to a table and sentences."""

import numpy as np
import pandas as pd

from studies.charts import pareto
from studies.measures import parse
from studies.run import Cell

NEAR = 0.1
"""Decibels of PSNR that are taken for no loss in recommendations."""
STILL = 0.005
"""Output pixels of shift that are not reported."""


NOTE = (
    "Sorted by the mean PSNR of luma (dB) after down and up. Numbers are means over data sets and "
    "factors below 1, but for PSNR at one factor, and for shift and overshoot, which are the "
    "largest. A star marks what nothing else beats in both PSNR and cost."
)
DEFINITIONS = (
    "PSNR and SSIM (window of Wang et al. 2004: Gaussian, sigma 1.5, 11 pixels) are of luma (ITU-R "
    "BT.601, full range, not rounded) of uint8 RGB images, over all pixels, borders included, with "
    "a data range of 255; the mean over images. Tables in the literature scale luma to 16 to 235, "
    "which adds 1.32 dB.",
    "Each image is cropped around its centre to sides that the factor divides.",
    "Factors below 1: the method shrinks, one method of Pillow (column up) enlarges, the same for "
    "all. Factors above 1: Pillow's box, the mean of blocks, shrinks, and the method enlarges.",
    "Aliasing is the share of the result's energy at wrong frequencies, where the input is white "
    "noise along one axis: all of what lay above the Nyquist limit of the coarser grid, and images "
    "of the spectrum below it. It follows from float64 sinusoids of all frequencies and phases.",
    "Loss is that of amplitude at half the limit. Shift is that of waves up to a quarter of the "
    "limit, in pixels of the result; it is positive to the right or down. Overshoot is that of a "
    "step between two pixels, the largest over its places, in percent of its height.",
    "Flat images are uint8 RGB, of each of 256 greys. Light is that of a resized zone plate (sRGB, "
    "uint8) over the zone plate's.",
    "Cost is the median time of a uint8 RGB image of a megapixel, channels last, in rounds of "
    "random order, over the megapixels of the input.",
)


def complete(frame: pd.DataFrame, cells: list[Cell]) -> pd.DataFrame:
    """The rows of methods of which no cell failed."""
    failed = {(cell["like"], cell["method"]) for cell in cells if cell.get("error")}
    if not failed or frame.empty:
        return frame
    names = zip(frame.like, frame.method, strict=True)
    return frame[[name not in failed for name in names]].reset_index(drop=True)


def shrinking(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of factors below 1; all, where there are none."""
    below = frame[[parse(factor) < 1 for factor in frame.factor]]
    return below if len(below) else frame


def compare(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per method and profile: means over data sets and the factors that shrink.

    Shift and overshoot are the largest. Sorted by ``psnr``, the best first. Of methods with the
    same pixels the first one stands for all on the Pareto ``front``.
    """
    main = shrinking(frame)
    groups = main.groupby(["like", "method", "antialias"], sort=False)
    table = groups[["psnr", "ssim"]].mean()
    wide = frame.pivot_table("psnr", ["like", "method", "antialias"], "factor", sort=False)
    table = table.join(wide.add_prefix("psnr "))
    table["aliasing"] = 100 * groups.aliasing.mean()
    table["loss_db"] = groups.loss_db.mean()
    table["shift"] = [max(*rows.shift_x, *rows.shift_y, key=abs) for _, rows in groups]
    table["overshoot"] = groups.overshoot.max()
    table["light"] = 100 * groups.light.mean()
    table["cost"] = groups.cost_ms_per_mp.mean()
    first = table[~groups.pixels.agg(" ".join).duplicated()]
    table["front"] = pareto(first.cost, first.psnr)
    table = table.fillna({"front": False}).astype({"front": bool}).reset_index()
    return table.sort_values(["psnr", "cost"], ascending=[False, True], kind="stable")


UNITS = {
    "aliasing": "aliasing (%)",
    "loss_db": "loss (dB)",
    "shift": "shift (px)",
    "overshoot": "overshoot (%)",
    "light": "light (%)",
    "cost": "cost (ms/MP)",
}


def printed(table: pd.DataFrame) -> pd.DataFrame:
    """The table as people read it: rounded, with units; a star marks the Pareto front."""
    digits = {"ssim": 4, "aliasing": 1, "overshoot": 1, "light": 0}
    numbers = table.select_dtypes("number").columns
    rounded = table.round({name: digits.get(name, 2) for name in numbers})
    rounded["front"] = np.where(table.front, "*", "")
    return rounded.drop(columns="antialias").rename(columns=UNITS).reset_index(drop=True)


def _name(row: pd.Series) -> str:
    return f"{row.like} {row.method}"


def _names(rows: pd.DataFrame) -> str:
    return ", ".join(rows.like + " " + rows.method)


def per_image(frame: pd.DataFrame) -> dict[tuple[str, str], np.ndarray]:
    """Average each image's PSNR over factors, by profile and method."""
    rows = shrinking(frame)
    rows = rows.assign(each=[np.array(text.split(), float) for text in rows.psnr_images])
    return {
        key: np.concatenate([np.mean(list(at.each), 0) for _, at in group.groupby("data")])
        for key, group in rows.groupby(["like", "method"])
    }


def quality_words(frame: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """Say what keeps most, what does so cheaply, and where the default stands."""
    best, worst, each = table.iloc[0], table.iloc[-1], per_image(frame)
    n = len(each[best.like, best.method])
    factors = ", ".join(shrinking(frame).factor.unique())
    near = table[table.psnr >= best.psnr - NEAR]
    cheap = near.loc[near.cost.idxmin()]
    lines = [
        f"{_name(best)} keeps most: {best.psnr:.2f} dB on average over factors {factors} and {n} "
        f"images; {_name(worst)} keeps least: {worst.psnr:.2f} dB.",
        f"The cheapest within {NEAR} dB of the best is {_name(cheap)}: {cheap.psnr:.2f} dB for "
        f"{cheap.cost:.2f} ms per megapixel, against {best.cost:.2f} ms.",
    ]
    usual = table[(table.like == "pillow") & (table.method == "bilinear")]
    for row in usual.itertuples():
        behind = each[cheap.like, cheap.method] - each[row.like, row.method]
        lines.append(
            f"{row.like} {row.method}, the default of resize, is {-behind.mean():+.2f} dB against "
            f"{_name(cheap)}, and worse on {(behind > 0).sum()} of {n} images; it takes "
            f"{row.cost:.2f} ms per megapixel."
        )
    front = table[table.front].sort_values("cost")
    steps = [f"{r.like} {r.method} ({r.psnr:.2f} dB, {r.cost:.2f} ms)" for r in front.itertuples()]
    lines.append(f"Nothing is both better and cheaper than {', '.join(steps)}.")
    return lines


def enlarging_words(frame: pd.DataFrame) -> list[str]:
    """The best and the cheapest at each factor above 1; for equal pixels the first one stands."""
    lines = []
    for factor, rows in frame.groupby("factor", sort=False):
        if parse(factor) < 1:
            continue
        groups = rows.groupby(["like", "method"], sort=False)
        at = groups[["psnr", "cost_ms_per_mp"]].mean()
        at = at[~groups.pixels.agg(" ".join).duplicated()].reset_index()
        best, worst = at.loc[at.psnr.idxmax()], at.loc[at.psnr.idxmin()]
        near = at[at.psnr >= best.psnr - NEAR]
        cheap = near.loc[near.cost_ms_per_mp.idxmin()]
        lines += [
            f"Enlarging by {factor}: {_name(best)} is best with {best.psnr:.2f} dB, {_name(worst)} "
            f"worst with {worst.psnr:.2f} dB.",
            f"The cheapest within {NEAR} dB of the best is {_name(cheap)}: {cheap.psnr:.2f} dB for "
            f"{cheap.cost_ms_per_mp:.2f} ms per megapixel of input, against "
            f"{best.cost_ms_per_mp:.2f} ms.",
        ]
    if lines:
        lines.append(
            "The small images are means of blocks, so that a method which sharpens makes up for "
            "their blur: this is no ranking for small images that are sharp."
        )
    return lines


def antialias_words(frame: pd.DataFrame) -> list[str]:
    """Say what antialiasing gains at each factor below 1."""
    lines = []
    for factor, rows in frame.groupby("factor", sort=False):
        if parse(factor) > 1:
            continue
        bare = rows.assign(method=rows.method.str.partition(":")[0])
        pairs = bare.pivot_table("psnr", ["like", "method"], "antialias").dropna()
        if pairs.shape[1] < 2 or pairs.empty:
            continue
        gain = pairs[True] - pairs[False]
        low, high = " ".join(gain.idxmin()), " ".join(gain.idxmax())
        lines.append(
            f"At {factor} antialiasing changes PSNR by {gain.mean():+.2f} dB on average over "
            f"{len(gain)} methods: from {gain.min():+.2f} ({low}) to {gain.max():+.2f} ({high})."
        )
    return lines


def shift_words(frame: pd.DataFrame) -> list[str]:
    """Name the methods whose results are shifted."""
    rows = frame.drop_duplicates(["factor", "like", "method"])
    moved = rows[(rows.shift_x.abs() > STILL) | (rows.shift_y.abs() > STILL)]
    lines = []
    for (factor, x, y), at in moved.groupby(["factor", "shift_x", "shift_y"], sort=False):
        across, along = "right" if x > 0 else "left", "down" if y > 0 else "up"
        lines.append(
            f"At {factor} results lie {abs(x):.3g} output pixels too far {across} and {abs(y):.3g} "
            f"too far {along} by {_names(at)}."
        )
    return [*lines, f"All others lie within {STILL} output pixels of their place."]


def signal_words(frame: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """The extremes of aliasing, loss and overshoot, and errors of flat images."""
    table = table.sort_index()  # so that of equal ones the first profile is named
    least, most = table.loc[table.aliasing.idxmin()], table.loc[table.aliasing.idxmax()]
    sharp = table[table.loss_db < 1]
    lines = [
        f"Of white noise {_name(least)} makes least aliases, {least.aliasing:.1f} % of the "
        f"result's energy, and loses {least.loss_db:.2f} dB at half the limit; {_name(most)} makes "
        f"most, {most.aliasing:.1f} %."
    ]
    if len(sharp):
        row = sharp.loc[sharp.aliasing.idxmin()]
        lines.append(
            f"Of the methods that lose less than 1 dB there, {_name(row)} makes least: "
            f"{row.aliasing:.1f} %, losing {row.loss_db:.2f} dB."
        )
    high, calm = table.loc[table.overshoot.idxmax()], table[table.overshoot < 0.01]
    lines.append(f"{_name(high)} overshoots a step most, by {high.overshoot:.1f} % of its height.")
    if len(calm):
        row = calm.loc[calm.psnr.idxmax()]
        lines.append(
            f"{len(calm)} methods do not overshoot, of which {_name(row)} keeps most: "
            f"{row.psnr:.2f} dB."
        )
    wrong = frame[frame.flat_error > 0].drop_duplicates(["like", "method"])
    lines.append(
        f"Flat greys come back changed, by up to {frame.flat_error.max():.0f} levels, by "
        f"{_names(wrong)}."
        if len(wrong)
        else "Every flat grey comes back unchanged, in all 256 levels."
    )
    return lines


def light_words(table: pd.DataFrame) -> list[str]:
    """Compare linear light with the same methods of Pillow's profile."""
    rows = table[table.antialias].set_index("method")
    pair = [rows[rows.like == like] for like in ("pillow", "linear-light")]
    ours, theirs = (half.loc[pair[0].index.intersection(pair[1].index)] for half in pair)
    if ours.empty:
        return []
    change = theirs.psnr - ours.psnr
    return [
        f"linear-light keeps {theirs.light.mean():.0f} % of a zone plate's light, pillow "
        f"{ours.light.mean():.0f} %, on average over {len(ours)} antialiased methods; PSNR of sRGB "
        f"values changes by {change.mean():+.2f} dB, and the time is "
        f"{(theirs.cost / ours.cost).mean():.1f} times as long."
    ]


def same_words(frame: pd.DataFrame) -> list[str]:
    """Name the methods that have the same pixels in every cell."""
    names = frame.assign(name=frame.like + " " + frame.method)
    digests = names.groupby("name", sort=False).pixels.agg(" ".join)
    groups = [", ".join(at.index) for _, at in digests.groupby(digests, sort=False) if len(at) > 1]
    return [f"The same pixels in every cell: {group}." for group in groups]


def trust_words(frame: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """Say whether scores and data sets agree, and how much times vary."""
    main, lines = shrinking(frame), []
    sets = main.pivot_table("psnr", ["like", "method"], "data", sort=False)
    for what, scores in (
        ("PSNR and by SSIM", table[["psnr", "ssim"]]),
        ("PSNR on " + " and on ".join(sets), sets),
    ):
        if scores.shape[1] > 1 and scores.nunique().min() > 2:
            least = scores.corr("spearman").min().min()
            lines.append(f"The orders by {what} have a rank correlation of at least {least:.2f}.")
    spread = (main.cost_p80_ms_per_mp / main.cost_p20_ms_per_mp).median()
    lines.append(
        f"Of the times of a method the 80th percentile is {spread:.2f} times the 20th (median over "
        "methods): methods whose costs differ by less are not told apart."
    )
    return lines


def intro(frame: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """List what matters most, the most important first."""
    return quality_words(frame, table) + antialias_words(frame)


def describe(frame: pd.DataFrame, table: pd.DataFrame) -> dict[str, list[str]]:
    """The other sentences, by their headings."""
    return {
        "Enlarging": enlarging_words(frame),
        "Shifts": shift_words(frame),
        "Signals": signal_words(frame, table) + light_words(table),
        "Equal methods": same_words(frame),
    }
