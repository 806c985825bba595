"""Stage `first_classifier`: a classifier fitted to the features of the pretrained network, to begin fine-tuning.

Linear probing before fine-tuning (Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform
Out-of-Distribution", arXiv 2202.10054): while a random classifier learns, its gradients distort the features.
benchmarks/short_trainings.md has measurements.
"""

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from detector.networks.weight_files.safetensors_files import read_tensors, write_tensors
from detector.runs.part_result import Tensors, run_parts
from detector.runs.stage import Stage
from detector.runs.store import Store
from detector.stages.drawn_rows import images_of
from detector.training.logistic import learn_regions, softmax_of

VERSION = 1
IMAGES = 2000  # of the training split that it is fitted to, at most
TOLERANCE = 1e-3  # it is but a start


def run_first_classifier(stage: Stage, rows: Store, names: tuple[str, ...], output: Path) -> Path:
    """Fit a classifier of the classes called `names` and background to stored rows; `output`, with its weights."""
    labels = np.array(rows.field("labels"))

    def fit(_: int) -> Tensors:
        features = np.array(rows.field("features"), np.float32)
        device = str(stage.group.device)
        fitted = learn_regions(features, labels, images_of(rows), len(names), TOLERANCE, device)
        state = softmax_of(fitted.linear)
        state["bias"][1:][~fitted.learned] = -np.log1p((labels == 0).sum())  # rarer than all that was seen
        return state

    def finish(path: Path, parts: list[Tensors]) -> dict[str, Any]:
        write_tensors(path, parts[0], {"classes": list(names)})
        return {"regions": len(labels)}

    return run_parts(stage.result(VERSION, rows=rows, classes=names), 1, fit, output, finish)


def read_first_classifier(path: Path) -> dict[str, Tensor]:
    """The weight (C + 1, F) and bias (C + 1,) that `run_first_classifier` wrote."""
    return read_tensors(path)[0]
