"""Stage `scores`: each class's scores and boxes of every region, once, where several ways to detect read them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from detector.config import Config, reported_method
from detector.data.dataset import Dataset
from detector.records import ClassScores
from detector.runs.folder import Stage
from detector.runs.journal import Entry, Fields
from detector.runs.processes import Group
from detector.runs.store import Store
from detector.runs.store_stage import Make, run_stored_stage
from detector.stages.inputs import detect_inputs, score_inputs
from detector.stages.score_sources import Scores, ScoreSource

FLOAT = np.dtype(np.float32)


@dataclass(frozen=True)
class FromStore:
    """The scores in the store of a stage `scores`."""

    store: Store

    def inputs(self) -> dict[str, Any]:
        """As `ScoreSource` says."""
        return {"stored": self.store.key}

    def open(self, config: Config, dataset: Dataset, proposals: Store, workers: int) -> Scores:
        """As `ScoreSource` says."""
        return lambda positions: map(self._read, positions)

    def _read(self, position: int) -> ClassScores:
        found = self.store.read(position)
        scores, boxes = np.array(found["scores"]), np.array(found["boxes"])
        shared = boxes[:, None] if boxes.ndim == 2 else boxes
        return ClassScores(np.broadcast_to(shared, (*scores.shape, 4)), scores)


def run_scores(
    stage: Stage, config: Config, dataset: Dataset, proposals: Store, source: ScoreSource, group: Group
) -> FromStore:
    """What `source` says of a split's regions, to the bit; of box regressors a box for each class."""
    classes = len(dataset.classes)
    moved = reported_method(config).endswith("+boxes")
    fields: Fields = {"scores": (FLOAT, (classes,)), "boxes": (FLOAT, (classes, 4) if moved else (4,))}

    def prepare() -> Make:
        scores = source.open(config, dataset, proposals, group.workers(config.engine.workers))

        def make(positions: range) -> Iterator[Entry]:
            for found in scores(positions):
                yield {"scores": found.scores, "boxes": found.boxes if moved else found.boxes[:, 0]}

        return make

    def facts(found: Store) -> dict[str, Any]:
        return {"images": len(found), "regions": int(found.offsets[-1])}

    depends = detect_inputs if config.detect.iterations else score_inputs  # detections are scored again
    inputs = depends(config, dataset, proposals, source.inputs())
    return FromStore(run_stored_stage(stage, inputs, fields, len(dataset), group, prepare, facts))
