"""Training a detector: every stage that the settings ask for, each skipped where its result is there.

propose, labels -> pretrain -> finetune -> features, svm -> pairs, boxes -> cascade_rows, cascade
-> on held-out data propose, labels, weight_rows, weights, filter, seen, context_rows, context
-> the test (`test_detector`).
"""

from dataclasses import dataclass, replace

import numpy as np

from detector.config import Config, dump_config
from detector.data.classes import write_classes
from detector.inference.backends import choose_backend
from detector.inference.models import check_weights
from detector.jobs.test_detector import Outcome, run_test
from detector.jobs.trained_models import (
    context_task,
    further_models,
    image_network,
    proposals_of,
    regions_of,
    scored_by_all,
    trained_models,
)
from detector.networks.device import choose_device
from detector.runs.board import check_tensorboard
from detector.runs.folder import RunFolder
from detector.runs.job import Job
from detector.runs.pretrained import weights_file
from detector.runs.processes import Group, alone
from detector.runs.split import Split, open_split
from detector.runs.store import Store
from detector.stages.box_regression import run_boxes, run_pairs
from detector.stages.calibrate import calibrate
from detector.stages.cascade import check_cascade, run_cascade, run_cascade_rows, small_region
from detector.stages.context import SeenImages, SplitScores, check_apart, run_context, run_context_rows
from detector.stages.ensemble_weights import run_weight_rows, run_weights
from detector.stages.image_features import (
    check_image_network,
    image_weights,
    keep_image_network,
    run_image_features,
)
from detector.stages.label import LabelledRegions, run_labels
from detector.stages.region_features import run_training_features
from detector.stages.region_sets import MinedRegions, ObjectRegions, TrainingRegions, choose_images
from detector.stages.svm import run_svm
from detector.stages.train_regions import NetworkTask, make_finetuner, run_finetune, run_pretrain

Labelled = LabelledRegions[TrainingRegions]


@dataclass(frozen=True)
class Splits:
    """What a training reads: the data trained on, tested on, and held out for what is learned last."""

    training: Split
    testing: Split
    validation: Split | None
    weighed: Split | None
    context: Split | None


def run_training(run: RunFolder, config: Config, group: Group | None = None) -> Outcome:
    """Train a detector on the training split and test it on the test split; the report goes to `report/`."""
    group = group or alone(choose_device(config.engine.device))
    return train_detector(Job(run, config, group))


def train_detector(job: Job[Config]) -> Outcome:
    """Run the stages of a training, then those of its test."""
    config, splits = job.config, open_splits(job.config)
    task = NetworkTask(
        config.network, config.region, config.engine, config.log, config.seed, weights_file(config.network.weights)
    )
    check_settings(job, splits, task)
    if job.group.is_first:
        job.run.begin(config)
        write_classes(job.run.path / "classes.csv", splits.training.dataset.classes)
        job.run.log_notes(dict.fromkeys(splits.training.dataset.notes + splits.testing.dataset.notes))
    labelled = label(job, splits.training)
    validation = label(job, splits.validation) if splits.validation else None
    task = pretrained(job, task, splits.training)
    for number in range(config.ensemble.members):
        train_model(job.member(number), task, labelled, validation, number)
    if config.cascade.is_used:
        train_cascade(job, labelled)
    if splits.weighed:
        weigh_models(job, label(job, splits.weighed))
    if splits.context:
        learn_context(job, labelled.regions, splits.context)
    return run_test(job, splits.testing, job.run.path / "report")


def open_splits(config: Config) -> Splits:
    """All data that the settings name."""
    data, context = config.data, config.context
    named = (config.finetune.validation, config.ensemble.fit_weights, context.splits if context.is_used else ())
    held_out = (open_split(data, names) if names else None for names in named)
    return Splits(open_split(data, data.train), open_split(data, data.test), *held_out)


def check_settings(job: Job[Config], splits: Splits, task: NetworkTask) -> None:
    """Tell what is wrong now, not after hours of proposals."""
    config, training = job.config, splits.training.dataset
    choose_backend(config.engine)
    check_tensorboard(config.log)
    for key, held_out in (("ensemble.fit_weights", splits.weighed), ("context.splits", splits.context)):
        if held_out:
            check_apart(key, training, held_out.dataset)
    check_image_network(config.context, config.network)
    check_cascade(config.cascade, config.network.variant)
    make_finetuner(config.finetune, task, len(training.classes), job.group, config.seed)
    check_weights(config.ensemble, config.ensemble.members + len(further_models(config.ensemble)))


