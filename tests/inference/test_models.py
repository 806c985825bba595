"""The files of detectors: they must fit each other."""

from pathlib import Path
from typing import Any

import pytest
import torch
from bvlc_like import random_network

from detector.config import EngineSettings, EnsembleSettings, RegionSettings
from detector.errors import DataError
from detector.files import file_hash
from detector.inference.models import CascadeFiles, ModelFiles, load_models, trained_classes, trained_region
from detector.inference.region_filter import open_cascade
from detector.networks.backbones.base import Backbone
from detector.networks.heads import BoxHead, SvmHead, save_head
from detector.networks.preprocessing import IMAGENET
from detector.networks.region_classifier import RegionClassifier
from detector.networks.weight_files.weights import save_model, weights_header

WIDTH = 48  # features of `tiny`
ENGINE = EngineSettings(device="cpu", backend="torch", precision="fp32")


def write_model(path: Path, classes: list[str], **facts: Any) -> Path:
    save_model(path, random_network("tiny", len(classes) + 1), IMAGENET, classes=classes, **facts)
    return path


def refused(files: list[ModelFiles]) -> str:
    with pytest.raises(DataError) as caught:
        load_models(files, EnsembleSettings())
    return str(caught.value)


def test_classes_and_regions_are_those_that_the_file_states(tmp_path: Path) -> None:
    path = write_model(tmp_path / "a.safetensors", ["cat", "dog"], region={"crop_size": 64, "padding": 5})
    assert trained_classes(path).names == ("cat", "dog")
    assert trained_region(path) == RegionSettings(crop_size=64, padding=5)


def test_facts_of_a_file_are_read_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_model(tmp_path / "a.safetensors", ["cat", "dog"])

    def fail(*arguments: object, **named: object) -> None:
        raise AssertionError("a network was made")

    for network in (RegionClassifier, Backbone):
        monkeypatch.setattr(network, "__init__", fail)
    assert trained_classes(path).names == ("cat", "dog")
    assert trained_region(path) == RegionSettings()
    header = weights_header(path)
    assert (header.variant, header.outputs, header.width) == ("tiny", 3, 48)
    assert header.metadata["classes"] == ["cat", "dog"]


def test_a_file_that_names_other_classes_than_its_outputs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for facts in ({}, {"classes": ["cat"]}, {"classes": ["cat", "dog", "cow"]}):
        save_model(path, random_network("tiny", 3), IMAGENET, **facts)
        assert f"must name the classes of a region classifier of train_det, got others ({path})" in refused(
            [ModelFiles(path)]
        )


def test_heads_of_another_network_are_refused(tmp_path: Path) -> None:
    path, head = write_model(tmp_path / "a.safetensors", ["cat", "dog"]), tmp_path / "head.safetensors"
    save_head(head, SvmHead(torch.ones(3, WIDTH), torch.ones(3)))
    assert refused([ModelFiles(path, svm=head)]) == f"head must be of 2 classes, got 3 ({head})"
    save_head(head, SvmHead(torch.ones(2, 2 * WIDTH), torch.ones(2)))
    assert refused([ModelFiles(path, svm=head)]) == f"head must be of {WIDTH} features, got {2 * WIDTH} ({head})"
    save_head(head, BoxHead(torch.ones(3, 4, WIDTH), torch.ones(3, 4), 1))
    assert refused([ModelFiles(path, boxes=head)]) == f"head must be of 2 classes, got 3 ({head})"
    save_head(head, BoxHead(torch.ones(2, 4, 4096), torch.ones(2, 4), 2))
    wanted = f"head must be of maps of {WIDTH} channels, got 1024 ({head})"
    assert refused([ModelFiles(path, boxes=head)]) == wanted


def test_heads_that_were_trained_on_another_file_are_refused(tmp_path: Path) -> None:
    path, head = write_model(tmp_path / "a.safetensors", ["cat", "dog"]), tmp_path / "head.safetensors"
    save_head(head, SvmHead(torch.ones(2, WIDTH), torch.ones(2)), model=file_hash(path))
    load_models([ModelFiles(path, svm=head)], EnsembleSettings())
    save_head(head, BoxHead(torch.ones(2, 4, WIDTH), torch.ones(2, 4), 1), model="0" * 16)
    wanted = f"head must be trained on {path}, got that of another network ({head})"
    assert refused([ModelFiles(path, boxes=head)]) == wanted
    save_head(head, SvmHead(torch.ones(2, WIDTH), torch.ones(2)), model=7)
    assert refused([ModelFiles(path, svm=head)]) == f"model must be the hash of a file, got 7 ({head})"


def test_regions_of_more_crops_than_the_network_joins_are_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "a.safetensors", ["cat"], region={"wide_padding": 40})
    assert refused([ModelFiles(path)]) == f"region must be seen by 1 crops, as the classifier is, got 2 ({path})"


def test_models_of_other_classes_are_not_averaged(tmp_path: Path) -> None:
    one, two = (write_model(tmp_path / name, [name, "dog"]) for name in ("a.safetensors", "b.safetensors"))
    wanted = f"models of an ensemble must know the same classes, got others ({two})"
    assert refused([ModelFiles(one), ModelFiles(two)]) == wanted


def test_a_cascade_of_many_classes_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "a.safetensors", ["cat", "dog"])
    with pytest.raises(DataError, match=r"^cascade must know one class, any object, got 2 \(.*a\.safetensors\)$"):
        open_cascade(CascadeFiles(path, path), ENGINE)
