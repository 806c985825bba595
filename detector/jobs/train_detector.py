"""The whole job, each stage skipped where it is done with the same inputs.

propose, labels -> pretrain -> finetune -> features, svm -> pairs, boxes -> cascade_rows, cascade
-> on held-out data propose, labels, weight_rows, weights, filter, seen, context_rows, context
-> on the test split propose, filter, features, seen, scores, detect, evaluate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detector.config import CONTEXT, ENSEMBLE, Config, detection_methods, reported_method
from detector.data.classes import write_classes
from detector.data.dataset import Dataset
from detector.data.readers import open_dataset
from detector.errors import DataError
from detector.evaluation.metrics import decimal, summary_text
from detector.files import file_hash
from detector.inference.backends import choose_backend
from detector.inference.models import ModelFiles, check_weights, lowest_score
from detector.networks.device import choose_device
from detector.records import DetectionTable, Report
from detector.runs.board import check_tensorboard
from detector.runs.folder import RunFolder, split_slug
from detector.runs.pretrained import weights_file
from detector.runs.processes import Group, alone
from detector.runs.store import Store
from detector.stages.box_regression import run_boxes
from detector.stages.calibrate import calibrate_members, run_calibrate
from detector.stages.cascade import check_cascade, run_cascade
from detector.stages.context import (
    FromContext,
    SplitScores,
    check_apart,
    check_image_network,
    image_network,
    keep_image_network,
    run_context,
    run_context_rows,
    run_seen,
    trained_context,
)
from detector.stages.detect import run_detect
from detector.stages.ensemble_weights import fitted_ensemble, run_weights
from detector.stages.evaluate import Reports, run_evaluate
from detector.stages.inputs import label_inputs
from detector.stages.label import LabelledRegions, run_labels
from detector.stages.propose import run_propose
from detector.stages.region_cut import Filtered, filtered, run_regions
from detector.stages.region_features import MinedRegions, choose_images, run_test_features, run_training_features
from detector.stages.region_sets import TrainingRegions
from detector.stages.score_sources import (
    FromFeatures,
    FromImages,
    ScoreSource,
    check_classes,
    check_region,
    file_hashes,
)
from detector.stages.stored_scores import run_scores
from detector.stages.svm import run_svm
from detector.stages.train_regions import make_finetuner, run_finetune, run_pretrain


@dataclass(frozen=True)
class Outcome:
    """What a test ended with: the data set, its reports by method (None without objects), the results' folder.

    `filtered` is what a cascade left of the regions, where there is one.
    """

    dataset: Dataset
    reports: Reports | None
    folder: Path
    filtered: Filtered | None = None

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
    weighed = open_dataset(config.data, config.ensemble.fit_weights) if config.ensemble.fit_weights else None
    held_out = open_dataset(config.data, config.context.splits) if config.context.is_used else None
    # what is wrong is told now, not after hours of proposals
    choose_backend(config.engine)
    check_tensorboard(config.log)
    if weighed:
        check_apart("ensemble.fit_weights", training, weighed)
    if held_out:
        check_apart("context.splits", training, held_out)
        check_image_network(config)
    check_cascade(config)
    make_finetuner(config, len(training.classes), group, config.seed, weights_file(config.network.weights))
    check_weights(config.ensemble, config.ensemble.members + len(_further_detectors(config)))
    if group.is_first:
        run.begin(config)
        write_classes(run.path / "classes.csv", training.classes)
        run.log_notes(dict.fromkeys(training.notes + testing.notes))
    labelled = _label(run, config, training, config.data.train, group)
    judged = _label(run, config, validation, config.finetune.validation, group) if validation else None
    start = run_pretrain(run, config, training, group)
    for member in range(config.ensemble.members):
        folder = run.member(member)
        run_finetune(folder.stage("finetune"), config, labelled, judged, member, start, group)
        run_calibrate(folder, config, group, training)
        _train_heads(folder, config, labelled, group)
    if config.cascade.is_used:
        run_cascade(run, config, labelled, group)
    if weighed:
        splits = config.ensemble.fit_weights
        models = [files.by(reported_method(config)) for files in trained_detectors(run, config)]
        rows = run.stage("weight_rows", split_slug(splits))
        run_weights(rows, run.stage("weights"), config, models, _label(run, config, weighed, splits, group), group)
    if held_out:
        _learn_context(run, config, labelled.regions, held_out, group)
    return _run_test(run, config, testing, split_slug(config.data.test), run.path / "report", group)


def run_testing(run: RunFolder, config: Config, splits: Sequence[str], group: Group | None = None) -> Outcome:
    """Test the trained detector of `run` on other splits; the report goes to `report_SPLIT/`."""
    detector = trained_detectors(run, config)[0]
    group = group or alone(choose_device(config.engine.device))  # a wrong one is told now
    testing = open_dataset(config.data, splits)
    check_classes(testing, detector.network)
    check_region(config, detector.network)
    choose_backend(config.engine)
    if group.is_first:
        run.log_notes(testing.notes)
    calibrate_members(run, config, group)
    slug = split_slug(splits)
    return _run_test(run, config, testing, slug, run.path / f"report_{slug}", group)


def trained_detectors(run: RunFolder, config: Config) -> list[ModelFiles]:
    """The files of the run's members, then of the ensemble's further runs'; DataError where one is missing."""
    members = [run.member(number) for number in range(config.ensemble.members)]
    return [*(trained_detector(folder, config) for folder in members), *_further_detectors(config)]


