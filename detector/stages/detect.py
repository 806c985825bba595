"""Stage `detect`: the detections of a split, as records, as a submission and as COCO results."""

from pathlib import Path
from typing import Any

import numpy as np

from detector.config import DetectSettings, EngineSettings
from detector.data.exchange.coco_results import write_coco_results
from detector.data.exchange.submission import write_submission
from detector.errors import DataError
from detector.inference.select import keep_best_of_each_class, select
from detector.parallel import ordered_map
from detector.records import ClassScores, Detections, DetectionTable, table_of_detections
from detector.runs.journal import Entry, Fields
from detector.runs.split import IMAGE_IDS, Split, check_images, ids_key
from detector.runs.stage import Stage
from detector.runs.store import Store
from detector.runs.stored_result import Make, run_stored
from detector.stages.score_sources import ScoreSource

VERSION = 1
SUBMISSION, RESULTS = "submission.txt", "results.json"
FIELDS: Fields = {
    "boxes": (np.dtype(np.float32), (4,)),
    "labels": (np.dtype(np.int64), ()),
    "scores": (np.dtype(np.float32), ()),
}


def run_detect(
    stage: Stage,
    split: Split,
    proposals: Store,
    source: ScoreSource,
    settings: DetectSettings,
    engine: EngineSettings,
) -> DetectionTable:
    """The detections of `split` by the scores of `source`, best `max_per_class` of each class.

    Writes `submission.txt` (ILSVRC) and `results.json` (COCO) beside them.
    """
    dataset, lowest = split.dataset, settings.lowest_score(source.by_svm)
    workers = stage.group.workers(engine.workers)
    result = stage.result(
        VERSION,
        regions=proposals,
        images=split.key,
        scores=source.reads,
        detect=settings.model_dump(exclude={"method"}),
        min_score=lowest,
        ids=[dataset.indices, dataset.classes.names, dataset.classes.category_ids, *["text"] * dataset.text_ids],
    )

    def entry(found: ClassScores) -> Entry:
        kept = select(found, lowest, settings)
        return {"boxes": kept.boxes, "labels": kept.labels, "scores": kept.scores}

    def prepare() -> Make:
        scores = source.open(split, proposals, workers)
        return lambda positions: ordered_map(entry, scores(positions), workers)

    def facts(store: Store) -> dict[str, Any]:
        table = read_detections(store, settings.max_per_class)
        write_submission(result.folder / SUBMISSION, table, dataset.indices)
        write_coco_results(result.folder / RESULTS, table, dataset)
        regions = int(proposals.offsets[-1])
        counts = {"images": len(dataset), "regions": regions, "detections": len(table.scores)}
        return {**counts, IMAGE_IDS: ids_key(dataset)}

    store = run_stored(result, FIELDS, len(dataset), prepare, facts, (SUBMISSION, RESULTS))
    return read_detections(store, settings.max_per_class)


def open_detections(folder: Path, split: Split, max_per_class: int) -> DetectionTable:
    """The detections of a finished result; DataError where it holds none, or those of other images or classes."""
    dataset = split.dataset
    check_images(folder, split)
    table = read_detections(Store.open(folder / "store", fields=FIELDS, count=len(dataset)), max_per_class)
    if len(table.labels) and table.labels.max() > len(dataset.classes):
        raise DataError(
            f"labels of detections must be in 1..{len(dataset.classes)}, got {table.labels.max()} ({folder})"
        )
    return table


def read_detections(store: Store, max_per_class: int) -> DetectionTable:
    """The detections in the stage's store, the best `max_per_class` of each class."""
    per_image = (store.read(position) for position in range(len(store)))
    records = [Detections(found["boxes"], found["labels"], found["scores"]) for found in per_image]
    return keep_best_of_each_class(table_of_detections(records), max_per_class)
