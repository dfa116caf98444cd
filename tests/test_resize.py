"""The public call: kinds of image, sizes, boxes, layouts, pipelines and bad input."""

import copy
import pickle
import re
import subprocess
import sys

import numpy as np
import oracles
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2

import torchresample as tr


@pytest.fixture
def image(rng):
    return torch.from_numpy(rng.integers(0, 256, (3, 40, 60), dtype=np.uint8))


def test_every_kind_gives_the_same_pixels_back(image):
    expected = tr.resize(image, (17, 23))
    array = image.permute(1, 2, 0).contiguous().numpy()
    frozen = np.frombuffer(array.tobytes(), np.uint8).reshape(40, 60, 3)
    results = {
        "array": tr.resize(array, (17, 23)),
        "grey array": np.stack([tr.resize(plane.numpy(), (17, 23)) for plane in image], axis=-1),
        "flipped array": tr.resize(array[::-1], (17, 23)),
        "read-only array": tr.resize(frozen, (17, 23)),
        "pil": np.asarray(tr.resize(PIL.Image.fromarray(array), (17, 23))),
    }
    flipped = results.pop("flipped array")
    assert np.array_equal(flipped, tr.resize(array[::-1].copy(), (17, 23)))
    for kind, result in results.items():
        assert np.array_equal(result, expected.permute(1, 2, 0)), kind
    for kind in (tv_tensors.Image, tv_tensors.Video):
        result = tr.resize(kind(image[None]), (17, 23))
        assert type(result) is kind
        assert torch.equal(result, expected[None])


def test_any_rank_and_layout(image):
    expected = tr.resize(image, (17, 23), "lanczos3")
    assert torch.equal(tr.resize(image[0], (17, 23), "lanczos3"), expected[0])
    stack = image.expand(2, 4, 3, 40, 60)
    assert torch.equal(tr.resize(stack, (17, 23), "lanczos3"), expected.expand(2, 4, -1, -1, -1))
    last = image[None].contiguous(memory_format=torch.channels_last)
    result = tr.resize(last, (17, 23), "lanczos3")
    assert torch.equal(result[0], expected)
    assert result.is_contiguous(memory_format=torch.channels_last)
    array = tr.resize(image.permute(1, 2, 0).contiguous().numpy(), (17, 23))
    assert array.flags.c_contiguous


def test_the_input_is_left_alone_and_the_result_is_new(image):
    before = image.clone()
    for size in ((40, 60), (9, 9)):
        result = tr.resize(image, size)
        result.zero_()
        assert torch.equal(image, before)


def test_empty_batches_work():
    assert tr.resize(torch.empty(0, 3, 20, 30), (5, 6)).shape == (0, 3, 5, 6)
    assert tr.resize(torch.empty(2, 0, 20, 30, dtype=torch.uint8), 10).shape == (2, 0, 10, 15)
    assert tr.resize(torch.empty(0, 20, 30), 10, like="skimage").shape == (0, 10, 15)
    assert tr.resize(np.empty((20, 30, 0)), 10).shape == (10, 15, 0)


NUMBERS = [torch.uint8, torch.uint16, torch.int16, torch.int32]
NUMBERS += [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("like", tr.PROFILES)
def test_every_dtype_agrees_with_double(rng, like, dtype):
    # Far enough from 0 and 255 that no filter overshoots them, so that nothing is clamped.
    values = torch.from_numpy(rng.integers(100, 157, (3, 20, 30)))
    for method in set(tr.PROFILES[like].methods) - {"nearest", "nearest-exact"}:
        for size in ((5, 90), (20, 7), (31, 30)):
            exact = tr.resize(values.double(), size, method, like=like)
            result = tr.resize(values.to(dtype), size, method, like=like)
            assert result.dtype == dtype
            # Integers are rounded after each pass, whose filter may double what the first lost.
            bound = 1.5 + 0.5 * (dtype == torch.uint8)  # and its weights have as few as 8 bits
            if dtype.is_floating_point:
                bound = max(torch.finfo(dtype).eps, 2.0**-16) * 256
            assert (result.double() - exact).abs().max() <= bound, (method, size)


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.uint32, torch.int64, torch.uint64])
def test_nearest_gathers_every_real_dtype(rng, dtype):
    labels = torch.from_numpy(rng.integers(0, 100, (20, 30)))
    for like in tr.PROFILES:
        expected = tr.resize(labels.to(torch.uint8), (7, 50), "nearest", like=like).to(dtype)
        assert torch.equal(tr.resize(labels.to(dtype), (7, 50), "nearest", like=like), expected)


