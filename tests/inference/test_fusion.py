import numpy as np
import pytest
from oracles_boxes import greedy_nms, random_boxes
from oracles_voting import fuse_one_class

from detector.errors import DataError
from detector.inference.fusion import fuse, join_systems
from detector.records import Array, Detections, join


def detections(boxes: object, labels: object, scores: object) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(labels, np.int64), np.array(scores, np.float32)
    )


NOTHING = detections([], [], [])
FIRST = detections([[10, 10, 110, 90], [200, 50, 300, 250], [15, 8, 118, 96]], [1, 2, 1], [0.9, 0.6, 0.3])
SECOND = detections([[14, 12, 106, 94], [205, 60, 310, 240], [400, 100, 460, 160]], [1, 2, 2], [0.7, 0.8, 0.4])


def random_systems(seed: int, count: int) -> list[Detections]:
    """Systems that see the same six objects of three classes, each with its own errors, on 500 x 375 pixels."""
    random = np.random.default_rng(seed)
    corner = random.uniform(0, [300, 225], (6, 2))
    objects = np.concatenate([corner, corner + random.uniform(40, [200, 150], (6, 2))], 1)
    labels = random.integers(1, 4, 6)
    found = []
    for _ in range(count):
        which = random.integers(0, 6, 40)
        boxes = np.clip(objects[which] + random.normal(0, 9, (40, 4)), 0, [500, 375, 500, 375])
        found.append(detections(boxes, labels[which], random.uniform(0.02, 1, 40)))
    return found


# the numbers of the paper's authors' package, ensemble-boxes 1.0.9
@pytest.mark.parametrize(("votes", "best"), [("capped", 0.688889), ("counted", 1.033333)])
def test_a_cluster_is_its_boxes_mean_and_scores_by_its_votes(votes: str, best: float) -> None:
    found = fuse([FIRST, SECOND], [2, 1], votes=votes)  # type: ignore[arg-type]
    wanted = np.array([[11.871, 10.0645, 110.6452, 92.0645], [202, 54, 304, 246], [400, 100, 460, 160]])
    np.testing.assert_allclose(found.boxes, wanted, atol=1e-3)
    assert found.labels.tolist() == [1, 2, 2]
    assert found.scores == pytest.approx([best, 0.666667, 0.133333], abs=1e-5)


def test_scores_below_the_least_are_left_out_before_weighting() -> None:
    found = fuse([FIRST, SECOND], [0.1, 0.1], min_score=0.65)
    assert found.labels.tolist() == [1, 2]
    assert found.scores == pytest.approx([0.8, 0.4])  # (0.9 + 0.7) / 2, and 0.8 that one of two systems saw


def test_one_system_alone_keeps_what_does_not_overlap() -> None:
    alone = detections([[0, 0, 10, 10], [50, 50, 60, 60]], [3, 1], [0.5, 0.9])
    found = fuse([alone], [1])
    assert (found.boxes.tolist(), found.labels.tolist()) == (alone.boxes[::-1].tolist(), [1, 3])


def test_equal_scores_are_ordered_by_label() -> None:
    found = fuse([detections([[0, 0, 9, 9], [0, 0, 9, 9]], [2, 1], [0.5, 0.5])], [1])
    assert found.labels.tolist() == [1, 2]


def test_boxes_of_score_zero_and_boxes_without_area_do_no_harm() -> None:
    found = fuse([detections([[0, 0, 9, 9], [0, 0, 9, 8], [5, 5, 5, 9]], [1, 1, 1], [0, 0, 0.9])], [1])
    assert (found.boxes.tolist(), found.scores.tolist()) == ([[0, 0, 9, 9]], [0])


def test_nothing_fuses_and_joins_to_nothing() -> None:
    assert len(fuse([NOTHING, NOTHING], [1, 1]).scores) == 0
    assert len(join_systems([NOTHING], [1]).scores) == 0


@pytest.mark.parametrize(
    ("systems", "weights", "message"),
    [
        ([FIRST, SECOND], [1], "weights must be one for each of 2 systems, got 1"),
        ([FIRST], [0.0], "weights must be positive numbers, got 0.0"),
        ([detections([[0, 0, 1, 1]], [1], [-0.25])], [1], "scores of systems must be at least 0, got -0.25"),
    ],
)
def test_what_cannot_be_fused_is_an_error(systems: list[Detections], weights: list[float], message: str) -> None:
    for way in (fuse, join_systems):
        with pytest.raises(DataError, match=f"^{message}"):
            way(systems, weights)


def clumsy_systems(seed: int) -> list[Detections]:
    random = np.random.default_rng(seed)
    return [
        detections(random_boxes(random, 40, 30), random.integers(1, 4, 40), random.integers(0, 8, 40) / 8)
        for _ in range(3)
    ]


def weighted_rows(systems: list[Detections], weights: list[float], label: int) -> tuple[Array, Array]:
    """One class's boxes and weighted scores, best first."""
    joined = join(systems)
    scores = joined.scores * np.repeat(weights, [len(found.scores) for found in systems])
    order = np.argsort(-scores, kind="stable")
    own = order[joined.labels[order] == label]
    return joined.boxes[own], scores[own]


@pytest.mark.parametrize("seed", range(5))
def test_fusion_equals_the_oracle_on_random_boxes_with_ties(seed: int) -> None:
    systems, weights = clumsy_systems(seed), [2.0, 1.0, 0.5]
    found = fuse(systems, weights, iou=0.5)
    for label in (1, 2, 3):
        boxes, scores = weighted_rows(systems, weights, label)
        rows = list(zip(boxes.astype(float), scores.tolist(), strict=True))
        wanted = np.array(sorted(fuse_one_class(rows, 3, sum(weights), 0.5), key=lambda row: -row[4]))
        own = found.labels == label
        np.testing.assert_allclose(np.c_[found.boxes[own], found.scores[own]], wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_joining_is_nms_of_the_weighted_detections_of_each_class(seed: int) -> None:
    systems, weights = clumsy_systems(seed), [1.0, 0.5, 0.25]
    found = join_systems(systems, weights, 0.4)
    for label in (1, 2, 3):
        boxes, scores = weighted_rows(systems, weights, label)
        kept = greedy_nms(boxes, scores, 0.4)
        own = found.labels == label
        assert found.boxes[own].tolist() == boxes[kept].tolist()
        np.testing.assert_allclose(found.scores[own], scores[kept], rtol=1e-6)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("votes", ["capped", "counted"])
def test_fusion_agrees_with_the_package_of_the_papers_authors(seed: int, votes: str) -> None:
    package = pytest.importorskip("ensemble_boxes")
    systems, size = random_systems(seed, 3), np.array([500, 375, 500, 375])
    boxes, scores, labels = package.weighted_boxes_fusion(
        [found.boxes / size for found in systems],
        [found.scores for found in systems],
        [found.labels for found in systems],
        weights=[2, 1, 1.5],
        iou_thr=0.55,
        skip_box_thr=0.1,
        allows_overflow=votes == "counted",
    )
    found = fuse(systems, [2, 1, 1.5], min_score=0.1, votes=votes)  # type: ignore[arg-type]
    np.testing.assert_allclose(found.boxes, boxes * size, atol=1e-3)
    np.testing.assert_allclose(found.scores, scores, rtol=1e-5)
    assert found.labels.tolist() == labels.tolist()
