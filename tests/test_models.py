"""The studies' networks: pretraining, classifiers by name, fresh weights, what callers do."""

import copy
import dataclasses
import functools
import json
import math
import pickle

import pytest
import torch
import torchvision
from resnets import images, randomise, save, stage_outputs, up_to
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torchvision.transforms import _presets

from studies import pretrain
from studies.models import MEAN, STD, open_backbone

# Pretraining.


def test_checkpoint_is_what_pretrain_writes_now():
    with safe_open(pretrain.CHECKPOINT, "pt") as stream:
        header = json.loads(stream.metadata()["training"])
    now = dataclasses.asdict(pretrain.Config())
    assert header["config"] == {k: v for k, v in now.items() if k != "out"}
    assert header["torch"]
    state = load_file(pretrain.CHECKPOINT)
    network = pretrain.CifarResNet(3, pretrain.CLASSES)
    network.load_state_dict(state)
    assert 0.26e6 < sum(p.numel() for p in network.parameters()) < 0.29e6
    claimed = header["accuracy"]
    measured = pretrain.accuracy(network.eval(), pretrain.Config().seed + 1)
    # Other processors round differently, which may turn a few of the images.
    assert measured == pytest.approx(claimed, abs=0.01)
    assert min(claimed.values()) > 0.9


def test_pretraining_is_reproducible(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pretrain, "accuracy", lambda network, seed: {"shapes": 0.5})
    config = pretrain.Config(steps=2, batch=8, out=tmp_path / "sub" / "a.safetensors")
    first = pretrain.run(config).read_bytes()
    assert pretrain.run(config).read_bytes() == first
    other = pretrain.run(dataclasses.replace(config, seed=1)).read_bytes()
    assert other != first
    assert "top-1" in capsys.readouterr().out


# Classifiers by name, with random weights in float64, so that only a wrong formula differs.


@pytest.fixture
def resnet18(rng):
    return randomise(torchvision.models.resnet18(num_classes=7))


@pytest.fixture
def named(monkeypatch):
    """Returns the network whose random weights torchvision's names stand for from then on."""

    def build(name, **options):
        network = randomise(torchvision.models.get_model(name, **options)).double()
        state = copy.deepcopy(network).float().state_dict()
        network.load_state_dict(state)

        def get_state_dict(self, *args, check_hash=False, **kwargs):
            assert check_hash
            return state

        monkeypatch.setattr(torchvision.models.WeightsEnum, "get_state_dict", get_state_dict)
        return network

    return build


@pytest.mark.parametrize(
    "weights",
    [
        "ResNet18_Weights.DEFAULT",
        "ResNeXt50_32X4D_Weights.IMAGENET1K_V1",
        "MobileNet_V3_Small_Weights.IMAGENET1K_V1",
        "ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1",
        "EfficientNet_B0_Weights.IMAGENET1K_V1",
        "Swin_T_Weights.IMAGENET1K_V1",
        "ConvNeXt_Tiny_Weights.IMAGENET1K_V1",
        "DenseNet121_Weights.IMAGENET1K_V1",
    ],
)
def test_classifiers_by_name_are_torchvisions(named, rng, weights):
    name = weights.partition("_Weights")[0].lower()
    reference = named(name)
    backbone = open_backbone(weights).double()
    x = images(64, 70)
    features = backbone(x)
    torch.testing.assert_close(backbone.classifier(features), reference(x))
    assert features.shape == (2, backbone.width)
    assert backbone.name == name
    assert (backbone.stages is None) == (not name.startswith("res"))


def test_resnets_by_name_are_cut(named, rng):
    reference = named("wide_resnet50_2")
    x = images(32, 40)
    backbone = open_backbone("Wide_ResNet50_2_Weights.IMAGENET1K_V2", 2).double()
    torch.testing.assert_close(backbone(x), stage_outputs(reference, x)[1])


