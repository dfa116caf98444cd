"""What users call, with the GPU engine in place of the CPU engine."""

import numpy as np
import pytest
import torch

import torchresample as tr
from torchresample import batch, functional, ops, preprocess
from torchresample.triton_kernels import launch, ragged


@pytest.fixture
def kernels(monkeypatch) -> list[str]:
    """The kernels launched, by name; all images take them."""
    names = []

    def noted(name, kernel):
        class Noted:
            def __getitem__(self, grid):
                names.append(name)
                return kernel[grid]

        return Noted()

    for module in (launch, ragged):
        for name in (n for n in dir(module) if n.endswith("_kernel")):
            monkeypatch.setattr(module, name, noted(name, getattr(module, name)))
    for module in (batch, functional, ops, preprocess):
        monkeypatch.setattr(module, "engine", lambda x: "gpu")
    return names


def image(rng, dtype=torch.uint8, shape=(3, 40, 52)):
    x = torch.from_numpy(rng.integers(0, 256, shape, dtype=np.uint8))
    return x if dtype == torch.uint8 else (x.to(torch.float32) / 255).to(dtype)


def test_one_launch_a_resize(rng, kernels):
    x = image(rng)
    expected = torch.from_numpy(tr.resize(x.permute(1, 2, 0).numpy(), (17, 19))).permute(2, 0, 1)
    kernels.clear()
    assert torch.equal(tr.resize(x, (17, 19)), expected)
    tr.resize(x, (17, 19), "bicubic", like="torch")
    tr.resize(x, (17, 52), "lanczos3")
    tr.resize(x, (17, 19), "nearest")
    tr.resize(x.to(torch.bfloat16), (17, 19))
    tr.resize(x.to(torch.float32), (17, 19), "lanczos3", like="torch")
    assert kernels == ["resize_kernel", "resize_kernel", "multiply_kernel", "select_kernel",
                       "resize_kernel", "resize_kernel"]  # fmt: skip


# Transforms, images, and what they launch.
PRESETS = {
    "evaluation": (tr.ImageClassification(24, 30), torch.uint8, ["resize_kernel"]),
    "opencv": (tr.ImageClassification(24, 30, like="opencv"), torch.uint8, ["weigh_both_kernel"]),
    "nearest": (tr.ImageClassification(24, 30, "nearest"), torch.uint8, ["select_kernel"]),
    "as it is": (tr.ImageClassification(40, 40), torch.uint8, ["select_kernel"]),
    "rows only": (tr.ImageClassification(52, (30, 52)), torch.uint8, None),
    "layout": (
        tr.ImageClassification(24, 30, dtype=torch.float16, layout=torch.channels_last),
        *(torch.uint8, ["resize_kernel"]),
    ),
    "no mean": (tr.ImageClassification(24, 30, mean=None, std=None), torch.uint8, None),
    "bfloat16": (tr.ImageClassification(24, 30, like="torch"), torch.bfloat16, ["resize_kernel"]),
    "float32": (tr.ImageClassification(24, 30), torch.float32, ["resize_kernel"]),
    "padded": (tr.ImageClassification(44, 30), torch.uint8, ["resize_kernel", "select_kernel"]),
    "clamped": (tr.ImageClassification(24, 30, like="skimage"), torch.uint8, None),
}


@pytest.mark.parametrize("name", PRESETS)
def test_presets(rng, request, name):
    """Resize, crop, scaling, dtype and layout in the same launches, and to the same bytes."""
    preset, dtype, launches = PRESETS[name]
    x = image(rng, dtype)
    expected = preset(x)
    kernels = request.getfixturevalue("kernels")
    result = preset(x)
    assert (result.dtype, result.stride()) == (expected.dtype, expected.stride())
    if dtype == torch.uint8:
        assert torch.equal(result, expected)
    else:
        allowed = 2 * torch.finfo(dtype).eps / min(preset.scaling.std)
        assert (result - expected).abs().max() <= allowed
    assert kernels
    assert launches in (None, kernels)


def crops(request, crop, x, count=3):
    """Of the CPU engine, then of the kernels, from the same seed; and what is launched."""
    torch.manual_seed(0)
    expected = [crop(x) for _ in range(count)]
    kernels = request.getfixturevalue("kernels")
    torch.manual_seed(0)
    return expected, [crop(x) for _ in range(count)], kernels


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_random_crops(rng, request, flip):
    options = {"hflip_prob": flip, "dtype": torch.float32, "mean": [0.5], "std": [0.2]}
    x = image(rng, shape=(2, 3, 40, 52))
    expected, results, kernels = crops(request, tr.RandomResizedCrop(16, **options), x)
    assert all(map(torch.equal, results, expected))
    assert kernels == 3 * ["blocks_kernel", "blocks_kernel", "resize_kernel"]


@pytest.mark.parametrize("scaling", [{}, {"dtype": torch.float16, "mean": [0.5], "std": [0.2]}])
def test_random_crops_of_floats(rng, request, scaling):
    x = image(rng, torch.float32, (2, 3, 40, 52))
    expected, results, kernels = crops(request, tr.RandomResizedCrop(16, **scaling), x)
    # Of 52 pixels to 16 a triangle has 8 taps at most: for each axis 9 roundings, in both engines.
    sums = 2 * 2 * 9 * torch.finfo(torch.float32).eps / 2
    for result, one in zip(results, expected, strict=True):
        unit = torch.finfo(one.dtype).eps
        torch.testing.assert_close(result, one, rtol=unit, atol=sums / (0.2 if scaling else 1))
    assert kernels == 3 * ["blocks_kernel", "blocks_kernel", "resize_kernel"]


