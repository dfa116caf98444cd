"""tv_tensors, and the transform in pipelines and loaders."""

import copy
import pickle

import numpy as np
import PIL.Image
import pytest
import torch
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2

import torchresample as tr


@pytest.fixture
def image(rng):
    return torch.from_numpy(rng.integers(0, 256, (3, 40, 60), dtype=np.uint8))


def test_mask_takes_nearest(rng):
    mask = tv_tensors.Mask(torch.from_numpy(rng.integers(0, 5, (20, 30))))
    for like in tr.PROFILES:
        result = tr.resize(mask, (9, 70), "bilinear", like=like)
        assert isinstance(result, tv_tensors.Mask)
        assert torch.equal(
            result, tr.resize(mask.as_subclass(torch.Tensor), (9, 70), "nearest", like=like)
        )
    assert tr.resize(tv_tensors.Mask(mask > 2), 10, antialias=True).dtype == torch.bool


@pytest.mark.parametrize("kind", ["XYXY", "XYWH", "CXCYWH"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_boxes_move_as_in_torchvision(rng, kind, dtype):
    values = torch.from_numpy(rng.integers(0, 4, (7, 4)) * 5).to(dtype)
    boxes = tv_tensors.BoundingBoxes(values, format=kind, canvas_size=(20, 30))
    ours = tr.resize(boxes, (10, 45))
    theirs = v2.functional.resize(boxes, [10, 45])
    assert (ours.canvas_size, ours.format) == (theirs.canvas_size, theirs.format)
    assert torch.equal(ours, theirs)


def test_boxes_and_key_points_follow_a_box():
    region = (10.0, 5.0, 30.0, 15.0)
    corners = tv_tensors.BoundingBoxes(
        [[10.0, 5.0, 30.0, 15.0]], format="XYXY", canvas_size=(20, 40)
    )
    moved = tr.resize(corners, (100, 50), box=region)
    assert torch.equal(moved, torch.tensor([[0.0, 0.0, 50.0, 100.0]]))
    sized = v2.functional.convert_bounding_box_format(
        corners, new_format=tv_tensors.BoundingBoxFormat.CXCYWH
    )
    assert torch.equal(
        tr.resize(sized, (100, 50), box=region), torch.tensor([[25.0, 50.0, 50.0, 100.0]])
    )
    points = tv_tensors.KeyPoints([[20.0, 10.0]], canvas_size=(20, 40))
    assert torch.equal(tr.resize(points, (100, 50), box=region), torch.tensor([[25.0, 50.0]]))


def test_transform_in_a_pipeline(image):
    transform = v2.Compose([tr.Resize((10, 20), "lanczos3"), v2.ToDtype(torch.float32, scale=True)])
    sample = {
        "image": tv_tensors.Image(image),
        "mask": tv_tensors.Mask(torch.ones(40, 60, dtype=torch.int64)),
        "boxes": tv_tensors.BoundingBoxes(
            [[0.0, 0.0, 60.0, 40.0]], format="XYXY", canvas_size=(40, 60)
        ),
        "label": torch.tensor(7),
        "name": "a",
    }
    result = transform(sample)
    expected = v2.functional.to_dtype(tr.resize(image, (10, 20), "lanczos3"), scale=True)
    assert torch.equal(result["image"], expected)
    assert result["mask"].shape == (10, 20)
    assert result["boxes"].tolist() == [[0, 0, 20, 10]]
    assert (result["label"], result["name"]) == (7, "a")
    picture, label = tr.Resize(10)(PIL.Image.new("RGB", (60, 40)), 3)
    assert (picture.size, label) == ((15, 10), 3)
    assert tr.Resize(10)(np.zeros((40, 60, 3), np.uint8)).shape == (10, 15, 3)


def test_transform_pickles_copies_and_prints():
    transform = tr.Resize(16, InterpolationMode.BICUBIC, like="torch", antialias=False, max_size=30)
    shown = "Resize(size=16, method='bicubic', like='torch', antialias=False, max_size=30)"
    for same in (transform, pickle.loads(pickle.dumps(transform)), copy.deepcopy(transform)):
        assert repr(same) == shown
    assert repr(tr.Resize((3, 4))) == "Resize(size=(3, 4), method='bilinear', like='pillow')"


class Photographs(torch.utils.data.Dataset):
    def __init__(self):
        self.transform = v2.Compose([tr.Resize((8, 9)), v2.PILToTensor()])

    def __len__(self):
        return 6

    def __getitem__(self, i):
        return self.transform(PIL.Image.new("RGB", (20, 30), (i, 2 * i, 3 * i)))


# Python 3.12 warns of every fork beside threads, which is what a DataLoader does by default.
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_data_loader_workers(context):
    loader = DataLoader(Photographs(), batch_size=3, num_workers=2, multiprocessing_context=context)
    batches = torch.cat(list(loader))
    assert batches.shape == (6, 3, 8, 9)
    assert batches[:, 1, 0, 0].tolist() == [0, 2, 4, 6, 8, 10]
