import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from detector.boxes import box_iou
from detector.config import ProposalSettings
from detector.data.images import read_image
from detector.errors import DataError
from detector.proposals import selective_search as module
from detector.proposals.selective_search import convert_colour, resize_to_width, selective_search, strategies_of
from detector.records import Array, Float32, Image, Proposals

SMALL = ProposalSettings(width=0, min_side=8, superpixel_scale=1)


class Ones(np.random.Generator):
    """A generator whose every number is 1."""

    def random(self, size: int) -> Array:  # type: ignore[override]
        return np.ones(size)


def scene(height: int = 90, width: int = 120, seed: int = 0) -> tuple[Image, Float32]:
    """Noisy coloured rectangles that do not overlap, and their boxes."""
    random = np.random.default_rng(seed)
    boxes = np.array([[10, 8, 45, 40], [60, 15, 110, 45], [20, 50, 90, 85]], np.float32)
    image = np.full((height, width, 3), 90, np.int64)
    for (x1, y1, x2, y2), colour in zip(
        boxes.astype(int), [(200, 40, 40), (40, 60, 210), (50, 190, 60)], strict=True
    ):
        image[y1:y2, x1:x2] = colour
    return np.clip(image + random.integers(-9, 10, image.shape), 0, 255).astype(np.uint8), boxes


def check(proposals: Proposals, image: Image) -> None:
    """What holds for the proposals of any image."""
    boxes, scores = proposals.boxes, proposals.scores
    assert len(boxes) >= 1
    assert len(np.unique(boxes, axis=0)) == len(boxes)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [image.shape[1], image.shape[0]]).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert scores[0] == 1
    assert scores[-1] > 0
    assert (np.diff(scores) < 0).all()


def same(a: Proposals, b: Proposals) -> bool:
    return np.array_equal(a.boxes, b.boxes) and np.array_equal(a.scores, b.scores)


@pytest.mark.parametrize("mode", ["fast", "quality"])
def test_objects_are_found(mode: str) -> None:
    image, objects = scene()
    proposals = selective_search(image, ProposalSettings(width=0, superpixel_scale=1, mode=mode), 0)
    check(proposals, image)
    assert box_iou(objects, proposals.boxes).max(axis=1).min() > 0.9


def test_boxes_are_of_the_original_image_whatever_the_width() -> None:
    image, objects = scene()
    for width in (60, 250):
        proposals = selective_search(image, SMALL.model_copy(update={"width": width}), 0)
        check(proposals, image)
        assert box_iou(objects, proposals.boxes).max(axis=1).min() > 0.85


def test_a_box_of_every_pixel_is_the_whole_image() -> None:
    image, _ = scene(91, 117)
    proposals = selective_search(image, SMALL.model_copy(update={"width": 64}), 0)
    assert (proposals.boxes == [0, 0, 117, 91]).all(axis=1).sum() == 1


def test_the_same_seed_gives_the_same_proposals() -> None:
    image, _ = scene()
    assert same(selective_search(image, SMALL, 3), selective_search(image.copy(), SMALL, 3))


def test_another_seed_gives_the_same_boxes_in_another_order() -> None:
    image, _ = scene()
    a, b = selective_search(image, SMALL, 0).boxes, selective_search(image, SMALL, 1).boxes
    assert not np.array_equal(a, b)
    np.testing.assert_array_equal(np.unique(a, axis=0), np.unique(b, axis=0))


def test_two_threads_give_what_one_gives() -> None:
    images = [scene(seed=seed)[0] for seed in range(6)]
    alone = [selective_search(image, SMALL, 0) for image in images]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda image: selective_search(image, SMALL, 0), images))
    assert all(map(same, alone, together))


def test_strategies_have_the_scales_of_the_settings() -> None:
    assert strategies_of(ProposalSettings()).scales == ((100, 100), (200, 200))
    assert strategies_of(ProposalSettings(superpixel_scale=1)) == module.STRATEGIES["fast"]
    assert strategies_of(ProposalSettings(superpixel_scale=0.5, ks=(30, 61))).scales == ((15, 15), (30.5, 30))
    assert strategies_of(ProposalSettings(mode="quality")).colours == module.STRATEGIES["quality"].colours


