"""Stages `weight_rows` and `weights`: how much each model of an ensemble counts, learned on held-out regions.

The weights are those of the mixture of the models' probabilities that makes the regions' true classes likeliest.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from detector.config import Config, EnsembleSettings
from detector.errors import DataError
from detector.files import read_json, write_text
from detector.inference.ensemble import EnsembleEngine
from detector.inference.models import ModelFiles, load_models
from detector.records import Array, Float32, Float64
from detector.runs.folder import RunFolder, Stage
from detector.runs.journal import Entry, Fields
from detector.runs.processes import Group
from detector.runs.store import Store
from detector.runs.store_stage import Make, run_stored_stage
from detector.stages.inputs import engine_name, label_inputs
from detector.stages.label import LabelledRegions
from detector.stages.region_sets import LABEL, TrainingRegions, load_regions
from detector.stages.score_sources import file_hashes
from detector.text import shown
from detector.training.mixture_weights import fit_weights
from detector.training.sample import draw_regions

Labelled = LabelledRegions[TrainingRegions]

LARGEST = 1e6  # weight of a model; their mean is 1


def fitted_ensemble(run: RunFolder, settings: EnsembleSettings) -> EnsembleSettings:
    """The settings with the weights that the run learned, where it was asked to; DataError where it has none."""
    if not settings.fit_weights:
        return settings
    path = run.weights_path
    if not path.exists():
        raise DataError(f"run must hold learned weights of its models, got none at {path}")
    weights = read_json(path, "weights of the models")
    weights = weights.get("weights") if isinstance(weights, dict) else None
    if not isinstance(weights, list) or not all(map(_is_weight, weights)) or not any(weights):
        raise DataError(f"weights of the models must be numbers from 0, not all 0, got {shown(weights)} ({path})")
    return settings.model_copy(update={"weights": tuple(map(float, weights)), "fit_weights": ()})


def _has_weights(run: RunFolder, settings: EnsembleSettings, models: int) -> bool:
    """Whether the run holds weights of so many models."""
    try:
        return len(fitted_ensemble(run, settings).weights) == models
    except DataError:
        return False


def _is_weight(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LARGEST


def run_weights(
    rows_stage: Stage, stage: Stage, config: Config, models: Sequence[ModelFiles], held_out: Labelled, group: Group
) -> None:
    """Learn the weights of the models from what they say of labelled regions; they go to `model/ensemble.json`."""
    store = _run_rows(rows_stage, config, models, held_out, group)
    inputs = {"rows": store.key}
    path = stage.run.weights_path
    if group.is_first and not (stage.is_done(inputs) and _has_weights(stage.run, config.ensemble, len(models))):
        stage.begin(inputs)
        weights = model_weights(np.array(store.field("scores")), np.array(store.field("labels"), np.int64))
        write_text(path, json.dumps({"weights": [round(float(weight), 6) for weight in weights]}) + "\n")
        stage.finish(inputs, regions=int(store.offsets[-1]))
    group.wait()


def model_weights(scores: Float32, labels: Array) -> Float64:
    """The weights (K,), of mean 1, of models with probabilities (M, K, C) of regions with labels (M,) in 0..C."""
    background = np.clip(1 - scores.sum(2, keepdims=True), 0, 1)
    probs = np.concatenate([background, scores], axis=2).transpose(1, 0, 2)
    return fit_weights(probs, labels) * len(probs)


def _run_rows(
    stage: Stage, config: Config, models: Sequence[ModelFiles], held_out: Labelled, group: Group
) -> Store:
    """What each model says, by all its views, of some regions of every image, and their labels."""
    dataset = held_out.regions.dataset
    fields: Fields = {"scores": (np.dtype(np.float32), (len(models), len(dataset.classes))), "labels": (LABEL, ())}

    def prepare() -> Make:
        views = load_models(models, config.ensemble)
        engine = EnsembleEngine([model for _, model in views], config.engine)
        of_model = np.array([[view.detector == number for view, _ in views] for number in range(len(models))])
        shares = (of_model / of_model.sum(1, keepdims=True)).astype(np.float32)  # (models, views)
        workers = group.workers(config.engine.workers)

        def drawn(position: int) -> Float32:
            return held_out.regions.boxes(position)[draw_regions(labels_of(position), position)]

        def labels_of(position: int) -> Array:
            return held_out.labels.read(position)["labels"]

        def make(positions: range) -> Iterator[Entry]:
            images = load_regions(config, dataset, drawn, positions, workers)
            for position, found in zip(positions, engine.views(images), strict=True):
                labels = labels_of(position)
                scores = np.einsum("mv,nvc->nmc", shares, found.scores)
                yield {"scores": scores, "labels": labels[draw_regions(labels, position)]}

        return make

    def facts(found: Store) -> dict[str, Any]:
        return {"images": len(found), "regions": int(found.offsets[-1])}

    inputs = {
        "labels": label_inputs(config, dataset),
        "files": [file_hashes(model) for model in models],
        "ensemble": config.ensemble.model_dump(mode="json", include={"mirror", "paddings"}),
        "engine": engine_name(config.engine),
    }
    return run_stored_stage(stage, inputs, fields, len(dataset), group, prepare, facts)
