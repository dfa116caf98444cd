"""Frames of video decoders: against the standards' formulas, OpenCV, Pillow and ``resize``."""

import cv2
import numpy as np
import PIL.Image
import pytest
import torch
from torchvision import tv_tensors

import torchresample as tr
from torchresample import cpu, nv12, ops

SIZES = [(12, 18), (7, 9), (1, 1), (2, 1), (1, 4), (31, 40)]
KINDS = [
    pytest.param(
        matrix, color_range, chroma, siting, id=f"{matrix}-{color_range}-{chroma}-{siting}"
    )
    for matrix in nv12.MATRICES
    for color_range in nv12.RANGES
    for chroma in ("nearest", "bilinear")
    for siting in nv12.SITINGS
]
# Of the standards' matrices, to as many digits as they print.
PRINTED = {
    "bt601": [[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]],
    "bt709": [[1, 0, 1.5748], [1, -0.187324, -0.468124], [1, 1.8556, 0]],
    "bt2020": [[1, 0, 1.4746], [1, -0.164553, -0.571353], [1, 1.8814, 0]],
}


def frame(rng, size, lead=()):
    h, w = size
    luma = rng.integers(0, 256, (*lead, h, w), dtype=np.uint8)
    chroma = rng.integers(0, 256, (*lead, (h + 1) // 2, (w + 1) // 2, 2), dtype=np.uint8)
    return torch.from_numpy(luma), torch.from_numpy(chroma)


def exact(luma, chroma, matrix, color_range, upsampling, siting):
    """RGB in float64, by NumPy's linear interpolation between the samples' places."""
    planes = [luma.numpy().astype(np.float64)]
    h, w = luma.shape
    for k in range(2):
        plane = chroma[..., k].numpy().astype(np.float64)
        for axis, n in ((0, h), (1, w)):
            if upsampling == "nearest":
                plane = plane.repeat(2, axis).take(range(n), axis)
                continue
            # Places of the samples among those of luma.
            first = 0.0 if axis == 1 and siting == "left" else 0.5
            samples = first + 2 * np.arange(plane.shape[axis])
            between = [
                np.interp(np.arange(n), samples, line) for line in np.moveaxis(plane, axis, -1)
            ]
            plane = np.moveaxis(np.array(between), -1, axis)
        planes.append(plane - 128)
    if color_range == "limited":
        planes = [(planes[0] - 16) * (255 / 219), *(plane * (255 / 224) for plane in planes[1:])]
    return np.clip(np.einsum("ck,khw->chw", np.array(PRINTED[matrix]), np.array(planes)), 0, 255)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("matrix", "color_range", "upsampling", "siting"), KINDS)
def test_rgb(rng, size, matrix, color_range, upsampling, siting):
    """The exact value, rounded: but for the last digits of the standards and of fixed point."""
    luma, chroma = frame(rng, size)
    kind = {"matrix": matrix, "color_range": color_range, "upsampling": upsampling}
    ours = tr.resize_nv12(luma, chroma, siting=siting, **kind)
    difference = np.abs(ours.numpy() - exact(luma, chroma, *kind.values(), siting))
    assert difference.max() <= 0.5 + 255 * 3 * (2.0**-18 + 1e-6 * 255 / 219)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("matrix", "color_range", "upsampling", "siting"), KINDS)
def test_loops(rng, size, matrix, color_range, upsampling, siting):
    """The CPU's loops have the bytes of the torch operations, whichever rows they are asked for."""
    luma, chroma = frame(rng, size, (3,))
    converted = nv12.conversion(matrix, color_range, upsampling, siting)
    first = rng.integers(0, size[0])
    last = rng.integers(first + 1, size[0] + 1)
    ours = cpu.rgb_of_nv12(luma, chroma, converted, (first, last))[..., first:last, :]
    assert torch.equal(ours, nv12.as_rgb(luma, chroma, converted)[..., first:last, :])


