"""The trainer of a region classifier: the network as `region.mode` trains it, its objective and its schedule."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from detector.config import (
    BoxSettings,
    EngineSettings,
    FinetuneSettings,
    LogSettings,
    NetworkSettings,
    PretrainSettings,
    RegionSettings,
    RegionTraining,
)
from detector.networks.backbones import check_crop, check_rounded, make_backbone
from detector.networks.device import choose_precision
from detector.networks.multi_task import MultiTaskClassifier
from detector.networks.region_classifier import RegionClassifier
from detector.networks.shared_map import SharedClassifier
from detector.networks.warp import Preprocessing
from detector.networks.weight_files.weights import load_pretrained, load_trunk, weights_header
from detector.runs.processes import Group
from detector.runs.training_result import check_shares
from detector.stages.first_classifier import read_first_classifier
from detector.stages.region_batches import LabelledBatch
from detector.stages.training_reads import training_reads
from detector.training.loop import Trainer, parameter_groups
from detector.training.objectives import Loss, MultiTaskObjective, ObjectObjective, RegionObjective
from detector.training.schedule import Schedule

STEP_FACTOR = 0.1  # of the learning rate every `step_size` steps

Trained = RegionClassifier | MultiTaskClassifier
RegionTrainer = Trainer[Trained, LabelledBatch]
Objective = Callable[[nn.Module, LabelledBatch], Loss]


def classifier_of(network: nn.Module) -> RegionClassifier:
    """The region classifier alone of what is trained."""
    classifier = network.network if isinstance(network, MultiTaskClassifier) else network
    assert isinstance(classifier, RegionClassifier)
    return classifier


@dataclass(frozen=True)
class NetworkTask:
    """What both trainings have in common: the network, how it sees regions, and how it is run.

    `start` are the weights that the training begins with, None for random ones, and `head` what fine-tuning's
    classifier begins with, None for what `start` or chance makes of it.
    """

    network: NetworkSettings
    region: RegionSettings
    engine: EngineSettings
    log: LogSettings
    seed: int
    start: Path | None = None
    head: Path | None = None

    def reads(self, group: Group) -> dict[str, Any]:
        """What a training depends on beside its data."""
        return {
            "region": self.region,
            "head": self.head,
            **training_reads(self.network, self.start, self.engine, group, self.seed),
        }


def make_pretrainer(
    settings: PretrainSettings, task: NetworkTask, classes: Sequence[str], group: Group
) -> tuple[RegionTrainer, Preprocessing]:
    """The trainer of a classifier of objects, `classes` by their names, at step 0, and its network's input."""
    check_shares("pretrain.batch_size", settings.batch_size, group)
    objective = ObjectObjective(settings.label_smoothing)
    return _make_trainer(settings, task, classes, len(classes), objective, None, group, task.seed)


def make_finetuner(
    settings: FinetuneSettings,
    task: NetworkTask,
    classes: Sequence[str],
    boxes: BoxSettings | None,
    group: Group,
    seed: int,
) -> tuple[RegionTrainer, Preprocessing]:
    """The trainer of the classifier of `classes` and background at step 0, and its network's input.

    Its dropout is drawn by `seed`. It trains box regressors, too, where there are settings of `boxes`.
    """
    check_shares("finetune.batch_size", settings.batch_size, group)
    check_shares("finetune.positives", settings.positives, group)
    objective: Objective = RegionObjective(settings.label_smoothing)
    if boxes:
        objective = MultiTaskObjective(settings.label_smoothing, boxes.weight)
    return _make_trainer(settings, task, classes, len(classes) + 1, objective, boxes, group, seed)


def _make_trainer(
    settings: RegionTraining,
    task: NetworkTask,
    classes: Sequence[str],
    outputs: int,
    objective: Objective,
    boxes: BoxSettings | None,
    group: Group,
    seed: int,
) -> tuple[RegionTrainer, Preprocessing]:
    """A trainer at step 0, and its network's input; DataError or ConfigError for wrong weights or settings."""
    if task.region.mode == "shared":
        check_shares("region.shared_images", task.region.shared_images, group)
    network, preprocessing = _start_network(task, classes, outputs, seed)
    network.backbone.freeze(settings.frozen_stages)
    parts: list[tuple[nn.Module, float]] = [(network.backbone, 1.0), (network.classifier, settings.head_factor)]
    trained: Trained = network
    if boxes:
        trained = MultiTaskClassifier(network, boxes.grid)
        parts.append((trained.boxes, 1.0))
    trainer: RegionTrainer = Trainer(
        trained,
        objective,
        settings,
        Schedule(settings.schedule, settings.steps, settings.step_size, STEP_FACTOR, settings.warmup),
        parameter_groups(parts, settings.learning_rate, settings.weight_decay, settings.bias_factor),
        seed,
        group.device,
        choose_precision(task.engine.precision, group.device),
    )
    return trainer, preprocessing


def _start_network(
    task: NetworkTask, classes: Sequence[str], outputs: int, seed: int
) -> tuple[RegionClassifier, Preprocessing]:
    """The network with what the training begins with, and its input.

    The classifier begins with the weights to start from where they state that it is one of the same `classes`.
    """
    torch.manual_seed(task.seed)
    network = _make_network(task, outputs)
    if seed != task.seed:  # of an ensemble's further member all but the trunk is its own
        torch.manual_seed(seed)
        network.restart()
    preprocessing = network.backbone.facts.preprocessing
    if task.start is not None:
        if weights_header(task.start).metadata.get("classes") == list(classes):
            preprocessing = load_pretrained(network, task.start)
        else:
            preprocessing = load_trunk(network.backbone, task.start)
    if task.head is not None:
        network.classifier.load_state_dict(read_first_classifier(task.head))
    return network, preprocessing


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
