"""Images made by the code, and what sampling theory says of them."""

import math

import numpy as np
import pytest
import torch

from studies import quickstart, theory
from studies.synthetic import SHAPES, render_shapes


def test_quickstart_images_follow_the_seed_alone():
    for task in ("shapes", "gratings"):
        first, labels = quickstart.make_images(task, 2, 0)
        again, _ = quickstart.make_images(task, 2, 0)
        other, _ = quickstart.make_images(task, 2, 1)
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert labels.bincount().tolist() == [2] * 6
        data = quickstart.make_task(task, 2, 3)
        assert data.held_out.sum() == 6 * 3
        assert torch.equal(torch.stack(data.images[:12]), first)
        assert data.digest == quickstart.make_task(task, 2, 3).digest


def spectrum_peak(images):
    """The strongest frequency of the mean power spectrum, in cycles per image side."""
    pixels = torch.stack(images).double()
    power = torch.fft.fft2(pixels).abs().square().mean((0, 1)).numpy()
    power[0, 0] = 0
    y, x = np.unravel_index(power.argmax(), power.shape)
    side = power.shape[0]
    return max(min(y, side - y), min(x, side - x))


@pytest.mark.parametrize("label", range(len(quickstart.FREQUENCIES)))
def test_gratings_have_their_frequency_and_alias_as_predicted(label):
    every, labels = quickstart.make_images("gratings", 6, seed=3)
    images = list(every[labels == label])
    frequency = quickstart.FREQUENCIES[label]
    assert spectrum_peak(images) == frequency
    for size in quickstart.Config().sizes:
        step = quickstart.SIDE // size
        sampled = [image[:, ::step, ::step] for image in images]
        assert spectrum_peak(sampled) == theory.alias(frequency, size)


def test_nyquist_and_aliases_of_known_waves():
    waves = quickstart.FREQUENCIES
    assert [theory.kept(waves, size) for size in (16, 32, 96)] == [[4], [4, 12], list(waves)]
    assert [theory.alias(f, 32) for f in waves] == [4, 12, 12, 4, 4, 12]
    assert [theory.alias(f, 48) for f in waves] == [4, 12, 20, 20, 12, 4]


@pytest.mark.parametrize(("size", "looks"), [(16, 1), (32, 2), (48, 3), (96, 6)])
def test_plain_sampling_leaves_as_many_classes_as_aliases(size, looks):
    top1 = theory.predict(quickstart.FREQUENCIES, 96, size, "nearest", "pillow")
    assert top1 == pytest.approx(looks / 6)
    assert math.isnan(theory.predict(quickstart.FREQUENCIES, 96, 40, "nearest", "pillow"))


def test_gains_are_the_filters_frequency_response():
    # A box over 3 pixels: the Dirichlet kernel; white noise falls by the root of 9 pixels.
    gains, noise = theory.responses([4, 12, 20], 96, 32, "box", "pillow")
    x = math.pi * np.array([4, 12, 20]) / 96
    np.testing.assert_allclose(gains, np.sin(3 * x) / (3 * np.sin(x)), atol=1e-6)
    assert noise == pytest.approx(1 / 3, rel=0.03)


def test_best_guess_on_cases_solved_by_hand():
    assert theory.best_top1([4, 12, 20], [1, 1, 1], 0.01) == pytest.approx(1)
    # Two that look alike: one of them is right.
    assert theory.best_top1([4, 4, 20], [1, 1, 1], 0.01) == pytest.approx(2 / 3)
    # Amplitudes apart by more than the range of contrasts, and by half of it in logarithms.
    assert theory.best_top1([4, 4], [1, 0.1], 0.01) == pytest.approx(1)
    assert theory.best_top1([4, 4], [1, math.sqrt(0.2)], 0.01) == pytest.approx(0.75, abs=0.01)
    # Grey: two waves that do not come through look alike, whatever their aliases.
    assert theory.best_top1([4, 12, 20], [1, 0, 0], 0.01) == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_fill_the_area_of_their_outline(name):
    labels = torch.full((20,), list(SHAPES).index(name))
    generator = torch.Generator().manual_seed(1)
    images = render_shapes(labels, 96, generator, (0.2, 0.4)).double() / 255
    corners, inner = SHAPES[name]
    centre = torch.arange(96) + 0.5
    ratios = []
    for image in images:
        colours = image - image[:, :4, :4].mean((1, 2))[:, None, None]
        mask = colours.abs().mean(0) > 0.175  # half of the least distance between the colours
        y, x = mask.nonzero(as_tuple=True)
        y, x = centre[y], centre[x]
        reach = torch.hypot(y - y.mean(), x - x.mean()).max()
        ratios.append((mask.sum() / reach**2).item())
    expected = corners * inner * math.sin(math.pi / corners)
    assert np.median(ratios) == pytest.approx(expected, rel=0.15)
