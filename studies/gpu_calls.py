"""What the GPU study times: calls of torchresample, and of others that do the same."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from torch import Tensor
from torchvision.transforms import v2

import torchresample as tr
from studies.providers import MEAN, OURS, STD, VISION

Call = Callable[[], object]
Resize = Callable[[Tensor], Tensor]

RESIZED = (256, 256)
"""What the evaluation preset resizes to, before it crops."""


def _resize(x: Tensor, size: tuple[int, int], method: str) -> dict[str, Call]:
    calls = {OURS: partial(tr.resize, x, size, method, like="torch")}
    calls[f"{OURS}, like Pillow"] = partial(tr.resize, x, size, method)
    if method in VISION:
        mode = {"interpolation": VISION[method], "antialias": True}
        calls["torchvision"] = partial(v2.functional.resize, x, list(size), **mode)
    return calls


def _forward(x: Tensor, size: tuple[int, int], method: str) -> dict[str, Call]:
    return {
        OURS: partial(tr.resize, x, size, method, like="torch"),
        "torch": partial(F.interpolate, x, size, mode=method, antialias=True),
    }


def _backward(x: Tensor, size: tuple[int, int], method: str) -> dict[str, Call]:
    calls = {}
    for name, call in _forward(x.requires_grad_(), size, method).items():
        y = call()
        calls[name] = partial(torch.autograd.grad, y, x, torch.ones_like(y), retain_graph=True)
    return calls


def _evaluation(x: Tensor, size: tuple[int, int], method: str) -> dict[str, Call]:
    def operations(x):
        y = F.interpolate(x.float(), RESIZED, mode=method, antialias=True)
        y = v2.functional.center_crop(y.clamp(0, 255).round(), list(size))
        mean, std = (y.new_tensor(values)[:, None, None] for values in (MEAN, STD))
        return (y / 255 - mean) / std

    return {
        OURS: partial(tr.ImageClassification(size[0], RESIZED, method, like="torch"), x),
        "torch.compile": partial(torch.compile(operations), x),
    }


def _sizes(x: Tensor, size: tuple[int, int], method: str) -> dict[str, Call]:
    """Parts of the images, from a half to all of each side."""
    shares = torch.rand(len(x), 2, generator=torch.Generator().manual_seed(len(x))) / 2 + 0.5
    ends = (shares * torch.tensor(x.shape[-2:])).int().tolist()
    images = [image[:, :h, :w].contiguous() for image, (h, w) in zip(x, ends, strict=True)]
    mean, std = (torch.tensor(v, device=x.device)[:, None, None] for v in (MEAN, STD))

    def scaled(y):
        return ((y.float() / 255 - mean) / std).bfloat16()

    def one_by_one(mode):
        options = {"interpolation": mode, "antialias": True}
        parts = [v2.functional.resize(image, list(size), **options) for image in images]
        return scaled(torch.stack(parts))

    def padded():
        batch = x.new_zeros(x.shape)
        for image, place in zip(images, batch, strict=True):
            place[:, : image.shape[1], : image.shape[2]] = image
        return scaled(F.interpolate(batch.float(), size, mode=method, antialias=True))

    options = {"mean": MEAN, "std": STD, "dtype": torch.bfloat16}
    calls = {OURS: partial(tr.resize_batch, images, size, method, **options)}
    if method in VISION:
        calls |= {"torchvision": partial(one_by_one, VISION[method]), "torch, padded": padded}
    return calls


def _frames(x: Tensor, size: tuple[int, int], method: str) -> dict[str, Call]:
    """Of video: two planes to a normalised batch."""
    luma, chroma = planes(x)
    mean, std = (torch.tensor(v, device=x.device)[:, None, None] for v in (MEAN, STD))

    def operations(luma, chroma):
        whole = chroma.permute(0, 3, 1, 2).float()
        u, v = F.interpolate(whole, x.shape[-2:], mode="bilinear").sub(128).unbind(1)
        y = (luma.float() - 16) * (255 / 219)
        rgb = torch.stack([y + 1.7927 * v, y - 0.2132 * u - 0.5329 * v, y + 2.1124 * u], 1)
        resized = F.interpolate(rgb.clamp(0, 255), size, mode=method, antialias=True)
        return ((resized / 255 - mean) / std).bfloat16()

    options = {"mean": MEAN, "std": STD, "dtype": torch.bfloat16}
    return {
        OURS: partial(tr.resize_nv12, luma, chroma, size, method, **options),
        "torch": partial(operations, luma, chroma),
        "torch.compile": partial(torch.compile(operations), luma, chroma),
    }


def planes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Luma and chroma of frames, of the bytes of images."""
    h, w = x.shape[-2:]
    return x[:, 0], x[:, 1:, : (h + 1) // 2, : (w + 1) // 2].permute(0, 2, 3, 1).contiguous()


TIMED = {
    "resize": _resize,
    "forward": _forward,
    "backward": _backward,
    "evaluation": _evaluation,
    "sizes": _sizes,
    "frames": _frames,
}


def _in_a_stream(call: Resize, x: Tensor) -> Tensor:
    """Its result, of a stream that it does not share."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        y = call(x)
    torch.cuda.current_stream().wait_stream(stream)
    return y


def _in_a_graph(call: Resize, x: Tensor) -> Tensor:
    """Its result, of a CUDA graph, which is warm."""
    _in_a_stream(call, x)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = call(x)
    graph.replay()
    return y


def _without_waiting(call: Resize, x: Tensor) -> Tensor:
    """Its result, once more; an error where the CPU waits for the GPU."""
    call(x)
    torch.cuda.set_sync_debug_mode("error")
    try:
        return call(x)
    finally:
        torch.cuda.set_sync_debug_mode("default")


WAYS = {"torch.compile": partial(torch.compile, fullgraph=True)}
"""Other ways to call a resize: what makes them of it."""

GPU_WAYS = {
    "stream": lambda call: partial(_in_a_stream, call),
    "graph": lambda call: partial(_in_a_graph, call),
    "without waiting": lambda call: partial(_without_waiting, call),
    "torch.compile, graphs": partial(torch.compile, mode="reduce-overhead", fullgraph=True),
}
"""Those that need a GPU."""
