"""The studies: their probe, run folders, reports and refusals."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from studies import methods, pretrain, probe, quickstart, report
from studies.__main__ import STUDIES, main
from studies.data import Dataset, Split, read
from studies.models import build_backbone
from studies.run import Run

SHARED = Path(__file__).parents[2] / "shared"
DTD10 = SHARED / "data" / "dtd10"
TO_LAYER3 = SHARED / "weights" / "resnet18_imagenet_to_layer3.pth"


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path, monkeypatch):
    """Run folders go to ``tmp_path/runs``."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(tmp_path):
    """Two classes of coloured noise, 6 + 4 images each, of many sizes and modes."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 4)):
        for name, base in (("dark", 20), ("light", 160)):
            place = tmp_path / "images" / split / name
            place.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(base, base + 60, (12 + i, 31 - 2 * i, 3), dtype=np.uint8)
                Image.fromarray(pixels).convert("L" if i == 1 else "RGB").save(place / f"{i}.png")
    return tmp_path / "images"


def run_folders():
    return sorted(Path("runs").glob("*")) if Path("runs").exists() else []


def small_methods(folder, **changes):
    settings = {"sizes": (8, 16), "methods": ("nearest", "bilinear:no-antialias", "lanczos3")}
    settings |= {"data": str(folder), "weights": str(pretrain.CHECKPOINT)} | changes
    return methods.Config(**settings)


# The probe.


def test_features_are_those_of_pillows_pixels():
    rng = np.random.default_rng(1)
    arrays = [rng.integers(0, 256, (50, w, 3), dtype=np.uint8) for w in (64, 64, 65, 64)]
    images = [torch.from_numpy(a).permute(2, 0, 1) for a in arrays]
    network = build_backbone(load_file(pretrain.CHECKPOINT), "checkpoint")
    got = probe.Probe(network, "pillow", "cpu").features(images, "lanczos3", 24)
    rows = []
    for array in arrays:
        image = Image.fromarray(array)
        small = image.resize((24 * image.width // 50, 24), Image.Resampling.LANCZOS)
        left = (small.width - 24) // 2
        x = torchvision.transforms.functional.to_tensor(small.crop((left, 0, left + 24, 24)))
        rows.append(torchvision.transforms.functional.normalize(x, probe.MEAN, probe.STD))
    np.testing.assert_allclose(got, network(torch.stack(rows)), rtol=1e-4, atol=1e-5)


def test_originals_keep_their_size():
    sizes = []

    class Spy(nn.Module):
        def forward(self, x):
            sizes.append(tuple(x.shape))
            return x.mean((2, 3))

    images = [torch.zeros(3, 5, 9, dtype=torch.uint8), torch.zeros(3, 7, 4, dtype=torch.uint8)]
    probe.Probe(Spy(), "pillow", "cpu").features(images, probe.ORIGINAL, None)
    assert sizes == [(1, 3, 5, 9), (1, 3, 7, 4)]


def test_head_separates_what_is_separable_and_nothing_else():
    rng = np.random.default_rng(2)
    labels = np.arange(90) % 3
    features = rng.normal(size=(90, 5)) + 8 * np.eye(3, 5)[labels]
    head = probe.fit_head(features, labels)
    assert (head.predict(features) == labels).all()
    noise = rng.normal(size=(600, 2))
    guess = probe.fit_head(noise[:300], np.arange(300) % 3).predict(noise[300:])
    assert np.mean(guess == np.arange(300) % 3) < 0.45


def test_intervals_and_pairs_match_published_values():
    # Newcombe 1998, Table I, method 3.
    assert report.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert report.wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    lost, gained, p = report.paired("0000001", "1111110")
    assert (lost, gained) == (6, 1)
    assert p == pytest.approx(2 * (1 + 7) / 2**7)
    assert report.paired("01", "01") == (0, 0, 1.0)


def test_frames_compare_with_the_baseline_of_their_own_task():
    cells = [
        {"task": task, "method": method, "size": size, "right": right, "torch": "2"}
        for task, method, size, right in (
            ("a", "original", None, "1111"),
            ("a", "box", 8, "0101"),
            ("b", "original", None, "0000"),
            ("b", "box", 8, "0101"),
        )
    ]
    frame = report.to_frame(cells)
    assert frame.top1.tolist() == [1, 0.5, 0, 0.5]
    assert frame.delta.tolist() == [0, -0.5, 0, 0.5]
    assert frame[["lost", "gained"]].to_numpy().tolist() == [[0, 0], [2, 0], [0, 0], [0, 2]]
    text = report.table(frame)
    assert "a: top-1 in % (95 % interval), n = 4; original resolution 100.0 (51-100)" in text
    assert "box  50.0 (15-85)" in text


# Run folders.

KILLED = """
import dataclasses, os, signal, sys
from studies.run import Run

@dataclasses.dataclass(frozen=True)
class Config:
    device: str = "cpu"

