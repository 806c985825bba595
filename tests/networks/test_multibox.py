from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from random_networks import settle

from detector.errors import ConfigError, DataError
from detector.networks.backbones import make_backbone
from detector.networks.backbones.googlenet import GoogLeNet
from detector.networks.multibox import FIRST_CONFIDENCE, INPUT_SIZE, Form, MultiBox
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import IMAGENET
from detector.networks.weight_files.multibox_weights import load_multibox, save_multibox
from detector.networks.weight_files.safetensors_files import write_tensors
from detector.networks.weight_files.weights import load_model, load_trunk, save_model


def make(form: Form) -> MultiBox:
    torch.manual_seed(0)
    slots = 1420 if form == "grid" else 30
    network = MultiBox(make_backbone("paper_bn"), form, torch.rand(slots, 4))
    settle(network, INPUT_SIZE[form])
    return network


@pytest.mark.parametrize("form", ["grid", "learned"])
def test_every_slot_begins_near_its_prior_with_little_confidence(form: Form) -> None:
    network = make(form)
    size = INPUT_SIZE[form]
    with torch.inference_mode():
        boxes, logits = network(torch.randn(2, 3, size, size))
    assert boxes.shape == (2, len(network.priors), 4)
    torch.testing.assert_close(boxes, network.priors.expand(2, -1, -1), atol=0.3, rtol=0)
    torch.testing.assert_close(logits.sigmoid(), torch.full_like(logits, FIRST_CONFIDENCE), atol=0.01, rtol=0)


def test_a_slot_of_the_finest_grid_sees_its_own_cell() -> None:
    network = make("grid")
    torch.nn.init.normal_(network.head.slots[0].weight)  # type: ignore[index, arg-type]
    last_map = torch.zeros(1, 1024, 8, 8)
    last_map[0, :, 3, 5] = 10
    with torch.inference_mode():
        outputs = network.head(last_map) - network.head(torch.zeros_like(last_map))
    touched = outputs[0, : 64 * 11].abs().sum(1).reshape(64, 11).sum(1).nonzero().flatten().tolist()
    assert touched == [3 * 8 + 5]


@pytest.mark.parametrize("form", ["grid", "learned"])
def test_any_network_with_the_cells_of_the_form_will_do(form: Form) -> None:
    network = MultiBox(make_backbone("tiny"), form, torch.rand(1420, 4)).eval()
    with torch.inference_mode():
        boxes, _ = network(torch.rand(1, 3, INPUT_SIZE[form], INPUT_SIZE[form]))
    assert boxes.shape == (1, 1420, 4)


def test_a_network_with_other_cells_is_refused() -> None:
    backbone = make_backbone("tiny")
    backbone.facts = replace(backbone.facts, behind=())
    wanted = "^network.variant must make maps of 8 x 8 cells for multibox.form=grid, got 16 x 16 of tiny$"
    with pytest.raises(ConfigError, match=wanted):
        MultiBox(backbone, "grid", torch.rand(1420, 4))


@pytest.mark.parametrize("form", ["grid", "learned"])
def test_a_saved_network_comes_back_with_its_priors(tmp_path: Path, form: Form) -> None:
    network = make(form)
    save_multibox(tmp_path / "m.safetensors", network, IMAGENET)
    again, preprocessing = load_multibox(tmp_path / "m.safetensors")
    assert (preprocessing, again.form) == (IMAGENET, form)
    for key, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key


def test_the_weights_of_other_networks_are_refused_either_way(tmp_path: Path) -> None:
    save_model(tmp_path / "c.safetensors", RegionClassifier(make_backbone("paper_bn"), 3), IMAGENET)
    with pytest.raises(DataError, match=r"must be those of train_multibox, .*c\.safetensors"):
        load_multibox(tmp_path / "c.safetensors")
    save_multibox(tmp_path / "m.safetensors", make("learned"), IMAGENET)
    with pytest.raises(DataError, match=r"must hold classifier.weight, .*m\.safetensors"):
        load_model(tmp_path / "m.safetensors")


def test_training_may_start_from_a_classifier_s_trunk(tmp_path: Path) -> None:
    classifier = RegionClassifier(make_backbone("paper_bn"), 3)
    save_model(tmp_path / "c.safetensors", classifier, IMAGENET)
    network = make("learned")
    assert load_trunk(network.backbone, tmp_path / "c.safetensors") == IMAGENET
    for key, value in classifier.backbone.state_dict().items():
        assert torch.equal(network.backbone.state_dict()[key], value), key
    with pytest.raises(DataError, match="must be of the variant paper, got those of paper_bn"):
        load_trunk(GoogLeNet("paper"), tmp_path / "c.safetensors")


@pytest.mark.parametrize(
    ("facts", "priors", "message"),
    [
        ({"form": None}, (5, 4), r"form must be one of grid, learned, got None \(.*m\.safetensors\)"),
        ({"form": ["grid"]}, (5, 4), r"form must be one of grid, learned, got \['grid'\]"),
        ({"form": "learned"}, (), r"priors must have shape \(K, 4\), got \(\)"),
        ({"form": "learned"}, (10**12, 0), r"priors must have shape \(K, 4\), got \(1000000000000, 0\)"),
        ({"form": "learned"}, (0, 4), r"priors must have shape \(K, 4\), got \(0, 4\)"),
        ({"form": "grid"}, (7, 4), r"priors must have shape \(1420, 4\), got \(7, 4\)"),
        ({"form": "learned"}, (7, 4), r"weights must hold backbone\.conv1"),
    ],
)
def test_a_file_that_states_another_network_is_named(
    tmp_path: Path, facts: dict[str, Any], priors: tuple[int, ...], message: str
) -> None:
    path = tmp_path / "m.safetensors"
    stated = {"variant": "paper_bn", "preprocessing": IMAGENET.to_dict(), "kind": "multibox", **facts}
    write_tensors(path, {"priors": torch.zeros(priors)}, stated)
    with pytest.raises(DataError, match=message):
        load_multibox(path)
