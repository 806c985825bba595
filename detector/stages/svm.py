"""Stage `svm`: one linear SVM a class on the features of regions, with hard negative mining (R-CNN, 2.3)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from detector.config import FEATURE_NORM, Config
from detector.files import file_hash
from detector.networks.heads import SvmHead, save_head
from detector.records import FIRST_LABEL, Int64
from detector.runs.folder import Stage
from detector.runs.part_stage import Tensors, run_parts
from detector.runs.processes import Group
from detector.runs.store import Store
from detector.stages.region_features import MinedRegions, feature_scale
from detector.training.assign import negatives_of_classes
from detector.training.mining import Chunk, train_svms

CLASSES = 25  # trained together; the same for any number of processes, so that results are
CHUNK_IMAGES = 16  # scored at once


def run_svm(stage: Stage, config: Config, regions: MinedRegions, features: Store, group: Group) -> Path:
    """Train the SVMs on stored features; the path of their weights.

    Positives are the objects' boxes, negatives what `negatives_of_classes` says in the images that are mined.
    """
    source = SvmSource(config, regions, features, group.device)
    classes = len(regions.regions.dataset.classes)
    groups = [range(first, min(first + CLASSES, classes)) for first in range(0, classes, CLASSES)]
    output = stage.run.svm_path

    def train(part: int) -> Tensors:
        chosen = groups[part]
        positives, labels = source.positives(chosen)
        with tqdm(desc="mine negatives", unit="region", leave=False) as progress:
            found = train_svms(
                positives, labels, lambda: source.chunks(chosen), len(chosen), config.svm, progress.update
            )
        solution = found.solution
        return {
            "weight": solution.weights * source.scale,
            "bias": solution.bias,
            "objective": solution.objective,
            "gap": solution.gap,
            "cached": torch.from_numpy(found.cached),
        }

    def finish(parts: list[Tensors]) -> dict[str, Any]:
        whole = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        model_hash = file_hash(stage.run.model_path)
        names = list(regions.regions.dataset.classes.names)
        save_head(output, SvmHead(whole["weight"], whole["bias"]), classes=names, model=model_hash)
        relative = whole["gap"] / whole["objective"].clamp(min=1e-9)
        return {
            "scale": source.scale,
            "worst_gap": relative.max().item(),
            "hard_negatives": whole["cached"].tolist(),
        }

    inputs = {
        "features": features.key,
        "svm": config.svm.model_dump(exclude={"enabled", "images"}),
    }
    return run_parts(stage, inputs, len(groups), group, train, output, finish)


class SvmSource:
    """Positives and negatives of the SVMs, from the features of a training split."""

    def __init__(self, config: Config, regions: MinedRegions, features: Store, device: torch.device) -> None:
        self.config = config
        self.regions = regions
        self.features = features
        self.device = device
        self.scale = feature_scale(features.field("features"), FEATURE_NORM)

    def positives(self, classes: range) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (P, F) of the objects of `classes` (counted from 0), and their labels in 1..len(classes)."""
        dataset = self.regions.regions.dataset
        rows: list[Int64] = []
        labels: list[Int64] = []
        for position in np.unique(dataset.objects.image).tolist():
            if not self._rows(position):
                continue
            truth = dataset.truth(position)
            inside = np.isin(truth.labels - FIRST_LABEL, classes) & ~truth.difficult & ~truth.crowd
            rows.append(np.flatnonzero(inside) + self.features.offsets[position])
            labels.append(truth.labels[inside] - classes.start)
        chosen = np.concatenate([np.empty(0, np.int64), *rows])
        return self._load(chosen), torch.from_numpy(np.concatenate([np.empty(0, np.int64), *labels]))

    def chunks(self, classes: range) -> Iterator[Chunk]:
        """The regions of the mined images, a few images at a time, and of which classes they are negatives."""
        mined = np.flatnonzero(self.regions.mined)
        for first in range(0, len(mined), CHUNK_IMAGES):
            positions = mined[first : first + CHUNK_IMAGES].tolist()
            rows = np.concatenate([self._rows(position) for position in positions]).astype(np.int64)
            negative = np.concatenate([self._negatives(position)[:, classes] for position in positions])
            yield Chunk(torch.from_numpy(rows), self._load(rows), torch.from_numpy(negative))

    def _negatives(self, position: int) -> np.ndarray[Any, Any]:
        dataset = self.regions.regions.dataset
        boxes = self.regions.boxes(position)
        truth, complete = dataset.truth(position), dataset.complete[position]
        return negatives_of_classes(boxes, truth, complete, self.config.svm.negative_iou)

    def _rows(self, position: int) -> range:
        return range(*self.features.offsets[position : position + 2].tolist())

    def _load(self, rows: Int64) -> torch.Tensor:
        loaded = torch.from_numpy(self.features.field("features")[rows].astype(np.float32))
        return loaded.to(self.device) * self.scale