def _further_detectors(config: Config) -> list[ModelFiles]:
    """The files of all members of the ensemble's further runs."""
    found = []
    for path in config.ensemble.runs:
        run = RunFolder(path)
        settings = run.read_config(Config, [])
        found += [trained_detector(run.member(number), settings) for number in range(settings.ensemble.members)]
    return found


def trained_detector(run: RunFolder, config: Config) -> ModelFiles:
    """The files of one model; DataError where one is missing."""
    detector = ModelFiles(
        run.model_path,
        run.svm_path if config.svm.enabled else None,
        run.boxes_path if config.boxes.enabled else None,
    )
    for path in (detector.network, detector.svm, detector.boxes):
        if path is not None and not path.is_file():
            raise DataError(f"run must hold a trained model, got none at {path}")
    return detector


def _label(
    run: RunFolder, config: Config, dataset: Dataset, splits: Sequence[str], group: Group
) -> LabelledRegions[TrainingRegions]:
    """The proposals of a data set with its objects, and their labels."""
    slug = split_slug(splits)
    proposals = run_propose(run.stage("propose", slug), config, dataset, group)
    regions = TrainingRegions(config, dataset, proposals)
    return run_labels(run.stage("labels", slug), regions, label_inputs(config, dataset), group)


def _train_heads(run: RunFolder, config: Config, labelled: LabelledRegions[TrainingRegions], group: Group) -> None:
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


def _learn_context(
    run: RunFolder, config: Config, trained: TrainingRegions, held_out: Dataset, group: Group
) -> None:
    """Learn to rescore what the run would report without context, on images that no model was trained on."""
    keep_image_network(run, config, group)
    network, slug = image_network(run, config), split_slug(config.context.splits)
    proposals = run_regions(run, config, held_out, slug, group)
    seen = run_seen(run.stage("seen", slug), config, held_out, proposals, network, group)
    trained_on = None
    if "classes" in config.context.image:
        stage = run.stage("seen", split_slug(config.data.train))
        trained_on = run_seen(stage, config, trained.dataset, trained.proposals, network, group)
    method = reported_method(config)
    models = [files.by(method) for files in trained_detectors(run, config)]
    source = FromImages(models, fitted_ensemble(run, config.ensemble))
    split, by_svm = SplitScores(held_out, proposals, source), method.startswith("svm")
    rows = run_context_rows(run.stage("context_rows", slug), config, split, by_svm, group)
    run_context(run.stage("context"), config, trained.dataset, trained_on, split, rows, seen, by_svm, group)


