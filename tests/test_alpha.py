"""Colours weighed by alpha: Pillow's bytes for tensors, and the same in floats."""

import numpy as np
import PIL.Image
import pytest
import torch
from torchvision import tv_tensors

import torchresample as tr
from torchresample import alpha, cpu
from torchresample.ops import planned_passes
from torchresample.profiles import PROFILES

FILTERS = {"box": 4, "bilinear": 2, "hamming": 5, "bicubic": 3, "lanczos3": 1}
ALL = np.stack(np.meshgrid(np.arange(256), np.arange(256)), -1).astype(np.uint8)
"""Every pair of a colour and alpha."""


def image(rng, channels, size=(37, 50)):
    """With transparent and opaque parts."""
    x = rng.integers(0, 256, (*size, channels), dtype=np.uint8)
    x[: size[0] // 3, ..., -1] = 0
    x[:, : size[1] // 3, -1] = 255
    return x


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        *(("premultiplied", "LA", "La"), ("straight", "La", "LA")),
        *(("premultiplied", "RGBA", "RGBa"), ("straight", "RGBa", "RGBA")),
    ],
)
def test_every_pair(monkeypatch, change, before, after, layout):
    """As Pillow converts them, by the loops and by torch operations, of either layout."""
    colours = [(ALL[..., 0] + shift).astype(np.uint8) for shift in range(len(before) - 1)]
    array = np.stack([*colours, ALL[..., 1]], -1)
    source = PIL.Image.frombytes(before, (256, 256), array.tobytes())
    theirs = np.asarray(source.convert(after)) if after[-1] == "A" else bytes_of(source, after)
    x = torch.from_numpy(array).permute(2, 0, 1)[None].contiguous(memory_format=layout)
    loops = getattr(cpu, change)(x)
    assert loops.stride() == x.stride()
    assert np.array_equal(loops[0].permute(1, 2, 0).numpy(), theirs)
    monkeypatch.setattr(alpha, "is_plain", lambda x: False)
    assert torch.equal(getattr(alpha, change)(x), loops)


def bytes_of(image, mode):
    """Of a mode that NumPy does not know."""
    found = np.frombuffer(image.convert(mode).tobytes(), np.uint8)
    return found.reshape(*image.size[::-1], -1)


@pytest.mark.parametrize("method", FILTERS)
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_pillow(rng, mode, method):
    """Tensors, of either layout, and arrays have the bytes of Pillow's transparent images."""
    for size, box in (((11, 30), None), ((60, 9), (1.5, 2.0, 40.0, 33.25)), ((37, 50), None)):
        x = image(rng, len(mode))
        theirs = np.asarray(PIL.Image.fromarray(x, mode).resize(size[::-1], FILTERS[method], box))
        ours = tr.resize(x, size, method, box=box, alpha=True)
        assert np.array_equal(ours, theirs)
        tensor = torch.from_numpy(x).permute(2, 0, 1)
        for planes in (tensor, tensor.contiguous(), tensor[None].expand(2, -1, -1, -1)[1]):
            ours = tr.resize(planes, size, method, box=box, alpha=True)
            assert np.array_equal(ours.permute(1, 2, 0).numpy(), theirs)


