import numpy as np
import pytest

from detector.config import ProposalSettings
from detector.proposals.search_levels import LONGEST_SIDE, SearchLevels, search_levels
from detector.proposals.selective_search import selective_search
from detector.records import Image, Int64

SETTINGS = ProposalSettings(width=0, min_side=0, superpixel_scale=4)


@pytest.fixture(scope="module")
def image() -> Image:
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)


def boxes_of(levels: SearchLevels, parts: Int64) -> set[tuple[int, ...]]:
    """The continuous boxes of all regions, by the masks that merging leaves."""
    masks = [levels.labels == label for label in range(levels.labels.max() + 1)]
    for one, other in parts.tolist():
        masks.append(masks[one] | masks[other])
    found: set[tuple[int, ...]] = set()
    for mask in masks:
        y, x = np.nonzero(mask)
        found.add((int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1))
    return found


def test_the_regions_that_merge_are_those_that_are_proposed(image: Image) -> None:
    levels = search_levels(image, SETTINGS)
    assert [(each.colour, each.k) for each in levels] == [(c, k) for c in ("hsv", "lab") for k in (200.0, 400.0)]
    found = set().union(*(boxes_of(each, parts) for each in levels for parts in each.parts.values()))
    assert found == {tuple(box) for box in selective_search(image, SETTINGS, 0).boxes.astype(int).tolist()}


def test_each_region_merges_once_and_the_last_is_the_image(image: Image) -> None:
    for each in search_levels(image, SETTINGS):
        count = int(each.labels.max()) + 1
        assert list(each.parts) == ["colour + texture + size + fill", "texture + size + fill"]
        for parts in each.parts.values():
            assert parts.shape == (count - 1, 2)
            assert sorted(parts.ravel().tolist()) == list(range(2 * count - 2))
            assert (parts[:, 0] < parts[:, 1]).all()


def test_large_labels_are_made_smaller() -> None:
    image = np.zeros((40, 1200, 3), np.uint8)
    image[:, 600:] = 255
    labels = search_levels(image, SETTINGS)[0].labels
    assert labels.shape == (round(40 * LONGEST_SIDE / 1200), LONGEST_SIDE)
    assert np.unique(labels).tolist() == [0, 1]
