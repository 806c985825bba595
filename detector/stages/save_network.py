"""Writing the trained network of a detector, and the box regressors trained with it."""

from pathlib import Path
from typing import Any

from torch import nn

from detector.files import file_hash
from detector.networks.heads import save_head
from detector.networks.multi_task import MultiTaskClassifier
from detector.networks.preprocessing import Preprocessing
from detector.networks.region_classifier import RegionClassifier
from detector.networks.weight_files.weights import save_model


def classifier_of(network: nn.Module) -> RegionClassifier:
    """The region classifier alone of what is trained."""
    classifier = network.network if isinstance(network, MultiTaskClassifier) else network
    assert isinstance(classifier, RegionClassifier)
    return classifier


def save_trained(path: Path, network: nn.Module, preprocessing: Preprocessing, boxes: str, **facts: Any) -> None:
    """Write the region classifier with `facts`, `classes` among them, and its box regressors where it has any.

    These lie beside it, in a file called `boxes`.
    """
    save_model(path, classifier_of(network), preprocessing, **facts)
    if isinstance(network, MultiTaskClassifier):
        named = {"classes": facts["classes"], "model": file_hash(path)}
        save_head(path.with_name(boxes), network.boxes.head(), **named)
