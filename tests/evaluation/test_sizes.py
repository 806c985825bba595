import numpy as np
import pytest
from oracles_diagnosis import outcomes_by_size, random_scene
from oracles_evaluation import area, eleven

from detector.evaluation.outcomes import NO_BLACKLIST, match_detections
from detector.evaluation.sizes import COCO_EDGES, ap_by_size, tercile_edges
from detector.evaluation.weighted import class_ap
from detector.records import DetectionTable, object_table, take

SMALL, MEDIUM = (0.0, 0.0, 20.0, 20.0), (100.0, 100.0, 140.0, 140.0)
NO_FLAGS = np.zeros(2, np.bool_)


def test_objects_and_detections_of_other_sizes_are_ignored() -> None:
    objects = object_table(
        np.zeros(2, np.int64), np.array([SMALL, MEDIUM]), np.ones(2, np.int64), NO_FLAGS, NO_FLAGS
    )
    boxes = np.array([(300, 0, 340, 40), MEDIUM, (300, 0, 310, 10), SMALL], np.float64)
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    detections = DetectionTable(np.zeros(4, np.int64), boxes, np.ones(4, np.int64), scores)
    for protocol in ("ilsvrc", "voc2010"):
        matched = match_detections(protocol, objects, detections, 1, 1, NO_BLACKLIST)
        report = ap_by_size(matched, COCO_EDGES)
        np.testing.assert_equal(report.ap[:, 0], [0.5, 0.5, np.nan])  # after one false positive of the own size
        np.testing.assert_equal(report.mean_ap, [0.5, 0.5, np.nan])
        assert report.objects.tolist() == [[1], [1], [0]]


def test_a_hit_counts_with_the_size_of_its_object_and_a_duplicate_with_its_own() -> None:
    object_box, hit, duplicate = (0, 0, 40, 40), (0, 0, 40, 30), (0, 0, 40, 25)  # areas 1600, 1200, 1000
    truth = object_table(
        np.zeros(1, np.int64), np.array([object_box], np.float64), np.ones(1, np.int64), NO_FLAGS[:1], NO_FLAGS[:1]
    )
    boxes, ones = np.array([duplicate, hit], np.float64), np.ones(2, np.int64)
    matched = match_detections(
        "voc2010", truth, DetectionTable(0 * ones, boxes, ones, np.array([0.8, 0.9])), 1, 1, NO_BLACKLIST
    )
    report = ap_by_size(matched, np.array([0.0, 1100, 1300, 2000]))
    np.testing.assert_equal(report.ap[:, 0], [np.nan, np.nan, 1.0])
    assert class_ap(matched)[0] == 1


@pytest.mark.parametrize("protocol", ["ilsvrc", "voc2007", "voc2010", "coco"])
@pytest.mark.parametrize("seed", range(8))
def test_ap_by_size_equals_the_plain_count(protocol: str, seed: int) -> None:
    matched = match_detections(protocol, *random_scene(seed, difficult=True, blacklist=True))
    edges = tercile_edges(matched)
    report = ap_by_size(matched, edges)
    average = eleven if protocol == "voc2007" else area
    for k in range(3):
        wanted = matched.counted & (matched.objects.areas >= edges[k]) & (matched.objects.areas < edges[k + 1])
        words = np.array(outcomes_by_size(matched, edges[k], edges[k + 1]), np.str_)
        for c in range(matched.num_classes):
            count = int((matched.objects.labels[wanted] == c + 1).sum())
            assert report.objects[k, c] == count
            if count and protocol != "coco":
                own = words[matched.detections.labels == c + 1].tolist()
                assert report.ap[k, c] == pytest.approx(average(own, count), abs=1e-12)
    assert report.objects.sum(axis=0).tolist() == matched.positives.tolist()


@pytest.mark.parametrize("protocol", ["ilsvrc", "voc2007", "voc2010", "coco"])
def test_one_range_of_all_sizes_is_the_whole_evaluation(protocol: str) -> None:
    matched = match_detections(protocol, *random_scene(3))
    np.testing.assert_array_equal(ap_by_size(matched, np.array([0, np.inf])).ap[0], class_ap(matched))


def test_terciles_part_the_counted_objects_in_thirds() -> None:
    sides = np.arange(1.0, 10)
    boxes = np.stack([0 * sides, 0 * sides, sides, sides], axis=1)
    flags = np.zeros(9, np.bool_)
    objects = object_table(np.zeros(9, np.int64), boxes, np.ones(9, np.int64), flags, flags)
    nothing = DetectionTable(np.empty(0, np.int64), np.empty((0, 4)), np.empty(0, np.int64), np.empty(0))
    matched = match_detections("voc2007", objects, nothing, 1, 1, NO_BLACKLIST)
    assert ap_by_size(matched, tercile_edges(matched)).objects[:, 0].tolist() == [3, 3, 3]
    empty = match_detections("voc2007", take(objects, flags), nothing, 1, 1, NO_BLACKLIST)
    assert np.isnan(ap_by_size(empty, tercile_edges(empty)).mean_ap).all()