def test_random_crops_of_doubles(rng, request):
    """What has 64 bits is scaled with as many."""
    crop = tr.RandomResizedCrop(16, method="nearest", mean=[0.5], std=[1e10], dtype=torch.float32)
    x = image(rng, shape=(3, 40, 52)).double() * 1e39
    (expected,), (result,), _ = crops(request, crop, x, 1)
    assert expected.isfinite().all()
    assert torch.equal(result, expected)


@pytest.mark.parametrize("dtype", [torch.int64, torch.float64])
def test_random_crops_of_masks(rng, request, dtype):
    x = image(rng, shape=(2, 1, 40, 52)).to(dtype)
    expected, results, kernels = crops(request, tr.RandomResizedCrop(16, method="nearest"), x)
    assert all(map(torch.equal, results, expected))
    assert kernels == 3 * ["select_kernel"]


def test_gradients(rng, kernels):
    x = image(rng, torch.float32).requires_grad_()
    y = tr.resize(x, (17, 19), "bicubic")
    (grad,) = torch.autograd.grad(y, x, y.detach(), create_graph=False)
    assert (grad * x).sum().item() == pytest.approx((y.detach() ** 2).sum().item(), rel=1e-5)
    assert kernels == 2 * ["resize_kernel"]


@pytest.mark.parametrize("like", ["pillow", "torch", "opencv"])
@pytest.mark.parametrize("shape", [(2, 3, 40, 52), (3, 40, 52), (2, 2, 1, 40, 52)])
def test_random_crops_stay_bytes(rng, request, shape, like):
    """Of tensors as they lie in memory."""
    crop = tr.RandomResizedCrop((16, 20), method="bicubic", like=like, hflip_prob=0.5)
    images = image(rng, shape=shape), image(rng, shape=shape).transpose(-1, -3).contiguous()
    images = images[0], images[1].transpose(-1, -3)
    torch.manual_seed(0)
    expected = [crop(x) for x in images]
    request.getfixturevalue("kernels")
    torch.manual_seed(0)
    for x, one in zip(images, expected, strict=True):
        result = crop(x)
        assert torch.equal(result, one)
        assert result.stride() == one.stride()


def test_batches_of_any_sizes(rng, request):
    shapes = (3, 40, 52), (3, 21, 90), (3, 17, 19)
    images = [image(rng, shape=shape) for shape in shapes]
    options = {"boxes": [None, (1.5, 0, 70, 20), None], "flips": [True, False, True]}
    options |= {"mean": [0.5], "std": [0.2], "dtype": torch.float32}
    expected = tr.resize_batch(images, (17, 19), "lanczos3", **options)
    kernels = request.getfixturevalue("kernels")
    assert torch.equal(tr.resize_batch(images, (17, 19), "lanczos3", **options), expected)
    tr.resize_batch([x.half() for x in images], (17, 19), "lanczos3", **options)
    tr.resize_batch([x.long() for x in images], (17, 19), "nearest")
    bands_made = ["blocks_kernel", "blocks_kernel", "resize_kernel"]
    assert kernels == [*bands_made, *bands_made, "select_kernel"]


def test_values_that_memory_does_not_hold(kernels):
    """A conjugate's imaginary part, whose sign is to come, and a tensor of zeros without memory."""
    z = torch.complex(torch.rand(3, 9, 9), torch.rand(3, 9, 9) + 1).conj().imag
    assert z.is_neg()
    assert torch.equal(tr.resize(z, (4, 7)), tr.resize(z.resolve_neg(), (4, 7)))
    assert torch.equal(tr.resize(z, (4, 7), "nearest"), tr.resize(z.clone(), (4, 7), "nearest"))
    zeros = torch._efficientzerotensor(3, 5, 5)
    assert not tr.resize(zeros, (4, 7)).any()
    batch = tr.resize_batch([z, zeros[:, :2]], (4, 7))
    torch.testing.assert_close(batch[0], tr.resize(z, (4, 7)))
    assert not batch[1].any()
    for method in ("bilinear", "nearest"):
        crop, crops = tr.RandomResizedCrop(4, method=method), []
        for x in (z, z.resolve_neg(), zeros):
            torch.manual_seed(0)
            crops.append(crop(x))
        assert torch.equal(*crops[:2])
        assert not crops[2].any()


def test_default_device(rng, kernels):
    """It is for new tensors: not for the tables that the host makes."""
    x = image(rng, torch.float32).requires_grad_()
    preset = tr.ImageClassification(24, 30, mean=[0.3, 0.4, 0.5], std=[0.7, 0.8, 0.9])

    def results():
        y = tr.resize(x, (61, 73), "bicubic", boundary="symmetric")
        batches = [tr.resize_batch([x.detach()], (9, 7), m) for m in ("bilinear", "nearest")]
        return preset(x.detach()), torch.autograd.grad(y, x, torch.ones_like(y))[0], *batches

    with torch.device("meta"):
        first = results()
    assert all(torch.equal(a, b) for a, b in zip(first, results(), strict=True))
    assert kernels