def test_nearest_keeps_large_labels(rng):
    labels = torch.from_numpy(rng.integers(-(2**62), 2**62, (20, 30)))
    for like in tr.PROFILES:
        assert torch.isin(tr.resize(labels, (9, 70), "nearest", like=like), labels).all()


@given(
    h=st.integers(1, 60),
    w=st.integers(1, 60),
    size=st.integers(1, 50),
    max_size=st.none() | st.integers(1, 80),
)
@settings(max_examples=200, deadline=None)
def test_single_sizes_follow_torchvision(h, w, size, max_size):
    if max_size is not None and max_size <= size:
        max_size = None
    long = int(size * max(h, w) / min(h, w))
    if max_size is not None and long > max_size and int(max_size * size / long) == 0:
        # torchvision rounds so thin an image down to no pixels, and fails; we keep one.
        assert min(tr.resize(torch.empty(1, h, w), size, max_size=max_size).shape) == 1
        return
    expected = v2.functional.resize(torch.empty(1, h, w), [size], max_size=max_size).shape
    assert tr.resize(torch.empty(1, h, w), size, max_size=max_size).shape == expected
    if max_size is not None:
        result = tr.resize(torch.empty(1, h, w), None, max_size=max_size)
        assert max(result.shape[1:]) == max_size


def test_size_spellings(image):
    for size in (20, [20], (20, 30), np.int64(20), np.uint8(20), torch.Size([20, 30])):
        assert tr.resize(image, size).shape == (3, 20, 30)
    wide = torch.zeros(1, 480, 640)
    assert tr.resize(wide, np.int16(224), max_size=np.int16(256)).shape == (1, 192, 256)
    assert tr.resize(image, 10, box=(0, 0, 20, 40)).shape == (3, 20, 10)


def test_enums_name_their_filters(image):
    array = image.permute(1, 2, 0).contiguous().numpy()
    picture = PIL.Image.fromarray(array)
    for member in PIL.Image.Resampling:
        ours = tr.resize(picture, (9, 50), member)
        assert np.array_equal(np.asarray(ours), np.asarray(picture.resize((50, 9), member)))
    for mode in InterpolationMode:
        ours = tr.resize(picture, (9, 50), mode)
        assert np.array_equal(ours, v2.functional.resize(picture, [9, 50], mode)), mode


def test_torchvision_tensors_in_torchvisions_arithmetic(image):
    for mode in (InterpolationMode.BILINEAR, InterpolationMode.BICUBIC):
        for antialias in (True, False):
            theirs = v2.functional.resize(image, [17, 90], mode, antialias=antialias)
            ours = tr.resize(image, (17, 90), mode, like="torch", antialias=antialias)
            assert torch.equal(ours, theirs)


def test_whole_boxes_are_crops_where_nothing_outside_is_read(image):
    box = (10, 5, 50, 35)
    crop = image[:, 5:35, 10:50]
    assert torch.equal(
        tr.resize(image, (60, 80), "nearest", box=box), tr.resize(crop, (60, 80), "nearest")
    )
    assert torch.equal(tr.resize(image, (15, 20), "box", box=box), tr.resize(crop, (15, 20), "box"))
    assert torch.equal(tr.resize(image, (40, 60), box=(0, 0, 60, 40)), image)
    assert torch.equal(tr.resize(image, (30, 40), "bicubic", box=box), crop)


@pytest.mark.parametrize("like", tr.PROFILES)
def test_narrow_boxes(rng, like):
    x = torch.from_numpy(rng.integers(0, 256, (3, 20, 30), dtype=np.uint8))
    boxes = [
        (5, 5, 5 + 1e-7, 5 + 1e-7),
        (0, 0, 1e-7, 20),
        (12.3, 0, 12.4, 20),
        (29.9999, 0, 30, 20),
    ]
    for method in tr.PROFILES[like].methods:
        for box in boxes:
            result = tr.resize(x, (4, 5), method, like=like, box=box)
            assert result.shape == (3, 4, 5)
            if method in ("nearest", "area") and box[:2] == (5, 5) and like != "opencv":
                assert (result == x[:, 5:6, 5:6]).all()
    tr.resize(x, (4, 5), "box", like="pillow", box=(29.9999999, 0, 30, 20))


