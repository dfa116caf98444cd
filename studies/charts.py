"""The pictures of the fidelity study: quality over cost, responses, zone plates."""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TypeVar

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.fft import dctn, idctn

from studies.measures import Variant, respond, zone_plate
from studies.plots import COLOURS, style
from studies.signals import Response

T = TypeVar("T")

DPI = 72
"""Pixels of a zone plate per inch. With a point for each, the page's SVG has them as they are, and
wherever they are shown larger that is done smoothly: to leave some out would add patterns."""
LINES, COLUMNS = 6, 4
"""Curves of a panel, and panels of a row."""
FLOOR = -50.0
"""The lowest amplitude that is drawn, in decibels."""
SAME = 1e-3
"""Amplitudes up to which responses are drawn as one."""
ROUNDING = 2
"""Levels up to which zone plates are shown as one."""
SHOWN = 80
"""About the side in pixels of a resized zone plate."""
TILES, GAP, LINE = 8, 10, 8
"""Zone plates of a row, pixels between them, and the height of a line of their names."""
CAPTION = 150
"""Pixels that the zone plate's caption takes."""
NAMES = 4
"""Methods that a label lists before it counts the rest."""
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)))


def grouped(
    items: Sequence[tuple[Variant, T]], same: Callable[[T, T], bool]
) -> list[tuple[str, T]]:
    """Group equal items, in order, each under the names of all that equal it."""
    groups: list[tuple[list[Variant], T]] = []
    for variant, item in items:
        for members, first in groups:
            if same(first, item):
                members.append(variant)
                break
        else:
            groups.append(([variant], item))
    return [(label(members), item) for members, item in groups]


def label(members: Sequence[Variant]) -> str:
    """``box (pillow, tf); area (pillow)``; ``plain`` is what could antialias and does not.

    Where a method is a member with and without antialiasing, it is named once.
    """
    profiles: dict[str, list[str]] = {}
    for variant in members:
        name = variant.method
        if replace(variant, antialias=not variant.antialias) not in members:
            if name.startswith("nearest"):
                name += " antialiased" if variant.antialias else ""
            elif not variant.antialias:
                name += " plain"
        likes = profiles.setdefault(name, [])
        if variant.like not in likes:
            likes.append(variant.like)
    names = [f"{name} ({', '.join(likes)})" for name, likes in profiles.items()]
    if len(names) > NAMES + 1:
        names = [*names[:NAMES], f"and {len(names) - NAMES} more"]
    return "; ".join(names)


# Quality over cost.


def pareto(cost: pd.Series, gain: pd.Series) -> pd.Series:
    """Tell whether nothing else gains more at no more cost, or as much at less."""
    return pd.Series(
        [
            not (((cost <= c) & (gain > g)) | ((cost < c) & (gain >= g))).any()
            for c, g in zip(cost, gain, strict=True)
        ],
        cost.index,
    )


