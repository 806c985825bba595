"""Selection of detections, with what became of every candidate: `select`, and who suppressed whom."""

import numpy as np

from detector.config import DetectSettings
from detector.evaluation.explained import (
    BEYOND,
    KEPT,
    LEFT_OUT,
    RESCORED,
    SUPPRESSED,
    UNDER,
    Limits,
    Selection,
    Trace,
)
from detector.inference.select import candidates, choose_boxes
from detector.records import Bool, Float32, Float64, Int64


def trace_selection(trace: Trace, limits: Limits, settings: DetectSettings) -> Selection:
    """What `select` makes of the scores in `trace` of the regions that `limits` let in, and of each candidate.

    The same boxes in the same order, as long as `limits.min_score` is at least the trace's floor.
    """
    settings = settings.model_copy(update={"nms_iou": limits.nms_iou})
    within = looked_at(trace, limits)[trace.rows]
    status = np.where(within, UNDER, BEYOND).astype(np.int64)
    by, overlaps = np.full(len(status), -1, np.int64), np.zeros(len(status))
    kept: list[Int64] = [np.empty(0, np.int64)]
    boxes, scores = [np.empty((0, 4), np.float32)], [np.empty(0, np.float32)]
    for column in np.unique(trace.columns).tolist():
        own = np.flatnonzero((trace.columns == column) & within)
        rescored = None if trace.rescored is None else trace.rescored[own]
        rivals = candidates(trace.scores[own], rescored, limits.min_score)
        own = own[rivals]
        found = choose_boxes(
            trace.moved[own],
            trace.scores[own],
            None if rescored is None else rescored[rivals],
            limits.min_score,
            settings,
        )
        status[own] = SUPPRESSED
        if settings.nms != "greedy":
            status[own[trace.scores[own] < limits.min_score]] = UNDER  # soft NMS looks at no others
        by[own], overlaps[own] = suppressors(trace.moved[own], found.rows, settings)
        by[own] = np.append(own, -1)[by[own]]
        status[own[found.rows]] = RESCORED
        final = found.scores >= limits.min_score if rescored is not None else np.ones(len(found.rows), np.bool_)
        kept.append(own[found.rows[final]])
        boxes.append(found.boxes[final])
        scores.append(found.scores[final])
    rows, final_scores = np.concatenate(kept), np.concatenate(scores)
    order = np.argsort(-final_scores, kind="stable")
    status[rows] = LEFT_OUT
    order = order[: settings.max_per_image or len(order)]
    status[rows[order]] = KEPT
    return Selection(status, by, overlaps, rows[order], np.concatenate(boxes)[order], final_scores[order])


def looked_at(trace: Trace, limits: Limits) -> Bool:
    """Mask (R,) of the regions that `limits` let in: the first proposals that were scored, and later rounds."""
    return (trace.rounds > 0) | (np.arange(len(trace.rounds)) < min(limits.regions, trace.scored))


def suppressors(boxes: Float32, kept: Int64, settings: DetectSettings) -> tuple[Int64, Float64]:
    """Of candidates (N, 4) the one that suppressed each, (N,) positions or -1, and its IoU (N,) or 0.

    `kept` (K,) are those that survive, best first. By greedy NMS it is the best that overlaps a candidate by more
    than its IoU, by soft NMS the kept one that overlaps it most, the better of equals.
    """
    by, overlaps = np.full(len(boxes), -1, np.int64), np.zeros(len(boxes))
    left = np.ones(len(boxes), np.bool_)
    left[kept] = False
    for row in kept.tolist():
        overlap = overlaps_in_nms(boxes[row], boxes)
        if settings.nms == "greedy":
            new = left & (by < 0) & (overlap > settings.nms_iou)
        else:
            new = left & (overlap > overlaps)
        by[new], overlaps[new] = row, overlap[new]
    return by, overlaps


def overlaps_in_nms(box: Float32, boxes: Float32) -> Float64:
    """IoU (N,) of a box (4,) with boxes (N, 4), step by step as `nms` rounds it; 0 where they share no area."""
    width = np.minimum(box[2], boxes[:, 2]) - np.maximum(box[0], boxes[:, 0])
    height = np.minimum(box[3], boxes[:, 3]) - np.maximum(box[1], boxes[:, 1])
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    area = np.maximum(box[2] - box[0], 0) * np.maximum(box[3] - box[1], 0)
    shared = (width > 0) & (height > 0)
    inter = (width * height).astype(np.float64)
    union = (area + sides[:, 0] * sides[:, 1]).astype(np.float64) - inter
    return np.divide(inter, union, out=np.zeros(len(boxes)), where=shared)
