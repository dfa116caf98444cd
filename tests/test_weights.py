"""Weights as checkpoints come, and one clear line for each that cannot be used."""

import pickle
import zipfile

import pytest
import torch
import torchvision
from resnets import images, randomise, up_to
from safetensors.torch import save_file
from torch import nn

from studies.models import open_backbone
from studies.networks import CifarResNet


@pytest.fixture
def network(rng):
    """A small one; what is checked here is the same for all that files hold."""
    return randomise(CifarResNet(1, 3))


@pytest.fixture
def state(network):
    return dict(network.state_dict())


@pytest.fixture
def refuse(tmp_path):
    """Returns a function that opens a file of that content, and gives the words of the error."""

    def words(content, name="w.pth", **options):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif path.suffix == ".safetensors":
            save_file(content, path)
        else:
            torch.save(content, path)
        with pytest.raises(ValueError, match=r"^(weights|stages|head): ") as caught:
            open_backbone(str(path), **options)
        text = str(caught.value)
        assert "\n" not in text
        assert str(path) in text
        return text

    return words


def assert_same(backbone, network):
    """Both give the same logits, in float64, so that only other weights make a difference."""
    x = images(32, 40)
    backbone.double()
    torch.testing.assert_close(backbone.classifier(backbone(x)), network.double()(x))


def data_parallel(network):
    return nn.DataParallel(network).state_dict()


def compiled(network):
    return torch.compile(network).state_dict()


def both(network):
    return nn.DataParallel(torch.compile(network)).state_dict()


@pytest.mark.parametrize("key", [None, "state_dict", "model", "model_state_dict"])
@pytest.mark.parametrize("wrap", [nn.Module.state_dict, data_parallel, compiled, both])
def test_checkpoints_as_they_come(tmp_path, network, key, wrap):
    state = wrap(network)
    path = tmp_path / "checkpoint.pth.tar"
    beside = {"epoch": 3, "arch": "resnet8", "optimizer": {"state": {}}, "best_acc1": 0.5}
    torch.save(state if key is None else {key: state} | beside, path)
    assert_same(open_backbone(str(path)), network)


def test_parts_that_were_compiled_are_known(tmp_path, network):
    state = {k.replace("layer2.", "layer2._orig_mod."): v for k, v in network.state_dict().items()}
    torch.save({"model": "resnet8", "model_state_dict": state}, tmp_path / "w.pth")
    assert_same(open_backbone(str(tmp_path / "w.pth")), network)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_computed_in_float32(tmp_path, network, state, dtype):
    torch.save(
        {k: v.to(dtype) if v.dtype.is_floating_point else v for k, v in state.items()},
        tmp_path / "w.pth",
    )
    backbone = open_backbone(str(tmp_path / "w.pth"))
    assert {p.dtype for p in backbone.parameters()} == {torch.float32}
    assert torch.equal(backbone.trunk.stem[0].weight, state["conv1.weight"].to(dtype).float())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"layer2.0.conv1.weight": None},
            "does not fit cifar_resnet8 of 3 stages: missing: layer2.0.co",
        ),
        ({"layer9.x": torch.zeros(1)}, "unexpected: layer9.x"),
        ({"bn1.bias": torch.zeros(3)}, "of the wrong shape: bn1.bias (3,) for (16,)"),
        ({"bn1.bias": torch.zeros(16, dtype=torch.int8)}, "not floating: bn1.bias"),
        ({"bn1.bias": torch.full((16,), torch.nan)}, "holds NaN or infinity in bn1.bias"),
        (
            {"bn1.bias": torch.full((16,), 1e300, dtype=torch.float64)},
            "holds NaN or infinity in bn1.bias",
        ),
        ({"linear.bias": torch.full((3,), torch.inf)}, "holds NaN or infinity in bias"),
        (
            {"linear.weight": torch.zeros(3, 5)},
            "last linear layer: of the wrong shape: weight (3, 5)",
        ),
        ({"linear.bias": torch.zeros(0)}, "last linear layer: of the wrong shape"),
        ({"conv1.weight": None}, "is not a ResNet state_dict: conv1.weight and layer1.* are"),
        ({"conv1.weight": torch.zeros(16, 3, 7, 7)}, "does not fit resnet18 of 3 stages: missing:"),
        ({"conv1.weight": torch.zeros(())}, "does not fit resnet18 of 3 stages: missing:"),
        ({"layer4.0.conv1.weight": torch.zeros(1)}, "3 stages: unexpected: layer4.0.conv1.weight"),
        ({"layer2": torch.zeros(1)}, "unexpected: layer2"),
    ],
)
def test_wrong_weights_name_their_keys(refuse, state, change, words):
    changed = {k: v for k, v in (state | change).items() if v is not None}
    assert words in refuse(changed)


