"""A GPU's time for a resize, beside a copy and torch's operations, and whether it is the CPU's."""

import time
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

import torchresample as tr
from studies.gpu_calls import GPU_WAYS, RESIZED, TIMED, WAYS, Call, planes
from studies.memory import peak
from studies.page import Section
from studies.plots import style
from studies.providers import MEAN, OURS, STD
from studies.publish import publish
from studies.run import ROOT, Cell, Run, commit, settings_of
from studies.speed import SHUFFLE, parse
from torchresample.ops import planned_passes

LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
DTYPES = {"uint8": torch.uint8, "bfloat16": torch.bfloat16, "float32": torch.float32}
REPEATS = 20
"""Backward passes that have to agree."""


@dataclass(frozen=True)
class Comparison:
    """Cases of one kind of call: batches, as ``"64x"`` and a size of ``studies.speed``."""

    dtypes: tuple[str, ...]
    layouts: tuple[str, ...]
    methods: tuple[str, ...]
    batches: tuple[str, ...]


_DOWN, _PHOTOGRAPHS, _UP = "64 1080x1920:224x224", "256 375x500:224x224", "256 224x224:448x448"
_UPRIGHT = "256 500x375:224x224"  # whose lines are no multiples of 16 bytes, nor of 4, apart
_FLOATS = ("bfloat16", "float32"), ("NCHW",), ("bilinear", "bicubic"), (_DOWN, _PHOTOGRAPHS, _UP)
COMPARISONS = {
    "resize": Comparison(
        ("uint8",),
        tuple(LAYOUTS),
        ("bilinear", "bicubic", "lanczos3"),
        (_DOWN, _PHOTOGRAPHS, _UPRIGHT, _UP),
    ),
    "forward": Comparison(*_FLOATS),
    "backward": Comparison(*_FLOATS),
    "evaluation": Comparison(("uint8",), tuple(LAYOUTS), ("bilinear",), (_PHOTOGRAPHS,)),
    "sizes": Comparison(("uint8",), ("NCHW",), ("bilinear", "lanczos3"), (_PHOTOGRAPHS,)),
    "frames": Comparison(("uint8",), ("NCHW",), ("bilinear", "bicubic"), (_DOWN,)),
    "same as on the CPU": Comparison(
        ("uint8",), tuple(LAYOUTS), tuple(tr.PROFILES), ("2 375x500:224x224", "2 64x48:131x200")
    ),
    "random cases": Comparison(
        tuple(DTYPES), ("NCHW",), tuple(tr.PROFILES), ("500 400x400:400x400",)
    ),
    "deterministic": Comparison(*_FLOATS),
    "streams and graphs": Comparison(
        ("uint8", "float32"), ("NCHW",), ("bicubic",), (_PHOTOGRAPHS,)
    ),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Time per call on batches of a GPU: torchresample, torch, torchvision and a copy, in turns."""

    device: str = "cuda"
    """Where; on "cpu" the same calls run, for trying the study out."""
    comparisons: tuple[str, ...] = tuple(COMPARISONS)
    """What to measure, or to check; see ``studies/gpu.py``."""
    dtypes: tuple[str, ...] = tuple(DTYPES)
    """Of what images; a CPU lacks torch's bfloat16."""
    share: int = 1
    """By which batches are divided."""
    rounds: int = 5
    """Turns, in random order, in each of which a call is timed for a tenth of a second."""
    seed: int = 0
    """Of the images, which are noise."""
    out: Path = ROOT
    """Folder of finished cells and of reports."""


def check(config: Config) -> None:
    """Refuse what cannot be measured, before anything is written."""
    if unknown := set(config.comparisons) - set(COMPARISONS):
        raise ValueError(
            f"comparisons: expected of {', '.join(COMPARISONS)}, got {sorted(unknown)}"
        )
    if unknown := set(config.dtypes) - set(DTYPES):
        raise ValueError(f"dtypes: expected of {', '.join(DTYPES)}, got {sorted(unknown)}")
    if config.rounds < 1 or config.share < 1 or not cases(config):
        raise ValueError(
            f"rounds, share, comparisons of dtypes: expected at least 1 of each, got {config}"
        )
    kind = torch.device(config.device).type
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device: expected one that is there, got {config.device!r}")
    if kind not in ("cuda", "cpu"):
        raise ValueError(f"device: expected cuda or cpu, got {config.device!r}")


def cases(config: Config) -> list[Cell]:
    return [
        {"comparison": name, "dtype": dtype, "layout": layout, "method": method, "batch": batch}
        for name in config.comparisons
        for batch in COMPARISONS[name].batches
        for dtype in COMPARISONS[name].dtypes
        if dtype in config.dtypes
        for method in COMPARISONS[name].methods
        for layout in COMPARISONS[name].layouts
    ]


def images(config: Config, key: Cell) -> tuple[Tensor, tuple[int, int]]:
    """A batch on the device, and the size wanted."""
    count, size = key["batch"].split()
    before, after = parse(size)
    generator = torch.Generator().manual_seed(config.seed)
    shape = max(int(count) // config.share, 1), 3, *before
    x = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator).to(config.device)
    x = x.contiguous(memory_format=LAYOUTS[key["layout"]])
    return (x if key["dtype"] == "uint8" else (x / 255).to(DTYPES[key["dtype"]])), after


def milliseconds(call: Call, on_gpu: bool) -> list[float]:
    """Of some calls, for a tenth of a second; on a GPU each finds its cache without the images."""
    if on_gpu:
        from triton.testing import do_bench

        return do_bench(call, warmup=10, rep=100, return_mode="all")
    call()
    began = time.perf_counter()
    call()
    return [1e3 * (time.perf_counter() - began)]


def timed(config: Config, key: Cell) -> Cell:
    """Times of one case: provider -> quantiles; and how many bytes have to be moved."""
    x, size = images(config, key)
    on_gpu = x.is_cuda
    providers = TIMED[key["comparison"]](x, size, key["method"])
    result = next(iter(providers.values()))()
    result = result[0] if isinstance(result, tuple) else result
    given = providers[OURS].args
    read = given[0] if isinstance(given[0], list) else [v for v in given if isinstance(v, Tensor)]
    moved = sum(image.nbytes for image in read) + result.nbytes
    if key["comparison"] == "backward":  # which reads what is shaped as the forward's result
        moved = x.nbytes * (1 + size[0] * size[1] / (x.shape[-2] * x.shape[-1]))
    if key["comparison"] == "evaluation":  # which reads what its crop comes from
        moved = x.nbytes * size[0] * size[1] / (RESIZED[0] * RESIZED[1]) + result.nbytes
    source = torch.ones(int(moved) // 2, dtype=torch.uint8, device=config.device)
    providers["copy"] = partial(torch.empty_like(source).copy_, source)
    times: dict[str, list[float]] = {name: [] for name in providers}
    order, shuffle = list(providers), np.random.default_rng(SHUFFLE).shuffle
    for call in providers.values():
        call()  # the first call also makes what the next ones find
    peaks = {name: peak(call, config.device) / 1e6 for name, call in providers.items()}
    for _ in range(config.rounds):
        shuffle(order)
        for name in order:
            times[name] += milliseconds(providers[name], on_gpu)
    quantiles = {name: np.percentile(t, (20, 50, 80)).tolist() for name, t in times.items()}
    return {"moved": moved, "times": quantiles, "peaks": peaks, "failures": None}


def same_as_on_the_cpu(config: Config, key: Cell) -> Cell:
    """The methods of a profile whose values differ between the device and the CPU.

    Of one batch, also weighed by a channel, of parts of its images, with boxes and a flip, scaled,
    and of frames of video.
    """
    x, size = images(config, key)
    failures, like = [], key["method"]
    h, w = x.shape[-2:]
    parts = [x[0], x[-1, :, : h // 2 + 1], x[0, :, 3:, : w // 2]]
    boxes = [None, (1.5, 0.25, w - 2.0, h / 2), (0.0, 1.0, w // 2 - 3.5, h - 4.0)]
    weighed = not tr.PROFILES[like].linear
    together = {"boxes": boxes, "flips": [False, True, False], "mean": MEAN, "std": STD}
    there = x.cpu(), [part.cpu() for part in parts]
    for method, spec in tr.PROFILES[like].methods.items():
        for antialias in spec.antialias:
            options = {"like": like, "antialias": antialias}
            lists = options | together | {"dtype": torch.float32}
            results = [
                {
                    "resize": tr.resize(batch, size, method, **options),
                    "alpha": tr.resize(with_alpha(batch), size, method, alpha=weighed, **options),
                    "resize_batch": tr.resize_batch(cut, size, method, **lists),
                    "resize_nv12": tr.resize_nv12(*planes(batch), size, method, **options),
                }
                for batch, cut in ((x, parts), there)
            ]
            for name, here in results[0].items():
                if not torch.equal(here.cpu(), results[1][name]):
                    failures.append(f"{name}, {method}, antialias={antialias}")
    return {"moved": 0, "times": {}, "failures": failures}


def random_cases(config: Config, key: Cell) -> Cell:
    """Of as many images of up to these sizes, by any method: those that are not as on the CPU.

    Each alone, and as a list. Floats may differ by their roundings.
    """
    count, size = key["batch"].split()
    most, failures, like, dtype = parse(size), [], key["method"], DTYPES[key["dtype"]]
    rng = np.random.default_rng(config.seed)
    for _ in range(max(int(count) // config.share, 1)):
        (h, w), after = (tuple(rng.integers(1, np.array(n) + 1).tolist()) for n in most)
        method = str(rng.choice(list(tr.PROFILES[like].methods)))
        antialias = bool(rng.choice(tr.PROFILES[like].methods[method].antialias))
        left, top = rng.uniform(0, [w - 1, h - 1])
        right, bottom = rng.uniform([left + 0.5, top + 0.5], [w, h])
        box = [None, (float(left), float(top), float(right), float(bottom))][rng.integers(2)]
        x = torch.from_numpy(rng.integers(0, 256, (rng.integers(1, 5), h, w), dtype=np.uint8))
        x = x.transpose(1, 2).contiguous().transpose(1, 2) if rng.integers(2) else x
        x = x if dtype == torch.uint8 else (x / 255).to(dtype)
        options = {"like": like, "antialias": antialias, "box": box}
        for call in (tr.resize, as_a_list):
            here = call(x.to(config.device), after, method, **options).cpu()
            right = torch.equal(here, call(x, after, method, **options))
            if not right and dtype != torch.uint8:
                exact = call(x.double(), after, method, **options)
                right = bool(((here - exact).abs() <= roundings(x, exact, method, options)).all())
            if not right:
                case = f"{call.__name__}, {tuple(x.shape)} to {after}, {method}, {options}"
                failures.append(case)
    return {"moved": 0, "times": {}, "failures": failures}


def as_a_list(
    x: Tensor, size: tuple[int, int], method: str, box: tuple[float, ...] | None, **options
) -> Tensor:
    """The image as one of different sizes."""
    return tr.resize_batch([x], size, method, boxes=[box], **options)[0]


def roundings(x: Tensor, exact: Tensor, method: str, options: dict[str, object]) -> Tensor:
    """How far from ``exact`` sums in float32 of pixels up to 1 may be, and then be rounded."""
    like, antialias, box = options["like"], options["antialias"], options["box"]
    boundary = tr.PROFILES[like].boundary
    sizes = x.shape[-2:], exact.shape[-2:]
    passes = planned_passes(
        *sizes, method, like, antialias, boundary, box, None, False, False, x.dtype, len(x)
    )
    sums = np.prod([max(np.abs(step.band.weight).sum(1).max(), 1) for step in passes])
    steps = 2 * sum(step.band.taps + 1 for step in passes)
    if tr.PROFILES[like].linear:  # two curves of eight roundings; the second is up to 12.92 steep
        steps, sums = 16 + steps, 12.92 * sums
    unit = torch.finfo(torch.float32).eps / 2
    return steps * unit * sums + torch.finfo(x.dtype).eps / 2 * (exact.abs() + steps * unit * sums)


def with_alpha(x: Tensor) -> Tensor:
    """Images with a fourth channel."""
    return torch.cat([x, x[:, :1].flip(-1)], dim=1)


def deterministic(config: Config, key: Cell) -> Cell:
    """Tell whether gradients of one case are the same bits every time."""
    x, size = images(config, key)
    x = x[:8].requires_grad_()
    y = tr.resize(x, size, key["method"], like="torch")
    weights = torch.rand_like(y)
    first, *rest = (
        torch.autograd.grad(y, x, weights, retain_graph=True)[0] for _ in range(REPEATS)
    )
    failures = [str(i) for i, other in enumerate(rest) if not torch.equal(first, other)]
    return {"moved": 0, "times": {}, "failures": failures}


def in_streams_and_graphs(config: Config, key: Cell) -> Cell:
    """The ways to call a resize that do not give its result.

    Each with a size of its own, so that it is the first that asks for its tables; three times, in
    which ``torch.compile`` warms up for a graph, captures it, and replays it.
    """
    x, (height, width) = images(config, key)
    failures = []
    for i, (name, way) in enumerate((WAYS | GPU_WAYS if x.is_cuda else WAYS).items()):
        size = height + i, width
        call = partial(tr.resize, size=size, method=key["method"], like="torch")
        other = way(call)
        results = [other(x).clone() for _ in range(3)]
        if not all(torch.equal(result, call(x)) for result in results):
            failures.append(name)
    return {"moved": 0, "times": {}, "failures": failures}


CHECKS = {
    "same as on the CPU": same_as_on_the_cpu,
    "random cases": random_cases,
    "deterministic": deterministic,
    "streams and graphs": in_streams_and_graphs,
}


def measure(config: Config, key: Cell) -> Cell:
    try:
        cell = CHECKS.get(key["comparison"], timed)(config, key)
    except Exception as error:  # a GPU's time is short, and other cases may work
        cell = {"moved": 0, "times": {}, "failures": [f"{type(error).__name__}: {error}"]}
    return cell | {"triton": metadata.version("triton")}


def to_frame(cells: list[Cell]) -> pd.DataFrame:
    """A row per case and provider; ``ratio`` is its time over that of torchresample."""
    rows = []
    for cell in cells:
        times = dict(cell["times"])
        told = "times", "peaks", "failures", "threads"
        rest = {k: v for k, v in cell.items() if k not in told}
        if cell["failures"] is not None:
            rows.append({"provider": OURS, "failures": "; ".join(cell["failures"])} | rest)
            continue
        (_, copy, _), (_, ours, _) = times.pop("copy"), times[OURS]
        for name, (p20, p50, p80) in times.items():
            numbers = {"p20_ms": p20, "median_ms": p50, "p80_ms": p80, "ratio": p50 / ours}
            numbers |= {"share_of_copy": copy / p50}
            numbers |= {"gigabytes_per_second": cell["moved"] / p50 / 1e6}
            numbers |= {"peak_megabytes": cell["peaks"][name]}
            rows.append({"provider": name, "failures": ""} | numbers | rest)
    return pd.DataFrame(rows)


def sections(frame: pd.DataFrame) -> list[Section]:
    """A table per comparison; of checks, what failed."""
    found = []
    for name, rows in frame.groupby("comparison", sort=False):
        bad = rows[rows.failures != ""]
        lines = [f"{r.method}, {r.layout}, {r.batch}: {r.failures}" for r in bad.itertuples()]
        rows = rows.drop(bad.index)
        if name in CHECKS or rows.empty:
            lines = lines or [f"{len(rows)} of {len(rows)} cases pass."]
            found.append(Section(name, lines))
            continue
        text = rows.assign(
            text=[
                f"{r.median_ms:.3f} {r.ratio:.2f}x {100 * r.share_of_copy:.0f}%"
                for r in rows.itertuples()
            ]
        )
        index = ["batch", "dtype", "method", "layout"]
        wide = text.pivot(index=index, columns="provider", values="text")
        wide = wide.fillna("").rename_axis(columns=None).reset_index()
        note = "ms, time / torchresample's, time of a copy of those bytes / time"
        found.append(Section(name, lines, wide, (), note))
    return found


def draw(frame: pd.DataFrame) -> Figure:
    """The time of a copy over the time of every case."""
    figure = Figure((7, 6), layout="constrained")
    axes = figure.subplots()
    if "share_of_copy" in frame:
        frame = frame.dropna(subset="share_of_copy")
        columns = ["comparison", "batch", "dtype", "method", "layout"]
        places = frame[columns].agg(", ".join, axis=1)
        for i, (name, rows) in enumerate(frame.groupby("provider", sort=False)):
            at = pd.factorize(places)[0][frame.provider == name]
            axes.plot(rows.share_of_copy, at, ls="", label=name, **style(i))
        axes.set_yticks(range(places.nunique()), places.unique(), fontsize=5)
        axes.legend()
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("time of a copy / time")
    return figure


def run(config: Config) -> Path:
    """Measure, check, and write the report; returns the run folder."""
    check(config)
    common = settings_of(config) | {"commit": commit()}  # of kernels that change
    study = Run("gpu", cases(config), common, device=config.device, out=config.out)
    cells = study.finish(lambda key, _: measure(config, key))
    frame = to_frame(cells)
    parts = [*sections(frame), Section("Every case", figures=[draw(frame)])]
    return publish(study, "Resizing on a GPU", cells, frame, parts)
