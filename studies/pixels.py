"""How an image becomes a network's input: the central square, resized, and normalised."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

import torchresample as tr
from studies.data import Images
from studies.images import read_image

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ORIGINAL, WHOLE = "original", "whole"
"""The central square at its own resolution, and the whole image: neither is resized."""
FLAGS = ("no-antialias", "float", "reduced")
SCALE = (0.35, 1.0)

Augment = Literal["none", "flip", "crop"]


@dataclass(frozen=True)
class Pixels:
    """What a network sees of an image.

    All sizes and methods show the same part of an image, its central square: it is cut out first,
    and then resized. So they differ in nothing but size and pixels.

    Args:
        method: a method of ``torchresample``, ``"original"`` or ``"whole"``. A method may be
            followed by ``:no-antialias`` (the filter is not widened), ``:float`` (it resizes
            floats, which are neither rounded nor clamped) and ``:reduced`` (the JPEG decoder first
            reduces the image by 2, 4 or 8, where at least ``size`` pixels remain).
        size: side of the result in pixels; ``None`` for ``"original"`` and ``"whole"``.
        like: the library whose pixels to reproduce.
        via: side in pixels to resize to first, by the same method: a source of that resolution.

    Raises:
        ValueError: an unknown method, flag or profile, or a method that the profile does not have.
    """

    method: str
    size: int | None
    like: str = "pillow"
    via: int | None = None

    def __post_init__(self) -> None:
        if self.method in (ORIGINAL, WHOLE):
            return
        _, *flags = self.method.split(":")
        if unknown := set(flags) - set(FLAGS):
            raise ValueError(
                f"methods: expected METHOD, or METHOD followed by any of "
                f"{', '.join(':' + flag for flag in FLAGS)}, got {self.method!r} with {unknown}"
            )
        self.resizer()(torch.zeros(3, 4, 4, dtype=torch.uint8), 2)

    def resizer(self) -> Callable[[Tensor, int | tuple[int, int]], Tensor]:
        """``resize(image, size)`` by this method, of uint8 or floats as they come."""
        name, *flags = self.method.split(":")
        antialias = False if "no-antialias" in flags else None
        return partial(tr.resize, method=name, like=self.like, antialias=antialias)

    def read(self, images: Sequence[Tensor], i: int) -> Tensor:
        """The image at a position as ``[3, H, W]``, before it is cropped and resized."""
        flags = self.method.split(":")[1:]
        if "reduced" in flags:
            side = self.via or self.size
            if not (isinstance(images, Images) and images.paths):
                raise ValueError(f"methods: {self.method!r} must have image files to decode")
            return read_image(images.paths[i], reduce_to=side)
        return images[i]

    def __call__(self, image: Tensor) -> Tensor:
        """Cut out and resize ``[3, H, W]``: to ``[3, size, size]``, uint8, or float if so asked."""
        if self.method == WHOLE:
            return image
        image = central_square(image)
        if self.method == ORIGINAL:
            return image
        if "float" in self.method.split(":"):
            image = image.float()
        for side in (self.via, self.size):
            image = image if side is None else self.resizer()(image, (side, side))
        return image


def central_square(image: Tensor) -> Tensor:
    """The largest square in the middle of ``[..., H, W]``."""
    height, width = image.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[..., top : top + side, left : left + side]


def normalise(pixels: Tensor) -> Tensor:
    """``[N, 3, H, W]`` from 0 to 255 to the float input of the networks, channels last."""
    mean, std = (torch.tensor(v, device=pixels.device)[:, None, None] for v in (MEAN, STD))
    x = (pixels / 255 - mean) / std
    return x.contiguous(memory_format=torch.channels_last)


class Views(torch.utils.data.Dataset):
    """Some images of a data set as a network is to see them, with their labels.

    Random crops and flips depend on seed, epoch and position only, so that neither the number of
    workers nor that of processes changes them.

    Args:
        images: ``[N]`` of ``[3, H, W]`` uint8.
        labels: ``[N]`` class indices.
        chosen: positions of those to show.
        pixels: how to prepare them.
        augment: ``"none"``, ``"flip"`` (half of them mirrored), or ``"crop"`` (a
            ``torchresample.RandomResizedCrop`` of at least 35 % of the whole image, and flips).
        seed: of the random numbers.
    """

    def __init__(
        self,
        images: Sequence[Tensor],
        labels: Sequence[int],
        chosen: Sequence[int],
        pixels: Pixels,
        augment: Augment = "none",
        seed: int = 0,
    ) -> None:
        self.images, self.labels, self.chosen = images, labels, chosen
        self.pixels, self.augment, self.seed = pixels, augment, seed
        self.epoch = 0
        if augment == "crop":
            resizer = pixels.resizer().keywords
            self.crop = tr.RandomResizedCrop(pixels.size, SCALE, hflip_prob=0.5, **resizer)

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        i = int(self.chosen[place])
        image, label = self.pixels.read(self.images, i), int(self.labels[i])
        if self.augment == "none":
            return self.pixels(image), label
        with torch.random.fork_rng(devices=[]):
            entropy = np.random.SeedSequence((self.seed, self.epoch, i))
            torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0]))
            if self.augment == "crop":
                return self.crop(image), label
            pixels = self.pixels(image)
            return (pixels.flip(-1) if torch.rand(()) < 0.5 else pixels), label
