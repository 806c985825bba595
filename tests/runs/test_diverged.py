"""Settings by which training leads to numbers that are not finite."""

from pathlib import Path

import pytest

from detector.config import Config, load_config
from detector.data.readers import open_dataset
from detector.runs.folder import RunFolder
from detector.runs.processes import alone
from detector.stages.train_regions import run_pretrain
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
    with pytest.raises(
        DivergedError, match=r"^pretrain: (loss|weights) must .* finite, got .*learning_rate is 100"
    ):
        run_pretrain(run, config, open_dataset(config.data, config.data.train), alone())
    assert not list(run.path.glob("**/pretrained*"))
    assert not list(run.path.glob("**/.*"))
