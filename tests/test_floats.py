"""Floating results: within derived bounds of the live libraries, 1e-12 of references in double."""

import concurrent.futures
import importlib.util
import multiprocessing

import cv2
import numpy as np
import oracles
import pytest
import scipy.ndimage
import skimage.transform
import torch

import torchresample as tr
from torchresample.bands import BOUNDARIES, Axis, filter_rows, folded_band, outside_index
from torchresample.filters import FILTERS

PLAIN = [name for name, filter_ in FILTERS.items() if not filter_.poles]
SPLINES = {0: "nearest", 1: "bilinear", **{n: f"spline{n}" for n in (2, 3, 4, 5)}}
SCIPY_MODES = {
    "edge": "nearest",
    "symmetric": "reflect",
    "reflect": "mirror",
    "wrap": "grid-wrap",
    "constant": "grid-constant",
}
DOUBLE = 1e-12


def float32_bound(name: str, antialias: bool, sizes: list[tuple[int, int]]) -> float:
    """How far two float32 evaluations of one resize of values in [0, 1] may lie apart.

    With unit roundoff u, a source centre is off by up to 3 u n_in, so a tap's raw weight by
    3 u n_in slope / widen plus 4 u of its own evaluation; all taps together, over the sum of the
    raw weights (about widen), give the change of a normalised row. Sums add (taps + 1) u times the
    row's absolute sum. The axes' bounds add up, each amplified by the other's absolute sum, and
    twice over, once for each library.
    """
    u, filter_ = 2.0**-24, FILTERS[name]
    grid = np.linspace(-filter_.radius, filter_.radius, 10_001)
    slope = np.abs(np.diff(filter_.kernel(grid))).max() / (grid[1] - grid[0])
    total, largest = 0.0, 1.0
    for n_in, n_out in sizes:
        widen = max(n_in / n_out, 1.0) if antialias else 1.0
        taps = 2 * filter_.radius * widen + 1
        absolute = np.abs(oracles.dense_matrix(name, n_in, n_out, antialias)).sum(axis=1).max()
        weights = taps * (3 * u * n_in * slope / widen + 4 * u) / widen * (1 + absolute)
        total += weights + (taps + 1) * u * absolute
        largest *= absolute
    return 2 * largest * total


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("method", "antialias"), [pair for pair in oracles.ATEN_METHODS if pair[0] != "lanczos3"]
)  # ATen has lanczos for uint8 only
def test_interpolate(rng, method, antialias, dtype):
    for _ in range(100):
        h, w, *size = oracles.random_sizes(rng, 200)
        x = torch.from_numpy(rng.random((1, 2, h, w))).to(dtype)
        ours = tr.resize(x, size, method, like="torch", antialias=antialias)
        theirs = oracles.aten(x, tuple(size), method, antialias)
        if method.startswith("nearest"):
            assert torch.equal(ours, theirs)
            continue
        bound = DOUBLE
        if dtype == torch.float32:
            bound = float32_bound(method, antialias, [(h, size[0]), (w, size[1])])
        assert (ours - theirs).abs().max() <= bound, ((h, w), size)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adaptive_mean(rng, dtype):
    for _ in range(100):
        h, w, *size = oracles.random_sizes(rng, 200)
        x = torch.from_numpy(rng.random((1, 2, h, w))).to(dtype)
        theirs = torch.nn.functional.adaptive_avg_pool2d(x, size)
        # Weights 1 / count, and sums of up to count positive terms, below 1, in either library.
        terms = (h // size[0] + 2) * (w // size[1] + 2)
        bound = 2 * terms * torch.finfo(dtype).eps
        assert (tr.resize(x, size, "area", like="torch") - theirs).abs().max() <= bound


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("method", PLAIN)
def test_dense_reference(rng, method, antialias):
    for _ in range(10):
        h, w, *size = oracles.random_sizes(rng, 60)
        x = rng.standard_normal((2, h, w))
        across = oracles.dense_matrix(method, w, size[1], antialias)
        down = oracles.dense_matrix(method, h, size[0], antialias)
        # An unchanged axis is skipped, also by the filters that would sharpen it.
        across = np.eye(w) if w == size[1] and method.startswith("mks") else across
        down = np.eye(h) if h == size[0] and method.startswith("mks") else down
        ours = tr.resize(torch.from_numpy(x), size, method, antialias=antialias)
        assert np.abs(ours.numpy() - down @ x @ across.T).max() <= DOUBLE * max(1, np.abs(x).max())


@pytest.mark.parametrize("boundary", [name for name in BOUNDARIES if name != "renormalize"])
@pytest.mark.parametrize("method", ["bilinear", "catmull-rom", "lanczos5", "gaussian"])
@pytest.mark.parametrize("antialias", [True, False])
def test_boundary_rules(rng, method, boundary, antialias):
    """As if the image had been extended by hand and cut again."""
    filter_ = FILTERS[method]

    def along_rows(x: np.ndarray, n_out: int) -> np.ndarray:
        n_in = len(x)
        if n_in == n_out and filter_.interpolating:
            return x
        rows = filter_rows(filter_.kernel, filter_.radius, Axis(n_in, n_out, 0, n_in), antialias)
        weight = rows.weight / rows.weight.sum(axis=1, keepdims=True)
        amount = int(max(-rows.first.min(), rows.positions.max() - n_in + 1, 0))
        extended = oracles.padded(x, amount, boundary)
        return np.einsum("jk,jkc->jc", weight, extended[rows.positions + amount])

    for n_in, n_out in [(1, 7), (2, 3), (3, 1), (7, 19), (23, 5), (40, 40), (31, 30)]:
        x = rng.standard_normal((n_in, n_out))
        ours = tr.resize(x, (n_out, n_in), method, antialias=antialias, boundary=boundary)
        expected = along_rows(along_rows(x, n_out).T, n_in).T
        # Extrapolated lines rise with their length.
        assert np.abs(ours - expected).max() <= DOUBLE * max(1, np.abs(expected).max())


def catmull_rom(p0, p1, p2, p3, t):
    """The curve from ``p1`` to ``p2``, as Catmull and Rom's basis matrix writes it."""
    a = -p0 + 3 * p1 - 3 * p2 + p3
    b = 2 * p0 - 5 * p1 + 4 * p2 - p3
    return 0.5 * (a * t**3 + b * t**2 + (p2 - p0) * t + 2 * p1)


@pytest.mark.parametrize("boundary", ["edge", "extrapolate"])
def test_catmull_rom_ends(rng, boundary):
    """First and last interval: the missing point is repeated, or continues the line."""
    p = rng.standard_normal(6)
    n_out = 60
    resized = tr.resize(p[None], (1, n_out), "catmull-rom", boundary=boundary, antialias=False)[0]
    centre = (np.arange(n_out) + 0.5) * len(p) / n_out - 0.5
    before, after = (p[0], p[-1])
    if boundary == "extrapolate":
        before, after = 2 * p[0] - p[1], 2 * p[-1] - p[-2]
    first, last = (centre >= 0) & (centre < 1), (centre >= 4) & (centre < 5)
    assert first.any()
    assert last.any()
    expected = catmull_rom(before, *p[:3], centre[first])
    assert np.abs(resized[first] - expected).max() <= DOUBLE
    expected = catmull_rom(*p[-3:], after, centre[last] - 4)
    assert np.abs(resized[last] - expected).max() <= DOUBLE


@pytest.mark.parametrize("boundary", SCIPY_MODES)
@pytest.mark.parametrize("order", SPLINES)
def test_scipy_zoom(rng, order, boundary):
    for _ in range(30):
        # scipy's initial condition of mode "reflect" is inexact for short axes (below).
        least = 24 if boundary == "symmetric" else 1
        h, w, *size = (int(n) for n in rng.integers(least, 90, 4))
        x = rng.standard_normal((h, w))
        zoom = size[0] / h, size[1] / w
        theirs = scipy.ndimage.zoom(
            x, zoom, order=order, mode=SCIPY_MODES[boundary], grid_mode=True
        )
        options = {"like": "skimage", "boundary": boundary, "antialias": False}
        ours = tr.resize(x, size, SPLINES[order], **options)
        # skimage clamps to the image's range, and to the zeros outside where the result has them.
        low, high = x.min(), x.max()
        if boundary == "constant" and theirs.min() <= 0 <= theirs.max():
            low, high = min(low, 0), max(high, 0)
        assert np.abs(ours - theirs.clip(low, high)).max() <= DOUBLE * 10, ((h, w), size)


@pytest.mark.parametrize("order", [2, 3, 4, 5])
@pytest.mark.parametrize("boundary", ["symmetric", "reflect", "wrap"])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
def test_splines_interpolate_short_axes(rng, order, boundary, n):
    """Evaluated at every sample, the spline returns it (scipy misses for n < 24, "reflect")."""
    from torchresample.profiles import _skimage_spline

    x = rng.standard_normal(n)
    rows = _skimage_spline(order, Axis(n, n, 0, n), boundary)
    band = folded_band(rows, n, boundary)
    source = x if band.gather is None else x[band.gather]
    values = (band.weight * source[band.start[:, None] + np.arange(band.taps)]).sum(axis=1)
    assert np.abs(values - x).max() <= DOUBLE


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("antialias", [None, True, False])
@pytest.mark.parametrize("boundary", SCIPY_MODES)
@pytest.mark.parametrize("order", SPLINES)
def test_skimage(rng, order, boundary, antialias, dtype):
    for _ in range(10):
        least = 24 if boundary == "symmetric" and order > 1 else 1
        h, w, *size = (int(n) for n in rng.integers(least, 90, 4))
        # Away from zero, so that zeros outside ("constant") widen the range that it clamps to.
        # No channels: the prefilter runs along them too, inexactly for "symmetric".
        x = (rng.standard_normal((h, w)) + rng.integers(-1, 2) * 5).astype(dtype)
        theirs = skimage.transform.resize(
            x, size, order=order, mode=boundary, anti_aliasing=antialias
        )
        ours = tr.resize(
            x, size, SPLINES[order], like="skimage", boundary=boundary, antialias=antialias
        )
        # A prefilter gains at most (1 + |z|) / (1 - |z|) a pole and axis: below 80 for order 5.
        bound = DOUBLE * 10 if dtype == np.float64 else 80 * 16 * 2.0**-24 * np.abs(x).max()
        assert ours.dtype == theirs.dtype
        assert np.abs(ours - theirs).max() <= bound, ((h, w), size)


def test_skimage_uint8_is_its_result_rounded(rng):
    for order, name in SPLINES.items():
        x = rng.integers(0, 256, (40, 31, 3), dtype=np.uint8)
        theirs = skimage.transform.resize(x, (17, 45, 3), order=order, preserve_range=True)
        ours = tr.resize(x, (17, 45), name, like="skimage")
        # A mean that two orders of summation put on either side of a half may round either way.
        ties = np.abs(theirs % 1 - 0.5) < 1e-9
        assert np.array_equal(ours[~ties], np.rint(theirs)[~ties])


@pytest.fixture(scope="module")
def jax_resize():
    """``oracles.jax`` in a process of its own: beside JAX's threads, no later test could fork."""
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed")
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, spawn) as process:
        yield lambda *args: process.submit(oracles.jax, *args).result()


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"])
def test_jax(rng, jax_resize, method, antialias):
    for _ in range(5):  # each size is compiled anew, which takes its time
        h, w, *size = (int(n) for n in rng.integers(1, 90, 4))
        x = rng.random((h, w)).astype(np.float32)
        theirs = jax_resize(x, size, method, antialias)
        if method == "nearest":
            ours = tr.resize(x, size, method, like="tf")
            # Compilers reassociate the float32 product, so a centre on an edge may go either way.
            clear = [
                np.abs((p := (np.arange(m) + 0.5) * n / m) - np.rint(p)) > 4 * 2.0**-24 * n
                for n, m in zip((h, w), size, strict=True)
            ]
            assert np.array_equal(ours[np.ix_(*clear)], theirs[np.ix_(*clear)])
            continue
        ours = tr.resize(x, size, method, like="tf", antialias=antialias)
        bound = float32_bound(method, antialias, [(h, size[0]), (w, size[1])])
        assert np.abs(ours - theirs).max() <= bound, ((h, w), size)