def draw_quality(table: pd.DataFrame) -> Figure:
    """PSNR over cost, a mark per method, hollow where it does not antialias.

    Args:
        table: columns ``like, method, antialias, psnr, cost, front``; the front is numbered.
    """
    figure = Figure((10, 7), layout="constrained")
    axes = figure.add_subplot()
    front = table[table.front].sort_values("cost")
    axes.step(front.cost, front.psnr, where="post", color="0.6", lw=1, zorder=0)
    for i, (like, rows) in enumerate(table.groupby("like")):
        look = style(i) | {"ls": "", "mew": 1.2, "alpha": 0.85}
        hollow, full = rows[~rows.antialias], rows[rows.antialias]
        axes.plot(hollow.cost, hollow.psnr, **look, mfc="none")
        axes.plot(full.cost, full.psnr, **look, label=like)
    for i, row in enumerate(front.itertuples(), 1):
        axes.annotate(
            str(i), (row.cost, row.psnr), (-5, 5), textcoords="offset points", weight="bold"
        )
    names = [f"{i}  {r.like} {r.method}" for i, r in enumerate(front.itertuples(), 1)]
    axes.text(0.42, 0.03, "Pareto front\n" + "\n".join(names), transform=axes.transAxes)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("ms per megapixel of input (uint8 RGB)")
    axes.set_ylabel("mean PSNR after down and up (dB)")
    axes.set_title("Quality over cost; hollow: without antialiasing")
    axes.grid(alpha=0.25, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    return figure


# Responses.


def draw_responses(variants: Sequence[Variant], factor: Fraction) -> Figure:
    """Amplitude over frequency, a line for each response; what antialiases has rows of its own.

    Where images are enlarged, nothing does.
    """
    parts = {"": variants}
    if factor < 1:
        parts = {
            "with antialiasing": [v for v in variants if v.antialias],
            "without antialiasing": [v for v in variants if not v.antialias],
        }
    panels: list[tuple[str, list]] = []
    for title, part in parts.items():
        curves = [(variant, respond(variant, factor)) for variant in part]
        curves = grouped(curves, lambda a, b: np.allclose(a.gain, b.gain, rtol=0, atol=SAME))
        chunks = [curves[i : i + LINES] for i in range(0, len(curves), LINES)]
        panels += [(title, chunk) for chunk in chunks]
        panels += [(title, [])] * (-len(chunks) % COLUMNS)
    rows = len(panels) // COLUMNS
    figure = Figure((14, 5 * rows + 0.5), layout="constrained")
    for axes, (title, chunk) in zip(figure.subplots(rows, COLUMNS).ravel(), panels, strict=True):
        if chunk:
            axes.set_title(title)
            _draw_panel(axes, chunk)
        else:
            axes.remove()
    wrong = "they become aliases" if factor < 1 else "images of the frequencies below the limit"
    figure.suptitle(f"Waves after a resize by {factor}; red: {wrong}")
    return figure


def curve(response: Response) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies over the limit, and amplitudes.

    Where images are enlarged, all of a wave that is not at its own frequency stands at that
    of its first image, mirrored at the limit.
    """
    x, y = response.frequency / response.limit, response.gain
    if response.factor < 1:
        return x, y
    return np.concatenate([x, 2 - x[::-1]]), np.concatenate([y, np.sqrt(response.wrong[::-1])])


def _draw_panel(axes: Axes, curves: Sequence[tuple[str, Response]]) -> None:
    for i, (name, response) in enumerate(curves):
        x, y = curve(response)
        decibels = 20 * np.log10(np.maximum(y, 1e-6))
        text = textwrap.fill(name, 48)
        axes.plot(x, decibels, color=COLOURS[i], ls=DASHES[i], lw=1.5, label=text)
    axes.axvspan(1, x[-1], color="#D55E00", alpha=0.08, lw=0)
    axes.axvline(1, color="0.35", lw=1)
    axes.set_ylim(FLOOR, 4)
    axes.set_xlim(0, x[-1])
    axes.set_xlabel("frequency / Nyquist limit")
    axes.set_ylabel("amplitude (dB)")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.15), frameon=False)


# Zone plates.


def ideal(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image ``[H, W]`` with its frequencies up to the limit, and no others, at another size."""
    spectrum = dctn(image.astype(np.float64), norm="ortho")
    kept = np.zeros(size)
    h, w = np.minimum(image.shape, size)
    kept[:h, :w] = spectrum[:h, :w]
    return idctn(kept, norm="ortho") * np.sqrt(np.prod(size) / np.prod(image.shape))


class _Sheet:
    """Images and captions at whole pixels, from the left upper corner."""

    def __init__(self, width: int, height: int) -> None:
        self.pixels = np.full((height, width), 255.0)
        self.figure = Figure((width / DPI, height / DPI), dpi=DPI)

    def write(self, text: str, x: int, y: int, size: float = 6.5) -> None:
        height, width = self.pixels.shape
        self.figure.text(x / width, 1 - y / height, text, va="top", fontsize=size, linespacing=1.1)

    def place(self, image: np.ndarray, text: str, x: int, y: int) -> None:
        h, w = image.shape
        self.pixels[y : y + h, x : x + w] = image
        self.write(text, x, y + h + 2)

    def finish(self) -> Figure:
        axes = self.figure.add_axes((0, 0, 1, 1), zorder=-1)
        axes.imshow(self.pixels, "gray", vmin=0, vmax=255, interpolation="auto", aspect="auto")
        axes.set_axis_off()
        return self.figure


def draw_zone_plates(variants: Sequence[Variant], factor: Fraction) -> Figure:
    """A contact sheet: the zone plate, its ideal resize, and each different one."""
    pairs = [zone_plate(variant, factor, SHOWN) for variant in variants]
    plate = pairs[0][0].numpy()
    results = zip(variants, (result.int().numpy() for _, result in pairs), strict=True)
    tiles = grouped(list(results), lambda a, b: np.abs(a - b).max() <= ROUNDING)
    h, w = tiles[0][1].shape
    tiles = [(textwrap.wrap(name, w // 4), tile) for name, tile in tiles]
    rows = [tiles[i : i + TILES] for i in range(0, len(tiles), TILES)]
    tops = [5 * GAP + max(plate.shape[0], h) + 2 * LINE]
    for row in rows:
        tops.append(tops[-1] + h + GAP + LINE * max(len(lines) for lines, _ in row))
    width = max(TILES * (w + GAP), plate.shape[1] + w + 2 * CAPTION) + GAP
    sheet = _Sheet(width, tops[-1])
    title = f"Zone plate, resized by {factor}; plain: without antialiasing"
    sheet.write(title, GAP, GAP, 11)
    edge = "the zone plate: half a cycle per\npixel in the middle of each edge"
    sheet.place(plate, edge, GAP, 3 * GAP)
    words = "ideal: frequencies up to the limit and\nno others; all that shows besides is wrong"
    sheet.place(ideal(plate, (h, w)), words, 3 * GAP + max(plate.shape[1], CAPTION), 3 * GAP)
    for row, top in zip(rows, tops, strict=False):
        for i, (lines, tile) in enumerate(row):
            sheet.place(tile, "\n".join(lines), GAP + i * (w + GAP), top)
    return sheet.finish()
