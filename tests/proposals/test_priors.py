import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.boxes import box_iou
from detector.errors import DataError
from detector.proposals.priors import GRID_SLOTS, GRIDS, SHAPES, grid_priors, learned_priors
from detector.records import Float32, Float64


def random_boxes(count: int, seed: int = 0) -> Float32:
    random = np.random.default_rng(seed)
    corner = random.uniform(0, 0.7, (count, 2))
    return np.concatenate([corner, corner + random.uniform(0.02, 0.3, (count, 2))], 1).astype(np.float32)


def test_learned_priors_are_the_centres_of_clusters_largest_first() -> None:
    centres = np.array([[0, 0, 0.2, 0.2], [0.5, 0.5, 1, 1], [0.1, 0.6, 0.4, 0.9]])
    boxes = np.concatenate([centres + shift for shift in (-0.01, 0, 0.01)]).astype(np.float32)
    np.testing.assert_allclose(learned_priors(boxes, 3, seed=0), centres[[1, 2, 0]], atol=1e-6)


def test_a_grid_has_eleven_shapes_about_the_centre_of_every_cell() -> None:
    priors = grid_priors(random_boxes(500), seed=0)
    assert priors.shape == (GRID_SLOTS, 4) == (1420, 4)
    assert priors[-1].tolist() == [0, 0, 1, 1]
    cell = priors[: 64 * SHAPES].reshape(8, 8, SHAPES, 4)[3, 5]
    np.testing.assert_allclose((cell[:, :2] + cell[:, 2:]) / 2, [[5.5 / 8, 3.5 / 8]] * SHAPES, atol=1e-6)


def shapes_of(priors: Float32) -> list[Float32]:
    """The sides (11, 2) of each grid's shapes, in a cell where the image's edge cuts the fewest."""
    found, first = [], 0
    for cells in GRIDS:
        grid = priors[first : first + cells**2 * SHAPES].reshape(cells, cells, SHAPES, 4)
        found.append(grid[cells // 2, cells // 2, :, 2:] - grid[cells // 2, cells // 2, :, :2])
        first += cells**2 * SHAPES
    return found


def on_grid(cells: int, shapes: Float64) -> Float32:
    """An object of each of the `shapes` (S, 2) about the centre of every cell."""
    centre = (np.arange(cells) + 0.5) / cells
    x, y, shape = np.meshgrid(centre, centre, np.arange(len(shapes)))
    centres, sides = np.stack([x.ravel(), y.ravel()], 1), shapes[shape.ravel()]
    return np.concatenate([centres - sides / 2, centres + sides / 2], 1).astype(np.float32)


def covered(boxes: Float32, priors: Float32) -> float:
    """The share of the boxes that a prior overlaps by half."""
    return float(np.mean(box_iou(boxes, priors).max(1) >= 0.5))


def test_shapes_of_a_cell_come_smallest_first() -> None:
    for shapes in shapes_of(grid_priors(random_boxes(500), seed=0)):
        assert (np.diff(shapes.prod(1)) >= -1e-6).all()


def test_objects_on_one_grid_get_their_shapes_on_that_grid() -> None:
    shapes = np.array([[0.03, 0.03], [0.1, 0.05], [0.05, 0.1]])
    others = np.stack([np.linspace(0.4, 0.9, 9), np.linspace(0.9, 0.4, 9)], 1)
    boxes = np.concatenate([on_grid(6, shapes), on_grid(1, others)])
    found = shapes_of(grid_priors(boxes, seed=0))[GRIDS.index(6)]
    for shape in shapes:
        assert np.abs(found - shape).max(1).min() < 1e-3


def test_by_size_finer_grids_have_smaller_shapes() -> None:
    areas = [shapes.prod(1) for shapes in shapes_of(grid_priors(random_boxes(500), 0, "size"))]
    assert all(one.max() <= two.min() + 1e-6 for one, two in pairwise(areas))


def test_priors_by_coverage_cover_more_of_other_objects_than_those_by_size() -> None:
    boxes, others = random_boxes(900, seed=1), random_boxes(400, seed=2)
    by_coverage, by_size = (covered(others, grid_priors(boxes, 0, shapes)) for shapes in ("coverage", "size"))
    assert by_coverage > by_size + 0.1


def test_priors_chosen_for_photographs_cover_others(shared: Path) -> None:
    truths = [json.loads((shared / f"data/coco256/instances_{s}2017.json").read_text()) for s in ("train", "val")]
    training, testing = (fractions(truth) for truth in truths)
    share = covered(testing, grid_priors(training, seed=0))
    assert share > 0.47  # 0.231 with the smallest shapes on the finest grid
    assert share > covered(testing, learned_priors(training, 800, seed=0)) + 0.03


def fractions(truth: dict[str, list[dict[str, Any]]]) -> Float32:
    """The objects (G, 4) of a COCO JSON, in fractions of their images."""
    sides = {image["id"]: (image["width"], image["height"]) for image in truth["images"]}
    corners = [np.array(entry["bbox"]) / np.tile(sides[entry["image_id"]], 2) for entry in truth["annotations"]]
    boxes = np.array([[x, y, x + width, y + height] for x, y, width, height in corners])
    boxes = np.clip(boxes, 0, 1)
    return boxes[np.all(boxes[:, 2:] > boxes[:, :2], axis=1)].astype(np.float32)


def test_eleven_different_objects_are_enough_for_a_grid() -> None:
    assert grid_priors(np.tile(random_boxes(SHAPES), (3, 1)), seed=0).shape == (GRID_SLOTS, 4)


@pytest.mark.parametrize("count", [0, 1, SHAPES - 1])
def test_a_grid_of_too_few_shapes_is_told(count: int) -> None:
    boxes = np.tile(random_boxes(SHAPES - 1)[:count], (3, 1))
    with pytest.raises(DataError, match=f"priors need at least 11 different objects .*, got {count}$"):
        grid_priors(boxes, seed=0)


def test_more_objects_than_shapes_are_chosen_by_are_drawn_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detector.proposals.priors.MAX_COVERED", 50)
    boxes = random_boxes(400)
    one, two, other = (grid_priors(boxes, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_priors_lie_in_the_image_and_depend_on_the_seed_alone() -> None:
    boxes = random_boxes(300)
    one, two = grid_priors(boxes, seed=3), grid_priors(boxes, seed=3)
    np.testing.assert_array_equal(one, two)
    assert one.min() >= 0
    assert one.max() <= 1


def test_too_few_objects_are_told() -> None:
    boxes = np.repeat(random_boxes(7), 5, axis=0)
    with pytest.raises(DataError, match="priors need at least 8 different objects in the training split, got 7"):
        learned_priors(boxes, 8, seed=0)