@pytest.mark.parametrize("like", tr.PROFILES)
def test_constant_images_stay_constant(like):
    for method in tr.PROFILES[like].methods:
        for value in (0, 1, 128, 255):
            image = torch.full((1, 37, 23), value, dtype=torch.uint8)
            for size in ((5, 90), (11, 11), (37, 23)):
                assert (tr.resize(image, size, method, like=like) == value).all(), (method, size)


@pytest.mark.parametrize("like", tr.PROFILES)
def test_every_pair_at_every_ratio(rng, like):
    for method in tr.PROFILES[like].methods:
        for h, w, *size in [(941, 3, 10, 5), (8192, 1, 1, 1), (1, 1, 1, 300), (3, 9000, 3, 40)]:
            image = torch.from_numpy(rng.integers(0, 256, (h, w), dtype=np.uint8))
            result = tr.resize(image, size, method, like=like)
            assert result.shape == tuple(size)
            floats = tr.resize(image.float(), size, method, like=like)
            assert floats.isfinite().all()


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


def test_rotated_boxes_are_refused():
    boxes = tv_tensors.BoundingBoxes(
        [[1.0, 2.0, 3.0, 4.0, 5.0]], format="XYWHR", canvas_size=(9, 9)
    )
    with pytest.raises(TypeError, match="XYWHR"):
        tr.resize(boxes, 4)


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


def test_pil_images_keep_what_they_carry():
    picture = PIL.Image.new("P", (20, 10), 3)
    picture.putpalette([i for c in range(256) for i in (c, 255 - c, 7)])
    picture.info["dpi"] = (72, 72)
    result = tr.resize(picture, (5, 8), "nearest")
    assert (result.mode, result.size, result.info["dpi"]) == ("P", (8, 5), (72, 72))
    assert result.convert("RGB").getpixel((0, 0)) == (3, 252, 7)
    colours = PIL.Image.new("RGBA", (6, 4), (200, 10, 20, 90))
    glass = colours.quantize(4)
    assert tr.resize(glass, (9, 9), "nearest").convert("RGBA").getpixel((4, 4)) == (
        glass.convert("RGBA").getpixel((0, 0))
    )
    bits = PIL.Image.fromarray(np.eye(8) > 0)
    assert tr.resize(bits, (16, 16), "nearest").mode == "1"
    assert np.array_equal(
        np.asarray(tr.resize(bits, (16, 16), "nearest")), np.kron(np.eye(8), np.ones((2, 2))) > 0
    )


def test_grey_with_alpha_is_weighted_as_pillow_does(rng):
    pixels = rng.integers(0, 256, 1200, dtype=np.uint8)
    image = PIL.Image.frombytes("LA", (20, 30), pixels.tobytes())
    for size in ((7, 9), (30, 20)):
        theirs = image.resize(size[::-1], PIL.Image.Resampling.BICUBIC)
        assert np.array_equal(np.asarray(tr.resize(image, size, "bicubic")), np.asarray(theirs))


def test_hidden_colours_do_not_bleed_at_the_same_size_either():
    picture = PIL.Image.new("RGBA", (9, 9), (255, 0, 0, 0))
    picture.putpixel((4, 4), (0, 255, 0, 255))
    for method in ("bspline", "mitchell", "gaussian"):
        for size in ((9, 9), (9, 10)):
            pixels = np.asarray(tr.resize(picture, size, method))
            assert not pixels[pixels[..., 3] > 0][:, 0].any()


def test_lazy_files_load(tmp_path, rng):
    pixels = rng.integers(0, 256, (50, 40, 3), dtype=np.uint8)
    PIL.Image.fromarray(pixels).save(tmp_path / "a.png")
    with PIL.Image.open(tmp_path / "a.png") as opened:
        assert np.array_equal(np.asarray(tr.resize(opened, 20)), tr.resize(pixels, 20))