def test_many_wrong_keys_are_counted(refuse, state):
    gone = ("layer2.0.conv1.", "layer2.0.bn1.", "layer2.0.bn2.")
    words = refuse({k: v for k, v in state.items() if not k.startswith(gone)})
    assert "missing: layer2.0.conv1.weight, layer2.0.bn1.weight, " in words
    assert words.endswith(", 3 more")


def test_other_networks_are_refused(refuse):
    mobile = torchvision.models.mobilenet_v3_small().state_dict()
    assert "is not a ResNet state_dict" in refuse(mobile)
    # The names are those of ResNet-50, but not the shapes.
    wide = up_to(torchvision.models.resnext50_32x4d().state_dict(), 1)
    assert "does not fit resnet50 of 1 stages: of the wrong shape: layer1.0.conv1" in refuse(wide)
    # A ResNet-18 with the first convolution of a CIFAR network is neither.
    mixed = up_to(torchvision.models.resnet18().state_dict(), 2)
    mixed["conv1.weight"] = torch.zeros(64, 3, 3, 3)
    assert "does not fit cifar_resnet14 of 2 stages: unexpected: layer2.0.downs" in refuse(mixed)


@pytest.mark.parametrize("content", [[1, 2], {}, {"epoch": 3}, torch.zeros(2), {1: torch.zeros(1)}])
def test_files_without_a_state_dict(refuse, content):
    assert "must hold a state_dict" in refuse(content)


class Planted:
    """Code that a file of pickles could run."""

    def __reduce__(self):
        return print, ("run",)


def test_files_that_need_pickle_are_not_run(refuse, network, state, capsys):
    assert "needs pickle, which may run code, for studies.networks.CifarResNet" in refuse(network)
    assert "needs pickle" in refuse({"state_dict": state, "more": Planted()})
    assert "cannot read" in refuse(pickle.dumps(Planted()))
    assert not capsys.readouterr().out


@pytest.mark.parametrize("content", [b"<html>404</html>", bytes(range(256)) * 9])
def test_files_that_are_no_weights(refuse, content):
    for name in ("w.pth", "w.pt", "w"):
        assert refuse(content, name).endswith(
            ": no torch file, or not only tensors, numbers and text"
        )
    assert "as a state_dict: Error while deserializing header" in refuse(content, "w.safetensors")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_empty_files(refuse, name):
    assert refuse(b"", name).endswith("it is empty")


