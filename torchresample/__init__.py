"""torchresample: image resizing with the same pixels as Pillow, torch and OpenCV."""

from typing import TYPE_CHECKING

from torchresample.batch import resize_batch
from torchresample.functional import resize
from torchresample.nv12 import resize_nv12
from torchresample.pil import ImageFileError
from torchresample.profiles import METHODS, PROFILES

if TYPE_CHECKING:
    from torchresample.transforms import ImageClassification, RandomResizedCrop, Resize

__all__ = [
    "METHODS",
    "PROFILES",
    "ImageClassification",
    "ImageFileError",
    "RandomResizedCrop",
    "Resize",
    "resize",
    "resize_batch",
    "resize_nv12",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> type:
    """Import the transforms when they are asked for: torchvision takes longer to import than torch.

    ``resize`` and the other functions do without it.
    """
    if name not in ("ImageClassification", "RandomResizedCrop", "Resize"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from torchresample import transforms

    return getattr(transforms, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
