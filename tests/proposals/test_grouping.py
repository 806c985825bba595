import numpy as np
import pytest
from oracles_proposals import box_of, colour_histogram, group_slowly, texture_histogram, touch

from detector.errors import DataError
from detector.proposals import grouping
from detector.proposals.grouping import Regions, Similarity, derivatives, describe_regions, group, pixel_bins
from detector.records import Array, Image

ALL = Similarity(colour=True, texture=True, size=True, fill=True)
TERMS = [ALL, ALL._replace(colour=False), Similarity(fill=True), Similarity(size=True), Similarity(colour=True)]


def random_labels(random: np.random.Generator, height: int, width: int) -> Array:
    """Labels 0..R-1, all in use, of patches that need not be connected."""
    coarse = random.integers(0, 12, (height // 3 + 1, width // 3 + 1))
    labels = coarse.repeat(3, axis=0).repeat(3, axis=1)[:height, :width]
    return np.unique(labels, return_inverse=True)[1].reshape(height, width).astype(np.int32)


def random_image(random: np.random.Generator, height: int, width: int, channels: int) -> Image:
    return random.integers(0, 256, (height, width, channels)).astype(np.uint8)


def describe(image: Image, labels: Array) -> Regions:
    return describe_regions(labels.astype(np.int32), pixel_bins(image))


def strip(*lengths: int) -> Array:
    """Labels (1, W) of regions side by side."""
    return np.repeat(np.arange(len(lengths)), lengths)[None].astype(np.int32)


def test_the_derivative_of_a_ramp_is_its_slope() -> None:
    ramp = np.tile((3 * np.arange(20))[None, :, None], (20, 1, 1)).astype(np.uint8)
    along_x, along_y = derivatives(ramp)
    np.testing.assert_allclose(along_x[:, 4:-4], 3, rtol=1e-5)
    np.testing.assert_allclose(along_y, 0, atol=1e-4)


def test_bins_of_a_ramp() -> None:
    ramp = np.tile((11 * np.arange(20))[:, None, None], (1, 20, 1)).astype(np.uint8)
    colour, right, down_right, down, down_left = pixel_bins(ramp)[10, 10]
    assert colour == 110 * 25 // 256
    assert right == 9  # 0 of 5 grey levels a pixel
    assert down_right == 9 + 1  # 11 / sqrt(2) of 5
    assert down == 9 + 2  # 11 of 5
    assert down_left == 9 + 1
    assert pixel_bins(255 - ramp)[10, 10, 1:].tolist() == [9, 8, 7, 8]


def test_regions_are_described_as_their_pixels_are() -> None:
    random = np.random.default_rng(0)
    for channels in (1, 3):
        image, labels = random_image(random, 13, 17, channels), random_labels(random, 13, 17)
        regions = describe(image, labels)
        masks = [labels == label for label in range(labels.max() + 1)]
        assert regions.sizes.tolist() == [mask.sum() for mask in masks]
        assert regions.boxes.tolist() == [list(box_of(mask)) for mask in masks]
        assert regions.colour.tolist() == [colour_histogram(image, mask).tolist() for mask in masks]
        assert regions.texture.tolist() == [texture_histogram(image, mask).tolist() for mask in masks]


def test_neighbours_are_listed_once_in_order() -> None:
    random = np.random.default_rng(1)
    labels = random_labels(random, 20, 20)
    masks = [labels == label for label in range(labels.max() + 1)]
    wanted = [[a, b] for a in range(len(masks)) for b in range(a + 1, len(masks)) if touch(masks[a], masks[b])]
    assert describe(random_image(random, 20, 20, 1), labels).pairs.tolist() == wanted


def test_regions_that_touch_at_a_corner_are_neighbours() -> None:
    regions = describe(np.zeros((2, 2, 3), np.uint8), np.array([[0, 1], [2, 3]]))
    assert regions.pairs.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]


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


def test_too_many_superpixels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "MAX_SUPERPIXELS", 2)
    regions = describe(np.zeros((1, 3, 1), np.uint8), strip(1, 1, 1))
    with pytest.raises(DataError, match=r"^superpixels of an image must be at most 2, got 3$"):
        group(regions, ALL)