def test_opencv(rng):
    """Its weights have three digits, and its luma below black is black."""
    luma, chroma = frame(rng, (40, 62))
    luma = luma.clamp(min=16)
    whole = torch.cat([luma, chroma.flatten(1)]).numpy()
    theirs = cv2.cvtColor(whole, cv2.COLOR_YUV2RGB_NV12)
    ours = tr.resize_nv12(luma, chroma, matrix="bt601", upsampling="nearest")
    assert np.abs(ours.permute(1, 2, 0).numpy().astype(int) - theirs).max() <= 1


@pytest.mark.parametrize("size", [(13, 21), (57, 30), (24, 70)])
@pytest.mark.parametrize("method", ["bilinear", "lanczos3", "nearest"])
def test_pillow(rng, method, size):
    """The bytes that Pillow makes of the frame's RGB."""
    luma, chroma = frame(rng, (38, 56))
    box = (1.25, 3.5, 50.0, 37.75)
    rgb = tr.resize_nv12(luma, chroma).permute(1, 2, 0).contiguous().numpy()
    resample = {"bilinear": 2, "lanczos3": 1, "nearest": 0}[method]
    for part in (None, box):
        ours = tr.resize_nv12(luma, chroma, size, method, box=part)
        theirs = PIL.Image.fromarray(rgb).resize(size[::-1], resample, part)
        assert np.array_equal(ours.permute(1, 2, 0).numpy(), np.asarray(theirs))


@pytest.mark.parametrize("like", ["pillow", "torch", "opencv", "skimage", "tf"])
def test_resize(rng, like):
    """What ``resize`` makes of the RGB, also scaled; of several frames as of each; any strides."""
    luma, chroma = frame(rng, (38, 56), (2, 3))
    wide = torch.zeros(2, 3, 38, 64, dtype=torch.uint8)[..., 3:59].copy_(luma)
    rgb = tr.resize_nv12(luma, chroma)
    part = {"box": (1.0, 20.25, 50.5, 30.0)}
    for box in ({}, part):
        expected = tr.resize(rgb, (17, 33), like=like, **box)
        ours = tr.resize_nv12(wide, chroma.flip(-1).flip(-1), (17, 33), like=like, **box)
        assert ours.is_contiguous()
        assert torch.equal(ours, expected)
        scaling = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4), "dtype": torch.float32}
        images = [*expected.flatten(0, 1)]
        theirs = tr.resize_batch(images, (17, 33), "nearest", **scaling).view(2, 3, 3, 17, 33)
        ours = tr.resize_nv12(luma, chroma, (17, 33), like=like, **box, **scaling)
        assert torch.equal(ours, theirs)
    assert torch.equal(tr.resize_nv12(luma, chroma, None, "nearest", like=like), rgb)
    last = tr.resize_nv12(luma[0], chroma[0], 20, like=like, layout=torch.channels_last)
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(last, tr.resize(rgb[0], 20, like=like))


@pytest.mark.parametrize("method", ["gaussian", "mks2021"])
def test_pixels_as_they_are(rng, method):
    """Without a size, whatever the filter does to images of the same size."""
    luma, chroma = frame(rng, (12, 18))
    assert torch.equal(tr.resize_nv12(luma, chroma, None, method), tr.resize_nv12(luma, chroma))


