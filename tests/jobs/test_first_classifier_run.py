"""Fine-tuning that begins with a classifier fitted to the features of the pretrained network."""

from pathlib import Path

import pytest
import torch

from detector.config import Config, load_config
from detector.errors import ConfigError
from detector.jobs.train_detector import run_training
from detector.networks.weight_files.weights import load_model
from detector.runs.folder import RunFolder
from detector.runs.number_tables import read_table
from detector.stages.first_classifier import read_first_classifier

WIDE = ["region.wide_padding=4"]
SHARED = ["region.mode=shared", "region.shared_side=64", "region.shared_longest=200"]
PRETRAINED = ["pretrain.steps=40", "pretrain.batch_size=8"]  # batch norm has seen enough


def first_loss(run: RunFolder) -> float:
    table = read_table(run.path / "metrics.csv")
    return float(table.rows[0][table.header.index("loss")])


@pytest.mark.parametrize("regions", [[], WIDE, SHARED], ids=["crops", "two crops", "shared"])
def test_training_begins_where_the_classifier_was_fitted(
    regions: list[str], tiny_config_path: Path, tmp_path: Path
) -> None:
    runs = {}
    for head in ("random", "fitted"):
        run = runs[head] = RunFolder(tmp_path / head)
        own = [*regions, *PRETRAINED, "finetune.steps=2", f"network.head={head}"]
        run_training(run, load_config(Config, tiny_config_path, own))
    fitted = read_first_classifier(runs["fitted"].first_classifier_path)
    assert fitted["weight"].shape == load_model(runs["fitted"].model_path)[0].classifier.weight.shape
    assert not fitted["weight"][0].any()
    assert not runs["random"].first_classifier_path.exists()
    assert first_loss(runs["fitted"]) < first_loss(runs["random"])


def test_a_fitted_start_is_part_of_what_was_trained(tiny_config_path: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    weights = []
    for head in ("fitted", "random", "fitted"):
        run_training(
            run, load_config(Config, tiny_config_path, [*PRETRAINED, "finetune.steps=1", f"network.head={head}"])
        )
        weights.append(load_model(run.model_path)[0].classifier.weight)
    assert torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[1])
    assert len([path for path in (run.path / "stages/finetune").iterdir() if not path.is_symlink()]) == 2


def test_a_random_network_has_no_features_to_fit_to(tiny_config_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"network.head must be random without network.weights and pretrain.steps"
    ):
        load_config(Config, tiny_config_path, ["network.head=fitted"])