IMAGE = torch.zeros(3, 40, 60)
BAD = [
    (dict(size=0), ValueError, "size", "0"),
    (dict(size=-3), ValueError, "size", "-3"),
    (dict(size=(5, 0)), ValueError, "size", "(5, 0)"),
    (dict(size=(5, 6, 7)), ValueError, "size", "(5, 6, 7)"),
    (dict(size=()), ValueError, "size", "()"),
    (dict(size=5.0), TypeError, "size", "5.0"),
    (dict(size=True), TypeError, "size", "True"),
    (dict(size="5"), TypeError, "size", "'5'"),
    (dict(size=None), ValueError, "size", "None"),
    (dict(size=5, max_size=5), ValueError, "max_size", "5"),
    (dict(size=(5, 6), max_size=9), ValueError, "max_size", "9"),
    (dict(size=5, max_size=2.5), TypeError, "max_size", "2.5"),
    (dict(size=None, max_size=0), ValueError, "max_size", "0"),
    (dict(method="lanczos"), ValueError, "method", "'lanczos'"),
    (dict(method=2), TypeError, "method", "2"),
    (dict(method=None), TypeError, "method", "None"),
    (dict(method="mitchell", like="torch"), ValueError, "method", "'mitchell'"),
    (dict(method="bicubic", like="skimage"), ValueError, "method", "'bicubic'"),
    (dict(like="PIL"), ValueError, "like", "'PIL'"),
    (dict(like=None), TypeError, "like", "None"),
    (dict(antialias=1), TypeError, "antialias", "1"),
    (dict(antialias=True, method="nearest"), ValueError, "antialias", "True"),
    (dict(antialias=False, method="area"), ValueError, "antialias", "False"),
    (dict(boundary="zeros"), ValueError, "boundary", "'zeros'"),
    (dict(boundary="edge", like="torch"), ValueError, "boundary", "'edge'"),
    (dict(boundary="renormalize", like="skimage"), ValueError, "boundary", "'renormalize'"),
    (dict(boundary="edge", method="nearest"), ValueError, "boundary", "'edge'"),
    (dict(box=(0, 0, 60)), TypeError, "box", "(0, 0, 60)"),
    (dict(box="0,0,1,1"), TypeError, "box", "'0,0,1,1'"),
    (dict(box=(0, 0, "a", 1)), TypeError, "box", "'a'"),
    (dict(box=(5, 0, 5, 40)), ValueError, "box", "(5, 0, 5, 40)"),
    (dict(box=(9, 0, 5, 40)), ValueError, "box", "(9, 0, 5, 40)"),
    (dict(box=(-1, 0, 5, 40)), ValueError, "box", "(-1, 0, 5, 40)"),
    (dict(box=(0, 0, 60.01, 40)), ValueError, "box", "60.01"),
    (dict(box=(0, float("nan"), 5, 40)), ValueError, "box", "nan"),
    (dict(box=(0, 0, float("inf"), 40)), ValueError, "box", "inf"),
    (dict(image=torch.zeros(7)), ValueError, "image", "(7,)"),
    (dict(image=torch.zeros(3, 0, 5)), ValueError, "image", "(3, 0, 5)"),
    (dict(image=IMAGE.bool()), TypeError, "image", "torch.bool"),
    (dict(image=IMAGE.long()), TypeError, "image", "torch.int64"),
    (dict(image=IMAGE.to(torch.complex64)), TypeError, "image", "torch.complex64"),
    (dict(image=IMAGE.to(torch.complex64), method="nearest"), TypeError, "image", "complex64"),
    (dict(image=IMAGE.to_sparse()), TypeError, "image", "sparse"),
    (dict(image=np.zeros(5)), ValueError, "image", "(5,)"),
    (dict(image=np.zeros((2, 3, 4, 5))), ValueError, "image", "(2, 3, 4, 5)"),
    (dict(image=np.zeros((4, 5), object)), TypeError, "image", "object"),
    (dict(image=np.zeros((4, 5), "U1")), TypeError, "image", "<U1"),
    (dict(image=np.zeros((4, 5), ">f4")), TypeError, "image", ">f4"),
    (dict(image=np.zeros((4, 5), np.longdouble)), TypeError, "image", "float128"),
    (dict(image=np.ma.zeros((4, 5))), TypeError, "image", "masked"),
    (dict(image=[[1, 2], [3, 4]]), TypeError, "image", "list"),
    (dict(image="photo.jpg"), TypeError, "image", "str"),
    (dict(image=PIL.Image.new("P", (5, 5))), ValueError, "method", "'bilinear'"),
    (dict(image=PIL.Image.new("LAB", (5, 5))), TypeError, "image", "'LAB'"),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "kind", "argument", "value"), BAD)