def measure(key):
    if key["i"] == 2:
        stream = open(run.path, "a")
        stream.write('{"i": 2, "va')
        stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"value": 10 * key["i"]}

run = Run("demo", Config(), {})
run.finish([{"i": i} for i in range(4)], measure)
"""


@dataclasses.dataclass(frozen=True)
class DemoConfig:
    device: str = "cpu"
    size: int = 3
    data: str = "here"


def test_a_killed_run_resumes_after_its_last_whole_cell():
    root = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", KILLED], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    (folder,) = run_folders()
    assert (folder / "cells.jsonl").read_text().endswith('{"i": 2, "va')

    @dataclasses.dataclass(frozen=True)
    class Config:
        device: str = "cpu"

    run = Run("demo", Config(), {})
    assert run.folder == folder
    measured = []

    def measure(key):
        measured.append(key["i"])
        return {"value": 10 * key["i"]}

    cells = run.finish([{"i": i} for i in (3, 2, 1, 0)], measure)
    assert measured == [3, 2]
    assert [cell["value"] for cell in cells] == [30, 20, 10, 0]
    assert [json.loads(line)["i"] for line in run.path.read_text().splitlines()] == [0, 1, 3, 2]
    assert all(cell["commit"] and cell["torch"] for cell in cells)


def test_the_folder_follows_what_changes_results():
    folders = [
        Run("demo", DemoConfig(**config), {"data": identity}).folder
        for config, identity in (
            ({}, "a"),
            ({"data": "elsewhere"}, "a"),
            ({}, "b"),
            ({"size": 4}, "a"),
        )
    ]
    assert folders[0] == folders[1]
    assert len(set(folders)) == 3


# Whole studies.


def test_methods_end_to_end(folder, capsys, monkeypatch):
    config = small_methods(folder)
    place = methods.run(config)
    frame = pd.read_csv(place / "results.csv")
    head = ["task", "method", "size", "n", "top1", "low", "high", "delta", "lost", "gained"]
    versions = ["torchresample", "torch", "torchvision", "numpy", "pillow", "scikit_learn"]
    assert list(frame.columns) == [
        *head, "p_value", *versions, "python", "device", "cpu", "threads", "commit",
    ]  # fmt: skip
    assert frame.method.tolist() == ["original", *(2 * config.methods)]
    assert frame["size"].fillna(0).tolist() == [0, 8, 8, 8, 16, 16, 16]
    assert (frame.n == 8).all()
    assert (frame.top1 == 1).all(), "dark and light are easy"
    assert ((frame.low < frame.top1) & (frame.top1 <= frame.high)).all()
    assert {p.name for p in place.iterdir()} == {
        "config.json", "env.json", "cells.jsonl", "results.csv", "plot.png", "summary.md",
    }  # fmt: skip
    with Image.open(place / "plot.png") as image:
        assert image.width > 500
    words = (place / "summary.md").read_text()
    assert "16 px: 16 of 20" in words.split("enlarged")[1]
    assert str(place / "results.csv") in capsys.readouterr().out

    first = (place / "results.csv").read_text()
    monkeypatch.setattr(probe.Probe, "measure", lambda *_: pytest.fail("measured again"))
    assert methods.run(dataclasses.replace(config, data=f"{folder}/.")) == place
    assert (place / "results.csv").read_text() == first


def test_quickstart_end_to_end():
    config = quickstart.Config(sizes=(16, 48), methods=("nearest", "lanczos3"), train=8, val=5)
    place = quickstart.run(config)
    frame = pd.read_csv(place / "results.csv")
    assert len(frame) == 2 * (1 + 2 * 2)
    fine = frame[frame.task == "gratings"].set_index(["method", "size"])
    assert fine.predicted_top1.loc[("nearest", 48)] == pytest.approx(3 / 6)
    assert 4 / 6 < fine.predicted_top1.loc[("lanczos3", 48)] < 5 / 6
    assert fine.frequencies_kept.loc[("nearest", 48)] == "4 12 20"
    assert frame[frame.task == "shapes"].predicted_top1.isna().all()
    base = fine.top1[fine.index.get_level_values("method") == "original"].item()
    assert base > fine.top1.loc[("nearest", 16)] + 0.3
    assert "Theory is" in (place / "summary.md").read_text()


class TinySet:
    """Like torchvision's: 12 images of 3 classes, with the splits train and test."""

    classes = ("a", "b", "c")

    def __init__(self, root, split="train", download=False):
        if split not in ("train", "test"):
            raise ValueError(f"Unknown value {split!r}")
        self.first = 0 if split == "train" else 100

    def __getitem__(self, i):
        if i >= 12:
            raise IndexError
        return Image.new("L", (9, 8), self.first + i), i % 3

    def __len__(self):
        return 12


