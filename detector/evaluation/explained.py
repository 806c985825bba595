"""What is told of one image: the numbers of every step, what became detections, and why objects were missed."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from detector.records import Array, Float32, Float64, Image, Int64

Corners = tuple[float, float, float, float]  # x1, y1, x2, y2 in continuous pixels

# What became of a class's score of a region, from the first step that may end it to the last.
BEYOND = -1  # the region is not among those looked at
UNDER = 0  # the score is under the least
SUPPRESSED = 1  # by a better box of its class
RESCORED = 2  # by context, after NMS, to under the least score
LEFT_OUT = 3  # more detections than an image may have
KEPT = 4  # a detection

Kind = Literal[
    "found",
    "ignored",
    "unknown",
    "neighbour",
    "voted",
    "left_out",
    "context",
    "suppressed",
    "lowered",
    "background",
    "class",
    "under",
    "regressed",
    "cascade",
    "rank",
    "region",
]


class KnownObject(NamedTuple):
    """An object that an image is known to hold; one that does not count is difficult, or a crowd."""

    name: str
    box: Corners
    counts: bool = True


class Limits(NamedTuple):
    """What the page's sliders set: the least score, NMS's IoU, how many proposals are looked at."""

    min_score: float
    nms_iou: float
    regions: int


@dataclass(frozen=True, eq=False)
class Trace:
    """The numbers of an image that boxes and sentences are made of.

    boxes (R, 4) f32 are the proposals in the order in which they are taken, with a cascade by its scores, then the
    boxes that were scored again; rounds (R,) i64 are 0 for proposals, then 1, 2, ... Of the proposals the first
    `scored` went through the network. cascade (P,) f32 are the probabilities of the P proposals to be an object,
    None without a cascade. background (R,) f32 is what softmax leaves for no class, NaN of SVMs and where nothing
    was scored. top_labels (R, T) i64 and top_scores (R, T) f32 are the best classes of a region, best first,
    before context; labels are 0 where nothing was scored.

    The candidates are every class's score of at least `floor` and what belongs to it, by class and then by region:
    rows (K,) i64 of regions, columns (K,) i64, label - 1, scores (K,) f32 by which NMS goes, moved (K, 4) f32, the
    class's box of the region. before (K,) f32 are the scores without context, None where it changes none before
    NMS. With `rescored` (K,) f32, context after NMS, those chosen have these scores in the end; None where scores
    are final. `by_svm` says that those without context are SVMs'.
    """

    height: int
    width: int
    classes: tuple[str, ...]
    boxes: Float32
    rounds: Int64
    scored: int
    cascade: Float32 | None
    background: Float32
    top_labels: Int64
    top_scores: Float32
    floor: float
    rows: Int64
    columns: Int64
    scores: Float32
    moved: Float32
    before: Float32 | None = None
    rescored: Float32 | None = None
    by_svm: bool = False

    @property
    def proposals(self) -> int:
        """How many of the regions are proposals."""
        return int(np.count_nonzero(self.rounds == 0))

    @property
    def unchanged(self) -> Float32 | None:
        """The candidates' scores (K,) before context, None without it."""
        return self.before if self.rescored is None else self.scores

    @property
    def final(self) -> Float32:
        """The candidates' scores (K,) as detections would have them."""
        return self.scores if self.rescored is None else self.rescored


@dataclass(frozen=True, eq=False)
class Selection:
    """What became of each candidate of a trace.

    status (K,) i64 is BEYOND .. KEPT. Of suppressed candidates by (K,) i64 is the candidate that did it, by greedy
    NMS the best kept one that overlaps it too much, by soft NMS the kept one that overlaps it most, and overlaps
    (K,) f64 their IoU; else -1 and 0. The detections are candidates (M,) i64, best first, with boxes (M, 4) f32
    after voting and scores (M,) f32.
    """

    status: Int64
    by: Int64
    overlaps: Float64
    detections: Int64
    boxes: Float32
    scores: Float32


class Verdict(NamedTuple):
    """What became of an object: `text` is the one sentence, `kind` which of the reasons it tells.

    best_region is the proposal that covers the object best, the first of equals, and best_iou by how much. region
    and candidate are the ones that the sentence speaks of, detection is the place of the detection that found the
    object; -1 where there is none.
    """

    name: str
    box: Corners
    kind: Kind
    text: str
    best_region: int
    best_iou: float
    region: int = -1
    candidate: int = -1
    detection: int = -1


class SuppressedBox(NamedTuple):
    """A candidate that a better one of its class suppressed, and their IoU."""

    candidate: int
    iou: float


class ExplainedDetection(NamedTuple):
    """A detection and where it comes from.

    region_box is the proposal, moved that of the class's regressor, box what voting made of it. before is the
    score without context. rank is the place of its region among all. object is the place of the object that it
    found, or that does not count, and -1 for a false one.
    """

    name: str
    score: float
    box: Corners
    moved: Corners
    region_box: Corners
    rank: int
    before: float
    suppressed: tuple[SuppressedBox, ...]
    object: int


class ClassScore(NamedTuple):
    """A class, and its probability or its SVM's score."""

    name: str
    score: float


@dataclass(frozen=True, eq=False)
class SeenRegion:
    """What the network saw of the region number `region` of a trace, and where it saw the best classes.

    crops (K, S, S, 3) uint8 RGB are the warped crops, with `paddings` pixels of context on each side. `best` are
    the best classes, best first, and then those that were asked for. evidence (len(best), K, h, w) f32 are their
    class activation maps in the cells of the last map: where the classifier is linear on mean features, the means
    of a class's maps, summed over the crops, are its logit without the bias.
    """

    region: int
    crops: Image
    paddings: tuple[int, ...]
    best: tuple[ClassScore, ...]
    evidence: Float32


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a detector did with an image, step by step; `verdicts` are of the objects, in their order.

    `notes` say what holds for this detector alone, such as which of several models `seen` is of.
    """

    trace: Trace
    limits: Limits
    selection: Selection
    detections: tuple[ExplainedDetection, ...]
    objects: tuple[KnownObject, ...]
    verdicts: tuple[Verdict, ...]
    seen: tuple[SeenRegion, ...]
    notes: tuple[str, ...] = ()


def corners(box: Array) -> Corners:
    """A box (4,) in plain Python."""
    x1, y1, x2, y2 = (float(value) for value in box)
    return x1, y1, x2, y2
