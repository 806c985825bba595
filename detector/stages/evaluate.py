"""Stage `evaluate`: the mAP of a split's detections by the run's protocol, and the report."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from tqdm import tqdm

from detector.config import EvaluateSettings
from detector.data.dataset import Dataset
from detector.evaluation.metrics import finite
from detector.evaluation.recall import CURVE_BUDGETS, Coverage, counted_objects, measure_coverage
from detector.files import share_file, write_text
from detector.records import DetectionTable
from detector.reports.detection.analysis import Case, analyse
from detector.reports.detection.drawn_images import draw_pictures, worst_positions
from detector.reports.detection.report import DetectionReport, Reports, TrainingLog
from detector.reports.detection.to_json import PROPOSAL_BUDGETS
from detector.reports.detection.write import write_report
from detector.runs.keys import key_of
from detector.runs.split import Split
from detector.runs.stage import FILES, Result, Stage, file_sizes
from detector.runs.store import Store, read_proposals

VERSION = 2
REPORT_FILES = ("metrics.json", "report.md", "index.html", "methods.json")
EXPLAINED = "explain"  # folder of the report

# writes the pages of images, by their positions with the score to begin at, into a folder, and tells their names
Explain = Callable[[Mapping[int, float | None], Path], "Explained"]


@dataclass(frozen=True)
class Explained:
    """The pages of explained images: their files' names by the images' positions, and the index of all, or ""."""

    pages: Mapping[int, str]
    index: str


@dataclass(frozen=True)
class RunFacts:
    """What a report tells of the run: its name, trainings, times by stage, notes, and the text of its settings.

    `detected` are the keys of the detections by method, which tell models apart. `seconds` and `machine`, notes on
    where the report is made, are of its making: a report is not made again for others.
    """

    name: str
    trainings: list[TrainingLog]
    seconds: dict[str, float]
    notes: dict[str, str]
    machine: dict[str, str]
    settings: str
    detected: dict[str, str]

    @property
    def reads(self) -> dict[str, Any]:
        """What the report depends on of all that."""
        return {
            "name": self.name,
            "trainings": [key_of(vars(log)) for log in self.trainings],
            "notes": self.notes,
            "settings": key_of({"text": self.settings}),
            "detected": self.detected,
        }


@dataclass(frozen=True, eq=False)
class EvaluationTask:
    """What detections are judged by: the images and objects of a split, the settings, and a seed for resamples.

    The report is about the method `chosen`, and states the recall of the `regions` that were classified.
    """

    split: Split
    regions: Store
    chosen: str
    settings: EvaluateSettings
    seed: int

    @property
    def reads(self) -> dict[str, Any]:
        """What the report depends on of all that."""
        return {
            "regions": self.regions,
            "images": self.split.key,
            "truth": self.split.truth_key,
            "wnids": self.split.dataset.classes.wnids,
            "chosen": self.chosen,
            "settings": self.settings,
            "seed": self.seed,
        }


def run_evaluate(
    stage: Stage,
    task: EvaluationTask,
    tables: Mapping[str, DetectionTable],
    facts: Callable[[], RunFacts],
    folder: Path,
    explain: Explain | None = None,
) -> Reports | None:
    """The reports of `tables` by method; the page of the chosen one is shown in `folder`. None without objects.

    `explain` makes the pages of the worst images that the settings ask for. Every process of the group evaluates,
    the first one writes.
    """
    dataset = task.split.dataset
    if not len(dataset.objects.labels):
        if stage.group.is_first:
            stage.log("no objects to evaluate against", data=dataset.name)
        return None
    cases = {name: Case.of(dataset, table) for name, table in tables.items()}
    reports = Reports({name: case.evaluate(task.settings.protocol) for name, case in cases.items()}, task.chosen)
    if stage.group.is_first:
        told = facts()
        result = stage.by_one.result(VERSION, **task.reads, run=told.reads)
        if not (result.is_done() and result.has_files(_files(result))):
            result.begin()
            shutil.rmtree(result.folder / EXPLAINED, ignore_errors=True)
            _write(result.folder, task, cases[task.chosen], reports, told, explain)
            shown = {"protocol": reports.report.protocol, "mean_ap": reports.report.mean_ap}
            pages = [f"{EXPLAINED}/{path.name}" for path in sorted((result.folder / EXPLAINED).glob("*.html"))]
            sizes = file_sizes(result.folder, [*REPORT_FILES, *pages])
            result.finish(**shown, report=str(folder), files=sizes)
        shutil.rmtree(folder / EXPLAINED, ignore_errors=True)  # of another evaluation
        for name in _files(result):
            share_file(result.folder / name, folder / name)
    return reports


def _files(result: Result) -> list[str]:
    """The files of a finished report, its pages of explained images among them."""
    return list(dict.fromkeys([*REPORT_FILES, *result.facts().get(FILES, {})]))


def _write(
    folder: Path, task: EvaluationTask, case: Case, reports: Reports, facts: RunFacts, explain: Explain | None
) -> None:
    """Write the files of the report."""
    split, settings = task.split, task.settings
    analysis = analyse(case, reports.report, np.random.default_rng(task.seed), settings.resamples)
    explained = Explained({}, "")
    if explain and settings.explain:
        explained = explain(worst_positions(analysis, settings.explain), folder / EXPLAINED)
    pages = {position: f"{EXPLAINED}/{quote(name)}" for position, name in explained.pages.items()}
    content = DetectionReport(
        title=f"Detection report: {facts.name}",
        case=case,
        ids=range(1, len(split.dataset.classes) + 1),
        analysis=analysis,
        methods=reports.all,
        proposals=_coverage(split.dataset, task.regions),
        training=facts.trainings,
        pictures=draw_pictures(split.dataset, split.read, settings.pictures, task.seed, analysis, pages),
        seconds=facts.seconds,
        notes={**facts.notes, **facts.machine},
        settings=facts.settings,
        explained=f"{EXPLAINED}/{explained.index}" if explained.index else "",
    )
    write_report(folder, content)
    mean_aps = {name: finite(report.mean_ap) for name, report in reports.all.items()}
    write_text(folder / "methods.json", json.dumps(mean_aps, indent=1) + "\n")


def _coverage(dataset: Dataset, regions: Store) -> Coverage:
    """How the regions cover the objects."""
    positions = tqdm(range(len(dataset)), desc="recall", unit="image", leave=False)
    boxes = (read_proposals(regions, position).boxes for position in positions)
    return measure_coverage(
        counted_objects(dataset.objects, dataset.blacklist), boxes, [*CURVE_BUDGETS, *PROPOSAL_BUDGETS]
    )