def test_the_order_is_the_position_from_the_top_times_a_random_number() -> None:
    first = np.array([[1, 1, 1, 1], [2, 2, 2, 2], [0, 0, 9, 9]])
    second = np.array([[0, 0, 9, 9]])
    ordered = module._in_random_order([first, second], Ones(np.random.PCG64(0)))
    assert ordered.tolist() == [[0, 0, 9, 9], [0, 0, 9, 9], [2, 2, 2, 2], [1, 1, 1, 1]]
    numbers = np.random.default_rng(5).random(4)
    ranks = np.argsort(numbers * [3, 2, 1, 1])
    ordered = module._in_random_order([first, second], np.random.default_rng(5))
    np.testing.assert_array_equal(ordered, np.concatenate([first, second])[ranks])


def test_the_first_of_equal_boxes_stays_where_it_is() -> None:
    boxes = np.array([[5, 5, 9, 9], [0, 0, 3, 3], [5, 5, 9, 9], [0, 0, 2, 3], [0, 0, 3, 3]])
    assert module._distinct(boxes).tolist() == boxes[[0, 1, 3]].tolist()


def test_a_box_exactly_of_the_minimum_side_stays() -> None:
    boxes = np.array([[0, 0, 19, 19], [0, 0, 18, 19], [0, 0, 19, 18]])
    assert module._large_enough(boxes, 20).tolist() == boxes[:1].tolist()


def test_max_boxes_keeps_the_first() -> None:
    image, _ = scene()
    every = selective_search(image, SMALL, 0)
    few = selective_search(image, SMALL.model_copy(update={"max_boxes": 5}), 0)
    np.testing.assert_array_equal(few.boxes, every.boxes[:5])
    np.testing.assert_allclose(few.scores, [1, 0.8, 0.6, 0.4, 0.2])


def test_larger_superpixels_give_fewer_proposals() -> None:
    coarse = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    image = resize_to_width(coarse, 240)
    counts = [
        len(selective_search(image, SMALL.model_copy(update={"superpixel_scale": scale}), 0).boxes)
        for scale in (1, 2, 4)
    ]
    assert counts[0] > counts[1] > counts[2]


@pytest.mark.parametrize("mode", ["fast", "quality"])
@pytest.mark.parametrize(
    ("height", "width"), [(16, 16), (16, 320), (320, 16), (1, 1), (1, 40), (40, 1), (12, 2400), (17, 23)]
)
def test_images_of_extreme_shape(height: int, width: int, mode: str) -> None:
    image = np.random.default_rng(height).integers(0, 256, (height, width, 3)).astype(np.uint8)
    settings = ProposalSettings(width=100, min_side=5, superpixel_scale=1, mode=mode)
    check(selective_search(image, settings, 0), image)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (16, 16), (20, 400), (400, 20), (60, 1200), (1200, 60)])
@pytest.mark.parametrize("lightest", [128, 255])
def test_images_of_extreme_shape_at_full_size(height: int, width: int, lightest: int) -> None:
    image = np.random.default_rng(width).integers(128, lightest + 1, (height, width, 3)).astype(np.uint8)
    check(selective_search(image, ProposalSettings(width=0), 0), image)


@pytest.mark.parametrize(("height", "width"), [(4000, 6000), (6000, 4000), (300, 6000), (6000, 300)])
def test_large_images_are_searched_at_the_width_asked_for(height: int, width: int) -> None:
    image = np.tile(scene(500, 600)[0], (height // 500 + 1, width // 600 + 1, 1))[:height, :width]
    proposals = selective_search(image, ProposalSettings(), 0)
    check(proposals, image)
    assert len(proposals.boxes) > 10


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (255, 0, 0), (37, 98, 201)])
def test_an_image_of_one_colour_is_one_proposal(colour: tuple[int, int, int]) -> None:
    image = np.full((48, 64, 3), colour, np.uint8)
    for settings in (SMALL, ProposalSettings(mode="quality"), ProposalSettings(sigma=0)):
        assert selective_search(image, settings, 0).boxes.tolist() == [[0, 0, 64, 48]]


