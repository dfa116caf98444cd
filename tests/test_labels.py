"""Masks, boxes and key points: what torchvision makes of them, in exact integers."""

from fractions import Fraction

import numpy as np
import PIL.Image
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2

import torchresample as tr

ROTATED = ["XYWHR", "CXCYWHR", "XYXYXYXY"]
UPRIGHT = ["XYXY", "XYWH", "CXCYWH"]
NEAREST = {"nearest": InterpolationMode.NEAREST, "nearest-exact": InterpolationMode.NEAREST_EXACT}


# ---- masks


@pytest.mark.parametrize("method", NEAREST)
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.uint8, torch.bool])
def test_masks_keep_both_nearests(rng, method, dtype):
    for _ in range(20):
        shape = [int(n) for n in rng.integers(1, 40, 2)]
        size = [int(n) for n in rng.integers(1, 60, 2)]
        for lead in ((), (4,), (2, 3)):
            mask = torch.from_numpy(rng.integers(0, 9, (*lead, *shape))).to(dtype)
            mask = tv_tensors.Mask(mask)
            theirs = v2.functional.resize(mask, size, NEAREST[method])
            for name in (method, NEAREST[method]):
                ours = tr.resize(mask, size, name, like="torch")
                assert isinstance(ours, tv_tensors.Mask)
                assert torch.equal(ours, theirs)
                assert torch.equal(tr.Resize(size, name, like="torch")(mask), theirs)


def test_nearest_exact_takes_the_pixel_under_the_centre():
    mask = tv_tensors.Mask([[0.0, 1, 2, 3]])
    assert tr.resize(mask, (1, 2), "nearest-exact", like="torch").tolist() == [[1, 3]]
    assert tr.resize(mask, (1, 2), "nearest", like="torch").tolist() == [[0, 2]]
    assert tr.resize(mask, (1, 2), "bicubic", like="torch").tolist() == [[0, 2]]


@pytest.mark.parametrize(
    "like", [k for k, p in tr.PROFILES.items() if "nearest-exact" in p.methods]
)
def test_masks_go_with_their_images(rng, like):
    """A mask holds the image's own values, so that both must be the same pixels."""
    for seed in range(10):
        h, w = (int(n) for n in rng.integers(10, 90, 2))
        x = torch.from_numpy(rng.integers(0, 256, (1, h, w), dtype=np.uint8))
        for method in NEAREST:
            sample = {"image": tv_tensors.Image(x), "mask": tv_tensors.Mask(x)}
            for transform in (
                tr.Resize((17, 33), method, like=like),
                tr.Resize((17, 33), method, like=like, box=(1.5, 2, w - 2.25, h)),
                tr.RandomResizedCrop((17, 33), method=method, like=like, hflip_prob=0.5),
            ):
                torch.manual_seed(seed)
                result = transform(sample)
                pixels, labels = (result[k].as_subclass(torch.Tensor) for k in sample)
                assert torch.equal(pixels, labels), (method, transform)


# ---- boxes with rotation


def rotated(rng, kind, canvas, mode, dtype=torch.float32, count=9):
    """Boxes around the middle of a canvas, some past its edges."""
    h, w = canvas
    values = rng.uniform([0, 0, 1, 1, -180], [w, h, w / 2, h / 2, 180], (count, 5))
    boxes = v2.functional.convert_bounding_box_format(
        torch.from_numpy(values),
        old_format=tv_tensors.BoundingBoxFormat.CXCYWHR,
        new_format=tv_tensors.BoundingBoxFormat[kind],
    )
    options = {"format": kind, "canvas_size": canvas, "clamping_mode": mode}
    return tv_tensors.BoundingBoxes(boxes.to(dtype), **options)


def assert_same(ours, theirs):
    names = "format", "canvas_size", "clamping_mode", "dtype", "shape"
    assert type(ours) is type(theirs)
    for name in names:
        assert getattr(ours, name) == getattr(theirs, name), name
    assert torch.equal(ours.nan_to_num(1e9), theirs.nan_to_num(1e9))  # what is clamped to nothing


