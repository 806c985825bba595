import math

import numpy as np
import pytest

from detector.evaluation.average_precision import (
    ELEVEN_RECALLS,
    area_under_envelope,
    average_precision,
    envelope,
    precision_recall,
)
from detector.evaluation.matching import FALSE_POSITIVE, IGNORED, TRUE_POSITIVE, Outcomes


def outcomes(text: str) -> Outcomes:
    """T, F, I as outcomes."""
    values = {"T": TRUE_POSITIVE, "F": FALSE_POSITIVE, "I": IGNORED}
    return np.array([values[letter] for letter in text], np.int8)


def test_precision_and_recall_after_each_detection() -> None:
    recall, precision = precision_recall(outcomes("TFTF"), 3)
    assert recall.tolist() == [1 / 3, 1 / 3, 2 / 3, 2 / 3]
    assert precision.tolist() == [1, 1 / 2, 2 / 3, 2 / 4]


def test_envelope_is_the_best_precision_from_here_on_and_passes_over_nan() -> None:
    assert envelope(np.array([math.nan, 0.5, 0.25, 0.75, 0.5])).tolist() == [0.75, 0.75, 0.75, 0.75, 0.5]


@pytest.mark.parametrize(
    ("text", "objects", "area", "eleven"),
    [
        ("TFTF", 3, 5 / 9, 6 / 11),
        ("TFTTF", 3, 5 / 6, (4 * 1 + 7 * 0.75) / 11),
        ("", 3, 0.0, 0.0),
        ("FFF", 2, 0.0, 0.0),
        ("T", 1, 1.0, 1.0),
        ("IIT", 1, 1.0, 1.0),
        ("II", 1, 0.0, 0.0),
        ("TTTFFF", 10, 0.3, 3 / 11),  # 3 / 10 is under the Octave range's 0.30000000000000004
    ],
)
def test_average_precision_by_hand(text: str, objects: int, area: float, eleven: float) -> None:
    curve = precision_recall(outcomes(text), objects)
    assert area_under_envelope(*curve) == pytest.approx(area, abs=1e-12)
    assert average_precision(*curve, ELEVEN_RECALLS) == pytest.approx(eleven, abs=1e-12)


def test_area_without_objects_is_nan_with_detections_and_zero_without() -> None:
    assert math.isnan(area_under_envelope(*precision_recall(outcomes("FI"), 0)))
    assert area_under_envelope(*precision_recall(outcomes(""), 0)) == 0
