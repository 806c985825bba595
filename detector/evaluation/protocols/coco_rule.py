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

from detector.evaluation.average_precision import HUNDRED_AND_ONE_RECALLS
from detector.evaluation.matching import FALSE_POSITIVE, IGNORED, Matches, inside_regions, match_unused
from detector.evaluation.outcomes import EvaluationProtocol, MatchedDetections, count_labels
from detector.records import Bool, DetectionTable, Float64, Int64, ObjectTable, Report, object_table, take

COCO_NUMBERS = {
    "AP": "IoU 0.50 to 0.95",
    "AP50": "IoU 0.50",
    "AP75": "IoU 0.75",
    "APs": "small objects",
    "APm": "medium objects",
    "APl": "large objects",
    "AR1": "1 detection an image",
    "AR10": "10 detections an image",
    "AR100": "100 detections an image",
    "ARs": "small objects",
    "ARm": "medium objects",
    "ARl": "large objects",
}
COCO_IOUS = np.linspace(0.5, 0.95, 10)  # pycocotools' iouThrs; the first is 0.5
COCO_MAX_DETECTIONS = 100  # of an image and class, the best ones
COCO_LARGEST_AREA = 1e5**2  # pycocotools' areaRng "all" begins at 0 and ends here
ALL_AREAS = 0
HUNDRED = 2  # position in pycocotools' maxDets (1, 10, 100)
IOU_50 = 0


def report_coco(matched: MatchedDetections) -> Report:
    """The report, for which pycocotools matches the same detections again."""
    return evaluate_coco(matched.objects, matched.detections, matched.num_images, matched.num_classes)


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
        _evaluate_each_class(run)
        run.summarize()
    return _report(run, *coco_tables(annotations, results))


def _evaluate_each_class(run: COCOeval) -> None:
    """What `evaluate` and `accumulate` do, class by class on the images that have any of it.

    pycocotools looks at every image for every class: at ILSVRC's 200 in 10,000, nearly all of them without any.
    """
    images: dict[int, set[int]] = {number: set() for number in run.params.catIds}
    for index in (run.cocoGt, run.cocoDt):
        for entry in index.dataset["annotations"]:
            images[entry["category_id"]].add(entry["image_id"])
    params, parts = run.params, {}
    classes, everywhere = params.catIds, params.imgIds
    for number in classes:
        if images[number]:
            params.catIds, params.imgIds = [number], sorted(images[number])
            run.evaluate()
            run.accumulate()
            parts[number] = run.eval
    params.catIds, params.imgIds = classes, everywhere
    run.params = params
    sides = len(params.iouThrs), len(params.recThrs), len(classes), len(params.areaRng), len(params.maxDets)
    run.eval = {"precision": -np.ones(sides), "recall": -np.ones((sides[0], *sides[2:]))}
    for place, number in enumerate(classes):
        if number in parts:
            run.eval["precision"][:, :, place] = parts[number]["precision"][:, :, 0]
            run.eval["recall"][:, place] = parts[number]["recall"][:, 0]


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


def match_coco(objects: ObjectTable, ranked: DetectionTable, ious: Float64) -> list[Matches]:
    """The matches of the detections `ranked` best first at each of `ious`, by the rule of pycocotools.

    As `match_unused` among the objects that count, but the last on equality; a detection that hits none is ignored
    if it has at least that share of its area in a crowd of its class, hits an object of an area that COCO does not
    know, or has such an area itself.
    """
    rows = np.flatnonzero(coco_counts(objects))[::-1]
    single, crowds = take(objects, rows), take(objects, objects.crowd)
    others = take(objects, ~objects.crowd & ~_is_coco_area(objects.areas))
    inside = inside_regions(crowds, ranked)
    strange = ~_is_coco_area((ranked.boxes[:, 2:] - ranked.boxes[:, :2]).prod(axis=1))
    nothing_skipped = np.zeros(len(ranked.scores), np.bool_)
    matches = []
    for iou in ious:
        outcomes, hits = match_unused(single, ranked, np.full(len(rows), iou), nothing_skipped)
        on_others = match_unused(others, ranked, np.full(len(others.labels), iou), outcomes != FALSE_POSITIVE)
        excused = (inside >= iou) | (on_others.objects >= 0) | strange
        outcomes[(outcomes == FALSE_POSITIVE) & excused] = IGNORED
        matches.append(Matches(outcomes, np.append(rows, -1)[hits]))
    return matches


def coco_counts(objects: ObjectTable) -> Bool:
    """Mask (G,) of the objects that COCO counts: no crowds, no areas below 0 (inverted boxes) or above 1e10."""
    return ~objects.crowd & _is_coco_area(objects.areas)


def _is_coco_area(areas: Float64) -> Bool:
    return (areas >= 0) & (areas <= COCO_LARGEST_AREA)


def best_of_each_image_and_class(objects: ObjectTable, detections: DetectionTable) -> DetectionTable:
    """The detections COCO looks at, by falling score, on equality by image and in file order."""
    ranked = take(detections, np.lexsort((detections.image, -detections.scores)))
    pair = ranked.image * (1 + ranked.labels.max(initial=0)) + ranked.labels
    rows = np.argsort(pair, kind="stable")
    places = np.empty(len(rows), np.int64)  # among those of the same image and class
    places[rows] = np.arange(len(rows)) - np.searchsorted(pair[rows], pair[rows], side="left")
    return take(ranked, places < COCO_MAX_DETECTIONS)


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
        objects=count_labels(objects.labels[coco_counts(objects)], len(ap)),
        detections=count_labels(best_of_each_image_and_class(objects, detections).labels, len(ap)),
        mean_ap=numbers["AP"] if with_objects.size else float("nan"),
        median_ap=float(np.median(with_objects)) if with_objects.size else float("nan"),
        mean_ap_with_objects=float(with_objects.mean()) if with_objects.size else float("nan"),
        recall=tuple(recall for recall, _ in curves),
        precision=tuple(heights for _, heights in curves),
        numbers=numbers,
    )


def _curve(recall: Float64, precision: Float64) -> tuple[Float64, Float64]:
    """The part of a class's curve that its detections reach."""
    reached = precision > 0
    return recall[reached], precision[reached]


PROTOCOL = EvaluationProtocol(
    words="COCO: mean over IoU 0.50 to 0.95",
    title="COCO",
    meaning="mean over IoU 0.50 to 0.95",
    rank=best_of_each_image_and_class,
    counts=lambda objects, blacklist: coco_counts(objects),
    match=lambda objects, ranked, blacklist: match_coco(objects, ranked, COCO_IOUS),
    report=report_coco,
    recalls=HUNDRED_AND_ONE_RECALLS,
    curves_at="IoU 0.5",
    numbers=COCO_NUMBERS,
    of_coco_files=evaluate_coco_json,
)
