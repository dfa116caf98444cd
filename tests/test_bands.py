"""Properties of filters and bands that hold by definition."""

import numpy as np
import pytest
import torch

import torchresample as tr
from torchresample import native
from torchresample.bands import Axis, filter_band, filter_rows, folded_band, spline_prefilter
from torchresample.filters import FILTERS

PLAIN = [name for name, filter_ in FILTERS.items() if not filter_.poles]
CONTINUOUS = set(FILTERS) - {"box", "gaussian"}
EDGES = [1, 2, 3, 7, 31, 97]


@pytest.mark.parametrize("name", FILTERS)
def test_filter_is_even_and_ends_at_its_radius(rng, name):
    filter_ = FILTERS[name]
    x = rng.uniform(-filter_.radius, filter_.radius, 1000)
    assert np.abs(filter_.kernel(x) - filter_.kernel(-x)).max() <= 1e-15
    outside = filter_.radius + rng.uniform(1e-9, 3, 1000)
    assert not filter_.kernel(np.concatenate([outside, -outside])).any()


@pytest.mark.parametrize("name", sorted(CONTINUOUS))
def test_pieces_meet(name):
    filter_ = FILTERS[name]
    breaks = np.arange(0, filter_.radius + 0.25, 0.5)
    before, after = filter_.kernel(breaks - 1e-9), filter_.kernel(breaks + 1e-9)
    assert np.abs(before - after).max() <= 1e-8 * 4  # slopes stay below 4


@pytest.mark.parametrize(
    ("name", "x", "value"),
    [
        ("box", 0.5, 1), ("box", -0.5, 0), ("bilinear", 0.25, 0.75), ("hamming", 0, 1),
        ("bicubic", 0.5, 0.5625), ("bicubic", 1.5, -0.0625), ("catmull-rom", 0.5, 0.5625),
        ("mitchell", 0, 8 / 9), ("mitchell", 1, 1 / 18),
        ("bspline", 0, 2 / 3), ("bspline", 1, 1 / 6), ("gaussian", 1, np.exp(-2)),
        ("lanczos3", 3, 0), ("lanczos2", 0.5, 8 / np.pi**2 * np.sin(np.pi / 4)),
        ("mks2013", 0, 17 / 16), ("mks2013", 0.5, 5 / 8), ("mks2013", 1.5, -1 / 8),
        ("mks2021", 0, 577 / 576), ("mks2021", 0.5, 169 / 288), ("mks2021", 1.5, -29 / 288),
        ("mks2021", 2.5, 5 / 288), ("mks2021", 3.5, -1 / 288),
        ("spline2", 0, 3 / 4), ("spline3", 0, 2 / 3),
        ("spline4", 0, 115 / 192), ("spline5", 0, 11 / 20),
    ],
)  # fmt: skip
def test_published_values(name, x, value):
    assert FILTERS[name].kernel(np.array(float(x))) == pytest.approx(value, abs=1e-15)


def test_interpolating_filters():
    approximating = {"mitchell", "bspline", "gaussian", "mks2013", "mks2021"}
    assert {name for name, f in FILTERS.items() if not f.interpolating} == approximating


@pytest.mark.parametrize("name", ["spline2", "spline3", "spline4", "spline5"])
def test_prefilter_inverts_the_sampled_spline(name):
    filter_ = FILTERS[name]
    reach = int(filter_.radius)
    samples = filter_.kernel(np.arange(-reach, reach + 1.0))
    product = np.convolve(spline_prefilter(filter_.poles), samples)
    product[len(product) // 2] -= 1
    assert np.abs(product).max() <= 1e-14


@pytest.mark.parametrize("n_in", EDGES)
@pytest.mark.parametrize("n_out", EDGES)
def test_rows_sum_to_one_inside_the_image(n_in, n_out):
    for name in PLAIN:
        for antialias in (True, False):
            axis = Axis(n_in, n_out, 0, n_in)
            for boundary in ("renormalize", "edge", "extrapolate", "reflect", "symmetric", "wrap"):
                band = filter_band(FILTERS[name], axis, antialias, boundary)
                length = n_in if band.gather is None else len(band.gather)
                assert np.abs(band.weight.sum(axis=1) - 1).max() <= 1e-13
                assert (band.start >= 0).all()
                assert (band.start + band.taps <= length).all()


def test_transpose_of_the_transpose(rng):
    for boundary in ("renormalize", "wrap", "extrapolate"):
        band = folded_band(
            filter_rows(FILTERS["lanczos3"].kernel, 3, Axis(19, 8, 0.5, 18), True), 19, boundary
        )
        twice = band.transposed().transposed()
        assert (twice.n_in, twice.n_out) == (band.n_in, band.n_out)
        assert np.array_equal(dense(twice), dense(band))
        assert np.array_equal(dense(band.transposed()), dense(band).T)


def dense(band):
    columns = band.n_in if band.gather is None else len(band.gather)
    matrix = np.zeros((band.rows, columns))
    np.put_along_axis(matrix, band.start[:, None] + np.arange(band.taps), band.weight, axis=1)
    return matrix


@pytest.mark.parametrize("like", tr.PROFILES)
def test_mirrored_images_give_mirrored_results(rng, like):
    # Those left out take one of two pixels that are equally near, or measure from the left.
    one_sided = {"nearest", "nearest-exact", "box"} | ({"area"} if like == "opencv" else set())
    for method in set(tr.PROFILES[like].methods) - one_sided:
        x = torch.from_numpy(rng.standard_normal((23, 31)))
        for size in ((7, 50), (40, 8)):
            result = tr.resize(x, size, method, like=like)
            mirrored = tr.resize(x.flip(0, 1), size, method, like=like).flip(0, 1)
            # OpenCV keeps its positions as float32.
            bound = 23 * 31 * 2.0**-23 if like == "opencv" else 1e-12
            assert (result - mirrored).abs().max() <= bound * 4, method


def test_tiles_are_parts_of_the_whole(rng):
    x = torch.from_numpy(rng.integers(0, 256, (3, 60, 80), dtype=np.uint8))
    for method in tr.PROFILES["pillow"].methods:
        whole = tr.resize(x, (30, 40), method)
        tile = tr.resize(x, (15, 10), method, box=(20, 30, 40, 60))
        assert torch.equal(tile, whole[:, 15:, 10:20]), method


def test_exponential_within_two_ulp(rng):
    x = np.concatenate([rng.uniform(-43, 0, 50_000), rng.uniform(-5, 0, 50_000), [0.0]])
    ours, expected = native.exponential(x), np.exp(x.astype(np.longdouble))
    assert (np.abs(ours - expected) <= 2 * np.spacing(ours)).all()


def test_sinc_within_four_ulp(rng):
    x = np.concatenate([rng.uniform(-9, 9, 100_000), np.arange(-9.0, 0), np.arange(1.0, 10)])
    ours, angle = native.sinc(x), np.pi * x
    expected = np.sin(angle.astype(np.longdouble)) / angle
    assert (np.abs(ours - expected) <= 4 * np.spacing(np.abs(ours))).all()
    assert native.sinc(np.zeros(1)) == 1