@pytest.mark.parametrize("like", [name for name in PROFILES if name != "linear-light"])
def test_profiles(rng, like):
    """Weighed, resized as ever, divided; nearest, and what is left as it is, without that."""
    x = torch.from_numpy(image(rng, 4)).permute(2, 0, 1)
    planes = alpha.premultiplied(x)
    expected = alpha.straight(tr.resize(planes, (20, 33), like=like))
    assert torch.equal(tr.resize(x, (20, 33), like=like, alpha=True), expected)
    for size, method in (((20, 33), "nearest"), ((37, 50), "bilinear")):
        plain = tr.resize(x, size, method, like=like)
        assert torch.equal(tr.resize(x, size, method, like=like, alpha=True), plain)
    picture = PIL.Image.fromarray(image(rng, 4), "RGBA")
    ours = tr.resize(picture, (20, 33), like=like, alpha=True)
    theirs = tr.resize(np.asarray(picture), (20, 33), like=like, alpha=True)
    assert np.array_equal(np.asarray(ours), theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_what_is_transparent_does_not_count(rng, dtype):
    """Whatever its colour is."""
    x = torch.from_numpy(rng.random((4, 12, 15))).to(dtype)
    x[3, 5:, :7] = 0
    strange = x.clone()
    strange[:3, 5:, :7] = torch.tensor([torch.nan, torch.inf, -1e4]).to(dtype)[:, None, None]
    assert torch.equal(*(tr.resize(image, (7, 9), alpha=True) for image in (x, strange)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_floats(rng, dtype):
    """A mean of colours by their alpha: also where that is 0."""
    x = torch.from_numpy(rng.random((2, 4, 12, 15))).to(dtype)
    x[:, 3, :4] = 0
    ours = tr.resize(x, (5, 6), alpha=True).double()
    wide = x.double()
    colours = tr.resize(wide[:, :3] * wide[:, 3:], (5, 6))
    weights = tr.resize(wide[:, 3:], (5, 6))
    exact = torch.where(weights == 0, 0, colours / torch.where(weights == 0, 1, weights))
    options = "bilinear", "pillow", True, "renormalize", None, None, False, False
    passes = planned_passes((12, 15), (5, 6), *options, torch.float32, 4)
    unit = torch.finfo(torch.promote_types(dtype, torch.float32)).eps / 2
    error = unit * sum(step.band.taps + 2 for step in passes)  # of sums of what is at most 1
    assert ((ours[:, 3:] - weights).abs() <= error + torch.finfo(dtype).eps).all()
    assert (ours[:, :3][(weights == 0).expand_as(exact)] == 0).all()
    # Of the colours' sums, and of those that divide them: each by what these are at least.
    allowed = 2 * error / (weights - error).clamp(min=error) + torch.finfo(dtype).eps
    assert ((ours[:, :3] - exact).abs() <= allowed).all()


def test_gradients(rng):
    x = torch.from_numpy(rng.uniform(0.2, 1, (4, 5, 6))).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: tr.resize(x, (3, 8), alpha=True), x)
    box = torch.tensor([0.3, 0.4, 5.1, 4.2], dtype=torch.float64, requires_grad=True)
    out = tr.resize(x.detach(), (3, 8), "bicubic", like="torch", alpha=True, box=box)
    (ours,) = torch.autograd.grad(out.sum(), box)
    planes = tr.resize(alpha.premultiplied(x.detach()), (3, 8), "bicubic", like="torch", box=box)
    (theirs,) = torch.autograd.grad((planes[:3] / planes[3:]).sum() + planes[3].sum(), box)
    assert (ours - theirs).abs().max() <= 1e-12 * theirs.abs().max()


def test_transform(rng):
    x = tv_tensors.Image(torch.from_numpy(image(rng, 4)).permute(2, 0, 1))
    mask = tv_tensors.Mask(torch.zeros(37, 50, dtype=torch.uint8))
    resize = tr.Resize((9, 12), alpha=True)
    ours, labels = resize(x, mask)
    assert torch.equal(ours, tr.resize(x, (9, 12), alpha=True))
    assert labels.shape == (9, 12)
    assert "alpha=True" in repr(resize)


def test_compiled(rng):
    x = torch.from_numpy(image(rng, 4)).permute(2, 0, 1)
    compiled = torch.compile(
        lambda x: tr.resize(x, (9, 12), alpha=True), backend="aot_eager", fullgraph=True
    )
    assert torch.equal(compiled(x), tr.resize(x, (9, 12), alpha=True))


RGBA = torch.zeros(4, 8, 9, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("image", "changes", "error", "match"),
    [
        (RGBA[0], {}, ValueError, r"image must have 2 or 4 channels.*got \(8, 9\)"),
        (RGBA[:3], {}, ValueError, r"image must have 2 or 4 channels.*got \(3, 8, 9\)"),
        (RGBA.int(), {}, TypeError, "image must have dtype uint8 or a floating one with alpha"),
        (RGBA, {"alpha": 1}, TypeError, "alpha must be True or False, got 1"),
        (RGBA, {"alpha": "last"}, TypeError, "alpha must be True or False, got 'last'"),
        (RGBA, {"like": "linear-light"}, ValueError, "alpha must be False for like='linear-light'"),
        (
            PIL.Image.new("RGB", (9, 8)),
            {},
            ValueError,
            "alpha must be False for a PIL image without",
        ),
    ],
)
def test_refused(image, changes, error, match):
    with pytest.raises(error, match=match):
        tr.resize(image, 5, **({"alpha": True} | changes))


def test_linear_light_of_transparent_images():
    for mode in ("RGBA", "LA", "CMYK", "I"):
        with pytest.raises(ValueError, match=f"image must have mode 'L' or 'RGB'.*got '{mode}'"):
            tr.resize(PIL.Image.new(mode, (9, 8)), 5, like="linear-light")
        tr.resize(PIL.Image.new(mode, (9, 8)), 5, "nearest", like="linear-light")
