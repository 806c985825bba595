"""Stage `detect`: the detections of a split, as records, as a submission and as COCO results."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from detector.config import Config
from detector.data.coco import write_coco_results
from detector.data.dataset import Dataset
from detector.data.journal import Entry, Fields
from detector.data.stores import Store, read_proposals
from detector.data.submission import write_submission
from detector.errors import DataError
from detector.inference.engine import RegionEngine
from detector.inference.score import FeatureScorer, refine, unrefined
from detector.inference.select import keep_best_of_each_class, select
from detector.networks.weights import load_model
from detector.parallel import ordered_map
from detector.pipeline.distributed import Group
from detector.pipeline.inputs import detect_inputs
from detector.pipeline.regions import ProposedRegions, load_regions
from detector.pipeline.run import Stage, file_hash
from detector.pipeline.stored import Make, run_stored_stage
from detector.records import FIRST_LABEL, ClassScores, Detections, DetectionTable, table_of_detections

FIELDS: Fields = {
    "boxes": (np.dtype(np.float32), (4,)),
    "labels": (np.dtype(np.int64), ()),
    "scores": (np.dtype(np.float32), ()),
}

Scores = Callable[[range], Iterator[ClassScores]]


@dataclass(frozen=True)
class Detector:
    """The files of a trained detector: the network, and the heads on its features where there are any."""

    network: Path
    svm: Path | None = None
    boxes: Path | None = None

    def hashes(self) -> dict[str, str]:
        """What the detections depend on."""
        files = {"network": self.network, "svm": self.svm, "boxes": self.boxes}
        return {name: file_hash(path) for name, path in files.items() if path}


def run_detect(
    stage: Stage,
    config: Config,
    dataset: Dataset,
    proposals: Store,
    features: Store | None,
    detector: Detector,
    method: str,
    group: Group,
) -> DetectionTable:
    """The detections of `dataset` by `method`, best `max_per_class` of each class.

    Without `features` the images go through the network. Writes `submission.txt` (ILSVRC) and `results.json`
    (COCO) into the stage's folder.
    """

    def prepare() -> Make:
        check_classes(dataset, detector.network)
        scores = (
            _from_images(config, dataset, proposals, detector, group.workers(config.engine.workers))
            if features is None
            else _from_features(dataset, proposals, features, detector, method)
        )
        min_score = config.detect.min_svm_score if method.startswith("svm") else config.detect.min_score

        def entry(found: ClassScores) -> Entry:
            kept = select(found, min_score, config.detect)
            return {"boxes": kept.boxes, "labels": kept.labels, "scores": kept.scores}

        return lambda positions: ordered_map(entry, scores(positions), group.workers(config.engine.workers))

    def facts(store: Store) -> dict[str, Any]:
        table = read_table(store, config)
        write_submission(stage.folder / "submission.txt", table, dataset.indices)
        write_coco_results(stage.folder / "results.json", table, dataset)
        regions = int(proposals.offsets[-1])
        return {"images": len(dataset), "regions": regions, "detections": len(table.scores)}

    inputs = {
        **detect_inputs(config, dataset, detector.hashes(), method),
        "from_features": features is not None,
    }
    store = run_stored_stage(stage, inputs, FIELDS, len(dataset), group, prepare, facts)
    return read_table(store, config)


def check_classes(dataset: Dataset, model_path: Path) -> None:
    """Raise DataError where a label would mean another class than in training."""
    trained = load_model(model_path)[2]["classes"]
    names = list(dataset.classes.names)
    if names != trained:
        at = next((i for i, pair in enumerate(zip(names, trained, strict=False)) if len(set(pair)) > 1), 0)
        raise DataError(
            f"classes of {dataset.name} must be those of the model in their order, got {len(names)} classes for "
            f"{len(trained)}, and {names[at]!r} for {trained[at]!r} ({model_path})"
        )


def _from_images(config: Config, dataset: Dataset, proposals: Store, detector: Detector, workers: int) -> Scores:
    """The probabilities of the network, of images decoded ahead."""
    network, preprocessing, _ = load_model(detector.network)
    engine = RegionEngine(network, preprocessing, config.region, config.engine)
    boxes = ProposedRegions(proposals).boxes

    def scores(positions: range) -> Iterator[ClassScores]:
        for found in engine.score(load_regions(config, dataset, boxes, positions, workers)):
            yield unrefined(found.boxes, np.ascontiguousarray(found.probs[:, FIRST_LABEL:]))

    return scores


def _from_features(dataset: Dataset, proposals: Store, features: Store, detector: Detector, method: str) -> Scores:
    """What the heads on stored features say."""
    svm = detector.svm if method.startswith("svm") else None
    scorer = FeatureScorer.svm(svm) if svm else FeatureScorer.softmax(detector.network)

    def score(position: int) -> ClassScores:
        boxes = np.array(read_proposals(proposals, position).boxes)
        found = features.read(position)
        scores = scorer.scores(found["features"].astype(np.float32))
        if not method.endswith("+boxes"):
            return unrefined(boxes, scores)
        height, width = dataset.sizes[position].tolist()
        return ClassScores(refine(boxes, found["moves"].astype(np.float32), height, width), scores)

    return lambda positions: map(score, positions)


def read_table(store: Store, config: Config) -> DetectionTable:
    """The detections in the stage's store, the best `max_per_class` of each class."""
    per_image = (store.read(position) for position in range(len(store)))
    records = [Detections(found["boxes"], found["labels"], found["scores"]) for found in per_image]
    return keep_best_of_each_class(table_of_detections(records), config.detect.max_per_class)
