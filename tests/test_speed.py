"""The benchmark: that it times what it says, and refuses what it cannot time."""

import numpy as np
import pandas as pd
import pytest

from studies import speed


def test_end_to_end(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = speed.Config(sizes=("40x50:20x30",), threads=(1,), rounds=3)
    place = speed.run(config)
    frame = pd.read_csv(place / "results.csv")
    assert set(frame.profile) == set(speed.METHODS)
    assert (frame.median_ms > 0).all()
    assert (frame.p20_ms <= frame.p80_ms).all()
    for _, rows in frame.groupby(["profile", "method"]):
        theirs = rows[~rows.provider.str.startswith(speed.OURS)]
        ours = rows[rows.provider.str.startswith(speed.OURS)]
        assert ours.size
        assert (theirs.ratio <= 1).all()
        if rows.profile.iloc[0] in ("pillow", "torch"):  # the same pixels, so the same errors
            assert rows.mean_error.nunique() == 1
    assert "times as fast" in (place / "summary.md").read_text()
    assert str(place / "plot.png") in capsys.readouterr().out


def test_ratios_are_taken_against_the_fastest_kind():
    times = {
        "torch, a": [1, 4, 5],
        "torch, b": [1, 2, 3],
        "torchresample": [1, 1, 1],
        "copy": [0.5] * 3,
    }
    errors = {name: [0.0, 0.0] for name in times}
    cell = {"times": times, "errors": errors, "moved": 8_000_000_000}
    frame = speed.to_frame([cell]).set_index("provider")
    assert frame.ratio.to_dict() == {"torch, a": 0.5, "torch, b": 1.0, "torchresample": 2.0}
    assert frame.share_of_copy["torchresample"] == 0.5
    assert frame.gigabytes_per_second["torchresample"] == 8


def test_errors_are_against_the_exact_result():
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    truth = speed.exact("pillow", "bilinear", image, (10, 20))
    calls = speed.calls("pillow", "bilinear", image, (10, 20))
    assert 0 < np.abs(speed.as_array(calls["Pillow"]()) - truth).max() <= 1  # two roundings


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sizes": ("40x50",)}, "sizes: expected HxW:HxW.*'40x50'"),
        ({"sizes": ("0x5:3x3",)}, "sizes: .*'0x5:3x3'"),
        ({"profiles": ("gimp",)}, r"profiles: .*\['gimp'\]"),
        ({"profiles": ()}, "profiles, sizes, threads: expected at least one"),
        ({"rounds": 1}, "rounds, threads: expected at least 3"),
    ],
)
def test_bad_input(tmp_path, monkeypatch, changes, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=words):
        speed.run(speed.Config(**changes))
    assert not list(tmp_path.iterdir())
