"""The `torchvision` variant beside torchvision's own network."""

from pathlib import Path

import pytest
import torch
from random_networks import noise, photograph, randomise
from torch import Tensor, nn
from torchvision.models import GoogLeNet as TorchvisionGoogLeNet

from detector.networks.auxiliary import WithAuxiliaryHeads
from detector.networks.backbones import make_backbone
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import IMAGENET, TORCHVISION, normalise
from detector.networks.weight_files.weights import load_heads, load_model, load_pretrained

CLASSES = 7
SIZES = [(224, 224), (97, 201)]


@pytest.fixture(scope="module")
def theirs() -> TorchvisionGoogLeNet:
    """Torchvision's network with auxiliary heads and random numbers everywhere, in eval mode."""
    network = TorchvisionGoogLeNet(CLASSES, aux_logits=True, transform_input=False, init_weights=False)
    randomise(network)
    return network.eval()


@pytest.fixture(scope="module")
def path(theirs: TorchvisionGoogLeNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its state dict, as torchvision publishes it."""
    path = tmp_path_factory.mktemp("weights") / "googlenet.pth"
    torch.save(theirs.state_dict(), path)
    return path


def outputs(network: nn.Module, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return network(images)


@pytest.mark.parametrize("size", SIZES)
def test_a_loaded_model_computes_what_torchvision_does(
    theirs: TorchvisionGoogLeNet, path: Path, size: tuple[int, int]
) -> None:
    ours, preprocessing, metadata = load_model(path)
    assert (ours.backbone.variant, preprocessing, metadata) == ("torchvision", TORCHVISION, {})
    images = noise(2, 3, *size)
    wanted = outputs(theirs, images)
    assert wanted.std() > 0.1
    torch.testing.assert_close(outputs(ours, images), wanted, rtol=1e-5, atol=1e-5)


def test_our_preprocessing_is_torchvision_s_transform_of_its_input(
    theirs: TorchvisionGoogLeNet, path: Path
) -> None:
    ours, preprocessing, _ = load_model(path)
    images = photograph(2, 65, 97, 3)
    theirs.transform_input = True
    try:
        wanted = outputs(theirs, normalise(images, IMAGENET))
    finally:
        theirs.transform_input = False
    torch.testing.assert_close(outputs(ours, normalise(images, preprocessing)), wanted, rtol=1e-5, atol=2e-5)


def test_pretrained_weights_fill_a_network_but_for_a_classifier_of_other_classes(
    theirs: TorchvisionGoogLeNet, path: Path
) -> None:
    ours = RegionClassifier(make_backbone("torchvision"), CLASSES + 1).eval()
    before = ours.classifier.weight.clone()
    assert load_pretrained(ours, path) == TORCHVISION
    torch.testing.assert_close(ours.classifier.weight, before, rtol=0, atol=0)
    images = noise(1, 3, 64, 64)
    features: list[Tensor] = []
    handle = theirs.dropout.register_forward_hook(lambda module, inputs, output: features.append(output))
    outputs(theirs, images)
    handle.remove()
    with torch.inference_mode():
        torch.testing.assert_close(ours.features(images), features[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [(224, 224), (97, 130)])
def test_auxiliary_logits_are_torchvision_s(
    theirs: TorchvisionGoogLeNet, path: Path, size: tuple[int, int]
) -> None:
    ours = WithAuxiliaryHeads(load_model(path)[0])
    assert load_heads(ours, path)
    for network in (theirs, ours):
        network.train()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
    dropouts = [m for n in (theirs, ours) for m in n.modules() if isinstance(m, nn.Dropout)]
    rates = [dropout.p for dropout in dropouts]
    for dropout in dropouts:
        dropout.p = 0
    images = noise(2, 3, *size)
    with torch.inference_mode():
        found, wanted = ours(images), theirs(images)
    for dropout, rate in zip(dropouts, rates, strict=True):
        dropout.p = rate
    theirs.eval()
    torch.testing.assert_close(
        found, torch.stack([wanted.logits, wanted.aux_logits1, wanted.aux_logits2]), rtol=1e-5, atol=2e-5
    )


def test_heads_for_other_classes_are_not_loaded(path: Path) -> None:
    ours = WithAuxiliaryHeads(RegionClassifier(make_backbone("torchvision"), CLASSES + 1))
    before = {key: value.clone() for key, value in ours.heads.state_dict().items()}
    assert not load_heads(ours, path)
    for key, value in ours.heads.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)
