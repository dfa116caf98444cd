"""``python -m torchresample warmup``: compile what a GPU needs before its first call."""

import argparse
import time
from collections.abc import Sequence

import torch

import torchresample as tr
from torchresample import gpu, native

DTYPES = (torch.uint8, torch.float16, torch.bfloat16, torch.float32)


def warmup(device: torch.device) -> None:
    """Make the usual calls on a GPU once, so that Triton compiles and caches their kernels.

    They are: both memory layouts of uint8, float16, bfloat16 and float32, down and up, under the
    profiles that have kernels for these; a preset with normalisation, and random crops; and a batch
    of images of different sizes.
    """
    torch.cuda.set_device(device)
    for dtype in DTYPES:
        image = torch.zeros(2, 3, 480, 640, dtype=dtype, device=device)
        for layout in (torch.contiguous_format, torch.channels_last):
            x = image.contiguous(memory_format=layout)
            for like in ("pillow", "torch", "opencv"):
                for method in ("nearest", "bilinear", "bicubic"):
                    for size in ((224, 224), (960, 1280), (480, 224)):
                        tr.resize(x, size, method, like=like)
            tr.ImageClassification(224)(x)
            tr.RandomResizedCrop(224)(x)
        tr.resize_batch([image[0], image[1, :, 100:]], (224, 224))
    torch.cuda.synchronize(device)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m torchresample", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    commands.add_parser("warmup", help=__doc__.partition(": ")[2])
    parser.parse_args(arguments)
    print(f"CPU ({native.instructions()}): nothing to compile, the installation did it")
    devices = [torch.device("cuda", i) for i in range(torch.cuda.device_count())]
    if not devices:
        print("GPU: torch finds none")
    for device in devices:
        if not gpu.serves(device):
            print(f"GPU {device}: nothing to compile, torch's own operations run there")
            continue
        begin = time.perf_counter()
        warmup(device)
        print(f"GPU {device}: kernels compiled in {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
