"""The whole job: propose, finetune, detect, evaluate, each skipped where it is done with the same inputs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.config import Config
from detector.data.classes import write_classes
from detector.data.dataset import Dataset
from detector.data.readers import open_dataset
from detector.errors import DataError
from detector.evaluation.metrics import summary_text
from detector.networks.device import choose_device
from detector.pipeline.detect import run_detect
from detector.pipeline.evaluate import run_evaluate
from detector.pipeline.finetune import make_trainer, run_finetune
from detector.pipeline.propose import run_propose
from detector.pipeline.run import RunFolder
from detector.records import Report


@dataclass(frozen=True)
class Outcome:
    """What a test ended with: the data set, its report (None where it has no objects) and the results' folder."""

    dataset: Dataset
    report: Report | None
    folder: Path


def run_training(run: RunFolder, config: Config) -> Outcome:
    """Train a detector on the training split and test it on the test split; the report goes to `report/`."""
    training = open_dataset(config.data, config.data.train)
    testing = open_dataset(config.data, config.data.test)
    make_trainer(config, len(training.classes))  # wrong weights are told now, not after hours of proposals
    run.begin(config)
    write_classes(run.path / "classes.csv", training.classes)
    run.log_notes(dict.fromkeys(training.notes + testing.notes))
    proposals = run_propose(run.stage("propose", split_slug(config.data.train)), config, training)
    run_finetune(run.stage("finetune"), config, training, proposals)
    return _run_test(run, config, testing, split_slug(config.data.test), run.path / "report")


def run_testing(run: RunFolder, config: Config, splits: Sequence[str]) -> Outcome:
    """Test the trained detector of `run` on other splits; the report goes to `report_SPLIT/`."""
    if not run.model_path.is_file():
        raise DataError(f"run must hold a trained model, got none at {run.model_path}")
    choose_device(config.engine.device)  # a wrong one is told now
    testing = open_dataset(config.data, splits)
    run.log_notes(testing.notes)
    slug = split_slug(splits)
    return _run_test(run, config, testing, slug, run.path / f"report_{slug}")


def split_slug(splits: Sequence[str]) -> str:
    """A folder name for the data set joined from `splits`."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", "+".join(Path(split).stem for split in splits))


def _run_test(run: RunFolder, config: Config, testing: Dataset, slug: str, folder: Path) -> Outcome:
    model_path = run.model_path
    proposals = run_propose(run.stage("propose", slug), config, testing)
    table = run_detect(run.stage("detect", slug), config, testing, proposals, model_path)
    report = run_evaluate(run.stage("evaluate", slug), config, testing, table, model_path, folder)
    return Outcome(testing, report, folder if report else run.stage("detect", slug).folder)


def outcome_text(outcome: Outcome) -> str:
    """What a command prints at its end: the mAP table and where the results are."""
    if outcome.report is None:
        return f"{outcome.dataset.name} has no objects to evaluate against; detections: {outcome.folder}\n"
    table = summary_text(outcome.report, outcome.dataset.classes)
    return f"{table}\nreport: {outcome.folder / 'index.html'}\n"
