"""Top-1 of a linear head on frozen features, per resampling method and size."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

import torchresample as tr
from studies.data import Dataset, digest
from studies.models import build_backbone, read_state
from studies.run import Cell, Run

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 64
ORIGINAL = "original"
METHODS = ("nearest", "bilinear:no-antialias", "bilinear", "bicubic", "lanczos3", "box")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every probing study can vary."""

    methods: tuple[str, ...] = METHODS
    """Methods of torchresample, each as METHOD or METHOD:no-antialias."""
    sizes: tuple[int, ...]
    """Shorter sides in pixels."""
    like: str = "pillow"
    """The library whose pixels to reproduce."""
    device: str = "cpu"
    """Where to resample and to run the network."""
    weights: str
    """A torchvision weights name, or a ResNet's state_dict: .pth or .safetensors."""


def resize(image: Tensor, size: int, spec: str, like: str) -> Tensor:
    """Resample ``[..., H, W]`` to a shorter side of ``size``.

    ``spec`` is a method of ``torchresample``, with ``:no-antialias`` to sample without widening
    the filter.
    """
    method, _, flag = spec.partition(":")
    if flag not in ("", "no-antialias"):
        raise ValueError(f"methods: expected METHOD or METHOD:no-antialias, got {spec!r}")
    antialias = False if flag else None
    return tr.resize(image, size, method, like=like, antialias=antialias)


def check(settings: Settings) -> None:
    """Refuse what no cell could be measured with, before anything is read or written.

    Raises:
        ValueError: an unknown method, profile or device, a size below 1, a repeated entry.
    """
    methods, sizes = settings.methods, settings.sizes
    for name, given in (("methods", methods), ("sizes", sizes)):
        if not given or len(set(given)) < len(given):
            raise ValueError(f"{name}: expected at least one, each once, got {given}")
    if min(sizes) < 1:
        raise ValueError(f"sizes: expected sizes of at least 1 pixel, got {sizes}")
    for spec in methods:
        resize(torch.zeros(3, 4, 4, dtype=torch.uint8), 2, spec, settings.like)
    try:
        torch.zeros(1, device=settings.device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        raise ValueError(f"device: cannot use {settings.device!r}: {error}") from error


def crop_centre(image: Tensor, size: int) -> Tensor:
    """The central ``[..., size, size]`` of ``[..., H, W]``."""
    top, left = (image.shape[-2] - size) // 2, (image.shape[-1] - size) // 2
    return image[..., top : top + size, left : left + size]


def normalise(pixels: Tensor) -> Tensor:
    """uint8 ``[N, 3, H, W]`` to the float input of the networks."""
    mean, std = (torch.tensor(v, device=pixels.device)[:, None, None] for v in (MEAN, STD))
    x = (pixels / 255 - mean) / std
    return x.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Probe:
    """A frozen network, and whose pixels to give it."""

    network: nn.Module  # [N, 3, H, W] -> [N, features]
    like: str
    device: str

    @torch.inference_mode()
    def features(self, images: list[Tensor], method: str, size: int | None) -> np.ndarray:
        """``[N, features]`` of the resampled images, or of the originals one by one."""
        rows = []
        # Originals differ in size, and a network's input is one stack.
        step = 1 if method == ORIGINAL else BATCH
        for i in range(0, len(images), step):
            # Neighbours of one shape are resampled in one call.
            groups = groupby(images[i : i + step], key=lambda image: image.shape)
            stacks = [torch.stack(list(group)).to(self.device) for _, group in groups]
            if method != ORIGINAL:
                small = [resize(stack, size, method, self.like) for stack in stacks]
                stacks = [crop_centre(stack, size) for stack in small]
            rows.append(self.network(normalise(torch.cat(stacks))).cpu())
        return torch.cat(rows).numpy()

    def measure(self, dataset: Dataset, method: str, size: int | None) -> Cell:
        """Fit the head on the training images and test it on the others, prepared alike."""
        train, val = dataset.train, dataset.val
        head = fit_head(self.features(train.images, method, size), train.labels.numpy())
        guess = head.predict(self.features(val.images, method, size))
        right = guess == val.labels.numpy()
        return {"right": "".join("1" if r else "0" for r in right)}


def fit_head(features: np.ndarray, labels: np.ndarray) -> Pipeline:
    """A linear classifier on standardised features; deterministic."""
    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=10_000))
    return head.fit(features.astype(np.float64), labels)


def grid(tasks: Iterable[str], methods: tuple[str, ...], sizes: tuple[int, ...]) -> list[Cell]:
    """The keys of all cells: per task the original-resolution baseline, then method x size."""
    conditions = [(ORIGINAL, None), *((method, size) for size in sizes for method in methods)]
    return [
        {"task": task, "method": method, "size": size}
        for task in tasks
        for method, size in conditions
    ]


def measure_all(name: str, config: Settings, datasets: list[Dataset]) -> tuple[Path, list[Cell]]:
    """A study's run folder and all its cells."""
    state = read_state(config.weights)
    network = build_backbone(state, config.weights).to(config.device)
    identity = {
        "data": digest((), " ".join(dataset.digest() for dataset in datasets)),
        "weights": digest(state.values(), " ".join(state)),
    }
    run = Run(name, config, identity)
    probe = Probe(network, config.like, config.device)
    tasks = {dataset.name: dataset for dataset in datasets}
    cells = run.finish(
        grid(tasks, config.methods, config.sizes),
        lambda key: probe.measure(tasks[key["task"]], key["method"], key["size"]),
    )
    return run.folder, cells
