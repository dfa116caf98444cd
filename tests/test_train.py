"""Training: the loop, its schedule, and what must not change a result."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from studies.pixels import Pixels, Views
from studies.train import (
    RECIPES,
    Classifier,
    Recipe,
    learning_rate,
    make_optimiser,
    outputs,
    train,
)

HOW = {"precision": "float32", "device": "cpu", "workers": 0}
SHORT = Recipe(6, 8, "sgd", 0.05, 1.0, 1e-4, 0.0, 0.1, "none")


class Tiny(nn.Module):
    """A backbone of one convolution and a batch norm."""

    width = 8

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 8, 3, 2, bias=False), nn.BatchNorm2d(8)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(x))).mean((2, 3))


def network(seed=0):
    torch.manual_seed(seed)
    return Classifier(Tiny(), 2)


@pytest.fixture(scope="module")
def task():
    """40 images of noise around a dark and a light grey, and their labels."""
    rng = np.random.default_rng(3)
    labels = np.arange(40) % 2
    images = [
        torch.from_numpy(rng.integers(40 + 90 * c, 130 + 90 * c, (3, 20, 24), dtype=np.uint8))
        for c in labels
    ]
    return images, labels


def weights_after(task, recipe=SHORT, seed=0, **how):
    model = network()
    views = Views(*task, range(40), Pixels("bilinear", 16), recipe.augment, seed)
    train(model, views, recipe, seed=seed, **(HOW | how))
    return torch.cat([p.detach().ravel() for p in model.parameters()])


def test_training_tells_the_classes_apart(task):
    model = network()
    views = Views(*task, range(0, 40, 1), Pixels("bilinear", 16))
    train(model, views, SHORT, seed=0, **HOW)
    assert not model.training
    guess = outputs(model, views, batch=16, **HOW).argmax(1)
    assert (guess == task[1]).all()
    assert (outputs(network(), views, batch=16, **HOW).argmax(1) == task[1]).mean() < 1


@pytest.mark.parametrize("augment", ["none", "flip", "crop"])
def test_a_seed_gives_the_same_weights_whatever_the_workers(task, augment):
    recipe = dataclasses.replace(SHORT, augment=augment)
    first = weights_after(task, recipe)
    assert torch.equal(first, weights_after(task, recipe))
    assert torch.equal(first, weights_after(task, recipe, workers=2))
    assert not torch.equal(first, weights_after(task, recipe, seed=1))


def test_augmentation_changes_with_the_epoch_and_leaves_torchs_generator(task):
    views = Views(*task, range(40), Pixels("bilinear", 16), "crop", 5)
    before = torch.get_rng_state()
    first = views[3][0]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(views[3][0], first)
    views.epoch = 1
    assert not torch.equal(views[3][0], first)
    assert first.shape == (3, 16, 16)
    assert first.dtype == torch.uint8


def test_half_of_the_images_are_mirrored(task):
    image = torch.arange(3 * 16 * 16, dtype=torch.uint8).reshape(3, 16, 16)
    views = Views([image] * 400, [0] * 400, range(400), Pixels("bilinear", 16), "flip")
    mirrored = sum(torch.equal(views[i][0], image.flip(-1)) for i in range(400))
    whole = sum(torch.equal(views[i][0], image) for i in range(400))
    assert mirrored + whole == 400
    # Beyond 4.5 standard deviations: 7 in a million by chance, and the seed is fixed.
    assert abs(mirrored - 200) < 4.5 * math.sqrt(400) / 2


def test_learning_rate_rises_and_falls_to_zero():
    shares = [learning_rate(step, 100, 0.1) for step in range(101)]
    assert shares[0] == pytest.approx(1 / 11)
    assert max(shares) == shares[10] == 1
    assert all(np.diff(shares[:11]) > 0)
    assert all(np.diff(shares[10:]) < 0)
    assert shares[55] == pytest.approx(0.5)
    assert shares[100] == pytest.approx(0)
    assert learning_rate(0, 1, 0.0) == 1


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_weights_decay_but_for_biases_and_norms(optimiser):
    recipe = dataclasses.replace(RECIPES["finetune"], optimiser=optimiser, weight_decay=0.5)
    model = network()
    rates = {}
    for group in make_optimiser(model, recipe).param_groups:
        for p in group["params"]:
            rates[p] = group["weight_decay"], group["lr"]
    assert len(rates) == len(list(model.parameters()))
    assert rates[model.backbone.conv.weight] == (0.5, recipe.lr)
    assert rates[model.backbone.bn.weight] == rates[model.backbone.bn.bias] == (0, recipe.lr)
    assert rates[model.head.weight] == (0.5, recipe.lr * recipe.head_lr)
    assert rates[model.head.bias] == (0, recipe.lr * recipe.head_lr)


def test_a_training_that_diverges_says_so(task):
    with pytest.raises(ValueError, match=r"lr: training with 1e\+30 diverged"):
        weights_after(task, dataclasses.replace(SHORT, lr=1e30))


def test_progress_ends_at_one(task):
    shares = []
    weights_after(task, tick=shares.append)
    assert shares[-1] == 1
    assert len(shares) == 6 * 5
    assert all(np.diff(shares) > 0)
