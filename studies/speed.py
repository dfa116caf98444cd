"""Time of a resize, beside the libraries whose pixels it has, and what each of them computes."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from studies.memory import peak
from studies.page import Section
from studies.plots import style
from studies.providers import COMPARISONS, OURS, Call, Size, has
from studies.publish import publish
from studies.run import ROOT, Cell, Run, commit, settings_of

DRAW, SHUFFLE = 7, 8
"""Seeds: of random crops while results are compared, of the order in which calls are timed."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Time per call on an RGB image: libraries and torchresample, in interleaved rounds."""

    sizes: tuple[str, ...] = (
        "375x500:224x224",
        "1080x1920:224x224",
        "224x224:448x448",
        "3000x4000:600x800",
    )
    """Height x width before and after, of the comparisons that have no cases of their own."""
    comparisons: tuple[str, ...] = tuple(COMPARISONS)
    """What to compare; see ``studies/providers.py``."""
    threads: tuple[int, ...] = (1, 2)
    """Threads that torch, OpenCV and torchresample may use; Pillow and scikit-image have one."""
    rounds: int = 15
    """Timings per provider and case, taken in turns of random order."""
    seconds: float = 10.0
    """After which a case of slow calls takes no further round, from the third on."""
    seed: int = 0
    """Of the images, which are noise."""
    out: Path = ROOT
    """Folder of finished cells and of reports."""
    device: ClassVar[str] = "cpu"


def parse(size: str) -> tuple[Size, Size]:
    """``"375x500:224x224"`` as two pairs."""
    try:
        pairs = [tuple(int(n) for n in part.split("x")) for part in size.split(":")]
        (h, w), (new_h, new_w) = pairs
        if min(h, w, new_h, new_w) < 1:
            raise ValueError
    except ValueError:
        raise ValueError(
            f"sizes: expected HxW:HxW, such as 375x500:224x224, got {size!r}"
        ) from None
    return (h, w), (new_h, new_w)


def check(config: Config) -> None:
    """Refuse what cannot be measured, before anything is written."""
    for size in config.sizes:
        parse(size)
    if unknown := set(config.comparisons) - set(COMPARISONS):
        raise ValueError(
            f"comparisons: expected of {', '.join(COMPARISONS)}, got {sorted(unknown)}"
        )
    if not config.comparisons or not config.sizes or not config.threads:
        raise ValueError("comparisons, sizes, threads: expected at least one of each")
    if config.rounds < 3 or min(config.threads) < 1 or config.seconds <= 0:
        raise ValueError(f"rounds, threads, seconds: expected at least 3, 1 and > 0, got {config}")
    for name in config.comparisons:
        module = COMPARISONS[name].needs
        if module and not has(module):
            raise ValueError(f"comparisons: {name!r} needs {module}, which is not installed")


def as_array(result: object) -> np.ndarray:
    """float64 ``[H, W, C]`` of whatever a call returns, of a batch its first image."""
    if isinstance(result, list):
        result = result[0]
    if isinstance(result, torch.Tensor):
        result = result.reshape(-1, *result.shape[-3:])[0].permute(1, 2, 0).numpy()
    return np.asarray(result).astype(np.float64)


def computed(call: Call) -> np.ndarray:
    """The result of a call; random crops all draw the same."""
    torch.manual_seed(DRAW)
    return as_array(call())


def set_threads(n: int) -> None:
    torch.set_num_threads(n)
    if has("cv2"):
        import cv2

        cv2.setNumThreads(n)


def rounds(providers: dict[str, Call], most: int, seconds: float) -> dict[str, list[float]]:
    """Times of each call, taken in turns, whose order changes: each finds the caches of another."""
    times: dict[str, list[float]] = {name: [] for name in providers}
    order, shuffle = list(providers), np.random.default_rng(SHUFFLE).shuffle
    end = time.perf_counter() + seconds
    for i in range(most):
        if i >= 3 and time.perf_counter() > end:
            break
        shuffle(order)
        for name in order:
            call = providers[name]
            began = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - began)
    return times