@pytest.mark.parametrize("kind", ROTATED)
@pytest.mark.parametrize("mode", ["soft", "hard", None])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_rotated_boxes_as_in_torchvision(rng, kind, mode, dtype):
    for _ in range(10):
        canvas = tuple(int(n) for n in rng.integers(5, 90, 2))
        boxes = rotated(rng, kind, canvas, mode, dtype)
        before = boxes.clone()
        for size in ([int(n) for n in rng.integers(3, 99, 2)], [int(rng.integers(3, 9))]):
            theirs = v2.functional.resize(boxes, size)
            assert_same(tr.resize(boxes, size), theirs)
            assert_same(tr.Resize(size, like="torch")(boxes), theirs)
        same = tr.resize(boxes, canvas)
        assert_same(same, v2.functional.resize(boxes, list(canvas)))
        assert same.data_ptr() != boxes.data_ptr()
        limited = v2.functional.resize(boxes, [4], max_size=7)
        if 0 not in limited.canvas_size:  # which we do not let a side become
            assert_same(tr.resize(boxes, 4, max_size=7), limited)
        assert torch.equal(boxes, before)
    empty = rotated(rng, kind, canvas, mode, dtype, count=0)
    assert_same(tr.resize(empty, (7, 9)), v2.functional.resize(empty, [7, 9]))


