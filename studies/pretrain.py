"""Train the small network behind `quickstart` on shapes and gratings made by the code."""

import dataclasses
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn
from tqdm import tqdm

from studies.networks import CifarResNet
from studies.pixels import normalise
from studies.run import write_atomically
from studies.synthetic import SHAPES, render_gratings, render_shapes, uniform

CHECKPOINT = Path(__file__).parent / "checkpoints" / "quickstart_resnet20.safetensors"
SIDE = 32  # small images are fast, and the features are used at every size
RADIUS = (0.1, 0.45)  # of the shapes, over the side
# Cycles per pixel, from long waves to just under the Nyquist limit of 0.5.
FREQUENCIES, FREQUENCY_BINS, ANGLE_BINS = (0.03, 0.48), 8, 4
CLASSES = len(SHAPES) + FREQUENCY_BINS * ANGLE_BINS


@dataclass(frozen=True)
class Config:
    """Train a ResNet-20 on images made by the code, and write its checkpoint."""

    steps: int = 1200
    """Batches to train on."""
    batch: int = 128
    """Images per batch: half shapes, half gratings."""
    lr: float = 0.1
    """Learning rate at the start."""
    weight_decay: float = 5e-4
    """Of the SGD optimiser."""
    seed: int = 0
    """Of the images and of the first weights."""
    out: Path = CHECKPOINT
    """The file to write."""


def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """``n`` images ``[n, 3, 32, 32]`` uint8, half shapes, half gratings, and labels ``[n]``."""
    shape = torch.randint(len(SHAPES), (n // 2,), generator=generator)
    place = uniform(generator, 0, 1, n - n // 2)  # in the range of frequencies
    turn = uniform(generator, 0, 1, n - n // 2)  # of half a circle: a grating looks the same behind
    frequency = FREQUENCIES[0] + (FREQUENCIES[1] - FREQUENCIES[0]) * place
    images = torch.cat(
        (
            render_shapes(shape, SIDE, generator, RADIUS),
            render_gratings(frequency * SIDE, turn * math.pi, SIDE, generator),
        )
    )
    # Angle bins are centred on 0, 45, 90 and 135 degrees.
    angle_bin = (turn * ANGLE_BINS).round().long() % ANGLE_BINS
    grating = (place * FREQUENCY_BINS).long() * ANGLE_BINS + angle_bin
    return images, torch.cat((shape, len(SHAPES) + grating))


def train(config: Config) -> CifarResNet:
    """SGD, the learning rate falling to zero on a cosine; every batch is new."""
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    network = CifarResNet(3, CLASSES).to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(
        network.parameters(), config.lr, 0.9, weight_decay=config.weight_decay, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    progress = tqdm(range(config.steps), "train", disable=None)
    for _ in progress:
        images, labels = draw(config.batch, generator)
        loss = nn.functional.cross_entropy(network(normalise(images)), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        progress.set_postfix(loss=f"{loss:.3f}", refresh=False)
    return network.eval()


@torch.inference_mode()
def accuracy(network: nn.Module, seed: int, n: int = 1000) -> dict[str, float]:
    """Top-1 among all classes on ``n`` new images, by kind of image."""
    images, labels = draw(n, torch.Generator().manual_seed(seed))
    parts = normalise(images).split(100)
    right = torch.cat([network(part).argmax(1) for part in parts]) == labels
    shapes, gratings = right.float().split((n // 2, n - n // 2))
    return {"shapes": round(shapes.mean().item(), 4), "gratings": round(gratings.mean().item(), 4)}


def run(config: Config) -> Path:
    """Train, test, and write the checkpoint with its history in the header.

    Raises:
        ValueError: no steps, or a batch without both kinds of images.
    """
    if config.steps < 1 or config.batch < 2:
        raise ValueError(f"steps, batch: expected at least 1 and 2, got {config}")
    config.out.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    network = train(config)
    top1 = accuracy(network, config.seed + 1)
    settings = {k: v for k, v in dataclasses.asdict(config).items() if k != "out"}
    history = {
        "architecture": "ResNet-20 for CIFAR, He et al. 2016, option A",
        "classes": f"{len(SHAPES)} shapes, {CLASSES - len(SHAPES)} gratings of studies.synthetic",
        "config": settings,
        "torch": torch.__version__,
        "accuracy": top1,
    }
    state = {k: v.contiguous() for k, v in network.state_dict().items()}
    # One key: safetensors writes several in random order, and the file would not be reproducible.
    header = {"training": json.dumps(history)}
    write_atomically(config.out, save(state, header))
    for kind, value in top1.items():
        print(f"top-1 among {CLASSES} classes, {kind}: {value:.1%}")
    print(f"{config.out}: {config.out.stat().st_size} bytes, {time.monotonic() - began:.0f} s")
    return config.out
