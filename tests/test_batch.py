"""``resize_batch``: what ``resize`` makes of every image alone."""

import pytest
import torch
from torchvision import tv_tensors

import torchresample as tr

SIZE = (24, 31)
SHAPES = ((30, 40), (51, 20), (24, 31), (1, 7), (90, 90))


@pytest.fixture
def images(rng):
    return [torch.from_numpy(rng.integers(0, 256, (3, *s), dtype="uint8")) for s in SHAPES]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float16, torch.int16])
@pytest.mark.parametrize(
    ("like", "method"),
    [("pillow", "lanczos3"), ("torch", "bicubic"), ("opencv", "bilinear"), ("skimage", "spline3"),
     ("tf", "mitchell"), ("pillow", "nearest")],
)  # fmt: skip
def test_every_image_alone(images, like, method, dtype, layout):
    images = [image.to(dtype) for image in images]
    images[1] = images[1].contiguous().transpose(1, 2).contiguous().transpose(1, 2)
    batch = tr.resize_batch(images, SIZE, method, like=like, layout=layout)
    assert batch.shape == (len(images), 3, *SIZE)
    assert batch.is_contiguous(memory_format=layout)
    for image, result in zip(images, batch, strict=True):
        assert torch.equal(result, tr.resize(image, SIZE, method, like=like))


@pytest.mark.parametrize("like", ["pillow", "skimage"])
def test_boxes_and_flips(images, like):
    boxes = [None, (1.5, 2, 19.25, 40), (0, 0, 31, 24), None, (10, 20, 30, 41)]
    flips = [False, True, True, False, True]
    batch = tr.resize_batch(images, SIZE, "bilinear", like=like, boxes=boxes, flips=flips)
    for image, box, flip, result in zip(images, boxes, flips, batch, strict=True):
        expected = tr.resize(image, SIZE, "bilinear", like=like, box=box)
        assert torch.equal(result, expected.flip(-1) if flip else expected)
    given = torch.tensor([[0.0, 0, *image.shape[:0:-1]] for image in images])
    options = {"like": like, "boxes": given, "flips": torch.tensor(flips)}
    whole = tr.resize_batch(images, SIZE, "bilinear", **options)
    assert torch.equal(whole[0], tr.resize(images[0], SIZE, "bilinear", like=like))
    assert torch.equal(whole[4], tr.resize(images[4], SIZE, "bilinear", like=like).flip(-1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_scaling(images, kind, dtype):
    images = [(image / 255).to(kind) if kind.is_floating_point else image for image in images]
    scaling = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.1), "dtype": dtype}
    batch = tr.resize_batch(images, SIZE, layout=torch.channels_last, **scaling)
    preset = tr.ImageClassification(24, SIZE, layout=torch.channels_last, **scaling)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    for image, result in zip(images, batch[..., 4:28], strict=True):
        assert torch.equal(result, preset(image))  # whose crop of 24 begins at column 4
    plain = tr.resize_batch(images, SIZE, dtype=dtype)
    assert plain.min() >= 0 and plain.max() <= 1  # noqa: PT018 - one claim


def test_gradients(images):
    images = [(image / 255).double().requires_grad_() for image in images]
    options = {"like": "torch", "flips": [True] * len(images)}
    batch = tr.resize_batch(images, SIZE, **options)
    weights = torch.rand_like(batch)
    grads = torch.autograd.grad(batch, images, weights)
    for image, weight, grad in zip(images, weights, grads, strict=True):
        one = tr.resize(image, SIZE, like="torch").flip(-1)
        torch.testing.assert_close(grad, torch.autograd.grad(one, image, weight)[0])


def test_tv_tensors_and_grey_images(images):
    greys = [tv_tensors.Image(image[:1]) for image in images]
    batch = tr.resize_batch(greys, SIZE, layout=torch.channels_last)
    assert type(batch) is torch.Tensor
    assert torch.equal(batch, tr.resize_batch([image[:1] for image in images], SIZE))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"images": []}, ValueError, "images must have at least one image"),
        ({"images": None}, TypeError, "images must be a list .* got NoneType"),
        ({"images": [tv_tensors.Mask(torch.zeros(3, 4, 4))]}, TypeError, r"images\[0\] .*Mask"),
        ({"images": [torch.zeros(3, 4, 4).to_sparse()]}, TypeError, r"images\[0\] must be a dense"),
        ({"images": [torch.zeros(3, 4, 4).short()], "dtype": torch.float32}, TypeError, "int16"),
        ({"images": torch.zeros(2, 3, 4, 4)}, TypeError, "images must be a list .* got Tensor"),
        ({"images": [torch.zeros(3, 4, 4), "a"]}, TypeError, r"images\[1\] must be a tensor"),
        ({"images": [torch.zeros(4, 4)]}, ValueError, r"images\[0\] must have shape \[C, H, W\]"),
        (
            {"images": [torch.zeros(3, 4, 4), torch.zeros(1, 4, 4)]},
            *(ValueError, r"images must agree in their channels: 3 in images\[0\], 1 in images"),
        ),
        (
            {"images": [torch.zeros(3, 4, 4), torch.zeros(3, 4, 4).half()]},
            *(ValueError, "images must agree in their dtype"),
        ),
        (
            {"images": [torch.zeros(3, 4, 4), torch.zeros(3, 4, 4, device="meta")]},
            *(ValueError, "images must agree in their device"),
        ),
        ({"images": [torch.zeros(3, 4, 0)]}, ValueError, r"images\[0\].* at least one pixel"),
        ({"size": None}, ValueError, r"size must be \(h, w\)"),
        ({"boxes": torch.zeros(5, 4, device="meta")}, TypeError, "boxes must be a dense tensor"),
        (
            {
                "boxes": tv_tensors.BoundingBoxes(
                    torch.ones(5, 4), format="XYWH", canvas_size=(9, 9)
                )
            },
            *(ValueError, "boxes must have the format XYXY, got XYWH"),
        ),
        ({"flips": [None, *4 * [True]]}, TypeError, "flips must consist of True and False"),
        ({"size": 24}, ValueError, r"size must be \(h, w\).* got 24"),
        ({"size": (0, 3)}, ValueError, "size"),
        ({"method": "cubic"}, ValueError, "method"),
        ({"boxes": [None]}, ValueError, "boxes must have an entry for each of 5 images, got 1"),
        ({"boxes": 5 * [(0, 0, 8, 1)]}, ValueError, r"images\[3\], boxes\[3\]: box must lie"),
        ({"flips": 5 * [1]}, TypeError, "flips must consist of True and False, got .1"),
        ({"flips": 7}, TypeError, "flips must be a sequence"),
        ({"mean": [0.5], "std": [0.5]}, ValueError, "dtype must be given"),
        (
            {"mean": 2 * [0.5], "std": 2 * [0.5], "dtype": torch.float32},
            ValueError,
            "mean must have a value per channel of images, 3",
        ),
        ({"layout": torch.preserve_format}, ValueError, "layout must be"),
    ],
)
def test_bad_input(images, changes, error, message):
    with pytest.raises(error, match=message):
        tr.resize_batch(**{"images": images, "size": SIZE} | changes)


def test_compiled(images):
    def call(*images):
        return tr.resize_batch(images, SIZE, flips=[True] * len(images), dtype=torch.float32)

    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(*images), call(*images))


def test_flips_of_numpy(images, rng):
    flips = rng.integers(0, 2, len(images)).astype(bool)
    expected = tr.resize_batch(images, SIZE, flips=flips)
    assert torch.equal(tr.resize_batch(images, SIZE, flips=list(flips)), expected)
