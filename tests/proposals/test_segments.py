import numpy as np
import pytest
from oracles_proposals import box_of, colour_histogram, texture_histogram, touch
from random_regions import describe, random_image, random_labels

from detector.errors import DataError
from detector.proposals import segments as module
from detector.proposals.segments import derivatives, join_regions, pixel_bins


def test_the_derivative_of_a_ramp_is_its_slope() -> None:
    ramp = np.tile((3 * np.arange(20))[None, :, None], (20, 1, 1)).astype(np.uint8)
    along_x, along_y = derivatives(ramp)
    np.testing.assert_allclose(along_x[:, 4:-4], 3, rtol=1e-5)
    np.testing.assert_allclose(along_y, 0, atol=1e-4)


def test_bins_of_a_ramp() -> None:
    ramp = np.tile((11 * np.arange(20))[:, None, None], (1, 20, 1)).astype(np.uint8)
    colour, right, down_right, down, down_left = pixel_bins(ramp)[10, :, 10]
    assert colour == 110 * 25 // 256
    assert right == 9  # 0 of 5 grey levels a pixel
    assert down_right == 9 + 1  # 11 / sqrt(2) of 5
    assert down == 9 + 2  # 11 of 5
    assert down_left == 9 + 1
    assert pixel_bins(255 - ramp)[10, 1:, 10].tolist() == [9, 8, 7, 8]


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


def test_joined_regions_are_described_as_the_joined_labels_are() -> None:
    random = np.random.default_rng(2)
    for channels in (1, 3):
        image, labels = random_image(random, 14, 19, channels), random_labels(random, 14, 19)
        count = labels.max() + 1
        numbers = np.unique(random.integers(0, 5, count), return_inverse=True)[1].astype(np.int32)
        joined, wanted = join_regions(describe(image, labels), numbers), describe(image, numbers[labels])
        for name in ("sizes", "boxes", "counts", "pairs"):
            np.testing.assert_array_equal(getattr(joined, name), getattr(wanted, name), err_msg=name)


def test_all_regions_joined_are_the_image() -> None:
    labels = np.array([[0, 1], [2, 3]], np.int32)
    joined = join_regions(describe(np.zeros((2, 2, 3), np.uint8), labels), np.zeros(4, np.int32))
    assert joined.sizes.tolist() == [4]
    assert joined.boxes.tolist() == [[0, 0, 1, 1]]
    assert joined.pairs.shape == (0, 2)


def test_too_many_regions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REGIONS", 2)
    message = r"^regions of an image must be at most 2, got 3 \(k is too small for it\)$"
    with pytest.raises(DataError, match=message):
        describe(np.zeros((1, 3, 1), np.uint8), np.array([[0, 1, 2]]))
