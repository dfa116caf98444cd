"""What an input size costs: images per second, operations, memory."""

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from studies.memory import peak
from studies.pixels import Pixels, normalise
from studies.run import Cell
from studies.train import RECIPES, Classifier, Precision, make_optimiser

SECONDS = 0.5
"""How long each speed is measured, after a first call that is not counted."""
BATCH, IMAGES = 32, 48
"""Images in a batch of a network, and images that are resized."""
SERVING = ("cost_gflops", "cost_forward_per_s", "cost_forward_mb")
TRAINING = ("cost_train_per_s", "cost_train_mb")
RESIZING = ("cost_resize_per_s",)


def per_second(call: Callable[[], object], images: int, device: str) -> float:
    """Images per second: the median of repeated calls that treat so many images each."""
    call()
    times: list[float] = []
    while not times or sum(times) < SECONDS:
        _wait(device)
        began = time.perf_counter()
        call()
        _wait(device)
        times.append(time.perf_counter() - began)
    return images / sorted(times)[len(times) // 2]


def _wait(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def gflops(network: torch.nn.Module, x: Tensor) -> float:
    """Multiplications and additions of one forward pass per image, in units of 10**9."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(x)
    return counter.get_total_flops() / len(x) / 1e9


def of_network(network: Classifier, size: int, precision: Precision, device: str) -> Cell:
    """Speed, operations and memory of one network at one size, on batches of noise.

    Returns:
        ``cost_gflops`` of one image's forward pass; images per second forward and in training;
        MB that a batch of either takes above the weights.
    """
    pixels = torch.randint(0, 256, (BATCH, 3, size, size), dtype=torch.uint8, device=device)
    kind = torch.device(device).type
    optimiser = make_optimiser(network, RECIPES["finetune"])

    def forward() -> Tensor:
        with torch.autocast(kind, torch.bfloat16, precision == "bf16"):
            return network(normalise(pixels))

    def infer() -> None:
        with torch.inference_mode():
            forward()

    def step() -> None:
        loss = forward().float().square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    network.eval()
    cost = {
        "cost_gflops": gflops(network, normalise(pixels[:1])),
        "cost_forward_per_s": per_second(infer, BATCH, device),
        "cost_forward_mb": peak(infer, device) / 1e6,
    }
    network.train()
    step()  # gradients and momentum are made once, and stay
    cost["cost_train_per_s"] = per_second(step, BATCH, device)
    cost["cost_train_mb"] = peak(step, device) / 1e6
    return cost


def of_pixels(images: Sequence[Tensor], pixels: Pixels) -> Cell:
    """Measure how many of a data set's images are resized per second, in one thread.

    Decoding counts where the method has the decoder reduce the image; else it is not measured.
    """
    count = min(IMAGES, len(images))
    chosen = np.random.default_rng(0).choice(len(images), count, replace=False).tolist()
    decoded = [pixels.read(images, i) for i in chosen]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        speed = per_second(lambda: [pixels(image) for image in decoded], count, "cpu")
    finally:
        torch.set_num_threads(before)
    return {"cost_resize_per_s": speed}


def precisions(network: Classifier, device: str, training: bool) -> Cell:
    """The speed at 128 px in either precision, and which of them is faster."""
    which = "cost_train_per_s" if training else "cost_forward_per_s"
    speeds = {
        precision: of_network(network, 128, precision, device)[which]
        for precision in ("float32", "bf16")
    }
    return {"precision": max(speeds, key=speeds.get), **speeds}
