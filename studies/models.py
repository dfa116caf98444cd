"""Networks as feature extractors: whole classifiers, and ResNets cut after a stage."""

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import Inception3, ResNet, VisionTransformer, WeightsEnum

from studies.data import digest
from studies.networks import (
    STAGES,
    Average,
    CifarResNet,
    PreActResNet,
    Pyramid,
    Renormalise,
    Trunk,
    initialise,
    take_trunk,
)
from studies.weights import (
    CIFAR,
    PREACT,
    check_finite,
    first_line,
    load,
    read_state,
    recognise,
    without_counts,
)

Head = Literal["gap", "spp"]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EXAMPLE = "ResNet18_Weights.IMAGENET1K_V1"
# torchvision's classifiers halve their input five times; these have windows after that which are
# larger than one pixel, or are built for one size.
STRIDE = 32
SMALLEST = {"alexnet": 63, "inception_v3": 75}
FIXED_SIDES = {"maxvit_t": 224}
# Fresh networks with auxiliary classifiers, which would return a tuple in training, are built so.
AUXILIARY = {"aux_logits": False, "init_weights": True}
FRESH_OPTIONS = {"googlenet": AUXILIARY, "inception_v3": AUXILIARY}


class Backbone(nn.Module):
    """A network that turns images into features, ``[N, 3, H, W] -> [N, width]``.

    Its input is normalised by ``MEAN`` and ``STD``, whatever the weights were trained with.

    Attributes:
        name: the architecture, in short.
        digest: SHA-256 of the weights as they were opened, the classifier's among them; of fresh
            weights, whose values the seed says, only of their shapes.
        stages: how many stages of a ResNet there are; None for other networks.
        width: number of features.
        stride: the smallest side of an input: the total stride, or more where the network needs it.
        side: the only side of an input that the network takes; None where it takes any.
        classifier: the checkpoint's own last linear layer, from features to its classes.
            None where there is none, the network is cut, or the features are not what it takes.
            It is not among the parameters, so that training the features leaves it alone.
    """

    def __init__(
        self,
        name: str,
        trunk: nn.Module,
        pool: nn.Module,
        width: int,
        classifier: nn.Linear | None,
        digest: str,
    ) -> None:
        super().__init__()
        self.name, self.width, self.digest = name, width, digest
        self.trunk, self.pool = trunk, pool
        self._classifier = (classifier,)  # in a tuple, which torch does not look into
        self.stages = len(trunk.stages) if isinstance(trunk, Trunk) else None
        self.side = _only_side(name, trunk)
        self.stride = self.side or SMALLEST.get(name) or _total_stride(trunk)

    @property
    def classifier(self) -> nn.Linear | None:
        return self._classifier[0]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Backbone":
        """Move and convert the classifier with the rest."""
        if self.classifier is not None:
            self.classifier._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def check_side(self, side: int) -> None:
        """Refuse images of a side that the network does not take.

        Args:
            side: the shorter side in pixels.

        Raises:
            ValueError: a side below ``stride``, or another than the only one.
        """
        if self.side is not None and side != self.side:
            raise ValueError(
                f"sizes: {self.name} takes images of {self.side} px a side only, got {side}"
            )
        if side < self.stride:
            cut = f" to stage {self.stages}" if self.stages else ""
            raise ValueError(
                f"sizes: {self.name}{cut} needs at least {self.stride} px a side, got {side}"
            )

    def forward(self, x: Tensor) -> Tensor:  # [N, 3, H, W] -> [N, width]
        self._check(x)
        return self.pool(self.trunk(x))

    def stage_features(self, x: Tensor) -> list[Tensor]:
        """Average the feature map after each stage: ``[N, 3, H, W]`` to ``[N, C]`` each.

        Raises:
            ValueError: the network is no ResNet, or the images are too small.
        """
        if self.stages is None:
            raise ValueError(f"stages: {self.name} is no ResNet and has none")
        self._check(x)
        return [part.mean((2, 3)) for part in self.trunk.maps(x)]

    def _check(self, x: Tensor) -> None:
        for side in x.shape[-2:]:
            self.check_side(side)


def _only_side(name: str, network: nn.Module) -> int | None:
    sides = [part.image_size for part in network.modules() if isinstance(part, VisionTransformer)]
    return sides[0] if sides else FIXED_SIDES.get(name)


def _total_stride(network: nn.Module) -> int:
    if isinstance(network, Trunk):
        return math.prod(stride for _, stride in network.path())
    return STRIDE


