"""Stage `svm`: one linear SVM a class on the features of regions, with hard negative mining (R-CNN, 2.3)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detector.config import FEATURE_NORM, SvmSettings
from detector.files import file_hash
from detector.networks.heads import SvmHead, save_head
from detector.progress import progress_bar
from detector.records import FIRST_LABEL, Int64
from detector.runs.part_result import Tensors, run_parts
from detector.runs.stage import Stage
from detector.runs.store import Store
from detector.stages.region_features import feature_scale
from detector.stages.region_sets import MinedRegions
from detector.training.assign import negatives_of_classes
from detector.training.mining import Chunk, train_svms

VERSION = 1
CLASSES = 25  # trained together; the same for any number of processes, so that results are
CHUNK_IMAGES = 16  # scored at once


def run_svm(
    stage: Stage, settings: SvmSettings, regions: MinedRegions, features: Store, model: Path, output: Path
) -> Path:
    """Train the SVMs on stored features of the network `model`; `output`, with their weights.

    Positives are the objects' boxes, negatives what `negatives_of_classes` says in the images that are mined.
    """
    classes = regions.regions.split.dataset.classes
    source = SvmSource(settings, regions, features, stage.group.device)
    groups = [range(first, min(first + CLASSES, len(classes))) for first in range(0, len(classes), CLASSES)]

    def train(part: int) -> Tensors:
        chosen = groups[part]
        positives, labels = source.positives(chosen)
        with progress_bar(desc="mine negatives", unit="region", leave=False) as progress:
            found = train_svms(
                positives, labels, lambda: source.chunks(chosen), len(chosen), settings, progress.update
            )
        solution = found.solution
        return {
            "weight": solution.weights * source.scale,
            "bias": solution.bias,
            "objective": solution.objective,
            "gap": solution.gap,
            "cached": torch.from_numpy(found.cached),
        }

    def finish(path: Path, parts: list[Tensors]) -> dict[str, Any]:
        whole = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        head = SvmHead(whole["weight"], whole["bias"])
        save_head(path, head, classes=list(classes.names), model=file_hash(model))
        relative = whole["gap"] / whole["objective"].clamp(min=1e-9)
        return {
            "scale": source.scale,
            "worst_gap": relative.max().item(),
            "hard_negatives": whole["cached"].tolist(),
        }

    used = settings.model_dump(exclude={"enabled", "images"})
    result = stage.result(VERSION, features=features, settings=used)
    return run_parts(result, len(groups), train, output, finish)


class SvmSource:
    """Positives and negatives of the SVMs, from the features of a training split."""

    def __init__(
        self, settings: SvmSettings, regions: MinedRegions, features: Store, device: torch.device
    ) -> None:
        self.settings = settings
        self.dataset = regions.regions.split.dataset
        self.regions = regions
        self.features = features
        self.device = device
        self.scale = feature_scale(features.field("features"), FEATURE_NORM)

    def positives(self, classes: range) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (P, F) of the objects of `classes` (counted from 0), and their labels in 1..len(classes)."""
        rows: list[Int64] = []
        labels: list[Int64] = []
        for position in np.unique(self.dataset.objects.image).tolist():
            if not self._rows(position):
                continue
            truth = self.dataset.truth(position)
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
        boxes = self.regions.boxes(position)
        truth, complete = self.dataset.truth(position), self.dataset.complete[position]
        return negatives_of_classes(boxes, truth, complete, self.settings.negative_iou)

    def _rows(self, position: int) -> range:
        return range(*self.features.offsets[position : position + 2].tolist())

    def _load(self, rows: Int64) -> torch.Tensor:
        loaded = torch.from_numpy(self.features.field("features")[rows].astype(np.float32))
        return loaded.to(self.device) * self.scale
