"""What one method of one profile does to signals and photographs, and how long it takes."""

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import torchresample as tr
from studies import signals
from studies.data import LITTER, digest
from studies.images import read_image
from studies.run import Cell
from torchresample.light import to_linear

WINDOW = 11
"""Pixels along each side of SSIM's window, the least that a cropped image must have."""
LARGEST_TERM = 16
"""Of a factor's numerator and denominator."""
ZONE = 120
"""About the side in pixels of a resized zone plate."""
LUMA = (0.299, 0.587, 0.114)
"""Of R, G and B: ITU-R BT.601, full range."""
SSIM = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
"""The window of Wang et al. 2004, Image quality assessment."""
MEGAPIXEL = 1000
"""The side of the image that is timed."""
COSTS = ("cost_p20_ms_per_mp", "cost_ms_per_mp", "cost_p80_ms_per_mp")


@dataclass(frozen=True)
class Variant:
    """One method as one profile does it, with or without antialiasing."""

    like: str
    method: str
    antialias: bool

    @property
    def name(self) -> str:
        """The method, and whether it antialiases where the profile would do the opposite."""
        usual = tr.PROFILES[self.like].antialias(None, self.method, torch.uint8)
        flag = ":antialias" if self.antialias else ":no-antialias"
        return self.method + (flag if self.antialias != usual else "")

    def resize(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """Resample ``[..., H, W]``."""
        return tr.resize(image, size, self.method, like=self.like, antialias=self.antialias)

    def across(self, lines: Tensor, n: int) -> Tensor:
        """Resample the last axis of ``[N, rows, W]``: see ``signals.Resample``."""
        return self.resize(lines[:, None], (lines.shape[1], n))[:, 0]

    def down(self, lines: Tensor, n: int) -> Tensor:
        """Resample the last axis of ``[N, columns, H]`` as columns of an image."""
        return self.resize(lines[:, None].mT, (n, lines.shape[1]))[:, 0].mT


def variants(like: tuple[str, ...], methods: tuple[str, ...]) -> list[Variant]:
    """All that the profiles have, or those of them that ``methods`` names.

    Raises:
        ValueError: an unknown profile, or a name that none of the profiles has.
    """
    if not like or len(set(like)) < len(like) or set(like) - set(tr.PROFILES):
        raise ValueError(f"like: expected of {', '.join(tr.PROFILES)}, each once, got {like}")
    every = [
        Variant(profile, method, antialias)
        for profile in like
        for method, kind in tr.PROFILES[profile].methods.items()
        for antialias in kind.antialias
    ]
    names = {variant.name for variant in every}
    if len(set(methods)) < len(methods) or set(methods) - names:
        names = ", ".join(sorted(names))
        raise ValueError(f"methods: expected of {names}, each once, got {methods}")
    return [variant for variant in every if variant.name in methods or not methods]


def parse(factor: str) -> Fraction:
    """A factor as a reduced fraction.

    Raises:
        ValueError: no fraction, 1, or one with a term that is too large.
    """
    try:
        value = Fraction(factor)
    except (ValueError, ZeroDivisionError):
        value = Fraction(0)
    if value <= 0 or value == 1 or max(value.as_integer_ratio()) > LARGEST_TERM:
        raise ValueError(
            f"factors: expected fractions such as 1/3 or 2, other than 1 and with terms up to "
            f"{LARGEST_TERM}, got {factor!r}"
        )
    return value


def crop(image: Tensor, unit: int) -> Tensor:
    """The central part of ``[..., H, W]`` whose sides are multiples of ``unit``."""
    h, w = (n // unit * unit for n in image.shape[-2:])
    top, left = (image.shape[-2] - h) // 2, (image.shape[-1] - w) // 2
    return image[..., top : top + h, left : left + w]


def scaled(image: Tensor, factor: Fraction) -> tuple[int, int]:
    """``(h, w)`` of an image times a factor that keeps them whole."""
    h, w = (int(n * factor) for n in image.shape[-2:])
    return h, w


# Photographs.


@dataclass(frozen=True)
class Photographs:
    """The images of a folder, ``[3, H, W]`` uint8 of any sizes."""

    name: str
    images: list[Tensor]
    digest: str


def read_photographs(folder: str, factors: list[Fraction]) -> Photographs:
    """Decode every file of a folder, in the order of their names.

    Raises:
        ValueError: no folder, no images, or one that is broken, too small for the factors, or of
            one brightness.
    """
    place = Path(folder)
    if not place.is_dir():
        raise ValueError(f"data: expected a folder of images, got {folder!r}")
    paths = sorted(p for p in place.iterdir() if p.name[0] != "." and p.name.lower() not in LITTER)
    if not paths:
        raise ValueError(f"data: the folder {folder!r} holds no images")
    least = max(-(-WINDOW // unit(factor)) * unit(factor) for factor in factors)
    images = []
    for path in tqdm(paths, f"decode {place.name}", leave=False, disable=None):
        image = read_image(path)
        if min(image.shape[1:]) < least:
            raise ValueError(
                f"data: {path} must have at least {least} pixels on each side for these factors, "
                f"got {image.shape[1]} x {image.shape[2]}"
            )
        if np.ptp(luma(image)) == 0:
            raise ValueError(f"data: {path} is of one brightness, which every method keeps")
        images.append(image)
    return Photographs(place.resolve().name, images, digest(images)[:16])


def unit(factor: Fraction) -> int:
    """Return the number that must divide an image's sides, for it to return at its size."""
    return max(factor.as_integer_ratio())


def luma(image: Tensor) -> np.ndarray:
    """The brightness ``[H, W]`` of ``[3, H, W]`` uint8, float32 from 0 to 255, not rounded."""
    return (image * torch.tensor(LUMA)[:, None, None]).sum(0).numpy()


def round_trip(image: Tensor, variant: Variant, factor: Fraction, up: str) -> tuple[Tensor, Tensor]:
    """Resize there and back; returns the variant's result, and the one of the image's size.

    A factor below 1: the variant shrinks, Pillow's method ``up`` enlarges.
    Above 1: Pillow's box shrinks, the variant enlarges.
    """
    size = tuple(image.shape[-2:])
    if factor < 1:
        small = variant.resize(image, scaled(image, factor))
        return small, tr.resize(small, size, up, like="pillow")
    small = tr.resize(image, scaled(image, 1 / factor), "box", like="pillow")
    large = variant.resize(small, size)
    return large, large


def quality(photographs: Photographs, variant: Variant, factor: Fraction, up: str) -> Cell:
    """Mean PSNR and SSIM of luma over all pixels, borders included, and a digest of the pixels."""
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    scores, pixels = [], hashlib.sha256()
    for whole in photographs.images:
        image = crop(whole, unit(factor))
        made, back = round_trip(image, variant, factor, up)
        pixels.update(made.contiguous().numpy())
        pair = luma(image), luma(back)
        with np.errstate(divide="ignore"):  # equal pixels have an infinite PSNR
            psnr = peak_signal_noise_ratio(*pair, data_range=255)
        scores.append((psnr, structural_similarity(*pair, data_range=255, **SSIM)))
    psnr, ssim = np.mean(scores, 0)
    return {
        "n": len(scores),
        "psnr": round(float(psnr), 4),
        "ssim": round(float(ssim), 5),
        "psnr_images": " ".join(f"{score:.3f}" for score, _ in scores),
        "pixels": pixels.hexdigest()[:12],
    }


# Signals.


@cache
def respond(variant: Variant, factor: Fraction) -> signals.Response:
    """The response along rows."""
    return signals.respond(variant.across, factor)


@cache
def theory(variant: Variant, factor: Fraction) -> Cell:
    """Measure what a variant does to signals; see ``signals`` for the definitions."""
    across = respond(variant, factor)
    values = {
        "aliasing": across.aliasing(),
        "loss_db": across.loss_db(),
        "shift_x": across.shift(),
        "shift_y": signals.respond(variant.down, factor).shift(),
        "overshoot": signals.overshoot(variant.across, factor),
        "dc_gain": across.gain[0],
        "flat_error": flat_error(variant, factor),
        "light": light(variant, factor),
    }
    for at in signals.FRACTIONS:
        if at * across.limit <= 0.5:  # the largest frequency that the input can have
            values[f"gain_{at:g}"] = across.gain_at(at)
    # Rounded to what is meant, and zero without a sign.
    return {name: round(float(value), 6) + 0.0 for name, value in values.items()}


def flat_error(variant: Variant, factor: Fraction) -> int:
    """The largest error in levels on uint8 RGB images of one grey, for all 256 of them."""
    side = 4 * factor.denominator
    flat = torch.arange(256, dtype=torch.uint8)[:, None, None, None].repeat(1, 3, side, 2 * side)
    result = variant.resize(flat, scaled(flat, factor))
    return int((result.int() - torch.arange(256)[:, None, None, None]).abs().max())


def zone_plate(variant: Variant, factor: Fraction, resized: int = ZONE) -> tuple[Tensor, Tensor]:
    """The zone plate ``[H, W]`` uint8, and what a variant makes of it: about ``resized`` pixels."""
    side = round(resized / factor) // factor.denominator * factor.denominator
    plate = signals.zone_plate(side)
    return plate, variant.resize(plate[None], scaled(plate, factor))[0]


def light(variant: Variant, factor: Fraction) -> float:
    """The mean light of a resized zone plate over the zone plate's: 1 where brightness is kept."""
    before, after = (to_linear(p.double() / 255).mean() for p in zone_plate(variant, factor))
    return float(after / before)


# Cost.


def costs(
    measured: Iterable[tuple[Variant, str]], repeats: int, seed: int
) -> dict[tuple[Variant, str], Cell]:
    """The 20th, 50th and 80th percentile of the time of a resize, in ms per megapixel of input.

    One uint8 RGB image of noise, channels last in memory, is resized by all variants and factors
    in turns of random order. An untimed call before each makes its weights, which the timed one
    finds.
    """
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (MEGAPIXEL, MEGAPIXEL, 3), dtype=np.uint8)
    image = torch.from_numpy(noise).permute(2, 0, 1)
    calls, times = {}, {}
    for variant, factor in measured:
        part = crop(image, parse(factor).denominator)
        call = partial(variant.resize, part, scaled(part, parse(factor)))
        calls[variant, factor] = call, part[0].numel()
        times[variant, factor] = []
    order = list(calls)
    for _ in tqdm(range(repeats), "timings", leave=False, disable=None):
        for i in rng.permutation(len(order)):
            call, pixels = calls[order[i]]
            call()
            began = time.perf_counter()
            call()
            times[order[i]].append(1e9 * (time.perf_counter() - began) / pixels)
    return {
        key: dict(zip(COSTS, np.percentile(ms, (20, 50, 80)).round(4).tolist(), strict=True))
        for key, ms in times.items()
    }
