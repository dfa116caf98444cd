"""torchresample: image resizing with the same pixels as Pillow, torch and OpenCV."""

from torchresample.batch import resize_batch
from torchresample.functional import resize
from torchresample.nv12 import resize_nv12
from torchresample.pil import ImageFileError
from torchresample.profiles import METHODS, PROFILES
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