def test_damaged_files(refuse, tmp_path, state):
    for name in ("whole.pth", "whole.safetensors"):
        path = tmp_path / name
        torch.save(state, path) if path.suffix == ".pth" else save_file(state, path)
        whole = path.read_bytes()
        assert "as a state_dict: " in refuse(whole[: len(whole) // 2], f"half{path.suffix}")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a", "b")
    assert "no torch file" in refuse((tmp_path / "other.zip").read_bytes())


def test_cuts_that_do_not_fit(refuse, state):
    two = up_to(state, 2)
    for stages in (-1, 0, 3):
        words = refuse(two, stages=stages)
        assert words.startswith("stages: expected 1 to 2, which ")
        assert words.endswith(f"got {stages}")


FILE_OR_NAME = r"^weights: expected a file or a torchvision weights name such as .*, got "


@pytest.mark.parametrize(
    ("weights", "options", "words"),
    [
        ("absent.pth", {}, FILE_OR_NAME + "'absent.pth'$"),
        ("", {}, FILE_OR_NAME + "''$"),
        ("x" * 999, {}, FILE_OR_NAME + "'x*'$"),
        ("ResNet18_Weights.FOO", {}, FILE_OR_NAME),
        (".", {}, FILE_OR_NAME + r"'\.', which is a folder$"),
        ("resnet19", {"trained": False}, r"^weights: .*or an architecture such as resnet18, got"),
        ("fcn_resnet50", {"trained": False}, r"^weights: .*or an architecture such as"),
        ("resnet18", {}, r"^weights: resnet18 is an architecture, without weights; give a file"),
        ("resnet50v2", {}, r"^weights: resnet50v2 is an architecture"),
        ("cifar_resnet20", {}, r"^weights: cifar_resnet20 is an architecture"),
        ("cifar_resnet21", {"trained": False}, r"^weights: .* needs N = 8, 14, 20, .*resnet21'$"),
        ("cifar_resnet2", {}, r"^weights: .* needs N = 8, 14, 20, .*resnet2'$"),
        (
            "ResNet18_QuantizedWeights.DEFAULT",
            {},
            r"^weights: ResNet18_Q.* quantized .* give ResNet18_Weights\.IMAGENET1K_V1$",
        ),
        ("FCN_ResNet50_Weights.DEFAULT", {}, r"^weights: FCN.* not those of an image classifier$"),
        ("R3D_18_Weights.DEFAULT", {}, r"^weights: R3D.* not those of an image classifier$"),
        ("squeezenet1_1", {"trained": False}, r"^weights: squeezenet1_1.* no linear layer$"),
        ("vgg11", {"trained": False, "stages": 2}, r"^stages: vgg11 is no ResNet and cannot be"),
        ("VGG11_Weights.DEFAULT", {"stages": 2}, r"^stages: vgg11 is no ResNet and cannot be"),
        ("VGG11_Weights.DEFAULT", {"head": "spp"}, r"^head: vgg11 is no ResNet and keeps its own"),
        ("ResNet18_Weights.DEFAULT", {"stages": 5}, r"^stages: expected 1 to 4, which ResNet18_W"),
        ("resnet18", {"trained": False, "head": "max"}, r"^head: expected one of gap, spp, got 'm"),
    ],
)
def test_names_that_cannot_be_used(tmp_path, monkeypatch, weights, options, words):
    def refuse(*args, **kwargs):
        raise AssertionError("nothing is downloaded")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torchvision.models.WeightsEnum, "get_state_dict", refuse)
    with pytest.raises(ValueError, match=words) as caught:
        open_backbone(weights, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError("no route to host"), "no route to host"),
        (RuntimeError('invalid hash value (expected "ab", got "cd")\nmore'), "invalid hash value"),
        (EOFError(), "EOFError"),
    ],
)
def test_downloads_that_fail(monkeypatch, error, words):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(torchvision.models.WeightsEnum, "get_state_dict", fail)
    with pytest.raises(ValueError, match=rf"^weights: cannot obtain ResNet18_W.*: {words}[^\n]*$"):
        open_backbone("ResNet18_Weights.IMAGENET1K_V1")


def test_published_weights_with_gaps_are_refused(monkeypatch):
    # torchvision has weights of VGG-16 whose last layers are NaN.
    state = torchvision.models.mobilenet_v3_small().state_dict()
    state["classifier.0.bias"][:] = torch.nan
    monkeypatch.setattr(torchvision.models.WeightsEnum, "get_state_dict", lambda *a, **k: state)
    name = "MobileNet_V3_Small_Weights.IMAGENET1K_V1"
    with pytest.raises(ValueError, match=rf"^weights: {name} holds NaN or infinity in classifier"):
        open_backbone(name)


def test_networks_without_stages_say_so():
    backbone = open_backbone("shufflenet_v2_x0_5", trained=False)
    with pytest.raises(ValueError, match=r"^stages: shufflenet_v2_x0_5 is no ResNet"):
        backbone.stage_features(torch.zeros(1, 3, 64, 64))


def test_images_below_the_stride_are_refused(tmp_path, state):
    torch.save(state, tmp_path / "w.pth")
    backbone = open_backbone(str(tmp_path / "w.pth"), 2)
    assert backbone(torch.zeros(1, 3, 2, 2)).shape == (1, 32)
    words = r"^sizes: cifar_resnet8 to stage 2 needs at least 2 px a side, got 1$"
    for call in (backbone, backbone.stage_features):
        with pytest.raises(ValueError, match=words):
            call(torch.zeros(1, 3, 2, 1))
