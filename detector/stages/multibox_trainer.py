"""The trainer of a MultiBox network: its priors fitted to the training objects, its loss, its schedule."""

import numpy as np
import torch

from detector.config import MultiBoxConfig
from detector.data.dataset import Dataset, has_area
from detector.networks.backbones import make_backbone
from detector.networks.device import choose_precision
from detector.networks.multibox import MultiBox
from detector.networks.warp import Preprocessing
from detector.networks.weight_files.weights import load_trunk
from detector.proposals.priors import grid_priors, learned_priors
from detector.records import Float32
from detector.runs.pretrained import weights_file
from detector.runs.processes import Group
from detector.runs.training_result import check_shares
from detector.training.loop import Trainer, parameter_groups
from detector.training.multibox_loss import MultiBoxObjective, WindowBatch
from detector.training.schedule import Schedule

STEP_FACTOR = 0.1  # of the learning rate every train.step_size steps

MultiBoxTrainer = Trainer[MultiBox, WindowBatch]


def make_multibox_trainer(
    config: MultiBoxConfig, training: Dataset, group: Group
) -> tuple[MultiBoxTrainer, Preprocessing]:
    """The trainer at step 0 and its network's input; DataError or ConfigError for wrong weights or settings."""
    settings = config.train
    check_shares("train.batch_size", settings.batch_size, group)
    torch.manual_seed(config.seed)
    network = MultiBox(
        make_backbone(config.network.variant),
        config.multibox.form,
        torch.from_numpy(fit_priors(config, training)),
    )
    preprocessing = network.backbone.facts.preprocessing
    weights = weights_file(config.network.weights)
    if weights:
        preprocessing = load_trunk(network.backbone, weights)
    network.backbone.freeze(settings.frozen_stages)
    for layers in network.backbone.feature_layers():
        layers.requires_grad_(False)  # they get no gradients, which several processes would wait for
    objective = MultiBoxObjective(
        config.multibox.box_weight,
        config.multibox.matching,
        config.multibox.bootstrap,
        round(config.multibox.bootstrap_start * settings.steps),
    )
    trainer: MultiBoxTrainer = Trainer(
        network,
        objective,
        settings,
        Schedule(settings.schedule, settings.steps, settings.step_size, STEP_FACTOR, settings.warmup),
        parameter_groups(
            [(network.backbone, 1.0), (network.head, settings.head_factor)],
            settings.learning_rate,
            settings.weight_decay,
        ),
        config.seed,
        group.device,
        choose_precision(config.engine.precision, group.device),
    )
    return trainer, preprocessing


def fit_priors(config: MultiBoxConfig, training: Dataset) -> Float32:
    """The priors (K, 4) of the config's form, fitted to the objects of `training`; crowds do not count."""
    objects = training.objects
    sides = training.sizes[objects.image][:, ::-1]  # (G, 2) width, height
    boxes = np.clip(objects.boxes, 0, np.tile(sides, 2))
    usable = has_area(boxes) & ~objects.crowd
    fractions = (boxes / np.tile(sides, 2))[usable].astype(np.float32)
    match config.multibox.form:
        case "grid":
            return grid_priors(fractions, config.seed, config.multibox.shapes)
        case "learned":
            return learned_priors(fractions, config.multibox.priors, config.seed)