@pytest.mark.parametrize("kind", ["GoogLeNet", "Inception_V3"])
def test_auxiliary_classifiers_are_left_out(named, rng, kind):
    reference = named(kind.lower(), init_weights=True, transform_input=True)
    backbone = open_backbone(f"{kind}_Weights.IMAGENET1K_V1").double()
    x = images(80, 80)
    torch.testing.assert_close(backbone.classifier(backbone(x)), reference(x))
    assert isinstance(backbone.train()(x), torch.Tensor)


@pytest.mark.parametrize(("name", "deviation"), [("googlenet", 0.01), ("inception_v3", 0.1)])
def test_fresh_networks_with_auxiliary_classifiers(rng, name, deviation):
    backbone = open_backbone(name, trained=False)
    assert isinstance(backbone.train()(torch.randn(2, 3, 80, 80)), torch.Tensor)
    first = next(p for p in backbone.parameters() if p.ndim == 4)
    # As torchvision draws them. The deviation of n normal numbers has one of 1 / sqrt(2 n) itself.
    spread = 7 / math.sqrt(2 * first.numel())
    assert first.std().item() == pytest.approx(deviation, rel=spread)


def test_input_is_normalised_as_the_weights_were_trained(named, rng, monkeypatch):
    reference = named("mobilenet_v3_small")
    weights = torchvision.models.MobileNet_V3_Small_Weights.IMAGENET1K_V1
    other = {"mean": (0.5, 0.4, 0.3), "std": (0.5, 0.6, 0.7)}
    preset = functools.partial(_presets.ImageClassification, crop_size=224, **other)
    monkeypatch.setattr(weights.value, "transforms", preset)
    backbone = open_backbone(str(weights)).double()
    pixels = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    normalise = torchvision.transforms.functional.normalize
    got = backbone.classifier(backbone(normalise(pixels, MEAN, STD)))
    # The constants are float32.
    wanted = reference(normalise(pixels, **other))
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


def classifiers():
    """The first architecture of each of torchvision's files, and one of each other kind."""
    first = {}
    for name in torchvision.models.list_models(module=torchvision.models):
        first.setdefault(torchvision.models.get_model_builder(name).__module__, name)
    others = ("efficientnet_v2_s", "resnext50_32x4d", "swin_v2_t", "vit_b_32")
    names = {*first.values(), *others} - {"squeezenet1_0"}  # which has no linear layer
    # The first RegNet is large, and its kind needs memory to be built.
    return [*sorted(n for n in names if not n.startswith("regnet")), "regnet_x_400mf"]


@pytest.mark.parametrize("name", classifiers())
def test_every_classifier_takes_the_side_that_it_states(name):
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        backbone = open_backbone(name, trained=False)
        side = backbone.stride
        x = torch.empty(1, 3, side, side)
        assert backbone(x).shape == (1, backbone.width)
        with pytest.raises(ValueError, match=rf"^sizes: {name} .*{side} px a side"):
            backbone(x[..., 1:])
        if side == 32:
            return
        # Others have a rule of their own, without which they would fail in their own words.
        less = torch.empty(1, 3, side // 2, side // 2) if backbone.side else x[..., 1:, 1:]
        with pytest.raises((RuntimeError, AssertionError)):
            backbone.trunk(less)
        if backbone.side:
            with pytest.raises(ValueError, match="only, got 256"):
                backbone.check_side(256)


# Fresh weights.


def test_fresh_torchvision_networks_are_torchvisions():
    torch.manual_seed(5)
    reference = torchvision.models.resnet18().eval()
    torch.manual_seed(5)
    backbone = open_backbone("resnet18", 3, trained=False)
    x = images(32, 32)
    wanted = stage_outputs(reference.double(), x)[2]
    torch.testing.assert_close(backbone.double()(x), wanted)


@pytest.mark.parametrize("name", ["cifar_resnet20", "resnet50v2"])
def test_fresh_convolutions_are_drawn_as_he_et_al_do(rng, name):
    backbone = open_backbone(name, trained=False)
    for part in backbone.modules():
        if isinstance(part, nn.Conv2d):
            fan = part.out_channels * part.kernel_size[0] ** 2
            mean_square = (part.weight**2).mean().item() * fan / 2
            # Chi-squared over its n degrees of freedom has a standard deviation of sqrt(2 / n).
            assert mean_square == pytest.approx(1, abs=7 * math.sqrt(2 / part.weight.numel()))
    assert backbone.width == {"cifar_resnet20": 64, "resnet50v2": 2048}[name]
    assert backbone.classifier is None


def test_fresh_weights_from_a_file_have_its_layout_only(tmp_path, resnet18):
    state = up_to(resnet18.state_dict(), 2)
    path = save(state, tmp_path / "w.pth")
    one, two = open_backbone(path, trained=False), open_backbone(path, trained=False)
    assert (one.name, one.stages) == ("resnet18", 2)
    first = [next(network.parameters()) for network in (one, two, open_backbone(path))]
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])
    assert torch.equal(first[2], state["conv1.weight"])


