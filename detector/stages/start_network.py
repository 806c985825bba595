"""The network that a training of a detector starts from, and what pretraining and fine-tuning share."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from detector.config import EngineSettings, LogSettings, NetworkSettings, RegionSettings
from detector.networks.backbones import check_crop, check_rounded, make_backbone
from detector.networks.region_classifier import RegionClassifier
from detector.networks.shared_map import SharedClassifier
from detector.networks.warp import Preprocessing
from detector.networks.weight_files.weights import load_pretrained, load_summed, load_trunk, weights_header
from detector.runs.processes import Group
from detector.stages.first_classifier import read_first_classifier
from detector.stages.training_reads import training_reads


@dataclass(frozen=True)
class NetworkTask:
    """What pretraining and fine-tuning share: the network, how it sees regions, and how it is run.

    `start` is the file of the weights to start from, None for random ones; `head` that of a fitted classifier.
    `groups` says for each class of `start` the class that it is summed into; () without such sums.
    """

    network: NetworkSettings
    region: RegionSettings
    engine: EngineSettings
    log: LogSettings
    seed: int
    start: Path | None = None
    head: Path | None = None
    groups: tuple[int, ...] = ()

    def reads(self, group: Group) -> dict[str, Any]:
        """What a training depends on beside its data."""
        return {
            "region": self.region,
            "head": self.head,
            **({"groups": self.groups} if self.groups else {}),
            **training_reads(self.network, self.start, self.engine, group, self.seed),
        }


def start_network(
    task: NetworkTask, classes: Sequence[str], outputs: int, seed: int
) -> tuple[RegionClassifier, Preprocessing]:
    """The network that the training starts from, and its preprocessing.

    Its classifier is that of the weights to start from where these state the same `classes`, or sums of their
    classes where the task has `groups`; else it is random, or the fitted one in `task.head`.
    """
    torch.manual_seed(task.seed)
    network = _make_network(task, outputs)
    if seed != task.seed:  # of an ensemble's further member all but the trunk is its own
        torch.manual_seed(seed)
        network.restart()
    preprocessing = network.backbone.facts.preprocessing
    if task.start is not None:
        header = weights_header(task.start)
        if header.metadata.get("classes") == list(classes):
            if header.groups:
                network.sum_classes(header.groups)
            preprocessing = load_pretrained(network, task.start)
        elif task.groups:
            preprocessing = load_summed(network, task.start, task.groups)
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
