"""Time of a resize, beside the libraries whose pixels it has, and what each of them computes."""

import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import PIL.Image
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from matplotlib.figure import Figure

import torchresample as tr
from studies import report
from studies.run import Cell, Run

PILLOW = PIL.Image.Resampling
# What is compared, by profile: method -> what the library calls it. Floats are torch's.
METHODS = {
    "pillow": {
        "box": PILLOW.BOX,
        "bilinear": PILLOW.BILINEAR,
        "hamming": PILLOW.HAMMING,
        "bicubic": PILLOW.BICUBIC,
        "lanczos3": PILLOW.LANCZOS,
    },
    "torch": {"bilinear": "bilinear", "bicubic": "bicubic", "lanczos3": "lanczos"},
    "torch float32": {"bilinear": "bilinear", "bicubic": "bicubic", "lanczos3": "lanczos"},
    "opencv": {
        "nearest": "INTER_NEAREST",
        "bilinear": "INTER_LINEAR",
        "linear-exact": "INTER_LINEAR_EXACT",
        "bicubic": "INTER_CUBIC",
        "area": "INTER_AREA",
        "lanczos4": "INTER_LANCZOS4",
    },
}
OURS = "torchresample"
Call = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Config:
    """Time per resize of an RGB image: libraries and torchresample, in interleaved rounds."""

    sizes: tuple[str, ...] = (
        "375x500:224x224",
        "1080x1920:224x224",
        "224x224:448x448",
        "3000x4000:600x800",
    )
    """Height x width before and after."""
    profiles: tuple[str, ...] = tuple(METHODS)
    """What to compare with."""
    threads: tuple[int, ...] = (1, 2)
    """Threads that torch, OpenCV and torchresample may use; Pillow has one."""
    rounds: int = 15
    """Timings per library and case, taken in turns."""
    seed: int = 0
    """Of the images, which are noise."""
    device: ClassVar[str] = "cpu"


def parse(size: str) -> tuple[tuple[int, int], tuple[int, int]]:
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


def has_opencv() -> bool:
    return importlib.util.find_spec("cv2") is not None


def check(config: Config) -> None:
    """Refuse what cannot be measured, before anything is written."""
    for size in config.sizes:
        parse(size)
    if unknown := set(config.profiles) - set(METHODS):
        raise ValueError(f"profiles: expected of {', '.join(METHODS)}, got {sorted(unknown)}")
    if not config.profiles or not config.sizes or not config.threads:
        raise ValueError("profiles, sizes, threads: expected at least one of each")
    if config.rounds < 3 or min(config.threads) < 1:
        raise ValueError(f"rounds, threads: expected at least 3 and 1, got {config}")
    if "opencv" in config.profiles and not has_opencv():
        raise ValueError("profiles: 'opencv' needs opencv-python-headless, which is not installed")


def calls(profile: str, method: str, image: np.ndarray, size: tuple[int, int]) -> dict[str, Call]:
    """Who resizes how: name -> call. Names tell the kind of image where there are several."""
    name = METHODS[profile][method]
    if profile == "opencv":
        import cv2

        flag = getattr(cv2, name)
        return {
            "OpenCV": partial(cv2.resize, image, size[::-1], interpolation=flag),
            f"{OURS}, array": partial(tr.resize, image, size, method, like=profile),
        }
    planes = torch.from_numpy(image).permute(2, 0, 1)[None].contiguous()
    if profile == "torch float32":
        planes = planes.float()
    pixels = planes.contiguous(memory_format=torch.channels_last)
    kinds = {"NCHW": planes, "channels_last": pixels}
    like = profile.split()[0]
    ours = {
        f"{OURS}, {k}": partial(tr.resize, x, size, method, like=like) for k, x in kinds.items()
    }
    if profile == "pillow":
        picture = PIL.Image.fromarray(image)
        return {
            "Pillow": partial(picture.resize, size[::-1], name),
            f"{OURS}, PIL": partial(tr.resize, picture, size, method),
            **ours,
        }
    options = {"size": size, "mode": name, "antialias": True}
    theirs = {f"torch, {k}": partial(F.interpolate, x, **options) for k, x in kinds.items()}
    return theirs | ours


def as_array(result: object) -> np.ndarray:
    """float64 ``[H, W, C]`` of whatever a call returns."""
    if isinstance(result, torch.Tensor):
        result = result[0].permute(1, 2, 0).numpy()
    return np.asarray(result).astype(np.float64)


