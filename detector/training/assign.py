"""Which region is which class (R-CNN, arXiv 1311.2524, section 2.3)."""

import numpy as np

from detector.boxes import box_iou
from detector.records import BACKGROUND, FIRST_LABEL, Array, Bool, Float32, GroundTruth

IGNORED = -1  # neither object nor background
NEAR_IOU = 0.1  # of regions that are near an object (Fast R-CNN, arXiv 1504.08083, section 2.3)


def assign(boxes: Float32, truth: GroundTruth, positive_iou: float, exhaustive: bool) -> Array:
    """Labels (N,) i16 of regions (N, 4): the best-overlapping object's class where IoU >= `positive_iou`, else 0.

    The first object wins a tie. IGNORED are regions whose best object is difficult or a crowd, and, in an image
    that is not `exhaustive`, every region that is not positive: an unboxed object may be in it.
    """
    rest = BACKGROUND if exhaustive else IGNORED
    labels = np.full(len(boxes), rest, np.int16)
    if not len(truth.labels) or not len(boxes):
        return labels
    overlap = box_iou(boxes, truth.boxes)  # (N, G)
    best = overlap.argmax(1)
    positive = overlap.max(1) >= positive_iou
    classes = np.where(truth.difficult | truth.crowd, IGNORED, truth.labels)
    labels[positive] = classes[best[positive]]
    return labels


def near_objects(boxes: Float32, truth: GroundTruth) -> Bool:
    """Whether regions (N, 4) overlap any object by an IoU of at least `NEAR_IOU`."""
    return box_iou(boxes, truth.boxes).max(1, initial=0) >= NEAR_IOU


def negatives_of_classes(boxes: Float32, truth: GroundTruth, complete: Bool, iou: float) -> Bool:
    """Whether regions (N, 4) are negatives (N, C) of each class, for its SVM (section 2.3, appendix B).

    They are where the image is `complete` (C,) for the class and the region's IoU with each of its objects,
    difficult and crowd ones included, is under `iou`.
    """
    negative = np.tile(complete, (len(boxes), 1))  # (N, C)
    overlap = box_iou(boxes, truth.boxes)  # (N, G)
    for label in np.unique(truth.labels):
        negative[:, label - FIRST_LABEL] &= (overlap[:, truth.labels == label] < iou).all(1)
    return negative
