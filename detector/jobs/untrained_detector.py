"""A detector without training: a network of ImageNet's 1,000 classes, their probabilities summed by synsets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from detector.config import Config, parse_config
from detector.config.loading import apply_override
from detector.data.classes import ilsvrc_det_classes
from detector.data.synsets import find_classes
from detector.errors import ConfigError
from detector.inference.detector import ObjectDetector
from detector.inference.models import LoadedModel, open_scorer
from detector.jobs.made_detector import made_detector
from detector.jobs.network_task import network_task
from detector.networks.weight_files.weights import weights_header
from detector.records import FIRST_LABEL
from detector.stages.start_network import start_network

# what configs/without_training.yaml sets beside the data; docs/without_training.md says what was measured
SETTINGS: dict[str, dict[str, Any]] = {
    "network": {"head": "synsets"},
    "proposals": {"max_boxes": 120},
    "region": {"crop_size": 128, "padding": 9},
    "finetune": {"steps": 0},
    "detect": {"voting_iou": 0.5},
}


def untrained_config(weights: Path, overrides: Sequence[str]) -> Config:
    """The settings of a detector by the network in the file `weights`, with `section.key=value` words over them.

    ConfigError for settings by which something would be learned.
    """
    tree: dict[str, Any] = {name: dict(section) for name, section in SETTINGS.items()}
    tree["network"] |= {"weights": str(weights), "variant": weights_header(weights).variant}
    for word in overrides:
        apply_override(tree, word)
    config = parse_config(Config, tree, "settings")
    if config.learns or config.ensemble.members > 1 or config.ensemble.runs:
        raise ConfigError(
            "settings must ask for no training and no further models without a run, got some that do"
        )
    return config


def untrained_detector(weights: Path, overrides: Sequence[str], words: Sequence[str] | None) -> ObjectDetector:
    """The detector of the classes that `words` name, without any of ILSVRC-DET's 200, by `untrained_config`.

    DataError for a class of which ImageNet's 1,000 are none, or weights of others.
    """
    config = untrained_config(weights, overrides)
    classes = ilsvrc_det_classes() if words is None else find_classes(words)
    task = network_task(config, classes)
    with torch.random.fork_rng(devices=[]):
        network, preprocessing = start_network(task, classes.names, len(classes) + FIRST_LABEL, config.seed)
    network.file = str(weights)
    models = [LoadedModel(network.eval(), preprocessing, config.region, list(classes.names))]
    scorer = open_scorer(models, config.ensemble, config.engine, config.detect)
    return made_detector(config, classes, models, scorer, config.ensemble)