def label(job: Job[Config], split: Split) -> Labelled:
    """The proposals of a split with its objects, and their labels."""
    settings = job.config.finetune
    regions = TrainingRegions(split, proposals_of(job, split), settings.positive_iou)
    return run_labels(job.stage("labels", split.name), regions, positive_iou=settings.positive_iou)


def pretrained(job: Job[Config], task: NetworkTask, training: Split) -> NetworkTask:
    """`task` with what fine-tuning starts from: the weights of the settings, or those that are pretrained now."""
    if not job.config.pretrain.steps:
        return task
    labelled = run_labels(job.stage("labels", "objects"), ObjectRegions(training))
    start = run_pretrain(job.stage("pretrain"), job.run, job.config.pretrain, task, labelled)
    return replace(task, start=start)


def train_model(
    job: Job[Config], task: NetworkTask, labelled: Labelled, validation: Labelled | None, number: int
) -> None:
    """Fine-tune one model of the ensemble, and train the SVMs and box regressors that are asked for."""
    config, regions = job.config, labelled.regions
    text = dump_config(config)
    model = run_finetune(job.stage("finetune"), job.run, config.finetune, task, labelled, validation, number, text)
    calibrate(job.stage("finetune"), model, lambda: regions.split, config.region, config.engine, config.seed)
    if config.svm.enabled:
        mined = choose_images(np.any(regions.split.dataset.complete, axis=1), config.svm.images, config.seed)
        chosen = MinedRegions(regions, mined)
        stage = job.stage("features", regions.split.name)
        features = run_training_features(stage, chosen, model, config.region, config.engine)
        run_svm(job.stage("svm"), config.svm, chosen, features, model, job.run.svm_path)
    if config.boxes.enabled:
        with_proposals = np.diff(labelled.labels.offsets) > 0
        used = choose_images(with_proposals, config.boxes.images, config.seed)
        pairs = run_pairs(job.stage("pairs"), config.boxes, regions, used, model, config.region, config.engine)
        names = regions.split.dataset.classes.names
        run_boxes(job.stage("boxes"), config.boxes, pairs, names, model, job.run.boxes_path)


def train_cascade(job: Job[Config], labelled: Labelled) -> None:
    """Learn the cheap classifier that drops regions of other splits, on some of the training regions."""
    config = job.config
    network = weights_file(config.cascade.weights or config.network.weights) or job.run.model_path
    region = small_region(config.region, config.cascade.crop_size)
    rows = run_cascade_rows(
        job.stage("cascade_rows"), config.cascade, labelled, network, region, config.engine, config.seed
    )
    run_cascade(job.stage("cascade"), rows, network, region, job.run.cascade_path)


def weigh_models(job: Job[Config], held_out: Labelled) -> None:
    """Learn how much each model of the ensemble counts, on images that no model was trained on."""
    config = job.config
    models = [model.by(config.method) for model in trained_models(job)]
    stage = job.stage("weight_rows", held_out.regions.split.name)
    rows = run_weight_rows(stage, models, config.ensemble, held_out, config.engine)
    run_weights(job.stage("weights"), rows, len(models), job.run.weights_path)


def learn_context(job: Job[Config], trained: TrainingRegions, split: Split) -> None:
    """Learn to rescore what the run would report without context, on images that no model was trained on."""
    config, run = job.config, job.run
    keep_image_network(image_weights(config.context, config.network), run.image_network_path, job.group)

    def seen_in(images: Split, proposals: Store) -> SeenImages:
        stage = job.stage("seen", images.name)
        store = run_image_features(stage, images, proposals, image_network(job), config.engine)
        return SeenImages(images.dataset, store)

    regions = regions_of(job, split)
    held_out = seen_in(split, regions)
    training = seen_in(trained.split, trained.proposals) if "classes" in config.context.image else None
    task = context_task(config)
    scores = SplitScores(split, regions, scored_by_all(job))
    rows = run_context_rows(job.stage("context_rows", split.name), task, scores, config.engine)
    run_context(job.stage("context"), task, held_out, rows, training, run.context_path)
