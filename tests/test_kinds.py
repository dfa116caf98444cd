"""Arrays of any rank in every call, tensors whose channels stand last, dtypes without a mean."""

import re
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from torch import nn
from torchvision import tv_tensors
from torchvision.transforms import v2

import torchresample as tr

UNIT = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def noise(rng, *shape, dtype=np.uint8):
    return rng.integers(0, 256, shape).astype(dtype)


def states(array):
    """One image in memory of several kinds."""
    frozen = array.copy()
    frozen.flags.writeable = False
    wide = np.zeros((*array.shape[:-1], array.shape[-1] + 3), array.dtype)
    part = wide[..., 1 : 1 + array.shape[-1]]
    part[...] = array
    record = np.zeros(array.shape, [("pad", np.uint8), ("value", array.dtype)])
    record["value"] = array
    return {
        "contiguous": array,
        "read-only": frozen,
        "from bytes": np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape),
        "mirrored": np.ascontiguousarray(array[..., ::-1])[..., ::-1],
        "upside down": np.ascontiguousarray(array[::-1])[::-1],
        "columns first": np.asfortranarray(array),
        "part": part,
        "unaligned": record["value"],
        "broadcast": np.broadcast_to(array, array.shape),
    }


# ---- arrays


@pytest.mark.parametrize("like", tr.PROFILES)
@pytest.mark.parametrize("lead", [(2,), (1,), (3, 2), (2, 1, 2), (0,), (2, 0)])
def test_leading_axes_of_arrays_are_a_batch(rng, like, lead):
    for method in ("bilinear", "nearest"):
        for channels in (1, 2, 3, 4, 5, 0):
            array = noise(rng, *lead, 17, 23, channels)
            result = tr.resize(array, (9, 31), method, like=like)
            assert result.shape == (*lead, 9, 31, channels)
            assert (result.dtype, result.flags.c_contiguous) == (array.dtype, True)
            for index in np.ndindex(lead):
                alone = tr.resize(array[index], (9, 31), method, like=like)
                assert np.array_equal(result[index], alone)


def test_batches_of_arrays_are_those_of_tensors(rng):
    array = noise(rng, 2, 3, 40, 60, 3)
    x = torch.from_numpy(array).movedim(-1, -3)
    options = {"box": (3.5, 2, 55, 37.25), "like": "torch"}
    for size in (20, (41, 9), (40, 60)):
        for kind in (np.uint8, np.float32, np.int16, np.float64):
            theirs = tr.resize(x.to(torch.from_numpy(array.astype(kind)).dtype), size, **options)
            ours = tr.resize(array.astype(kind), size, **options)
            assert np.array_equal(ours, theirs.movedim(-3, -1))
    clear = noise(rng, 2, 20, 30, 4)
    ours = tr.resize(clear, 9, alpha=True)
    theirs = tr.resize(torch.from_numpy(clear).movedim(-1, -3), 9, alpha=True)
    assert np.array_equal(ours, theirs.movedim(-3, -1))
    assert tr.Resize(9)(array).shape == (2, 3, 9, 13, 3)


