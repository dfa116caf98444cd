"""The cells of studies: found by what they are, kept one by one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from studies import run
from studies.run import Run

KEYS = [{"i": i, "name": None} for i in range(4)]

KILLED = """
import os, signal
from studies.run import Run

def measure(key, tick):
    if key["i"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"value": 10 * key["i"]}

Run("demo", [{"i": i, "name": None} for i in range(4)]).finish(measure)
"""


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path, monkeypatch):
    """Run folders go to ``tmp_path/runs``."""
    monkeypatch.chdir(tmp_path)


def ten_times(key, tick):
    return {"value": 10 * key["i"]}


def never(key, tick):
    pytest.fail("measured again")


def test_a_kill_loses_only_the_cell_at_work(capsys):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", KILLED], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    measured = []

    def measure(key, tick):
        measured.append(key["i"])
        return ten_times(key, tick)

    cells = Run("demo", KEYS).finish(measure)
    assert measured == [2, 3]
    assert [cell["value"] for cell in cells] == [0, 10, 20, 30]
    assert all(cell["commit"] and cell["torch"] and cell["torchresample"] for cell in cells)
    assert "resumed: 2 of 4 cells were finished before" in capsys.readouterr().out


def test_a_larger_study_measures_only_what_is_new():
    Run("demo", KEYS[1:3]).finish(ten_times)
    measured = []

    def measure(key, tick):
        measured.append(key["i"])
        return ten_times(key, tick)

    cells = Run("demo", KEYS[::-1]).finish(measure)
    assert measured == [3, 0]
    assert [cell["i"] for cell in cells] == [3, 2, 1, 0]


def test_what_cells_have_in_common_tells_them_apart():
    Run("demo", KEYS, {"seed": 1}).finish(ten_times)
    assert len(Run("demo", KEYS, {"seed": 2}).todo()) == 4
    assert not Run("other name", KEYS, {"seed": 1}).todo()


def test_another_release_finds_nothing(monkeypatch):
    Run("demo", KEYS).finish(ten_times)
    monkeypatch.setattr(run.torchresample, "__version__", "99.0")
    assert len(Run("demo", KEYS).todo()) == 4


def test_the_folder_follows_the_cells():
    folder = Run("demo", KEYS).folder
    assert folder == Run("demo", [dict(key) for key in KEYS]).folder
    assert folder != Run("demo", KEYS[:3]).folder
    assert folder != Run("demo", KEYS, {"seed": 1}).folder
    assert folder != Run("omed", KEYS).folder


def test_rows_of_a_table_count_as_finished_cells(tmp_path):
    keys = [{"size": 8, "lr": 0.1, "stages": None}, {"size": None, "lr": 1e-05, "stages": 3}]
    cells = Run("demo", keys).finish(lambda key, tick: {"right": "3:a0", "top1": 2 / 3})
    pd.DataFrame(cells).to_csv("table.csv", index=False)
    again = Run("demo", keys, out=tmp_path / "elsewhere", known=[Path("table.csv")])
    assert not again.todo()
    assert again.finish(never)[1]["top1"] == 2 / 3
    assert len(Run("demo", keys, out=tmp_path / "elsewhere").todo()) == 2


def test_a_new_field_that_is_empty_leaves_older_cells_found(tmp_path):
    cells = Run("demo", [{"i": 1}]).finish(ten_times)
    pd.DataFrame(cells).to_csv("table.csv", index=False)
    longer = [{"i": 1, "via": None}]
    assert not Run("demo", longer).todo()
    assert not Run("demo", longer, out=tmp_path / "other", known=[Path("table.csv")]).todo()
    assert Run("demo", [{"i": 1, "via": 8}]).todo()


def test_tables_that_are_none():
    Path("prose.csv").write_text("words\nmany\n")
    with pytest.raises(
        ValueError, match=r"known: prose.csv must be a table of this study, has \['w"
    ):
        Run("demo", KEYS, known=[Path("prose.csv")])
    with pytest.raises(ValueError, match=r"known: cannot read absent.csv"):
        Run("demo", KEYS, known=[Path("absent.csv")])


def test_a_cell_that_fails_is_told_and_tried_again(capsys):
    def fails(key, tick):
        if key["i"] == 1:
            raise RuntimeError("out of memory\nand a long trace")
        return ten_times(key, tick)

    cells = Run("demo", KEYS).finish(fails)
    assert [cell.get("value") for cell in cells] == [0, None, 20, 30]
    assert cells[1]["error"] == "RuntimeError: out of memory"
    assert "failed: 1: RuntimeError: out of memory" in capsys.readouterr().err
    assert [key["i"] for key in Run("demo", KEYS).todo()] == [1]
    pd.DataFrame(cells).to_csv("table.csv", index=False)
    found = run.read_cells(Path("table.csv"), list(KEYS[0]))
    assert len(found) == 3, "a failed row is not a finished cell"


def test_a_full_disk_ends_the_run_and_keeps_what_is_finished(monkeypatch):
    real = Path.write_bytes

    def write(path, data):
        if len(list(Path("runs/cells").glob("*.json"))) == 2:
            real(path, data[: len(data) // 2])
            raise OSError(28, "No space left on device", str(path))
        return real(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write)
        with pytest.raises(OSError, match="No space left"):
            Run("demo", KEYS).finish(ten_times)
    assert sorted(p.suffix for p in Path("runs/cells").iterdir()) == [".json", ".json"]
    assert [key["i"] for key in Run("demo", KEYS).todo()] == [2, 3]


def test_cells_are_one_file_each():
    Run("demo", KEYS).finish(ten_times)
    files = sorted(Path("runs/cells").iterdir())
    assert len(files) == 4
    assert sorted(json.loads(path.read_text())["value"] for path in files) == [0, 10, 20, 30]


def test_progress_without_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(run, "LOG_SECONDS", -1)
    Run("demo", KEYS).finish(ten_times, lambda key: 1.0 + key["i"])
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"{i}/4 cells" for i in (1, 2, 3, 4)]
    assert "about" in lines[0]
    assert "about 0:00:00 left" in lines[-1]
