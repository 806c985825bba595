"""Stages `pretrain` and `finetune`: the region classifier, trained on objects' boxes and then on regions."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from detector.config import (
    EngineSettings,
    FinetuneSettings,
    LogSettings,
    NetworkSettings,
    PretrainSettings,
    RegionSettings,
    RegionTraining,
)
from detector.networks.backbones import backbone_facts, check_crop, check_rounded, make_backbone
from detector.networks.device import choose_precision
from detector.networks.region_classifier import RegionClassifier
from detector.networks.shared_map import SharedClassifier
from detector.networks.warp import Preprocessing
from detector.networks.weight_files.weights import load_pretrained, save_model
from detector.runs.best import Best
from detector.runs.board import make_board
from detector.runs.folder import RunFolder
from detector.runs.processes import Group
from detector.runs.stage import Result, Stage
from detector.runs.train_loop import MetricsLog
from detector.runs.training_result import check_shares, run_training
from detector.stages.label import LabelledRegions
from detector.stages.region_batches import BatchMaker, LabelledBatch
from detector.stages.region_rows import precision_name
from detector.stages.region_sets import ObjectRegions, TrainingRegions
from detector.training.loop import Trainer, parameter_groups
from detector.training.objectives import Loss, ObjectObjective, RegionObjective
from detector.training.schedule import Schedule

VERSION = 1
MEMBER_SEED = 1_000_003  # apart from the seeds that people choose
STEP_FACTOR = 0.1  # of the learning rate every `step_size` steps
UNTRAINED = {"checkpoint_every", "log_every"}  # settings that do not change what is trained

RegionTrainer = Trainer[RegionClassifier, LabelledBatch]
Objective = Callable[[nn.Module, LabelledBatch], Loss]


@dataclass(frozen=True)
class NetworkTask:
    """What both trainings have in common: the network, how it sees regions, and how it is run.

    `start` are the weights that the training begins with, None for random ones.
    """

    network: NetworkSettings
    region: RegionSettings
    engine: EngineSettings
    log: LogSettings
    seed: int
    start: Path | None = None

    def reads(self, group: Group) -> dict[str, Any]:
        """What a training depends on beside its data; the number of processes decides who draws which dropout."""
        return {
            "region": self.region,
            "network": self.network.model_dump(exclude={"weights"}),
            "start": self.start,
            "precision": precision_name(self.engine),
            "processes": group.world,
            "seed": self.seed,
        }


def run_pretrain(
    stage: Stage,
    run: RunFolder,
    settings: PretrainSettings,
    task: NetworkTask,
    labelled: LabelledRegions[ObjectRegions],
) -> Path:
    """Train a classifier of the objects' own boxes; its weights, whose trunk fine-tuning starts from."""
    classes = labelled.regions.split.dataset.classes.names
    trainer, preprocessing = make_pretrainer(settings, task, len(classes), stage.group)
    result = stage.result(
        VERSION, labels=labelled.labels, settings=settings.model_dump(exclude=UNTRAINED), **task.reads(stage.group)
    )
    makes = _batch_maker(settings, task, settings.batch_size, preprocessing, stage.group, task.seed)
    return run_training(
        result,
        trainer,
        lambda at: makes.batches(labelled, at.step, settings.steps, stage.group.rank, stage.group.world),
        MetricsLog(
            run.path / "pretrain.csv",
            "pretrain",
            ("accuracy",),
            "object",
            settings.batch_size,
            make_board(task.log, run.path, "pretrain"),
        ),
        run.pretrained_path,
        lambda path, network: save_model(path, network, preprocessing, classes=list(classes)),
    )


def run_finetune(
    stage: Stage,
    run: RunFolder,
    settings: FinetuneSettings,
    task: NetworkTask,
    labelled: LabelledRegions[TrainingRegions],
    validation: LabelledRegions[TrainingRegions] | None,
    member: int = 0,
    config: str = "",
) -> Path:
    """Train the region classifier; the path of its weights. Resumes from the last checkpoint.

    The members of an ensemble, from 0, begin with the same weights and draw other regions in another order.
    `config` is the text of all settings, which the file of the weights states.
    """
    classes, group = labelled.regions.split.dataset.classes, stage.group
    seed = task.seed + MEMBER_SEED * member
    trainer, preprocessing = make_finetuner(settings, task, len(classes), group, seed)
    makes = _batch_maker(settings, task, settings.positives, preprocessing, group, seed)
    result = stage.result(
        VERSION,
        labels=labelled.labels,
        validation=validation and validation.labels,
        settings=settings.model_dump(exclude=UNTRAINED),
        member=member,
        classes=classes.names,
        **task.reads(group),
    )
    facts: dict[str, Any] = {
        "classes": list(classes.names),
        "wnids": list(classes.wnids),
        "region": task.region.model_dump(),
        "config": config,
    }
    return run_training(
        result,
        trainer,
        lambda at: makes.batches(labelled, at.step, settings.steps, group.rank, group.world),
        MetricsLog(
            run.path / "metrics.csv",
            "finetune",
            ("object_accuracy", "background_accuracy"),
            "region",
            settings.batch_size,
            make_board(task.log, run.path, "finetune"),
        ),
        run.model_path,
        lambda path, network: save_model(path, network, preprocessing, **facts),
        _best(result, settings, makes, validation) if validation else None,
    )


