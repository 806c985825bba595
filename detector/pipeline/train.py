"""The whole job: propose, finetune, detect, evaluate, each skipped where it is done with the same inputs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.config import Config
from detector.data.dataset import Dataset
from detector.data.open import open_dataset
from detector.pipeline.detect import run_detect
from detector.pipeline.evaluate import run_evaluate
from detector.pipeline.finetune import run_finetune
from detector.pipeline.propose import run_propose
from detector.pipeline.run import RunFolder
from detector.records import Report


@dataclass(frozen=True)
class Outcome:
    """What a test ended with: the split's data set, its report (None without objects) and where it was written."""

    dataset: Dataset
    report: Report | None
    folder: Path


def train(run: RunFolder, config: Config) -> Outcome:
    """Train a detector on the training split and test it on the test split."""
    run.begin(config)
    training = open_dataset(config.data, config.data.train)
    testing = open_dataset(config.data, config.data.test, training.classes)
    proposals = run_propose(run.stage("propose", split_slug(config.data.train)), config, training)
    model_path = run_finetune(run.stage("finetune"), config, training, proposals)
    return _test_on(run, config, testing, config.data.test, model_path, run.path / "report")


def test(run: RunFolder, config: Config, splits: Sequence[str], classes_of: Dataset | None = None) -> Outcome:
    """Test a run's detector on other splits."""
    raise NotImplementedError


def split_slug(splits: Sequence[str]) -> str:
    """A folder name for the data set joined from `splits`."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", "+".join(Path(split).stem for split in splits))
