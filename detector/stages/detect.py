"""Stage `detect`: the detections of a split, as records, as a submission and as COCO results."""

from typing import Any

import numpy as np

from detector.config import Config
from detector.data.dataset import Dataset
from detector.data.exchange.coco_results import write_coco_results
from detector.data.exchange.submission import write_submission
from detector.errors import DataError
from detector.inference.select import keep_best_of_each_class, select
from detector.parallel import ordered_map
from detector.records import ClassScores, Detections, DetectionTable, table_of_detections
from detector.runs.folder import Stage
from detector.runs.journal import Entry, Fields
from detector.runs.processes import Group
from detector.runs.store import Store
from detector.runs.store_stage import Make, run_stored_stage
from detector.stages.inputs import IMAGE_IDS, check_images, detect_inputs, ids_hash
from detector.stages.score_sources import ScoreSource

SUBMISSION, RESULTS = "submission.txt", "results.json"
FIELDS: Fields = {
    "boxes": (np.dtype(np.float32), (4,)),
    "labels": (np.dtype(np.int64), ()),
    "scores": (np.dtype(np.float32), ()),
}


def run_detect(
    stage: Stage,
    config: Config,
    dataset: Dataset,
    proposals: Store,
    source: ScoreSource,
    min_score: float,
    group: Group,
) -> DetectionTable:
    """The detections of `dataset` by the scores of `source`, best `max_per_class` of each class.

    Writes `submission.txt` (ILSVRC) and `results.json` (COCO) into the stage's folder.
    """
    workers = group.workers(config.engine.workers)

    def entry(found: ClassScores) -> Entry:
        kept = select(found, min_score, config.detect)
        return {"boxes": kept.boxes, "labels": kept.labels, "scores": kept.scores}

    def prepare() -> Make:
        scores = source.open(config, dataset, proposals, workers)
        return lambda positions: ordered_map(entry, scores(positions), workers)

    def facts(store: Store) -> dict[str, Any]:
        table = read_table(store, config)
        write_submission(stage.folder / SUBMISSION, table, dataset.indices)
        write_coco_results(stage.folder / RESULTS, table, dataset)
        regions = int(proposals.offsets[-1])
        counts = {"images": len(dataset), "regions": regions, "detections": len(table.scores)}
        return {**counts, IMAGE_IDS: ids_hash(dataset)}

    inputs = {**detect_inputs(config, dataset, proposals, source.inputs()), "min_score": min_score}
    files = (SUBMISSION, RESULTS)
    store = run_stored_stage(stage, inputs, FIELDS, len(dataset), group, prepare, facts, files)
    return read_table(store, config)


def open_detections(stage: Stage, dataset: Dataset, config: Config) -> DetectionTable:
    """The detections of a finished stage; DataError where it holds none, or those of other images or classes."""
    check_images(stage, dataset)
    folder = stage.folder / "store"
    table = read_table(Store.open(folder, fields=FIELDS, count=len(dataset)), config)
    if len(table.labels) and table.labels.max() > len(dataset.classes):
        raise DataError(
            f"labels of detections must be in 1..{len(dataset.classes)}, got {table.labels.max()} ({folder})"
        )
    return table


def read_table(store: Store, config: Config) -> DetectionTable:
    """The detections in the stage's store, the best `max_per_class` of each class."""
    per_image = (store.read(position) for position in range(len(store)))
    records = [Detections(found["boxes"], found["labels"], found["scores"]) for found in per_image]
    return keep_best_of_each_class(table_of_detections(records), config.detect.max_per_class)
