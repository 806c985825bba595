"""Stages `weight_rows` and `weights`: how much each model of an ensemble counts, learned on held-out regions.

They maximise the likelihood of the regions' true classes under the weighted mean of the models' probabilities.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detector.config import EngineSettings, EnsembleSettings
from detector.errors import DataError
from detector.files import read_json, share_file, write_text
from detector.inference.ensemble import EnsembleEngine
from detector.inference.models import ModelFiles, load_models
from detector.records import Array, Float32, Float64
from detector.runs.journal import Entry, Fields
from detector.runs.stage import HASHES, Result, Stage, file_hashes
from detector.runs.store import Store
from detector.stages.label import LabelledRegions
from detector.stages.region_rows import FLOAT, Engine, engine_name, store_rows
from detector.stages.region_sets import LABEL, TrainingRegions
from detector.text import shown
from detector.training.mixture_weights import fit_weights
from detector.training.sample import draw_regions

VERSION = 1
LARGEST = 1e6  # weight of a model; their mean is 1


def run_weight_rows(
    stage: Stage,
    models: Sequence[ModelFiles],
    ensemble: EnsembleSettings,
    held_out: LabelledRegions[TrainingRegions],
    engine: EngineSettings,
) -> Store:
    """Each model's scores, averaged over its views, of some regions of every image, and the regions' labels."""
    regions = held_out.regions
    classes = len(regions.split.dataset.classes)
    fields: Fields = {"scores": (FLOAT, (len(models), classes)), "labels": (LABEL, ())}

    def labels_of(position: int) -> Array:
        return held_out.labels.read(position)["labels"]

    def drawn(position: int) -> Float32:
        return regions.boxes(position)[draw_regions(labels_of(position), position)]

    def open_engine() -> Engine[Float32]:
        views = load_models(models, ensemble)
        of_model = np.array([[view.detector == number for view, _ in views] for number in range(len(models))])
        shares = (of_model / of_model.sum(1, keepdims=True)).astype(np.float32)  # (models, views)
        engines = EnsembleEngine([model for _, model in views], engine)
        return lambda images: (np.einsum("mv,nvc->nmc", shares, found.scores) for found in engines.views(images))

    def entry(position: int, scores: Float32) -> Entry:
        labels = labels_of(position)
        return {"scores": scores, "labels": labels[draw_regions(labels, position)]}

    seen = ensemble.model_dump(include={"mirror", "paddings"})
    files = [model.reads for model in models]
    result = stage.result(VERSION, labels=held_out.labels, files=files, ensemble=seen, engine=engine_name(engine))
    return store_rows(result, regions.split, drawn, fields, open_engine, entry, engine)


def run_weights(stage: Stage, rows: Store, models: int, output: Path) -> Path:
    """Learn the weights of the models from their scores of labelled regions; `output`, with them."""
    result = stage.result(VERSION, rows=rows)
    path, group = result.folder / output.name, stage.group
    if not (result.is_done() and group.from_first(group.is_first and _has_weights(result, path, models))):
        result.begin()
        if group.is_first:
            weights = model_weights(np.array(rows.field("scores")), np.array(rows.field("labels"), np.int64))
            write_text(path, json.dumps({"weights": [round(float(weight), 6) for weight in weights]}) + "\n")
            result.finish(regions=int(rows.offsets[-1]), **{HASHES: file_hashes([path])})
    if group.is_first:
        share_file(path, output)
    group.wait()
    return output


def model_weights(scores: Float32, labels: Array) -> Float64:
    """The weights (K,), of mean 1, of models with probabilities (M, K, C) of regions with labels (M,) in 0..C."""
    background = np.clip(1 - scores.sum(2, keepdims=True), 0, 1)
    probs = np.concatenate([background, scores], axis=2).transpose(1, 0, 2)
    return fit_weights(probs, labels) * len(probs)


def fitted_ensemble(path: Path, settings: EnsembleSettings) -> EnsembleSettings:
    """The settings with the weights that were learned, where they ask for it; DataError where `path` has none."""
    if not settings.fit_weights:
        return settings
    return settings.model_copy(update={"weights": read_model_weights(path), "fit_weights": ()})


def read_model_weights(path: Path) -> tuple[float, ...]:
    """The weights of the models in a file that `run_weights` wrote; DataError for any other."""
    if not path.exists():
        raise DataError(f"run must hold learned weights of its models, got none at {path}")
    weights = read_json(path, "weights of the models")
    weights = weights.get("weights") if isinstance(weights, dict) else None
    if not isinstance(weights, list) or not all(map(_is_weight, weights)) or not any(weights):
        raise DataError(f"weights of the models must be numbers from 0, not all 0, got {shown(weights)} ({path})")
    return tuple(map(float, weights))


def _has_weights(result: Result, path: Path, models: int) -> bool:
    """Whether the file of a finished result holds weights of so many models, as they were learned."""
    try:
        return len(read_model_weights(path)) == models and result.is_as_made(path)
    except DataError:
        return False


def _is_weight(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LARGEST
