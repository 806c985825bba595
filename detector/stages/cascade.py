"""Stages `cascade_rows` and `cascade`: a cheap classifier of regions, an object of any class or background.

It is a network as it stands, on small crops, and a logistic regression of its features, learned on labelled
regions of the training split. All other training sees all regions; stage `filter` drops those of other splits.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from detector.config import RegionSettings
from detector.errors import DataError
from detector.networks.context_maps import LinearRescoring
from detector.networks.region_classifier import RegionClassifier
from detector.networks.weight_files.weights import save_model
from detector.records import BACKGROUND, Array, Float32, Int64
from detector.runs.part_result import Tensors, run_parts
from detector.runs.stage import Stage
from detector.runs.store import Store
from detector.stages.cascade_network import open_network
from detector.stages.cascade_rows import VERSION
from detector.training.context_fit import FittedRescoring, RescoringRows, fit_rescoring

OBJECT = "object"  # the only class


def run_cascade(stage: Stage, rows: Store, network: Path, region: RegionSettings, output: Path) -> Path:
    """Learn the cheap classifier from stored rows; `output`, which holds the network too."""
    labels = np.array(rows.field("labels"))
    images = np.repeat(np.arange(len(rows)), np.diff(rows.offsets))

    def learn(_: int) -> Tensors:
        features = np.array(rows.field("features"), np.float32)
        return learn_objects(features, labels, images, str(stage.group.device)).linear.state_dict()

    def finish(path: Path, parts: list[Tensors]) -> dict[str, Any]:
        opened, preprocessing = open_network(network)
        _place(parts[0], opened)
        save_model(path, opened, preprocessing, classes=[OBJECT], region=region.model_dump())
        return {"regions": len(labels), "objects": int((labels > BACKGROUND).sum())}

    return run_parts(stage.result(VERSION, rows=rows), 1, learn, output, finish)


def learn_objects(features: Float32, labels: Array, images: Int64, device: str = "cpu") -> FittedRescoring:
    """From features (M, F) to the log-odds of an object, by logistic regression.

    labels (M,) are those of the regions, 0 of background, images (M,) rise and say of which image each region is.
    DataError without regions of both kinds.
    """
    is_object = labels > BACKGROUND
    if is_object.all() or not is_object.any():
        raise DataError(
            f"cascade needs regions of objects and of background in the training split, got {is_object.sum()} and "
            f"{(~is_object).sum()}"
        )
    groups = np.unique(images, return_inverse=True)[1]
    targets = np.where(is_object, 1, -1).astype(np.int8)[:, None]
    rows = RescoringRows(features, np.empty((groups[-1] + 1, 0), np.float32), groups, targets)
    nothing = LinearRescoring(torch.zeros(1, features.shape[1]), torch.zeros(1, 0), torch.zeros(1))
    return fit_rescoring(rows, nothing, device=device)


def _place(head: Tensors, network: RegionClassifier) -> None:
    """Make log-odds of an object the second output of a network, whose first is 0: a softmax is their sigmoid."""
    state = {
        "weight": torch.cat([torch.zeros_like(head["own"]), head["own"]]),
        "bias": torch.cat([torch.zeros_like(head["bias"]), head["bias"]]),
    }
    network.classifier.load_state_dict(state)
