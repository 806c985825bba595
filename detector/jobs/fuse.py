"""Detections of several systems on one data set, fused, and the fusion judged beside them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from detector.config import Config, dump_config
from detector.data.dataset import Dataset
from detector.data.exchange.coco_results import write_coco_results
from detector.data.exchange.submission import write_submission
from detector.errors import DataError
from detector.inference.fusion import fuse
from detector.progress import progress_bar
from detector.records import Detections, DetectionTable, table_of_detections, take
from detector.reports.detection.analysis import Case, analyse
from detector.reports.detection.drawn_images import draw_pictures
from detector.reports.detection.report import DetectionReport, Reports
from detector.reports.detection.write import write_report
from detector.runs.environment import environment_notes
from detector.runs.split import Split, data_notes

FUSED = "fused"


@dataclass(frozen=True, eq=False)
class System:
    """What one system found in a data set, and how much it counts; scores are at least 0."""

    table: DetectionTable
    weight: float

    def __post_init__(self) -> None:
        least = self.table.scores.min(initial=0)
        if least < 0:
            raise DataError(f"scores must be at least 0 to be fused, got {least:g} (of an SVM?)")


def fuse_systems(systems: Sequence[System], images: int, iou: float, min_score: float) -> DetectionTable:
    """Weighted boxes fusion, image after image, of the systems' detections; see `detector.inference.fusion`."""
    weights = [system.weight for system in systems]
    by_image = [_detections_by_image(system.table, images) for system in systems]
    found = zip(*by_image, strict=True)
    fused = (
        fuse(each, weights, iou, min_score)
        for each in progress_bar(found, "fuse", total=images, unit="image", leave=False)
    )
    return table_of_detections(list(fused))


def write_fusion(folder: Path, table: DetectionTable, dataset: Dataset) -> None:
    """Write `results.json` (COCO) and `submission.txt` (ILSVRC) into `folder`."""
    write_coco_results(folder / "results.json", table, dataset)
    write_submission(folder / "submission.txt", table, dataset.indices)


def report_fusion(
    folder: Path, config: Config, split: Split, systems: Mapping[str, System], fused: DetectionTable
) -> Reports | None:
    """The reports of the systems, by name, and of their fusion, the last; its page goes into `folder`.

    None without objects.
    """
    dataset = split.dataset
    if not len(dataset.objects.labels):
        return None
    tables = {**{name: system.table for name, system in systems.items()}, FUSED: fused}
    cases = {name: Case.of(dataset, table) for name, table in tables.items()}
    reports = Reports({name: case.evaluate(config.evaluate.protocol) for name, case in cases.items()}, FUSED)
    random = np.random.default_rng(config.seed)
    analysis = analyse(cases[FUSED], reports.report, random, config.evaluate.resamples)
    content = DetectionReport(
        title=f"Fusion report: {config.name}",
        case=cases[FUSED],
        ids=range(1, len(dataset.classes) + 1),
        analysis=analysis,
        methods=reports.all,
        pictures=draw_pictures(dataset, split.read, config.evaluate.pictures, config.seed, analysis),
        notes=_origin(dataset, systems),
        settings=dump_config(config),
    )
    write_report(folder, content)
    return reports


def _detections_by_image(table: DetectionTable, images: int) -> Iterator[Detections]:
    """The detections of images 0, 1, ..., each best first."""
    order = np.lexsort((-table.scores, table.image))
    rows = take(table, order)
    ends = np.searchsorted(rows.image, np.arange(images + 1))
    boxes, scores = rows.boxes.astype(np.float32), rows.scores.astype(np.float32)
    for first, last in pairwise(ends):
        yield Detections(boxes[first:last], rows.labels[first:last], scores[first:last])


def _origin(dataset: Dataset, systems: Mapping[str, System]) -> dict[str, str]:
    """Where the report's numbers come from."""
    return {
        **data_notes(dataset),
        **{
            f"Detections of {name}": f"{len(system.table.scores)}, weight {system.weight:g}"
            for name, system in systems.items()
        },
        **environment_notes(),
    }