@pytest.mark.parametrize("shape", [(17, 23), (17, 23, 3), (2, 17, 23, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_states_of_arrays(rng, shape, dtype):
    array = noise(rng, *shape, dtype=dtype)
    expected = tr.resize(array, (9, 31))
    for name, image in states(array).items():
        before = image.copy()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for size in ((9, 31), shape[-3:-1] if len(shape) > 2 else shape):
                result = tr.resize(image, size)
                assert not np.shares_memory(result, image), name
                assert result.flags.writeable, name
                assert result.flags.c_contiguous, name
        assert np.array_equal(tr.resize(image, (9, 31)), expected), name
        assert np.array_equal(image, before), name


def test_arrays_of_foreign_byte_order_name_the_conversion(rng):
    for kind in (">u2", ">f4", ">i4"):
        array = noise(rng, 9, 8, 3).astype(kind)
        native = array.dtype.newbyteorder("=").name
        message = rf"must be .*native.*astype\('{native}'\).*got dtype {kind}"
        for call in (
            lambda image: tr.resize(image, 5),
            tr.ImageClassification(4, 5),
            tr.RandomResizedCrop(4),
            lambda image: tr.resize_batch([image], (4, 5)),
        ):
            with pytest.raises(TypeError, match=message):
                call(array)
        assert tr.resize(array.astype(native), 5).dtype == native


@pytest.mark.parametrize("channels", [None, 1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.float16])
def test_preset_of_arrays(rng, channels, dtype):
    shape = (40, 60) if channels is None else (40, 60, channels)
    options = {"mean": [0.3], "std": [0.6]} if channels != 3 else UNIT
    for lead in ((), (2,), (2, 3)) if channels else ((),):
        array = noise(rng, *lead, *shape, dtype=dtype)
        planes = torch.from_numpy(array if channels else array[..., None]).movedim(-1, -3)
        for layout in (torch.contiguous_format, torch.channels_last):
            preset = tr.ImageClassification(20, 24, layout=layout, **options)
            expected = preset(planes)
            for name, image in states(array).items():
                result = preset(image)
                assert isinstance(result, torch.Tensor)
                assert result.stride() == expected.stride()
                assert torch.equal(result, expected), name
    if dtype == np.uint8:
        pixels = tr.ImageClassification(90, 24, mean=None, std=None, dtype=torch.uint8)
        assert torch.equal(pixels(array), pixels(planes))  # zeros around it


@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 3), (40, 60, 1), (2, 40, 60, 3)])
def test_random_crops_of_arrays(rng, shape):
    array = noise(rng, *shape)
    planes = torch.from_numpy(array if len(shape) > 2 else array[..., None]).movedim(-1, -3)
    for like in tr.PROFILES:
        kept = tr.RandomResizedCrop((20, 30), like=like, hflip_prob=0.5)
        floats = tr.RandomResizedCrop((20, 30), like=like, hflip_prob=0.5, dtype=torch.float32)
        for seed in range(5):
            torch.manual_seed(seed)
            expected = kept(planes)
            torch.manual_seed(seed)
            values = floats(planes)
            for name, image in states(array).items():
                torch.manual_seed(seed)
                result = kept(image)
                assert (type(result), result.dtype) == (np.ndarray, array.dtype)
                assert result.shape == (
                    (20, 30) if len(shape) == 2 else (*shape[:-3], 20, 30, shape[-1])
                )
                assert np.array_equal(result.reshape(-1), expected.movedim(-3, -1).reshape(-1)), (
                    name
                )
                assert result.flags.c_contiguous
                assert not np.shares_memory(result, image)
                torch.manual_seed(seed)
                result = floats(image)
                assert isinstance(result, torch.Tensor)
                assert torch.equal(result, values), name


def test_arrays_within_structures_stay_labels(rng):
    array = noise(rng, 40, 60, 3)
    for transform in (tr.Resize(9), tr.RandomResizedCrop(9)):
        image, label = transform(torch.from_numpy(array).permute(2, 0, 1), array)
        assert image.shape[-2] == 9
        assert label is array


def test_batches_of_arrays(rng):
    arrays = [noise(rng, *(int(n) for n in rng.integers(5, 60, 2)), 3) for _ in range(6)]
    images = [torch.from_numpy(array).permute(2, 0, 1) for array in arrays]
    boxes = [None, (1, 1, 4, 4.5), *[None] * 4]
    flips = [bool(n) for n in rng.integers(0, 2, 6)]
    for like in tr.PROFILES:
        for options in ({}, {"dtype": torch.float32, **UNIT}, {"layout": torch.channels_last}):
            options = {"like": like, "boxes": boxes, "flips": flips, **options}
            expected = tr.resize_batch(images, (9, 8), **options)
            result = tr.resize_batch(arrays, (9, 8), **options)
            assert result.shape == (6, 3, 9, 8)
            assert result.stride() == expected.stride()
            assert torch.equal(result, expected)
            mixed = [*arrays[:3], *images[3:]]
            assert torch.equal(tr.resize_batch(mixed, (9, 8), **options), expected)
    grey = [array[..., 0] for array in arrays]
    expected = tr.resize_batch([image[:1] for image in images], (9, 8))
    assert torch.equal(tr.resize_batch(grey, (9, 8)), expected)
    for image in states(arrays[0]).values():
        expected = tr.resize(images[0], (9, 8))
        assert torch.equal(tr.resize_batch([image], (9, 8))[0], expected)