@pytest.mark.parametrize("kind", ROTATED)
@pytest.mark.parametrize("mode", ["soft", "hard", None])
def test_rotated_boxes_follow_a_box(rng, kind, mode):
    for _ in range(20):
        canvas = h, w = tuple(int(n) for n in rng.integers(8, 90, 2))
        boxes = rotated(rng, kind, canvas, mode)
        left, top = int(rng.integers(0, w // 2)), int(rng.integers(0, h // 2))
        right, bottom = int(rng.integers(left + 1, w + 1)), int(rng.integers(top + 1, h + 1))
        crop = top, left, bottom - top, right - left
        for size in ([7, 90], [bottom - top, right - left]):
            theirs = v2.functional.resized_crop(boxes, *crop, size)
            for whole in ((left, top, right, bottom), torch.tensor([left, top, right, bottom])):
                assert_same(tr.resize(boxes, size, box=whole), theirs)
                assert_same(tr.Resize(size, box=whole)(boxes), theirs)


@pytest.mark.parametrize("kind", ROTATED)
def test_rotated_boxes_follow_a_fractional_box(rng, kind):
    """Where both axes have one scale, a rectangle stays one: its corners are moved."""
    corners = tv_tensors.BoundingBoxFormat.XYXYXYXY
    for _ in range(20):
        boxes = rotated(rng, kind, (50, 60), None, torch.float64)
        left, top, side = rng.uniform((0, 0, 5), (20, 20, 25))
        box = left, top, left + side, top + side
        result = tr.resize(boxes, (35, 35), box=box)
        assert (result.canvas_size, result.format) == ((35, 35), boxes.format)
        before, after = (
            v2.functional.convert_bounding_box_format(b, new_format=corners).as_subclass(
                torch.Tensor
            )
            for b in (boxes, result)
        )
        origin = torch.tensor([left, top] * 4, dtype=torch.float64)
        expected = (before - origin) * (35 / side)
        # Torchvision's scale is a float32.
        distance = [(after.roll(2 * i, -1) - expected).abs().amax(-1) for i in range(4)]
        assert torch.stack(distance).amin(0).max() <= expected.abs().max() * 2.0**-23


@pytest.mark.parametrize("kind", ROTATED + UPRIGHT)
@pytest.mark.parametrize("mode", ["soft", "hard", None])
def test_random_crops_of_boxes(rng, kind, mode):
    theirs = v2.Compose([v2.RandomResizedCrop((30, 50)), v2.RandomHorizontalFlip(0.5)])
    ours = tr.RandomResizedCrop((30, 50), hflip_prob=0.5)
    for seed in range(20):
        boxes = rotated(rng, "CXCYWHR", (60, 80), mode)
        if kind in ROTATED:
            boxes = v2.functional.convert_bounding_box_format(boxes, new_format=kind)
        else:
            values = boxes.as_subclass(torch.Tensor)[:, :4]
            options = {"format": "CXCYWH", "canvas_size": (60, 80), "clamping_mode": mode}
            boxes = tv_tensors.BoundingBoxes(values, **options)
            boxes = v2.functional.convert_bounding_box_format(boxes, new_format=kind)
        sample = [PIL.Image.new("RGB", (80, 60)), boxes]
        torch.manual_seed(seed)
        expected = theirs(sample)[1]
        torch.manual_seed(seed)
        result = ours(sample)[1]
        if kind in ROTATED:
            assert_same(result, expected)
        else:  # whose scale torchvision rounds first: once more, in coordinates up to 100
            assert result.canvas_size == expected.canvas_size
            assert (result - expected).abs().max() <= 100 * 2 * 2.0**-24 * 4


# ---- boxes and key points in integers


def moved(value, lo, hi, n):
    """The exact place, cut off towards zero as torchvision cuts what it rounds to integers."""
    return int((Fraction(int(value)) - Fraction(lo)) * n / (Fraction(hi) - Fraction(lo)))


def expected_boxes(values, kind, region, size):
    left, top, right, bottom = region
    x, y = (left, right, size[1]), (top, bottom, size[0])
    sized_x, sized_y = (0, right - left, size[1]), (0, bottom - top, size[0])
    axes = [x, y, x, y] if kind == "XYXY" else [x, y, sized_x, sized_y]
    return [[moved(v, *axis) for v, axis in zip(box, axes, strict=True)] for box in values.tolist()]


@pytest.mark.parametrize("kind", UPRIGHT)
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16])
def test_boxes_in_exact_integers(rng, kind, dtype):
    smallest = 20 if dtype == torch.int16 else 2  # whose results would be past its range
    for _ in range(60):
        canvas = h, w = tuple(int(n) for n in rng.integers(smallest, 200, 2))
        size = [int(n) for n in rng.integers(1, 200, 2)]
        values = torch.from_numpy(rng.integers(-100, 200, (40, 4))).to(dtype)
        boxes = tv_tensors.BoundingBoxes(values, format=kind, canvas_size=canvas)
        result = tr.resize(boxes, size)
        assert result.dtype == dtype
        assert result.canvas_size == tuple(size)
        assert result.tolist() == expected_boxes(values, kind, (0, 0, w, h), size)
        # Torchvision multiplies by a rounded float32, which only shows where it is next to whole.
        assert (result - v2.functional.resize(boxes, size)).abs().max() <= 1
        region = w // 3, h // 4, w - w // 5, h - h // 5
        expected = expected_boxes(values, kind, region, size)
        assert tr.resize(boxes, size, box=region).tolist() == expected
        halves = tuple(edge * 0.5 for edge in (1, 1, 2 * w - 1, 2 * h))
        assert tr.resize(boxes, size, box=halves).tolist() == (
            expected_boxes(values, kind, [Fraction(edge) for edge in halves], size)
        )


def test_examples_that_were_off_by_one():
    boxes = tv_tensors.BoundingBoxes(
        torch.tensor([[0, 0, 7, 7]]), format="XYXY", canvas_size=(7, 7)
    )
    assert tr.resize(boxes, 100).tolist() == [[0, 0, 100, 100]]
    for dtype in (torch.float32, torch.float64):
        values = torch.tensor([[7.0, 7, 7, 7]], dtype=dtype)
        boxes = tv_tensors.BoundingBoxes(values, format="CXCYWH", canvas_size=(14, 14))
        assert tr.resize(boxes, 49).tolist() == [[24.5] * 4]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_whole_coordinates_stay_whole(rng, dtype):
    """Multiplied first, what a box's edge becomes is exact wherever it has a float."""
    for _ in range(300):
        n_in, n_out = (int(n) for n in rng.integers(1, 3000, 2))
        edge = n_in * int(rng.integers(1, 5))
        boxes = tv_tensors.BoundingBoxes(
            torch.tensor([[0, 0, edge, edge]], dtype=dtype),
            format="XYXY", canvas_size=(n_in, n_in),
        )  # fmt: skip
        whole = edge // n_in * n_out
        assert tr.resize(boxes, n_out).tolist() == [[0, 0, whole, whole]]