def make_pretrainer(
    settings: PretrainSettings, task: NetworkTask, classes: int, group: Group
) -> tuple[RegionTrainer, Preprocessing]:
    """The trainer of a classifier of objects at step 0, and its network's input."""
    check_shares("pretrain.batch_size", settings.batch_size, group)
    return make_trainer(settings, task, classes, ObjectObjective(settings.label_smoothing), group, task.seed)


def make_finetuner(
    settings: FinetuneSettings, task: NetworkTask, classes: int, group: Group, seed: int
) -> tuple[RegionTrainer, Preprocessing]:
    """The trainer of the region classifier at step 0, its dropout drawn by `seed`, and its network's input."""
    check_shares("finetune.batch_size", settings.batch_size, group)
    check_shares("finetune.positives", settings.positives, group)
    return make_trainer(settings, task, classes + 1, RegionObjective(settings.label_smoothing), group, seed)


def make_trainer(
    settings: RegionTraining, task: NetworkTask, outputs: int, objective: Objective, group: Group, seed: int
) -> tuple[RegionTrainer, Preprocessing]:
    """A trainer at step 0, of a network with the weights to start from, and its network's input.

    DataError or ConfigError for wrong weights or settings.
    """
    if task.region.mode == "shared":
        check_shares("region.shared_images", task.region.shared_images, group)
    torch.manual_seed(task.seed)
    network = _make_network(task, outputs)
    preprocessing = network.backbone.facts.preprocessing
    if task.start is not None:
        preprocessing = load_pretrained(network, task.start)
    trainer = Trainer(
        network,
        objective,
        settings,
        Schedule(settings.schedule, settings.steps, settings.step_size, STEP_FACTOR, settings.warmup),
        parameter_groups(
            [(network.backbone, 1.0), (network.classifier, settings.head_factor)],
            settings.learning_rate,
            settings.weight_decay,
        ),
        seed,
        group.device,
        choose_precision(task.engine.precision, group.device),
    )
    return trainer, preprocessing


def _make_network(task: NetworkTask, outputs: int) -> RegionClassifier:
    """The network as `region.mode` trains it."""
    variant, dropout, region = task.network.variant, task.network.dropout, task.region
    check_crop(variant, region.crop_size)
    if task.engine.precision == "int8":
        check_rounded(variant)
    backbone = make_backbone(variant)
    if region.mode == "shared":
        return SharedClassifier(backbone, outputs, dropout, region, task.start is not None)
    return RegionClassifier(backbone, outputs, dropout, len(region.paddings))


def _batch_maker(
    settings: RegionTraining,
    task: NetworkTask,
    positives: int,
    preprocessing: Preprocessing,
    group: Group,
    seed: int,
) -> BatchMaker:
    workers = group.workers(task.engine.workers)
    shared = backbone_facts(task.network.variant).shared
    return BatchMaker(task.region, settings, positives, preprocessing, shared, group.device, workers, seed)


def _best(
    result: Result, settings: FinetuneSettings, makes: BatchMaker, validation: LabelledRegions[Any]
) -> Best | None:
    """What keeps the best weights by the metric that is asked for, if one is."""
    if settings.best == "none":
        return None
    batches = -(-settings.validation_regions // settings.batch_size)

    @torch.inference_mode()
    def measure(network: nn.Module) -> dict[str, float]:
        judged = [_judge(network, batch) for batch in makes.batches(validation, 0, batches)]
        loss, accuracy = np.mean(judged, axis=0).tolist()
        return {"loss": loss, "accuracy": accuracy}

    log = partial(result.stage.log, key=result.key)
    return Best(settings.best, settings.validate_every, result.folder / "best.pt", log, measure)


def _judge(network: nn.Module, batch: LabelledBatch) -> tuple[float, float]:
    """The loss and the share of right answers."""
    logits: Tensor = network(batch.crops).float()
    right = (logits.argmax(1) == batch.labels).float()
    return nn.functional.cross_entropy(logits, batch.labels).item(), right.mean().item()