BAD_ARRAYS = [
    (np.zeros(5, np.uint8), ValueError, "(5,)"),
    (np.zeros((0, 5, 3), np.uint8), ValueError, "(0, 5, 3)"),
    (np.zeros((5, 0), np.uint8), ValueError, "(5, 0)"),
    (np.ma.zeros((5, 5)), TypeError, "masked"),
    (np.zeros((5, 5), object), TypeError, "object"),
    (np.zeros((5, 5), np.complex64), TypeError, "complex64"),
    (np.zeros((5, 5), np.longdouble), TypeError, "float128"),
    (np.zeros((5, 5), "M8[s]"), TypeError, "datetime64"),
]


@pytest.mark.parametrize(("array", "kind", "value"), BAD_ARRAYS)
def test_bad_arrays_are_named(array, kind, value):
    for name, call in {
        "image": lambda image: tr.resize(image, 5),
        "image ": tr.ImageClassification(4, 5),
        "image  ": tr.RandomResizedCrop(4),
        "images[0]": lambda image: tr.resize_batch([image], (4, 5)),
    }.items():
        with pytest.raises(kind, match=re.escape(name.strip()) + rf".* must .*{re.escape(value)}"):
            call(array)


# ---- channels that stand last in the shape of a tensor


LAST = [
    ((480, 640, 3), 224),
    ((60, 90, 4), (70, 80)),
    ((2, 48, 64, 3), 24),
    ((5, 6, 7, 4), 30),
    ((6, 5, 3), 30),
]


@pytest.mark.parametrize(("shape", "size"), LAST)
def test_channels_last_in_shape_are_warned_of(shape, size):
    x = torch.zeros(shape, dtype=torch.uint8, device="meta")  # without the memory
    n = len(shape)
    axes = ", ".join(str(i) for i in (*range(n - 3), n - 1, n - 3, n - 2))
    message = rf"image has shape {re.escape(str(shape))}.*image\.permute\({axes}\)"
    for image in (x, tv_tensors.Image(x)) if n == 3 else (x, tv_tensors.Video(x)):
        for call in (tr.resize, lambda image, size: tr.Resize(size)(image)):
            for _ in range(2):  # whatever is remembered of calls
                with pytest.warns(UserWarning, match=message) as caught:
                    result = call(image, size)
                assert len(caught) == 1
                assert caught[0].filename == __file__
    assert result.shape[:-2] == shape[:-2]
    with pytest.raises(UserWarning, match=message):  # as pytest runs with errors for warnings
        tr.resize(x, size)
    right = x.movedim(-1, -3)
    assert tr.resize(right, size).shape[-3] == shape[-1]


def test_the_warning_names_the_line_of_the_caller():
    x = torch.zeros(60, 90, 3, dtype=torch.uint8)
    pipeline = v2.Compose([nn.Sequential(tr.Resize(40)), nn.Identity()])
    crop = tr.RandomResizedCrop(60)
    preset = tr.ImageClassification(60, 61, mean=None, std=None)
    for call in (
        lambda: tr.resize(x, 40),
        lambda: tr.resize(x, 40, box=(0, 0, 2.5, 90)),
        lambda: pipeline(x),
        lambda: crop(x),
        lambda: preset(x),
        lambda: tr.resize_batch([x, x], (60, 60)),
    ):
        for _ in range(2):
            with pytest.warns(
                UserWarning, match=r"shape \(60, 90, 3\).*permute\(2, 0, 1\)"
            ) as caught:
                call()
            assert len(caught) == 1
            assert caught[0].filename == __file__
            assert caught[0].lineno == call.__code__.co_firstlineno


