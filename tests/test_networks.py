"""Residual networks whole and cut, their heads and receptive fields; real weights."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
import torchvision
from PIL import Image
from resnets import cifar_stages, images, preact_stages, randomise, save, stage_outputs, up_to
from safetensors.torch import load_file
from torch import nn

from studies.models import MEAN, STD, open_backbone, receptive_field
from studies.networks import CifarResNet, PreActResNet


@pytest.fixture
def resnet18(rng):
    return randomise(torchvision.models.resnet18(num_classes=7))


# torchvision's, in float64, so that only a wrong formula makes a difference.


@pytest.mark.parametrize(("name", "suffix"), [("resnet18", ".safetensors"), ("resnet50", ".pth")])
def test_resnets_from_files_are_torchvisions(tmp_path, rng, name, suffix):
    reference = randomise(torchvision.models.get_model(name))
    state = reference.state_dict()
    whole = save(state, tmp_path / f"whole{suffix}")
    x = images(40, 56)
    wanted = stage_outputs(reference.double(), x)
    for stages, features in enumerate(wanted, 1):
        part = save(up_to(state, stages), tmp_path / f"part{suffix}")
        for backbone in (open_backbone(whole, stages), open_backbone(part)):
            torch.testing.assert_close(backbone.double()(x), features)
            assert (backbone.name, backbone.stages) == (name, stages)
            assert (backbone.width, backbone.stride) == (features.shape[1], 2 ** (stages + 1))
    backbone = open_backbone(whole).double()
    torch.testing.assert_close(backbone.classifier(backbone(x)), reference(x))


@pytest.mark.parametrize("name", ["resnet34", "resnet101", "resnet152"])
def test_deeper_resnets_are_recognised(tmp_path, rng, name):
    reference = randomise(torchvision.models.get_model(name))
    path = save(up_to(reference.state_dict(), 3), tmp_path / "w.pth")
    backbone = open_backbone(path).double()
    x = images(16, 24)
    torch.testing.assert_close(backbone(x), stage_outputs(reference.double(), x)[2])
    assert (backbone.name, backbone.stages) == (name, 3)


def test_a_cut_network_has_no_classifier(tmp_path, resnet18):
    state = resnet18.state_dict()
    path = save(state, tmp_path / "w.pth")
    assert open_backbone(path).classifier.out_features == 7
    assert open_backbone(path, 4).classifier.out_features == 7
    assert open_backbone(path, 3).classifier is None
    assert open_backbone(path, head="spp").classifier is None
    assert open_backbone(path, trained=False).classifier is None
    # Several layers, as fine-tuned networks may have, cannot be told from their names.
    several = {k.replace("fc.", "fc.1."): v for k, v in state.items()}
    several["fc.0.weight"] = torch.ones(512, 512)
    assert open_backbone(save(several, tmp_path / "w.pth")).classifier is None
    without_end = {k: v for k, v in state.items() if not k.startswith("layer4.")}
    assert open_backbone(save(without_end, tmp_path / "w.pth")).classifier is None


def test_stage_features_are_those_of_cut_networks(tmp_path, resnet18):
    path = save(resnet18.state_dict(), tmp_path / "w.pth")
    x = torch.randn(2, 3, 33, 47)
    every = open_backbone(path).stage_features(x)
    assert len(every) == 4
    for k, features in enumerate(every, 1):
        cut = open_backbone(path, k)
        assert torch.equal(features, cut(x))
        assert torch.equal(cut.stage_features(x)[-1], features)


def test_pyramid_takes_the_largest_of_each_bin(tmp_path, resnet18):
    path = save(resnet18.state_dict(), tmp_path / "w.pth")
    for stages, sides in ((3, (96, 112)), (3, (48, 83)), (2, (64, 9))):  # 6x7, 3x6 and 8x2 maps
        backbone = open_backbone(path, stages, "spp")
        x = torch.randn(2, 3, *sides)
        at = backbone.trunk(x)
        h, w = at.shape[-2:]
        # Bins as in appendix A of He et al. 2014: from the floor to the ceiling.
        wanted = []
        for n in (4, 2, 1):
            bins = [
                at[
                    :,
                    :,
                    math.floor(i * h / n) : math.ceil((i + 1) * h / n),
                    math.floor(j * w / n) : math.ceil((j + 1) * w / n),
                ].amax((2, 3))
                for i in range(n)
                for j in range(n)
            ]
            wanted.append(torch.stack(bins, 2).flatten(1))
        assert torch.equal(backbone(x), torch.cat(wanted, 1))
        assert backbone.width == 21 * at.shape[1]


# Networks that torchvision lacks, against functions written from their descriptions.


def compare_stages(path, maps, classifier=None):
    """Whole and cut networks of a file beside the maps of a function of its state_dict."""
    load = load_file if path.endswith(".safetensors") else torch.load
    x = images(36, 45)
    state = {k: v.double() for k, v in load(path).items() if v.is_floating_point()}
    wanted = [y.mean((2, 3)) for y in maps(x, state)]
    every = open_backbone(path).double().stage_features(x)
    for k, features in enumerate(wanted, 1):
        torch.testing.assert_close(every[k - 1], features)
        cut = open_backbone(path, k)
        torch.testing.assert_close(cut.double()(x), features)
        assert (cut.stages, cut.width) == (k, features.shape[1])
    whole = open_backbone(path).double()
    torch.testing.assert_close(whole(x), wanted[-1])
    if classifier:
        weight, bias = (state[f"{classifier}.{part}"] for part in ("weight", "bias"))
        torch.testing.assert_close(whole.classifier(whole(x)), wanted[-1] @ weight.T + bias)
    return whole


@pytest.mark.parametrize("blocks", [1, 3, 5])
def test_cifar_resnets_are_as_described(tmp_path, rng, blocks):
    path = save(randomise(CifarResNet(blocks, 9)).state_dict(), tmp_path / "w.pth")
    whole = compare_stages(path, lambda x, s: cifar_stages(x, s, blocks), "linear")
    assert (whole.name, whole.stages, whole.stride) == (f"cifar_resnet{6 * blocks + 2}", 3, 4)


@pytest.mark.parametrize("held", [2, 3, 4])
def test_preactivation_resnets_are_as_described(tmp_path, rng, held):
    state = randomise(PreActResNet(held)).state_dict()
    halves = {k: v.half() if v.ndim == 4 else v for k, v in state.items()}
    path = save(halves, tmp_path / "w.safetensors")
    whole = compare_stages(path, lambda x, s: preact_stages(x, s, held))
    assert (whole.name, whole.stages, whole.stride) == ("resnet50v2", held, 2 ** (held + 1))
    assert {p.dtype for p in open_backbone(path).parameters()} == {torch.float32}


# Receptive fields.


def reach(backbone, side):
    """How many columns of the input a place in the middle of the last map depends on.

    All weights are positive, so that nothing cancels, and windows take the mean, not the largest.
    """
    network = copy.deepcopy(backbone.trunk).double()
    for part in network.modules():
        for name, child in part.named_children():
            if isinstance(child, nn.MaxPool2d):
                setattr(part, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding))
        if isinstance(part, nn.Conv2d):
            part.weight.data.fill_(1 / part.weight[0].numel())
    x = torch.ones(1, 3, backbone.stride, side, dtype=torch.float64, requires_grad=True)
    features = network(x)
    features[..., features.shape[-1] // 2].sum().backward()
    columns = x.grad.sum((0, 1, 2)).nonzero().flatten()
    assert columns[0] > 0
    assert columns[-1] < side - 1
    return (columns[-1] - columns[0] + 1).item()


@pytest.mark.parametrize("name", ["cifar_resnet20", "resnet18", "resnet50", "resnet50v2"])
def test_receptive_fields_are_those_of_gradients(name):
    for stages in (1, 2, 3, 4)[: 3 if name.startswith("cifar") else 4]:
        backbone = open_backbone(name, stages, trained=False)
        field = receptive_field(backbone)
        side = -(-(2 * field + 2 * backbone.stride) // backbone.stride) * backbone.stride
        assert reach(backbone, side) == field, stages


# Real weights and photographs.


def read_val(folder, classes, count):
    """Normalised images ``[classes * count, 3, H, W]`` of a folder per class, and labels."""
    files = [
        path
        for name in sorted(p.name for p in folder.iterdir())[:classes]
        for path in sorted((folder / name).iterdir())[:count]
    ]
    to_tensor = torchvision.transforms.functional.to_tensor
    pixels = torch.stack([to_tensor(Image.open(path).convert("RGB")) for path in files])
    x = torchvision.transforms.functional.normalize(pixels, MEAN, STD)
    return x, torch.arange(classes).repeat_interleave(count)


def test_real_preactivation_features_tell_classes_apart(shared):
    path = str(shared / "weights" / "resnet50v2_imagenet_to_layer3.safetensors")
    whole = compare_stages(path, lambda x, s: preact_stages(x, s, 3))
    assert (whole.name, whole.width, whole.stride) == ("resnet50v2", 1024, 16)
    folder = shared / "data" / "imagenette224"
    backbone = open_backbone(path)
    (x, labels), (y, wanted) = (read_val(folder / part, 4, 12) for part in ("train", "val"))
    features, others = (F.normalize(backbone(part[..., 48:176, 48:176])) for part in (x, y))
    centres = torch.stack([features[labels == i].mean(0) for i in range(4)])
    right = (torch.cdist(others, centres).argmin(1) == wanted).float().mean()
    # Chance is 25 %, and guessing would get 60 % of 48 right once in ten million times.
    assert right > 0.6


@pytest.mark.parametrize("layers", [20, 32, 44, 56])
def test_real_cifar_networks_know_cifar(shared, layers):
    path = str(shared / "weights" / f"cifar_resnet{layers}.pth")
    blocks = (layers - 2) // 6
    whole = compare_stages(path, lambda x, s: cifar_stages(x, s, blocks), "linear")
    assert whole.name == f"cifar_resnet{layers}"
    backbone = open_backbone(path)
    x, labels = read_val(shared / "data" / "cifar10jpeg" / "val", 10, 10)
    right = (backbone.classifier(backbone(x)).argmax(1) == labels).float().mean()
    # Published are 92 to 94 % of images that were not saved as JPEG.
    assert right > 0.75
