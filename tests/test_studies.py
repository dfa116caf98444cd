"""The studies of accuracy: their data, baselines, controls, reports and refusals."""

import dataclasses
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file

from studies import (
    findings,
    lab,
    methods,
    pretrain,
    quickstart,
    reproduce,
    skew,
    statistics,
    transfer,
)
from studies.__main__ import STUDIES, main
from studies.data import Dataset, held_out_by_rule, read
from studies.duplicates import find_duplicates
from studies.networks import CifarResNet
from studies.outcomes import unpack
from studies.pixels import MEAN, ORIGINAL, STD, WHOLE, Pixels, Views
from studies.run import CellsFailedError
from studies.train import outputs

SHARED = Path(__file__).parents[2] / "shared"
DTD10 = SHARED / "data" / "dtd10"
TO_LAYER3 = SHARED / "weights" / "resnet18_imagenet_to_layer3.pth"
CHECKPOINT = str(pretrain.CHECKPOINT)


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path, monkeypatch):
    """Run folders go to ``tmp_path/runs``."""
    monkeypatch.chdir(tmp_path)


def save_noise(place, count, base, rng):
    place.mkdir(parents=True)
    for i in range(count):
        pixels = rng.integers(base, base + 60, (12 + i, 31 - 2 * i, 3), dtype=np.uint8)
        Image.fromarray(pixels).convert("L" if i == 1 else "RGB").save(place / f"{i}.png")