def test_images_that_are_narrow_are_not_warned_of(rng):
    """pytest makes errors of warnings."""
    tr.resize(torch.zeros(480, 640, 5), (80, 80))
    tr.resize(torch.zeros(480, 640, 2), (80, 80))
    tr.resize(torch.zeros(60, 90, 3), (90, 30))  # ten times
    tr.resize(torch.zeros(90, 3), (90, 90))  # has no third axis
    tr.resize(torch.zeros(512, 4, 4), 64)
    for channels in range(1, 6):
        tr.resize(torch.zeros(channels, 20, 3), (90, 90))
        tr.resize(torch.zeros(7, channels, 20, 4), (90, 90))
    tr.resize(tv_tensors.Mask(torch.zeros(9, 20, 3)), (90, 90))
    tr.resize(noise(rng, 90, 3), (90, 90))
    tr.resize(noise(rng, 90, 3, 7), (90, 90))
    tr.resize(noise(rng, 2, 90, 3, 7), (90, 90))
    tr.ImageClassification(80, 90)(noise(rng, 90, 3, 3))
    tr.RandomResizedCrop(80)(noise(rng, 90, 3, 3))
    tr.resize_batch([noise(rng, 90, 3, 3)], (90, 90))
    tr.resize(tr.resize(torch.zeros(3, 90, 80), (90, 3)), 5)
    picture = tv_tensors.Image(torch.zeros(3, 90, 3))
    v2.ToPILImage()(picture)
    tr.resize(v2.ToPILImage()(picture), (90, 90))
    tr.ImageClassification(80, 90)(v2.ToPILImage()(picture))


def test_compiled_and_traced_code_is_not_warned():
    """Whose sizes may be symbols, on which nothing must depend."""

    def call(image):
        return tr.resize(image, (40, 50))

    compiled = torch.compile(call, fullgraph=True, backend="eager", dynamic=True)
    for w in (3, 4, 5, 9):
        x = torch.zeros(20, 30, w)
        assert compiled(x).shape == (20, 40, 50)
    exported = torch.export.export(
        Call(call), (x,), dynamic_shapes=({2: torch.export.Dim("w", min=2, max=64)},)
    )
    assert exported.module()(torch.zeros(20, 30, 3)).shape == (20, 40, 50)


class Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, image):
        return self.function(image)


# ---- dtypes that have no mean


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool, torch.uint32, torch.uint64])
@pytest.mark.parametrize("like", tr.PROFILES)
def test_dtypes_that_are_not_weighed_name_a_conversion(rng, dtype, like):
    """torch has no kernel for them either; the conversion named keeps their values."""
    x = torch.from_numpy(rng.integers(0, 100, (3, 20, 30))).to(dtype)
    if dtype in (torch.int64, torch.int8, torch.bool):
        with pytest.raises(NotImplementedError):
            F.interpolate(x[None], (7, 9), mode="bilinear", antialias=True)
    array = x.permute(1, 2, 0).numpy()
    preset = tr.ImageClassification(8, 9, like=like)
    for call, image in (
        (lambda image: tr.resize(image, (7, 9), like=like), x),
        (lambda image: tr.resize(image, (7, 9), like=like), tv_tensors.Image(x)),
        (lambda image: tr.resize(image, (7, 9), like=like), array),
        (tr.Resize(8, like=like), x),
        (tr.RandomResizedCrop(8, like=like), x),
        (tr.RandomResizedCrop(8, like=like), array),
        (lambda image: tr.resize_batch([image], (7, 9), like=like), x),
        (lambda image: tr.resize_batch([image], (7, 9), like=like), array),
        (preset, x),
        (preset, array),
    ):
        with pytest.raises(TypeError, match=rf"must have dtype .*got {dtype}") as caught:
            call(image)
        name = re.search(r"\.to\(torch\.(\w+)\), or \.astype\('(\w+)'\)", str(caught.value))
        assert name[1] == name[2]
        converted = x.to(getattr(torch, name[1]))
        assert torch.equal(converted.to(dtype), x)
        call(array.astype(name[1]) if image is array else converted)
    labels = tv_tensors.Mask(x)
    assert tr.resize(labels, (7, 9), like=like).dtype == dtype  # masks are taken, not weighed
    assert tr.resize(array, (7, 9), "nearest", like=like).dtype == array.dtype


def test_through_float_as_torchvision_does(rng):
    x = torch.from_numpy(rng.integers(-100, 100, (3, 20, 30)))
    for dtype in (torch.int64, torch.int8):
        theirs = v2.functional.resize(x.to(dtype), [7, 9])
        ours = tr.resize(x.to(torch.float32), (7, 9), like="torch").round().to(dtype)
        # Sums of float32 in another order may round a tie to the other side.
        assert (ours.int() - theirs.int()).abs().max() <= 1
