"""The object that each detection overlaps most, of its own class and of the others, hit or not."""

from dataclasses import dataclass

import numpy as np

from detector.evaluation.matching import inclusive, overlap
from detector.jit import njit
from detector.records import DetectionTable, Float64, Int64, ObjectTable


@dataclass(frozen=True, eq=False)
class Neighbours:
    """IoU (M,) with the nearest object of the detection's image and class, and of its image and another class.

    The rows (M,) are those of the objects, the first on equality; where nothing overlaps, IoU is 0 and the row -1.
    """

    same_iou: Float64
    same_row: Int64
    other_iou: Float64
    other_row: Int64


def nearest_objects(objects: ObjectTable, detections: DetectionTable) -> Neighbours:
    """The neighbours of `detections` among `objects`, all of which count."""
    rows = np.argsort(objects.image, kind="stable")
    image = objects.image[rows]
    first = np.searchsorted(image, detections.image, side="left")
    last = np.searchsorted(image, detections.image, side="right")
    found = objects.boxes[rows], objects.labels[rows]
    iou, place = _nearest(
        inclusive(detections.boxes), detections.labels, first, last, inclusive(found[0]), found[1]
    )
    row = np.append(rows, -1)[place]
    return Neighbours(iou[0], row[0], iou[1], row[1])


@njit(nogil=True)
def _nearest(boxes, labels, first, last, objects, object_labels):  # type: ignore[no-untyped-def]
    """IoU and place (2, M) of the nearest object of the same class, and of another."""
    ious = np.zeros((2, len(boxes)))
    places = np.full((2, len(boxes)), -1, np.int64)
    for m in range(len(boxes)):
        for g in range(first[m], last[m]):
            kind = 0 if object_labels[g] == labels[m] else 1
            iou = overlap(boxes[m], objects[g])
            if iou > ious[kind, m]:
                ious[kind, m], places[kind, m] = iou, g
    return ious, places
