"""How close each method and profile comes to an ideal resize, beside what it costs.

Signals whose right result is known say what a filter does; photographs that are shrunk and
enlarged again say how much of it shows.
"""

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import ClassVar

import pandas as pd
import torch

import torchresample as tr
from studies import charts
from studies import fidelity_findings as findings
from studies.measures import (
    Photographs,
    Variant,
    costs,
    parse,
    quality,
    read_photographs,
    theory,
    variants,
)
from studies.page import Section
from studies.publish import publish
from studies.run import ROOT, Cell, Run, commit

REDUNDANT = ("pillow12",)
"""Profiles that others stand for: it is ``pillow`` but for which axis is resized first."""
LIKE = tuple(name for name in tr.PROFILES if name not in REDUNDANT)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Response, aliasing, shift and overshoot of every method; down-up PSNR and SSIM; cost."""

    data: tuple[str, ...]
    """One or several folders of images; each is a data set, named as the folder.

    Files are read as `python -m studies methods` reads them.
    """
    factors: tuple[str, ...] = ("1/2", "1/3", "1/4", "2")
    """Output pixels per input pixel, as fractions.

    Below 1 images are shrunk by the method and enlarged to their size by `up`.
    Above 1 images are shrunk by Pillow's box, a mean of blocks, and enlarged by the method.
    """
    methods: tuple[str, ...] = ()
    """Only these: METHOD, METHOD:antialias or METHOD:no-antialias, as the table names them."""
    like: tuple[str, ...] = LIKE
    """Profiles to measure."""
    up: str = "lanczos3"
    """The method of Pillow that enlarges what was shrunk, the same for all.

    Lanczos3 is close to the ideal interpolation (sinc) over the frequencies that a small image has.
    It neither makes up for a blur nor adds one, so that the shrinking method is what varies.
    """
    threads: int = 1
    """Of torch and torchresample."""
    repeats: int = 9
    """Timings of each method and factor, in rounds of random order."""
    seed: int = 0
    """Of the noise that is timed, and of the order of the timings."""
    out: Path = ROOT
    """Folder of finished cells and of reports."""
    device: ClassVar[str] = "cpu"


def check(config: Config) -> None:
    """Refuse what cannot be measured, before anything is read or written."""
    variants(config.like, config.methods)
    factors = [parse(factor) for factor in config.factors]
    if not factors or len(set(factors)) < len(factors):
        raise ValueError(f"factors: expected at least one, each once, got {config.factors}")
    if config.up not in tr.PROFILES["pillow"].methods:
        raise ValueError(f"up: expected a method of Pillow's profile, got {config.up!r}")
    if config.threads < 1 or config.repeats < 1:
        raise ValueError(
            f"threads, repeats: expected at least 1, got {config.threads}, {config.repeats}"
        )
    names = [Path(folder).resolve().name for folder in config.data]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"data: expected folders of different names, got {config.data}")


def keys(config: Config, pools: list[Photographs]) -> list[Cell]:
    """List the keys of all cells: data set, factor, profile, method."""
    return [
        {"data": pool.name, "data_digest": pool.digest, "factor": factor, "up": config.up}
        | {"like": variant.like, "method": variant.name, "antialias": variant.antialias}
        for pool in pools
        for factor in config.factors
        for variant in variants(config.like, config.methods)
    ]


def variant_of(row: Cell) -> Variant:
    """The variant that a cell is about."""
    return Variant(row["like"], row["method"].partition(":")[0], row["antialias"])


def measure(
    pools: dict[str, Photographs], times: dict[tuple[Variant, str], Cell], key: Cell
) -> Cell:
    """One method and profile at one factor, on one data set."""
    variant, factor = variant_of(key), parse(key["factor"])
    return {
        **quality(pools[key["data"]], variant, factor, key["up"]),
        **theory(variant, factor),
        **times[variant, key["factor"]],
        "scikit_image": metadata.version("scikit-image"),
    }


def sections(frame: pd.DataFrame, table: pd.DataFrame) -> list[Section]:
    """The table, quality over cost, what was found, and for each factor its pictures."""
    rows = frame.drop_duplicates(["like", "method"]).to_dict("records")
    measured = sorted(map(variant_of, rows), key=lambda variant: not variant.antialias)
    found = [
        Section("Quality over cost", figures=[charts.draw_quality(table)]),
        Section("All methods", (), findings.printed(table), (), findings.NOTE),
    ]
    details = findings.describe(frame, table)
    found += [Section(heading, lines) for heading, lines in details.items() if lines]
    for factor in frame.factor.unique():
        for what, draw in (
            ("Responses", charts.draw_responses),
            ("Zone plates", charts.draw_zone_plates),
        ):
            found.append(Section(f"{what} at {factor}", figures=[draw(measured, parse(factor))]))
    return [*found, Section("How it was measured", findings.DEFINITIONS)]


def report(study: Run, cells: list[Cell]) -> Path:
    """Write table, sentences and pictures; returns the run folder.

    Methods of which a cell failed are in the table of cells, and are not compared.
    """
    title = "How close each method comes to an ideal resize"
    frame = pd.DataFrame([cell for cell in cells if not cell.get("error")])
    whole = findings.complete(frame, cells)
    if whole.empty:
        return publish(study, title, cells, frame, [])
    table = findings.compare(whole)
    intro, sure = findings.intro(whole, table), findings.trust_words(whole, table)
    return publish(study, title, cells, frame, sections(whole, table), intro, sure)


def run(config: Config) -> Path:
    """Measure, and write the report; returns the run folder."""
    check(config)
    factors = [parse(factor) for factor in config.factors]
    pools = {pool.name: pool for pool in (read_photographs(at, factors) for at in config.data)}
    before = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    try:
        common = {"repeats": config.repeats, "seed": config.seed, "threads": config.threads}
        common |= {"commit": commit()}  # of code that changes
        every = keys(config, list(pools.values()))
        study = Run("fidelity", every, common, device=config.device, out=config.out)
        todo = dict.fromkeys((variant_of(key), key["factor"]) for key in study.todo())
        times = costs(todo, config.repeats, config.seed)
        cells = study.finish(lambda key, _: measure(pools, times, key))
        return report(study, cells)
    finally:
        torch.set_num_threads(before)
