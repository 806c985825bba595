import numpy as np
import pytest

from detector.data.holdout import draw_test, images_to_test
from detector.errors import DataError


def names(count: int) -> list[str]:
    return [f"image-{number}" for number in range(count)]


def counts_of(labels: list[int], classes: int) -> np.ndarray:
    return np.eye(classes, dtype=np.int64)[labels]


@pytest.mark.parametrize(("images", "tested"), [(2, 1), (3, 1), (6, 2), (10, 3), (15, 5), (25, 5), (100, 20)])
def test_a_fifth_is_tested_and_a_handful_where_there_are_more(images: int, tested: int) -> None:
    assert images_to_test(images) == tested
    counts = np.ones((images, 1), np.int64)
    assert draw_test(counts, np.arange(images), names(images), 0).sum() == tested


@pytest.mark.parametrize("images", [0, 1])
def test_one_image_cannot_be_split(images: int) -> None:
    with pytest.raises(DataError, match=f"two images, one to train on and one to test on, got {images}"):
        draw_test(np.ones((images, 1), np.int64), np.arange(images), names(images), 0)


def test_the_same_names_give_the_same_split_in_any_order() -> None:
    counts = counts_of([number % 3 for number in range(30)], 3)
    drawn = draw_test(counts, np.arange(30), names(30), 0)
    order = np.random.default_rng(0).permutation(30)
    shuffled = draw_test(counts[order], np.arange(30), [names(30)[row] for row in order], 0)
    np.testing.assert_array_equal(shuffled, drawn[order])
    assert not np.array_equal(draw_test(counts, np.arange(30), names(30), 1), drawn)


@pytest.mark.parametrize("seed", range(10))
def test_scenes_stay_whole_and_classes_are_on_both_sides(seed: int) -> None:
    random = np.random.default_rng(seed)
    scene = np.unique(random.integers(0, 40, 80), return_inverse=True)[1]
    labels = np.minimum(random.geometric(0.4, 80) - 1, 4)
    drawn = draw_test(counts_of(labels.tolist(), 5), scene, names(80), seed)
    assert not set(scene[drawn]) & set(scene[~drawn])
    assert 0 < drawn.sum() <= 80 / 3
    for label in np.unique(labels):
        if len(np.unique(scene[labels == label])) > 2:
            assert np.any(labels[drawn] == label)
        assert np.any(labels[~drawn] == label)


def test_a_class_of_one_image_is_trained_on() -> None:
    counts = counts_of([0] * 9 + [1], 2)
    for seed in range(20):
        assert not draw_test(counts, np.arange(10), names(10), seed)[9]


def test_of_one_long_video_the_last_frames_are_tested() -> None:
    drawn = draw_test(
        np.ones((10, 1), np.int64), np.zeros(10, np.int64), [f"f{number}" for number in range(10)], 0
    )
    np.testing.assert_array_equal(np.flatnonzero(drawn), [7, 8, 9])
