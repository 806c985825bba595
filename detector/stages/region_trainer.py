"""The trainer of a region classifier: what it is trained for, and its schedule."""

from collections.abc import Callable, Sequence

from torch import nn

from detector.config import BoxSettings, FinetuneSettings, PretrainSettings, RegionTraining
from detector.networks.device import choose_precision
from detector.networks.multi_task import MultiTaskClassifier
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import Preprocessing
from detector.runs.processes import Group
from detector.runs.training_result import check_shares
from detector.stages.region_batches import LabelledBatch
from detector.stages.start_network import NetworkTask, start_network
from detector.training.loop import Trainer, parameter_groups
from detector.training.objectives import Loss, MultiTaskObjective, ObjectObjective, RegionObjective
from detector.training.schedule import Schedule

STEP_FACTOR = 0.1  # of the learning rate every `step_size` steps

Trained = RegionClassifier | MultiTaskClassifier
RegionTrainer = Trainer[Trained, LabelledBatch]
Objective = Callable[[nn.Module, LabelledBatch], Loss]


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
    network, preprocessing = start_network(task, classes, outputs, seed)
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
