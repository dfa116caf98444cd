"""The studies' networks: pretraining, and weights from files."""

import dataclasses
import json

import pytest
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from studies import pretrain
from studies.models import build_backbone, read_state


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


@pytest.fixture(scope="module")
def resnet18():
    torch.manual_seed(0)
    return torchvision.models.resnet18().eval()


@pytest.mark.parametrize("stages", [1, 3, 4])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_whole_or_up_to_a_stage(tmp_path, resnet18, stages, suffix):
    later = tuple(f"layer{i}." for i in range(stages + 1, 5)) + ("fc.",) * (stages < 4)
    state = {k: v for k, v in resnet18.state_dict().items() if not k.startswith(later)}
    path = tmp_path / f"weights{suffix}"
    torch.save(state, path) if suffix == ".pth" else save_file(state, path)
    network = build_backbone(read_state(str(path)), str(path))
    x = torch.randn(2, 3, 40, 56)
    r = resnet18
    y = r.maxpool(r.relu(r.bn1(r.conv1(x))))
    for stage in (r.layer1, r.layer2, r.layer3, r.layer4)[:stages]:
        y = stage(y)
    torch.testing.assert_close(network(x), y.mean((2, 3)), rtol=1e-4, atol=1e-5)
    assert not any(p.requires_grad for p in network.parameters())


def test_bottleneck_layouts_are_recognised():
    reference = torchvision.models.resnet50()
    state = {k: v for k, v in reference.state_dict().items() if not k.startswith("layer4.")}
    assert build_backbone(state, "memory")(torch.randn(1, 3, 32, 32)).shape == (1, 1024)


def without(state, key):
    return {k: v for k, v in state.items() if k != key}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: without(s, "layer2.0.conv1.weight"), "missing: layer2.0.conv1.weight"),
        (lambda s: s | {"layer9.x": torch.zeros(1)}, "unexpected: layer9.x"),
        (lambda s: s | {"bn1.bias": torch.zeros(3)}, r"wrong shape: bn1.bias \(3,\) for \(64,\)"),
        (lambda s: {"a": torch.zeros(1)}, "not a ResNet state_dict.*its keys are a"),
        (
            lambda s: {k: v for k, v in s.items() if not k.startswith("layer3.1")},
            r"missing: layer3.1.conv1.weight.* more",
        ),
    ],
)
def test_wrong_weights_name_their_keys(resnet18, change, words):
    with pytest.raises(ValueError, match=words):
        build_backbone(change(resnet18.state_dict()), "w.pth")
