"""Drawing the images to test on from a set without a split.

A fifth of the images, at least `HANDFUL` where there are three times as many, is tested on. Scenes stay whole.
Every class that is in two scenes or more is on both sides, and near a fifth of its scenes are tested on. Class by
class, the rarest first, scenes are taken in the order of a hash of their images' names: the same names give the
same split.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from detector.errors import DataError
from detector.records import Array, Bool, Int64

SHARE = 0.2
HANDFUL = 5
MOST = 1 / 3  # of the images, however many classes ask for theirs


def images_to_test(images: int) -> int:
    """How many of `images` are tested on, where scenes and classes allow; DataError for fewer than two images."""
    if images < 2:
        raise DataError(f"data must hold two images, one to train on and one to test on, got {images}")
    return max(round(SHARE * images), min(HANDFUL, images // 3), 1)


def draw_test(counts: Int64, scene: Int64, names: Sequence[str], seed: int) -> Bool:
    """Mask (n,) of the images to test on.

    counts (n, C) are an image's objects of each class, scene (n,) its scene from 0, which is drawn whole. Where
    one scene holds more than half of the images it is no scene any more: its images are drawn in their order, the
    last ones tested on.
    """
    wanted = images_to_test(len(names))
    scene = _without_giant(scene, names)
    sizes = np.bincount(scene)
    holds = np.zeros((len(sizes), counts.shape[1]), np.bool_)
    np.logical_or.at(holds, scene, counts > 0)
    order = np.argsort([_rank(names, np.flatnonzero(scene == row), seed) for row in range(len(sizes))])
    drawn = np.zeros(len(sizes), np.bool_)
    room = max(wanted, int(MOST * len(names)))
    totals = holds.sum(axis=0)
    for label in np.argsort(totals, kind="stable"):
        share = max(1, round(SHARE * int(totals[label]))) if totals[label] > 1 else 0
        _draw(holds[:, label], share, order, sizes, holds, totals, drawn, room)
    _draw(np.ones(len(sizes), np.bool_), len(sizes), order, sizes, holds, totals, drawn, wanted)
    if not drawn.any():
        drawn[order[np.argmin(sizes[order])]] = True
    if drawn.all():
        drawn[order[np.argmax(sizes[order])]] = False
    return np.asarray(drawn[scene])


def _draw(
    candidates: Bool, share: int, order: Array, sizes: Int64, holds: Bool, totals: Int64, drawn: Bool, room: int
) -> None:
    """Draw candidates in order until `share` of them are drawn, or `room` images of all.

    None is drawn that is a class's last on the other side.
    """
    for row in order[candidates[order] & ~drawn[order]]:
        if np.count_nonzero(drawn & candidates) >= share:
            return
        left = totals - holds[drawn].sum(axis=0) - holds[row]
        if sizes[drawn].sum() + sizes[row] <= room and np.all(left[holds[row]] > 0):
            drawn[row] = True


def _without_giant(scene: Int64, names: Sequence[str]) -> Int64:
    """`scene`, of which one that holds over half of the images is cut in two in the order of names."""
    sizes = np.bincount(scene)
    giant = int(sizes.argmax())
    if sizes[giant] * 2 <= len(names) or len(names) < 2:
        return scene
    rows = np.flatnonzero(scene == giant)
    rows = rows[np.argsort([names[row] for row in rows.tolist()], kind="stable")]
    last = max(1, min(images_to_test(len(names)), len(rows) - 1))
    cut = scene.copy()
    cut[rows[len(rows) - last :]] = len(sizes)
    return cut


def _rank(names: Sequence[str], rows: Array, seed: int) -> bytes:
    text = "\0".join([str(seed), *sorted(names[row] for row in rows.tolist())])
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()
