"""Stage `views`: what every model of an ensemble says of every region in each of its views, for any average."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from detector.config import Config
from detector.data.dataset import Dataset
from detector.inference.ensemble import EnsembleEngine, Views, average, class_scores
from detector.inference.models import ModelFiles, View, load_models
from detector.records import ClassScores, Float64, Int64
from detector.runs.folder import Stage
from detector.runs.journal import Entry, Fields
from detector.runs.processes import Group
from detector.runs.store import Store, read_proposals
from detector.runs.store_stage import Make, run_stored_stage
from detector.stages.inputs import score_inputs
from detector.stages.region_sets import ProposedRegions, load_regions
from detector.stages.score_sources import FromImages


class StoredViews:
    """The stored scores of a data set's regions by all views of the models."""

    def __init__(
        self, dataset: Dataset, proposals: Store, store: Store, views: list[View], weights: Float64, moving: Int64
    ) -> None:
        self.dataset = dataset
        self.proposals = proposals
        self.store = store
        self.views = views
        self.weights = weights  # (K,) of the views
        self.moving = moving  # (M,) the views with box regressors

    def scores(self, position: int, weights: Float64) -> ClassScores:
        """The scores and boxes of an image's regions by the average of the views with these weights (K,)."""
        boxes = np.array(read_proposals(self.proposals, position).boxes)
        stored = self.store.read(position)
        views = Views(boxes, stored["scores"], stored["moves"].astype(np.float32), self.moving)
        return class_scores(average(views, weights), *self.dataset.sizes[position].tolist())


def run_views(
    stage: Stage, config: Config, dataset: Dataset, proposals: Store, detectors: list[ModelFiles], group: Group
) -> StoredViews:
    """Score every region of a data set by all views of `detectors` that `config.ensemble` asks for."""
    loaded = load_models(detectors, config.ensemble)
    models = [model for _, model in loaded]
    moving = np.array([k for k, model in enumerate(models) if model.member.boxes is not None], np.int64)
    fields: Fields = {
        "scores": (np.dtype(np.float32), (len(models), len(dataset.classes))),
        "moves": (np.dtype(np.float16), (len(moving), len(dataset.classes), 4)),
    }

    def prepare() -> Make:
        engine = EnsembleEngine(models, config.engine)
        boxes = ProposedRegions(proposals).boxes
        workers = group.workers(config.engine.workers)

        def make(positions: range) -> Iterator[Entry]:
            for found in engine.views(load_regions(config, dataset, boxes, positions, workers)):
                yield {"scores": found.scores, "moves": found.moves.astype(np.float16)}

        return make

    def facts(found: Store) -> dict[str, Any]:
        return {"images": len(found), "regions": int(found.offsets[-1]), "views": len(models)}

    inputs = score_inputs(config, dataset, proposals, FromImages(detectors, config.ensemble).inputs())
    store = run_stored_stage(stage, inputs, fields, len(dataset), group, prepare, facts)
    weights = np.array([model.weight for model in models], np.float64)
    return StoredViews(dataset, proposals, store, [view for view, _ in loaded], weights, moving)
