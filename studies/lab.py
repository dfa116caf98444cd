"""What studies of accuracy share: their settings, their cells, and how a cell is measured."""

import copy
import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from studies import cluster, costs, processes
from studies.data import Dataset, SplitRule, read
from studies.models import Backbone, open_backbone
from studies.outcomes import pack
from studies.pixels import ORIGINAL, Pixels, Views
from studies.run import ROOT, Cell, Run, Spread, processor
from studies.train import Classifier, DivergedError, Precision, Recipe, outputs, train

METHODS = ("nearest", "bilinear:no-antialias", "bilinear", "bicubic", "lanczos3", "box")
BATCH = 64
"""Images in a forward pass."""
HEAD_C = 0.01
"""Inverse strength of the linear head's L2 penalty, on standardised features.

Of 1e-4 to 1 (five splits, 64 and 224 px, ResNet-18) it was at most 1.8 points below the best on
textures, flowers, dogs, aerial and satellite scenes, and 3.3 points on 36 X-rays.
"""

Mode = Literal["finetune", "linear", "scratch", "none"]
FROZEN = ("linear", "none")
"""Modes in which the network's own weights stay, so that cells share its features."""
Tick = Callable[[float], None]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every study of accuracy can vary."""

    data: tuple[str, ...]
    """Folders with train/ and val/, or with a folder per class, or torchvision.datasets names.

    Without train/ and val/, every fifth image of a class (after a shuffle) is for validation.
    Images are turned as their EXIF orientation says.
    Grey of 16 bits is scaled to 8 (value / 257, rounded).
    What is transparent is laid over white.
    Of an animation the first frame counts.
    Floats and 32-bit integers, whose range no file states, are refused by name.
    """
    weights: tuple[str, ...]
    """Torchvision weights names, or state_dicts: .pth or .safetensors."""
    stages: tuple[int, ...] = ()
    """Stages after which to cut the networks; as deep as the weights go by default."""
    head: Literal["gap", "spp"] = "gap"
    """Global average, or spatial pyramid pooling over 4x4, 2x2 and 1x1 bins."""
    device: str = "cpu"
    """Where to run the networks; images are resized on the CPU."""
    workers: int = 0
    """Processes that decode and resize images; 0 takes none beside this one."""
    memory: float = 1.0
    """GiB of decoded images, and as much again of features, to keep in memory."""
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """bf16 takes torch.autocast. auto measures once which is faster on this machine."""
    out: Path = ROOT
    """Folder of finished cells and of reports."""
    known: tuple[Path, ...] = ()
    """results.csv files of earlier runs, whose rows count as finished cells."""
    engine: Literal["local", "ray"] = "local"
    """local measures cell by cell, here. ray spreads cells over a Ray cluster, whose nodes must
    read data, weights and this checkout under the same paths. A cell takes one CPU, one for each of
    its workers and, where the device is cuda, one GPU; memory counts for each cell at work."""
    address: str | None = None
    """HOST:PORT of the Ray cluster, or 'auto' for one on this machine. The default starts one."""


@dataclass(frozen=True)
class Task:
    """One network on one data set."""

    dataset: Dataset
    backbone: Backbone
    data_from: str
    weights_from: str

    @property
    def identity(self) -> tuple[str, str, int | None]:
        """The digests of images and weights, and the stage after which the network ends."""
        backbone = self.backbone
        return self.dataset.digest[:16], backbone.digest[:16], backbone.stages


class Lab:
    """The data sets and networks of a study, and how its cells are measured.

    Args:
        settings: of the study.
        datasets: made by the code; those of ``settings.data`` are read where there are none.
        trained: whether networks begin with their weights, or with random ones.

    Raises:
        ValueError: data, weights or a device that cannot be used.
    """

    def __init__(
        self, settings: Settings, datasets: Sequence[Dataset] = (), *, trained: bool = True
    ) -> None:
        self.settings, self._given, self._begin = settings, tuple(datasets), trained
        check_engine(settings)
        if not datasets:
            check_distinct(settings, "data")
        check_distinct(settings, "weights")
        check_device(settings.device)
        if settings.workers < 0 or settings.memory < 0:
            raise ValueError(
                f"workers, memory: expected 0 or more, got {settings.workers}, {settings.memory}"
            )
        backbones = [
            (weights, open_backbone(weights, stages, settings.head, trained=trained))
            for weights in settings.weights
            for stages in settings.stages or (None,)
        ]
        sources = settings.data if not datasets else ["the code"] * len(datasets)
        if not datasets:
            share = settings.memory * 2**30 / len(settings.data)
            datasets = [read(source, share) for source in settings.data]
        for name, opened in (("data", datasets), ("weights", [b for _, b in backbones])):
            names = [(one.name, getattr(one, "stages", None)) for one in opened]
            if len(set(names)) < len(names):
                raise ValueError(f"{name}: expected different names, got {names}")
        self.tasks = [
            Task(dataset, backbone, source, weights)
            for source, dataset in zip(sources, datasets, strict=True)
            for weights, backbone in backbones
        ]
        self._costs = Run("cost", [], device=settings.device, out=settings.out)
        self._found: dict[str, Cell] = {}  # costs, by their keys as text
        self._features = Kept(settings.memory * 2**30)
        self._trained: tuple[Cell, Any] = ({}, None)

    # Keys.

    def key(
        self,
        task: Task,
        shown: Pixels,
        served: Pixels,
        *,
        mode: Mode,
        split: SplitRule,
        seed: int,
        labels: Literal["given", "shuffled"] = "given",
        recipe: Recipe | None = None,
    ) -> Cell:
        """Make a cell's key: data, network, pixels, seeds and the recipe.

        Args:
            task: network and data.
            shown: the pixels to train on.
            served: the pixels to validate on.
            mode: what is trained.
            split: which images are for training.
            seed: of a resampled split, of first weights, order and augmentation.
            labels: ``"shuffled"`` for a control, whose accuracy must be that of chance.
            recipe: how all weights are trained; ``None`` for the linear mode.
        """
        training = dict.fromkeys(field.name for field in dataclasses.fields(Recipe))
        training |= dataclasses.asdict(recipe) if recipe else {}
        return {
            "data": task.dataset.name,
            "network": task.backbone.name,
            "stages": task.backbone.stages,
            "head": self.settings.head,
            "mode": mode,
            "split": split,
            "seed": seed,
            "labels": labels,
            "method": shown.method,
            "like": shown.like,
            "size": shown.size,
            "test_method": served.method,
            "test_like": served.like,
            "test_size": served.size,
            "via": shown.via,
            "test_via": served.via,
            **training,
            "head_c": HEAD_C if mode == "linear" else None,
            "precision": self.precision(task, mode),
            "data_digest": task.identity[0],
            "weights_digest": task.identity[1],
        }

    # Costs, which are cells of their own: they depend on the machine, and are found again.

    def precision(self, task: Task, mode: Mode) -> Precision:
        """The precision to run a network in: as asked for, or the faster one, measured once."""
        if self.settings.precision != "auto":
            return self.settings.precision
        key = {"training": mode not in FROZEN}
        return self._cost(
            "precision",
            self._machine(task) | key,
            lambda: costs.precisions(self.classifier(task), self.settings.device, **key),
        )["precision"]

    def cost_of_network(self, task: Task, size: int, precision: Precision) -> Cell:
        """Speed, operations and memory of a network at a size; see ``costs.of_network``."""
        key = {"size": size, "precision": precision}
        return self._cost(
            "network",
            self._machine(task) | key,
            lambda: costs.of_network(self.classifier(task), device=self.settings.device, **key),
        )

    def cost_of_pixels(self, dataset: Dataset, pixels: Pixels) -> Cell:
        """Measure how fast a data set's images are resized; see ``costs.of_pixels``."""
        key = {"data_digest": dataset.digest[:16], "cpu": processor()}
        key |= dataclasses.asdict(pixels)
        return self._cost("pixels", key, lambda: costs.of_pixels(dataset.images, pixels))

    def _machine(self, task: Task) -> Cell:
        """A network and where it runs."""
        here = self._costs.environment
        return {
            "network": task.backbone.name,
            "stages": task.backbone.stages,
            "head": self.settings.head,
            **{name: here[name] for name in ("device", "cpu", "threads", "torch")},
        }

    def _cost(self, what: str, key: Cell, measure: Callable[[], Cell]) -> Cell:
        key = {"what": what} | key
        text = str(key)
        if text not in self._found:
            self._found[text] = self._costs.find(key) or self._costs.add(key, measure())
        return self._found[text]

    def with_costs(self, cells: list[Cell]) -> list[Cell]:
        """The cells with the columns ``cost_*``: of serving at ``test_size``, of training at
        ``size``, and of resizing with the pixels that are served."""
        rows = []
        for cell in cells:
            shown, served = pixels_of(cell)
            if cell.get("error") or served.size is None:
                rows.append(cell)
                continue
            task = self.task(cell)
            serving = self.cost_of_network(task, served.size, cell["precision"])
            training = self.cost_of_network(task, shown.size, cell["precision"])
            resizing = self.cost_of_pixels(task.dataset, served)
            row = {
                **{name: serving[name] for name in costs.SERVING},
                **{name: training[name] for name in costs.TRAINING},
                **{name: resizing[name] for name in costs.RESIZING},
            }
            rows.append(cell | row)
        return rows

    def expected(self, keys: list[Cell]) -> Callable[[Cell], float]:
        """Seconds that each cell is expected to take, from what its network costs.

        What cells share (features of frozen networks, a training) is divided among them.
        """
        shared = Counter(tuple(self._work(key)) for key in keys)

        def seconds(key: Cell) -> float:
            task, (shown, _) = self.task(key), pixels_of(key)
            count = len(task.dataset.labels)
            if shown.size is None:
                return count / 10  # whole images, one by one
            cost = self.cost_of_network(task, shown.size, key["precision"])
            own = count / self.cost_of_pixels(task.dataset, shown)["cost_resize_per_s"]
            if key["mode"] in FROZEN:
                work = count / cost["cost_forward_per_s"] + own
            else:
                train_at, _ = task.dataset.split(key["split"], key["seed"])
                work = key["epochs"] * len(train_at) / cost["cost_train_per_s"] + own
            return work / shared[tuple(self._work(key))] + 0.5

        return seconds

    def _work(self, key: Cell) -> list:
        """Return what is equal in cells that share their slowest part."""
        apart = ("seed", "split", "labels") if key["mode"] in FROZEN else ()
        return [
            value
            for name, value in key.items()
            if name not in apart and not name.startswith("test_")
        ]

    # Measuring.

    def spread(self) -> Spread | None:
        """Return what measures cells on a cluster, if ``settings.engine`` asks for one."""
        if self.settings.engine == "local":
            return None
        alone = dataclasses.replace(self.settings, engine="local", address=None)
        on_gpu = torch.device(alone.device).type == "cuda"

        def spread(keys: list[Cell]) -> Iterator[tuple[Cell, Cell]]:
            groups = defaultdict(list)
            for key in keys:
                groups[tuple(self._work(key))].append(key)
            return cluster.spread(
                partial(Lab, alone, self._given, trained=self._begin),
                list(groups.values()),
                device=alone.device,
                address=self.settings.address,
                cpus=1 + alone.workers,
                gpus=int(on_gpu),
            )

        return spread

    def task(self, key: Cell) -> Task:
        """The task that a key is about."""
        wanted = key["data_digest"], key["weights_digest"], key["stages"]
        for task in self.tasks:
            if task.identity == wanted:
                return task
        raise ValueError(f"data, weights: expected the digests {wanted[:2]}, found others here")

    def measure(self, key: Cell, tick: Callable[[float], None] = lambda share: None) -> Cell:
        """Train for a cell and validate; cells that differ in ``test_*`` only share a training."""
        task = self.task(key)
        _, val_at = task.dataset.split(key["split"], key["seed"])
        held_out = np.zeros(len(task.dataset.labels), dtype=bool)
        held_out[val_at] = True
        outcome = self._drift if key["mode"] == "none" else self._accuracy
        return {
            "n": len(val_at),
            **outcome(task, key, tick),
            "val": pack(held_out),
            "data_from": task.data_from,
            "weights_from": task.weights_from,
        }

    def _accuracy(self, task: Task, key: Cell, tick: Tick) -> Cell:
        """Train, and answer for the validation images and for those that were trained on."""
        dataset = task.dataset
        train_at, val_at = dataset.split(key["split"], key["seed"])
        labels = dataset.labels.copy()
        if key["labels"] == "shuffled":
            labels[train_at] = np.random.default_rng(key["seed"]).permutation(labels[train_at])
        training = {name: key[name] for name in key if not name.startswith("test_")}
        if self._trained[0] != training:
            self._trained = ({}, None)  # frees the last network before the next is made
            make = self._head if key["mode"] == "linear" else self._network
            self._trained = training, cache(make(task, key, train_at, labels, tick))
        predict = self._trained[1]
        shown, served = pixels_of(key)
        right = predict(served)[val_at] == dataset.labels[val_at]
        return {
            "top1": float(right.mean()),
            "train_top1": float((predict(shown)[train_at] == labels[train_at]).mean()),
            "chance": float(np.bincount(dataset.labels[val_at]).max() / len(val_at)),
            "right": pack(right),
        }

    def _drift(self, task: Task, key: Cell, tick: Tick) -> Cell:
        """Compare a whole classifier's answers with those at the original resolution."""
        dataset, classifier = task.dataset, task.backbone.classifier
        _, val_at = dataset.split(key["split"], key["seed"])
        original = Pixels(ORIGINAL, None, key["like"])
        logits = []
        for pixels in (original, pixels_of(key)[0]):
            features = self.features(task, pixels, key["precision"], tick)[val_at]
            with torch.inference_mode():
                here = torch.from_numpy(features).to(self.settings.device)
                logits.append(classifier(here).double().log_softmax(1).cpu())
        agrees = (logits[0].argmax(1) == logits[1].argmax(1)).numpy()
        divergence = (logits[0].exp() * (logits[0] - logits[1])).sum(1).mean()
        outcome = {"agreement": float(agrees.mean()), "kl": float(divergence)}
        if logits[1].shape[1] == len(dataset.classes):
            # The classes of folders are in alphabetical order, as are those of CIFAR-10.
            right = logits[1].argmax(1).numpy() == dataset.labels[val_at]
            outcome |= {"top1": float(right.mean()), "hits": pack(right)}
        return outcome | {"right": pack(agrees)}

    def _head(
        self, task: Task, key: Cell, train_at: np.ndarray, labels: np.ndarray, tick: Tick
    ) -> Callable[[Pixels], np.ndarray]:
        """Fit a linear head on frozen features; returns what predicts the whole pool."""
        shown, _ = pixels_of(key)
        features = partial(self.features, task, precision=key["precision"])
        head = fit_head(features(shown, tick=tick)[train_at], labels[train_at], key["head_c"])
        return lambda pixels: head.predict(features(pixels))

    def _network(
        self, task: Task, key: Cell, train_at: np.ndarray, labels: np.ndarray, tick: Tick
    ) -> Callable[[Pixels], np.ndarray]:
        """Train a network; returns what predicts the whole pool."""
        settings, dataset = self.settings, task.dataset
        shown, _ = pixels_of(key)
        recipe = Recipe(**{field.name: key[field.name] for field in dataclasses.fields(Recipe)})
        how = {"precision": key["precision"], "device": settings.device}
        how |= {"workers": settings.workers}
        processes.announce((key, train_at, labels))
        with processes.all_or_none(DivergedError):
            torch.manual_seed(key["seed"])
            network = self.classifier(task, fresh=key["mode"] == "scratch")
            views = Views(dataset.images, labels, train_at, shown, recipe.augment, key["seed"])
            train(network, views, recipe, seed=key["seed"], tick=tick, **how)
        every = range(len(labels))

        def predict(pixels: Pixels) -> np.ndarray:
            views = Views(dataset.images, labels, every, pixels)
            return outputs(network, views, batch=BATCH, **how).argmax(1)

        return predict

    def follow(self) -> None:
        """Take part in the trainings that the first process of torchrun announces."""
        for key, train_at, labels in processes.announced():
            with suppress(DivergedError):  # the first process tells it
                self._network(self.task(key), key, train_at, labels, lambda share: None)

    def features(
        self, task: Task, pixels: Pixels, precision: Precision, tick: Tick = lambda share: None
    ) -> np.ndarray:
        """Compute the frozen network's features of all images of a data set, ``[N, width]``."""
        what = (task.dataset.digest, task.backbone.digest, task.backbone.stages, pixels, precision)
        if what not in self._features:
            dataset, settings = task.dataset, self.settings
            views = Views(dataset.images, dataset.labels, range(len(dataset.labels)), pixels)
            self._features[what] = outputs(
                task.backbone.to(settings.device),
                views,
                precision=precision,
                device=settings.device,
                workers=settings.workers,
                # Images that are not resized differ in size, and a batch is one array.
                batch=1 if pixels.size is None else BATCH,
                tick=tick,
            )
        return self._features[what]

    def classifier(self, task: Task, *, fresh: bool = False) -> Classifier:
        """A new network to train, from the weights or, where ``fresh``, from random ones."""
        settings = self.settings
        if fresh:
            backbone = open_backbone(
                task.weights_from, task.backbone.stages, settings.head, trained=False
            )
        else:
            backbone = copy.deepcopy(task.backbone)
        network = Classifier(backbone.requires_grad_(True), len(task.dataset.classes))
        return network.to(settings.device, memory_format=torch.channels_last)


