"""Stage `detect`: the detections of a split, as records, as a submission and as COCO results."""

from typing import Any

import numpy as np

from detector.config import Config
from detector.data.coco import write_coco_results
from detector.data.dataset import Dataset
from detector.data.journal import Entry, Fields
from detector.data.stores import Store
from detector.data.submission import write_submission
from detector.inference.select import keep_best_of_each_class, select
from detector.parallel import ordered_map
from detector.pipeline.distributed import Group
from detector.pipeline.inputs import detect_inputs
from detector.pipeline.run import Stage
from detector.pipeline.scores import ScoreSource
from detector.pipeline.stored import Make, run_stored_stage
from detector.records import ClassScores, Detections, DetectionTable, table_of_detections

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
        write_submission(stage.folder / "submission.txt", table, dataset.indices)
        write_coco_results(stage.folder / "results.json", table, dataset)
        regions = int(proposals.offsets[-1])
        return {"images": len(dataset), "regions": regions, "detections": len(table.scores)}

    inputs = {**detect_inputs(config, dataset, proposals, source.inputs()), "min_score": min_score}
    store = run_stored_stage(stage, inputs, FIELDS, len(dataset), group, prepare, facts)
    return read_table(store, config)


def read_table(store: Store, config: Config) -> DetectionTable:
    """The detections in the stage's store, the best `max_per_class` of each class."""
    per_image = (store.read(position) for position in range(len(store)))
    records = [Detections(found["boxes"], found["labels"], found["scores"]) for found in per_image]
    return keep_best_of_each_class(table_of_detections(records), config.detect.max_per_class)
