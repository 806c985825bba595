"""Finished runs that were tested on the same images, objects and classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from detector.config import Config
from detector.data.dataset import Dataset
from detector.errors import DataError
from detector.files import file_hash
from detector.inference.models import ModelFiles
from detector.jobs.made_detections import other_settings
from detector.jobs.model_check import check_models
from detector.jobs.run_settings import wished_config
from detector.records import DetectionTable
from detector.runs.folder import RunFolder
from detector.runs.split import open_split, split_slug, truth_key
from detector.runs.stage import STAGES
from detector.stages.detect import open_detections


@dataclass(frozen=True, eq=False)
class TestedRun:
    """The detections `table` of a run for `dataset`, by `method`; `others` are their settings but its own."""

    name: str
    config: Config
    dataset: Dataset
    method: str
    table: DetectionTable
    others: tuple[str, ...] = ()


def open_runs(words: Sequence[str], splits: Sequence[str], overrides: Sequence[str]) -> list[TestedRun]:
    """The runs of RUN or RUN:METHOD words, tested on `splits`, or on the splits of their settings.

    DataError unless all were tested on the same images, objects and classes.
    """
    runs = [_open_run(word, splits, overrides) for word in words]
    first = runs[0].dataset
    for run in runs[1:]:
        if not _same_images(first, run.dataset):
            raise DataError(
                "runs must be tested on the same images, objects and classes, got "
                f"{first.name}, {len(first)} images, for {runs[0].name} and {run.dataset.name}, "
                f"{len(run.dataset)} images, for {run.name}"
            )
    names = _different([run.name for run in runs], words)
    return [replace(run, name=name) for run, name in zip(runs, names, strict=True)]


def _open_run(word: str, splits: Sequence[str], overrides: Sequence[str]) -> TestedRun:
    path, _, method = word.rpartition(":")
    if Path(word).exists() or not path:
        path, method = word, ""
    run = RunFolder(Path(path))
    config = wished_config(run, overrides)
    splits = splits or config.data.test
    found = run.path / STAGES / "detect" / split_slug(splits)
    methods = sorted(store.parents[1].name for store in found.glob("*/store/manifest.json"))
    name = f"{run.path.resolve().name}:{method}" if method else run.path.resolve().name
    method = method or config.reported
    if method not in methods:
        got = ", ".join(methods) or "none"
        raise DataError(f"run must hold detections of {'+'.join(splits)} by {method}, got {got} ({found})")
    facts = run.stage("detect", split_slug(splits), method).facts()
    _check_model(run, config, facts)
    split = open_split(config.data, splits)
    table = open_detections(found / method, split, config.detect.max_per_class)
    return TestedRun(name, config, split.dataset, method, table, tuple(other_settings(run, config, facts)))


def _check_model(run: RunFolder, config: Config, facts: Mapping[str, Any]) -> None:
    """Raise ConfigError or DataError where the run has a model of other settings, or other detections than its."""
    if not run.model_path.is_file():
        return
    members = [run.member(number).model_path for number in range(config.ensemble.members)]
    check_models(run, config, [ModelFiles(path) for path in members if path.is_file()])
    match facts.get("reads"):
        case {"scores": {"files": [{"network": str(network)}, *_]}} | {
            "scores": {"files": {"network": str(network)}}
        } if network != file_hash(run.model_path):
            where = f"({run.path}); test_det makes them anew"
            raise DataError(f"detections must be those of the run's model, got those of another {where}")


def _different(names: Sequence[str], words: Sequence[str]) -> Sequence[str]:
    """The `names`, or the `words` they come from where two are equal, numbered where those are equal too."""
    if len(set(names)) == len(names):
        return names
    if len(set(words)) == len(words):
        return words
    return [f"{name} ({number})" for number, name in enumerate(names, 1)]


def _same_images(one: Dataset, other: Dataset) -> bool:
    return np.array_equal(one.image_ids, other.image_ids) and truth_key(one) == truth_key(other)
