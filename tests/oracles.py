"""The real libraries, called on one random case, and references written from definitions."""

import cv2
import numpy as np
import PIL
import PIL.Image
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from torchresample.filters import FILTERS

PILLOW_PROFILE = "pillow" if int(PIL.__version__.split(".")[0]) >= 13 else "pillow12"
PILLOW_METHODS = {
    {"LANCZOS": "lanczos3"}.get(member.name, member.name.lower()): member
    for member in PIL.Image.Resampling
}
ATEN_METHODS = [
    ("nearest", False),
    ("nearest-exact", False),
    ("bilinear", False),
    ("bicubic", False),
    ("bilinear", True),
    ("bicubic", True),
    ("lanczos3", True),
]
OPENCV_METHODS = {
    "nearest": cv2.INTER_NEAREST,
    "nearest-exact": cv2.INTER_NEAREST_EXACT,
    "bilinear": cv2.INTER_LINEAR,
    "linear-exact": cv2.INTER_LINEAR_EXACT,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos4": cv2.INTER_LANCZOS4,
}


def aten_has_lanczos() -> bool:
    """Whether this torch has it (from 2.15 on)."""
    try:
        F.interpolate(
            torch.zeros(1, 1, 2, 2, dtype=torch.uint8), (2, 3), mode="lanczos", antialias=True
        )
    except (NotImplementedError, ValueError):
        return False
    return True


if not aten_has_lanczos():
    ATEN_METHODS.remove(("lanczos3", True))


def random_sizes(rng: np.random.Generator, largest: int = 400) -> tuple[int, ...]:
    """``h, w, new_h, new_w``; half of them small, where edges and ties are, some unchanged."""
    h, w, *new = (
        int(rng.integers(1, largest + 1) if rng.random() < 0.5 else rng.integers(1, 41))
        for _ in range(4)
    )
    if rng.random() < 0.05:
        h, w = largest, int(rng.integers(1, 6))  # very tall, for which Pillow has a rule of its own
    new_h, new_w = (n if rng.random() < 0.9 else m for n, m in zip(new, (h, w), strict=True))
    return h, w, new_h, new_w


def random_resize(rng: np.random.Generator, largest: int = 400):
    """``h, w, size, box``, some of them plain crops."""
    h, w, *size = random_sizes(rng, largest)
    box = random_box(rng, h, w)
    if box is not None and isinstance(box[0], int) and rng.random() < 0.2:
        size = [box[3] - box[1], box[2] - box[0]]
    return h, w, size, box


def random_image(rng: np.random.Generator, h: int, w: int, c: int) -> np.ndarray:
    """Noise, or black and white, which drives sums to their extremes."""
    image = rng.integers(0, 256, (h, w, c), dtype=np.uint8)
    return image if rng.random() < 0.7 else np.where(image > 127, np.uint8(255), np.uint8(0))


def random_box(rng: np.random.Generator, h: int, w: int) -> tuple[float, ...] | None:
    left, right = np.sort(rng.uniform(0, w, 2))
    top, bottom = np.sort(rng.uniform(0, h, 2))
    kind = rng.integers(3)
    if kind == 0 or right - left < 1e-3 or bottom - top < 1e-3:
        return None
    if kind == 1 and int(left) < int(right) and int(top) < int(bottom):
        return int(left), int(top), int(right), int(bottom)
    return float(left), float(top), float(right), float(bottom)


def pillow(image: np.ndarray, size: tuple[int, int], method: str, box=None) -> np.ndarray:
    """``[H, W, C]`` of 1 to 4 channels, none of them an alpha that Pillow would multiply by."""
    h, w, c = image.shape
    mode = {1: "L", 2: "La", 3: "RGB", 4: "CMYK"}[c]
    source = PIL.Image.frombytes(mode, (w, h), image.tobytes())
    resized = source.resize(size[::-1], PILLOW_METHODS[method], box=box)
    return np.asarray(resized).reshape(*size, c)


def aten(x: torch.Tensor, size: tuple[int, int], method: str, antialias: bool) -> torch.Tensor:
    """``F.interpolate`` on ``[B, C, H, W]``."""
    mode = {"lanczos3": "lanczos"}.get(method, method)

    def call(image):
        return F.interpolate(image, size=size, mode=mode, antialias=antialias)

    if method == "nearest-exact":
        return call(x.contiguous())  # ATen rounds differently for channels_last of over 3 channels
    if size[1] > 1:
        return call(x)
    # A width of 1 makes ATen (seen in 2.15) take contiguous memory for channels_last, and return
    # wrong values or fail. Real channels_last of several channels is free of that.
    channels = torch.cat([x, x], dim=1)
    wide = channels.contiguous(memory_format=torch.channels_last)
    return call(wide)[:, : x.shape[1]].contiguous()


def opencv(image: np.ndarray, size: tuple[int, int], method: str) -> np.ndarray:
    resized = cv2.resize(image, size[::-1], interpolation=OPENCV_METHODS[method])
    return resized.reshape(*size, image.shape[2])


def jax(x: np.ndarray, size: list[int], method: str, antialias: bool) -> np.ndarray:
    import jax.image

    name = {"bilinear": "linear", "bicubic": "cubic"}.get(method, method)
    return np.asarray(jax.image.resize(x, size, name, antialias=antialias, precision="highest"))


def dense_matrix(name: str, n_in: int, n_out: int, antialias: bool) -> np.ndarray:
    """``[n_out, n_in]`` of a plain filter, weight by weight from the definition."""
    filter_ = FILTERS[name]
    scale = n_in / n_out
    widen = max(scale, 1.0) if antialias else 1.0
    matrix = np.zeros((n_out, n_in))
    for j in range(n_out):
        centre = (j + 0.5) * scale
        low = max(int(centre - filter_.radius * widen + 0.5), 0)
        high = min(int(centre + filter_.radius * widen + 0.5), n_in)
        for i in range(low, high):
            # In Pillow's order: a filter that ends in a step tells the last bit.
            matrix[j, i] = filter_.kernel(np.array((i - centre + 0.5) * (1.0 / widen)))
        matrix[j] /= matrix[j].sum()
    return matrix


def padded(x: np.ndarray, amount: int, boundary: str) -> np.ndarray:
    """The first axis of ``x`` extended on both sides."""
    pads = [(amount, amount)] + [(0, 0)] * (x.ndim - 1)
    if boundary != "extrapolate":
        return np.pad(x, pads, mode=boundary)
    steps = np.arange(1, amount + 1).reshape(-1, *[1] * (x.ndim - 1))
    inner = min(1, len(x) - 1)
    before = x[0] + steps[::-1] * (x[0] - x[inner])
    after = x[-1] + steps * (x[-1] - x[-1 - inner])
    return np.concatenate([before, x, after])
