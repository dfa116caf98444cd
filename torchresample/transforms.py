"""Transforms for torchvision pipelines: they store arguments and call functions."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torchvision import tv_tensors
from torchvision.transforms import v2

from torchresample import functional
from torchresample.arrays import check_array, to_array
from torchresample.checks import (
    Box,
    Method,
    Size,
    check_alpha,
    check_not_traced,
    check_options,
    check_probability,
    check_range,
    check_side,
    plain_size,
)
from torchresample.pil import load
from torchresample.preprocess import Scaling, check_scaling, prepared


class _Eager:
    """A module that ``torch.jit.script`` cannot compile, and says so."""

    def __prepare_scriptable__(self) -> None:
        raise TypeError(
            f"{type(self).__name__} cannot be compiled by torch.jit.script; torch.export and "
            "torch.compile take it"
        )


class Resize(_Eager, v2.Transform):
    """Resize images, and with them masks, boxes and key points, in a torchvision v2 pipeline.

    Takes what ``resize`` takes, or any structure of such inputs: as in torchvision, plain tensors
    are left alone where an image or a video stands beside them, and other values pass through,
    among them arrays, which may be labels: only an array that is the whole input is an image.
    Boxes are not clamped to the result, but those with rotation are, as torchvision does it;
    ``v2.ClampBoundingBoxes`` clamps the others.
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
        alpha: bool = False,
    ) -> None:
        super().__init__()
        size, max_size = plain_size(size), plain_size(max_size)
        self.method = check_options(size, method, like, antialias, max_size, boundary, box)
        check_alpha(alpha, like)
        self.size, self.like, self.antialias, self.box = size, like, antialias, box
        self.max_size, self.boundary, self.alpha = max_size, boundary, alpha

    def forward(self, *inputs: Any) -> Any:
        # A lone array is an image; inside a structure it may as well be a label.
        if len(inputs) == 1 and isinstance(inputs[0], np.ndarray):
            return self.transform(inputs[0], {})
        return super().forward(*inputs)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return functional.resize(inpt, self.size, self.method, **self._options())

    def _options(self) -> dict[str, Any]:
        names = ("like", "antialias", "box", "max_size", "boundary", "alpha")
        return {name: getattr(self, name) for name in names}

    def extra_repr(self) -> str:
        given = {name: value for name, value in self._options().items() if value is not None}
        if not self.alpha:
            del given["alpha"]
        arguments = {"size": self.size, "method": self.method, **given}
        return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def _extra_repr(module: nn.Module, names: Sequence[str], scaling: Scaling | None) -> str:
    values = {name: getattr(module, name) for name in names}
    if scaling is not None:
        values |= vars(scaling)
    given = {name: value for name, value in values.items() if value is not None}
    return ", ".join(f"{name}={value!r}" for name, value in given.items())


class ImageClassification(_Eager, nn.Module):
    """The usual input of a classifier: resize, central crop, conversion to float, normalisation.

    In one go: only the pixels inside the crop are made, and the conversion and both steps of the
    normalisation are one loop. For PIL images the result is that of torchvision's preset of this
    name, bit for bit. For uint8 tensors that preset resizes in float32 and rounds; the pixels of
    ``like="torch"`` are those of ``v2.Resize`` and ``v2.CenterCrop``. (``v2.ToDtype`` multiplies by
    a rounded 1 / 255, so that its floats may differ from these in the last bit.)

    Args:
        crop_size: side of the square crop, in pixels; where it is longer than a side of the
            resized image, zeros surround that, before the normalisation.
        resize_size: length of the shorter side after the resize, or ``(h, w)``.
        method, like, antialias: see ``resize``.
        mean, std: per channel, of values from 0 to 1; both ``None``: no normalisation.
        dtype: a floating one; or ``torch.uint8``, which leaves bytes as they are, without ``mean``.
        layout: ``torch.contiguous_format`` or ``torch.channels_last``, of the result in memory.

    Called with a uint8 or floating tensor ``[..., C, H, W]`` or ndarray ``[H, W]`` or
    ``[..., H, W, C]`` (floats are not divided by 255) or a PIL image of mode L or RGB, it returns a
    tensor ``[..., C, crop_size, crop_size]``, which is differentiable where the image is a floating
    tensor.

    Raises:
        ValueError, TypeError: an argument out of range or of the wrong type, naming it.

    Source: torchvision ``transforms/_presets.py``.
    """

    def __init__(
        self,
        crop_size: int,
        resize_size: Size = 256,
        method: Method = "bilinear",
        *,
        like: str = "pillow",
        antialias: bool | None = None,
        mean: Sequence[float] | None = (0.485, 0.456, 0.406),
        std: Sequence[float] | None = (0.229, 0.224, 0.225),
        dtype: torch.dtype = torch.float32,
        layout: torch.memory_format = torch.contiguous_format,
    ) -> None:
        super().__init__()
        resize_size = plain_size(resize_size)
        options = (method, like, antialias, None, None, None)
        self.method = check_options(resize_size, *options, size_name="resize_size")
        self.crop_size = check_side("crop_size", crop_size)
        self.resize_size, self.like, self.antialias = resize_size, like, antialias
        self.scaling = check_scaling(mean, std, dtype, layout)

    def forward(self, image: Tensor | np.ndarray | PIL.Image.Image) -> Tensor:
        crop = (self.crop_size, self.crop_size)
        options = (self.method, self.like, self.antialias, self.scaling)
        return prepared(image, self.resize_size, crop, *options)

    def extra_repr(self) -> str:
        names = ("crop_size", "resize_size", "method", "like", "antialias")
        return _extra_repr(self, names, self.scaling)


