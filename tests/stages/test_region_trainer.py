from pathlib import Path
from typing import Any

import pytest
import torch
from random_networks import randomise

from detector.config import (
    BoxSettings,
    Config,
    EngineSettings,
    FinetuneSettings,
    LogSettings,
    NetworkSettings,
    RegionSettings,
    load_config,
)
from detector.errors import ConfigError
from detector.jobs.train_detector import run_training
from detector.networks.backbones import make_backbone
from detector.networks.multi_task import MultiTaskClassifier
from detector.networks.region_classifier import RegionClassifier
from detector.networks.weight_files.weights import save_model
from detector.runs.folder import RunFolder
from detector.runs.processes import alone
from detector.stages.region_trainer import RegionTrainer, make_finetuner
from detector.stages.save_network import classifier_of
from detector.stages.start_network import NetworkTask


def trainer_of(
    variant: str = "paper",
    boxes: BoxSettings | None = None,
    start: Path | None = None,
    seed: int = 0,
    **settings: Any,
) -> RegionTrainer:
    network, engine = NetworkSettings(variant=variant), EngineSettings(device="cpu")
    task = NetworkTask(network, RegionSettings(), engine, LogSettings(), 0, start)
    chosen, group = FinetuneSettings(steps=4, **settings), alone(torch.device("cpu"))
    return make_finetuner(chosen, task, "abc", boxes, group, seed)[0]


def test_frozen_stages_get_no_gradient_and_the_others_do() -> None:
    trainer = trainer_of(frozen_stages=2)
    frozen = {name for name, value in trainer.network.named_parameters() if not value.requires_grad}
    assert {name.split(".")[1] for name in frozen} == {"conv1", "conv2_reduce", "conv2"}
    given = sum(len(group["params"]) for group in trainer.optimizer.param_groups)
    assert given == len(list(trainer.network.parameters())) - len(frozen)


def test_a_network_without_stages_to_freeze_says_so() -> None:
    with pytest.raises(ConfigError, match=r"^frozen stages of .* must be 0 to 0, got 1$"):
        trainer_of("tiny", frozen_stages=1)


def test_regressors_are_trained_with_the_classes_where_there_are_settings_of_them() -> None:
    with_boxes = trainer_of("tiny", BoxSettings(grid=2)).network
    assert isinstance(with_boxes, MultiTaskClassifier)
    assert with_boxes.boxes.linear.out_features == 12
    without = trainer_of("tiny").network
    assert classifier_of(without) is without
    mine, theirs = (classifier_of(each).state_dict() for each in (with_boxes, without))
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)  # they begin alike


@pytest.mark.parametrize(("stated", "is_kept"), [(["a", "b", "c"], True), (["a", "c", "b"], False), (None, False)])
def test_a_classifier_starts_from_weights_of_the_same_classes_alone(
    stated: list[str] | None, is_kept: bool, tmp_path: Path
) -> None:
    network = RegionClassifier(make_backbone("tiny"), 4)
    randomise(network)
    named = {} if stated is None else {"classes": stated}
    save_model(tmp_path / "w.safetensors", network, network.backbone.facts.preprocessing, **named)
    found = classifier_of(trainer_of("tiny", start=tmp_path / "w.safetensors").network)
    mine, theirs = found.backbone.state_dict(), network.backbone.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert torch.equal(found.classifier.weight, network.classifier.weight) == is_kept


def test_members_begin_with_the_same_trunk_under_classifiers_of_their_own() -> None:
    first, again, second = (
        classifier_of(trainer_of("tiny", seed=seed).network).state_dict() for seed in (0, 0, 1)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert {name for name in first if not torch.equal(first[name], second[name])} == {"classifier.weight"}


@pytest.mark.parametrize("key", ["pretrain", "finetune"])
def test_frozen_stages_that_a_network_lacks_are_told_before_any_work(
    key: str, tiny_config_path: Path, tmp_path: Path
) -> None:
    config = load_config(Config, tiny_config_path, [f"{key}.frozen_stages=1"])
    with pytest.raises(ConfigError, match=rf"^{key}\.frozen_stages of tiny must be 0 to 0, got 1$"):
        run_training(RunFolder(tmp_path / "run"), config)
    assert not (tmp_path / "run" / "stages").exists()
