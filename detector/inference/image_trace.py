"""The numbers of every step of one image's detection, by the same scorers that detect."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from detector.evaluation.explained import Trace
from detector.inference.engine import ImageScorer
from detector.inference.image_context import ContextScorer
from detector.inference.iterate import IteratedScorer, Round, join_rounds
from detector.inference.region_filter import CascadeScorer
from detector.inference.select import candidates
from detector.records import FIRST_LABEL, Array, Bool, ClassScores, Float32, Image

TOP = 5  # classes of a region that are kept by name
MOST_CANDIDATES = 40_000  # of an image: what a page can hold


@dataclass(frozen=True, eq=False)
class Steps:
    """What a scorer did with an image: the proposals (P, 4) in the order in which they are taken, and rounds.

    cascade (P,) f32 are the probabilities by which a cascade ordered them. `final` are the scores of all rounds
    after context, where `unchanged` are those before it.
    """

    proposals: Float32
    rounds: Sequence[Round]
    unchanged: ClassScores
    final: ClassScores
    cascade: Float32 | None = None


def follow(scorer: ImageScorer, image: Image, boxes: Float32) -> Steps:
    """The steps of `scorer` with the regions (N, 4) of one image; its `final` is what `scorer.score` gives."""
    given = [(image, boxes)]
    match scorer:
        case ContextScorer():
            inner = follow(scorer.scorer, image, boxes)
            (seen,) = scorer.images.see(given)
            return replace(inner, final=scorer.context.apply(inner.final, seen, *image.shape[:2]))
        case CascadeScorer():
            (ranked,) = scorer.regions.rank(given)
            inner = follow(scorer.scorer, image, ranked.boxes[: scorer.regions.settings.keep])
            return replace(inner, proposals=ranked.boxes, cascade=ranked.scores)
        case IteratedScorer():
            (rounds,) = scorer.score_rounds(given)
            scores = join_rounds(rounds)
            return Steps(boxes, rounds, scores, scores)
    (scores,) = scorer.score(given)
    return Steps(boxes, [Round(boxes, scores)], scores, scores)


def trace_of(
    steps: Steps,
    classes: Sequence[str],
    size: tuple[int, int],
    by_svm: bool,
    floor: float,
    most: int = MOST_CANDIDATES,
) -> Trace:
    """The trace of an image of that (height, width).

    Its candidates are all that a least score from `floor` on needs; where these are more than `most` the floor is
    as much higher as it takes.
    """
    found = steps.unchanged.scores
    later = [each.regions for each in steps.rounds[1:]]
    boxes = np.concatenate([steps.proposals, *later])
    sizes = [len(steps.proposals), *map(len, later)]
    scored = len(steps.rounds[0].regions)
    places = np.concatenate([np.arange(scored), np.arange(len(steps.proposals), len(boxes))])
    floor, chosen = _cut(steps.final, floor, most)
    columns, rows = np.nonzero(chosen.T)
    top = np.argsort(-found, axis=1, kind="stable")[:, :TOP]
    is_rescored = steps.final is not steps.unchanged
    after_nms = steps.final.rescored is not None
    return Trace(
        height=size[0],
        width=size[1],
        classes=tuple(classes),
        boxes=boxes,
        rounds=np.repeat(np.arange(len(sizes)), sizes),
        scored=scored,
        cascade=steps.cascade,
        background=_spread(_background(found, by_svm), places, len(boxes), np.float32(np.nan)),
        top_labels=_spread(top + FIRST_LABEL, places, len(boxes), 0),
        top_scores=_spread(np.take_along_axis(found, top, 1), places, len(boxes), np.float32(0)),
        floor=floor,
        rows=places[rows],
        columns=columns,
        scores=steps.final.scores[rows, columns],
        moved=np.ascontiguousarray(steps.final.boxes[rows, columns]),
        before=found[rows, columns] if is_rescored and not after_nms else None,
        rescored=None if steps.final.rescored is None else steps.final.rescored[rows, columns],
        by_svm=by_svm,
    )


def _cut(scores: ClassScores, floor: float, most: int) -> tuple[float, Bool]:
    """The floor, raised until at most `most` candidates are left, and the mask (N, C) of these."""
    final = scores.scores if scores.rescored is None else scores.rescored
    chosen, rank = _candidates(scores, floor), most
    while np.count_nonzero(chosen) > most:
        beyond = np.sort(final, axis=None)[::-1][rank]
        floor = float(np.nextafter(beyond, np.float32(np.inf)))  # at most `rank` of them reach it
        chosen, rank = _candidates(scores, floor), rank // 2
    return floor, chosen


def _candidates(scores: ClassScores, floor: float) -> Bool:
    masks = [
        candidates(scores.scores[:, c], None if scores.rescored is None else scores.rescored[:, c], floor)
        for c in range(scores.scores.shape[1])
    ]
    return np.stack(masks, 1)


def _background(scores: Float32, by_svm: bool) -> Float32:
    """What softmax leaves for no class, (N,); NaN of SVMs."""
    if by_svm:
        return np.full(len(scores), np.nan, np.float32)
    return np.maximum(1 - scores.sum(axis=1, dtype=np.float64), 0).astype(np.float32)


def _spread(rows: Array, places: Array, count: int, missing: int | np.float32) -> Array:
    """`rows` at their places among `count`, the others filled."""
    spread = np.full((count, *rows.shape[1:]), missing, rows.dtype)
    spread[places] = rows
    return spread
