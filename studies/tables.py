"""`python -m studies tables`: the tables of README and RESULTS.md, from the committed CSV files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from studies import fidelity_findings, findings, methods, statistics
from studies.page import markdown_table, replace_block
from studies.providers import OURS
from studies.run import write_atomically

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"

PIXELS = {
    "pillow": ("uint8, five filters", "Pillow 13"),
    "torch": ("uint8, three filters", "F.interpolate, antialias"),
    "torch float32": ("float32, three filters", "F.interpolate, antialias"),
    "opencv": ("uint8, six methods", "OpenCV 5.0"),
    "skimage float32": ("float32, two methods", "scikit-image 0.26"),
    "evaluation, tensor": ("ImageClassification, 390x470", "torchvision v2, tensors"),
    "evaluation, PIL": ("ImageClassification, 390x470", "torchvision v2, PIL"),
    "training, tensor": ("RandomResizedCrop, 390x470", "torchvision v2, tensors"),
    "training, PIL": ("RandomResizedCrop, 390x470", "torchvision v2, PIL"),
    "batch of 32": ("32 images at once, three sizes", "one by one"),
}
"""What is resized in a comparison of the study ``speed``, and whose time it is compared with."""


def read_results(name: str) -> pd.DataFrame:
    """A committed table of cells, as a study had it in memory."""
    cells = pd.read_csv(RESULTS / f"{name}.csv", low_memory=False)
    return findings.to_frame(cells.drop(columns="cost_ms", errors="ignore").to_dict("records"))


def speed() -> str:
    """Geometric mean and least ratio of times in one thread, per comparison and kind of image."""
    frame = pd.read_csv(RESULTS / "speed-cpu.csv")
    ours = frame[frame.provider.str.startswith(OURS) & (frame.pinned == 1)]
    rows = []
    for (comparison, provider), at in ours.groupby(["comparison", "provider"], sort=False):
        if comparison in PIXELS:
            pixels, against = PIXELS[comparison]
            mean, least = np.exp(np.log(at.ratio).mean()), at.ratio.min()
            image = provider.removeprefix(f"{OURS}, ")
            rows.append((pixels, against, image, f"{mean:.2f}", f"{least:.2f}"))
    return markdown_table(
        pd.DataFrame(rows, columns=["pixels", "against", "image", "mean", "least"])
    )


def methods_dtd10() -> str:
    """Top-1 per method and size on ten textures, and what differs from the original pixels."""
    frame = read_results("methods-dtd10")
    ((_, rows),) = findings.groups(frame)
    sentences = [*methods.describe_originals(rows), *methods.describe_against_original(rows)]
    listed = "\n".join(f"- {sentence}" for sentence in sentences)
    return f"{markdown_table(findings.size_table(rows))}\n\n{listed}"


def linear_resnet18() -> str:
    """Top-1 by bilinear per data set and size; a star is worse than at the largest size."""
    frame = read_results("transfer-linear-resnet18")
    table = []
    for (data,), rows in frame[frame.labels == "given"].groupby(["data"], sort=False):
        rows = rows[rows.method == findings.REFERENCE]
        worse = findings.sizes_of_each_method(rows)
        worse = set(worse["size"][worse.verdict == statistics.WORSE])
        line = {"top-1 in %": data}
        for cell in statistics.accuracies(rows, findings.CELL).itertuples():
            text = findings.with_interval(cell.top1, cell.low, cell.high)
            line[f"{cell.size} px"] = text + (" *" if cell.size in worse else "")
        table.append(line)
    return markdown_table(pd.DataFrame(table))


def fidelity_pillow() -> str:
    """Tabulate what each filter in Pillow's geometry makes of photographs and signals."""
    cells = pd.read_csv(RESULTS / "fidelity.csv")
    table = fidelity_findings.printed(fidelity_findings.compare(cells))
    rows = table[(table.like == "pillow") & ~table.method.str.endswith(":no-antialias")]
    return markdown_table(
        rows.drop(columns=["like", "cost (ms/MP)", "front"]).reset_index(drop=True)
    )


BLOCKS: dict[str, tuple[str, Callable[[], str]]] = {
    "speed": ("README.md", speed),
    "methods-dtd10": ("README.md", methods_dtd10),
    "fidelity-pillow": ("studies/RESULTS.md", fidelity_pillow),
    "linear-resnet18": ("studies/RESULTS.md", linear_resnet18),
}
"""The generated blocks of Markdown files: the file, and what makes the block."""


@dataclass(frozen=True)
class Config:
    """Write the tables of README and RESULTS.md anew, from studies/results/*.csv."""


def run(config: Config) -> None:
    """Replace every generated block in its file."""
    for name, (file, make) in BLOCKS.items():
        path = ROOT / file
        text = path.read_text(encoding="utf-8")
        write_atomically(path, replace_block(text, name, make()))
        print(f"{file}: {name}")