class _Float32OnCPU(TorchFunctionMode):
    """Makes new tensors float32 on the CPU, whatever the defaults are."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in (torch.empty, torch.rand, torch.tensor):
            kwargs = {"dtype": torch.float32, "device": "cpu", **kwargs}
        elif func is torch.randint:
            kwargs = {"device": "cpu", **kwargs}
        return func(*args, **kwargs)


def _drawing() -> AbstractContextManager:
    """Where random numbers are drawn. The mode takes time, so it is left out where it can be."""
    # A default device is a mode; to ask for it would start an accelerator.
    plain = torch.get_default_dtype() == torch.float32 and not torch._C._len_torch_function_stack()
    return nullcontext() if plain else _Float32OnCPU()


class RandomResizedCrop(_Eager, v2.RandomResizedCrop):
    """A random part of an image, resized, and where asked for mirrored, converted and normalised.

    Boxes are those of torchvision's ``v2.RandomResizedCrop`` from the same seed, mirrored images
    those of a ``v2.RandomHorizontalFlip`` after it; pixels outside the box are not read. They are
    drawn in float32 on the CPU, whatever torch's default dtype and device are. Masks, boxes and key
    points follow, in the structures that ``Resize`` takes. ``"nearest-exact"`` is kept for masks,
    as in ``v2.Resize``; torchvision's class of this name takes ``"nearest"`` for them.

    Args:
        size: side of the square result, or ``(h, w)``.
        scale: least and largest share of the image's area.
        ratio: least and largest width over height of the part.
        method, like, antialias: see ``resize``.
        hflip_prob: probability of mirroring left to right.
        mean, std, dtype, layout: see ``ImageClassification``. Without a ``dtype`` the image keeps
            its kind and dtype; with one, PIL images and arrays too become tensors. As in
            ``Resize``, an array is an image where it is the whole input.

    Raises:
        ValueError, TypeError: an argument out of range or of the wrong type, naming it.

    Source: torchvision ``transforms/v2/_geometry.py``.
    """

    _transformed_types = (torch.Tensor, PIL.Image.Image)

    def __init__(
        self,
        size: Size,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        method: Method = "bilinear",
        *,
        like: str = "pillow",
        antialias: bool | None = None,
        hflip_prob: float = 0.0,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        dtype: torch.dtype | None = None,
        layout: torch.memory_format = torch.contiguous_format,
    ) -> None:
        size = plain_size(size)
        self.method = check_options(size, method, like, antialias, None, None, None)
        scale = check_range("scale", scale, 1.0, zero=True)
        ratio = check_range("ratio", ratio, 1e6)
        with _drawing():  # the logarithms of the ratios are a tensor
            super().__init__(size, scale=scale, ratio=ratio)
        self.like, self.antialias = like, antialias
        self.hflip_prob = check_probability("hflip_prob", hflip_prob)
        given = mean is not None or std is not None or layout != torch.contiguous_format
        if dtype is None and given:
            raise ValueError(
                "dtype must be given where mean, std or layout are, got None with "
                f"{mean!r}, {std!r}, {layout!r}"
            )
        self.scaling = None if dtype is None else check_scaling(mean, std, dtype, layout)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        check_not_traced()  # before a number is drawn, of which the tracer would warn
        with _drawing():
            params = super().make_params(flat_inputs)
            flip = self.hflip_prob > 0 and torch.rand(1).item() < self.hflip_prob
        return params | {"flip": flip}

    def forward(self, *inputs: Any) -> Any:
        if len(inputs) == 1 and isinstance(inputs[0], np.ndarray):
            canvas = torch.empty((1, *check_array(inputs[0])), device="meta")
            return self.transform(inputs[0], self.make_params([canvas]))
        # A lone image needs no search through a structure.
        if len(inputs) == 1 and isinstance(inputs[0], self._transformed_types):
            return self.transform(inputs[0], self.make_params(list(inputs)))
        return super().forward(*inputs)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        box = tuple(params[name] for name in ("top", "left", "height", "width"))
        kinds = (tv_tensors.BoundingBoxes, tv_tensors.KeyPoints, tv_tensors.Mask)
        if isinstance(inpt, kinds) or (self.scaling is None and isinstance(inpt, PIL.Image.Image)):
            return self._cut(inpt, box, params["flip"])
        options = (self.method, self.like, self.antialias, self.scaling)
        out = prepared(inpt, self.size, None, *options, box, params["flip"])
        if isinstance(inpt, np.ndarray):
            return to_array(out) if self.scaling is None else out
        return tv_tensors.wrap(out, like=inpt) if isinstance(inpt, tv_tensors.TVTensor) else out

    def _cut(self, inpt: Any, box: tuple[int, ...], flip: bool) -> Any:
        """The steps one by one, for what is not an image or stays a PIL image."""
        if isinstance(inpt, PIL.Image.Image):
            load(inpt)
        part = v2.functional.crop(inpt, *box)
        options = {"like": self.like, "antialias": self.antialias}
        resized = functional.resize(part, self.size, self.method, **options)
        return v2.functional.horizontal_flip(resized) if flip else resized

    def extra_repr(self) -> str:
        names = ("size", "scale", "ratio", "method", "like", "antialias", "hflip_prob")
        return _extra_repr(self, names, self.scaling)
