"""One tiny data set and one finished run that many tests share."""

from pathlib import Path

import pytest

from detector.config import Config, load_config
from detector.jobs.outcome import Outcome
from detector.jobs.train_detector import run_training
from detector.runs.folder import RunFolder
from detector.synthetic.detection_set import make_dataset

TINY = """
data: {{root: {root}, train: train, test: val, classes: synsets.csv, blacklist: det_validation_blacklist.txt}}
proposals: {{superpixel_scale: 8, width: 160, max_boxes: 40}}
region: {{crop_size: 32, padding: 2}}
network: {{variant: tiny}}
finetune: {{steps: 6, batch_size: 16, positives: 4, learning_rate: 0.02, checkpoint_every: 1, log_every: 2}}
engine: {{device: cpu, backend: torch, precision: fp32, workers: 0}}
detect: {{min_score: 0, max_per_image: 20}}
evaluate: {{pictures: 2}}
"""


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic ILSVRC tree of 12 training and 4 validation images, 2 classes."""
    root = tmp_path_factory.mktemp("data") / "tree"
    make_dataset(root, images=12, classes=2, seed=0, val=4, mean_width=200)
    return root


@pytest.fixture(scope="session")
def tiny_config_path(tiny_data: Path) -> Path:
    """A config file that trains on it in seconds."""
    path = tiny_data.parent / "tiny.yaml"
    path.write_text(TINY.format(root=tiny_data))
    return path


@pytest.fixture(scope="session")
def tiny_config(tiny_config_path: Path) -> Config:
    """The settings of that file."""
    return load_config(Config, tiny_config_path)


@pytest.fixture(scope="session")
def finished_run(tiny_config: Config, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, Outcome]:
    """A run of all stages, not interrupted."""
    run = RunFolder(tmp_path_factory.mktemp("runs") / "whole")
    return run, run_training(run, tiny_config)
