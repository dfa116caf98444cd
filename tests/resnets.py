"""Residual networks with random weights, written from their descriptions, and files of them."""

import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import save_file
from torch import nn
from torchvision.models import feature_extraction


def randomise(network):
    """Weights by which every input matters, and batch norms that no formula can leave out unseen.

    Many networks start from weights under which the input is lost on its way to the output.
    """
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight)
        if isinstance(part, nn.BatchNorm2d):
            part.weight.data.uniform_(0.5, 1.5)
            part.bias.data.normal_(0, 0.1)
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
    return network.eval()


def images(*shape):
    return torch.randn(2, 3, *shape, dtype=torch.float64)


def up_to(state, stages):
    """What a file holds of a network that ends after a stage."""
    later = (*(f"layer{i}." for i in range(stages + 1, 5)), "fc.", "linear.")
    return {key: tensor for key, tensor in state.items() if not key.startswith(later)}


def save(state, path):
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return str(path)


def stage_outputs(network, x):
    """Global averages after each stage of one of torchvision's ResNets, by its own tracer."""
    names = [f"layer{k}" for k in range(1, 5)]
    maps = feature_extraction.create_feature_extractor(network, names)(x)
    return [maps[name].mean((2, 3)) for name in names]


def norm(x, state, name):
    running = (state[f"{name}.running_mean"], state[f"{name}.running_var"])
    return F.batch_norm(x, *running, state[f"{name}.weight"], state[f"{name}.bias"])


def cifar_stages(x, state, blocks):
    """He et al. 2016, section 4.2, shortcuts of option A: the feature map after each stage."""
    x = F.relu(norm(F.conv2d(x, state["conv1.weight"], padding=1), state, "bn1"))
    for stage in (1, 2, 3):
        for i in range(blocks):
            name = f"layer{stage}.{i}"
            stride = 2 if stage > 1 and i == 0 else 1
            y = F.conv2d(x, state[f"{name}.conv1.weight"], stride=stride, padding=1)
            y = F.relu(norm(y, state, f"{name}.bn1"))
            y = norm(F.conv2d(y, state[f"{name}.conv2.weight"], padding=1), state, f"{name}.bn2")
            shortcut = torch.zeros_like(y)
            before = (y.shape[1] - x.shape[1]) // 2
            shortcut[:, before : before + x.shape[1]] = x[..., ::stride, ::stride]
            x = F.relu(y + shortcut)
        yield x


def preact_stages(x, state, held):
    """The description beside the weights: the feature map after each stage, activated."""
    x = F.conv2d(norm(x, state, "bn_in"), state["conv1.weight"], stride=2, padding=3)
    x = F.max_pool2d(F.relu(norm(x, state, "bn1")), 3, 2, 1)
    for stage, blocks in enumerate((3, 4, 6, 3)[:held], 1):
        for i in range(blocks):
            name = f"layer{stage}.{i}"
            stride = 2 if stage > 1 and i == 0 else 1
            a = F.relu(norm(x, state, f"{name}.bn1"))
            down = state.get(f"{name}.downsample.0.weight")
            shortcut = x if down is None else F.conv2d(a, down, stride=stride)
            y = F.relu(norm(F.conv2d(a, state[f"{name}.conv1.weight"]), state, f"{name}.bn2"))
            y = F.conv2d(y, state[f"{name}.conv2.weight"], stride=stride, padding=1)
            y = F.relu(norm(y, state, f"{name}.bn3"))
            x = F.conv2d(y, state[f"{name}.conv3.weight"]) + shortcut
        after = "bn_out" if stage == held else f"layer{stage + 1}.0.bn1"
        yield F.relu(norm(x, state, after))