def test_names_download_nothing_for_fresh_weights(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr(torchvision.models.WeightsEnum, "get_state_dict", refuse)
    backbone = open_backbone("ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1", trained=False)
    assert (backbone.name, backbone.width) == ("shufflenet_v2_x0_5", 1024)
    assert backbone.classifier is None


def test_digests_say_which_weights(tmp_path, resnet18):
    state = resnet18.state_dict()
    path = save(state, tmp_path / "a.pth")
    backbone = open_backbone(path)
    same = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    assert open_backbone(save(same, tmp_path / "b.safetensors")).digest == backbone.digest
    assert len({open_backbone(path, k).digest for k in (1, 2, 3, 4)} | {backbone.digest}) == 4
    state["layer2.0.bn1.running_var"][3] += 1e-6
    assert open_backbone(save(state, tmp_path / "c.pth")).digest != backbone.digest
    assert open_backbone(path, 1).digest == open_backbone(str(tmp_path / "c.pth"), 1).digest
    # A fresh network is found again by its architecture, whatever was drawn.
    fresh = {open_backbone(path, trained=False).digest for _ in range(2)}
    other = open_backbone("cifar_resnet20", trained=False)
    assert len(fresh | {other.digest, backbone.digest}) == 3


# What callers do with a network.


def test_trained_networks_draw_nothing(tmp_path, resnet18):
    path = save(resnet18.state_dict(), tmp_path / "w.pth")
    before = torch.get_rng_state()
    open_backbone(path)
    assert torch.equal(torch.get_rng_state(), before)
    open_backbone(path, trained=False)
    assert not torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["cifar_resnet8", "resnet50v2", "resnet18", "mobilenet_v3_small"])
def test_networks_can_be_trained_copied_and_pickled(rng, name):
    backbone = open_backbone(name, trained=False)
    assert not any(part.training for part in backbone.modules())
    assert not any(p.requires_grad for p in backbone.parameters())
    kernels = [p for p in backbone.parameters() if p.ndim == 4]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)
    x = torch.randn(4, 3, 64, 64)
    wanted = backbone(x)
    for twin in (copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone))):
        assert torch.equal(twin(x), wanted)
        assert (twin.digest, twin.width, twin.stride) == (
            backbone.digest,
            backbone.width,
            backbone.stride,
        )
        twin.train().requires_grad_(True)
        twin(x).square().sum().backward()
        assert all(p.grad is not None for p in twin.parameters())
        torch.optim.SGD(twin.parameters(), 0.1).step()
        assert not torch.equal(twin.eval()(x), wanted)
    assert torch.equal(backbone(x), wanted)


def test_the_classifier_moves_along_but_is_not_trained(tmp_path, resnet18):
    backbone = open_backbone(save(resnet18.state_dict(), tmp_path / "w.pth"))
    inside = {id(p) for p in backbone.parameters()}
    assert not inside & {id(p) for p in backbone.classifier.parameters()}
    backbone.train().requires_grad_(True)
    assert not any(p.requires_grad for p in backbone.classifier.parameters())
    assert backbone.double().classifier.weight.dtype == torch.float64
    twin = copy.deepcopy(backbone)
    assert twin.classifier is not backbone.classifier
    assert torch.equal(twin.classifier.weight, backbone.classifier.weight)