@pytest.fixture
def folder(tmp_path):
    """Two classes of coloured noise, 6 + 4 images each, of many sizes and modes."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 4)):
        for name, base in (("dark", 20), ("light", 160)):
            save_noise(tmp_path / "images" / split / name, count, base, rng)
    return tmp_path / "images"


def run_folders():
    return sorted(Path("runs").glob("*")) if Path("runs").exists() else []


SETTINGS = {"weights": (CHECKPOINT,), "precision": "float32"}


def small_methods(folder, **changes):
    settings = {"sizes": (8, 16), "methods": ("nearest", "bilinear:no-antialias", "lanczos3")}
    return methods.Config(**(SETTINGS | settings | {"data": (str(folder),)} | changes))


def small_transfer(folder, **changes):
    settings = {"sizes": (8,), "methods": ("bilinear",), "seeds": (0, 1), "epochs": 3}
    return transfer.Config(**(SETTINGS | settings | {"data": (str(folder),)} | changes))


# What networks see.


def test_networks_see_the_central_square_in_pillows_pixels():
    rng = np.random.default_rng(1)
    arrays = [rng.integers(0, 256, (50, w, 3), dtype=np.uint8) for w in (64, 39, 65, 50)]
    images = [torch.from_numpy(a).permute(2, 0, 1) for a in arrays]
    backbone = lab.open_backbone(CHECKPOINT)
    views = Views(images, [0] * 4, range(4), Pixels("lanczos3", 24))
    got = outputs(backbone, views, precision="float32", device="cpu", workers=0, batch=3)
    rows = []
    for array in arrays:
        image, side = Image.fromarray(array), min(array.shape[:2])
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.crop((left, top, left + side, top + side))
        x = torchvision.transforms.functional.to_tensor(square.resize((24, 24), 1))
        rows.append(torchvision.transforms.functional.normalize(x, MEAN, STD))
    np.testing.assert_allclose(got, backbone(torch.stack(rows)), rtol=1e-4, atol=1e-5)


def test_originals_keep_their_size_and_are_cropped_as_the_others():
    image = torch.arange(3 * 5 * 9, dtype=torch.uint8).reshape(3, 5, 9)
    assert torch.equal(Pixels(ORIGINAL, None)(image), image[:, :, 2:7])
    assert torch.equal(Pixels("bicubic", 5)(image), image[:, :, 2:7])
    assert torch.equal(Pixels(WHOLE, None)(image), image)


def test_float_pixels_are_neither_rounded_nor_clamped():
    image = torch.randint(0, 256, (3, 40, 40), dtype=torch.uint8)
    image[:, :, 20:] = 255
    image[:, :, :20] = 0
    floats = Pixels("bicubic:float", 17, "torch")(image)
    x = image[None].float()
    expected = torch.nn.functional.interpolate(x, (17, 17), mode="bicubic", antialias=True)[0]
    torch.testing.assert_close(floats, expected)
    assert floats.max() > 255
    assert Pixels("bicubic", 17, "torch")(image).dtype == torch.uint8


def test_reduced_pixels_are_pillows_draft(tmp_path):
    rng = np.random.default_rng(2)
    for split in ("train", "val"):
        for name in ("a", "b"):
            (tmp_path / "jpeg" / split / name).mkdir(parents=True)
            small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
            path = tmp_path / "jpeg" / split / name / "0.jpg"
            small.resize((160, 120), Image.Resampling.BICUBIC).save(path)
    data = read(str(tmp_path / "jpeg"))
    pixels = Pixels("bilinear:reduced", 20)
    with Image.open(data.images.paths[2]) as image:
        image.draft("RGB", (20, 20))
        assert image.size == (40, 30)
        square = image.crop((5, 0, 35, 30)).resize((20, 20), Image.Resampling.BILINEAR)
    got = pixels(pixels.read(data.images, 2))
    assert torch.equal(got, torch.from_numpy(np.array(square)).permute(2, 0, 1))
    with pytest.raises(ValueError, match="methods: 'bilinear:reduced' must have image files"):
        pixels.read([torch.zeros(3, 4, 4, dtype=torch.uint8)], 0)


def test_head_separates_what_is_separable_and_nothing_else():
    rng = np.random.default_rng(2)
    labels = np.arange(90) % 3
    features = rng.normal(size=(90, 5)) + 8 * np.eye(3, 5)[labels]
    assert (lab.fit_head(features, labels, 0.01).predict(features) == labels).all()
    noise = rng.normal(size=(600, 2))
    guess = lab.fit_head(noise[:300], np.arange(300) % 3, 0.01).predict(noise[300:])
    assert np.mean(guess == np.arange(300) % 3) < 0.45


# Controls: what must not look like an effect.


def test_identical_pixels_under_two_names_are_no_difference(folder):
    """The profiles pillow and pillow12 have the same bytes for squares."""
    config = small_transfer(
        folder,
        like=("pillow", "pillow12"),
        methods=("bilinear", "hamming"),
        mode="linear",
        epochs=None,
        seeds=(0, 1, 2),
    )
    frame = pd.read_csv(transfer.run(config) / "results.csv")
    frame = frame[frame.labels == "given"]
    for method, rows in frame.groupby("method"):
        ours = rows[rows.like == "pillow"]
        found = statistics.compare(rows[rows.like == "pillow12"], ours)
        assert (found.points, found.low, found.high, found.p) == (0, 0, 0, 1), method


def test_a_crop_alone_does_not_look_like_a_size(tmp_path):
    """Where the class is told by what lies outside the square, all cells and the baseline fail."""
    rng = np.random.default_rng(4)
    for split in ("train", "val"):
        for name, level in (("dark", 0), ("light", 255)):
            place = tmp_path / "margins" / split / name
            place.mkdir(parents=True)
            for i in range(12):
                pixels = rng.integers(0, 256, (16, 64, 3), dtype=np.uint8)
                pixels[:, :24] = pixels[:, 40:] = level
                Image.fromarray(pixels).save(place / f"{i}.png")
    config = small_methods(tmp_path / "margins", sizes=(16,), methods=("bilinear", "box"))
    frame = pd.read_csv(methods.run(config) / "results.csv").set_index("method")
    assert frame.top1[WHOLE] == 1, "the margins tell the class"
    square = unpack(frame.right[ORIGINAL])
    assert square.mean() < 0.9, "the square does not"
    for method in ("bilinear", "box"):  # 16 px is the square itself: the same pixels
        assert np.array_equal(unpack(frame.right[method]), square)
    rows = frame.reset_index()
    found = methods.against_original(findings.to_frame(rows.to_dict("records")))
    assert (found.verdict == statistics.UNSETTLED).all()
    assert (found.points == 0).all()
    assert not found.method.isin([WHOLE]).any()


def test_a_control_is_trained_on_shuffled_labels_and_told(folder):
    config = small_transfer(folder, mode="linear", epochs=None)
    place = transfer.run(config)
    frame = pd.read_csv(place / "results.csv")
    control = frame[frame.labels == "shuffled"]
    assert len(control) == 1
    assert frame[frame.labels == "given"].top1.min() == 1
    assert "trained on shuffled labels" in (place / "summary.md").read_text()


def test_controls_above_chance_are_told():
    right = "40:" + "ff" * 5
    rows = [
        {"data": "d", "network": "n", "stages": None, "labels": "shuffled", "chance": 0.1}
        | {"right": right, "val": right, "seed": 0, "data_digest": "x"}
        | {"size": 8, "test_size": 8}
    ]
    (line,) = findings.describe_controls(findings.to_frame(rows))
    assert "ABOVE CHANCE" in line
    rows[0]["right"] = "40:0800000000"
    (line,) = findings.describe_controls(findings.to_frame(rows))
    assert "at chance, as it must be" in line


# Data.


def test_resampled_splits_keep_the_numbers_of_each_class():
    labels = np.repeat([0, 1, 2], (10, 6, 20))
    held_out = np.zeros(36, dtype=bool)
    held_out[[0, 1, 2, 10, 16, 17, 18, 19]] = True
    data = Dataset("d", ("a", "b", "c"), [torch.zeros(3, 1, 1)] * 36, labels, held_out)
    given = data.split("given", 7)
    assert np.array_equal(given[1], np.flatnonzero(held_out))
    splits = [data.split("resampled", seed) for seed in range(4)]
    for train, val in splits:
        assert sorted([*train, *val]) == list(range(36))
        assert np.bincount(labels[val]).tolist() == [3, 1, 4]
    assert np.array_equal(splits[1][1], data.split("resampled", 1)[1])
    assert len({tuple(val) for _, val in splits}) == 4


def test_a_folder_per_class_is_split_by_the_rule(tmp_path):
    rng = np.random.default_rng(0)
    for name, count in (("few", 3), ("many", 14)):
        save_noise(tmp_path / "plain" / name, count, 20, rng)
    data = read(str(tmp_path / "plain"))
    assert data.classes == ("few", "many")
    assert np.bincount(data.labels[data.held_out]).tolist() == [1, 2]
    assert np.array_equal(data.held_out, held_out_by_rule(data.labels))
    (tmp_path / "plain" / "one").mkdir()
    Image.new("RGB", (3, 3)).save(tmp_path / "plain" / "one" / "0.png")
    with pytest.raises(ValueError, match="data: class 2 must have at least 2 images to split"):
        read(str(tmp_path / "plain"))


def test_images_beyond_the_memory_are_decoded_anew(folder):
    whole, none = read(str(folder)), read(str(folder), memory=0)
    some = read(str(folder), memory=3 * 12 * 31 * 5)
    assert len(whole.images._kept) == 20
    assert not none.images._kept
    assert 0 < len(some.images._kept) < 20
    assert whole.digest == none.digest == some.digest
    for first, second, third in zip(whole.images, none.images, some.images, strict=True):
        assert torch.equal(first, second)
        assert torch.equal(first, third)


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
    assert data.labels[data.held_out].tolist() == [0, 1, 2] * 4
    assert torch.equal(data.images[14], torch.full((3, 8, 9), 102, dtype=torch.uint8))


def test_the_digest_sees_pixels_labels_sizes_and_splits():
    image = torch.arange(24, dtype=torch.uint8).reshape(3, 2, 4)
    changed = image.clone()
    changed[2, 1, 3] += 1
    labels, held_out = np.array([0, 1]), np.array([False, True])
    variants = [
        ([image, image], labels, held_out),
        ([image, changed], labels, held_out),
        ([image, image], labels[::-1], held_out),
        ([image, image], labels, ~held_out),
        ([image, image.reshape(3, 4, 2)], labels, held_out),
    ]
    digests = [Dataset("d", ("a", "b"), *variant).digest for variant in variants]
    assert len(set(digests)) == 5
    permuted = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    assert Dataset("d", ("a", "b"), [permuted, image], labels, held_out).digest == digests[0]


def test_duplicates_are_found_exact_and_near():
    rng = np.random.default_rng(5)

    def photograph():
        small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        return np.array(small.resize((90, 90), Image.Resampling.BICUBIC))

    first, second, third = photograph(), photograph(), photograph()
    smaller = np.array(Image.fromarray(second).resize((80, 70), Image.Resampling.LANCZOS))
    darker = (smaller * 0.9).astype(np.uint8)
    arrays = [first, second, third, first, darker]
    images = [torch.from_numpy(a).permute(2, 0, 1) for a in arrays]
    held_out = np.array([False, False, False, True, False])
    pairs = find_duplicates(Dataset("d", ("a", "b"), images, np.array([0, 0, 1, 1, 0]), held_out))
    found = {(row.first, row.second): row for row in pairs.itertuples()}
    assert set(found) == {(0, 3), (1, 4)}
    assert (found[0, 3].kind, found[0, 3].across, found[0, 3].other_class) == ("exact", True, True)
    assert (found[1, 4].kind, found[1, 4].across, found[1, 4].other_class) == ("near", False, False)


# Whole studies.

REPORT = {"results.csv", "summary.md", "index.html"}


def test_methods_end_to_end(folder, capsys, monkeypatch):
    config = small_methods(folder)
    place = methods.run(config)
    frame = pd.read_csv(place / "results.csv")
    assert frame.method.tolist() == [ORIGINAL, WHOLE, *(2 * config.methods)]
    assert frame["size"].fillna(0).tolist() == [0, 0, 8, 8, 8, 16, 16, 16]
    assert (frame.n == 8).all()
    assert (frame.top1 >= 7 / 8).all(), "dark and light are easy"
    assert {"torch", "commit", "cpu", "cost_gflops", "cost_forward_per_s"} <= set(frame)
    assert (frame.cost_gflops.dropna() > 0).all()
    assert {p.name for p in place.iterdir()} >= REPORT
    words = (place / "summary.md").read_text()
    assert "central square" in words
    assert "16 px: 16" in words.split("enlarged")[1]
    assert str(place) in capsys.readouterr().out

    first = (place / "results.csv").read_text()
    monkeypatch.setattr(lab.Lab, "measure", lambda *_: pytest.fail("measured again"))
    assert methods.run(dataclasses.replace(config, data=(f"{folder}/.",))) == place
    assert (place / "results.csv").read_text() == first


def test_sources_of_low_resolution_are_enlarged_again():
    image = torch.randint(0, 256, (3, 30, 41), dtype=torch.uint8)
    pixels = Pixels("bicubic", 24, "torch", via=9)
    small = Pixels("bicubic", 9, "torch")(image)
    assert torch.equal(pixels(image), Pixels("bicubic", 24, "torch")(small))


def test_methods_after_a_round_trip(folder):
    place = methods.run(small_methods(folder, up_to=24))
    frame = pd.read_csv(place / "results.csv")
    assert frame.via.fillna(0).tolist() == [0, 0, 8, 8, 8, 16, 16, 16]
    assert (frame["size"].dropna() == 24).all()
    words = (place / "summary.md").read_text()
    assert "Each size was enlarged to 24 px again" in words
    assert "| method" in words
    assert "8 px |" in words


def test_drift_of_a_whole_classifier(folder, tmp_path):
    """A CIFAR network of two classes: its own answers are its oracle."""
    torch.manual_seed(0)
    network = CifarResNet(1, 2).eval()
    for layer in network.modules():  # noise alone would leave all answers the same
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_var.fill_(0.05)
    save_file(network.state_dict(), tmp_path / "two.safetensors")
    config = small_methods(folder, mode="none", weights=(str(tmp_path / "two.safetensors"),))
    frame = pd.read_csv(methods.run(config) / "results.csv").set_index(["method", "size"])
    data = read(str(folder))
    val = np.flatnonzero(data.held_out)

    def logits(pixels):
        views = Views(data.images, data.labels, val, pixels)
        how = {"precision": "float32", "device": "cpu", "workers": 0, "batch": 1}
        return torch.from_numpy(outputs(network, views, **how)).double().log_softmax(1)

    original = logits(Pixels(ORIGINAL, None))
    for method, size in (("nearest", 8), ("lanczos3", 16)):
        here = logits(Pixels(method, size))
        row = frame.loc[(method, size)]
        agrees = (here.argmax(1) == original.argmax(1)).double().mean().item()
        assert row.agreement == pytest.approx(agrees)
        kl = torch.nn.functional.kl_div(here, original, log_target=True, reduction="batchmean")
        assert row.kl == pytest.approx(kl.item(), rel=1e-3)
        right = (here.argmax(1).numpy() == data.labels[val]).mean()
        assert row.top1 == pytest.approx(right)
    assert frame.loc["original"].agreement.item() == 1
    assert frame.loc["original"].kl.item() == 0
    with pytest.raises(ValueError, match="mode: none needs the classifier of cifar_resnet20"):
        methods.run(small_methods(folder, mode="none", stages=(2,)))


@pytest.mark.parametrize("mode", ["finetune", "scratch"])
def test_transfer_end_to_end(folder, mode):
    config = small_transfer(
        folder, mode=mode, test_sizes=("same", "12"), methods=("nearest", "box")
    )
    place = transfer.run(config)
    frame = pd.read_csv(place / "results.csv")
    assert len(frame) == 2 * 2 * 2 + 1
    true = frame[frame.labels == "given"]
    assert true.test_size.tolist() == [8, 12] * 4
    assert (true.epochs == 3).all()
    assert true.lr.nunique() == 1
    assert {p.name for p in place.iterdir()} >= REPORT
    words = (place / "summary.md").read_text()
    assert "Take " in words
    assert "shuffled labels" in words


def without_costs(place):
    frame = pd.read_csv(place / "results.csv")
    return frame[[name for name in frame if not name.startswith("cost_")]]


def test_the_same_seed_gives_the_same_table(folder, tmp_path):
    config = small_transfer(folder)
    first = without_costs(transfer.run(config))
    again = without_costs(transfer.run(dataclasses.replace(config, out=tmp_path / "again")))
    pd.testing.assert_frame_equal(first, again)


@pytest.mark.parametrize("mode", ["linear", "finetune"])
def test_a_row_is_reproduced(folder, mode, capsys):
    epochs = None if mode == "linear" else 3
    table = transfer.run(small_transfer(folder, mode=mode, epochs=epochs)) / "results.csv"
    config = reproduce.Config(table=table, row=1)
    assert reproduce.run(config)
    words = capsys.readouterr().out
    assert "0 of 8 images are right in one and wrong in the other" in words
    frame = pd.read_csv(table)
    frame.loc[1, ["right", "torch"]] = "8:00", "2.0"
    frame.to_csv(table, index=False)
    assert not reproduce.run(config)
    words = capsys.readouterr().out
    assert f"{int(8 * frame.top1[1])} of 8 images are right in one" in words
    assert f"torch then 2.0, now {metadata.version('torch')}" in words
    with pytest.raises(ValueError, match="row: expected 0 to 2, got 3"):
        reproduce.run(dataclasses.replace(config, row=3))
    (folder / "train" / "dark" / "0.png").unlink()
    with pytest.raises(ValueError, match="data: expected those of the row"):
        reproduce.run(config)
    with pytest.raises(ValueError, match=r"table: cannot read absent.csv"):
        reproduce.run(dataclasses.replace(config, table=Path("absent.csv")))


def test_dry_run_measures_nothing(folder, capsys, monkeypatch):
    monkeypatch.setattr(lab.Lab, "measure", lambda *_: pytest.fail("measured"))
    transfer.run(small_transfer(folder, dry_run=True))
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("3 of 3 cells are left, about 0:00:")
    assert not list(Path("runs").glob("transfer*"))


def test_a_failed_cell_is_reported_and_the_rest_goes_on(folder, monkeypatch):
    measure = lab.Lab.measure

    def fails(self, key, tick):
        if key["seed"] == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return measure(self, key, tick)

    monkeypatch.setattr(lab.Lab, "measure", fails)
    with pytest.raises(CellsFailedError, match=r"1 of 3 cells failed, .*out of memory"):
        transfer.run(small_transfer(folder))
    (place,) = Path("runs").glob("transfer-*")
    frame = pd.read_csv(place / "results.csv")
    assert frame.error.notna().sum() == 1
    assert frame.top1.notna().sum() == 2
    arguments = ["--data", str(folder), "--weights", CHECKPOINT, "--precision", "float32"]
    arguments += ["--sizes", "8", "--methods", "bilinear", "--seeds", "0", "1", "--epochs", "3"]
    with pytest.raises(SystemExit, match="error: 1 of 3 cells failed"):
        main(["transfer", *arguments])


def test_skew_end_to_end(folder):
    pixels = ("pillow/bilinear", "pillow12/bilinear", "opencv/nearest")
    config = skew.Config(**SETTINGS, data=(str(folder),), sizes=(8,), pixels=pixels)
    place = skew.run(config)
    frame = pd.read_csv(place / "results.csv")
    assert len(frame) == 9
    found = skew.served_otherwise(findings.to_frame(frame.to_dict("records")))
    assert len(found) == 6
    same = found[~found.trained.str.startswith("opencv") & ~found.served.str.startswith("opencv")]
    assert (same.lost + same.gained == 0).all()
    assert "give the same answer" in (place / "summary.md").read_text()


def test_quickstart_end_to_end():
    config = quickstart.Config(sizes=(16, 48), methods=("nearest", "lanczos3"), train=12, val=5)
    place = quickstart.run(dataclasses.replace(config, precision="float32"))
    frame = pd.read_csv(place / "results.csv")
    assert len(frame) == 2 * (2 * 2 + 1)
    fine = frame[(frame.data == "gratings") & (frame.labels == "given")]
    theory = quickstart.with_theory(findings.to_frame(fine.to_dict("records")), "pillow")
    theory = theory.set_index(["method", "size"])
    assert theory.predicted.loc[("nearest", 48)] == pytest.approx(3 / 6)
    assert 4 / 6 < theory.predicted.loc[("lanczos3", 48)] < 5 / 6
    assert theory.kept.loc[("nearest", 48)] == "4 12 20"
    words = (place / "summary.md").read_text()
    assert "Theory is" in words
    assert (place / "index.html").exists()


def test_quickstart_on_ones_own_images(folder):
    config = quickstart.Config(data=(str(folder),), sizes=(8,), precision="float32")
    frame = pd.read_csv(quickstart.run(config) / "results.csv")
    assert set(frame.data) == {"images"}


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
        (None, {"data": ("absent",)}, r"data: expected a folder .*got 'absent'"),
        (None, {"data": ()}, r"data: expected at least one, each once"),
        (None, {"data": ("FakeData",)}, "data: torchvision.datasets.FakeData has no train"),
        ("no val", {}, r"data: expected a folder .*val"),
        ("new class", {}, r"data: .*same classes.*only in val: \['odd'\]"),
        ("empty class", {}, r"data: the class folder .*dark holds no images"),
        ("truncated", {}, r"data: cannot decode .*2\.png"),
        ("not an image", {}, r"data: cannot decode .*notes\.txt"),
        ("one class", {}, r"data: .*at least 2 class folders, found \['light'\]"),
        (None, {"weights": ("absent.pth",)}, r"weights: .*absent.pth"),
        (None, {"weights": (__file__,)}, r"weights: .*test_studies.py"),
        (None, {"weights": (sys.executable,)}, r"weights: .*python"),
        (None, {"weights": ()}, "weights: expected at least one"),
        (None, {"methods": ("bilinaer",)}, "method.*bilinaer"),
        (None, {"methods": ("bilinear:soft",)}, "methods: .*'bilinear:soft'"),
        (None, {"methods": ("box", "box")}, "methods: expected at least one, each once"),
        (None, {"methods": ()}, "methods: expected at least one"),
        (None, {"sizes": (32, 0)}, r"sizes: cifar_resnet20.* needs at least 4 px a side, got 0"),
        (None, {"sizes": (3,)}, r"sizes: cifar_resnet20.* needs at least 4 px a side, got 3"),
        (None, {"like": "gimp"}, "like.*gimp"),
        (None, {"device": "abacus"}, "device: cannot use 'abacus'"),
        (None, {"workers": -1}, "workers, memory: expected 0 or more, got -1"),
        (None, {"stages": (9,)}, "stages: "),
        (None, {"known": (Path("absent.csv"),)}, "known: cannot read absent.csv"),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(folder, spoil, changes, words):
    if spoil:
        SPOIL[spoil](folder)
    with pytest.raises(ValueError, match=words):
        methods.run(small_methods(folder, **changes))
    assert not run_folders()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lr": -1.0}, "lr: expected more than 0, got -1"),
        ({"epochs": 0}, "epochs: expected more than 0, got 0"),
        ({"warmup": 1.0}, "warmup: expected at least 0 and less than 1"),
        ({"mode": "linear"}, "mode: linear has no use for epochs"),
        ({"test_sizes": ("small",)}, r"test_sizes: expected numbers .*\['small'\]"),
        ({"test_sizes": ("2",)}, r"sizes: .* needs at least 4 px a side, got 2"),
        ({"seeds": (-1,)}, "seeds: expected 0 or more"),
        ({"methods": ("original",)}, "methods: expected methods that resize, got 'original'"),
        ({"methods": ("bilinear:reduced",), "data": ()}, "data: expected at least one"),
    ],
)
def test_bad_trainings_are_named_and_leave_nothing(folder, changes, words):
    with pytest.raises(ValueError, match=words):
        transfer.run(small_transfer(folder, **changes))
    assert not run_folders()


def test_two_networks_of_one_name_are_refused(folder, tmp_path):
    save_file({k: v + 0 for k, v in load_file(CHECKPOINT).items()}, tmp_path / "copy.safetensors")
    config = small_methods(folder, weights=(CHECKPOINT, str(tmp_path / "copy.safetensors")))
    with pytest.raises(ValueError, match="weights: expected different names"):
        methods.run(config)


def test_the_command_line_says_what_is_wrong_in_one_line(folder):
    arguments = ["methods", "--data", str(folder), "--weights", "absent.pth"]
    with pytest.raises(SystemExit, match=r"^error: weights: [^\n]*absent.pth[^\n]*$"):
        main(arguments)


def test_the_command_line_runs_each_study(monkeypatch):
    for name, (config, _) in list(STUDIES.items()):
        called = []
        monkeypatch.setitem(STUDIES, name, (config, called.append))
        needed = {
            **{key: ["--data", "d", "--weights", "w"] for key in ("methods", "transfer", "skew")},
            "reproduce": ["table.csv", "--row", "0"],
            "fidelity": ["--data", "folder"],
        }
        main([name, *needed.get(name, [])])
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
    config = small_methods(tmp_path / "dtd2", weights=(str(TO_LAYER3),), sizes=(48,))
    frame = pd.read_csv(methods.run(config) / "results.csv")
    assert (frame.n == 12).all()
    assert frame.top1[0] > 0.8, "stripes and cobwebs differ"
