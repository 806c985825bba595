"""The whole job, each stage skipped where it is done with the same inputs.

propose, labels -> pretrain -> finetune -> features, svm -> pairs, boxes -> propose, features, detect and evaluate
on the test split.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detector.config import Config, detection_methods, reported_method
from detector.data.classes import write_classes
from detector.data.dataset import Dataset
from detector.data.readers import open_dataset
from detector.errors import DataError
from detector.evaluation.metrics import decimal, summary_text
from detector.networks.device import choose_device
from detector.pipeline.boxes import run_boxes
from detector.pipeline.detect import Detector, check_classes, run_detect
from detector.pipeline.distributed import Group, alone
from detector.pipeline.evaluate import Reports, run_evaluate
from detector.pipeline.features import MinedRegions, choose_images, run_test_features, run_training_features
from detector.pipeline.finetune import make_finetuner, run_finetune, run_pretrain
from detector.pipeline.inputs import label_inputs
from detector.pipeline.propose import run_propose
from detector.pipeline.region_batches import LabelledRegions, run_labels
from detector.pipeline.regions import TrainingRegions
from detector.pipeline.run import RunFolder
from detector.pipeline.svm import run_svm
from detector.records import DetectionTable, Report


@dataclass(frozen=True)
class Outcome:
    """What a test ended with: the data set, its reports by method (None without objects), the results' folder."""

    dataset: Dataset
    reports: Reports | None
    folder: Path

    @property
    def report(self) -> Report | None:
        """The report of the method that the run is about."""
        return None if self.reports is None else next(reversed(self.reports.values()))


def run_training(run: RunFolder, config: Config, group: Group | None = None) -> Outcome:
    """Train a detector on the training split and test it on the test split; the report goes to `report/`."""
    group = group or alone(choose_device(config.engine.device))
    training = open_dataset(config.data, config.data.train)
    validation = open_dataset(config.data, config.finetune.validation) if config.finetune.validation else None
    testing = open_dataset(config.data, config.data.test)
    make_finetuner(
        config, len(training.classes), group
    )  # wrong weights are told now, not after hours of proposals
    if group.is_first:
        run.begin(config)
        write_classes(run.path / "classes.csv", training.classes)
        run.log_notes(dict.fromkeys(training.notes + testing.notes))
    labelled = _label(run, config, training, config.data.train, group)
    judged = _label(run, config, validation, config.finetune.validation, group) if validation else None
    started = run_pretrain(run, config, training, group)
    run_finetune(run.stage("finetune"), started, labelled, judged, group)
    detector = _train_heads(run, config, labelled, group)
    return _run_test(run, config, testing, split_slug(config.data.test), detector, run.path / "report", group)


def run_testing(run: RunFolder, config: Config, splits: Sequence[str], group: Group | None = None) -> Outcome:
    """Test the trained detector of `run` on other splits; the report goes to `report_SPLIT/`."""
    detector = trained_detector(run, config)
    group = group or alone(choose_device(config.engine.device))  # a wrong one is told now
    testing = open_dataset(config.data, splits)
    check_classes(testing, detector.network)
    if group.is_first:
        run.log_notes(testing.notes)
    slug = split_slug(splits)
    return _run_test(run, config, testing, slug, detector, run.path / f"report_{slug}", group)


def trained_detector(run: RunFolder, config: Config) -> Detector:
    """The files of the run's detector; DataError where one is missing."""
    detector = Detector(
        run.model_path,
        run.svm_path if config.svm.enabled else None,
        run.boxes_path if config.boxes.enabled else None,
    )
    for path in (detector.network, detector.svm, detector.boxes):
        if path is not None and not path.is_file():
            raise DataError(f"run must hold a trained model, got none at {path}")
    return detector


def split_slug(splits: Sequence[str]) -> str:
    """A folder name for the data set joined from `splits`."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", "+".join(Path(split).stem for split in splits))


def _label(
    run: RunFolder, config: Config, dataset: Dataset, splits: Sequence[str], group: Group
) -> LabelledRegions[TrainingRegions]:
    """The proposals of a data set with its objects, and their labels."""
    slug = split_slug(splits)
    proposals = run_propose(run.stage("propose", slug), config, dataset, group)
    regions = TrainingRegions(config, dataset, proposals)
    return run_labels(run.stage("labels", slug), regions, label_inputs(config, dataset), group)


def _train_heads(
    run: RunFolder, config: Config, labelled: LabelledRegions[TrainingRegions], group: Group
) -> Detector:
    """Train the SVMs and box regressors that are asked for, on the features of the fine-tuned network."""
    regions = labelled.regions
    if config.svm.enabled:
        mined = choose_images(np.any(regions.dataset.complete, axis=1), config.svm.images, config.seed)
        chosen = MinedRegions(regions, mined)
        slug = split_slug(config.data.train)
        features = run_training_features(run.stage("features", slug), config, chosen, run.model_path, group)
        run_svm(run.stage("svm"), config, chosen, features, group)
    if config.boxes.enabled:
        with_proposals = np.diff(labelled.labels.offsets) > 0
        used = choose_images(with_proposals, config.boxes.images, config.seed)
        run_boxes(run.stage("pairs"), run.stage("boxes"), config, regions, used, run.model_path, group)
    return trained_detector(run, config)


def _run_test(
    run: RunFolder, config: Config, testing: Dataset, slug: str, detector: Detector, folder: Path, group: Group
) -> Outcome:
    proposals = run_propose(run.stage("propose", slug), config, testing, group)
    features = None
    if detector.svm or detector.boxes:
        stage = run.stage("features", slug)
        features = run_test_features(stage, config, testing, proposals, detector.network, detector.boxes, group)
    tables: dict[str, DetectionTable] = {}
    reported = reported_method(config)
    for method in sorted(detection_methods(config), key=lambda name: name == reported):  # the reported one last
        stage = run.stage("detect", slug, method)
        tables[method] = run_detect(stage, config, testing, proposals, features, detector, method, group)
    stage = run.stage("evaluate", slug)
    reports = run_evaluate(stage, config, testing, tables, detector.hashes(), folder, group)
    return Outcome(testing, reports, folder if reports else run.stage("detect", slug, reported).folder)


def outcome_text(outcome: Outcome) -> str:
    """What a command prints at its end: the mAP table and where the results are."""
    if outcome.report is None or outcome.reports is None:
        return f"{outcome.dataset.name} has no objects to evaluate against; detections: {outcome.folder}\n"
    table = summary_text(outcome.report, outcome.dataset.classes)
    return f"{table}\n{_methods_text(outcome.reports)}report: {outcome.folder / 'index.html'}\n"


def _methods_text(reports: Mapping[str, Report]) -> str:
    """The mean AP of each method, where there are several."""
    if len(reports) < 2:
        return ""
    width = max(map(len, reports))
    return "".join(f"{name:{width}}  {decimal(report.mean_ap)}\n" for name, report in reports.items()) + "\n"