@pytest.mark.parametrize(("like", "method"), [("skimage", "spline3"), ("pillow", "lanczos3")])
def test_rows_left_out(rng, monkeypatch, like, method):
    """What is not converted has no part in a result, nor in the range that it is clamped to."""
    luma, chroma = frame(rng, (600, 40))
    box = (0.0, 280.0, 40.0, 300.0)
    rgb = tr.resize_nv12(luma // 4 + 96, chroma // 4 + 96)
    expected = tr.resize(rgb, (33, 50), method, like=like, box=box)
    monkeypatch.setattr(np, "empty", lambda shape, dtype=float: np.full(shape, 201, dtype))
    ours = tr.resize_nv12(luma // 4 + 96, chroma // 4 + 96, (33, 50), method, like=like, box=box)
    assert torch.equal(ours, expected)


def test_threads(rng):
    luma, chroma = frame(rng, (700, 900), (2,))
    alone = tr.resize_nv12(luma, chroma, (300, 500))
    torch.set_num_threads(3)
    try:
        assert torch.equal(tr.resize_nv12(luma, chroma, (300, 500)), alone)
    finally:
        torch.set_num_threads(1)


def test_one_tensor(rng):
    """As the documentation takes a decoder's frame apart; and tv_tensors."""
    whole = torch.from_numpy(rng.integers(0, 256, (18, 16), dtype=np.uint8))
    luma, chroma = whole[:12], whole[12:].unflatten(-1, (-1, 2))
    ours = tr.resize_nv12(tv_tensors.Image(luma)[0], chroma)
    assert torch.equal(ours, tr.resize_nv12(luma.clone(), chroma.clone()))
    assert type(ours) is torch.Tensor
    assert tr.resize_nv12(luma[None][:0], chroma[None][:0], 5).shape == (0, 3, 5, 6)


def test_compiled(rng):
    """``torch.compile`` of all, in torch operations."""
    luma, chroma = frame(rng, (20, 30))

    def call(luma, chroma):
        return tr.resize_nv12(luma, chroma, (7, 9)).float() + 1

    compiled = torch.compile(call, backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(luma, chroma), call(luma, chroma))


def test_rows_read(rng):
    """Not those that a box leaves out."""
    options = "bilinear", "pillow", True, "renormalize", (0.0, 40.0, 30.0, 60.0)
    first, last = ops.rows_read((100, 30), (10, 10), *options, None, False, False, torch.uint8, 3)
    assert 35 <= first <= 40
    assert 60 <= last <= 65


LUMA, CHROMA = torch.zeros(12, 18, dtype=torch.uint8), torch.zeros(6, 9, 2, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"luma": LUMA.float()}, TypeError, "luma must be a dense uint8 tensor, got torch.strided"),
        ({"luma": LUMA.numpy()}, TypeError, "luma must be a tensor, got numpy.ndarray"),
        ({"luma": LUMA[0]}, ValueError, r"luma must have shape \[..., H, W\] with pixels"),
        ({"luma": LUMA[:0]}, ValueError, r"luma must have shape \[..., H, W\] with pixels"),
        ({"chroma": CHROMA[:5]}, ValueError, r"chroma must have shape \(6, 9, 2\) for luma of"),
        ({"chroma": CHROMA[None]}, ValueError, r"chroma must have shape \(6, 9, 2\) for luma of"),
        ({"chroma": CHROMA.to("meta")}, ValueError, "chroma must be on luma's device, cpu, got"),
        ({"chroma": CHROMA.to_sparse()}, TypeError, "chroma must be a dense uint8 tensor"),
        ({"matrix": "bt.709"}, ValueError, "matrix must be one of .*did you mean 'bt709'"),
        ({"matrix": 709}, TypeError, "matrix must be a string, got 709"),
        ({"color_range": "tv"}, ValueError, "color_range must be one of 'limited', 'full', got"),
        ({"upsampling": "bicubic"}, ValueError, "upsampling must be one of 'bilinear', 'nearest'"),
        ({"siting": "centre"}, ValueError, "siting must be one of .*did you mean 'center'"),
        ({"box": (0, 0, 9, 9)}, ValueError, "size must be given where box is, got None"),
        ({"size": (0, 5)}, ValueError, "size must be from 1"),
        ({"size": 5, "box": (0, 0, 19, 9)}, ValueError, "box must lie inside the image"),
        ({"size": 5, "box": torch.arange(4.0).requires_grad_()}, TypeError, "box must not require"),
        ({"size": 5, "method": "lanczos3", "like": "tf", "antialias": 1}, TypeError, "antialias"),
        ({"mean": (0.5,), "std": (0.5,)}, ValueError, "dtype must be given"),
        (
            {"mean": (0.5, 0.5), "std": (0.5, 1), "dtype": torch.float32},
            ValueError,
            "mean must have one value, or three, got",
        ),
        ({"dtype": torch.int32}, ValueError, "dtype must be a floating one or torch.uint8"),
        ({"layout": torch.preserve_format}, ValueError, "layout must be torch.contiguous_format"),
    ],
)
def test_refused(changes, error, match):
    with pytest.raises(error, match=match):
        tr.resize_nv12(**({"luma": LUMA, "chroma": CHROMA} | changes))
