"""Labelled images from folders, torchvision datasets or the code, and how they are split."""

import hashlib
import inspect
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from studies.images import read_image, to_pixels

LITTER = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir"}
"""What file managers leave in folders, in lower case, besides names that begin with a dot."""

HELD_OUT = 5
"""Where a data set has no validation images, one image in so many of each class becomes one."""

SplitRule = Literal["given", "resampled"]


class Images(Sequence[Tensor]):
    """Images ``[3, H, W]`` uint8 of any sizes, decoded when they are asked for.

    Every image is decoded once when this is made, so that a broken one is found before any work is
    done. Decoded images are kept while they fit ``memory``; the others are decoded again each time.

    Args:
        load: returns the image at a position; called from several threads.
        count: the number of images.
        what: names the images in the progress bar.
        memory: bytes of decoded images to keep.
        paths: the images' files, if they have any.
    """

    def __init__(
        self,
        load: Callable[[int], Tensor],
        count: int,
        what: str,
        memory: float,
        paths: Sequence[Path] = (),
    ) -> None:
        self._load, self.paths = load, tuple(paths)
        self._kept: dict[int, Tensor] = {}
        self.shapes: list[tuple[int, int]] = []  # (H, W) of each
        self.digests: list[str] = []
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            opened = threads.map(self._open, range(count))
            for i, (image, digest) in enumerate(
                tqdm(opened, f"read {what}", count, leave=False, disable=None)
            ):
                self.shapes.append((image.shape[1], image.shape[2]))
                self.digests.append(digest)
                memory -= image.nbytes
                if memory >= 0:
                    self._kept[i] = image

    def _open(self, i: int) -> tuple[Tensor, str]:
        image = self._load(i)
        if self.paths:
            return image, hashlib.sha256(self.paths[i].read_bytes()).hexdigest()
        return image, digest([image])

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, i: int) -> Tensor:
        return self._kept[i] if i in self._kept else self._load(i)


@dataclass(frozen=True)
class Dataset:
    """A named classification task: a pool of labelled images, some of them for validation."""

    name: str
    classes: tuple[str, ...]
    images: Sequence[Tensor]  # [N] of [3, H, W] uint8
    labels: np.ndarray  # [N] class indices
    held_out: np.ndarray  # [N] bool: the validation images

    @cached_property
    def shapes(self) -> list[tuple[int, int]]:
        """Height and width of each image."""
        return getattr(self.images, "shapes", None) or [
            (image.shape[1], image.shape[2]) for image in self.images
        ]

    @cached_property
    def image_digests(self) -> list[str]:
        """SHA-256 of each image's file, or of its pixels where it has none."""
        return getattr(self.images, "digests", None) or [digest([x]) for x in self.images]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of classes, labels, split and images; not of the name."""
        text = f"{self.classes} {self.labels.tolist()} {self.held_out.tolist()}"
        return hashlib.sha256(f"{text} {self.image_digests}".encode()).hexdigest()

    def split(self, rule: SplitRule, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the training and of the validation images, in ascending order.

        ``"given"`` is the data set's own split, whatever the seed. ``"resampled"`` draws, in each
        class, as many validation images as that has, from all of its images.
        """
        held_out = self.held_out
        if rule == "resampled":
            held_out = np.zeros_like(held_out)
            for label in range(len(self.classes)):
                members = np.flatnonzero(self.labels == label)
                count = self.held_out[members].sum()
                drawn = np.random.default_rng((seed, label)).permutation(members)[:count]
                held_out[drawn] = True
        return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def digest(tensors: Iterable[Tensor], text: str = "") -> str:
    """SHA-256 over shapes, dtypes and contents."""
    sha = hashlib.sha256(text.encode())
    for tensor in tensors:
        sha.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        sha.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
    return sha.hexdigest()


