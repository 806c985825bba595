"""AlexNet, VGG-16, ResNet-50 and Inception v3 beside torchvision's own models."""

import importlib
from pathlib import Path

import pytest
import torch
from random_networks import noise, randomise
from torch import Tensor, nn

from detector.errors import ConfigError
from detector.networks.backbones import backbone_facts, make_backbone
from detector.networks.backbones.base import Variant
from detector.networks.layer_table import describe, total
from detector.networks.preprocessing import IMAGENET, TORCHVISION, Preprocessing
from detector.networks.region_classifier import RegionClassifier
from detector.networks.weight_files import weights
from detector.networks.weight_files.weights import load_model, load_pretrained

models = pytest.importorskip("torchvision.models")

VARIANTS = ["alexnet", "vgg16", "resnet50", "inception_v3"]


def torchvision_model(variant: Variant) -> nn.Module:
    """torchvision's own, with random numbers; made without memory first, as its initialisation takes long."""
    settings = {
        "vgg16": {"init_weights": False},
        "inception_v3": {"init_weights": False, "transform_input": True},
    }
    with torch.device("meta"):
        network: nn.Module = models.get_model(variant, weights=None, **settings.get(variant, {}))
    network.to_empty(device="cpu")
    randomise(network)
    return network.eval()


def prepared(pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    mean, scale = (torch.tensor(each)[:, None, None] for each in (preprocessing.mean, preprocessing.scale))
    return (pixels - mean) / scale


@torch.inference_mode()
@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_are_torchvision_s_by_its_weights(variant: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = torchvision_model(variant)
    monkeypatch.setattr(weights, "load_torch", lambda path, what: theirs.state_dict())
    with torch.device("meta"):
        ours = RegionClassifier(make_backbone(variant), 1000).eval()
    preprocessing = load_pretrained(ours, Path("published.pth"))
    assert preprocessing == (TORCHVISION if variant == "inception_v3" else IMAGENET)
    pixels = torch.rand(2, 3, *[backbone_facts(variant).smallest] * 2) * 255
    wanted = theirs(prepared(pixels, IMAGENET))
    torch.testing.assert_close(ours(prepared(pixels, preprocessing)), wanted, rtol=1e-3, atol=1e-3)


def test_a_file_is_known_by_its_layers(tmp_path: Path) -> None:
    theirs = torchvision_model("resnet50")
    torch.save(theirs.state_dict(), tmp_path / "any.pth")
    network, preprocessing, _ = load_model(tmp_path / "any.pth")
    assert (network.backbone.variant, preprocessing) == ("resnet50", IMAGENET)
    crops = noise(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network(crops), theirs(crops), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_parameters_and_operations_are_those_that_torchvision_publishes(variant: Variant) -> None:
    published = models.get_model_weights(variant).IMAGENET1K_V1.meta
    whole = total(describe(variant))
    auxiliary = 3_326_696 if variant == "inception_v3" else 0  # of its auxiliary classifier
    assert whole.parameters == published["num_params"] - auxiliary
    assert whole.multiply_adds / 1e9 == pytest.approx(published["_ops"], rel=2e-3)


@pytest.mark.parametrize("variant", ["alexnet", "vgg16"])
def test_features_of_two_crops_are_those_of_fc7_of_each(variant: Variant) -> None:
    with torch.device("meta"):
        network = RegionClassifier(make_backbone(variant), 5, crops=2).eval()
        size = backbone_facts(variant).smallest
        last_map = network.last_map(torch.empty(3, 6, size, size))
        assert last_map.shape == (3, 2 * network.backbone.facts.channels, 1, 1)
        assert network.pool(last_map).shape == (3, 2 * 4096)


def test_the_layers_of_features_are_those_that_maps_do_without() -> None:
    backbone = make_backbone("alexnet")
    backbone(torch.zeros(1, 3, 64, 64)).sum().backward()
    without = {id(each) for each in backbone.parameters() if each.grad is None}
    assert without == {id(each) for layers in backbone.feature_layers() for each in layers.parameters()}


def test_without_torchvision_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    wanted = "^network.variant=vgg16 must have the package torchvision, got .*; repair: pip install torchvision$"
    with pytest.raises(ConfigError, match=wanted):
        backbone_facts("vgg16")
        make_backbone("vgg16")
