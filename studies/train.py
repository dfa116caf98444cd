"""Training a classifier on a data set, whole or from scratch: a plain loop."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import BatchSampler, DataLoader, RandomSampler

from studies import processes
from studies.pixels import Augment, Views, normalise


class DivergedError(ValueError):
    """Weights are not finite after a training."""


Optimiser = Literal["sgd", "adamw"]
Precision = Literal["bf16", "float32"]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: one frozen set of numbers, all of them in a cell's key.

    Weight decay spares biases and normalisation layers (He et al. 2018, arXiv 1812.01187, and
    timm). The learning rate rises linearly for a share of the steps, then falls to zero on a cosine
    (as torchvision's references do it). Nesterov momentum is 0.9.
    """

    epochs: int
    batch: int
    optimiser: Optimiser
    lr: float
    head_lr: float  # times lr, for the new linear layer
    weight_decay: float
    label_smoothing: float
    warmup: float  # share of the steps
    augment: Augment


RECIPES = {
    # SGD with these numbers is what most work on fine-tuning has used (Li et al. 2020, arXiv
    # 2002.11770, section 1), but for the learning rate: 0.01 there. Of 0.003 and 0.01, 0.003 was
    # ahead by 4 points on ten textures (two splits, 64 px). The new layer learns ten times as fast.
    "finetune": Recipe(30, 32, "sgd", 0.003, 10.0, 1e-4, 0.1, 0.1, "crop"),
    # As He et al. 2016 (arXiv 1512.03385, section 4.2) train networks of this kind from scratch.
    "scratch": Recipe(60, 32, "sgd", 0.1, 1.0, 1e-4, 0.1, 0.1, "crop"),
}


class Classifier(nn.Module):
    """A backbone and a new linear layer: ``[N, 3, H, W]`` floats to ``[N, classes]`` logits."""

    def __init__(self, backbone: nn.Module, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.backbone(x))


def make_optimiser(network: Classifier, recipe: Recipe) -> torch.optim.Optimizer:
    """An optimiser with the head's own learning rate, which decays weights of layers only."""
    groups = []
    for part, lr in ((network.backbone, recipe.lr), (network.head, recipe.lr * recipe.head_lr)):
        for decays in (True, False):
            weights = [p for p in part.parameters() if (p.ndim > 1) == decays]
            decay = recipe.weight_decay if decays else 0.0
            groups.append({"params": weights, "lr": lr, "weight_decay": decay})
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(groups)
    return torch.optim.SGD(groups, momentum=0.9, nesterov=True)


def learning_rate(step: int, steps: int, warmup: float) -> float:
    """The share of the full learning rate at a step: a linear rise, then a cosine to zero."""
    rise = round(warmup * steps)
    if step < rise:
        return (step + 1) / (rise + 1)
    return (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1))) / 2


def train(
    network: Classifier,
    views: Views,
    recipe: Recipe,
    *,
    seed: int,
    precision: Precision,
    device: str,
    workers: int,
    tick: Callable[[float], None] = lambda share: None,
) -> None:
    """Train all weights in place; batch norm learns its statistics anew.

    Under torchrun the processes share each batch, and gradients are those of the whole batch, but
    that batch norm takes its statistics from the images of one process.

    Args:
        network: on ``device``.
        views: the training images, augmented.
        recipe: see ``Recipe``.
        seed: of the order of the images.
        precision: ``"bf16"`` runs convolutions and products under ``torch.autocast``.
        device: where to train.
        workers: processes that prepare images; 0 prepares them in this one.
        tick: called after every batch with the share that is done.

    Raises:
        DivergedError: weights that are not finite.
        ValueError: fewer images in a batch than processes.
    """
    order = RandomSampler(views, generator=torch.Generator().manual_seed(seed))
    batch = min(recipe.batch, len(views))
    if batch < processes.count():
        raise ValueError(f"batch: expected at least one image per process, got {batch} in all")
    # A last batch of a few images would give batch norm poor statistics.
    whole = len(views) >= recipe.batch
    shares = processes.Shares(BatchSampler(order, recipe.batch, drop_last=whole))
    loader = DataLoader(views, batch_sampler=shares, num_workers=workers)
    steps = recipe.epochs * len(loader)
    optimiser = make_optimiser(network, recipe)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: learning_rate(step, steps, recipe.warmup)
    )
    shared = processes.share_gradients(network)
    shared.train()
    for epoch in range(recipe.epochs):
        views.epoch = epoch
        for images, labels in loader:
            with torch.autocast(torch.device(device).type, torch.bfloat16, precision == "bf16"):
                logits = shared(normalise(images.to(device)))
                loss = cross_entropy(
                    logits, labels.to(device), label_smoothing=recipe.label_smoothing
                )
            optimiser.zero_grad()
            # Processes' gradients are averaged, and their shares of a batch may differ by an image.
            (loss * (len(labels) * processes.count() / batch)).backward()
            optimiser.step()
            schedule.step()
            tick(schedule.last_epoch / steps)
    network.eval()
    if not all(p.isfinite().all() for p in network.parameters()):
        raise DivergedError(f"lr: training with {recipe.lr} diverged: weights are not finite")


@torch.inference_mode()
def outputs(
    network: nn.Module,
    views: Views,
    *,
    precision: Precision,
    device: str,
    workers: int,
    batch: int,
    tick: Callable[[float], None] = lambda share: None,
) -> np.ndarray:
    """Compute a network's outputs for images, ``[N, K]`` float32, in the order of ``views``."""
    rows = []
    loader = DataLoader(views, batch, num_workers=workers)
    for images, _ in loader:
        with torch.autocast(torch.device(device).type, torch.bfloat16, precision == "bf16"):
            rows.append(network(normalise(images.to(device))).float().cpu())
        tick(len(rows) / len(loader))
    return torch.cat(rows).numpy()
