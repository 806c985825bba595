"""Finished runs compared on the images that all of them were tested on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from detector.config import Config
from detector.data.dataset import Dataset
from detector.data.readers import open_dataset
from detector.errors import DataError
from detector.evaluation.comparison import changed_images, compare
from detector.evaluation.outcomes import MatchedDetections
from detector.evaluation.thresholds import best_thresholds
from detector.records import DetectionTable
from detector.reports.comparison_report import ComparedRun, ComparisonReport
from detector.reports.detection.picture_choice import Picture, count_images
from detector.runs.environment import environment_notes
from detector.runs.folder import RunFolder
from detector.runs.split import split_slug, truth_key
from detector.runs.stage import STAGES
from detector.stages.detect import open_detections
from detector.stages.evaluate import detection_case, draw_position


@dataclass(frozen=True, eq=False)
class TestedRun:
    """The detections `table` of a run for `dataset`, by `method`."""

    name: str
    config: Config
    dataset: Dataset
    method: str
    table: DetectionTable


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


def compare_runs(runs: Sequence[TestedRun], protocol: str, resamples: int, pictures: int) -> ComparisonReport:
    """The first of `runs` compared with each other one, with `pictures` of the images that changed most."""
    first = runs[0]
    matched = [detection_case(run.dataset, run.table).match(protocol) for run in runs]
    random = np.random.default_rng(first.config.seed)
    compared = []
    for run, own in zip(runs[1:], matched[1:], strict=True):
        found = compare(own, matched[0], random, resamples)
        positions = changed_images(found, pictures).tolist()
        pairs = zip(_draw(first, matched[0], positions), _draw(run, own, positions), strict=True)
        compared.append(ComparedRun(run.name, found, tuple((a, b) for a, b in pairs if a and b)))
    return ComparisonReport(
        protocol=protocol,
        classes=first.dataset.classes,
        objects=matched[0].positives,
        image_names=first.dataset.image_ids,
        first=first.name,
        runs=compared,
        notes=_notes(runs, resamples),
    )


def _open_run(word: str, splits: Sequence[str], overrides: Sequence[str]) -> TestedRun:
    path, _, method = word.rpartition(":")
    if Path(word).exists() or not path:
        path, method = word, ""
    run = RunFolder(Path(path))
    config = run.read_config(Config, list(overrides))
    splits = splits or config.data.test
    found = run.path / STAGES / "detect" / split_slug(splits)
    methods = sorted(store.parents[1].name for store in found.glob("*/store/manifest.json"))
    name = f"{run.path.resolve().name}:{method}" if method else run.path.resolve().name
    method = method or config.reported
    if method not in methods:
        got = ", ".join(methods) or "none"
        raise DataError(f"run must hold detections of {'+'.join(splits)} by {method}, got {got} ({found})")
    dataset = open_dataset(config.data, splits)
    table = open_detections(found / method, dataset, config.detect.max_per_class)
    return TestedRun(name, config, dataset, method, table)


def _different(names: Sequence[str], words: Sequence[str]) -> Sequence[str]:
    """The `names`, or the `words` they come from where two are equal, numbered where those are equal too."""
    if len(set(names)) == len(names):
        return names
    if len(set(words)) == len(words):
        return words
    return [f"{name} ({number})" for number, name in enumerate(names, 1)]


def _same_images(one: Dataset, other: Dataset) -> bool:
    return np.array_equal(one.image_ids, other.image_ids) and truth_key(one) == truth_key(other)


def _draw(run: TestedRun, matched: MatchedDetections, positions: Sequence[int]) -> list[Picture | None]:
    """The images at `positions` with the detections of `run`; None for one that cannot be read."""
    thresholds = best_thresholds(matched)
    counts = count_images(matched, thresholds)
    pictures = [
        draw_position(run.dataset, run.config.data.exif, matched, thresholds, position) for position in positions
    ]
    return [
        picture and Picture(f"{picture.caption} by {run.name}: {counts.text(position)}", picture.image)
        for picture, position in zip(pictures, positions, strict=True)
    ]


def _notes(runs: Sequence[TestedRun], resamples: int) -> dict[str, str]:
    """Where the numbers come from."""
    dataset = runs[0].dataset
    return {
        "Data": f"{dataset.name}: {len(dataset)} images, {len(dataset.objects.labels)} objects",
        **{run.name: f"{run.method}, {len(run.table.scores):,} detections" for run in runs},
        "Bootstrap": f"{resamples:,} resamples of the images, seed {runs[0].config.seed}",
        **environment_notes(),
    }