def test_bad_input_names_argument_rule_and_value(bad, kind, argument, value):
    arguments = {"image": IMAGE, "size": 5, **bad}
    with pytest.raises(kind, match=f"^{argument}.* must .*{re.escape(value)}"):
        tr.resize(**arguments)


NEEDS_IMAGE = [dict(box=(0, 0, 60.01, 40))]


@pytest.mark.parametrize(
    "bad", [bad for bad, *_ in BAD if "image" not in bad and bad not in NEEDS_IMAGE]
)
def test_bad_arguments_fail_when_a_transform_is_made(bad):
    with pytest.raises((ValueError, TypeError)):
        tr.Resize(**{"size": 5, **bad})


def test_unknown_names_suggest_and_unknown_pairs_say_who_has_it():
    with pytest.raises(ValueError, match="did you mean 'bicubic'"):
        tr.resize(IMAGE, 5, "bycubic")
    with pytest.raises(ValueError, match="'tf' have"):
        tr.resize(IMAGE, 5, "mitchell", like="torch")


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "bmp", "dds"])
def test_truncated_file(tmp_path, rng, suffix):
    path = tmp_path / f"cut.{suffix}"
    PIL.Image.fromarray(rng.integers(0, 256, (200, 200, 3), dtype=np.uint8)).save(path)
    # TIFF keeps its directory behind the pixels.
    path.write_bytes(path.read_bytes()[: -20 if suffix == "tiff" else 2000])
    message = rf"^image must .*cut\.{suffix}"
    try:
        opened = PIL.Image.open(path)
    except PIL.UnidentifiedImageError:
        assert suffix == "tiff"  # refused by Pillow before it is an image
        return
    with opened, pytest.raises(ValueError, match=message):
        tr.resize(opened, 5)


PEAK = """
import re, sys, torch, torchresample as tr
from pathlib import Path

def resident(key):
    return int(re.search(key + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

torch.set_num_threads(1)
like, method, boundary = sys.argv[1:]
options = {"like": like, "boundary": boundary or None}
tr.resize(torch.zeros(64, 64, dtype=torch.uint8), 8, method, **options)
image = torch.randint(0, 256, (12_000, 12_000), dtype=torch.uint8)
Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
before = resident("VmRSS")
tr.resize(image, 512, method, **options)
print((resident("VmHWM") - before) / image.nbytes)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's /proc")
@pytest.mark.parametrize(
    ("like", "method", "boundary"),
    [
        ("pillow", "lanczos3", ""),
        ("torch", "bicubic", ""),
        ("opencv", "area", ""),
        ("skimage", "spline3", ""),
        ("skimage", "bilinear", "wrap"),
    ],
)
def test_memory_of_a_large_image(like, method, boundary):
    """A 12,000 x 12,000 uint8 image to 512 takes at most 1.3 times the image on top of it."""
    run = [sys.executable, "-c", PEAK, like, method, boundary]
    ratio = float(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    assert 0 < ratio <= 1.3


def test_import_is_quiet_and_starts_no_accelerator():
    code = "import torch, torchresample; print(torch.cuda.is_initialized())"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert (run.stdout.strip(), run.stderr) == ("False", "")


def test_profiles_and_methods_agree():
    assert set(tr.METHODS) == {name for p in tr.PROFILES.values() for name in p.methods}
    assert set(oracles.PILLOW_METHODS) <= set(tr.PROFILES["pillow"].methods)
    assert set(oracles.OPENCV_METHODS) == set(tr.PROFILES["opencv"].methods)
    assert all(text.strip() for text in tr.METHODS.values())
