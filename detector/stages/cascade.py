"""Stages `cascade_rows` and `cascade`: a cheap classifier of regions, an object of any class or background.

It is a logistic regression, learned on labelled regions of the training split: on the features that a network,
not trained further, has of small crops, or on a few cells of the detector's own shared map. All other training
sees all regions; stage `filter` drops those of other splits.
"""

from pathlib import Path
from typing import Any

import numpy as np

from detector.errors import DataError
from detector.files import file_hash
from detector.networks.context_maps import LinearRescoring
from detector.networks.heads import ObjectnessHead, save_head
from detector.networks.weight_files.weights import open_trunk, save_model
from detector.records import BACKGROUND, Array, Float32, Int64
from detector.runs.part_result import Tensors, run_parts
from detector.runs.stage import Stage
from detector.runs.store import Store
from detector.stages.drawn_rows import CellsLook, Look, images_of
from detector.stages.region_sets import LABEL
from detector.training.context_fit import FittedRescoring
from detector.training.logistic import learn_regions, softmax_of

VERSION = 2
OBJECT = "object"  # the only class
TOLERANCE = 1e-4  # a finer search takes twice as long and orders regions the same


def run_cascade(stage: Stage, rows: Store, look: Look, output: Path) -> Path:
    """Learn the cheap classifier from stored rows of `look`; `output`.

    Of crops it holds the network too; of a map only the linear part, which goes with the file of the network.
    """
    labels = np.array(rows.field("labels"))

    def learn(_: int) -> Tensors:
        features = np.array(rows.field("features"), np.float32)
        return learn_objects(features, labels, images_of(rows), str(stage.group.device)).linear.state_dict()

    def finish(path: Path, parts: list[Tensors]) -> dict[str, Any]:
        linear, stated = LinearRescoring(**parts[0]), {"classes": [OBJECT], "region": look.region.model_dump()}
        if isinstance(look, CellsLook):
            head = ObjectnessHead(linear.own, linear.bias)
            save_head(path, head, model=file_hash(look.network), **stated)
        else:
            opened, preprocessing = open_trunk(look.network, 2)
            opened.classifier.load_state_dict(softmax_of(linear))
            save_model(path, opened, preprocessing, **stated)
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
    return learn_regions(features, is_object.astype(LABEL), images, 1, TOLERANCE, device)
