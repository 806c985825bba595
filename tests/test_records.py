import numpy as np
import pytest

from detector.errors import DataError
from detector.records import Detections, Proposals, join, table_of_detections, take


def proposals(count: int, start: int = 0) -> Proposals:
    boxes = np.arange(start, start + 4 * count, dtype=np.float32).reshape(count, 4)
    return Proposals(boxes, np.linspace(1, 0, count, dtype=np.float32))


def test_take_and_join_undo_each_other() -> None:
    whole = proposals(5)
    again = join([take(whole, np.arange(2)), take(whole, np.arange(2, 5))])
    np.testing.assert_array_equal(again.boxes, whole.boxes)
    np.testing.assert_array_equal(again.scores, whole.scores)


def test_take_accepts_a_mask_and_an_empty_index() -> None:
    assert take(proposals(3), np.array([True, False, True])).boxes[:, 0].tolist() == [0, 8]
    assert take(proposals(3), np.empty(0, np.int64)).boxes.shape == (0, 4)


def test_join_of_nothing_is_an_error() -> None:
    with pytest.raises(DataError, match="at least one record"):
        join([])


def test_a_wrong_dtype_names_the_field() -> None:
    with pytest.raises(DataError, match=r"Proposals\.boxes must be an array of float32, got float64"):
        Proposals(np.zeros((2, 4)), np.zeros(2, np.float32))  # type: ignore[arg-type]


def test_arrays_of_different_length_are_an_error() -> None:
    with pytest.raises(DataError, match=r"Proposals\.scores must have shape \(2,\), got \(3,\)"):
        Proposals(np.zeros((2, 4), np.float32), np.zeros(3, np.float32))


def test_nan_boxes_are_an_error() -> None:
    with pytest.raises(DataError, match=r"Proposals\.boxes must be finite"):
        Proposals(np.full((1, 4), np.nan, np.float32), np.zeros(1, np.float32))


def test_background_is_no_label_of_a_detection() -> None:
    with pytest.raises(DataError, match="labels must be at least 1, got 0"):
        Detections(np.zeros((1, 4), np.float32), np.zeros(1, np.int64), np.zeros(1, np.float32))


def test_the_table_numbers_detections_by_their_image() -> None:
    one = Detections(np.zeros((1, 4), np.float32), np.ones(1, np.int64), np.full(1, 0.5, np.float32))
    none = take(one, np.empty(0, np.int64))
    table = table_of_detections([one, none, one])
    assert table.image.tolist() == [0, 2]
    assert table.scores.dtype == np.float64
    assert len(table_of_detections([]).image) == 0
