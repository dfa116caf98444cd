"""How weights are read from files and checked."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from studies.networks import STAGES

CIFAR, PREACT = "cifar_resnet", "resnet50v2"
# Blocks per stage of torchvision's ResNets, without and with bottlenecks.
BASIC = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
BOTTLENECK = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3), "resnet152": (3, 8, 36, 3)}
# Keys under which training scripts save a state_dict beside other things, and what DataParallel
# and torch.compile put before names.
WRAPPERS = ("state_dict", "model", "model_state_dict")
PREFIXES = ("module", "_orig_mod")


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state_dict, alone or as training scripts save it, without its wrappers' prefixes.

    Raises:
        ValueError: an empty file, one that needs pickle, or one that holds no state_dict.
    """
    if not path.stat().st_size:
        raise ValueError(f"weights: cannot read {path} as a state_dict: it is empty")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"weights: cannot read {path} as a state_dict: {error}") from error
    except Exception as error:  # whatever torch's reader meets where it takes bytes for code
        # Torch's own words advise to load what may run code.
        refused = re.search(r"Unsupported global: GLOBAL (\S+)", str(error))
        reason = "no torch file, or not only tensors, numbers and text"
        if refused:
            reason = (
                f"it needs pickle, which may run code, for {refused[1]}; save model.state_dict()"
            )
        raise ValueError(f"weights: cannot read {path} as a state_dict: {reason}") from error
    if isinstance(state, Mapping):
        inner = (state[key] for key in WRAPPERS if isinstance(state.get(key), Mapping))
        state = next(inner, state)
    if not (
        isinstance(state, Mapping)
        and state
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items())
    ):
        raise ValueError(
            f"weights: {path} must hold a state_dict (name -> tensor), alone or as one of "
            f"{', '.join(WRAPPERS)}"
        )
    return {_strip(key): tensor for key, tensor in state.items()}


def _strip(key: str) -> str:
    return ".".join(part for part in key.split(".") if part not in PREFIXES)


def recognise(state: Mapping[str, Tensor], weights: str) -> tuple[str, int]:
    """Find the architecture that a state_dict is closest to, and how many stages it holds.

    Raises:
        ValueError: it is no ResNet's.
    """
    counts = blocks_per_stage(state)
    if "conv1.weight" not in state or not counts:
        raise ValueError(
            f"weights: {weights} is not a ResNet state_dict: conv1.weight and layer1.* are needed, "
            f"its keys are {_some(state)}"
        )
    if "bn_in.weight" in state:
        return PREACT, len(counts)
    if state["conv1.weight"].shape[-1:] == (3,):
        return f"{CIFAR}{6 * max(counts) + 2}", min(len(counts), 3)
    layouts = BOTTLENECK if "layer1.0.conv3.weight" in state else BASIC
    distance = {
        name: sum(abs(a - b) for a, b in zip(layout, counts, strict=False))
        for name, layout in layouts.items()
    }
    return min(distance, key=distance.get), len(counts)


def blocks_per_stage(state: Mapping[str, Tensor]) -> list[int]:
    """Count the blocks of each leading stage that a residual network's state_dict holds."""
    counts = []
    for stage in STAGES:
        found = {key.split(".")[1] for key in state if key.startswith(stage + ".")}
        if not found:
            break
        counts.append(len(found))
    return counts


def load(network: nn.Module, given: Mapping[str, Tensor], weights: str, what: str) -> None:
    """Copy a state_dict, in whatever precision it is, whose keys and shapes must be the network's.

    Raises:
        ValueError: keys, shapes or types that differ, numbers that are not finite.
    """
    own, given = without_counts(network.state_dict()), without_counts(given)
    both = [key for key in own if key in given]
    problems = {
        "missing": [key for key in own if key not in given],
        "unexpected": [key for key in given if key not in own],
        "of the wrong shape": [
            f"{key} {tuple(given[key].shape)} for {tuple(own[key].shape)}"
            for key in both
            if given[key].shape != own[key].shape
        ],
        "not floating": [key for key in both if not given[key].is_floating_point()],
    }
    if any(problems.values()):
        words = "; ".join(f"{kind}: {_some(keys)}" for kind, keys in problems.items() if keys)
        raise ValueError(f"weights: {weights} does not fit {what}: {words}")
    network.load_state_dict(given, strict=False)
    check_finite(network, weights)


def check_finite(network: nn.Module, weights: str) -> None:
    """Refuse weights with NaN or infinity."""
    broken = [key for key, tensor in network.state_dict().items() if not tensor.isfinite().all()]
    if broken:
        raise ValueError(f"weights: {weights} holds NaN or infinity in {_some(broken)}")


def without_counts(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave ``num_batches_tracked`` out of a state_dict.

    Early releases of torch did not write it, and no feature depends on it.
    """
    return {key: v for key, v in state.items() if not key.endswith("num_batches_tracked")}


def _some(keys: Iterable[str], most: int = 6) -> str:
    """Join the first few of many names."""
    keys = list(keys)
    more = [f"{len(keys) - most} more"] if len(keys) > most else []
    return ", ".join([*map(str, keys[:most]), *more])


def first_line(error: Exception) -> str:
    """Take what an error says without the advice that follows, or its type if it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)
