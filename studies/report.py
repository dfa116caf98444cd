"""From finished cells to a tidy frame, a table, a plot and words."""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import binomtest

from studies.probe import ORIGINAL
from studies.run import Cell, write_atomically

# Okabe & Ito's colours, which stay apart for colour-blind readers.
COLOURS = ("#D55E00", "#E69F00", "#0072B2", "#56B4E9", "#009E73", "#CC79A7", "#000000", "#999999")
MARKERS = "osD^vPX*"
LEVEL = 0.05


@dataclass(frozen=True)
class Section:
    """A heading, and under it a table and sentences."""

    heading: str
    table: str = ""
    sentences: Sequence[str] = ()

    def to_text(self) -> str:
        """As Markdown, which also reads well in a terminal."""
        parts = [f"## {self.heading}"]
        if self.table:
            parts.append(f"```\n{self.table}\n```")
        if self.sentences:
            parts.append("\n".join(f"- {sentence}" for sentence in self.sentences))
        return "\n\n".join(parts)


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of a proportion (Wilson 1927)."""
    interval = binomtest(right, n).proportion_ci(1 - LEVEL, "wilson")
    return interval.low, interval.high


def paired(right: str, reference: str) -> tuple[int, int, float]:
    """Images lost and gained against a reference on the same images, and McNemar's exact p."""
    pairs = list(zip(right, reference, strict=True))
    lost, gained = pairs.count(("0", "1")), pairs.count(("1", "0"))
    return lost, gained, binomtest(lost, lost + gained).pvalue if lost + gained else 1.0


def to_frame(cells: list[Cell]) -> pd.DataFrame:
    """One row per cell: top-1 with its interval, compared with the task's baseline.

    The column ``right`` says of each validation image whether it was, as text.
    """
    baselines = {cell["task"]: cell["right"] for cell in cells if cell["method"] == ORIGINAL}
    rows = []
    for cell in cells:
        n, right = len(cell["right"]), cell["right"].count("1")
        low, high = wilson(right, n)
        reference = baselines[cell["task"]]
        lost, gained, p = paired(cell["right"], reference)
        scores = {"n": n, "top1": right / n, "low": low, "high": high}
        scores |= {"delta": (right - reference.count("1")) / n}
        scores |= {"lost": lost, "gained": gained, "p_value": p}
        head = {key: cell[key] for key in ("task", "method", "size")}
        rows.append(head | scores | cell)
    frame = pd.DataFrame(rows)
    return frame.astype({"size": "Int64"})  # the baseline has none


def table(frame: pd.DataFrame) -> str:
    """Per task, methods down and sizes across: top-1 in percent and its interval."""
    parts = []
    for task, rows in frame.groupby("task", sort=False):
        text = rows.assign(
            text=[
                f"{100 * r.top1:.1f} ({100 * r.low:.0f}-{100 * r.high:.0f})"
                for r in rows.itertuples()
            ]
        )
        base = text[text.method == ORIGINAL].iloc[0]
        cells = text[text.method != ORIGINAL].set_index(["method", "size"]).text
        wide = cells.unstack("size")[cells.index.unique("size")]
        wide = wide.loc[cells.index.unique("method")]
        wide.columns = [f"{size} px" for size in wide.columns]
        wide.index.name = None
        parts.append(
            f"{task}: top-1 in % (95 % interval), n = {base.n}; original resolution {base.text}\n"
            + wide.to_string()
        )
    return "\n\n".join(parts)


def style(i: int) -> dict:
    """Colour and marker of the i-th method."""
    return {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)], "ms": 5}


