"""Stage `views`: the scores of every region by each view of each model, from which any average can be made."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detector.config import EngineSettings, EnsembleSettings
from detector.inference.ensemble import EnsembleEngine, Views, average, class_scores
from detector.inference.models import ModelFiles, View, load_models
from detector.records import ClassScores, Float64, Int64
from detector.runs.journal import Entry, Fields
from detector.runs.split import Split
from detector.runs.stage import Stage
from detector.runs.store import Store, read_proposals
from detector.stages.region_rows import FLOAT, HALF, Engine, counts, engine_name, store_rows
from detector.stages.region_sets import ProposedRegions

VERSION = 1


@dataclass(frozen=True, eq=False)
class StoredViews:
    """The stored scores of a split's regions by all views of the models."""

    split: Split
    proposals: Store
    store: Store
    views: list[View]
    weights: Float64  # (K,) of the views
    moving: Int64  # (M,) the views with box regressors

    def scores(self, position: int, weights: Float64) -> ClassScores:
        """The scores and boxes of an image's regions by the average of the views with these weights (K,)."""
        boxes = np.array(read_proposals(self.proposals, position).boxes)
        stored = self.store.read(position)
        views = Views(boxes, stored["scores"], stored["moves"].astype(np.float32), self.moving)
        return class_scores(average(views, weights), *self.split.dataset.sizes[position].tolist())


def run_views(
    stage: Stage,
    split: Split,
    proposals: Store,
    files: Sequence[ModelFiles],
    ensemble: EnsembleSettings,
    engine: EngineSettings,
) -> StoredViews:
    """Score every region of a split by all views that `ensemble` asks for of the models in `files`."""
    loaded = load_models(files, ensemble)
    models = [model for _, model in loaded]
    moving = np.array([k for k, model in enumerate(models) if model.member.boxes is not None], np.int64)
    classes = len(split.dataset.classes)
    fields: Fields = {"scores": (FLOAT, (len(models), classes)), "moves": (HALF, (len(moving), classes, 4))}

    def open_engine() -> Engine[Views]:
        return EnsembleEngine(models, engine).views

    def entry(_: int, found: Views) -> Entry:
        return {"scores": found.scores, "moves": found.moves.astype(HALF)}

    result = stage.result(
        VERSION,
        regions=proposals,
        images=split.key,
        files=[each.reads for each in files],
        ensemble=ensemble.model_dump(include={"mirror", "paddings"}),
        engine=engine_name(engine),
    )
    store = store_rows(
        result,
        split,
        ProposedRegions(proposals).boxes,
        fields,
        open_engine,
        entry,
        engine,
        lambda found: {**counts(found), "views": len(models)},
    )
    weights = np.array([model.weight for model in models], np.float64)
    return StoredViews(split, proposals, store, [view for view, _ in loaded], weights, moving)