def exact(profile: str, method: str, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The resize in float64, before any rounding."""
    x = torch.from_numpy(image).permute(2, 0, 1)[None].double()
    result = as_array(tr.resize(x, size, method, like=profile.split()[0]))
    return result if "float" in profile else result.clip(0, 255)


def set_threads(n: int) -> None:
    torch.set_num_threads(n)
    if has_opencv():
        import cv2

        cv2.setNumThreads(n)


def measure(config: Config, key: Cell) -> Cell:
    """Times and errors of one case: provider -> numbers."""
    before, after = parse(key["size"])
    image = np.random.default_rng(config.seed).integers(0, 256, (*before, 3), dtype=np.uint8)
    set_threads(key["pinned"])
    providers = calls(key["profile"], key["method"], image, after)
    truth = exact(key["profile"], key["method"], image, after)
    errors = {name: np.abs(as_array(call()) - truth) for name, call in providers.items()}
    width = 4 if "float" in key["profile"] else 1
    moved = 3 * width * (before[0] * before[1] + after[0] * after[1])
    source, target = np.ones((2, moved // 2), np.uint8)  # a copy reads one and writes the other
    providers["copy"] = partial(np.copyto, target, source)
    times: dict[str, list[float]] = {name: [] for name in providers}
    for _ in range(config.rounds):
        for name, call in providers.items():
            began = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - began)
    return {
        "moved": moved,
        "times": {n: np.percentile(t, (20, 50, 80)).tolist() for n, t in times.items()},
        "errors": {n: [float(e.max()), float(e.mean())] for n, e in errors.items()},
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
        rest = {k: v for k, v in cell.items() if k not in ("times", "errors", "threads")}
        for name, (p20, p50, p80) in times.items():
            error = dict(zip(("max_error", "mean_error"), cell["errors"][name], strict=True))
            numbers = {"p20_ms": p20 * 1e3, "median_ms": p50 * 1e3, "p80_ms": p80 * 1e3}
            numbers |= {"ratio": theirs / p50, "share_of_copy": copy / p50}
            numbers |= {"gigabytes_per_second": cell["moved"] / p50 / 1e9}
            rows.append({"provider": name} | numbers | error | rest)
    return pd.DataFrame(rows)


def table(rows: pd.DataFrame) -> str:
    """Sizes and methods down, providers across: median in ms, ratio, and the largest error."""
    text = rows.assign(
        text=[f"{r.median_ms:.2f} {r.ratio:4.2f}x ±{r.max_error:.2g}" for r in rows.itertuples()]
    )
    wide = text.pivot(index=["size", "method"], columns="provider", values="text")
    return wide.reindex(columns=rows.provider.unique()).sort_index(key=_in_order(rows)).to_string()


def _in_order(rows: pd.DataFrame) -> Callable[[pd.Index], pd.Index]:
    """Sort by first appearance."""
    places = {v: i for column in ("size", "method") for i, v in enumerate(rows[column].unique())}
    return lambda index: index.map(places)


def summary(rows: pd.DataFrame) -> list[str]:
    """Geometric mean and least of the ratios, a sentence per kind of image."""
    ours = rows[rows.provider.str.startswith(OURS)]
    return [
        f"{name}: {np.exp(np.log(at.ratio).mean()):.2f} times as fast (geometric mean of "
        f"{len(at)}), at least {at.ratio.min():.2f}."
        for name, at in ours.groupby("provider", sort=False)
    ]


def draw(frame: pd.DataFrame) -> Figure:
    """The ratio of every case, one panel per profile, at the first number of threads."""
    profiles = frame.profile.unique()
    figure = Figure((3.6 * len(profiles), 4.5), layout="constrained")
    for axes, profile in zip(
        figure.subplots(1, len(profiles), squeeze=False)[0], profiles, strict=True
    ):
        rows = frame[(frame.profile == profile) & (frame.pinned == frame.pinned.iloc[0])]
        cases = (rows["size"] + " " + rows.method).unique()
        for i, (name, at) in enumerate(rows.groupby("provider", sort=False)):
            places = [list(cases).index(case) for case in at["size"] + " " + at.method]
            axes.plot(at.ratio, places, ls="", label=name, **report.style(i))
        axes.axvline(1, color="0.35", lw=1, ls="--")
        axes.set_yticks(range(len(cases)), cases, fontsize=6)
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.set_xlabel("library's time / time")
        axes.set_title(profile)
        axes.legend(fontsize=6)
        axes.grid(alpha=0.25)
    return figure


def run(config: Config) -> Path:
    """Measure, and write the report; returns the run folder."""
    check(config)
    record = Run("speed", config, {})
    keys = [
        {"profile": profile, "method": method, "size": size, "pinned": threads}
        for threads in config.threads
        for profile in config.profiles
        for size in config.sizes
        for method in METHODS[profile]
    ]
    before = torch.get_num_threads()
    try:
        cells = record.finish(keys, partial(measure, config))
    finally:
        set_threads(before)
    frame = to_frame(cells)
    sections = [
        report.Section(
            f"{profile}, {threads} thread{'s' * (threads > 1)}: ms, library's time / time, "
            "largest difference to the exact result",
            table(rows),
            summary(rows),
        )
        for (threads, profile), rows in frame.groupby(["pinned", "profile"], sort=False)
    ]
    report.write(record.folder, frame, draw(frame), sections)
    return record.folder