def test_data_by_torchvision_name(monkeypatch):
    monkeypatch.setattr(torchvision.datasets, "TinySet", TinySet, raising=False)
    data = read("TinySet")
    assert (data.name, data.classes) == ("TinySet", ("a", "b", "c"))
    assert data.val.labels.tolist() == [0, 1, 2] * 4
    assert torch.equal(data.val.images[2], torch.full((3, 8, 9), 102, dtype=torch.uint8))


def test_the_digest_sees_pixels_labels_and_sizes():
    image = torch.arange(24, dtype=torch.uint8).reshape(3, 2, 4)
    changed = image.clone()
    changed[2, 1, 3] += 1
    zero, one = torch.tensor([0]), torch.tensor([1])
    splits = [
        Split([image], zero),
        Split([changed], zero),
        Split([image], one),
        Split([image.reshape(3, 4, 2)], zero),
    ]
    digests = [Dataset("d", ("a", "b"), split, splits[0]).digest() for split in splits]
    assert len(set(digests)) == 4
    permuted = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    assert Dataset("d", ("a", "b"), Split([permuted], zero), splits[0]).digest() == digests[0]


# Refusals.


def cut(path):
    path.write_bytes(path.read_bytes()[:60])


SPOIL = {
    "no val": lambda f: (f / "val").rename(f / "test"),
    "new class": lambda f: (f / "val" / "odd").mkdir(),
    "empty class": lambda f: [p.unlink() for p in (f / "train" / "dark").iterdir()],
    "truncated": lambda f: cut(f / "val" / "light" / "2.png"),
    "not an image": lambda f: (f / "train" / "dark" / "notes.txt").write_text("hello"),
    "one class": lambda f: [(f / s / "dark").rename(f.parent / s) for s in ("train", "val")],
}


@pytest.mark.parametrize(
    ("spoil", "changes", "words"),
    [
        (None, {"data": "absent"}, r"data: expected a folder .*got 'absent'"),
        (None, {"data": "FakeData"}, "data: torchvision.datasets.FakeData has no train"),
        ("no val", {}, r"data: expected a folder .*val"),
        ("new class", {}, r"data: .*same classes.*only in val: \['odd'\]"),
        ("empty class", {}, r"data: the class folder .*dark holds no images"),
        ("truncated", {}, r"data: cannot decode .*2\.png"),
        ("not an image", {}, r"data: cannot decode .*notes\.txt"),
        ("one class", {}, r"data: .*at least 2 class folders, found \['light'\]"),
        (None, {"weights": "absent.pth"}, r"weights: expected a file .*got 'absent.pth'"),
        (None, {"weights": __file__}, r"weights: cannot read .*test_studies.py"),
        (None, {"weights": sys.executable}, r"weights: cannot read .*python"),
        (None, {"methods": ("bilinaer",)}, "method.*bilinaer"),
        (None, {"methods": ("bilinear:soft",)}, "methods: .*'bilinear:soft'"),
        (None, {"methods": ("box", "box")}, "methods: expected at least one, each once"),
        (None, {"methods": ()}, "methods: expected at least one"),
        (None, {"sizes": (32, 0)}, r"sizes: .*at least 1 pixel, got \(32, 0\)"),
        (None, {"like": "gimp"}, "like.*gimp"),
        (None, {"device": "abacus"}, "device: cannot use 'abacus'"),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(folder, spoil, changes, words):
    if spoil:
        SPOIL[spoil](folder)
    with pytest.raises(ValueError, match=words):
        methods.run(small_methods(folder, **changes))
    assert not run_folders()


def test_the_command_line_says_what_is_wrong_in_one_line(folder):
    arguments = ["methods", "--data", str(folder), "--weights", "absent.pth"]
    with pytest.raises(SystemExit, match=r"^error: weights: expected a file .*'absent.pth'$"):
        main(arguments)


def test_the_command_line_runs_each_study(monkeypatch):
    for name, (config, _) in list(STUDIES.items()):
        called = []
        monkeypatch.setitem(STUDIES, name, (config, called.append))
        needed = ["--data", "d", "--weights", "w"] if name == "methods" else []
        main([name, *needed])
        assert isinstance(called[0], config)


# Real photographs.


@pytest.mark.skipif(
    not (DTD10.exists() and TO_LAYER3.exists()), reason="needs ../shared, which is not here"
)
def test_real_textures_with_imagenet_features(tmp_path):
    for split, count in (("train", 8), ("val", 6)):
        for name in ("banded", "cobwebbed"):
            place = tmp_path / "dtd2" / split / name
            place.mkdir(parents=True)
            for path in sorted((DTD10 / split / name).iterdir())[:count]:
                (place / path.name).symlink_to(path)
    config = small_methods(tmp_path / "dtd2", weights=str(TO_LAYER3), sizes=(48,))
    frame = pd.read_csv(methods.run(config) / "results.csv")
    assert (frame.n == 12).all()
    assert frame.top1[0] > 0.8, "stripes and cobwebs differ"
