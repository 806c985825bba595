from pathlib import Path

import numpy as np
import pytest
import torch

from detector.config import MultiBoxConfig
from detector.data.readers import open_dataset
from detector.errors import ConfigError
from detector.networks.backbones import make_backbone
from detector.runs.processes import Group
from detector.stages import multibox_trainer
from detector.stages.multibox_trainer import MultiBoxTrainer, make_multibox_trainer
from detector.training.multibox_loss import WindowBatch


def make_trainer(data: Path, variant: str = "tiny", **train: object) -> MultiBoxTrainer:
    config = MultiBoxConfig.model_validate(
        {
            "data": {"root": data, "classes": "synsets.csv"},
            "network": {"variant": variant},
            "multibox": {"form": "learned", "priors": 8},
            "train": {"steps": 4, "warmup": 0, **train},
        }
    )
    training = open_dataset(config.data, config.data.train)
    return make_multibox_trainer(config, training, Group(0, 1, torch.device("cpu")))[0]


def some_batch(trainer: MultiBoxTrainer) -> WindowBatch:
    """One image of noise, its object where a prior is."""
    crops = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    owner, slots = torch.tensor([0]), torch.tensor([3])
    return WindowBatch(0, crops, owner, trainer.network.priors[slots] + 0.1, slots)


def test_the_new_head_learns_at_a_higher_rate_than_the_trunk(tiny_data: Path) -> None:
    trainer = make_trainer(tiny_data, learning_rate=0.25, head_factor=4)
    rates = {id(p): g["base_rate"] for g in trainer.optimizer.param_groups for p in g["params"]}
    assert {rates[id(p)] for p in trainer.network.backbone.parameters()} == {0.25}
    assert {rates[id(p)] for p in trainer.network.head.parameters()} == {1.0}


@pytest.mark.parametrize(("stages", "learns"), [(0, True), (1, False)])
def test_frozen_stages_stay_as_they_were(tiny_data: Path, stages: int, learns: bool) -> None:
    trainer = make_trainer(tiny_data, "paper_bn", frozen_stages=stages)
    before = {key: value.clone() for key, value in trainer.network.state_dict().items()}
    list(trainer.train([some_batch(trainer)]))
    changed = {key for key, value in trainer.network.state_dict().items() if not torch.equal(value, before[key])}
    assert any(key.startswith("backbone.conv1.") for key in changed) == learns
    assert any(key.startswith("backbone.conv2.") for key in changed)
    assert any(key.startswith("head.") for key in changed)


def test_more_frozen_stages_than_the_trunk_has_are_told(tiny_data: Path) -> None:
    with pytest.raises(ConfigError, match=r"frozen stages of .* must be 0 to 5, got 6$"):
        make_trainer(tiny_data, "paper_bn", frozen_stages=6)


def test_what_makes_features_of_maps_is_no_parameter_that_processes_wait_for(
    tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = make_backbone("tiny")
    backbone.add_module("fc", torch.nn.Linear(2, 2))
    monkeypatch.setattr(backbone, "feature_layers", lambda: (backbone.get_submodule("fc"),))
    monkeypatch.setattr(multibox_trainer, "make_backbone", lambda variant: backbone)
    trainer = make_trainer(tiny_data)
    list(trainer.train([some_batch(trainer)]))
    assert all(each.grad is not None for each in trainer.network.parameters() if each.requires_grad)


def test_the_trainer_s_priors_are_those_of_its_seed(tiny_data: Path) -> None:
    one, two = (make_trainer(tiny_data).network.priors.numpy() for _ in range(2))
    np.testing.assert_array_equal(one, two)
