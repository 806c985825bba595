"""Explanations held against what the detector does without them."""

import numpy as np

from detector.evaluation.explained import Explanation, KnownObject
from detector.inference.detector import ObjectDetector
from detector.records import Image


def explained_as_detected(detector: ObjectDetector, image: Image, *objects: KnownObject) -> Explanation:
    """The explanation of `image` from the least score on, once its detections are those of `detect`."""
    found = detector.detect(image)
    explanation = detector.explain(image, objects, detector.min_score)
    np.testing.assert_array_equal(explanation.selection.boxes, found.boxes)
    np.testing.assert_array_equal(explanation.selection.scores, found.scores)
    names = [detector.classes[label - 1] for label in found.labels.tolist()]
    assert [each.name for each in explanation.detections] == names
    assert len(explanation.seen)
    for seen in explanation.seen:
        crops, side = seen.crops.shape[0], seen.crops.shape[1]
        assert seen.crops.shape == (crops, side, side, 3)
        assert len(seen.paddings) == crops
        assert seen.evidence.shape[:2] == (len(seen.best), crops)
        assert np.isfinite(seen.evidence).all()
    return explanation
