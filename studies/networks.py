"""Residual networks as modules: those that torchvision lacks, and what is left without a head."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

CIFAR_WIDTHS = (16, 32, 64)
STAGES = ("layer1", "layer2", "layer3", "layer4")
# Blocks per stage of ResNet-50 v2, and channels inside them; four times as many leave a block.
PREACT_BLOCKS = (3, 4, 6, 3)
PREACT_WIDTHS = (64, 128, 256, 512)
PYRAMID = (4, 2, 1)


class CifarBlock(nn.Module):
    """Two 3x3 convolutions and a parameter-free shortcut (option A of He et al. 2016)."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.stride, self.extra = stride, (n_out - n_in) // 2

    def forward(self, x: Tensor) -> Tensor:  # [N, n_in, H, W] -> [N, n_out, H/stride, W/stride]
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        if self.extra:
            shortcut = nn.functional.pad(shortcut, (0, 0, 0, 0, self.extra, self.extra))
        return torch.relu(y + shortcut)


class CifarResNet(nn.Module):
    """The CIFAR network of He et al. 2016: three stages; with 3 blocks each, ResNet-20."""

    def __init__(self, blocks: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, CIFAR_WIDTHS[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(CIFAR_WIDTHS[0])
        n_in = CIFAR_WIDTHS[0]
        for stage, width in zip(STAGES, CIFAR_WIDTHS, strict=False):
            first = CifarBlock(n_in, width, 1 if stage == "layer1" else 2)
            rest = [CifarBlock(width, width, 1) for _ in range(blocks - 1)]
            setattr(self, stage, nn.Sequential(first, *rest))
            n_in = width
        self.linear = nn.Linear(n_in, classes)

    def forward(self, x: Tensor) -> Tensor:  # [N, 3, H, W] -> [N, classes]
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


class PreActBlock(nn.Module):
    """Three convolutions, each after its batch norm and relu (He et al. 2016b, arXiv 1603.05027).

    Where the channels change, the shortcut is a convolution of the activated input.
    ``bn1`` is None where the input comes activated.
    """

    def __init__(self, n_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(n_in)
        self.conv1 = nn.Conv2d(n_in, width, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.downsample = None
        if n_in != 4 * width:
            self.downsample = nn.Sequential(nn.Conv2d(n_in, 4 * width, 1, stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:  # [N, n_in, H, W] -> [N, 4 width, H/stride, W/stride]
        a = x if self.bn1 is None else torch.relu(self.bn1(x))
        shortcut = x if self.downsample is None else self.downsample(a)
        y = self.conv2(torch.relu(self.bn2(self.conv1(a))))
        return self.conv3(torch.relu(self.bn3(y))) + shortcut


class PreActResNet(nn.Module):
    """The first stages of the pre-activation ResNet-50, as its files name their parts.

    It has no ``forward``: ``Trunk`` puts the parts together.

    Args:
        stages: how many there are, 1 to 4; ``bn_out`` is the batch norm after the last one.
    """

    def __init__(self, stages: int) -> None:
        super().__init__()
        self.bn_in = nn.BatchNorm2d(3)
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        n_in = 64
        layout = zip(STAGES[:stages], PREACT_BLOCKS, PREACT_WIDTHS, strict=False)
        for stage, blocks, width in layout:
            first = PreActBlock(n_in, width, 1 if stage == "layer1" else 2)
            rest = [PreActBlock(4 * width, width, 1) for _ in range(blocks - 1)]
            setattr(self, stage, nn.Sequential(first, *rest))
            n_in = 4 * width
        self.bn_out = nn.BatchNorm2d(n_in)


class Trunk(nn.Module):
    """A residual network without its head, ``[N, 3, H, W] -> [N, C, h, w]``."""

    def __init__(self, stem: Iterable[nn.Module], stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.stem = nn.Sequential(*stem)
        self.stages = nn.ModuleList(stages)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Compute the feature map after each stage."""
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:  # [N, 3, H, W] -> [N, C, h, w]
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return x

    def path(self) -> list[tuple[int, int]]:
        """List side and stride of each window on the longest path, from input to output."""
        windows = []
        for name, part in self.named_modules():
            if isinstance(part, nn.Conv2d | nn.MaxPool2d) and "downsample" not in name:
                sides = (part.kernel_size, part.stride)
                windows.append(tuple(s if isinstance(s, int) else s[0] for s in sides))
        return windows


def take_trunk(network: nn.Module, held: int, keep: int) -> Trunk:
    """Take the parts of a residual network up to a stage.

    The network cannot be used afterwards.

    Args:
        network: one of torchvision's ``ResNet``, a ``CifarResNet`` or a ``PreActResNet``.
        held: how many stages it has.
        keep: how many to take.
    """
    stages = [getattr(network, name) for name in STAGES[:held]]
    if isinstance(network, CifarResNet):
        stem = [network.conv1, network.bn1, nn.ReLU(inplace=True)]
    elif isinstance(network, PreActResNet):
        stem = [
            network.bn_in,
            network.conv1,
            network.bn1,
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        ]
        norms = [stage[0].bn1 for stage in stages] + [network.bn_out]
        for stage in stages:
            # A stage begins with batch norm and relu, and reads nothing else of what is before
            # these, as its shortcut is a convolution. They are put at the end of the part before,
            # so that every stage ends activated, wherever the network is cut.
            stage[0].bn1 = None
        stem += [norms[0], nn.ReLU(inplace=True)]
        pairs = zip(stages, norms[1:], strict=True)
        stages = [nn.Sequential(*stage, norm, nn.ReLU(inplace=True)) for stage, norm in pairs]
    else:
        stem = [network.conv1, network.bn1, network.relu, network.maxpool]
    return Trunk(stem, stages[:keep])


def initialise(network: nn.Module) -> None:
    """Draw convolutions as He et al. 2015 do (arXiv 1502.01852), with the fan of their outputs."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")


class Average(nn.Module):
    """Global average pooling."""

    def forward(self, x: Tensor) -> Tensor:  # [N, C, h, w] -> [N, C]
        return x.mean((2, 3))


class Pyramid(nn.Module):
    """Spatial pyramid pooling: the largest values in 4x4, 2x2 and 1x1 bins (arXiv 1406.4729).

    Bins overlap where their number does not divide the map's side, as in the paper's appendix.
    """

    def forward(self, x: Tensor) -> Tensor:  # [N, C, h, w] -> [N, 21 C]
        levels = [nn.functional.adaptive_max_pool2d(x, bins).flatten(1) for bins in PYRAMID]
        return torch.cat(levels, 1)


class Renormalise(nn.Module):
    """Input normalised by one mean and standard deviation per channel, as another asks for.

    Args:
        given: mean and standard deviation ``[3]`` that the input was normalised by.
        wanted: those that the network was trained with.
    """

    def __init__(self, given: Sequence[Sequence[float]], wanted: Sequence[Sequence[float]]) -> None:
        super().__init__()
        old, new = torch.tensor(given), torch.tensor(wanted)
        self.register_buffer("scale", (old[1] / new[1])[:, None, None])
        self.register_buffer("offset", ((old[0] - new[0]) / new[1])[:, None, None])

    def forward(self, x: Tensor) -> Tensor:  # [N, 3, H, W] -> the same
        return x * self.scale + self.offset
