import numpy as np
import pytest
from oracles_diagnosis import best_overlaps, random_scene

from detector.evaluation.false_positives import KINDS, mean_shares, rank_false_positives
from detector.evaluation.matching import FALSE_POSITIVE
from detector.evaluation.neighbours import nearest_objects
from detector.evaluation.outcomes import NO_BLACKLIST, match_detections
from detector.records import DetectionTable, object_table, take

BOX = (0.0, 0.0, 100.0, 100.0)
OTHER = (1000.0, 0.0, 1100.0, 100.0)


def test_kinds_of_a_hand_worked_class() -> None:
    flags = np.zeros(3, np.bool_)
    objects = object_table(
        np.zeros(3, np.int64), np.array([BOX, (200, 0, 300, 100), OTHER]), np.array([1, 1, 2]), flags, flags
    )
    rows = {
        "background": (500, 500, 600, 600),
        "hit": BOX,
        "localisation, again": BOX,
        "localisation": (50, 0, 150, 100),
        "other class": OTHER,
        "background, far": (1099, 0, 1199, 100),  # IoU 1/199 with the other class
    }
    boxes = np.array(list(rows.values()), np.float64)
    ones = np.ones(len(rows), np.int64)
    detections = DetectionTable(0 * ones, boxes, ones, -np.arange(6.0))
    matched = match_detections("voc2010", objects, detections, 1, 2, NO_BLACKLIST)
    found = rank_false_positives(matched, np.array([1, 2, 4, 100]))
    words = [name.split(",")[0] for name in rows]
    assert [KINDS[kind] if kind >= 0 else "hit" for kind in found.kinds] == words
    assert found.counts[0].tolist() == [[0, 0, 1], [1, 0, 1], [2, 1, 1], [2, 1, 2]]
    assert found.top.tolist() == [[1, 0, 1], [0, 0, 0]]  # two objects of the class, and none detected of the other
    np.testing.assert_allclose(mean_shares(found.top), [0.5, 0, 0.5])
    np.testing.assert_allclose(mean_shares(found.counts)[-1], [0.4, 0.2, 0.4])


def test_no_false_positives_have_no_shares() -> None:
    objects, detections, images, classes, _ = random_scene(1)
    nothing = take(detections, detections.labels < 0)
    found = rank_false_positives(match_detections("ilsvrc", objects, nothing, images, classes, NO_BLACKLIST))
    assert found.counts.shape == (classes, 8, 3)
    assert not found.counts.any()
    assert np.isnan(mean_shares(found.counts)).all()


@pytest.mark.parametrize("seed", range(20))
def test_kinds_equal_the_plain_rule(seed: int) -> None:
    matched = match_detections("ilsvrc", *random_scene(seed, blacklist=True))
    found = rank_false_positives(matched)
    overlaps = best_overlaps(take(matched.objects, matched.counted), matched.detections)
    for kind, outcome, (same, other) in zip(found.kinds, matched.outcomes[0], overlaps, strict=True):
        wanted = 0 if same >= 0.1 else 1 if other >= 0.1 else 2
        assert kind == (wanted if outcome == FALSE_POSITIVE else -1)
    assert found.counts[:, -1].sum() == (matched.outcomes[0] == FALSE_POSITIVE).sum()


@pytest.mark.parametrize("seed", range(10))
def test_nearest_objects_equal_the_plain_search(seed: int) -> None:
    objects, detections, *_ = random_scene(seed)
    near = nearest_objects(objects, detections)
    np.testing.assert_allclose(
        np.stack([near.same_iou, near.other_iou], axis=1), best_overlaps(objects, detections), atol=1e-12
    )
    touched = near.same_row >= 0
    assert (objects.labels[near.same_row[touched]] == detections.labels[touched]).all()
    assert (touched == (near.same_iou > 0)).all()


def test_of_equally_near_objects_the_first_is_taken() -> None:
    flags, image = np.zeros(3, np.bool_), np.array([1, 0, 0])
    objects = object_table(image, np.array([BOX] * 3), np.array([1, 1, 1]), flags, flags)
    near = nearest_objects(objects, DetectionTable(image[:2], np.array([BOX] * 2), np.array([1, 2]), np.zeros(2)))
    assert (near.same_row.tolist(), near.other_row.tolist()) == ([0, -1], [-1, 1])
