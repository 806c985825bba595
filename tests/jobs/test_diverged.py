"""Settings by which training leads to numbers that are not finite."""

from pathlib import Path

import pytest

from detector.config import Config, load_config
from detector.jobs.train_model import pretrained
from detector.runs.folder import RunFolder
from detector.runs.job import Job
from detector.runs.processes import alone
from detector.runs.split import open_split
from detector.stages.start_network import NetworkTask
from detector.training.loop import DivergedError

# batch norm hides weights of any size from the loss
SETTINGS = (
    "pretrain.steps=12",
    "pretrain.batch_size=4",
    "pretrain.learning_rate=100",
    "pretrain.weight_decay=100",
)


def test_the_stage_that_diverged_is_named_and_saves_nothing(tiny_config_path: Path, tmp_path: Path) -> None:
    config = load_config(Config, tiny_config_path, [*SETTINGS, "pretrain.checkpoint_every=1"])
    run = RunFolder(tmp_path / "run")
    task = NetworkTask(config.network, config.region, config.engine, config.log, config.seed)
    with pytest.raises(
        DivergedError, match=r"^pretrain: (loss|weights) must .* finite, got .*learning_rate is 100"
    ):
        pretrained(Job(run, config, alone()), task, open_split(config.data, config.data.train))
    assert not list(run.path.glob("**/pretrained*"))
    assert not list(run.path.glob("**/.*"))
