from pathlib import Path

import pytest
import torch
from random_networks import googlenet_of, noise, randomise

from detector.networks.backbones import make_backbone
from detector.networks.backbones.googlenet import FEATURES
from detector.networks.heads import BoxHead, Cells, FeaturesAndMoves, SvmHead, pool_cells
from detector.networks.member import Member
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import IMAGENET
from detector.networks.weight_files.weights import load_model, load_pretrained, save_model


def make_network(crops: int, outputs: int = 3) -> RegionClassifier:
    network = RegionClassifier(make_backbone("paper_bn"), outputs, crops=crops)
    randomise(network)
    return network.eval()


@torch.inference_mode()
def test_two_crops_give_the_features_of_each_joined() -> None:
    network, tight, wide = make_network(2), noise(3, 3, 64, 64, seed=1), noise(3, 3, 64, 64, seed=2)
    alone = make_network(1)
    alone.backbone.load_state_dict(network.backbone.state_dict())
    wanted = torch.cat([alone.features(tight), alone.features(wide)], 1)
    crops = torch.cat([tight, wide], 1)
    assert network.width == 2 * FEATURES
    torch.testing.assert_close(network.features(crops), wanted)
    torch.testing.assert_close(network(crops), network.classifier(wanted))


@torch.inference_mode()
def test_boxes_are_moved_by_the_tight_crop_alone_and_svms_see_both() -> None:
    network, crops = make_network(2), noise(3, 6, 64, 64)
    other = torch.cat([crops[:, :3], noise(3, 3, 64, 64, seed=1)], 1)
    head = BoxHead(noise(2, 4, 4 * FEATURES) / 100, noise(2, 4), 2)
    svm = SvmHead(noise(2, 2 * FEATURES), noise(2))
    found, changed = (FeaturesAndMoves(network, head)(each) for each in (crops, other))
    torch.testing.assert_close(found["moves"], changed["moves"])
    assert (found["features"] - changed["features"]).abs().max() > 0.1
    cells = Cells(network, 2)(crops)["cells"]
    torch.testing.assert_close(cells, pool_cells(network.backbone(crops[:, :3]), FEATURES, 2))
    answers = Member(network, svm, head)(crops)
    torch.testing.assert_close(answers["scores"], svm(found["features"]))
    torch.testing.assert_close(answers["moves"], found["moves"])


@torch.inference_mode()
def test_a_mirrored_member_mirrors_both_crops() -> None:
    network, crops = make_network(2), noise(2, 6, 64, 64)
    torch.testing.assert_close(
        Member(network, mirrored=True)(crops)["scores"], Member(network)(crops.flip(3))["scores"]
    )


def test_a_file_says_by_its_classifier_how_many_crops_there_are(tmp_path: Path) -> None:
    for crops in (1, 2):
        network = make_network(crops)
        save_model(tmp_path / "m.safetensors", network, IMAGENET)
        loaded = load_model(tmp_path / "m.safetensors")[0]
        assert loaded.crops == crops
        torch.testing.assert_close(loaded.classifier.weight, network.classifier.weight)


@pytest.mark.parametrize("outputs", [3, 5])
def test_weights_of_one_crop_start_a_network_of_two(tmp_path: Path, outputs: int) -> None:
    save_model(tmp_path / "m.safetensors", make_network(1), IMAGENET)
    network = make_network(2, outputs)
    before = network.classifier.weight.clone()
    load_pretrained(network, tmp_path / "m.safetensors")
    torch.testing.assert_close(network.classifier.weight, before)
    torch.testing.assert_close(
        googlenet_of(network).conv1.conv.weight, googlenet_of(make_network(1)).conv1.conv.weight
    )
