"""Stages `pretrain` and `finetune`: the region classifier, trained on objects' boxes and then on regions."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from detector.config import BoxSettings, FinetuneSettings, PretrainSettings
from detector.data.classes import ClassList
from detector.runs.best import Best
from detector.runs.board import make_board
from detector.runs.folder import RunFolder
from detector.runs.stage import Result, Stage
from detector.runs.train_loop import MetricsLog
from detector.runs.training_result import UNTRAINED, run_trainer
from detector.stages.label import LabelledRegions
from detector.stages.region_batches import BatchMaker, LabelledBatch, batch_maker
from detector.stages.region_sets import ObjectRegions, TrainingRegions
from detector.stages.region_trainer import make_finetuner, make_pretrainer
from detector.stages.save_network import classifier_of, save_trained
from detector.stages.start_network import NetworkTask

VERSION = 1
MEMBER_SEED = 1_000_003  # apart from the seeds that people choose


def run_pretrain(
    stage: Stage,
    run: RunFolder,
    settings: PretrainSettings,
    task: NetworkTask,
    labelled: LabelledRegions[ObjectRegions],
) -> Path:
    """Train a classifier of the objects' own boxes; its weights, whose trunk fine-tuning starts from."""
    classes = labelled.regions.split.dataset.classes.names
    trainer, preprocessing = make_pretrainer(settings, task, classes, stage.group)
    result = stage.result(
        VERSION,
        images=labelled.regions.split.key,
        labels=labelled.labels,
        settings=settings.model_dump(exclude=UNTRAINED),
        **task.reads(stage.group),
    )
    makes = batch_maker(settings, task, settings.batch_size, preprocessing, stage.group, task.seed)
    return run_trainer(
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
        lambda path, network: save_trained(path, network, preprocessing, "", classes=list(classes)),
    )


def run_finetune(
    stage: Stage,
    run: RunFolder,
    settings: FinetuneSettings,
    task: NetworkTask,
    classes: ClassList,
    labelled: LabelledRegions[TrainingRegions] | None,
    validation: LabelledRegions[TrainingRegions] | None,
    boxes: BoxSettings | None = None,
    member: int = 0,
    config: str = "",
) -> Path:
    """Train the region classifier; the path of its weights. Resumes from the last checkpoint.

    With settings of `boxes` it trains box regressors with the classes. The members of an ensemble, from 0, begin
    with the same trunk under classifiers of their own, and draw other regions in another order. `config` is the
    text of all settings, which the file of the weights states. Without labelled regions, which no steps need, the
    weights are those that it begins with.
    """
    group = stage.group
    seed = task.seed + MEMBER_SEED * member
    trainer, preprocessing = make_finetuner(settings, task, classes.names, boxes, group, seed)
    makes = batch_maker(settings, task, settings.positives, preprocessing, group, seed)
    makes = replace(makes, near_share=settings.near_background, paired_iou=boxes.min_iou if boxes else None)
    result = stage.result(
        VERSION,
        labels=labelled and labelled.labels,
        validation=validation and validation.labels,
        settings=settings.model_dump(exclude=UNTRAINED),
        member=member,
        classes=classes.names,
        **_box_reads(boxes),
        **task.reads(group),
    )
    facts: dict[str, Any] = {
        "classes": list(classes.names),
        "wnids": list(classes.wnids),
        "region": task.region.model_dump(),
        "config": config,
    }
    return run_trainer(
        result,
        trainer,
        lambda at: makes.batches(labelled, at.step, settings.steps, group.rank, group.world) if labelled else (),
        MetricsLog(
            run.path / "metrics.csv",
            "finetune",
            ("object_accuracy", "background_accuracy", *(("box_loss",) if boxes else ())),
            "region",
            settings.batch_size,
            make_board(task.log, run.path, "finetune"),
        ),
        run.model_path,
        lambda path, network: save_trained(path, network, preprocessing, run.boxes_path.name, **facts),
        _best(result, settings, makes, validation) if validation else None,
        beside=(run.boxes_path,) if boxes else (),
    )


def _box_reads(boxes: BoxSettings | None) -> dict[str, Any]:
    """What box regressors that are trained with the classes depend on."""
    return {} if boxes is None else {"boxes": boxes.model_dump(include={"min_iou", "weight", "grid"})}


def _best(
    result: Result, settings: FinetuneSettings, makes: BatchMaker, validation: LabelledRegions[Any]
) -> Best | None:
    """What keeps the best weights by the metric that is asked for, if one is."""
    if settings.best == "none":
        return None
    batches = -(-settings.validation_regions // settings.batch_size)

    @torch.inference_mode()
    def measure(network: nn.Module) -> dict[str, float]:
        judged = [_judge(classifier_of(network), batch) for batch in makes.batches(validation, 0, batches)]
        loss, accuracy = np.mean(judged, axis=0).tolist()
        return {"loss": loss, "accuracy": accuracy}

    log = partial(result.stage.log, key=result.key)
    return Best(settings.best, settings.validate_every, result.folder / "best.pt", log, measure)


def _judge(network: nn.Module, batch: LabelledBatch) -> tuple[float, float]:
    """The loss and the share of right answers."""
    logits: Tensor = network(batch.crops).float()
    right = (logits.argmax(1) == batch.labels).float()
    return nn.functional.cross_entropy(logits, batch.labels).item(), right.mean().item()