class Kept(dict[Hashable, np.ndarray]):
    """Arrays by key, at most so many bytes of them: the oldest leave first."""

    def __init__(self, most: float) -> None:
        super().__init__()
        self.most = most

    def __setitem__(self, key: Hashable, value: np.ndarray) -> None:
        super().__setitem__(key, value)
        while len(self) > 1 and sum(array.nbytes for array in self.values()) > self.most:
            del self[next(iter(self))]


def pixels_of(key: Cell) -> tuple[Pixels, Pixels]:
    """The pixels that a cell trains on, and those that it validates on."""
    return (
        Pixels(key["method"], key["size"], key["like"], key.get("via")),
        Pixels(key["test_method"], key["test_size"], key["test_like"], key.get("test_via")),
    )


def fit_head(features: np.ndarray, labels: np.ndarray, c: float) -> Pipeline:
    """A linear classifier on standardised features; deterministic."""
    head = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=10_000))
    return head.fit(features.astype(np.float64), labels)


def check_distinct(settings: Any, *names: str) -> None:
    """Refuse settings that are empty or have an entry twice.

    Raises:
        ValueError: names the setting.
    """
    for name in names:
        given = getattr(settings, name)
        if not given or len(set(given)) < len(given):
            raise ValueError(f"{name}: expected at least one, each once, got {given}")


def check_engine(settings: Settings) -> None:
    """Refuse a cluster that cannot be reached, or a device that its nodes cannot be given.

    Raises:
        ValueError: names the setting.
    """
    if settings.engine == "local":
        if settings.address is not None:
            raise ValueError(f"address: engine 'local' has no use for {settings.address!r}")
        return
    if settings.device not in ("cpu", "cuda"):
        raise ValueError(f"device: expected cpu or cuda for engine 'ray', got {settings.device!r}")
    cluster.check(settings.address)


def check_device(device: str) -> None:
    """Refuse a device that torch cannot use.

    Raises:
        ValueError: names it.
    """
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        reason = str(error).splitlines()[0]
        raise ValueError(f"device: cannot use {device!r}: {reason}") from error


def check_sizes(name: str, sizes: Sequence[int], tasks: Iterable[Task]) -> None:
    """Refuse sizes that are repeated, or that a network does not take.

    Raises:
        ValueError: names the size and the network.
    """
    if not sizes or len(set(sizes)) < len(sizes):
        raise ValueError(f"{name}: expected at least one, each once, got {sizes}")
    for task in tasks:
        for size in sizes:
            task.backbone.check_side(size)
