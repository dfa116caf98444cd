"""Accuracy per resampling method and size on your images, with a pretrained ResNet."""

from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from studies import report
from studies.data import Dataset, read
from studies.probe import Settings, check, measure_all


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """Top-1 of a linear head on frozen features, per method and size, on your images."""

    data: str
    """A folder with train/ and val/, a folder per class, or a torchvision.datasets name.

    Images are turned as their EXIF orientation says.
    Grey of 16 bits is scaled to 8 (value / 257, rounded).
    What is transparent is laid over white.
    Of an animation the first frame counts.
    Floats and 32-bit integers, whose range no file states, are refused by name.
    """
    sizes: tuple[int, ...] = (32, 48, 64, 96, 128, 224)
    """Shorter sides in pixels."""


def run(config: Config) -> Path:
    """Measure, and write the report; returns the run folder."""
    check(config)
    dataset = read(config.data)
    folder, cells = measure_all("methods", config, [dataset])
    frame = report.to_frame(cells)
    figure = Figure((7, 5), layout="constrained")
    axes = figure.add_subplot()
    report.draw_lines(axes, frame, f"{dataset.name}: linear head on frozen features")
    axes.legend(frameon=False, fontsize=9)
    sections = [report.Section("Top-1", report.table(frame)), *report.task_sections(frame)]
    if enlarged := count_enlarged(dataset, config.sizes):
        sections.append(report.Section("Images enlarged, as they are smaller", "", enlarged))
    report.write(folder, frame, figure, sections)
    return folder


def count_enlarged(dataset: Dataset, sizes: tuple[int, ...]) -> list[str]:
    """Where images are smaller than a size, which then is no test of a downscale."""
    images = dataset.train.images + dataset.val.images
    small = {size: sum(min(image.shape[1:]) < size for image in images) for size in sizes}
    return [f"{size} px: {n} of {len(images)}" for size, n in small.items() if n]