OPENCV_SIZES = [
    (1080, 90, 1920, 50),
    (70, 1920, 40, 1080),
    (45, 2000, 90, 777),
    (1999, 40, 1000, 80),
]
"""``h, w, new_h, new_w``: lengths of real images, along one axis."""


FUSED = torch.backends.cpu.get_cpu_capability().startswith("AVX")
"""Whether this CPU has fused multiply-adds, with which IPP sums."""


def opencv_sizes(rng, channels: int) -> list[tuple[int, ...]]:
    """Random ones, whole factors, those of real images and, of grey images, a whole one."""
    whole = [(4, 6, 2, 3), (6, 6, 3, 2), (90, 60, 10, 20), (64, 400, 4, 25), (2, 2, 1, 1)]
    grey = [(1080, 1920, 720, 1280)] if channels == 1 else []
    return [oracles.random_sizes(rng, 200) for _ in range(25)] + whole + OPENCV_SIZES + grey


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", oracles.OPENCV_METHODS)
def test_opencv_floats(rng, method, dtype, channels):
    for h, w, *size in opencv_sizes(rng, channels):
        x = rng.random((h, w, channels)).astype(dtype)
        theirs = oracles.opencv(x, tuple(size), method)
        ours = tr.resize(x, size, method, like="opencv")
        assert ours.dtype == dtype
        if method.startswith("nearest"):
            assert np.array_equal(ours, theirs)
            continue
        taps = {"bicubic": 8, "lanczos4": 16, "area": h // size[0] * (w // size[1]) + 4}
        # Sums and, in float32, weights are rounded; IPP's centres in double are off by 2 u n_in.
        unit = np.finfo(dtype).eps / 2
        bound = 2 * unit * 4 * taps.get(method, 4) * 2.5**2
        if dtype == np.float64:
            bound += 4 * unit * max(h, w) * 2.5**2
        assert np.abs(ours - theirs).max() <= bound, ((h, w), size)


def test_opencv_keeps_fractions_in_double(rng):
    x = np.zeros((2, 35))
    x[:, 33] = 1
    theirs = cv2.resize(x, (29, 2), interpolation=cv2.INTER_LINEAR)
    assert abs(theirs[0, 28] - 3 / 29) < DOUBLE
    assert np.abs(tr.resize(x, (2, 29), like="opencv") - theirs).max() < DOUBLE


def cubic_matrix(n_in: int, n_out: int) -> np.ndarray:
    """``[n_out, n_in]`` of Keys' filter with ``a = -0.75``, edges repeated."""
    centre = (np.arange(n_out) + 0.5) * n_in / n_out - 0.5
    matrix = np.zeros((n_out, n_in))
    for k in range(-1, 3):
        pixel = np.floor(centre).astype(int) + k
        d = np.abs(centre - pixel)
        inner, outer = (1.25 * d - 2.25) * d * d + 1, -0.75 * (d - 1) * (d - 2) ** 2
        np.add.at(
            matrix,
            (np.arange(n_out), pixel.clip(0, n_in - 1)),
            np.where(d <= 1, inner, np.where(d < 2, outer, 0)),
        )
    return matrix


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
@pytest.mark.parametrize("method", oracles.OPENCV_METHODS)
def test_opencv_16_bit(rng, method, dtype, channels):
    limits = np.iinfo(dtype)
    for h, w, *size in opencv_sizes(rng, channels):
        x = rng.integers(limits.min, limits.max, (h, w, channels), dtype=dtype, endpoint=True)
        theirs = oracles.opencv(x, tuple(size), method)
        ours = tr.resize(x, size, method, like="opencv")
        assert ours.dtype == dtype
        off = ours.astype(int) - theirs
        # IPP lacks two channels, and images smaller than its windows.
        by_ipp = channels != 2 and min(h, w) >= {"bilinear": 2, "bicubic": 4}.get(method, np.inf)
        if [h, w] == size or not (by_ipp or method in ("bicubic", "lanczos4", "area")):
            assert not off.any(), ((h, w), size)
            continue
        assert np.abs(off).max() <= 1, ((h, w), size)
        if method == "bicubic" and by_ipp:
            # IPP rounds each of 4 weights, products and sums to float32, along both axes: with sums
            # of up to 2**16 * 1.4, it rounds what is up to 2**17 * 16 * 2**-24 off.
            across, down = cubic_matrix(w, size[1]), cubic_matrix(h, size[0])
            exact = np.einsum("ih,hwc,jw->ijc", down, x.astype(float), across, optimize=True)
            assert (
                np.abs(np.abs(exact % 1 - 0.5)[off != 0]).max(initial=0) <= 2.0**17 * 16 * 2.0**-24
            )
        elif by_ipp and not FUSED:
            continue
        elif by_ipp and dtype == np.int16:  # whose edges IPP rounds otherwise at a tie
            assert not off[_inner(h, size[0])][:, _inner(w, size[1])].any(), ((h, w), size)
        elif by_ipp:
            assert not off.any(), ((h, w), size)
        elif method == "area":
            mean = h % size[0] == w % size[1] == 0
            assert not off.any() or (mean and h // size[0] * (w // size[1]) > 256), ((h, w), size)
        elif method == "bicubic" or dtype == np.int16:
            # OpenCV adds the last pixels of a row, which fill no vector of 8, in another order.
            vectors = size[1] * channels // 8 * 8
            assert not off.reshape(size[0], -1)[:, :vectors].any(), ((h, w), size)
        else:
            assert not off.any(), ((h, w), size)


def _inner(n_in: int, n_out: int) -> np.ndarray:
    """Outputs whose centre lies between the centres of the first and the last pixel."""
    centre = (np.arange(n_out) + 0.5) * n_in / n_out - 0.5
    return (centre >= 0) & (centre < n_in - 1)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_opencv_means_of_blocks_of_16_bit(rng, dtype, channels):
    """Ties: half up where a block is 2 x 2 pixels of 1, 3 or 4 channels, else half to even."""
    x = np.zeros((2, 2, channels), dtype)
    x[:, 1] = 1
    assert (tr.resize(x, (1, 1), "area", like="opencv") == (channels != 2)).all()
    x = np.zeros((3, 2, channels), dtype)
    x[1, 1] = 3
    assert (tr.resize(x, (1, 1), "area", like="opencv") == 0).all()
    for h, w in ((2, 2), (2, 3), (1, 2), (4, 4), (5, 1), (16, 16)):
        x = rng.integers(-9 if dtype == np.int16 else 0, 9, (h * 40, w * 50, channels)).astype(
            dtype
        )
        theirs = oracles.opencv(x, (40, 50), "area")
        assert np.array_equal(tr.resize(x, (40, 50), "area", like="opencv"), theirs), (h, w)


@pytest.mark.parametrize("method", ["bilinear", "lanczos3"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_float32_rounded_once(rng, method, dtype):
    x = torch.from_numpy(rng.random((2, 3, 61, 47))).to(dtype)
    exact = tr.resize(x.double(), (23, 90), method)
    ours = tr.resize(x, (23, 90), method)
    assert ours.dtype == dtype
    # Half a unit in the last place of the result, and the float32 sums before it.
    spacing = torch.finfo(dtype).eps * exact.abs().clamp(min=torch.finfo(dtype).tiny)
    assert ((ours.double() - exact).abs() <= 0.5 * spacing + 40 * 2.0**-23).all()


@pytest.mark.parametrize("method", ["bicubic", "area", "nearest"])
def test_not_a_number_stays_where_it_is_read(rng, method):
    x = torch.from_numpy(rng.random((1, 200, 200))).float()
    clean = tr.resize(x, (100, 100), method)
    x[0, 61, 130] = torch.nan
    x[0, 5, 7] = torch.inf
    touched = ~tr.resize(x, (100, 100), method).isfinite()
    reach = 4  # bicubic, halved: 8 source pixels, 4 outputs a side
    far = torch.ones_like(touched)
    for row, column in ((30, 65), (2, 3)):
        far[0, max(row - reach, 0) : row + reach, max(column - reach, 0) : column + reach] = False
    assert (method == "nearest") or touched.any()
    assert not (touched & far).any()
    result = tr.resize(x, (100, 100), method)
    # Outputs beside it are summed in another order: of 9 taps an axis, |weights| below 1.3 a row.
    bound = 2 * 2 * (9 + 1) * 2.0**-24 * 1.3**2
    assert (result[far] - clean[far]).abs().max() <= (0 if method == "nearest" else bound)


def test_skimage_clamps_to_finite_and_infinite_bounds(rng):
    x = rng.random((10, 12))
    x[3, 4] = -np.inf
    ours = tr.resize(x, (20, 24), like="skimage")
    theirs = skimage.transform.resize(x, (20, 24), order=1, mode="reflect")
    finite = np.isfinite(tr.resize(np.where(np.isinf(x), np.nan, x), (20, 24), like="skimage"))
    assert np.abs(ours[finite] - theirs[finite]).max() <= DOUBLE
    assert np.isneginf(ours[~finite]).any()


def test_float32_products_ignore_reduced_precision(rng):
    x = torch.from_numpy(rng.random((3, 64, 64))).float()
    expected = tr.resize(x, (40, 40), "lanczos3")
    try:
        torch.set_float32_matmul_precision("medium")
        reduced = tr.resize(x, (40, 40), "lanczos3")
    finally:
        torch.set_float32_matmul_precision("highest")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        autocast = tr.resize(x, (40, 40), "lanczos3")
    assert torch.allclose(reduced, expected, rtol=0, atol=1e-6)
    assert torch.equal(autocast, expected)


def test_outside_index_follows_numpy_pad():
    for n in (1, 2, 3, 7):
        for boundary in ("edge", "symmetric", "reflect", "wrap"):
            theirs = np.pad(np.arange(n), 20, mode=boundary)
            assert np.array_equal(outside_index(np.arange(-20, n + 20), n, boundary), theirs)


def test_opencv_wheel_is_the_one_the_profile_describes():
    assert int(cv2.__version__.split(".")[0]) >= 5
