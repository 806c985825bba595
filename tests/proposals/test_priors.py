from itertools import pairwise

import numpy as np
import pytest

from detector.errors import DataError
from detector.proposals.priors import GRID_SLOTS, GRIDS, SHAPES, grid_priors, learned_priors
from detector.records import Float32


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


def test_finer_grids_have_smaller_shapes() -> None:
    priors = grid_priors(random_boxes(500), seed=0)
    areas, first = [], 0
    for cells in GRIDS:
        grid = priors[first : first + cells**2 * SHAPES].reshape(cells, cells, SHAPES, 4)
        sides = grid[cells // 2, cells // 2, :, 2:] - grid[cells // 2, cells // 2, :, :2]
        areas.append(sides.prod(1))
        first += cells**2 * SHAPES
    assert all(one.max() <= two.min() + 1e-6 for one, two in pairwise(areas))


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