def _run_test(run: RunFolder, config: Config, testing: Dataset, slug: str, folder: Path, group: Group) -> Outcome:
    regions = run_regions(run, config, testing, slug, group)
    detectors = trained_detectors(run, config)
    sources = _sources(run, config, testing, slug, regions, detectors, group)
    tables: dict[str, DetectionTable] = {}
    for method, source in sources.items():
        by_svm = (reported_method(config) if method == ENSEMBLE else method).startswith("svm")
        stage = run.stage("detect", slug, method)
        tables[method] = run_detect(stage, config, testing, regions, source, lowest_score(config, by_svm), group)
    used = detectors if ENSEMBLE in tables else detectors[:1]
    hashes = {f"{name} {k}": digest for k, each in enumerate(used) for name, digest in file_hashes(each).items()}
    if config.ensemble.fit_weights:
        hashes["weights"] = file_hash(run.weights_path)
    if CONTEXT in tables:
        hashes["context"] = file_hash(trained_context(run, config))
    evaluation = run.stage("evaluate", slug)
    reports = run_evaluate(evaluation, config, testing, regions, tables, hashes, folder, group)
    kept = filtered(run, testing, slug) if config.cascade.is_used else None
    return Outcome(testing, reports, folder if reports else stage.folder, kept)


def _sources(
    run: RunFolder,
    config: Config,
    testing: Dataset,
    slug: str,
    proposals: Store,
    detectors: list[ModelFiles],
    group: Group,
) -> dict[str, ScoreSource]:
    """The ways to score the test split, by name, the one that the run reports last."""
    first, reported = detectors[0], reported_method(config)
    methods = sorted(detection_methods(config), key=lambda name: name == reported)
    sources: dict[str, ScoreSource] = {}
    if (first.svm or first.boxes) and not config.detect.iterations:
        stage = run.stage("features", slug)
        features = run_test_features(stage, config, testing, proposals, first.network, first.boxes, group)
        sources.update((method, FromFeatures(first, features, method)) for method in methods)
    else:
        sources.update((method, FromImages([first.by(method)])) for method in methods)
    if config.ensemble.is_used:
        models = [detector.by(reported) for detector in detectors]
        sources[ENSEMBLE] = FromImages(models, fitted_ensemble(run, config.ensemble))
    if config.context.is_used:
        context, network = trained_context(run, config), image_network(run, config)
        seen = run_seen(run.stage("seen", slug), config, testing, proposals, network, group)
        last, source = next(reversed(sources.items()))
        if isinstance(source, FromImages):  # both it and its rescoring are reported
            source = run_scores(run.stage("scores", slug), config, testing, proposals, source, group)
        sources.update({last: source, CONTEXT: FromContext(source, context, seen)})
    return sources


def outcome_text(outcome: Outcome) -> str:
    """What a command prints at its end: the mAP table and where the results are."""
    kept = f"{outcome.filtered.text()}\n" if outcome.filtered else ""
    if outcome.report is None or outcome.reports is None:
        return f"{kept}{outcome.dataset.name} has no objects to evaluate against; detections: {outcome.folder}\n"
    table = summary_text(outcome.report, outcome.dataset.classes)
    return f"{table}\n{_methods_text(outcome.reports)}{kept}report: {outcome.folder / 'index.html'}\n"


def _methods_text(reports: Mapping[str, Report]) -> str:
    """The mean AP of each method, where there are several."""
    if len(reports) < 2:
        return ""
    width = max(map(len, reports))
    return "".join(f"{name:{width}}  {decimal(report.mean_ap)}\n" for name, report in reports.items()) + "\n"