def measure(config: Config, key: Cell) -> Cell:
    """Times, errors and memory of one case: provider -> numbers."""
    comparison, (before, after) = COMPARISONS[key["comparison"]], parse(key["size"])
    image = np.random.default_rng(config.seed).integers(0, 256, (*before, 3), dtype=np.uint8)
    set_threads(key["pinned"])
    providers = comparison.calls(key["method"], image, after)
    truth = computed(partial(comparison.exact, key["method"], image, after))
    errors = {name: np.abs(computed(call) - truth) for name, call in providers.items()}
    memory = {name: peak(call) for name, call in providers.items()}
    for call in providers.values():
        for _ in range(comparison.warm):
            call()
    width = 4 if "float" in key["comparison"] else 1
    moved = 3 * width * (before[0] * before[1] + after[0] * after[1])
    source, target = np.ones((2, moved // 2), np.uint8)  # a copy reads one and writes the other
    providers["copy"] = partial(np.copyto, target, source)
    # Where calls are so much shorter than a round of the others, more of them are needed.
    times = rounds(providers, config.rounds * min(comparison.warm, 20), config.seconds)
    return {
        "moved": moved,
        "times": {n: np.percentile(t, (20, 50, 80)).tolist() for n, t in times.items()},
        "errors": {n: [float(e.max()), float(e.mean())] for n, e in errors.items()},
        "memory": memory,
    }


def to_frame(cells: list[Cell]) -> pd.DataFrame:
    """A row per case and provider; ``ratio`` is the library's time over the provider's.

    The library's time is that of its own fastest kind of image, in the same rounds.
    """
    rows = []
    for cell in cells:
        times = dict(cell["times"])
        (_, copy, _) = times.pop("copy")
        theirs = min(t[1] for name, t in times.items() if not name.startswith(OURS))
        # The environment's threads are those the study was started with, not those of the case.
        left_out = ("times", "errors", "memory", "threads")
        rest = {k: v for k, v in cell.items() if k not in left_out}
        for name, (p20, p50, p80) in times.items():
            error = dict(zip(("max_error", "mean_error"), cell["errors"][name], strict=True))
            numbers = {"p20_ms": p20 * 1e3, "median_ms": p50 * 1e3, "p80_ms": p80 * 1e3}
            numbers |= {"ratio": theirs / p50, "share_of_copy": copy / p50}
            numbers |= {"gigabytes_per_second": cell["moved"] / p50 / 1e9}
            numbers |= {"peak_megabytes": cell["memory"][name] / 1e6}
            rows.append({"provider": name} | numbers | error | rest)
    return pd.DataFrame(rows)


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Sizes and methods down, providers across; see ``HEADING``."""
    text = rows.assign(
        text=[
            f"{r.median_ms:.2f} {r.ratio:4.2f}x {r.max_error:.2g} ({r.mean_error:.2g})"
            for r in rows.itertuples()
        ]
    )
    wide = text.pivot(index=["size", "method"], columns="provider", values="text")
    wide = wide.reindex(columns=rows.provider.unique()).sort_index(key=_in_order(rows))
    return wide.rename_axis(columns=None).reset_index()


HEADING = "ms, library's time / time, largest and mean difference to the exact result"


def _in_order(rows: pd.DataFrame) -> Callable[[pd.Index], pd.Index]:
    """Sort by first appearance."""
    places = {v: i for column in ("size", "method") for i, v in enumerate(rows[column].unique())}
    return lambda index: index.map(places)


def summary(rows: pd.DataFrame) -> list[str]:
    """Ratios and memory, a sentence per kind of image of ours."""
    ours = rows[rows.provider.str.startswith(OURS)]
    return [
        f"{name}: {np.exp(np.log(at.ratio).mean()):.2f} times as fast (geometric mean of "
        f"{len(at)}), at least {at.ratio.min():.2f}; at most {at.peak_megabytes.max():.1f} MB "
        "with its result."
        for name, at in ours.groupby("provider", sort=False)
    ]


def draw(frame: pd.DataFrame) -> Figure:
    """The ratio of every case, a panel per comparison, and the time per pixel over the pixels."""
    frame = frame[frame.pinned == frame.pinned.iloc[0]]
    names = list(frame.comparison.unique())
    figure = Figure((4 * min(len(names), 4), 4.5 * -(-len(names) // 4)), layout="constrained")
    panels = figure.subplots(-(-len(names) // 4), min(len(names), 4), squeeze=False).ravel()
    for axes, name in zip(panels, names, strict=False):
        rows = frame[frame.comparison == name]
        (_draw_scaling if name == "scaling" else _draw_ratios)(axes, rows)
        axes.set_title(name)
        axes.legend(fontsize=6, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.14))
        axes.grid(alpha=0.25)
    for axes in panels[len(names) :]:
        axes.remove()
    return figure


def _draw_ratios(axes, rows: pd.DataFrame) -> None:
    cases = (rows["size"] + " " + rows.method).unique()
    for i, (name, at) in enumerate(rows.groupby("provider", sort=False)):
        places = [list(cases).index(case) for case in at["size"] + " " + at.method]
        axes.plot(at.ratio, places, ls="", label=name, **style(i))
    axes.axvline(1, color="0.35", lw=1, ls="--")
    axes.set_yticks(range(len(cases)), cases, fontsize=6)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("library's time / time")


def _draw_scaling(axes, rows: pd.DataFrame) -> None:
    for i, (name, at) in enumerate(rows.groupby("provider", sort=False)):
        pixels = np.array([np.prod(parse(size)[0]) for size in at["size"]])
        axes.plot(pixels, 1e6 * at.median_ms / pixels, label=name, **style(i))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("pixels of the image")
    axes.set_ylabel("ns per pixel")


def cases(config: Config) -> list[Cell]:
    return [
        {"comparison": name, "method": method, "size": size, "pinned": threads}
        for threads in config.threads
        for name in config.comparisons
        for size in COMPARISONS[name].sizes or config.sizes
        for method in COMPARISONS[name].methods
    ]


def run(config: Config) -> Path:
    """Measure, and write the report; returns the run folder."""
    check(config)
    common = settings_of(config) | {"commit": commit()}  # of code that changes
    study = Run("speed", cases(config), common, device=config.device, out=config.out)
    before = torch.get_num_threads()
    try:
        cells = study.finish(lambda key, _: measure(config, key))
    finally:
        set_threads(before)
    frame = to_frame([cell for cell in cells if not cell.get("error")])
    sections = [
        Section(
            f"{name}, {threads} thread{'s' * (threads > 1)}",
            summary(rows),
            table(rows),
            (),
            HEADING,
        )
        for (threads, name), rows in frame.groupby(["pinned", "comparison"], sort=False)
    ]
    if sections:
        sections.append(Section("Every case", figures=[draw(frame)]))
    return publish(study, "Time of a resize", cells, frame, sections)
