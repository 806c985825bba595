"""Which images a stage looks at."""

import numpy as np
import pytest

from detector.stages.region_sets import choose_images

EVERY_CLASS = np.array([True, False, True, False, True, True, False, False])
SOME_CLASS = np.array([True, True, True, True, True, True, False, True])


def chosen(count: int, seed: int = 3) -> list[int]:
    return np.flatnonzero(choose_images(SOME_CLASS, count, seed, first=EVERY_CLASS)).tolist()


def test_images_labelled_for_every_class_come_first() -> None:
    for count in range(1, 5):
        found = chosen(count)
        assert len(found) == count
        assert set(found) <= {0, 2, 4, 5}


@pytest.mark.parametrize(("count", "others"), [(5, 1), (6, 2), (7, 3), (9, 3), (0, 3)])
def test_images_labelled_for_some_classes_fill_up(count: int, others: int) -> None:
    found = set(chosen(count))
    assert found >= {0, 2, 4, 5}
    assert len(found - {0, 2, 4, 5}) == others
    assert 6 not in found


def test_each_kind_is_drawn_at_random_and_always_the_same() -> None:
    for count in (2, 5):
        draws = [tuple(chosen(count, seed)) for seed in range(20)]
        assert len(set(draws)) > 1
        assert draws == [tuple(chosen(count, seed)) for seed in range(20)]


@pytest.mark.parametrize("first", [np.ones(8, np.bool_), np.zeros(8, np.bool_)])
def test_where_all_images_are_labelled_alike_the_draw_is_the_plain_one(first: np.ndarray) -> None:
    for count in (0, 3, 7):
        np.testing.assert_array_equal(
            choose_images(SOME_CLASS, count, 1, first=first), choose_images(SOME_CLASS, count, 1)
        )


def test_of_no_images_none_are_chosen() -> None:
    nothing = np.empty(0, np.bool_)
    assert choose_images(nothing, 5, 0, first=nothing).shape == (0,)
