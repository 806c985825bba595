"""The COCO evaluation, by pycocotools.

Its numbers are pycocotools' own: -1 in the twelve stands for "not defined" (no object of that size).
"""

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detector.evaluation.outcomes import coco_counts
from detector.records import DetectionTable, Float64, Int64, ObjectTable, Report, object_table

COCO_NUMBERS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
ALL_AREAS = 0
HUNDRED = 2  # position in pycocotools' maxDets (1, 10, 100)
IOU_50 = 0
MAX_DETECTIONS = 100  # of an image and class, the best ones


def evaluate_coco(objects: ObjectTable, detections: DetectionTable, num_images: int, num_classes: int) -> Report:
    """The COCO evaluation of tables; crowd objects are COCO's iscrowd.

    Of equal scores the earlier image's counts first.
    """
    columns = _lists(objects.image, objects.labels, _sides(objects.boxes), objects.crowd, objects.areas)
    annotations = {
        "images": [{"id": position} for position in range(num_images)],
        "categories": [{"id": label} for label in range(1, num_classes + 1)],
        "annotations": [
            {"id": n, "image_id": image, "category_id": label, "bbox": box, "iscrowd": int(crowd), "area": area}
            for n, (image, label, box, crowd, area) in enumerate(zip(*columns, strict=True), 1)
        ],
    }
    rows = _lists(detections.image, detections.labels, _sides(detections.boxes), detections.scores)
    results = [
        {"image_id": image, "category_id": label, "bbox": box, "score": score}
        for image, label, box, score in zip(*rows, strict=True)
    ]
    return evaluate_coco_json(annotations, results)


def evaluate_coco_json(annotations: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> Report:
    """The COCO evaluation of an instances tree and a results list, both checked; neither is changed.

    Classes are the categories in the order of their ids. `area` is the box's where an annotation has none.
    Curves are COCO's precision at 101 recalls at IoU 0.5.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        run = COCOeval(_object_index(annotations), _result_index(annotations, results), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return _report(run, *coco_tables(annotations, results))


def coco_tables(
    annotations: Mapping[str, Any], results: Sequence[Mapping[str, Any]]
) -> tuple[ObjectTable, DetectionTable]:
    """An instances tree and a results list as tables: positions in `images`, labels by rising category id.

    Equal scores rank by position, but in `evaluate_coco_json` by id: sort the images by id for the same numbers.
    """
    positions = {image["id"]: position for position, image in enumerate(annotations["images"])}
    labels = {number: label for label, number in enumerate(category_ids(annotations), 1)}
    crowd = np.array([bool(entry.get("iscrowd", 0)) for entry in annotations["annotations"]], np.bool_)
    areas = np.array([entry.get("area", _area(entry)) for entry in annotations["annotations"]], np.float64)
    image, label, boxes = _columns(annotations["annotations"], positions, labels)
    objects = object_table(image, boxes, label, np.zeros_like(crowd), crowd, areas)
    image, label, boxes = _columns(results, positions, labels)
    scores = np.array([entry["score"] for entry in results], np.float64)
    return objects, DetectionTable(image, boxes, label, scores)


def category_ids(annotations: Mapping[str, Any]) -> tuple[int, ...]:
    """The ids of an instances tree's categories in label order, rising."""
    return tuple(sorted(category["id"] for category in annotations["categories"]))


def _columns(
    entries: Sequence[Mapping[str, Any]], positions: Mapping[Any, int], labels: Mapping[Any, int]
) -> tuple[Int64, Int64, Float64]:
    sides = np.array([entry["bbox"] for entry in entries], np.float64).reshape(-1, 4)
    image = np.array([positions[entry["image_id"]] for entry in entries], np.int64)
    label = np.array([labels[entry["category_id"]] for entry in entries], np.int64)
    return image, label, np.concatenate([sides[:, :2], sides[:, :2] + sides[:, 2:]], axis=1)


def _sides(boxes: Float64) -> Float64:
    """Boxes as COCO's [x, y, width, height]."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def _lists(*columns: Any) -> list[list[Any]]:
    return [column.tolist() for column in columns]


def _object_index(tree: Mapping[str, Any]) -> COCO:
    """The objects, numbered here: pycocotools takes an object with the id 0, or another's id, for no match."""
    entries = enumerate(tree["annotations"], 1)
    return _index(tree, [{"area": _area(entry), "iscrowd": 0, **entry, "id": n} for n, entry in entries])


def _result_index(tree: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> COCO:
    """What pycocotools' loadRes makes, for an empty list too."""
    return _index(
        tree,
        [{**entry, "id": n, "area": _area(entry), "iscrowd": 0} for n, entry in enumerate(results, 1)],
    )


def _area(entry: Mapping[str, Any]) -> float:
    return entry["bbox"][2] * entry["bbox"][3]


def _index(tree: Mapping[str, Any], entries: list[dict[str, Any]]) -> COCO:
    index = COCO()
    index.dataset = {"images": tree["images"], "categories": tree["categories"], "annotations": entries}
    index.createIndex()
    return index


def _report(run: COCOeval, objects: ObjectTable, detections: DetectionTable) -> Report:
    precision = run.eval["precision"][:, :, :, ALL_AREAS, HUNDRED]  # (T, R, C)
    defined = precision[IOU_50, 0] > -1
    ap = np.where(defined, precision.mean(axis=(0, 1)), np.nan)
    curves = [_curve(run.params.recThrs, precision[IOU_50, :, c]) for c in range(len(ap))]
    with_objects = ap[defined]
    numbers = {name: float(value) for name, value in zip(COCO_NUMBERS, run.stats, strict=True)}
    return Report(
        protocol="coco",
        ap=ap,
        objects=_count(objects.labels[coco_counts(objects)], len(ap)),
        detections=_count(_counted_labels(detections), len(ap)),
        mean_ap=numbers["AP"] if with_objects.size else float("nan"),
        median_ap=float(np.median(with_objects)) if with_objects.size else float("nan"),
        mean_ap_with_objects=float(with_objects.mean()) if with_objects.size else float("nan"),
        recall=tuple(recall for recall, _ in curves),
        precision=tuple(heights for _, heights in curves),
        coco=numbers,
    )


def _curve(recall: Float64, precision: Float64) -> tuple[Float64, Float64]:
    """The part of a class's curve that its detections reach."""
    reached = precision > 0
    return recall[reached], precision[reached]


def _counted_labels(detections: DetectionTable) -> Int64:
    """The labels of the detections COCO looks at: of each image and class the best hundred."""
    pairs = np.stack([detections.labels, detections.image], axis=1)
    unique, counts = np.unique(pairs, axis=0, return_counts=True)
    return np.repeat(unique[:, 0], np.minimum(counts, MAX_DETECTIONS))


def _count(labels: Int64, num_classes: int) -> Int64:
    return np.bincount(labels, minlength=num_classes + 1)[1:].astype(np.int64)
