"""Stage `features`: what the network makes of every region, once; SVMs and ways to detect read it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from detector.config import Config
from detector.data.dataset import Dataset
from detector.files import file_hash
from detector.inference.engine import make_engine
from detector.networks.heads import FeaturesAndMoves, load_boxes
from detector.networks.weight_files.weights import load_model
from detector.records import Bool, Float32
from detector.runs.folder import Stage
from detector.runs.journal import Entry, Fields
from detector.runs.processes import Group
from detector.runs.store import Store
from detector.runs.store_stage import Make, run_stored_stage
from detector.stages.inputs import feature_inputs, truth_hash
from detector.stages.region_sets import ProposedRegions, TrainingRegions, load_regions

HALF = np.dtype(np.float16)


class MinedRegions:
    """Of the images that are mined for negatives all regions, of the others the objects' boxes alone."""

    def __init__(self, regions: TrainingRegions, mined: Bool) -> None:
        self.regions = regions
        self.mined = mined

    def boxes(self, position: int) -> Float32:
        """Regions (R, 4) of the image at `position`, its objects' boxes first."""
        boxes = self.regions.boxes(position)
        if self.mined[position]:
            return boxes
        return boxes[: len(self.regions.dataset.truth(position).boxes)]


def choose_images(candidates: Bool, count: int, seed: int) -> Bool:
    """A mask (n,) of `count` (0: all) of the images in the mask `candidates` (n,), drawn at random."""
    rows = np.flatnonzero(candidates)
    chosen = np.zeros(len(candidates), np.bool_)
    order = np.random.default_rng([seed, len(candidates)]).permutation(rows)
    chosen[order[: count or len(rows)]] = True
    return chosen


def run_training_features(
    stage: Stage, config: Config, regions: MinedRegions, model_path: Path, group: Group
) -> Store:
    """The features (N, F) f16 of a training split's regions."""
    dataset = regions.regions.dataset
    inputs = {
        **feature_inputs(config, dataset, regions.regions.proposals, file_hash(model_path)),
        "truth": truth_hash(dataset),
        "mined": np.flatnonzero(regions.mined).tolist(),
    }
    return _run(stage, config, dataset, regions, inputs, model_path, None, group)


def run_test_features(
    stage: Stage,
    config: Config,
    dataset: Dataset,
    proposals: Store,
    model_path: Path,
    boxes_path: Path | None,
    group: Group,
) -> Store:
    """The features (N, F) f16 of a split's proposals, and with box regressors their `moves` (N, C, 4) f16."""
    inputs = {
        **feature_inputs(config, dataset, proposals, file_hash(model_path)),
        "boxes": file_hash(boxes_path) if boxes_path else None,
    }
    regions = ProposedRegions(proposals)
    return _run(stage, config, dataset, regions, inputs, model_path, boxes_path, group)


def _run(
    stage: Stage,
    config: Config,
    dataset: Dataset,
    regions: MinedRegions | ProposedRegions,
    inputs: dict[str, Any],
    model_path: Path,
    boxes_path: Path | None,
    group: Group,
) -> Store:
    network, preprocessing, _ = load_model(model_path)
    fields: Fields = {"features": (HALF, (network.width,))}
    if boxes_path:
        fields = {**fields, "moves": (HALF, (len(dataset.classes), 4))}

    def prepare() -> Make:
        module = FeaturesAndMoves(network, load_boxes(boxes_path) if boxes_path else None)
        engine = make_engine(module, preprocessing, config.region, config.engine)
        workers = group.workers(config.engine.workers)

        def make(positions: range) -> Iterator[Entry]:
            for _, found in engine.run(load_regions(config, dataset, regions.boxes, positions, workers)):
                yield half_entry(found, fields)

        return make

    def facts(store: Store) -> dict[str, Any]:
        return {"images": len(store), "regions": int(store.offsets[-1])}

    return run_stored_stage(stage, inputs, fields, len(dataset), group, prepare, facts)


def half_entry(found: dict[str, Float32], fields: Fields) -> Entry:
    """A store's entry of an engine's answers in half precision, saturated; without answers, without rows."""
    limit = float(np.finfo(np.float16).max)
    return {
        name: np.clip(found[name], -limit, limit).astype(HALF) if found else np.empty((0, *tail), HALF)
        for name, (_, tail) in fields.items()
    }


def feature_scale(features: np.ndarray[Any, Any], norm: float) -> float:
    """What brings the mean norm of features (N, F) to `norm`, by rows spread evenly over them ([2] S)."""
    rows = np.linspace(0, len(features) - 1, min(len(features), 5000)).astype(np.int64)
    mean = float(np.linalg.norm(features[rows].astype(np.float64), axis=1).mean()) if len(rows) else 0.0
    return norm / mean if mean else 1.0
