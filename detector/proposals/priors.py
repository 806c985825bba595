"""Prior boxes of MultiBox, fitted to the objects of a training set.

The two forms of Erhan et al. (arXiv 1312.2249, section 3: K boxes by clustering) and of Szegedy et al. (arXiv
1412.1441, section 4: 11 shapes in each cell of grids of 8, 6, 4, 3 and 2 cells a side, and one box for the image).
Boxes are (x1, y1, x2, y2) as fractions of the image.

Not in the papers: the shapes of the grids are the 55 clusters of the objects' logarithmic widths and heights, the
eleven smallest for the finest grid, and so on; priors are cut at the image's edge; the last prior is the image.
"""

import warnings

import numpy as np
from scipy.cluster.vq import kmeans2

from detector.errors import DataError
from detector.records import Array, Float32

GRIDS = (8, 6, 4, 3, 2)  # cells a side
SHAPES = 11  # a cell
GRID_SLOTS = SHAPES * sum(cells**2 for cells in GRIDS) + 1  # 1,420
MAX_BOXES = 100_000  # that are clustered: more change no cluster
ITERATIONS = 50


def learned_priors(boxes: Float32, count: int, seed: int) -> Float32:
    """`count` priors (count, 4): the centres of clusters of the objects' `boxes` (G, 4), largest first."""
    centres = _cluster(boxes, count, seed)
    area = np.prod(centres[:, 2:] - centres[:, :2], axis=1)
    return centres[np.argsort(-area, kind="stable")].astype(np.float32)


def grid_priors(boxes: Float32, seed: int) -> Float32:
    """The priors (1420, 4) of the grids, finest first, row by row, cell by cell, and last the image."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
    shapes = np.exp(_cluster(np.log(sides), SHAPES * len(GRIDS), seed))
    shapes = shapes[np.argsort(np.prod(shapes, axis=1), kind="stable")].reshape(len(GRIDS), SHAPES, 2)
    grids = [_grid(cells, own) for cells, own in zip(GRIDS, shapes, strict=True)]
    priors = np.concatenate([*grids, [[0.0, 0.0, 1.0, 1.0]]])
    return np.clip(priors, 0, 1).astype(np.float32)


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
