"""The fidelity study: its measures against theory and other libraries, its report, its refusals."""

import dataclasses
import itertools
import math
import re
import shutil
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import torchresample as tr
from studies import charts, fidelity, measures, signals
from studies import fidelity_findings as findings
from studies.__main__ import main
from studies.measures import Variant
from studies.run import CellsFailedError

ROUNDING = 64 * np.finfo(np.float64).eps / signals.SWING
"""Of an amplitude: a few roundings of values up to 1, over the waves' amplitude."""
FACTORS = [Fraction(1, 2), Fraction(1, 3), Fraction(1, 4), Fraction(2, 3), Fraction(2), Fraction(3)]
SHRINKING = [factor for factor in FACTORS if factor < 1]
BOX = Variant("pillow", "box", True)


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path, monkeypatch):
    """Run folders go to ``tmp_path/runs``."""
    monkeypatch.chdir(tmp_path)


def ideal(lines, n):
    """The Fourier series of periodic lines up to below the limit, at the outputs' centres."""
    width = lines.shape[-1]
    k = torch.arange(width // 2 + 1).double()
    spectrum = torch.fft.rfft(lines) * torch.exp(1j * math.pi * k * (1 / n - 1 / width))
    kept = min(n, width) // 2  # the limit itself is left out
    return torch.fft.irfft(spectrum[..., :kept], n) * (n / width)


# Signals.


@pytest.mark.parametrize("factor", FACTORS, ids=str)
def test_an_ideal_resize_has_no_aliasing_no_loss_and_no_shift(factor):
    response = signals.respond(ideal, factor)
    below = response.frequency < response.limit - 1e-9
    np.testing.assert_allclose(response.gain[below], 1, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(response.gain[~below], 0, rtol=0, atol=ROUNDING)
    assert response.aliasing() < ROUNDING
    assert abs(response.loss_db()) < 10 * ROUNDING
    assert abs(response.shift()) < 100 * ROUNDING  # a phase over 2 pi times a low frequency


@pytest.mark.parametrize("q", [2, 3, 4, 7])
def test_a_box_has_dirichlets_response(q):
    response = signals.respond(BOX.across, Fraction(1, q))

    def dirichlet(f):
        return np.abs(np.sin(np.pi * f * q) / (q * np.sin(np.pi * f)))

    f = response.frequency[1:]
    np.testing.assert_allclose(response.gain[1:], dirichlet(f), rtol=0, atol=ROUNDING)
    assert response.gain_at(0.5) == pytest.approx(dirichlet(0.25 / q), abs=ROUNDING)
    assert response.loss_db() == pytest.approx(-20 * np.log10(dirichlet(0.25 / q)), abs=1e-9)
    # Of white noise the mean of q pixels keeps 1 / q.
    assert np.trapezoid(response.gain**2, response.frequency) == pytest.approx(0.5 / q, abs=1e-9)


@pytest.mark.parametrize("like", ["pillow", "torch", "opencv", "skimage", "tf"])
@pytest.mark.parametrize("q", [2, 3, 4, 5])
def test_nearest_is_flat_and_aliases_all_above_the_limit(like, q):
    variant = Variant(like, "nearest", False)
    response = signals.respond(variant.across, Fraction(1, q))
    np.testing.assert_allclose(response.gain, 1, rtol=0, atol=ROUNDING)
    assert response.aliasing() == pytest.approx(1 - 1 / q, abs=ROUNDING)
    # The pixel that stands for q: under the centre, in torch and OpenCV under the corner.
    pixel = 0 if like in ("torch", "opencv") else q // 2
    shift = (q - 1) / 2 - pixel
    assert response.shift() == pytest.approx(shift / q, abs=100 * ROUNDING)


def test_pixels_repeated_have_images():
    # Samples lie a quarter of a pixel off: the wave itself keeps cos(pi f / 2) of its amplitude.
    response = signals.respond(Variant("pillow", "nearest", False).across, Fraction(2))
    expected = np.cos(np.pi * response.frequency / 2)
    np.testing.assert_allclose(response.gain, expected, rtol=0, atol=ROUNDING)
    step = response.frequency[1]
    error = step**2 / 12 * 0.5 * np.pi**2  # of the trapezoidal rule, for the second derivative
    assert response.aliasing() == pytest.approx(0.5 - 1 / np.pi, abs=2 * error)
    x, y = charts.curve(response)
    mirrored = x > 1
    wrong = np.abs(np.sin(np.pi * (2 - x[mirrored]) / 4))
    # A root of a difference of energies.
    np.testing.assert_allclose(y[mirrored], wrong, rtol=0, atol=math.sqrt(ROUNDING))


@pytest.mark.parametrize("factor", FACTORS, ids=str)
@pytest.mark.parametrize("variant", [Variant("torch", "bicubic", False), BOX], ids=str)
def test_a_shift_injected_by_hand_is_measured(rng, factor, variant):
    base = signals.respond(variant.across, factor).shift()
    pixels = int(rng.integers(1, 4))
    moved = signals.respond(lambda x, n: variant.across(x.roll(pixels, -1), n), factor).shift()
    assert moved - base == pytest.approx(pixels * factor, abs=100 * ROUNDING)
    # The mean with the pixel to the right lies half a pixel to the left.
    half = signals.respond(lambda x, n: variant.across((x + x.roll(-1, -1)) / 2, n), factor)
    assert half.shift() - base == pytest.approx(-factor / 2, abs=100 * ROUNDING)


def test_shifts_along_columns_are_measured_along_columns():
    class Skewed(Variant):
        def resize(self, image, size):
            return super().resize(image.roll(1, -2), size)

    factor = Fraction(1, 2)
    found = measures.theory(Skewed("pillow", "box", True), factor)
    assert found["shift_x"] == pytest.approx(0, abs=1e-6)
    assert found["shift_y"] == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("q", [2, 3, 4, 9])
def test_overshoot_is_that_of_the_kernels_sums(q):
    assert signals.overshoot(Variant("pillow", "bilinear", True).across, Fraction(1, q)) < 1e-10
    x = (np.arange(-3 * q, 3 * q) + (0.5 if q % 2 == 0 else 0)) / q
    weight = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)
    sums = np.cumsum(weight) / weight.sum()
    for like in ("pillow", "torch", "tf"):
        found = signals.overshoot(Variant(like, "lanczos3", True).across, Fraction(1, q))
        assert found == pytest.approx(100 * (sums.max() - 1), abs=1e-10), like


def test_undershoot_counts_as_overshoot():
    half, lanczos = Fraction(1, 2), Variant("pillow", "lanczos3", True)
    both = signals.overshoot(lanczos.across, half)
    assert both > 1
    for low, high in ((0.0, 0.75), (0.25, 1.0)):
        found = signals.overshoot(
            lambda x, n, at=(low, high): lanczos.across(x, n).clamp(*at), half
        )
        assert found == pytest.approx(both, abs=1e-10)


def test_above_the_limit_all_counts_below_it_the_wave_itself():
    # Two of three pixels are taken: they have all of a wave, but not evenly spaced.
    response = signals.respond(Variant("pillow", "nearest", False).across, Fraction(2, 3))
    above = response.frequency > response.limit + 1e-9
    np.testing.assert_allclose(response.gain[above], 1, rtol=0, atol=ROUNDING)
    assert response.gain[~above][-1] < 0.95
    np.testing.assert_allclose(response.energy, 1, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("factor", FACTORS, ids=str)
def test_scikit_image_overshoots_although_it_clamps(factor):
    spline = Variant("skimage", "spline3", False)
    clamped = spline.across(torch.tensor([[[0.25] * 24 + [0.75] * 24] * 3]).double(), 16 * 3)
    assert clamped.max() == 0.75
    if factor.denominator != 3:  # there the centres of outputs are those of inputs
        assert signals.overshoot(spline.across, factor) > 1


def test_a_zone_plate_reaches_half_a_cycle_at_its_edges():
    plate = signals.zone_plate(256).double()
    edge = plate[127, -24:] - 127.5
    # Neighbours alternate where a wave has half a cycle per pixel.
    assert (edge[1:] * edge[:-1] <= 0).float().mean() > 0.9
    assert plate[127, 127] == 255
    torch.testing.assert_close(plate, plate.flip(0, 1).mT)


# Measures.


def test_every_method_of_every_profile_is_there_once():
    every = measures.variants(fidelity.LIKE, ())
    assert len({(v.like, v.name) for v in every}) == len(every)
    for like, profile in tr.PROFILES.items():
        found = {(v.method, v.antialias) for v in every if v.like == like}
        both = itertools.product(tr.METHODS, (True, False))
        expected = {
            (name, antialias)
            for name, antialias in both
            if name in profile.methods and antialias in profile.methods[name].antialias
        }
        assert found == (set() if like in fidelity.REDUNDANT else expected)


def test_what_is_left_out_is_redundant(rng):
    image = torch.from_numpy(rng.integers(0, 256, (3, 60, 84), dtype=np.uint8))
    for variant in measures.variants(fidelity.REDUNDANT, ()):
        other = dataclasses.replace(variant, like="pillow")
        assert variant.name == other.name
        response = signals.respond(variant.across, Fraction(1, 4))
        np.testing.assert_array_equal(
            response.wave, signals.respond(other.across, Fraction(1, 4)).wave
        )
        difference = variant.resize(image, (15, 21)).int() - other.resize(image, (15, 21))
        assert difference.abs().max() <= 2  # bytes between the axes are rounded in another order


def test_a_bare_name_is_the_profiles_default_for_bytes(rng):
    image = torch.from_numpy(rng.integers(0, 256, (3, 40, 40), dtype=np.uint8))
    for variant in measures.variants(fidelity.LIKE, ()):
        if ":" not in variant.name:
            expected = tr.resize(image, (13, 17), variant.method, like=variant.like)
            assert torch.equal(variant.resize(image, (13, 17)), expected)


def photographs(rng, sizes=((48, 60), (51, 47))):
    """Smooth noise, as arrays and as the study holds it."""
    arrays = []
    for size in sizes:
        rough = rng.integers(0, 256, (*(n // 3 for n in size), 3), dtype=np.uint8)
        smooth = Image.fromarray(rough).resize(size[::-1], Image.Resampling.BICUBIC)
        grain = rng.integers(-20, 21, (*size, 3))
        arrays.append(np.clip(np.array(smooth) + grain, 0, 255).astype(np.uint8))
    images = [torch.from_numpy(array).permute(2, 0, 1) for array in arrays]
    return arrays, measures.Photographs("noise", images, "0")


def scores(before, after):
    weights = np.array([0.299, 0.587, 0.114])
    pair = before @ weights, after @ weights
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return (
        peak_signal_noise_ratio(*pair, data_range=255),
        structural_similarity(*pair, data_range=255, **options),
    )


def centre(array, unit):
    h, w = (n // unit * unit for n in array.shape[:2])
    top, left = (array.shape[0] - h) // 2, (array.shape[1] - w) // 2
    return array[top : top + h, left : left + w]


def resized(array, size, method):
    return np.array(Image.fromarray(array).resize(size[::-1], Image.Resampling[method]))


@pytest.mark.parametrize("factor", FACTORS, ids=str)
def test_quality_is_that_of_pillow_and_scikit_image(rng, factor):
    arrays, pool = photographs(rng)
    expected = []
    for array in arrays:
        p, q = factor.as_integer_ratio()
        array = centre(array, max(p, q))
        h, w = array.shape[:2]
        if factor < 1:
            small = resized(array, (h * p // q, w * p // q), "HAMMING")
            back = resized(small, (h, w), "LANCZOS")
        else:
            small = resized(array, (h * q // p, w * q // p), "BOX")
            back = resized(small, (h, w), "HAMMING")
        expected.append(scores(array, back))
    found = measures.quality(pool, Variant("pillow", "hamming", True), factor, "lanczos3")
    psnr, ssim = np.mean(expected, 0)
    # Brightness in float32 is up to 6e-5 off, where the images differ by 5 and more.
    assert found["psnr"] == pytest.approx(psnr, abs=2e-4)
    assert found["ssim"] == pytest.approx(ssim, abs=3e-5)
    assert found["n"] == 2
    np.testing.assert_allclose(
        np.array(found["psnr_images"].split(), float), [psnr for psnr, _ in expected], atol=7e-4
    )


def test_published_psnr_of_set5(shared):
    # Timofte, De Smet & Van Gool 2014, A+, Table 1, bicubic. They scale luma to 16 to 235 and cut
    # borders off, and MATLAB rounds luma between; all of which is within 0.03 dB here.
    folder = str(shared / "data" / "sr" / "set5")
    pool = measures.read_photographs(folder, [Fraction(1, 4)])
    for q, published in ((2, 33.66), (3, 30.39), (4, 28.42)):
        variant = Variant("pillow", "bicubic", True)
        found = measures.quality(pool, variant, Fraction(1, q), "bicubic")
        assert found["psnr"] + 20 * math.log10(255 / 219) == pytest.approx(published, abs=0.03)


def test_equal_pixels_have_equal_digests_and_no_others(rng):
    _, pool = photographs(rng)
    digests = [
        measures.quality(pool, Variant("pillow", *kind), Fraction(1, 2), "lanczos3")["pixels"]
        for kind in (("bicubic", True), ("catmull-rom", True), ("lanczos2", True))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_what_changes_flat_images_is_found():
    class Darker(Variant):
        def resize(self, image, size):
            return (super().resize(image, size).int() - 3).clamp(0).to(torch.uint8)

    half = Fraction(1, 2)
    assert measures.flat_error(BOX, half) == 0
    assert measures.flat_error(Darker("pillow", "box", True), half) == 3


def test_linear_light_keeps_light_and_sampling_its_mean():
    half = Fraction(1, 2)
    assert measures.light(Variant("linear-light", "box", True), half) == pytest.approx(1, abs=0.005)
    # Grey of 127 or 128 has 21 or 22 % of the light of white, a fine grating half of it.
    assert 0.5 < measures.light(BOX, half) < 0.8


def test_costs_are_those_of_a_megapixel(monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks) * 0.002)
    calls = []

    class Noted(Variant):
        def resize(self, image, size):
            calls.append((self.method, tuple(image.shape), size, image.stride(0)))
            return image

    measured = tuple(Noted("pillow", name, True) for name in ("box", "hamming", "bicubic"))
    found = measures.costs(itertools.product(measured, ("1/3", "2")), 4, 0)
    assert len(calls) == 3 * 2 * 4 * 2
    assert all(first == second for first, second in zip(calls[::2], calls[1::2], strict=True))
    rounds = [tuple(calls[i : i + 12 : 2]) for i in range(0, 48, 12)]
    assert len(set(map(frozenset, rounds))) == 1
    assert len(set(rounds)) > 1
    assert {call[1:] for call in calls} == {
        ((3, 999, 999), (333, 333), 1),
        ((3, 1000, 1000), (2000, 2000), 1),
    }
    for (_, factor), cell in found.items():
        pixels = 999**2 if factor == "1/3" else 1000**2
        assert list(cell.values()) == pytest.approx([2e6 / pixels] * 3, abs=1e-4)


# Findings and pictures.


def rows(**columns):
    """A frame of two data sets of two images, one factor, and a method per value."""
    names = columns["method"]
    base = {
        "like": "pillow", "factor": "1/2", "antialias": True, "ssim": 0.5, "aliasing": 0.1,
        "loss_db": 0.5, "shift_x": 0.0, "shift_y": 0.0, "overshoot": 0.0, "light": 1.0,
        "flat_error": 0.0, "cost_p20_ms_per_mp": 1.0, "cost_p80_ms_per_mp": 2.0, "pixels": names,
    }  # fmt: skip
    frames = [pd.DataFrame(base | columns).assign(data=data) for data in ("a", "b")]
    return pd.concat(frames, ignore_index=True)


def test_the_table_is_sorted_and_equal_pixels_share_a_place_on_the_front():
    frame = rows(
        method=["nearest", "box", "bilinear", "hamming", "area"],
        psnr=[20.0, 30.0, 29.0, 31.0, 30.0],
        cost_ms_per_mp=[1.0, 3.0, 4.0, 9.0, 2.9],
        pixels=["n", "b", "l", "h", "b"],
        psnr_images=["20 20", "30 30", "31 27", "31 31", "30 30"],
        shift_x=[0.25, 0, 0, 0, 0],
        shift_y=[-0.375, 0, 0, 0, 0],
    )
    table = findings.compare(frame)
    assert table.method.tolist() == ["hamming", "area", "box", "bilinear", "nearest"]
    assert table.method[table.front].tolist() == ["hamming", "box", "nearest"]
    assert table["shift"].tolist() == [0, 0, 0, 0, -0.375]
    words = findings.describe(frame, table)
    quality = " ".join(findings.intro(frame, table))
    assert "pillow hamming keeps most: 31.00 dB on average over factors 1/2 and 4 images" in quality
    assert "is -2.00 dB against pillow hamming, and worse on 2 of 4 images" in quality
    assert words["Shifts"][0] == (
        "At 1/2 results lie 0.25 output pixels too far right and 0.375 too far up by pillow "
        "nearest."
    )
    assert words["Equal methods"] == ["The same pixels in every cell: pillow box, pillow area."]
    assert "80th percentile is 2.00 times the 20th" in findings.trust_words(frame, table)[-1]


def test_what_antialiasing_gains_is_said_per_factor():
    frame = rows(
        method=["box", "box:no-antialias", "bilinear", "bilinear:no-antialias", "area"],
        antialias=[True, False, True, False, True],
        psnr=[30.0, 26.0, 27.0, 28.0, 30.0],
    )
    assert findings.antialias_words(frame) == [
        "At 1/2 antialiasing changes PSNR by +1.50 dB on average over 2 methods: from -1.00 "
        "(pillow bilinear) to +4.00 (pillow box)."
    ]


def test_pareto():
    cost = pd.Series([1.0, 2.0, 2.0, 3.0, 4.0, 1.0])
    gain = pd.Series([1.0, 3.0, 2.0, 3.0, 5.0, 1.0])
    assert charts.pareto(cost, gain).tolist() == [True, True, False, False, True, True]


def test_labels_name_all_that_is_equal():
    a, b = Variant("tf", "box", True), Variant("pillow", "box", True)
    plain, nearest = Variant("torch", "bilinear", False), Variant("tf", "nearest", False)
    assert charts.label([a, b]) == "box (tf, pillow)"
    assert charts.label([plain, nearest]) == "bilinear plain (torch); nearest (tf)"
    assert charts.label([plain, dataclasses.replace(plain, antialias=True)]) == "bilinear (torch)"
    many = [Variant("tf", f"lanczos{n}", True) for n in range(9)]
    assert charts.label(many).endswith("lanczos3 (tf); and 5 more")
    groups = charts.grouped([(a, 1.0), (plain, 3.0), (b, 1.1)], lambda x, y: abs(x - y) < 0.5)
    assert groups == [("box (tf, pillow)", 1.0), ("bilinear plain (torch)", 3.0)]


def test_the_ideal_picture_keeps_waves_below_the_limit(rng):
    side, small = 60, 20

    def wave(k, n):
        return np.cos(np.pi * k * (np.arange(n) + 0.5) / n)

    low, high = int(rng.integers(1, small)), int(rng.integers(small, side))
    image = 5 * wave(low, side) + 7 * wave(high, side)[:, None]
    np.testing.assert_allclose(
        charts.ideal(image, (small, small)), np.tile(5 * wave(low, small), (small, 1)), atol=1e-12
    )
    enlarged = charts.ideal(np.tile(wave(low, small), (small, 1)), (side, side))
    np.testing.assert_allclose(enlarged, np.tile(wave(low, side), (side, 1)), atol=1e-12)


# The study.


@pytest.fixture
def folders(rng, tmp_path):
    """Two data sets of two images."""
    places = []
    for name in ("first", "second"):
        place = tmp_path / name
        place.mkdir()
        for i, array in enumerate(photographs(rng)[0]):
            Image.fromarray(array).save(place / f"{i}.png")
        places.append(str(place))
    return tuple(places)


METHODS = (
    "nearest",
    "bilinear",
    "bilinear:no-antialias",
    "bicubic",
    "lanczos3",
    "mitchell:antialias",
)


def small(folders, **changes):
    settings = {"data": folders, "methods": METHODS, "like": ("pillow", "torch", "tf")}
    settings |= {"factors": ("1/2", "2"), "repeats": 1}
    return fidelity.Config(**settings | changes)


def stable(place):
    frame = pd.read_csv(place / "results.csv", dtype={"factor": str})
    return frame[[name for name in frame if not name.startswith("cost_")]]


def test_end_to_end_twice_and_resumed(folders, tmp_path, monkeypatch, capsys):
    config = small(folders)
    place = fidelity.run(config)
    assert str(place / "index.html") in capsys.readouterr().out
    frame = pd.read_csv(place / "results.csv", dtype={"factor": str})
    variants = measures.variants(config.like, config.methods)
    assert len(frame) == 2 * 2 * len(variants)
    assert (frame.cost_ms_per_mp > 0).all()
    assert frame.psnr.between(5, 60).all()
    pictures = {f"{what}-at-{at}" for what in ("responses", "zone-plates") for at in ("1-2", "2")}
    assert {path.stem for path in place.glob("*.png")} == pictures | {"quality-over-cost"}
    for path in place.glob("*.png"):
        with Image.open(path) as image:
            assert len(np.unique(image)) > 10
    text = (place / "summary.md").read_text()
    assert "0.25 output pixels too far right and 0.25 too far down by torch nearest." in text

    monkeypatch.setattr(fidelity, "quality", None)
    assert fidelity.run(config) == place
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    shutil.rmtree("runs")
    measures.theory.cache_clear()
    measures.respond.cache_clear()
    pd.testing.assert_frame_equal(stable(fidelity.run(config)), frame[stable(place).columns])


def test_the_command_line_takes_several_folders(folders):
    arguments = ["--methods", "box", "bicubic:no-antialias", "--like", "pillow", "--repeats", "1"]
    main(["fidelity", "--data", *folders, "--factors", "2/3", *arguments])
    frame = stable(next(Path("runs").glob("fidelity-*")))
    assert set(frame.data) == {"first", "second"}
    assert set(frame.method) == {"box", "bicubic:no-antialias"}
    # Pillow's box takes one of two pixels that lie equally far.
    assert frame.shift_x[frame.method == "box"].tolist() == pytest.approx([-1 / 6] * 2, abs=1e-6)


def test_a_method_that_fails_is_told_and_left_out(folders, monkeypatch):
    quality = fidelity.quality

    def broken(pool, variant, factor, up):
        if (variant.like, variant.method, factor, pool.name) == ("tf", "bicubic", 2, "second"):
            raise RuntimeError("no memory")
        return quality(pool, variant, factor, up)

    monkeypatch.setattr(fidelity, "quality", broken)
    with pytest.raises(CellsFailedError, match=r"1 of .* failed, .* RuntimeError: no memory"):
        fidelity.run(small(folders))
    place = next(Path("runs").glob("fidelity-*"))
    frame = pd.read_csv(place / "results.csv")
    assert len(frame) % 2 == 1
    table = re.findall(r"^\| *(\w+) *\| (\S+) ", (place / "summary.md").read_text(), re.MULTILINE)
    assert ("tf", "nearest") in table
    assert ("tf", "bicubic") not in table


def test_threads_are_put_back(folders):
    before = torch.get_num_threads()
    seen = []
    patch = pytest.MonkeyPatch()
    quality = fidelity.quality
    patch.setattr(
        fidelity, "quality", lambda *a: seen.append(torch.get_num_threads()) or quality(*a)
    )
    fidelity.run(small(folders[:1], threads=before + 1, methods=("box",), factors=("1/2",)))
    patch.undo()
    assert set(seen) == {before + 1}
    assert torch.get_num_threads() == before


SPOIL = {
    "empty": lambda place: [path.unlink() for path in place.iterdir()],
    "litter": lambda place: [path.rename(place / f".{path.name}") for path in place.iterdir()],
    "damaged": lambda place: (place / "1.png").write_bytes((place / "1.png").read_bytes()[:900]),
    "text": lambda place: (place / "notes.txt").write_text("hello"),
    "tiny": lambda place: Image.new("RGB", (40, 11)).save(place / "tiny.png"),
    "flat": lambda place: Image.new("RGB", (40, 40), (9, 9, 9)).save(place / "flat.png"),
}


@pytest.mark.parametrize(
    ("spoil", "changes", "words"),
    [
        ("empty", {}, "data: the folder .*first' holds no images"),
        ("litter", {}, "data: the folder .*first' holds no images"),
        ("damaged", {}, r"data: cannot decode .*1\.png"),
        ("text", {}, r"data: cannot decode .*notes\.txt"),
        ("tiny", {}, r"data: .*tiny\.png must have at least 12 pixels .* got 11 x 40"),
        ("flat", {}, r"data: .*flat\.png is of one brightness"),
        (None, {"data": ("absent",)}, "data: expected a folder of images, got 'absent'"),
        (None, {"data": ()}, "data: expected folders of different names"),
        (None, {"data": ("a/x", "b/x")}, "data: expected folders of different names"),
        (None, {"methods": ("bilinaer",)}, r"methods: expected of .*'bilinaer'"),
        (None, {"methods": ("box:antialias",)}, r"methods: expected of .*'box:antialias'"),
        (None, {"methods": ("bicubic", "bicubic")}, "methods: expected of .* each once"),
        (None, {"like": ("gimp",)}, r"like: expected of .*'gimp'"),
        (None, {"like": ()}, "like: expected of "),
        (None, {"factors": ("half",)}, "factors: expected fractions .*'half'"),
        (None, {"factors": ("1/0",)}, "factors: expected fractions .*'1/0'"),
        (None, {"factors": ("1",)}, "factors: expected fractions .*'1'"),
        (None, {"factors": ("-1/2",)}, "factors: expected fractions .*'-1/2'"),
        (None, {"factors": ("1/17",)}, "factors: expected fractions .*'1/17'"),
        (None, {"factors": ("1/2", "2/4")}, "factors: expected at least one, each once"),
        (None, {"factors": ()}, "factors: expected at least one"),
        (None, {"up": "sinc"}, "up: expected a method .*'sinc'"),
        (None, {"threads": 0}, "threads, repeats: expected at least 1, got 0, 1"),
        (None, {"repeats": 0}, "threads, repeats: expected at least 1, got 1, 0"),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(folders, spoil, changes, words):
    if spoil:
        SPOIL[spoil](Path(folders[0]))
    with pytest.raises(ValueError, match=words) as caught:
        fidelity.run(small(folders, **{"factors": ("1/2", "1/4")} | changes))
    assert "\n" not in str(caught.value)
    assert not Path("runs").exists()


def test_the_committed_table_is_of_every_method(rng, shared):
    place = Path(fidelity.__file__).parent / "results" / "fidelity.csv"
    frame = pd.read_csv(place, dtype={"factor": str})
    every = {(v.like, v.name) for v in measures.variants(fidelity.LIKE, ())}
    assert len(frame.groupby(["data", "factor"])) == 8
    for _, cells in frame.groupby(["data", "factor"]):
        assert set(zip(cells.like, cells.method, strict=True)) == every
    # Signals do not depend on images: a few rows again.
    for row in frame.sample(5, random_state=rng).to_dict("records"):
        found = measures.theory(fidelity.variant_of(row), measures.parse(row["factor"]))
        assert {name: row[name] for name in found} == pytest.approx(found, abs=2e-6)
    pool = measures.read_photographs(str(shared / "data" / "sr" / "set14"), [Fraction(1, 3)])
    rows = frame[(frame.data == pool.name) & (frame.factor == "1/3")]
    (row,) = rows.sample(1, random_state=rng).to_dict("records")
    found = measures.quality(pool, fidelity.variant_of(row), Fraction(1, 3), row["up"])
    assert (pool.digest, found["pixels"]) == (row["data_digest"], row["pixels"])
    assert found["psnr"] == pytest.approx(row["psnr"], abs=2e-4)
