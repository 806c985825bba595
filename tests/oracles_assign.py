"""Slow, obvious versions of what regions are labelled as."""

from oracles_boxes import iou_of_two

from detector.records import Array, GroundTruth


def negatives_one_by_one(regions: Array, truth: GroundTruth, complete: Array, iou: float) -> list[list[bool]]:
    """Of each region and class, whether it is a negative."""
    table = []
    for region in regions:
        row = []
        for label, known in enumerate(complete, 1):
            boxes = [box for box, other in zip(truth.boxes, truth.labels, strict=True) if other == label]
            row.append(bool(known) and all(iou_of_two(region, box) < iou for box in boxes))
        table.append(row)
    return table
