"""Stages `context_rows` and `context`: learning to rescore detections by what their image tells of them.

A rescoring is learned from the detections on data that no model was trained on: of which each one hits an object,
by the rule of the run's protocol. The scores are those that the run would report without it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from detector.config import EngineSettings
from detector.data.dataset import Dataset
from detector.errors import DataError
from detector.inference.image_context import (
    BOX_FEATURES,
    CLASSES,
    RESCORING,
    context_facts,
    read_facts,
)
from detector.inference.models import trained_classes
from detector.networks.context_maps import load_context, maps_of, save_context, state_of
from detector.runs.journal import Entry, Fields
from detector.runs.part_result import Tensors, run_parts
from detector.runs.split import Split
from detector.runs.stage import Stage
from detector.runs.store import Store
from detector.runs.stored_result import Make, run_stored
from detector.stages.context_examples import (
    ContextTask,
    Examples,
    SeenImages,
    context_rows,
    learn_rescoring,
    learned_features,
)
from detector.stages.region_rows import FLOAT
from detector.stages.score_sources import ScoreSource

VERSION = 1


@dataclass(frozen=True)
class SplitScores:
    """A split with its proposals and where their scores come from."""

    split: Split
    proposals: Store
    source: ScoreSource


def check_apart(key: str, training: Dataset, held_out: Dataset) -> None:
    """Raise DataError for images of the splits at `key` that the models are trained on."""
    both = np.intersect1d(training.paths, held_out.paths)
    if len(both):
        raise DataError(f"{key} must hold no image that is trained on, got {len(both)} of them, first {both[0]}")


def check_context(path: Path, scores: str, model: Path) -> Path:
    """`path` where it is a rescoring of such scores by such a model; DataError where it is none."""
    if not path.is_file():
        raise DataError(f"run must hold a rescoring by context, got none at {path}")
    learned = read_facts(load_context(path)[1], path)
    if learned.scores != scores:
        raise DataError(
            f"context must be learned from the scores it is used on, {scores}, got {learned.scores} ({path}); "
            "context.splits=[] does without"
        )
    if learned.classes is not None and learned.classes != trained_classes(model).names:
        raise DataError(f"context must be learned for the classes of the model, got others ({path})")
    return path


def run_context_rows(stage: Stage, task: ContextTask, held_out: SplitScores, engine: EngineSettings) -> Store:
    """The detections to learn from, with the features of their regions."""
    dataset = held_out.split.dataset
    settings = task.settings
    width = BOX_FEATURES if settings.region == "box" else len(dataset.classes)
    fields: Fields = {
        "own": (FLOAT, (width,)),
        "boxes": (FLOAT, (4,)),
        "labels": (np.dtype(np.int64), ()),
        "scores": (FLOAT, ()),
    }

    def prepare() -> Make:
        workers = stage.group.workers(engine.workers)
        scores = held_out.source.open(held_out.split, held_out.proposals, workers)

        def make(positions: range) -> Iterator[Entry]:
            for position, found in zip(positions, scores(positions), strict=True):
                height, width = dataset.sizes[position].tolist()
                yield context_rows(found, task, height, width)

        return make

    chosen = {"region": settings.region, "detections": settings.detections, "nms_iou": task.nms_iou}
    result = stage.result(
        VERSION,
        regions=held_out.proposals,
        images=held_out.split.key,
        scores=held_out.source.reads,
        by_svm=task.by_svm,
        context=chosen,
    )
    return run_stored(
        result,
        fields,
        len(dataset),
        prepare,
        lambda found: {"images": len(found), "detections": int(found.offsets[-1])},
    )


def run_context(
    stage: Stage, task: ContextTask, held_out: SeenImages, rows: Store, training: SeenImages | None, output: Path
) -> Path:
    """Learn the rescoring; `output`, with it. `training` is what was seen of the training data, if it is used."""
    dataset, device = held_out.dataset, str(stage.group.device)

    def learn(_: int) -> Tensors:
        features = learned_features(task, training, device)
        learned = learn_rescoring(task, features, held_out, Examples.of_store(rows), device)
        return state_of({RESCORING: learned.rescoring} | ({CLASSES: features.classes} if features.classes else {}))

    def finish(path: Path, parts: list[Tensors]) -> dict[str, Any]:
        facts = {"scores": task.scores, "classes": list(dataset.classes.names)}
        save_context(path, maps_of(parts[0]), **facts, **context_facts(task.features))
        return {"detections": int(rows.offsets[-1])}

    result = stage.result(
        VERSION,
        rows=rows,
        held_out=held_out.reads,
        protocol=task.protocol,
        image=task.settings.image,
        training=training and training.reads,
    )
    return run_parts(result, 1, learn, output, finish)
