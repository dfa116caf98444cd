"""A training shared by the processes of torchrun is that of one process."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from studies import pretrain
from studies.pixels import Pixels, Views
from studies.train import Classifier, Recipe, train

ROOT = Path(__file__).parents[1]
RECIPE = Recipe(3, 7, "sgd", 0.05, 1.0, 1e-4, 0.1, 0.1, "flip")
"""Seven images in a batch: shares of four and of three."""

CHILD = """
import sys, torch
from studies import processes
from test_torchrun import weights_after
torch.set_num_threads(1)
with processes.joined("cpu"):
    weights = weights_after(int(sys.argv[1]))
    torch.save(weights, f"{processes.rank()}.pt")
    if processes.rank():
        assert not list(processes.announced())
"""


class Plain(nn.Module):
    """A smooth backbone in float64, without batch norm."""

    width = 6

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, 2)

    def forward(self, x):
        return torch.tanh(self.conv(x.double())).mean((2, 3))


def weights_after(seed):
    """All weights after a training on 24 images of noise: nine steps."""
    rng = np.random.default_rng(seed)
    images = torch.from_numpy(rng.integers(0, 256, (24, 3, 12, 12), dtype=np.uint8))
    torch.manual_seed(seed)
    network = Classifier(Plain(), 2).double()
    views = Views(images, np.arange(24) % 2, range(24), Pixels("bilinear", 8), RECIPE.augment, seed)
    train(network, views, RECIPE, seed=seed, precision="float32", device="cpu", workers=0)
    return torch.cat([p.detach().ravel() for p in network.parameters()])


def torchrun(arguments, folder, count=2):
    """Run in processes of torchrun; returns what it did."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, "--nproc-per-node", str(count), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_weights_are_those_of_one_process(tmp_path, rng):
    seed = int(rng.integers(2**31))
    (tmp_path / "child.py").write_text(CHILD)
    done = torchrun(["child.py", str(seed)], tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / f"{i}.pt", weights_only=True) for i in range(2))
    assert torch.equal(first, second)
    # Gradients are the same sums in another order. Each adds fewer than 1e4 products, which leaves
    # less than 1e4 eps of their size (about 1) in every step. Nine steps of 0.05, with momentum
    # (tenfold at most) and a smooth network, magnify that less than 100 times. An image that were
    # counted twice, or with another weight, would move weights by more than 1e-6.
    bound = 1e6 * torch.finfo(torch.float64).eps
    torch.testing.assert_close(first, weights_after(seed), rtol=0, atol=bound)


@pytest.fixture
def folder(tmp_path):
    """Two classes of noise that overlap: 24 + 40 images each."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 24), ("val", 40)):
        for name, base in (("dark", 40), ("light", 52)):
            place = tmp_path / "images" / split / name
            place.mkdir(parents=True)
            for i in range(count):
                low = base + int(rng.integers(-10, 11))
                pixels = rng.integers(low, low + 120, (20, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{i}.png")
    return tmp_path / "images"


def small_study(folder, out, *more):
    return [
        *("-m", "studies", "transfer", "--data", str(folder), "--out", out),
        *("--weights", str(pretrain.CHECKPOINT), "--sizes", "16", "--methods", "bilinear"),
        *("--epochs", "4", "--batch", "16", "--seeds", "0", "1", "2", "--precision", "float32"),
        *("--no-controls", *more),
    ]


def frame_of(out):
    (table,) = out.glob("transfer-*/results.csv")
    return pd.read_csv(table)


def test_metrics_are_those_of_one_process_within_the_noise_of_the_seed(folder, tmp_path):
    done = torchrun(small_study(folder, "two"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("CSV: ") == 1, "one process prints"
    alone = subprocess.run(
        [sys.executable, *small_study(folder, "one")],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert alone.returncode == 0
    two, one = frame_of(tmp_path / "two"), frame_of(tmp_path / "one")
    assert (two.processes == 2).all()
    assert (one.processes == 1).all()
    assert len(one) == len(two) == 3
    # Each top-1 is a share of 80 images, of which a training decides those near its border anew:
    # a difference of two means of three seeds stays within 4.5 binomial standard deviations.
    p = (one.top1.mean() + two.top1.mean()) / 2
    noise = np.sqrt(max(p * (1 - p), 1 / 80) * 2 / (3 * 80))
    assert abs(one.top1.mean() - two.top1.mean()) < 4.5 * noise


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--mode", "linear"), "torchrun: mode linear with engine local has no training"),
        (("--engine", "ray"), "torchrun: mode finetune with engine ray has no training"),
        (("--device", "cuda:0"), "device: expected cpu or cuda under torchrun, got 'cuda:0'"),
    ],
)
def test_what_processes_cannot_share(folder, tmp_path, monkeypatch, capsys, more, message):
    from studies.__main__ import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.distributed, "is_torchelastic_launched", lambda: True)
    arguments = small_study(folder, "out", *more)[2:]
    if "linear" in more:
        at = arguments.index("--epochs")
        del arguments[at : at + 4]
    with pytest.raises(SystemExit, match=f"error: {message}"):
        main(arguments)
    assert not (tmp_path / "out").exists()


def test_a_training_that_diverges_is_told_and_the_others_go_on(folder, tmp_path):
    done = torchrun(small_study(folder, "out", "--lr", "1e30"), tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("failed: ") == 3, "every cell was tried"
    assert "3 of 3 cells failed, the first with DivergedError" in done.stderr
    # torchrun itself names processes by their ids, which may begin with 1.
    assert "error: process 1:" not in done.stderr
