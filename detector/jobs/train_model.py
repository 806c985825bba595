"""Training one model of a run: the network, then the SVMs and box regressors on its features."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from detector.config import Config, dump_config
from detector.jobs.trained_models import proposals_of
from detector.runs.job import Job
from detector.runs.split import Split
from detector.stages.box_regression import run_boxes, run_pairs
from detector.stages.calibrate import calibrate
from detector.stages.drawn_rows import FeatureLook, run_drawn_rows
from detector.stages.first_classifier import IMAGES, run_first_classifier
from detector.stages.label import LabelledRegions, run_labels
from detector.stages.region_features import run_training_features
from detector.stages.region_sets import MinedRegions, ObjectRegions, TrainingRegions, choose_images
from detector.stages.start_network import NetworkTask
from detector.stages.svm import run_svm
from detector.stages.train_regions import run_finetune, run_pretrain

Labelled = LabelledRegions[TrainingRegions]


def train_model(
    job: Job[Config],
    task: NetworkTask,
    training: Split,
    labelled: Labelled | None,
    validation: Labelled | None,
    number: int,
) -> None:
    """Fine-tune model `number` of the ensemble, and train the SVMs and box regressors that are asked for.

    `labelled` are the regions of the split `training`; where it is None the network is saved untrained.
    """
    config, text = job.config, dump_config(job.config)
    classes, joint = training.dataset.classes, config.joint_boxes
    model = run_finetune(
        job.stage("finetune"), job.run, config.finetune, task, classes, labelled, validation, joint, number, text
    )
    calibrate(job.stage("finetune"), model, lambda: training, config.region, config.engine, config.seed)
    if labelled and config.svm.enabled:
        _train_svms(job, labelled.regions, model)
    if labelled and config.boxes.enabled and not config.joint_boxes:
        _train_boxes(job, labelled, model)


def _train_svms(job: Job[Config], regions: TrainingRegions, model: Path) -> None:
    """Train the SVMs on the features of a model."""
    config, dataset = job.config, regions.split.dataset
    candidates = np.any(dataset.complete, axis=1)
    mined = choose_images(candidates, config.svm.images, config.seed, first=dataset.exhaustive)
    chosen = MinedRegions(regions, mined)
    stage = job.stage("features", regions.split.name)
    features = run_training_features(stage, chosen, model, config.region, config.engine)
    run_svm(job.stage("svm"), config.svm, chosen, features, model, job.run.svm_path)


def _train_boxes(job: Job[Config], labelled: Labelled, model: Path) -> None:
    """Train the box regressors on the features of a model."""
    config, regions, dataset = job.config, labelled.regions, labelled.regions.split.dataset
    with_proposals = np.diff(labelled.labels.offsets) > 0
    used = choose_images(with_proposals, config.boxes.images, config.seed, first=dataset.exhaustive)
    paired = run_pairs(job.stage("pairs"), config.boxes, regions, used, model, config.region, config.engine)
    run_boxes(job.stage("boxes"), config.boxes, paired, dataset.classes.names, model, job.run.boxes_path)


def label(job: Job[Config], split: Split) -> Labelled:
    """The proposals of a split with its objects, and their labels."""
    settings = job.config.finetune
    regions = TrainingRegions(split, proposals_of(job, split), settings.positive_iou)
    return run_labels(job.stage("labels", split.name), regions, positive_iou=settings.positive_iou)


def pretrained(job: Job[Config], task: NetworkTask, training: Split) -> NetworkTask:
    """`task` with the weights that fine-tuning starts from: those of the settings, or of stage `pretrain`."""
    if not job.config.pretrain.steps:
        return task
    labelled = run_labels(job.stage("labels", "objects"), ObjectRegions(training))
    start = run_pretrain(job.stage("pretrain"), job.run, job.config.pretrain, task, labelled)
    return replace(task, start=start)


def with_classifier(job: Job[Config], task: NetworkTask, labelled: Labelled) -> NetworkTask:
    """`task` with the classifier that fine-tuning starts from, where `network.head` asks for a fitted one."""
    config = job.config
    if config.network.head != "fitted" or task.start is None:
        return task
    stage, names = job.stage("first_rows"), labelled.regions.split.dataset.classes.names
    look = FeatureLook(task.start, config.region)
    rows = run_drawn_rows(stage, IMAGES, labelled, look, config.engine, config.seed)
    head = run_first_classifier(job.stage("first_classifier"), rows, names, job.run.first_classifier_path)
    return replace(task, head=head)