def test_an_image_smaller_than_the_minimum_side_is_one_proposal() -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    proposals = selective_search(image, ProposalSettings(width=0), 0)
    assert proposals.boxes.tolist() == [[0, 0, 16, 16]]
    assert proposals.scores.tolist() == [1]


def test_an_image_one_pixel_high_after_resizing_is_one_proposal() -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 3000, 3)).astype(np.uint8)
    settings = ProposalSettings(width=100)
    assert resize_to_width(image, settings.width).shape == (1, 100, 3)
    assert selective_search(image, settings, 0).boxes.tolist() == [[0, 0, 3000, 16]]


@pytest.mark.parametrize("mode", ["fast", "quality"])
def test_objects_are_found_in_grey_images(mode: str) -> None:
    image, objects = scene()
    grey = image[..., :1].repeat(3, axis=2)
    proposals = selective_search(grey, ProposalSettings(width=0, superpixel_scale=1, mode=mode), 0)
    check(proposals, grey)
    assert box_iou(objects, proposals.boxes).max(axis=1).min() > 0.8


def test_views_and_read_only_images_are_welcome() -> None:
    image, _ = scene()
    wanted = selective_search(image, SMALL, 0)
    view = image[..., ::-1].copy()[..., ::-1]
    assert same(selective_search(view, SMALL, 0), wanted)
    image.setflags(write=False)
    assert same(selective_search(image, SMALL, 0), wanted)


@pytest.mark.parametrize(
    ("image", "got"),
    [
        (np.zeros((8, 8), np.uint8), r"\(8, 8\) uint8"),
        (np.zeros((8, 8, 4), np.uint8), r"\(8, 8, 4\) uint8"),
        (np.zeros((8, 8, 3), np.float32), r"\(8, 8, 3\) float32"),
        (np.zeros((0, 8, 3), np.uint8), r"\(0, 8, 3\) uint8"),
    ],
)
def test_what_is_not_an_rgb_image_is_refused(image: Array, got: str) -> None:
    with pytest.raises(DataError, match=rf"^image must be \(H, W, 3\) uint8, got {got}$"):
        selective_search(image, SMALL, 0)


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [((375, 500), (375, 500)), ((750, 1000), (375, 500)), ((100, 100), (500, 500)), ((4000, 100), (2000, 50))],
)
def test_resizing_keeps_the_aspect(shape: tuple[int, int], wanted: tuple[int, int]) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    assert resize_to_width(image, 500).shape[:2] == wanted
    assert resize_to_width(image, 0) is image


def test_colour_spaces_of_known_colours() -> None:
    image = np.array([[[255, 0, 0], [0, 0, 0], [0, 0, 255], [90, 90, 90]]], np.uint8)
    wanted = {
        "hsv": [[0, 255, 255], [0, 0, 0], [170, 255, 255], [0, 0, 90]],
        "lab": [[136, 208, 195], [0, 128, 128], [82, 207, 20], [97, 128, 128]],
        "rgi": [[255, 0, 85], [0, 0, 0], [0, 0, 85], [85, 85, 90]],
        "hue": [[0], [0], [170], [0]],
        "intensity": [[85], [0], [85], [90]],
    }
    for colour, pixels in wanted.items():
        np.testing.assert_allclose(convert_colour(image, colour)[0], pixels, atol=1, err_msg=colour)


@pytest.mark.shared
def test_objects_of_photographs_are_found(shared: Path) -> None:
    overlaps = []
    for file in sorted((shared / "data/fruit/test").glob("*.xml"))[::6]:
        image = read_image(file.with_suffix(".jpg"))
        corners = [
            [float(box.findtext(name, "")) for name in ("xmin", "ymin", "xmax", "ymax")]
            for box in ET.parse(file).getroot().iter("bndbox")
        ]
        objects = np.array(corners, np.float32) - [1, 1, 0, 0]
        proposals = selective_search(image, ProposalSettings(), 0)
        check(proposals, image)
        overlaps.extend(box_iou(objects, proposals.boxes).max(axis=1))
    assert np.mean(np.array(overlaps) >= 0.5) > 0.9
