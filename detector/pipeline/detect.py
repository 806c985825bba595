"""Stage `detect`: the detections of a split, as records, as a submission and as COCO results."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from detector.config import Config
from detector.data.coco import write_coco_results
from detector.data.dataset import Dataset
from detector.data.images import read_image
from detector.data.stores import Fields, Store, StoreWriter, read_proposals
from detector.data.submission import write_submission
from detector.errors import DataError
from detector.inference.engine import RegionEngine
from detector.inference.select import keep_best_of_each_class, select
from detector.networks.weights import load_model
from detector.parallel import ordered_map, worker_count
from detector.pipeline.inputs import detect_inputs
from detector.pipeline.run import Stage, file_hash, key_of
from detector.records import Detections, DetectionTable, Float32, Image, table_of_detections

FIELDS: Fields = {
    "boxes": (np.dtype(np.float32), (4,)),
    "labels": (np.dtype(np.int64), ()),
    "scores": (np.dtype(np.float32), ()),
}


def run_detect(
    stage: Stage, config: Config, dataset: Dataset, proposals: Store, model_path: Path
) -> DetectionTable:
    """The detections of `dataset` by the model, best `max_per_class` of each class; resumes by shards of images.

    Writes `submission.txt` (ILSVRC) and `results.json` (COCO) into the stage's folder.
    """
    inputs = detect_inputs(config, dataset, file_hash(model_path))
    folder = stage.folder / "store"
    if stage.is_done(inputs):
        return read_table(Store.open(folder, key_of(inputs)), config)
    stage.begin(inputs)
    writer = StoreWriter(folder, FIELDS, len(dataset), key_of(inputs))
    network, preprocessing, metadata = load_model(model_path)
    _check_classes(metadata["classes"], dataset, model_path)
    engine = RegionEngine(network, preprocessing, config.region, config.engine)
    shards = writer.missing_shards()
    left = [writer.left(shard) for shard in shards]
    done = len(dataset) - sum(map(len, left))
    with tqdm(total=len(dataset), initial=done, desc=stage.name, unit="image") as progress:
        for shard, positions in zip(shards, left, strict=True):
            for scores in engine.score(_images(config, dataset, proposals, positions)):
                found = select(scores, config.detect)
                writer.append(shard, {"boxes": found.boxes, "labels": found.labels, "scores": found.scores})
                progress.update()
            writer.close_shard(shard)
    table = read_table(writer.finish(), config)
    write_submission(stage.folder / "submission.txt", table, dataset.indices)
    write_coco_results(stage.folder / "results.json", table, dataset)
    regions = int(proposals.offsets[-1])
    stage.finish(inputs, images=len(dataset), regions=regions, detections=len(table.scores))
    return table


def _check_classes(trained: list[str], dataset: Dataset, model_path: Path) -> None:
    """Raise DataError where a label would mean another class than in training."""
    names = list(dataset.classes.names)
    if names != trained:
        at = next((i for i, pair in enumerate(zip(names, trained, strict=False)) if len(set(pair)) > 1), 0)
        raise DataError(
            f"classes of {dataset.name} must be those of the model in their order, got {len(names)} classes for "
            f"{len(trained)}, and {names[at]!r} for {trained[at]!r} ({model_path})"
        )


def _images(
    config: Config, dataset: Dataset, proposals: Store, positions: range
) -> Iterator[tuple[Image, Float32]]:
    """The images at `positions` with their proposals, decoded ahead; one that was unreadable comes black, bare."""

    def load(position: int) -> tuple[Image, Float32]:
        boxes = np.array(read_proposals(proposals, position).boxes)
        if not len(boxes):
            return np.zeros((1, 1, 3), np.uint8), boxes
        return read_image(dataset.record(position).path, config.data.exif), boxes

    return ordered_map(load, positions, worker_count(config.engine.workers))


def read_table(store: Store, config: Config) -> DetectionTable:
    """The detections in the stage's store, the best `max_per_class` of each class."""
    per_image = (store.read(position) for position in range(len(store)))
    records = [Detections(found["boxes"], found["labels"], found["scores"]) for found in per_image]
    return keep_best_of_each_class(table_of_detections(records), config.detect.max_per_class)