def receptive_field(backbone: Backbone) -> int:
    """Compute the side in pixels of the square of input that a place of the last map depends on.

    Raises:
        ValueError: the network is no ResNet.
    """
    if backbone.stages is None:
        raise ValueError(f"stages: {backbone.name} is no ResNet; its receptive field is not known")
    field = step = 1  # of a place in the current map, in pixels of the input
    for side, stride in backbone.trunk.path():
        field += (side - 1) * step
        step *= stride
    return field


@dataclass(frozen=True)
class Source:
    """What ``weights`` stands for: an architecture, and where its weights are, if anywhere."""

    weights: str
    name: str
    held: int | None  # stages of a ResNet that there are; None for other networks
    state: dict[str, Tensor] | None = None  # of a file
    named: WeightsEnum | None = None  # of torchvision


def open_backbone(
    weights: str, stages: int | None = None, head: Head = "gap", *, trained: bool = True
) -> Backbone:
    """Open a network as a feature extractor: frozen, in eval mode, in channels_last.

    Trained networks draw nothing from torch's generator.

    Args:
        weights: a torchvision weights name of a classifier, downloaded where it is not there yet;
            or a file with the state_dict of a ResNet, whole or up to a stage.
            Files may be of torchvision's ResNet-18, 34, 50, 101 and 152, of the CIFAR ResNets of
            He et al. 2016, or of the pre-activation ResNet-50 v2.
            First stages that several have alike are called by the smallest of these.
        stages: the stage to cut a ResNet after; all that there are by default.
        head: ``gap``, global average pooling, or ``spp``, spatial pyramid pooling (He et al. 2014).
            Networks that are no ResNets keep what they have before their last linear layer.
        trained: whether to take the weights.
            If not, they are drawn from torch's generator, as the architecture's authors do, and
            ``weights`` may also be the name of an architecture.

    Raises:
        ValueError: weights that cannot be read or are not those of such a network, a stage that
            is not there, a head that does not fit.
    """
    source = _find(weights, trained)
    _check_cut(source, stages, head)
    with torch.random.fork_rng(devices=[], enabled=trained):
        network, linear = _build(source, trained)
    if source.held is None:
        pool, width = nn.Identity(), linear.in_features
    else:
        keep = stages or source.held
        if keep < source.held or head == "spp":
            linear = None
        network = take_trunk(network, source.held, keep)
        pool = Pyramid() if head == "spp" else Average()
        width = pool(network.eval()(torch.zeros(1, 3, STRIDE, STRIDE))).shape[1]
    classifier = linear if trained else None
    parts = [network] if classifier is None else [network, classifier]
    for part in parts:
        # Channels last is 1.5 to 2 times faster on CPUs for convolutions.
        part.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    name = source.name
    backbone = Backbone(name, network, pool, width, classifier, _digest(name, parts, trained))
    return backbone.eval()


def _check_cut(source: Source, stages: int | None, head: str) -> None:
    if head not in get_args(Head):
        raise ValueError(f"head: expected one of {', '.join(get_args(Head))}, got {head!r}")
    if source.held is None:
        if stages is not None:
            raise ValueError(f"stages: {source.name} is no ResNet and cannot be cut, got {stages}")
        if head != "gap":
            raise ValueError(f"head: {source.name} is no ResNet and keeps its own, got {head}")
    elif stages is not None and stages not in range(1, source.held + 1):
        raise ValueError(
            f"stages: expected 1 to {source.held}, which {source.weights} holds, got {stages}"
        )


def _digest(name: str, parts: list[nn.Module], trained: bool) -> str:
    states = [without_counts(part.state_dict()) for part in parts]
    if trained:
        return digest((tensor for state in states for tensor in state.values()), name)
    shapes = [tuple(tensor.shape) for state in states for tensor in state.values()]
    return digest((), f"fresh {name} {shapes}")


def _find(weights: str, trained: bool) -> Source:
    """Find a file, else torchvision's weights, else an architecture."""
    if os.path.isfile(weights):  # unlike pathlib's, also where a name is too long for a file
        state = read_state(Path(weights))
        return Source(weights, *recognise(state, weights), state=state)
    try:
        named = torchvision.models.get_weight(weights)
    except (ValueError, KeyError):
        _check_architecture(weights, trained)
        return Source(weights, weights, _count_stages(weights))
    for name in torchvision.models.list_models(module=torchvision.models):
        if isinstance(named, torchvision.models.get_model_weights(name)):
            return Source(weights, name, _count_stages(name), named=named)
    if "unquantized" in named.meta:
        raise ValueError(
            f"weights: {weights} are of a quantized network, which cannot be trained; give "
            f"{named.meta['unquantized']}"
        )
    raise ValueError(f"weights: {weights} are not those of an image classifier")


