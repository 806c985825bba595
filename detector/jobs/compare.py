"""Finished runs compared on the images that all of them were tested on."""

from collections.abc import Sequence

import numpy as np

from detector.evaluation.comparison import changed_images, compare
from detector.evaluation.outcomes import MatchedDetections
from detector.evaluation.thresholds import best_thresholds
from detector.jobs.tested_runs import TestedRun
from detector.reports.comparison_report import ComparedRun, ComparisonReport
from detector.reports.detection.analysis import Case
from detector.reports.detection.drawn_images import PictureSource, draw_position
from detector.reports.detection.picture_choice import Picture, count_images
from detector.runs.environment import environment_notes
from detector.runs.split import Split


def compare_runs(runs: Sequence[TestedRun], protocol: str, resamples: int, pictures: int) -> ComparisonReport:
    """The first of `runs` compared with each other one, with `pictures` of the images that changed most."""
    first = runs[0]
    matched = [Case.of(run.dataset, run.table).match(protocol) for run in runs]
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


def _draw(run: TestedRun, matched: MatchedDetections, positions: Sequence[int]) -> list[Picture | None]:
    """The images at `positions` with the detections of `run`; None for one that cannot be read."""
    thresholds = best_thresholds(matched)
    counts = count_images(matched, thresholds)
    source = PictureSource.of(run.dataset, Split(run.dataset, "", run.config.data.exif).read)
    pictures = [draw_position(source, matched, thresholds, position) for position in positions]
    return [
        picture and Picture(f"{picture.caption} by {run.name}: {counts.text(position)}", picture.image)
        for picture, position in zip(pictures, positions, strict=True)
    ]


def _made(run: TestedRun) -> list[str]:
    """What is compared of a run."""
    return [f"{run.method}, {len(run.table.scores):,} detections", *(f"made with {each}" for each in run.others)]


def _notes(runs: Sequence[TestedRun], resamples: int) -> dict[str, str]:
    """Where the numbers come from."""
    dataset = runs[0].dataset
    return {
        "Data": f"{dataset.name}: {len(dataset)} images, {len(dataset.objects.labels)} objects",
        **{run.name: "; ".join(_made(run)) for run in runs},
        "Bootstrap": f"{resamples:,} resamples of the images, seed {runs[0].config.seed}",
        **environment_notes(),
    }
