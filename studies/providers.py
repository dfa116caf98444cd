"""Who computes what in the benchmark: comparisons, their cases, and the exact results."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from torchvision.transforms import InterpolationMode, v2

import torchresample as tr

OURS = "torchresample"
PILLOW = PIL.Image.Resampling
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 32
JPEG = ("390x470:224x224",)  # about what a photograph of ImageNet measures

Size = tuple[int, int]
Call = Callable[[], object]
Calls = Callable[[str, np.ndarray, Size], dict[str, Call]]
Exact = Callable[[str, np.ndarray, Size], object]


@dataclass(frozen=True)
class Comparison:
    """Calls that should give the same pixels; times are compared within it.

    Args:
        methods: torchresample's names.
        calls: method, uint8 image ``[H, W, 3]`` and size -> provider -> call.
        exact: the same arguments -> the result in float64, before any rounding.
        sizes: cases of its own, instead of the usual ones.
        warm: calls of each provider before the first that is timed.
        needs: module without which it cannot run.
    """

    methods: tuple[str, ...]
    calls: Calls
    exact: Exact
    sizes: tuple[str, ...] | None = None
    warm: int = 1
    needs: str | None = None


def has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def layouts(image: np.ndarray) -> dict[str, torch.Tensor]:
    """``[1, 3, H, W]`` in both layouts."""
    planes = torch.from_numpy(image).permute(2, 0, 1)[None].contiguous()
    return {"NCHW": planes, "channels_last": planes.contiguous(memory_format=torch.channels_last)}


def as_tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None]


def _exact(like: str, method: str, image: np.ndarray, size: Size) -> torch.Tensor:
    return tr.resize(as_tensor(image).double(), size, method, like=like)


def _exact_bytes(like: str, method: str, image: np.ndarray, size: Size) -> torch.Tensor:
    return _exact(like, method, image, size).clamp(0, 255)


_PILLOW = {
    "box": PILLOW.BOX,
    "bilinear": PILLOW.BILINEAR,
    "hamming": PILLOW.HAMMING,
    "bicubic": PILLOW.BICUBIC,
    "lanczos3": PILLOW.LANCZOS,
}


def _pillow(method: str, image: np.ndarray, size: Size) -> dict[str, Call]:
    picture = PIL.Image.fromarray(image)
    calls = {
        "Pillow": partial(picture.resize, size[::-1], _PILLOW[method]),
        f"{OURS}, PIL": partial(tr.resize, picture, size, method),
    }
    for kind, x in layouts(image).items():
        calls[f"{OURS}, {kind}"] = partial(tr.resize, x, size, method)
    return calls


_TORCH = {"bilinear": "bilinear", "bicubic": "bicubic"}
if hasattr(torch.ops.aten, "_upsample_lanczos2d_aa"):  # from torch 2.15 on
    _TORCH["lanczos3"] = "lanczos"
VISION = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}


def _torch(method: str, image: np.ndarray, size: Size) -> dict[str, Call]:
    kinds = layouts(image)
    calls = {}
    for kind, x in kinds.items():
        options = {"size": size, "mode": _TORCH[method], "antialias": True}
        calls[f"torch, {kind}"] = partial(F.interpolate, x, **options)
        if method in VISION:
            mode = {"interpolation": VISION[method], "antialias": True}
            calls[f"torchvision, {kind}"] = partial(v2.functional.resize, x, list(size), **mode)
    for kind, x in kinds.items():
        calls[f"{OURS}, {kind}"] = partial(tr.resize, x, size, method, like="torch")
    return calls


def _torch_float(method: str, image: np.ndarray, size: Size) -> dict[str, Call]:
    calls = _torch(method, image.astype(np.float32), size)
    if has("kornia") and method in VISION:
        from kornia.geometry.transform import resize

        planes = layouts(image.astype(np.float32))["NCHW"]
        options = {"interpolation": method, "antialias": True}
        calls = {"kornia, NCHW": partial(resize, planes, size, **options)} | calls
    return calls


_OPENCV = {
    "nearest": "INTER_NEAREST",
    "bilinear": "INTER_LINEAR",
    "linear-exact": "INTER_LINEAR_EXACT",
    "bicubic": "INTER_CUBIC",
    "area": "INTER_AREA",
    "lanczos4": "INTER_LANCZOS4",
}


def _opencv(method: str, image: np.ndarray, size: Size) -> dict[str, Call]:
    import cv2

    flag = getattr(cv2, _OPENCV[method])
    return {
        "OpenCV": partial(cv2.resize, image, size[::-1], interpolation=flag),
        f"{OURS}, array": partial(tr.resize, image, size, method, like="opencv"),
    }


_SKIMAGE = {"bilinear": 1, "spline3": 3}


def _skimage(method: str, image: np.ndarray, size: Size) -> dict[str, Call]:
    from skimage.transform import resize

    image = image.astype(np.float32)
    options = {"order": _SKIMAGE[method], "anti_aliasing": True, "preserve_range": True}
    return {
        "scikit-image": partial(resize, image, size, **options),
        f"{OURS}, array": partial(tr.resize, image, size, method, like="skimage"),
    }


def _normalised(x: torch.Tensor) -> torch.Tensor:
    mean, std = (x.new_tensor(values)[:, None, None] for values in (MEAN, STD))
    return (x / 255 - mean) / std


def _vision(first: list, pil: bool) -> v2.Compose:
    rest = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    return v2.Compose([*first, *([v2.PILToTensor()] if pil else []), *rest])


def _inputs(image: np.ndarray, pil: bool) -> dict[str, object]:
    if pil:
        return {"PIL": PIL.Image.fromarray(image)}
    return {kind: x[0] for kind, x in layouts(image).items()}


def _evaluation(pil: bool, method: str, image: np.ndarray, size: Size) -> dict[str, Call]:
    theirs = _vision([v2.Resize(256), v2.CenterCrop(size)], pil)
    ours = tr.ImageClassification(size[0], 256, method, like="pillow" if pil else "torch")
    inputs = _inputs(image, pil)
    calls = {f"torchvision, {kind}": partial(theirs, x) for kind, x in inputs.items()}
    return calls | {f"{OURS}, {kind}": partial(ours, x) for kind, x in inputs.items()}


def _exact_evaluation(like: str, method: str, image: np.ndarray, size: Size) -> torch.Tensor:
    options = {"mean": MEAN, "std": STD, "dtype": torch.float64, "like": like}
    return tr.ImageClassification(size[0], 256, method, **options)(as_tensor(image).double() / 255)


def _training(pil: bool, method: str, image: np.ndarray, size: Size) -> dict[str, Call]:
    theirs = _vision([v2.RandomResizedCrop(size), v2.RandomHorizontalFlip(0.5)], pil)
    options = {"hflip_prob": 0.5, "mean": MEAN, "std": STD, "dtype": torch.float32}
    like = "pillow" if pil else "torch"
    ours = tr.RandomResizedCrop(size, method=method, like=like, **options)
    inputs = _inputs(image, pil)
    calls = {f"torchvision, {kind}": partial(theirs, x) for kind, x in inputs.items()}
    return calls | {f"{OURS}, {kind}": partial(ours, x) for kind, x in inputs.items()}


def _exact_training(like: str, method: str, image: np.ndarray, size: Size) -> torch.Tensor:
    """The crop that the seed of ``speed.computed`` draws."""
    options = {"hflip_prob": 0.5, "mean": MEAN, "std": STD, "dtype": torch.float64, "like": like}
    crop = tr.RandomResizedCrop(size, method=method, **options)
    return crop(as_tensor(image).double() / 255)


def _batch(method: str, image: np.ndarray, size: Size) -> dict[str, Call]:
    def one_by_one(images):
        return [tr.resize(x, size, method) for x in images]

    calls = {}
    for kind, x in layouts(image).items():
        format_ = torch.channels_last if kind == "channels_last" else torch.contiguous_format
        batch = x.repeat(BATCH, 1, 1, 1).contiguous(memory_format=format_)
        singles = [image.clone(memory_format=torch.preserve_format) for image in batch]
        calls[f"one by one, {kind}"] = partial(one_by_one, singles)
        calls[f"{OURS}, a batch, {kind}"] = partial(tr.resize, batch, size, method)
    return calls


def _pil_and_tensor(name: str, calls: Callable, exact: Callable, warm: int) -> dict:
    return {
        f"{name}, {kind}": Comparison(
            ("bilinear",), partial(calls, pil), partial(exact, like), JPEG, warm
        )
        for kind, pil, like in (("tensor", False, "torch"), ("PIL", True, "pillow"))
    }


COMPARISONS = {
    "pillow": Comparison(tuple(_PILLOW), _pillow, partial(_exact_bytes, "pillow")),
    "torch": Comparison(tuple(_TORCH), _torch, partial(_exact_bytes, "torch")),
    "torch float32": Comparison(tuple(_TORCH), _torch_float, partial(_exact, "torch")),
    "opencv": Comparison(tuple(_OPENCV), _opencv, partial(_exact_bytes, "opencv"), needs="cv2"),
    "skimage float32": Comparison(
        tuple(_SKIMAGE), _skimage, partial(_exact, "skimage"), needs="skimage"
    ),
    **_pil_and_tensor("evaluation", _evaluation, _exact_evaluation, 1),
    # As in training, where bands of lengths seen before are kept.
    **_pil_and_tensor("training", _training, _exact_training, 2000),
    "batch of 32": Comparison(
        ("bilinear",),
        _batch,
        partial(_exact_bytes, "pillow"),
        ("64x64:32x32", "224x224:112x112", "375x500:224x224"),
    ),
    "scaling": Comparison(
        ("lanczos3",),
        _pillow,
        partial(_exact_bytes, "pillow"),
        tuple(f"{n}x{n}:{n // 2}x{n // 2}" for n in (64, 128, 256, 512, 1000, 2000, 4000, 8000)),
    ),
}
"""What is compared, by name."""
