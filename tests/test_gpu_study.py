"""The benchmark for GPUs, tried out on the CPU, with small batches."""

import pandas as pd
import pytest
import torch

import torchresample as tr
from studies import gpu


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Small images, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    for name, comparison in gpu.COMPARISONS.items():
        changes = comparison.__dict__ | {"batches": ("4 20x30:9x11",)}
        monkeypatch.setitem(gpu.COMPARISONS, name, gpu.Comparison(**changes))


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")  # of the compiler's own imports
def test_report(tiny, capsys):
    config = gpu.Config(device="cpu", dtypes=("uint8", "float32"), share=2, rounds=2)
    place = gpu.run(config)
    frame = pd.read_csv(place / "results.csv")
    assert set(frame.comparison) == set(gpu.COMPARISONS)
    timed = frame[~frame.comparison.isin(gpu.CHECKS)]
    assert (timed[timed.provider == gpu.OURS].ratio == 1).all()
    assert (timed[["median_ms", "ratio", "share_of_copy"]] > 0).all(axis=None)
    moved = 2 * 3 * (20 * 30 + 9 * 11)
    assert (timed[timed.comparison == "resize"].moved == moved).all()
    chroma = 2 * 10 * 15
    assert (
        timed[timed.comparison == "frames"].moved == 2 * (20 * 30 + chroma + 3 * 9 * 11 * 2)
    ).all()
    assert (timed[timed.comparison.isin(["forward", "backward"])].moved == 4 * moved).all()
    assert frame[frame.comparison.isin(gpu.CHECKS)].failures.isna().all()
    assert {"triton", "torch", "commit", "device", "peak_megabytes"} <= set(frame)
    assert "cases pass" in capsys.readouterr().out


def test_differences_are_told(tiny, monkeypatch, capsys):
    names = tuple(gpu.CHECKS)
    monkeypatch.setattr(torch, "equal", lambda *_: False)
    gpu.run(gpu.Config(device="cpu", dtypes=("uint8", "float32"), comparisons=names))
    said = capsys.readouterr().out
    assert "cases pass" not in said
    for method in tr.PROFILES["pillow"].methods:
        assert f"{method}, antialias=" in said
    for call in ("resize", "as_a_list"):
        assert f"{call}, (" in said
    assert "torch.compile" in said


def test_errors_are_told(tiny, monkeypatch, capsys):
    """And other cases measured."""

    def partly_broken(plain):
        def calls(x, size, method):
            if method == "lanczos3":
                raise RuntimeError("out of luck")
            return plain(x, size, method)

        return calls

    names = "resize", "sizes"
    for name in names:
        monkeypatch.setitem(gpu.TIMED, name, partly_broken(gpu.TIMED[name]))
    place = gpu.run(gpu.Config(device="cpu", rounds=1, comparisons=names))
    frame = pd.read_csv(place / "results.csv", keep_default_na=False)
    failed = frame.failures != ""
    assert (failed == (frame.method == "lanczos3")).all()
    assert set(frame[~failed].comparison) == set(names)
    assert "RuntimeError: out of luck" in capsys.readouterr().out


@pytest.mark.parametrize("like", ["pillow", "torch", "linear-light"])
def test_roundings(like):
    """What random cases of floats may differ by: less than half of a byte's step."""
    x = torch.rand(3, 40, 50)
    options = {"like": like, "antialias": True, "box": None}
    exact = tr.resize(x.double(), (17, 60), "bicubic", **options)
    allowed = gpu.roundings(x, exact, "bicubic", options)
    assert allowed.shape == exact.shape
    assert ((torch.finfo(x.dtype).eps / 2 * exact.abs() < allowed) & (allowed < 1 / 510)).all()


@pytest.mark.parametrize(
    "changes",
    [
        *({"comparisons": ("speed",)}, {"comparisons": ()}, {"dtypes": ("int8",)}),
        *({"share": 0}, {"rounds": 0}, {"device": "meta"}),
        {"comparisons": ("resize",), "dtypes": ("float32",)},
    ],
)
def test_bad_input(tmp_path, monkeypatch, changes):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=next(iter(changes))):
        gpu.run(gpu.Config(**{"device": "cpu"} | changes))
    assert not list(tmp_path.iterdir())
