import numpy as np
import pytest
from oracles_proposals import group_slowly
from random_regions import describe, random_image, random_labels

from detector.proposals.grouping import Similarity, group
from detector.records import Array

ALL = Similarity(colour=True, texture=True, size=True, fill=True)
TERMS = [ALL, ALL._replace(colour=False), Similarity(fill=True), Similarity(size=True), Similarity(colour=True)]


def strip(*lengths: int) -> Array:
    """Labels (1, W) of regions side by side."""
    return np.repeat(np.arange(len(lengths)), lengths)[None].astype(np.int32)


def test_by_size_the_smallest_neighbours_merge_first() -> None:
    labels = strip(5, 2, 1, 4)
    boxes = group(describe(np.zeros((1, 12, 3), np.uint8), labels), Similarity(size=True))
    assert boxes[:, [0, 2]].tolist() == [[0, 4], [5, 6], [7, 7], [8, 11], [5, 7], [5, 11], [0, 11]]


def test_by_colour_like_merges_with_like() -> None:
    labels = strip(3, 3, 3, 3)
    image = np.array([10, 200, 203, 90], np.uint8)[labels][..., None].repeat(3, axis=2)
    boxes = group(describe(image, labels), Similarity(colour=True))
    assert boxes[4, [0, 2]].tolist() == [3, 8]


def test_by_fill_a_hole_is_closed_first() -> None:
    labels = np.zeros((6, 6), np.int32)
    labels[2:4, 2:4] = 1
    labels[:, 5] = 2
    boxes = group(describe(np.zeros((6, 6, 1), np.uint8), labels), Similarity(fill=True))
    assert boxes[3].tolist() == [0, 0, 4, 5]  # not ring and column, which leave out the 4 pixels of the hole


def test_of_equally_similar_pairs_the_lowest_regions_merge_first() -> None:
    labels = strip(2, 2, 2, 2)
    boxes = group(describe(np.zeros((1, 8, 3), np.uint8), labels), Similarity(size=True))
    assert boxes[4:, [0, 2]].tolist() == [[0, 3], [4, 7], [0, 7]]


def test_one_region_is_one_box() -> None:
    regions = describe(np.zeros((3, 5, 3), np.uint8), np.zeros((3, 5)))
    assert regions.pairs.shape == (0, 2)
    assert group(regions, ALL).tolist() == [[0, 0, 4, 2]]


@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("channels", [1, 3])
def test_random_images_agree_with_the_slow_version(terms: Similarity, channels: int) -> None:
    random = np.random.default_rng(channels)
    for _ in range(3):
        image, labels = random_image(random, 12, 15, channels), random_labels(random, 12, 15)
        assert group(describe(image, labels), terms).tolist() == [
            list(b) for b in group_slowly(image, labels, terms)
        ]


@pytest.mark.parametrize("terms", TERMS)
def test_a_flat_image_full_of_ties_agrees_with_the_slow_version(terms: Similarity) -> None:
    labels = np.arange(16, dtype=np.int32).reshape(4, 4).repeat(2, axis=0).repeat(2, axis=1)
    image = np.full((8, 8, 3), 50, np.uint8)
    assert group(describe(image, labels), terms).tolist() == [list(b) for b in group_slowly(image, labels, terms)]


def test_grouping_leaves_its_regions_as_they_were() -> None:
    random = np.random.default_rng(4)
    regions = describe(random_image(random, 20, 20, 3), random_labels(random, 20, 20))
    first = group(regions, ALL)
    np.testing.assert_array_equal(group(regions, ALL), first)


def test_a_region_of_very_many_neighbours_agrees_with_the_slow_version() -> None:
    labels = np.zeros((3, 81), np.int32)  # 40 lone pixels in a frame, which swallows them one by one
    labels[1, 1::2] = np.arange(1, 41)
    image = random_image(np.random.default_rng(5), 3, 81, 1)
    terms = Similarity(size=True, texture=True)
    assert group(describe(image, labels), terms).tolist() == [list(b) for b in group_slowly(image, labels, terms)]
