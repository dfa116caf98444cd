"""The benchmark: that it times what it says, and refuses what it cannot time."""

import time

import numpy as np
import pandas as pd
import pytest

from studies import speed
from studies.providers import COMPARISONS


def test_end_to_end(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = [n for n in COMPARISONS if n != "scaling" and not n.startswith("training")]
    options = {"sizes": ("40x50:20x30",), "threads": (1,), "rounds": 3}
    config = speed.Config(comparisons=tuple(names), **options)
    place = speed.run(config)
    frame = pd.read_csv(place / "results.csv")
    assert set(frame.comparison) == set(names)
    assert (frame.peak_megabytes.isna() | (frame.peak_megabytes < 100)).all()
    assert (frame.median_ms > 0).all()
    assert (frame.p20_ms <= frame.p80_ms).all()
    for _, rows in frame.groupby(["comparison", "size", "method"]):
        theirs = rows[~rows.provider.str.startswith(speed.OURS)]
        ours = rows[rows.provider.str.startswith(speed.OURS)]
        assert ours.size
        assert (theirs.ratio <= 1).all()
        if "float" not in rows.comparison.iloc[0] and rows.method.iloc[0] != "bicubic":
            # The same pixels, so the same errors.
            assert rows.mean_error.max() - rows.mean_error.min() < 1e-6
    assert "times as fast" in (place / "summary.md").read_text()
    assert str(place / "index.html") in capsys.readouterr().out
    assert list(place.glob("*.png"))


def test_ratios_are_taken_against_the_fastest_kind():
    times = {
        "torch, a": [1, 4, 5],
        "torch, b": [1, 2, 3],
        "torchresample": [1, 1, 1],
        "copy": [0.5] * 3,
    }
    errors = {name: [0.0, 0.0] for name in times}
    memory = dict.fromkeys(times, 2000000.0)
    cell = {"times": times, "errors": errors, "memory": memory, "moved": 8_000_000_000}
    frame = speed.to_frame([cell]).set_index("provider")
    assert frame.ratio.to_dict() == {"torch, a": 0.5, "torch, b": 1.0, "torchresample": 2.0}
    assert frame.share_of_copy["torchresample"] == 0.5
    assert frame.gigabytes_per_second["torchresample"] == 8


def test_errors_are_against_the_exact_result():
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    case = ("bilinear", image, (10, 20))
    truth = speed.computed(lambda: COMPARISONS["pillow"].exact(*case))
    error = speed.computed(COMPARISONS["pillow"].calls(*case)["Pillow"]) - truth
    assert 0 < np.abs(error).max() <= 1  # two roundings


@pytest.mark.parametrize("kind", ["tensor", "PIL"])
def test_random_crops_are_the_same_ones(kind):
    image = np.random.default_rng(0).integers(0, 256, (60, 70, 3), dtype=np.uint8)
    comparison = COMPARISONS[f"training, {kind}"]
    truth = speed.computed(lambda: comparison.exact("bilinear", image, (24, 24)))
    for call in comparison.calls("bilinear", image, (24, 24)).values():
        assert np.abs(speed.computed(call) - truth).max() < 1 / 255 / 0.224  # a level of a byte


def test_peak_of_a_call():
    got = speed.peak(lambda: np.ones(50_000_000, np.uint8))
    if np.isnan(got):
        pytest.skip("this system does not tell the peak of a process")
    assert 49e6 < got < 60e6


def test_slow_calls_take_few_rounds():
    times = speed.rounds({"slow": lambda: time.sleep(0.02)}, 100, 0.01)
    assert len(times["slow"]) == 3


def test_rounds_take_turns_in_changing_order():
    calls = []
    providers = {name: lambda name=name: calls.append(name) for name in "abcd"}
    times = speed.rounds(providers, 9, 60.0)
    turns = ["".join(calls[i : i + 4]) for i in range(0, 36, 4)]
    assert all(sorted(turn) == list("abcd") for turn in turns)
    assert len(set(turns)) > 1
    assert {name: len(t) for name, t in times.items()} == dict.fromkeys("abcd", 9)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sizes": ("40x50",)}, "sizes: expected HxW:HxW.*'40x50'"),
        ({"sizes": ("0x5:3x3",)}, "sizes: .*'0x5:3x3'"),
        ({"comparisons": ("gimp",)}, r"comparisons: .*\['gimp'\]"),
        ({"comparisons": ()}, "comparisons, sizes, threads: expected at least one"),
        ({"rounds": 1}, "rounds, threads, seconds: expected at least 3"),
    ],
)
def test_bad_input(tmp_path, monkeypatch, changes, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=words):
        speed.run(speed.Config(**changes))
    assert not list(tmp_path.iterdir())
