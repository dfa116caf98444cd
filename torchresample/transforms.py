"""Transforms for torchvision pipelines: they store arguments and call ``functional``."""

from typing import Any

import numpy as np
import PIL.Image
import torch
from torchvision.transforms import v2

from torchresample import functional
from torchresample.checks import Box, Method, Size, check_options


class Resize(v2.Transform):
    """Resize images, and with them masks, boxes and key points, in a torchvision v2 pipeline.

    Takes what ``resize`` takes, or any structure of such inputs: as in torchvision, plain tensors
    are left alone where an image or a video stands beside them, and other values pass through,
    among them arrays, which may be labels: only an array that is the whole input is an image.
    Boxes are not clamped to the result; ``v2.ClampBoundingBoxes`` does that.
    Arguments, results and errors are those of ``torchresample.resize``; all that can be checked
    without an image is checked here.
    """

    _transformed_types = (torch.Tensor, PIL.Image.Image)

    def __init__(
        self,
        size: Size | None,
        method: Method = "bilinear",
        *,
        like: str = "pillow",
        antialias: bool | None = None,
        box: Box | None = None,
        max_size: int | None = None,
        boundary: str | None = None,
    ) -> None:
        super().__init__()
        self.method = check_options(size, method, like, antialias, max_size, boundary, box)
        self.size, self.like, self.antialias, self.box = size, like, antialias, box
        self.max_size, self.boundary = max_size, boundary

    def forward(self, *inputs: Any) -> Any:
        # A lone array is an image; inside a structure it may as well be a label.
        if len(inputs) == 1 and isinstance(inputs[0], np.ndarray):
            return self.transform(inputs[0], {})
        return super().forward(*inputs)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return functional.resize(inpt, self.size, self.method, **self._options())

    def _options(self) -> dict[str, Any]:
        names = ("like", "antialias", "box", "max_size", "boundary")
        return {name: getattr(self, name) for name in names}

    def extra_repr(self) -> str:
        given = {name: value for name, value in self._options().items() if value is not None}
        arguments = {"size": self.size, "method": self.method, **given}
        return ", ".join(f"{name}={value!r}" for name, value in arguments.items())
