"""Prior boxes of MultiBox, fitted to the objects of a training set.

The two forms of Erhan et al. (arXiv 1312.2249, section 3: K boxes by clustering) and of Szegedy et al. (arXiv
1412.1441, section 4: 11 shapes in each cell of grids of 8, 6, 4, 3 and 2 cells a side, and one box for the image).
Boxes are (x1, y1, x2, y2) as fractions of the image.

Not in the papers: the shapes of the grids are clusters of the objects' logarithmic widths and heights, in one of
two ways. By `size` there are 55, the eleven smallest for the finest grid, and so on. By `coverage` each grid gets
eleven of a hundred, chosen one after another, that which adds most to how well the priors cover the objects: then
the spacing counts, as of shapes narrower than their cells few cover an object. Priors are cut at the image's edge;
the last prior is the image.
"""

import warnings
from typing import Literal

import numpy as np
from scipy.cluster.vq import kmeans2

from detector.errors import DataError
from detector.records import Array, Float32

Shapes = Literal["coverage", "size"]

GRIDS = (8, 6, 4, 3, 2)  # cells a side
SHAPES = 11  # a cell
GRID_SLOTS = SHAPES * sum(cells**2 for cells in GRIDS) + 1  # 1,420
MAX_BOXES = 100_000  # that are clustered: more change no cluster
ITERATIONS = 50
WHOLE = (0.0, 0.0, 1.0, 1.0)  # the image
CANDIDATES = 100  # shapes to choose from
MAX_COVERED = 10_000  # objects that shapes are chosen by
POOR, GOOD = 0.3, 0.7  # IoU with an object up to which a prior is worth nothing, and from which all


def learned_priors(boxes: Float32, count: int, seed: int) -> Float32:
    """`count` priors (count, 4): the centres of clusters of the objects' `boxes` (G, 4), largest first."""
    centres = _cluster(boxes, count, seed)
    area = np.prod(centres[:, 2:] - centres[:, :2], axis=1)
    return centres[np.argsort(-area, kind="stable")].astype(np.float32)


def grid_priors(boxes: Float32, seed: int, shapes: Shapes = "coverage") -> Float32:
    """The priors (1420, 4) of the grids, finest first, row by row, cell by cell, and last the image.

    The shapes of a cell are those of its grid, the smallest first. DataError for too few different objects:
    `SHAPES` are needed by coverage, 55 by size.
    """
    chosen = _by_size(boxes, seed) if shapes == "size" else _by_coverage(boxes, seed)
    grids = [_grid(cells, own) for cells, own in zip(GRIDS, chosen, strict=True)]
    priors = np.concatenate([*grids, [WHOLE]])
    return np.clip(priors, 0, 1).astype(np.float32)


def _log_sides(boxes: Float32) -> Float32:
    """The logarithms of the widths and heights (G, 2) of boxes (G, 4)."""
    return np.log(np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3))


def _by_size(boxes: Float32, seed: int) -> Array:
    """The shapes (5, 11, 2) of the grids: clusters, the smallest on the finest grid."""
    shapes = np.exp(_cluster(_log_sides(boxes), SHAPES * len(GRIDS), seed))
    return shapes[np.argsort(np.prod(shapes, axis=1), kind="stable")].reshape(len(GRIDS), SHAPES, 2)


def _by_coverage(boxes: Float32, seed: int) -> list[Array]:
    """The shapes (11, 2) of each grid by which the priors together cover the boxes (G, 4) best."""
    sides = _log_sides(boxes)
    distinct = len(np.unique(sides, axis=0))
    candidates = np.exp(_cluster(sides, max(SHAPES, min(CANDIDATES, distinct)), seed))
    if len(boxes) > MAX_COVERED:
        boxes = boxes[np.random.default_rng(seed).choice(len(boxes), MAX_COVERED, replace=False)]
    return _choose_shapes(boxes, candidates)


def _choose_shapes(boxes: Array, candidates: Array) -> list[Array]:
    """For each grid `SHAPES` of the `candidates` (S, 2), by which the priors together cover the `boxes` best.

    Greedy: at each step the grid and shape that add most to the sum over all objects of the worth of their best
    prior; of equals those of the finest grid.
    """
    worths = np.stack([_worths(boxes, cells, candidates) for cells in GRIDS])  # (grids, S, G)
    best = _worth(_ious(boxes, np.array(WHOLE)))  # (G,)
    is_open = np.ones(worths.shape[:2], np.bool_)
    chosen = np.zeros_like(is_open)
    for _ in range(SHAPES * len(GRIDS)):
        gains = np.maximum(worths - best, 0).sum(2, dtype=np.float64)
        grid, shape = np.unravel_index(np.argmax(np.where(is_open, gains, -1)), gains.shape)
        best = np.maximum(best, worths[grid, shape])
        chosen[grid, shape], is_open[grid, shape] = True, False
        is_open[grid] &= chosen[grid].sum() < SHAPES
    by_size = np.argsort(np.prod(candidates, axis=1), kind="stable")
    return [candidates[by_size[own[by_size]]] for own in chosen]


def _worths(boxes: Array, cells: int, shapes: Array) -> Float32:
    """What `shapes` (S, 2), each in the cell that holds its centre, are worth to `boxes` (G, 4): (S, G)."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    middle = (np.minimum(np.floor(centre * cells), cells - 1) + 0.5) / cells
    priors = (np.concatenate([middle - shape / 2, middle + shape / 2], axis=1) for shape in shapes)
    return np.stack([_worth(_ious(boxes, each)) for each in priors])


def _worth(iou: Array) -> Float32:
    """Of a prior to an object that it overlaps by `iou`, 0 to 1."""
    return np.clip((iou - POOR) / (GOOD - POOR), 0, 1).astype(np.float32)


def _ious(boxes: Array, others: Array) -> Array:
    """The IoU (G,) of each of `boxes` (G, 4) and its own of `others` (G, 4), or the one (4,), cut to the image."""
    others = np.clip(others, 0, 1)
    corners = np.minimum(boxes[:, 2:], others[..., 2:]), np.maximum(boxes[:, :2], others[..., :2])
    shared = np.prod(np.maximum(corners[0] - corners[1], 0), axis=1)
    area, other = (np.prod(each[..., 2:] - each[..., :2], axis=-1) for each in (boxes, others))
    return np.asarray(shared / (area + other - shared))


def _grid(cells: int, shapes: Array) -> Array:
    """Boxes (cells * cells * S, 4) of the `shapes` (S, 2) about the centre of each cell."""
    centre = (np.arange(cells) + 0.5) / cells
    y, x = np.meshgrid(centre, centre, indexing="ij")
    centres = np.stack([x, y], axis=-1)[:, :, None]  # (cells, cells, 1, 2)
    corners = np.concatenate([centres - shapes / 2, centres + shapes / 2], axis=-1)  # (cells, cells, S, 4)
    return corners.reshape(-1, 4)


def _cluster(points: Array, count: int, seed: int) -> Array:
    """The centres (count, D) of k-means clusters of `points` (n, D)."""
    random = np.random.default_rng(seed)
    if len(points) > MAX_BOXES:
        points = points[random.choice(len(points), MAX_BOXES, replace=False)]
    distinct = len(np.unique(points, axis=0))
    if distinct < count:
        raise DataError(f"priors need at least {count} different objects in the training split, got {distinct}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a cluster that loses its last point keeps its centre
        centres, _ = kmeans2(points.astype(np.float64), count, ITERATIONS, minit="++", rng=random)
    return centres