def draw_lines(axes: Axes, rows: pd.DataFrame, title: str) -> None:
    """One task's top-1 over size, a line per method, the baseline as a band."""
    base = rows[rows.method == ORIGINAL].iloc[0]
    axes.axhline(100 * base.top1, color="0.35", ls="--", lw=1.2, label="original resolution")
    axes.axhspan(100 * base.low, 100 * base.high, color="0.5", alpha=0.15, lw=0)
    lines = rows[rows.method != ORIGINAL].groupby("method", sort=False)
    for i, (method, line) in enumerate(lines):
        # Side by side, so that the intervals can be read.
        x = line["size"].astype(float) * 1.018 ** (i - (len(lines) - 1) / 2)
        y = 100 * line.top1
        error = np.stack((y - 100 * line.low, 100 * line.high - y)).clip(0)
        axes.errorbar(x, y, error, **style(i), lw=1.4, elinewidth=0.8, capsize=2, label=method)
    ticks = sorted(rows["size"].dropna().unique())
    axes.set_xscale("log")
    axes.set_xticks([float(tick) for tick in ticks], [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("shorter side after resizing (px)")
    axes.set_ylabel("top-1 (%)")
    axes.set_title(title, parse_math=False)  # a folder's name may have dollar signs
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _antialias_words(cells: pd.DataFrame) -> list[str]:
    """What the wider filter gains, for each method that was measured with and without it."""
    right = cells.pivot(index="size", columns="method", values="right")
    lines = []
    for without in right.columns[right.columns.str.endswith(":no-antialias")]:
        method = without.partition(":")[0]
        if method not in right:
            continue
        pairs = [paired(*row) for row in zip(right[without], right[method], strict=True)]
        gains = [100 * (lost - gained) / cells.n.iloc[0] for lost, gained, _ in pairs]
        called = [
            f"{gain:+.1f} at {size} px"
            for size, gain, (*_, p) in zip(right.index, gains, pairs, strict=True)
            if p < LEVEL
        ]
        lines.append(
            f"Antialiasing changes {method} by {np.mean(gains):+.1f} points on average over sizes; "
            f"sizes where the same images tell (p < {LEVEL}): {', '.join(called) or 'none'}."
        )
    return lines


def describe(rows: pd.DataFrame) -> list[str]:
    """One task's findings as sentences, from its rows."""
    base, cells = rows[rows.method == ORIGINAL].iloc[0], rows[rows.method != ORIGINAL]
    lines = [
        f"At original resolution {100 * base.top1:.1f} % of {base.n} validation images are right "
        f"(95 % interval {100 * base.low:.1f} to {100 * base.high:.1f})."
    ]
    differ = cells[cells.p_value < LEVEL]
    below = differ[differ.delta < 0]
    lines.append(
        f"{len(below)} of {len(cells)} cells are below that on the same images, "
        f"{len(differ) - len(below)} above (exact McNemar, p < {LEVEL}; by chance alone up to "
        f"{LEVEL / 2 * len(cells):.1f} each)."
    )
    for size, at in cells.groupby("size"):
        best, worst = at.loc[at.top1.idxmax()], at.loc[at.top1.idxmin()]
        fallen = at.method[at.index.isin(below.index)]
        lines.append(
            f"{size} px: {best.method} {100 * best.top1:.1f} at best, {worst.method} "
            f"{100 * worst.top1:.1f} at worst; below the original: "
            + ("all." if len(fallen) == len(at) else f"{', '.join(fallen) or 'none'}.")
        )
    half = 50 * (cells.high - cells.low).max()
    lines += _antialias_words(cells)
    lines.append(
        f"An interval is up to {half:.1f} points to each side, so smaller differences between "
        "two cells need more validation images to be called."
    )
    return lines


def provenance(frame: pd.DataFrame) -> Section:
    """What the cells were measured with; a resumed run may hold several versions."""
    fields = ("torchresample", "torch", "commit", "device", "cpu")
    values = {field: ", ".join(map(str, frame[field].unique())) for field in fields}
    return Section("Measured with", sentences=[f"{k}: {v}" for k, v in values.items()])


def task_sections(frame: pd.DataFrame) -> list[Section]:
    """A section of sentences per task."""
    groups = frame.groupby("task", sort=False)
    return [Section(str(task), sentences=describe(rows)) for task, rows in groups]


def write(folder: Path, frame: pd.DataFrame, figure: Figure, sections: list[Section]) -> None:
    """``results.csv``, ``plot.png`` and ``summary.md``; the words also go to the terminal."""
    write_atomically(
        folder / "results.csv", frame.drop(columns="right", errors="ignore").to_csv(index=False)
    )
    picture = io.BytesIO()
    with warnings.catch_warnings():
        # A folder's name may have letters that the font lacks; CSV and summary have them.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(picture, format="png", dpi=150)
    write_atomically(folder / "plot.png", picture.getvalue())
    text = "\n\n".join(section.to_text() for section in [*sections, provenance(frame)])
    write_atomically(folder / "summary.md", text + "\n")
    print(f"\n{text}\n")
    for what, name in (("CSV", "results.csv"), ("plot", "plot.png"), ("summary", "summary.md")):
        print(f"{what}: {folder / name}")
