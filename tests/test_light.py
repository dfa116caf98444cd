"""The profile "linear-light": sRGB images resampled as light."""

import numpy as np
import pytest
import torch
from PIL import Image

import torchresample as tr
from torchresample import light, reference
from torchresample.ops import planned_passes
from torchresample.profiles import PROFILES

METHODS = [
    pytest.param(method, antialias, id=f"{method}-{antialias}")
    for method, spec in PROFILES["linear-light"].methods.items()
    if method not in ("nearest", "nearest-exact")
    for antialias in spec.antialias
]


def decoded(x: np.ndarray) -> np.ndarray:
    """By the standard's formula, of values from 0 to 1."""
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def encoded(x: np.ndarray) -> np.ndarray:
    return np.where(
        x <= 0.0031308, x * 12.92, 1.055 * np.maximum(x, 0.0031308) ** (1 / 2.4) - 0.055
    )


def test_every_byte_comes_back():
    decoded, encoded = light.tables()
    assert torch.equal(encoded[decoded.int()], torch.arange(256, dtype=torch.uint8))
    x = torch.arange(256, dtype=torch.uint8).view(16, 16)
    assert torch.equal(tr.resize(x, (48, 48), "box", like="linear-light")[1::3, 1::3], x)


@pytest.mark.parametrize(("method", "antialias"), METHODS)
@pytest.mark.parametrize("size", [(23, 31), (70, 66), (40, 17)])
def test_bytes(rng, method, antialias, size):
    """The formula of what Pillow's geometry makes of light, in float64, rounded."""
    x = torch.from_numpy(rng.integers(0, 256, (3, 40, 51), dtype=np.uint8))
    options = {"antialias": antialias, "box": (0.5, 1.25, 50.0, 39.0)}
    ours = tr.resize(x, size, method, like="linear-light", **options).numpy()
    values = torch.from_numpy(decoded(x.numpy() / 255))
    exact = tr.resize(values, size, method, **options).numpy()
    # Light, weights and sums are rounded to 16 bits each.
    place = "renormalize", options["box"], None, False, False, torch.uint8, 3
    passes = planned_passes((40, 51), size, method, "linear-light", antialias, *place)
    (sum_x, taps_x), (sum_y, taps_y) = (
        (np.abs(step.band.weight).sum(1).max(), step.band.taps) for step in passes
    )
    error = (sum_x * sum_y + taps_x * sum_y + taps_y * sum_x + 1) * 2.0**-17
    low, high = (encoded(np.clip(exact + sign * error, 0, 1)) for sign in (-1, 1))
    assert (ours >= np.floor(255 * low + 0.5)).all()
    assert (ours <= np.floor(255 * high + 0.5)).all()


@pytest.mark.parametrize("boundary", PROFILES["linear-light"].boundaries)
@pytest.mark.parametrize("method", ["bicubic", "bspline"])
def test_loops(rng, method, boundary):
    """The bytes of the torch operations: also of strips, of rows from far below the first."""
    for shape, size, box in (
        ((3, 40, 51), (23, 70), None),
        ((1, 900, 70), (110, 70), (0.0, 300.5, 70.0, 600.0)),
        ((2, 30, 3000), (40, 900), (5.5, 2.0, 2900.0, 27.25)),
    ):
        x = torch.from_numpy(rng.integers(0, 256, shape, dtype=np.uint8))
        ours = tr.resize(x, size, method, like="linear-light", boundary=boundary, box=box)
        place = boundary, box, None, False, False, torch.uint8, shape[0]
        out = x[None]
        for step in planned_passes(shape[1:], size, method, "linear-light", True, *place):
            out = reference.apply_pass(out, step, None)
        assert torch.equal(ours, out[0])


def test_half_of_the_light():
    """A fine checkerboard of black and white is as bright as 188, not as 128."""
    x = torch.zeros(64, 64, dtype=torch.uint8)
    x[::2, ::2] = x[1::2, 1::2] = 255
    assert (tr.resize(x, (32, 32), "box", like="linear-light") == 188).all()
    assert (tr.resize(x, (32, 32), "box") == 128).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_floats(rng, dtype):
    x = torch.from_numpy(rng.random((2, 3, 20, 30))).to(dtype)
    ours = tr.resize(x, (9, 40), "lanczos3", like="linear-light")
    assert ours.dtype == dtype
    values = torch.from_numpy(decoded(x.double().numpy()))
    exact = tr.resize(values, (9, 40), "lanczos3").numpy()
    exact = np.sign(exact) * encoded(np.abs(exact))
    wide = torch.finfo(torch.promote_types(dtype, torch.float32))
    place = "renormalize", None, None, False, False, torch.float32, 3
    passes = planned_passes((20, 30), (9, 40), "lanczos3", "linear-light", True, *place)
    sums = np.prod([np.abs(step.band.weight).sum(1).max() for step in passes])
    # Light is rounded, as is every product and sum; sRGB spreads that by its slope, and is rounded.
    roundings = 8 + sum(step.band.taps + 1 for step in passes)
    allowed = (12.92 * roundings * wide.eps / 2 + 8 * wide.eps / 2 + torch.finfo(dtype).eps) * sums
    assert np.abs(ours.double().numpy() - exact).max() <= allowed


def test_gradients(rng):
    x = torch.from_numpy(rng.uniform(0.1, 1, (2, 6, 7))).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: tr.resize(x, (4, 9), like="linear-light"), x)
    black = torch.zeros(4, 4, requires_grad=True)
    tr.resize(black, (2, 2), like="linear-light").sum().backward()
    assert torch.allclose(black.grad.sum(), torch.tensor(4.0))
    box = torch.tensor([0.0, 0, 5, 5], requires_grad=True)
    with pytest.raises(ValueError, match="gradient: of like='linear-light' none, got 'bilinear'"):
        tr.resize(x, 4, like="linear-light", box=box)


def test_everywhere(rng):
    """PIL images, arrays, batches, presets: the same bytes."""
    x = torch.from_numpy(rng.integers(0, 256, (3, 40, 51), dtype=np.uint8))
    ours = tr.resize(x, (20, 30), like="linear-light")
    array = x.permute(1, 2, 0).numpy()
    for image in (array, Image.fromarray(array)):
        result = np.asarray(tr.Resize((20, 30), like="linear-light")(image))
        assert np.array_equal(result, ours.permute(1, 2, 0).numpy())
    batch = tr.resize_batch([x, x], (20, 30), like="linear-light", flips=[False, True])
    assert torch.equal(batch, torch.stack([ours, ours.flip(-1)]))
    scaling = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}
    preset = tr.ImageClassification(16, (20, 30), like="linear-light", **scaling)(x)
    mean, std = (torch.tensor(v)[:, None, None] for v in scaling.values())
    assert torch.equal(preset, (ours[:, 2:18, 7:23] / 255 - mean) / std)


@pytest.mark.parametrize("dtype", [torch.int16, torch.uint16, torch.int32])
def test_refused(dtype):
    x = torch.zeros(8, 8, dtype=dtype)
    with pytest.raises(
        TypeError, match="image must have dtype uint8 or a floating one for 'linear"
    ):
        tr.resize(x, 4, like="linear-light")
    assert tr.resize(x, 4, "nearest", like="linear-light").dtype == dtype