def _count_stages(name: str) -> int | None:
    """Count the stages of a whole network of this architecture; None if it is no ResNet."""
    if name.startswith(CIFAR):
        return 3
    if name == PREACT or torchvision.models.get_model_builder(name).__module__ == ResNet.__module__:
        return 4
    return None


def _check_architecture(weights: str, trained: bool) -> None:
    """Refuse what is no architecture, and any architecture where weights are needed."""
    known = torchvision.models.list_models(module=torchvision.models)
    layers = re.fullmatch(CIFAR + r"(\d+)", weights)
    if layers and (int(layers[1]) < 8 or int(layers[1]) % 6 != 2):
        raise ValueError(f"weights: {CIFAR}N needs N = 8, 14, 20, 26, ..., got {weights!r}")
    if not (layers or weights == PREACT or weights in known):
        architectures = "" if trained else ", or an architecture such as resnet18"
        folder = ", which is a folder" if os.path.isdir(weights) else ""
        raise ValueError(
            f"weights: expected a file or a torchvision weights name such as {EXAMPLE}"
            f"{architectures}, got {weights!r}{folder}"
        )
    if trained:
        raise ValueError(
            f"weights: {weights} is an architecture, without weights; give a file of them or a "
            f"torchvision weights name such as {EXAMPLE}"
        )


def _build(source: Source, trained: bool) -> tuple[nn.Module, nn.Linear | None]:
    """Build the network before its last linear layer, and that layer."""
    ours = source.name == PREACT or source.name.startswith(CIFAR)
    if source.state is None and not ours:
        return _build_torchvision(source, trained)
    network = _empty_resnet(source.name, source.held)
    if trained:
        return network, _fill(network, source)
    if ours:  # torchvision's are drawn so already
        initialise(network)
    return network, None


def _fill(network: nn.Module, source: Source) -> nn.Linear | None:
    """Load a file's weights, and return its last linear layer, if that follows the last stage."""
    last = [key for key in source.state if key.startswith(("fc.", "linear."))]
    body = {key: tensor for key, tensor in source.state.items() if key not in last}
    load(network, body, source.weights, f"{source.name} of {source.held} stages")
    head = {key.partition(".")[2]: source.state[key] for key in last}
    # Fine-tuned networks may end in several layers, whose order no state_dict tells.
    if set(head) != {"weight", "bias"} or source.held < _count_stages(source.name):
        return None
    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    linear = nn.Linear(norms[-1].num_features, head["bias"].numel() or 1)
    load(linear, head, source.weights, "a last linear layer")
    return linear


def _build_torchvision(source: Source, trained: bool) -> tuple[nn.Module, nn.Linear]:
    options = {"weights": source.named} if trained else FRESH_OPTIONS.get(source.name, {})
    try:
        network = torchvision.models.get_model(source.name, **options)
    except Exception as error:  # of the network, of the disk, or of a damaged file on it
        raise ValueError(f"weights: cannot obtain {source.weights}: {first_line(error)}") from error
    if trained:
        check_finite(network, source.weights)
    if isinstance(network, Inception3):  # GoogLeNet comes without
        network.aux_logits, network.AuxLogits = False, None
    names = [name for name, part in network.named_modules() if isinstance(part, nn.Linear)]
    if not names:
        raise ValueError(f"weights: {source.weights}: {source.name} ends in no linear layer")
    linear = network.get_submodule(names[-1])
    parent, _, leaf = names[-1].rpartition(".")
    setattr(network.get_submodule(parent), leaf, nn.Identity())
    if trained:
        preset = source.named.transforms()
        statistics = tuple(preset.mean), tuple(preset.std)
        if statistics != (MEAN, STD):
            network = nn.Sequential(Renormalise((MEAN, STD), statistics), network)
    return network, linear


def _empty_resnet(name: str, held: int) -> nn.Module:
    """Build a ResNet without its last linear layer and the stages that are not held."""
    if name == PREACT:
        return PreActResNet(held)
    if name.startswith(CIFAR):
        network = CifarResNet((int(name.removeprefix(CIFAR)) - 2) // 6, 1)
        network.linear = nn.Identity()
    else:
        network = torchvision.models.get_model(name)
        network.fc = nn.Identity()
    for stage in STAGES[held:]:
        setattr(network, stage, nn.Identity())
    return network
