"""What box regressors that are trained with the classes learn from (Fast R-CNN, arXiv 1504.08083, section 2.3)."""

import numpy as np

from detector.boxes import encode_boxes
from detector.records import Bool, Float32, GroundTruth
from detector.training.ridge import pairs

MIRRORED = np.array([-1, 1, 1, 1], np.float32)  # the centre's shift turns round


def box_targets(boxes: Float32, truth: GroundTruth, min_iou: float) -> Float32:
    """The offsets (N, 4) from regions (N, 4) to their objects, those of `pairs`; NaN for regions without one."""
    targets = no_targets(0, boxes)
    rows, objects = pairs(boxes, truth, min_iou)
    targets[rows] = encode_boxes(boxes[rows].astype(np.float64), truth.boxes[objects].astype(np.float64))
    return targets


def no_targets(position: int, boxes: Float32) -> Float32:
    """The targets (N, 4) of regions (N, 4) of an image where no boxes are learned: NaN."""
    return np.full((len(boxes), 4), np.nan, np.float32)


def mirror_targets(targets: Float32, mirror: Bool) -> Float32:
    """Offsets (N, 4), of the regions in the mask (N,) as they are in mirrored images."""
    return np.where(mirror[:, None], targets * MIRRORED, targets).astype(np.float32)
