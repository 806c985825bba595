"""Stages `pretrain` and `finetune`: the region classifier, trained on objects' boxes and then on regions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from detector.config import Config, RegionTraining, dump_config
from detector.data.dataset import Dataset
from detector.networks.device import choose_precision
from detector.networks.region_classifier import RegionClassifier
from detector.networks.shared_map import SharedClassifier
from detector.networks.warp import Preprocessing
from detector.networks.weight_files.weights import load_pretrained, preprocessing_of, save_model
from detector.runs.best import Best
from detector.runs.board import make_board
from detector.runs.folder import RunFolder, Stage
from detector.runs.pretrained import weights_file
from detector.runs.processes import Group
from detector.runs.train_loop import MetricsLog
from detector.runs.training_stage import check_shares, run_training_stage
from detector.stages.inputs import finetune_inputs, label_inputs, pretrain_inputs
from detector.stages.label import BatchMaker, LabelledBatch, LabelledRegions, run_labels
from detector.stages.region_sets import ObjectRegions, TrainingRegions
from detector.training.loop import Trainer, parameter_groups
from detector.training.objectives import Loss, ObjectObjective, RegionObjective
from detector.training.schedule import Schedule

MEMBER_SEED = 1_000_003  # apart from the seeds that people choose
STEP_FACTOR = 0.1  # of the learning rate every `step_size` steps

RegionTrainer = Trainer[RegionClassifier, LabelledBatch]
Objective = Callable[[nn.Module, LabelledBatch], Loss]


def run_pretrain(run: RunFolder, config: Config, dataset: Dataset, group: Group) -> Path | None:
    """Train a classifier of the objects' own boxes; the weights whose trunk fine-tuning starts from.

    With `pretrain.steps` 0 there is nothing to do, and they are those of `network.weights`, None for none.
    """
    settings, start = config.pretrain, weights_file(config.network.weights)
    if not settings.steps:
        return start
    check_shares("pretrain.batch_size", settings.batch_size, group)
    objective = ObjectObjective(settings.label_smoothing)
    trainer, preprocessing = make_trainer(
        config, settings, len(dataset.classes), objective, group, config.seed, start
    )
    labelled = run_labels(
        run.stage("labels", "objects"), ObjectRegions(dataset), label_inputs(config, dataset), group
    )
    output = run.path / "model" / "pretrained.safetensors"
    makes = BatchMaker(
        config,
        settings,
        settings.batch_size,
        preprocessing,
        group.device,
        group.workers(config.engine.workers),
        config.seed,
    )
    run_training_stage(
        run.stage("pretrain"),
        pretrain_inputs(config, dataset, group.world, start),
        group,
        trainer,
        lambda at: makes.batches(labelled, at.step, settings.steps, group.rank, group.world),
        MetricsLog(
            run.path / "pretrain.csv",
            "pretrain",
            ("accuracy",),
            "object",
            settings.batch_size,
            make_board(config.log, run.path, "pretrain"),
        ),
        output,
        lambda network: save_model(output, network, preprocessing, classes=list(dataset.classes.names)),
    )
    return output


def run_finetune(
    stage: Stage,
    config: Config,
    labelled: LabelledRegions[TrainingRegions],
    validation: LabelledRegions[TrainingRegions] | None,
    member: int,
    start: Path | None,
    group: Group,
) -> Path:
    """Train the region classifier from the weights `start`; the path of its own. Resumes from the last checkpoint.

    The members of an ensemble, from 0, begin with the same weights and draw other regions in another order.
    """
    settings = config.finetune
    dataset = labelled.regions.dataset
    output = stage.run.model_path
    seed = config.seed + MEMBER_SEED * member
    trainer, preprocessing = make_finetuner(config, len(dataset.classes), group, seed, start)
    makes = BatchMaker(
        config,
        settings,
        settings.positives,
        preprocessing,
        group.device,
        group.workers(config.engine.workers),
        seed,
    )
    metrics = ("object_accuracy", "background_accuracy")
    facts: dict[str, Any] = {
        "classes": list(dataset.classes.names),
        "wnids": list(dataset.classes.wnids),
        "region": config.region.model_dump(),
        "config": dump_config(config),
    }
    run_training_stage(
        stage,
        finetune_inputs(
            config, dataset, validation.regions.dataset if validation else None, member, group.world, start
        ),
        group,
        trainer,
        lambda at: makes.batches(labelled, at.step, settings.steps, group.rank, group.world),
        MetricsLog(
            stage.run.path / "metrics.csv",
            "finetune",
            metrics,
            "region",
            settings.batch_size,
            make_board(config.log, stage.run.path, "finetune"),
        ),
        output,
        lambda network: save_model(output, network, preprocessing, **facts),
        _best(stage, makes, validation) if validation else None,
    )
    return output


def make_finetuner(
    config: Config, classes: int, group: Group, seed: int, start: Path | None
) -> tuple[RegionTrainer, Preprocessing]:
    """The trainer of the region classifier at step 0, its dropout drawn by `seed`, and its network's input."""
    settings = config.finetune
    check_shares("finetune.batch_size", settings.batch_size, group)
    check_shares("finetune.positives", settings.positives, group)
    objective = RegionObjective(settings.label_smoothing)
    return make_trainer(config, settings, classes + 1, objective, group, seed, start)


def make_trainer(
    config: Config,
    settings: RegionTraining,
    outputs: int,
    objective: Objective,
    group: Group,
    seed: int,
    start: Path | None,
) -> tuple[RegionTrainer, Preprocessing]:
    """A trainer at step 0, of a network with the weights `start`, and its network's input.

    DataError or ConfigError for wrong weights or settings.
    """
    if config.region.mode == "shared":
        check_shares("region.shared_images", config.region.shared_images, group)
    torch.manual_seed(config.seed)
    network = _make_network(config, outputs, start is not None)
    preprocessing = preprocessing_of(config.network.variant)
    if start is not None:
        preprocessing = load_pretrained(network, start)
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
        choose_precision(config.engine.precision, group.device),
    )
    return trainer, preprocessing


def _make_network(config: Config, outputs: int, is_pretrained: bool) -> RegionClassifier:
    """The network as `region.mode` trains it."""
    variant, dropout = config.network.variant, config.network.dropout
    if config.region.mode == "shared":
        return SharedClassifier(variant, outputs, dropout, config.region, is_pretrained)
    return RegionClassifier(variant, outputs, dropout, len(config.region.paddings))


def _best(stage: Stage, makes: BatchMaker, validation: LabelledRegions) -> Best | None:
    """What keeps the best weights by the metric that is asked for, if one is."""
    settings = makes.config.finetune
    if settings.best == "none":
        return None
    batches = -(-settings.validation_regions // settings.batch_size)

    @torch.inference_mode()
    def measure(network: nn.Module) -> dict[str, float]:
        judged = [_judge(network, batch) for batch in makes.batches(validation, 0, batches)]
        loss, accuracy = np.mean(judged, axis=0).tolist()
        return {"loss": loss, "accuracy": accuracy}

    return Best(settings.best, settings.validate_every, stage.folder / "best.pt", stage.run, measure)


def _judge(network: nn.Module, batch: LabelledBatch) -> tuple[float, float]:
    """The loss and the share of right answers."""
    logits: Tensor = network(batch.crops).float()
    right = (logits.argmax(1) == batch.labels).float()
    return nn.functional.cross_entropy(logits, batch.labels).item(), right.mean().item()
