"""Plots of accuracy: over size, and over cost."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from studies import findings, statistics
from studies.pixels import ORIGINAL
from studies.plots import style


def draw_lines(axes: Axes, rows: pd.DataFrame, title: str) -> None:
    """Top-1 over size, a line per method; the original resolution as a band, where it is there."""
    summary = statistics.accuracies(findings.like_for_like(rows), findings.CELL)
    for base in summary[summary.method == ORIGINAL].itertuples():
        axes.axhline(100 * base.top1, color="0.35", ls="--", lw=1.2, label="original resolution")
        axes.axhspan(100 * base.low, 100 * base.high, color="0.5", alpha=0.15, lw=0)
    cells = summary[summary["size"].notna()]
    lines = cells.groupby(["method", "like"], sort=False)
    for i, ((method, like), line) in enumerate(lines):
        # Side by side, so that the intervals can be read.
        x = line["size"].astype(float) * 1.018 ** (i - (len(lines) - 1) / 2)
        y = 100 * line.top1
        error = np.stack((y - 100 * line.low, 100 * line.high - y)).clip(0)
        label = method if cells.like.nunique() == 1 else f"{like}/{method}"
        axes.errorbar(x, y, error, **style(i), lw=1.4, elinewidth=0.8, capsize=2, label=label)
    ticks = sorted(cells["size"].unique())
    axes.set_xscale("log")
    axes.set_xticks([float(tick) for tick in ticks], [str(int(tick)) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("side of the square that the network sees (px)")
    axes.set_ylabel("top-1 (%)")
    axes.set_title(title, parse_math=False)  # a folder's name may have dollar signs
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def draw_pareto(axes: Axes, rows: pd.DataFrame, title: str) -> None:
    """Top-1 over the time that an image takes; the cells that none beats in both are joined."""
    by = [*findings.CELL, "cost_ms"]
    summary = statistics.accuracies(rows[rows["size"].notna()], by)
    summary = summary.sort_values(["cost_ms", "top1"], ascending=[True, False])
    for i, (method, at) in enumerate(summary.groupby("method", sort=False)):
        axes.plot(at.cost_ms, 100 * at.top1, ls="", **style(i), label=method)
    front = summary[summary.top1 > summary.top1.cummax().shift(fill_value=-1)]
    axes.plot(front.cost_ms, 100 * front.top1, color="0.6", lw=1, zorder=0)
    # One label a size, at the best of it: methods of one size cost nearly the same.
    for row in front.drop_duplicates("test_size", keep="last").itertuples():
        axes.annotate(
            f"{row.test_size} px",
            (row.cost_ms, 100 * row.top1),
            textcoords="offset points",
            xytext=(-3, 3),  # no cell stands to the upper left, as it would beat this one
            ha="right",
            fontsize=8,
        )
    axes.set_xscale("log")
    axes.margins(x=0.1)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    axes.set_xlabel("resizing and forward pass, ms per image")
    axes.set_ylabel("top-1 (%)")
    axes.set_title(title, parse_math=False)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
