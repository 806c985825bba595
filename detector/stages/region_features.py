"""Stage `features`: the network's features of every region, computed once for SVMs and all ways to score."""

from pathlib import Path
from typing import Any

import numpy as np

from detector.config import EngineSettings, RegionSettings
from detector.inference.engine import make_engine
from detector.networks.heads import FeaturesAndMoves, load_boxes
from detector.networks.weight_files.weights import load_model
from detector.records import Array, Float32
from detector.runs.journal import Fields
from detector.runs.split import Split
from detector.runs.stage import Result, Stage
from detector.runs.store import Store
from detector.stages.region_rows import HALF, Engine, engine_name, in_half, store_rows
from detector.stages.region_sets import MinedRegions, ProposedRegions

VERSION = 1
SPREAD = 5000  # rows that a scale is measured on

NamedRows = tuple[Float32, dict[str, Array]]  # of an image: its boxes, and the arrays by name


def run_training_features(
    stage: Stage, regions: MinedRegions, model: Path, region: RegionSettings, engine: EngineSettings
) -> Store:
    """The features (N, F) f16 of a training split's regions."""
    reads = {**regions.reads, "model": model, "region": region, "engine": engine_name(engine)}
    result = stage.result(VERSION, **reads)
    return _run(result, regions.regions.split, regions, model, None, region, engine)


def run_test_features(
    stage: Stage,
    split: Split,
    proposals: Store,
    model: Path,
    boxes: Path | None,
    region: RegionSettings,
    engine: EngineSettings,
) -> Store:
    """The features (N, F) f16 of a split's proposals, and with box regressors their `moves` (N, C, 4) f16."""
    reads = {"regions": proposals, "model": model, "boxes": boxes, "region": region, "engine": engine_name(engine)}
    result = stage.result(VERSION, **reads)
    return _run(result, split, ProposedRegions(proposals), model, boxes, region, engine)


def _run(
    result: Result,
    split: Split,
    regions: MinedRegions | ProposedRegions,
    model: Path,
    boxes: Path | None,
    region: RegionSettings,
    engine: EngineSettings,
) -> Store:
    network, preprocessing, _ = load_model(model)
    fields: Fields = {"features": (HALF, (network.width,))}
    if boxes:
        fields = {**fields, "moves": (HALF, (len(split.dataset.classes), 4))}

    def open_engine() -> Engine[NamedRows]:
        module = FeaturesAndMoves(network, load_boxes(boxes) if boxes else None)
        return make_engine(module, preprocessing, region, engine).run

    return store_rows(
        result, split, regions.boxes, fields, open_engine, lambda _, found: in_half(found[1], fields), engine
    )


def feature_scale(features: np.ndarray[Any, Any], norm: float) -> float:
    """What brings the mean norm of features (N, F) to `norm`, by rows spread evenly over them."""
    rows = np.linspace(0, len(features) - 1, min(len(features), SPREAD)).astype(np.int64)
    mean = float(np.linalg.norm(features[rows].astype(np.float64), axis=1).mean()) if len(rows) else 0.0
    return norm / mean if mean else 1.0
