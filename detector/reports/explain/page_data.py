"""What an explanation's page computes with: its numbers as JSON, arrays as the base64 of their bytes."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from detector.config import DetectSettings
from detector.evaluation.explained import Explanation, SeenRegion, Trace
from detector.proposals.search_levels import SearchLevels
from detector.records import Array, Image
from detector.reports.embedded import jpeg_uri, png_uri, shrunk

PICTURE_SIDE = 1000  # pixels, the most along the longer side
CROP_QUALITY = 75  # of JPEG
MOST_LEVELS = 24  # segmentations that are shown


def page_data(
    image: Image, explanation: Explanation, settings: DetectSettings, levels: Sequence[SearchLevels]
) -> str:
    """The JSON text, fit for a script element, of an image (H, W, 3) uint8 RGB and what is told of it."""
    trace = explanation.trace
    tree = {
        "picture": jpeg_uri(shrunk(image, PICTURE_SIDE)),
        "trace": _trace(trace),
        "limits": {
            "minScore": explanation.limits.min_score,
            "nmsIou": explanation.limits.nms_iou,
            "regions": explanation.limits.regions,
        },
        "settings": {
            "nms": settings.nms,
            "softSigma": settings.soft_sigma,
            "votingIou": settings.voting_iou,
            "maxPerImage": settings.max_per_image,
        },
        "objects": [
            {"name": each.name, "box": list(each.box), "counts": each.counts} for each in explanation.objects
        ],
        "verdicts": [each.text for each in explanation.verdicts],
        "seen": [_seen(each) for each in explanation.seen],
        "levels": [_levels(each) for each in levels[:MOST_LEVELS]],
        "notes": list(explanation.notes),
    }
    return json.dumps(tree, separators=(",", ":")).replace("<", "\\u003c")  # no name ends the script element


def packed(array: Array | None, dtype: type) -> str | None:
    """The bytes of an array, little-endian, in base64; None of none."""
    if array is None:
        return None
    values = np.ascontiguousarray(array, np.dtype(dtype).newbyteorder("<"))
    return base64.b64encode(values.tobytes()).decode("ascii")


def _trace(trace: Trace) -> Mapping[str, Any]:
    return {
        "height": trace.height,
        "width": trace.width,
        "classes": list(trace.classes),
        "boxes": packed(trace.boxes, np.float32),
        "rounds": packed(trace.rounds, np.uint8),
        "scored": trace.scored,
        "cascade": packed(trace.cascade, np.float32),
        "background": packed(trace.background, np.float32),
        "tops": trace.top_labels.shape[1],
        "topLabels": packed(trace.top_labels, np.uint32),
        "topScores": packed(trace.top_scores, np.float32),
        "floor": trace.floor,
        "rows": packed(trace.rows, np.uint32),
        "columns": packed(trace.columns, np.uint32),
        "scores": packed(trace.scores, np.float32),
        "moved": packed(trace.moved, np.float32),
        "before": packed(trace.before, np.float32),
        "rescored": packed(trace.rescored, np.float32),
        "bySvm": trace.by_svm,
    }


def _seen(seen: SeenRegion) -> Mapping[str, Any]:
    return {
        "region": seen.region,
        "crops": [jpeg_uri(crop, CROP_QUALITY) for crop in seen.crops],
        "side": seen.crops.shape[1],
        "paddings": list(seen.paddings),
        "best": [{"name": each.name, "score": each.score} for each in seen.best],
        "cells": list(seen.evidence.shape[3:1:-1]),
        "evidence": packed(seen.evidence, np.float32),
    }


def _levels(levels: SearchLevels) -> Mapping[str, Any]:
    """The labels as a PNG whose red, green and blue are their low, middle and high bytes."""
    labels = levels.labels
    planes = np.stack([labels >> 16, labels >> 8 & 255, labels & 255], 2).astype(np.uint8)  # BGR
    return {
        "colour": levels.colour,
        "k": levels.k,
        "labels": png_uri(planes),
        "parts": {name: packed(parts, np.uint32) for name, parts in levels.parts.items()},
    }
