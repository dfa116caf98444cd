"""Which images are torchvision's tv_tensors.

torchvision takes seconds to import, and a tensor is a tv_tensor only after somebody did.
"""

import sys

from torch import Tensor


def is_tv_tensor(image: object, *names: str) -> bool:
    """Whether ``image`` is a tv_tensor, and of one of the classes ``names`` where there are any."""
    module = sys.modules.get("torchvision.tv_tensors")
    if not isinstance(image, getattr(module, "TVTensor", ())):
        return False
    return not names or isinstance(image, tuple(getattr(module, name) for name in names))


def as_tensor(image: Tensor) -> Tensor:
    """A tv_tensor as a plain tensor; others as they are."""
    return image.as_subclass(Tensor) if is_tv_tensor(image) else image


def as_kind_of(image: Tensor, like: Tensor) -> Tensor:
    """``image`` as a tv_tensor of the kind of ``like``."""
    from torchvision import tv_tensors

    return tv_tensors.wrap(image, like=like)
