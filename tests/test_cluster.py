"""Cells over a Ray cluster: every cell once, whatever dies, and equal to those of one process."""

import os
import socket
import time
import uuid
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from studies import cluster, pretrain, transfer
from studies.run import Run

pytestmark = pytest.mark.skipif(
    find_spec("ray") is None or not Path("/proc").exists(),
    reason="needs Ray, and /proc to find the processes of a cluster",
)
HERE = {"command", "engine", "address"}
"""Columns that may differ between engines."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two classes of coloured noise, 8 + 6 images each; the working directory is beside it."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 6)):
        for name, base in (("dark", 20), ("light", 60)):
            place = tmp_path / "images" / split / name
            place.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(base, base + 150, (20, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{i}.png")
    return Path("images")  # relative: nodes begin in the same working directory


@pytest.fixture
def mark(monkeypatch):
    """An environment variable that every process of a cluster inherits from this one."""
    text = f"TORCHRESAMPLE_TEST_CLUSTER={uuid.uuid4()}"
    monkeypatch.setenv(*text.split("="))
    return text


def marked(text):
    """The processes that have a variable in their environment, but for this one."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if text.encode() in path.read_bytes() and path.parent.name != str(os.getpid()):
                found.append((path.parent / "cmdline").read_bytes())
        except OSError:  # it has ended meanwhile
            continue
    return found


def config(folder, out, **changes):
    settings = {"data": (str(folder),), "weights": (str(pretrain.CHECKPOINT),), "sizes": (8,)}
    settings |= {"methods": ("nearest", "bilinear"), "seeds": (0, 1), "epochs": 8, "batch": 8}
    settings |= {"test_sizes": ("same", "12"), "precision": "float32", "out": Path(out)}
    return transfer.Config(**(settings | changes))


def frame_of(place):
    frame = pd.read_csv(place / "results.csv")
    return frame[[c for c in frame if c not in HERE and not c.startswith("cost_")]]


def test_every_cell_finishes_once_though_a_node_dies(folder, mark, monkeypatch, capsys):
    import ray
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    added, killed = [], []
    add = Run.add

    def add_and_kill(study, key, outcome):
        if "method" not in key or "mode" not in key:
            return add(study, key, outcome)  # a cost
        added.append(str(key))
        if len(added) == 1:
            end = time.monotonic() + 20
            while ray.available_resources().get("CPU", 0) and time.monotonic() < end:
                time.sleep(0.05)
            killed.append(ray.available_resources().get("CPU", 0))
            nodes.remove_node(dies, allow_graceful=False)
        return add(study, key, outcome)

    try:
        dies = nodes.add_node(num_cpus=1)
        with monkeypatch.context() as patch:
            patch.setattr(Run, "add", add_and_kill)
            place = transfer.run(config(folder, "ray", engine="ray", address=nodes.address))
    finally:
        nodes.shutdown()
    assert killed == [0], "both nodes were at work"
    assert len(added) == len(set(added)) == 9
    spread = frame_of(place)
    assert len(spread) == 9
    assert "9/9 cells" in capsys.readouterr().err
    alone = frame_of(transfer.run(config(folder, "alone")))
    pd.testing.assert_frame_equal(spread, alone)
    end = time.monotonic() + 10  # workers end when they notice that their node has
    while marked(mark) and time.monotonic() < end:
        time.sleep(0.1)
    assert not marked(mark)


class Counts:
    """What measures squares, and fails at 3."""

    def measure(self, key, tick):
        if key["i"] == 3:
            raise RuntimeError("out of memory\nand a long trace")
        if key["i"] == 5:
            os._exit(1)
        return {"value": key["i"] ** 2, "process": os.getpid()}


def test_what_fails_is_told_and_the_rest_goes_on(tmp_path, monkeypatch, mark):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cluster, "RETRIES", 1)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))  # of Counts
    how = {"device": "cpu", "address": None, "cpus": 1, "gpus": 0}

    def spread(keys):
        groups = [[key for key in keys if key["i"] // 2 == g] for g in range(3)]
        return cluster.spread(Counts, groups, **how)

    study = Run("demo", [{"i": i} for i in range(6)])
    cells = study.finish(None, spread=spread)
    assert [cell.get("value") for cell in cells] == [0, 1, 4, None, None, None]
    assert cells[3]["error"] == "RuntimeError: out of memory"
    assert cells[5]["error"].startswith("WorkerCrashedError: ")
    assert os.getpid() not in {cell.get("process") for cell in cells}
    assert cells[0]["command"] == cells[3]["command"], "the command is this process's"
    assert [key["i"] for key in study.todo()] == [3, 4, 5]
    with pytest.raises(
        ValueError, match=r"engine: a node of the Ray cluster must have .*'GPU': 99"
    ):
        list(cluster.spread(Counts, [], **(how | {"gpus": 99})))


def test_clusters_that_cannot_be_used(folder, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # nothing listens
        port = unused.getsockname()[1]
        with pytest.raises(ValueError, match=f"address: cannot reach .*127.0.0.1:{port}"):
            transfer.run(config(folder, "runs", engine="ray", address=f"127.0.0.1:{port}"))
    with pytest.raises(ValueError, match="address: expected HOST:PORT or 'auto', got 'nonsense'"):
        transfer.run(config(folder, "runs", engine="ray", address="nonsense"))
    with pytest.raises(ValueError, match="address: engine 'local' has no use for 'auto'"):
        transfer.run(config(folder, "runs", address="auto"))
    with pytest.raises(ValueError, match="device: expected cpu or cuda for engine 'ray'"):
        transfer.run(config(folder, "runs", engine="ray", device="cuda:1"))
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="engine: 'ray' must have Ray installed"):
        transfer.run(config(folder, "runs", engine="ray"))
    assert not Path("runs").exists()
