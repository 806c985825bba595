"""Box regressors that are trained with the classes, through all stages of a run."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from made_runs import methods_of

from detector import load_detector
from detector.config import Config, load_config
from detector.data.images import read_image
from detector.errors import ConfigError
from detector.files import file_hash
from detector.jobs.outcome import Outcome
from detector.jobs.train_detector import run_training
from detector.networks.heads import load_boxes
from detector.runs.folder import RunFolder
from detector.runs.number_tables import read_table
from detector.runs.store import Store

JOINT = ["boxes.enabled=true", "boxes.method=joint", "boxes.grid=2"]
SHARED = ["region.mode=shared", "region.shared_side=64", "region.shared_longest=200"]
Finished = tuple[RunFolder, Outcome]


@pytest.fixture(scope="module")
def finished(tiny_config_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    run = RunFolder(tmp_path_factory.mktemp("joint") / "run")
    return run, run_training(run, load_config(Config, tiny_config_path, JOINT))


def test_the_run_moves_boxes_by_what_fine_tuning_learned(finished: Finished) -> None:
    run, outcome = finished
    assert methods_of(outcome) == ["softmax", "softmax+boxes"]
    head = load_boxes(run.boxes_path)
    assert head.weight.abs().max() > 0
    assert head.model == file_hash(run.model_path)
    assert not (run.path / "stages/boxes").exists()
    assert "box_loss" in read_table(run.path / "metrics.csv").header


def test_the_detector_finds_in_a_picture_what_the_run_found(finished: Finished) -> None:
    run, outcome = finished
    found = load_detector(run.path).detect(read_image(outcome.dataset.record(0).path))
    stored = Store.open(run.path / "stages/detect/val/softmax+boxes/store").read(0)
    assert len(stored["scores"])
    np.testing.assert_allclose(found.scores, stored["scores"], atol=2e-2)  # features are stored in half precision


def test_regions_of_shared_maps_learn_their_boxes_too(tiny_config_path: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    outcome = run_training(run, load_config(Config, tiny_config_path, [*JOINT, *SHARED, "finetune.average=ema"]))
    assert methods_of(outcome) == ["softmax", "softmax+boxes"]
    assert load_boxes(run.boxes_path).weight.abs().max() > 0


def test_the_best_weights_are_kept_with_their_boxes(tiny_config_path: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    best = ["finetune.best=accuracy", "finetune.validation=[val]", "finetune.validate_every=2"]
    outcome = run_training(run, load_config(Config, tiny_config_path, [*JOINT, *best]))
    assert methods_of(outcome) == ["softmax", "softmax+boxes"]


def test_either_method_is_found_again_where_the_settings_go_back_to_it(
    finished: Finished, tiny_config_path: Path, tmp_path: Path
) -> None:
    run = RunFolder(shutil.copytree(finished[0].path, tmp_path / "run", symlinks=True))
    joint, weights = load_boxes(run.boxes_path).weight, run.model_path.read_bytes()
    run_training(run, load_config(Config, tiny_config_path, [*JOINT, "boxes.method=ridge"]))
    assert not torch.equal(load_boxes(run.boxes_path).weight, joint)
    run_training(run, load_config(Config, tiny_config_path, JOINT))
    assert torch.equal(load_boxes(run.boxes_path).weight, joint)
    assert run.model_path.read_bytes() == weights


def test_lost_boxes_are_learned_again(finished: Finished, tiny_config_path: Path, tmp_path: Path) -> None:
    run = RunFolder(shutil.copytree(finished[0].path, tmp_path / "run", symlinks=True))
    joint = load_boxes(run.boxes_path).weight
    (run.path / "stages/finetune/present/boxes.safetensors").unlink()
    run.boxes_path.unlink()
    run_training(run, load_config(Config, tiny_config_path, JOINT))
    assert torch.equal(load_boxes(run.boxes_path).weight, joint)


def test_without_fine_tuning_boxes_are_learned_by_regression_alone(tiny_config_path: Path) -> None:
    untrained = ["finetune.steps=0", "svm.enabled=true"]
    with pytest.raises(ConfigError, match=r"boxes.method must be ridge for finetune.steps 0, got joint"):
        load_config(Config, tiny_config_path, [*JOINT, *untrained])
