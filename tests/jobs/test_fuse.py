import numpy as np
import pytest
from made_reports import table

from detector.errors import DataError
from detector.inference.fusion import fuse
from detector.jobs.fuse import System, fuse_systems
from detector.records import Detections

A, NEAR_A, B = (10.0, 10.0, 50.0, 50.0), (12.0, 10.0, 52.0, 50.0), (60.0, 60.0, 90.0, 90.0)
FIRST = table((2, 1, 0.4, A), (0, 1, 0.9, A), (0, 2, 0.5, B))
SECOND = table((0, 1, 0.7, NEAR_A), (2, 2, 0.8, A))


def test_images_are_fused_one_by_one_in_their_order() -> None:
    found = fuse_systems([System(FIRST, 2), System(SECOND, 1)], 4, 0.55, 0)
    assert found.image.tolist() == [0, 0, 2, 2]
    assert found.labels.tolist() == [1, 2, 1, 2]
    in_first = [
        Detections(np.array([A, B], np.float32), np.array([1, 2]), np.array([0.9, 0.5], np.float32)),
        Detections(np.array([NEAR_A], np.float32), np.array([1]), np.array([0.7], np.float32)),
    ]
    wanted = fuse(in_first, [2, 1])
    np.testing.assert_allclose(found.boxes[:2], wanted.boxes)
    np.testing.assert_allclose(found.scores[:2], wanted.scores)
    assert found.scores[2:] == pytest.approx([0.4 * 2 / 3, 0.8 / 3])  # that one of two systems saw


def test_a_system_fused_with_itself_is_itself_best_first() -> None:
    found = fuse_systems([System(FIRST, 1), System(FIRST, 1)], 3, 0.55, 0)
    assert found.scores == pytest.approx([0.9, 0.5, 0.4])
    np.testing.assert_allclose(found.boxes, [A, B, A])


def test_nothing_fuses_to_nothing() -> None:
    assert len(fuse_systems([System(table(), 1), System(table(), 1)], 3, 0.55, 0).scores) == 0


def test_scores_below_the_least_are_left_out() -> None:
    assert fuse_systems([System(FIRST, 1)], 3, 0.55, 0.45).image.tolist() == [0, 0]


def test_scores_of_svms_are_refused() -> None:
    with pytest.raises(DataError, match=r"^scores must be at least 0 to be fused, got -0.5 \(of an SVM\?\)$"):
        System(table((0, 1, -0.5, A)), 1)
