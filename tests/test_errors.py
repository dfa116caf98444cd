"""Bad input: the error names the argument, the rule and the value."""

import re

import numpy as np
import PIL.Image
import pytest
import torch

import torchresample as tr

IMAGE = torch.zeros(3, 40, 60)
BAD = [
    (dict(size=0), ValueError, "size", "0"),
    (dict(size=-3), ValueError, "size", "-3"),
    (dict(size=(5, 0)), ValueError, "size", "(5, 0)"),
    (dict(size=(5, 6, 7)), ValueError, "size", "(5, 6, 7)"),
    (dict(size=()), ValueError, "size", "()"),
    (dict(size=2**31), ValueError, "size", "2147483648"),
    (dict(size=5, box=(0, 0, 1e-300, 1)), ValueError, "size", "1e-300"),
    (dict(size=5.0), TypeError, "size", "5.0"),
    (dict(size=True), TypeError, "size", "True"),
    (dict(size="5"), TypeError, "size", "'5'"),
    (dict(size=b"5"), TypeError, "size", "b'5'"),
    (dict(size=None), ValueError, "size", "None"),
    (dict(size=np.array(5.0)), TypeError, "size", "5."),
    (dict(size=np.array(True)), TypeError, "size", "True"),
    (dict(size=np.array([[5, 5]])), TypeError, "size", "[5, 5]"),
    (dict(size=torch.tensor(5.0)), TypeError, "size", "5."),
    (dict(size=torch.tensor([True])), TypeError, "size", "True"),
    (dict(size=[np.array(5), torch.tensor(True)]), TypeError, "size", "True"),
    (dict(size=np.array([5, 0])), ValueError, "size", "(5, 0)"),
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
    (dict(antialias=True, method="bilinear", like="opencv"), ValueError, "antialias", "True"),
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
    (dict(box=(0, 0, 10**400, 40)), ValueError, "box", "0000"),
    (dict(image=torch.zeros(7)), ValueError, "image", "(7,)"),
    (dict(image=torch.zeros(3, 0, 5)), ValueError, "image", "(3, 0, 5)"),
    (dict(image=IMAGE.bool()), TypeError, "image", "torch.bool"),
    (dict(image=IMAGE.long()), TypeError, "image", "torch.int64"),
    (dict(image=IMAGE.to(torch.complex64)), TypeError, "image", "torch.complex64"),
    (dict(image=IMAGE.to(torch.complex64), method="nearest"), TypeError, "image", "complex64"),
    (dict(image=IMAGE.to_sparse()), TypeError, "image", "sparse"),
    (dict(image=np.zeros(5)), ValueError, "image", "(5,)"),
    (dict(image=np.zeros((0, 5, 3))), ValueError, "image", "(0, 5, 3)"),
    (dict(image=np.zeros((2, 0, 4, 5))), ValueError, "image", "(2, 0, 4, 5)"),
    (dict(image=np.zeros((4, 5), object)), TypeError, "image", "object"),
    (dict(image=np.zeros((4, 5), "U1")), TypeError, "image", "<U1"),
    (dict(image=np.zeros((4, 5), ">f4")), TypeError, "image", ">f4"),
    (dict(image=np.zeros((4, 5), np.longdouble)), TypeError, "image", "float128"),
    (dict(image=np.ma.zeros((4, 5))), TypeError, "image", "masked"),
    (dict(image=[[1, 2], [3, 4]]), TypeError, "image", "list"),
    (dict(image="photo.jpg"), TypeError, "image", "str"),
    (dict(image=PIL.Image.new("P", (5, 5))), ValueError, "method", "'bilinear'"),
    (
        dict(image=PIL.Image.new("P", (5, 5)), method="nearest", like="skimage", antialias=True),
        ValueError, "antialias", "True",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "kind", "argument", "value"), BAD)
def test_bad_input_names_argument_rule_and_value(bad, kind, argument, value):
    arguments = {"image": IMAGE, "size": 5, **bad}
    with pytest.raises(kind, match=f"^{argument}.* must .*{re.escape(value)}"):
        tr.resize(**arguments)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (dict(size=(5, 1)), dict(size=(5.0, 1))),
        (dict(size=(5, 1)), dict(size=[5, True])),
        (dict(size=1), dict(size=True)),
        (dict(size=1, max_size=7), dict(size=1, max_size=7.0)),
        (dict(antialias=True), dict(antialias=1)),
        (dict(method=PIL.Image.Resampling.BILINEAR), dict(method=2)),
        ({}, dict(method=["bilinear"])),
    ],
)
def test_wrong_arguments_that_equal_right_ones(right, wrong):
    """Whatever is remembered of calls, none makes a later one pass."""
    tr.resize(**{"image": IMAGE, "size": 5, **right})
    with pytest.raises(TypeError, match=f"^{next(reversed(wrong))} must "):
        tr.resize(**{"image": IMAGE, "size": 5, **wrong})


NEEDS_IMAGE = [dict(box=(0, 0, 60.01, 40)), dict(size=5, box=(0, 0, 1e-300, 1))]


@pytest.mark.parametrize(
    "bad", [bad for bad, *_ in BAD if "image" not in bad and bad not in NEEDS_IMAGE]
)
def test_bad_arguments_fail_when_a_transform_is_made(bad):
    with pytest.raises((ValueError, TypeError)):
        tr.Resize(**{"size": 5, **bad})


def test_unknown_names_suggest_and_unknown_pairs_say_who_has_it():
    with pytest.raises(ValueError, match="did you mean 'bicubic'"):
        tr.resize(IMAGE, 5, "bycubic")
    with pytest.raises(ValueError, match="'tf', 'linear-light' have"):
        tr.resize(IMAGE, 5, "mitchell", like="torch")


def test_closed_file(tmp_path):
    PIL.Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    with PIL.Image.open(tmp_path / "a.png") as image:
        pass
    with pytest.raises(ValueError, match=r"^image must .*a\.png'.* closed"):
        tr.resize(image, 5)


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