@pytest.mark.parametrize("shape", [(2,), (5, 2), (3, 4, 2)])
def test_key_points_in_exact_integers(rng, shape):
    for _ in range(60):
        canvas = h, w = tuple(int(n) for n in rng.integers(2, 200, 2))
        size = [int(n) for n in rng.integers(1, 200, 2)]
        values = torch.from_numpy(rng.integers(-300, 300, shape))
        points = tv_tensors.KeyPoints(values, canvas_size=canvas)
        result = tr.resize(points, size)
        assert (type(result), result.dtype) == (tv_tensors.KeyPoints, torch.int64)
        axes = (0, w, size[1]), (0, h, size[0])
        expected = [
            [moved(v, *axis) for v, axis in zip(point, axes, strict=True)]
            for point in values.reshape(-1, 2).tolist()
        ]
        assert result.reshape(-1, 2).tolist() == expected
        assert (result - v2.functional.resize(points, size)).abs().max() <= 1


def test_large_and_negative_coordinates(rng):
    """Products that int64 does not hold, with results that it does."""
    for _ in range(100):
        canvas = h, w = tuple(int(n) for n in rng.integers(1, 2**16, 2))
        size = [int(rng.integers(1, n + 1)) for n in canvas]
        values = torch.from_numpy(rng.integers(-(2**63), 2**63 - 1, (20, 4), dtype=np.int64))
        values[:4] = torch.tensor([[-(2**63)], [2**63 - 1], [-1], [0]])
        boxes = tv_tensors.BoundingBoxes(values, format="XYXY", canvas_size=canvas)
        result = tr.resize(boxes, size)
        assert result.tolist() == expected_boxes(values, "XYXY", (0, 0, w, h), size)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16, torch.uint8])
def test_coordinates_that_their_dtype_does_not_hold(dtype):
    most = torch.iinfo(dtype).max
    values = torch.tensor([[0, 0, 1, most // 2 + 1]], dtype=dtype)
    boxes = tv_tensors.BoundingBoxes(values, format="XYXY", canvas_size=(5, 5))
    with pytest.raises(ValueError, match=rf"^image must .*{dtype}.*{most // 2 + 1}"):
        tr.resize(boxes, 10)
    points = tv_tensors.KeyPoints(torch.tensor([most, 0], dtype=dtype), canvas_size=(5, 5))
    with pytest.raises(ValueError, match=rf"^image must .*{dtype}.*{most}"):
        tr.resize(points, 10)
    assert tr.resize(points, 5).tolist() == points.tolist()
    if dtype == torch.uint8:
        boxes = tv_tensors.BoundingBoxes(
            torch.tensor([[0, 0, 3, 3]], dtype=dtype), format="XYXY", canvas_size=(5, 5)
        )
        with pytest.raises(ValueError, match=r"^image must .*uint8.*0"):
            tr.resize(boxes, 10, box=(1, 0, 5, 5))


def test_gradients_of_coordinates(rng):
    values = torch.from_numpy(rng.uniform(0, 9, (3, 4))).requires_grad_()
    boxes = tv_tensors.BoundingBoxes(values, format="XYWH", canvas_size=(10, 20))
    (slope,) = torch.autograd.grad(tr.resize(boxes, (5, 40)).sum(), values)
    assert torch.equal(slope, torch.tensor([[2.0, 0.5, 2.0, 0.5]] * 3, dtype=torch.float64))