def held_out_by_rule(labels: np.ndarray) -> np.ndarray:
    """Mark every fifth image of each class, after a shuffle with seed 0, at least one.

    Raises:
        ValueError: a class with a single image.
    """
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise ValueError(f"data: class {label} must have at least 2 images to split, has 1")
        count = max(1, len(members) // HELD_OUT)
        held_out[np.random.default_rng((0, label)).permutation(members)[:count]] = True
    return held_out


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


def _files(folder: Path, classes: Sequence[str]) -> tuple[list[Path], list[int]]:
    """The files of all classes, class by class, and their class indices."""
    paths, labels = [], []
    for label, name in enumerate(classes):
        files = _visible(folder / name)
        if not files:
            raise ValueError(f"data: the class folder {folder / name} holds no images")
        paths += files
        labels += [label] * len(files)
    return paths, labels


def read_folder(folder: Path, memory: float) -> Dataset:
    """Read ``folder/train/CLASS/*`` and ``folder/val/CLASS/*``, or else ``folder/CLASS/*``.

    Without ``train`` and ``val``, see ``held_out_by_rule`` for which images validate.

    Raises:
        ValueError: a missing or empty folder, classes that differ, a file that is not an image.
    """
    if {"train", "val"} & {path.name for path in _visible(folder)}:
        train, val = (_class_folders(folder / split) for split in ("train", "val"))
        if train != val:
            raise ValueError(
                f"data: train/ and val/ in {folder} must have the same classes; only in train: "
                f"{sorted(set(train) - set(val))}, only in val: {sorted(set(val) - set(train))}"
            )
        classes = train
        paths, labels = _files(folder / "train", classes)
        held_out = np.zeros(len(paths), dtype=bool)
        more, more_labels = _files(folder / "val", classes)
        paths, labels = paths + more, np.array(labels + more_labels)
        held_out = np.arange(len(paths)) >= len(held_out)
    else:
        classes = _class_folders(folder)
        paths, labels = _files(folder, classes)
        labels = np.array(labels)
        held_out = held_out_by_rule(labels)
    name = folder.resolve().name
    images = Images(lambda i: read_image(paths[i]), len(paths), name, memory, paths)
    return Dataset(name, tuple(classes), images, labels, held_out)


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


def read_named(name: str, memory: float) -> Dataset:
    """A ``torchvision.datasets`` class with integer labels, by its name.

    Raises:
        ValueError: no such dataset, not an image classification task, or no way to download it.
    """
    try:
        parts = _open_splits(name)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"data: cannot obtain torchvision.datasets.{name}: {error}") from error
    count = len(parts[0])
    labels = [label for part in parts for _, label in part]
    if not all(isinstance(label, int | np.integer) for label in labels):
        raise ValueError(f"data: the labels of torchvision.datasets.{name} must be integers")

    def load(i: int) -> Tensor:
        part, place = (parts[0], i) if i < count else (parts[1], i - count)
        return _named_pixels(name, place, part[place][0])

    images = Images(load, len(labels), name, memory)
    classes = getattr(parts[0], "classes", sorted(set(labels)))
    held_out = np.arange(len(labels)) >= count
    return Dataset(name, tuple(map(str, classes)), images, np.array(labels), held_out)


def read(data: str, memory: float = 2**30) -> Dataset:
    """Read a folder, or else a ``torchvision.datasets`` name.

    Args:
        data: a folder with ``train/`` and ``val/``, each with a folder per class; a folder with a
            folder per class; or a ``torchvision.datasets`` name such as ``CIFAR10``.
        memory: bytes of decoded images to keep in memory.

    Raises:
        ValueError: see ``read_folder`` and ``read_named``.
    """
    if Path(data).is_dir():
        return read_folder(Path(data), memory)
    if data.isidentifier() and inspect.isclass(getattr(torchvision.datasets, data, None)):
        return read_named(data, memory)
    raise ValueError(
        "data: expected a folder with train/ and val/ or a folder per class, or a "
        f"torchvision.datasets name such as CIFAR10, got {data!r}"
    )
