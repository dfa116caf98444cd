"""Labelled images in memory: from folders, torchvision datasets, or the code itself."""

import hashlib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from studies.images import read_image, to_pixels

LITTER = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir"}
"""What file managers leave in folders, in lower case, besides names that begin with a dot."""


@dataclass(frozen=True)
class Split:
    """Images ``[3, H, W]`` uint8, of any sizes, with their class indices ``[N]``."""

    images: list[Tensor]
    labels: Tensor


@dataclass(frozen=True)
class Dataset:
    """A named classification task."""

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split

    def digest(self) -> str:
        """Changes with the name, any class, label, size or pixel."""
        tensors = []
        for split in (self.train, self.val):
            tensors += [split.labels, *split.images]
        return digest(tensors, f"{self.name} {self.classes}")


def digest(tensors: Iterable[Tensor], text: str = "") -> str:
    """SHA-256 over shapes, dtypes and contents."""
    sha = hashlib.sha256(text.encode())
    for tensor in tensors:
        sha.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        sha.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
    return sha.hexdigest()


def _visible(folder: Path) -> list[Path]:
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise ValueError(f"data: cannot read the folder {folder}: {error}") from error
    return [p for p in paths if not p.name.startswith(".") and p.name.lower() not in LITTER]


def _class_folders(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise ValueError(f"data: expected a folder {folder} with a folder per class, found none")
    names = [path.name for path in _visible(folder) if path.is_dir()]
    # Python stands a lone surrogate for a byte that is no UTF-8, and no report could be written.
    every = (folder.resolve().parent.name, *names)
    broken = [name for name in every if any("\ud800" <= letter <= "\udfff" for letter in name)]
    if broken:
        raise ValueError(f"data: {folder} and its folders must have names in UTF-8, got {broken}")
    if len(names) < 2:
        raise ValueError(f"data: {folder} must hold at least 2 class folders, found {names}")
    return names


def _read_split(folder: Path, classes: list[str]) -> Split:
    paths, labels = [], []
    for label, name in enumerate(classes):
        files = _visible(folder / name)
        if not files:
            raise ValueError(f"data: the class folder {folder / name} holds no images")
        paths += files
        labels += [label] * len(files)
    progress = tqdm(paths, f"decode {folder.name}", leave=False, disable=None)
    return Split([read_image(path) for path in progress], torch.tensor(labels))


def read_folder(folder: Path) -> Dataset:
    """Decode ``folder/train/CLASS/*`` and ``folder/val/CLASS/*``.

    Raises:
        ValueError: a missing or empty folder, classes that differ, a file that is not an image.
    """
    train, val = (_class_folders(folder / split) for split in ("train", "val"))
    if train != val:
        raise ValueError(
            f"data: train/ and val/ in {folder} must have the same classes; only in train: "
            f"{sorted(set(train) - set(val))}, only in val: {sorted(set(val) - set(train))}"
        )
    name = folder.resolve().name
    return Dataset(
        name, tuple(train), _read_split(folder / "train", train), _read_split(folder / "val", train)
    )


def _open_splits(name: str) -> list:
    """The training and held-out parts of a torchvision dataset, downloaded where needed."""
    kind = getattr(torchvision.datasets, name)
    root = Path(torch.hub.get_dir()) / "datasets"
    parameters = inspect.signature(kind).parameters
    download = {"download": True} if "download" in parameters else {}
    if "train" in parameters:
        return [kind(root, train=train, **download) for train in (True, False)]
    if "split" not in parameters:
        raise ValueError(f"data: torchvision.datasets.{name} has no train and held-out splits")
    try:
        held_out = kind(root, split="val", **download)
    except ValueError:  # torchvision's word for "no such split"
        held_out = kind(root, split="test", **download)
    return [kind(root, split="train", **download), held_out]


def _named_pixels(name: str, i: int, image: object) -> Tensor:
    """``to_pixels`` of a torchvision dataset's image."""
    try:
        if not isinstance(image, Image.Image):
            raise ValueError(f"expected a PIL image, got {type(image).__name__}")
        return to_pixels(image)
    except (OSError, ValueError) as error:
        raise ValueError(f"data: image {i} of torchvision.datasets.{name}: {error}") from error


def read_named(name: str) -> Dataset:
    """A ``torchvision.datasets`` class with integer labels, by its name.

    Raises:
        ValueError: no such dataset, not an image classification task, or no way to download it.
    """
    try:
        parts = _open_splits(name)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"data: cannot obtain torchvision.datasets.{name}: {error}") from error
    splits = []
    for part in parts:
        pairs = list(tqdm(part, f"decode {name}", leave=False, disable=None))
        if not all(isinstance(label, int | np.integer) for _, label in pairs):
            raise ValueError(f"data: the labels of torchvision.datasets.{name} must be integers")
        images = [_named_pixels(name, i, image) for i, (image, _) in enumerate(pairs)]
        splits.append(Split(images, torch.tensor([int(label) for _, label in pairs])))
    classes = getattr(parts[0], "classes", sorted(set(splits[0].labels.tolist())))
    return Dataset(name, tuple(map(str, classes)), *splits)


def read(data: str) -> Dataset:
    """A folder with ``train/`` and ``val/``, or else a ``torchvision.datasets`` name."""
    if Path(data).is_dir():
        return read_folder(Path(data))
    if data.isidentifier() and inspect.isclass(getattr(torchvision.datasets, data, None)):
        return read_named(data)
    raise ValueError(
        "data: expected a folder with train/ and val/, or a torchvision.datasets name such as "
        f"CIFAR10, got {data!r}"
    )
