"""The trainer of a classifier of whole images, with auxiliary heads where they are asked for."""

import torch

from detector.config import ClassificationConfig
from detector.data.labelled_images import LabelledImages
from detector.networks.auxiliary import WithAuxiliaryHeads
from detector.networks.backbones import check_crop, make_backbone
from detector.networks.device import choose_precision
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import Preprocessing
from detector.networks.weight_files.weights import load_heads, load_pretrained
from detector.runs.pretrained import weights_file
from detector.runs.processes import Group
from detector.runs.training_result import check_shares
from detector.training.image_batches import ImageBatch
from detector.training.loop import Trainer, parameter_groups
from detector.training.objectives import ImageObjective
from detector.training.schedule import Schedule

ClassifierNetwork = RegionClassifier | WithAuxiliaryHeads
ClassifierTrainer = Trainer[ClassifierNetwork, ImageBatch]


def make_classifier_trainer(
    config: ClassificationConfig, training: LabelledImages, group: Group
) -> tuple[ClassifierTrainer, Preprocessing]:
    """The trainer at step 0 and its network's input; DataError or ConfigError for wrong weights or settings."""
    settings = config.train
    check_shares("train.batch_size", settings.batch_size, group)
    torch.manual_seed(config.seed)
    check_crop(config.network.variant, config.crop.size, "crop.size")
    network = RegionClassifier(
        make_backbone(config.network.variant), len(training.classes), config.network.dropout
    )
    preprocessing = network.backbone.facts.preprocessing
    weights = weights_file(config.network.weights)
    if weights:
        preprocessing = load_pretrained(network, weights, training.classes.names)
    trained: ClassifierNetwork = network
    if settings.auxiliary:
        trained = WithAuxiliaryHeads(network)
        if weights:
            load_heads(trained, weights)
    trainer: ClassifierTrainer = Trainer(
        trained,
        ImageObjective(settings.label_smoothing, settings.auxiliary),
        settings,
        _schedule(config, len(training)),
        parameter_groups([(trained, 1.0)], settings.learning_rate, settings.weight_decay),
        config.seed,
        group.device,
        choose_precision(config.engine.precision, group.device),
    )
    return trainer, preprocessing


def _schedule(config: ClassificationConfig, images: int) -> Schedule:
    """The settings, which count epochs, in steps."""
    settings = config.train
    steps_per_epoch = images / settings.batch_size
    return Schedule(
        settings.schedule,
        max(1, round(settings.epochs * steps_per_epoch)),
        max(1, round(settings.step_epochs * steps_per_epoch)),
        settings.step_factor,
        settings.warmup,
    )
