import numpy as np
import pytest
from oracles_diagnosis import random_scene

from detector.errors import DataError
from detector.evaluation.evaluator import evaluate
from detector.evaluation.matching import FALSE_POSITIVE, IGNORED, TRUE_POSITIVE
from detector.evaluation.outcomes import NO_BLACKLIST, match_detections
from detector.evaluation.protocols.coco_rule import COCO_IOUS, match_coco
from detector.evaluation.weighted import class_ap, mean_over_classes
from detector.records import DetectionTable, ObjectTable, object_table

PROTOCOLS = ("ilsvrc", "voc2007", "voc2010", "coco")
BOX = (0.0, 0.0, 100.0, 100.0)


def one_class_of_objects(*boxes: tuple[float, ...], crowd: tuple[bool, ...]) -> ObjectTable:
    table = np.array(boxes, np.float64).reshape(-1, 4)
    none, flags = np.zeros(len(table), np.bool_), np.array(crowd, np.bool_)
    return object_table(np.zeros(len(table), np.int64), table, np.ones(len(table), np.int64), none, flags)


def one_class_of_detections(*boxes: tuple[float, ...]) -> DetectionTable:
    table = np.array(boxes, np.float64).reshape(-1, 4)
    ones = np.ones(len(table), np.int64)
    return DetectionTable(0 * ones, table, ones, -np.arange(len(table), dtype=np.float64))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("seed", range(12))
def test_matched_detections_give_the_ap_of_the_evaluation(protocol: str, seed: int) -> None:
    scene = random_scene(seed, most=(90, 900)[seed % 2], difficult=True, crowds=True, blacklist=True)
    report, matched = evaluate(protocol, *scene), match_detections(protocol, *scene)
    ap = class_ap(matched)
    assert matched.positives.tolist() == report.objects.tolist()
    counted = report.objects > 0
    np.testing.assert_allclose(ap[counted], report.ap[counted], atol=1e-12)
    assert np.isnan(ap[~counted]).all()
    np.testing.assert_allclose(mean_over_classes(ap), report.mean_ap_with_objects, atol=1e-12)
    assert (
        np.bincount(matched.detections.labels, minlength=scene[3] + 1)[1:].tolist() == report.detections.tolist()
    )


def test_coco_ignores_what_lies_in_a_crowd_and_hits_nothing() -> None:
    objects = one_class_of_objects(BOX, (200, 0, 300, 100), crowd=(False, True))
    detections = one_class_of_detections(BOX, (210, 10, 230, 30), (160, 0, 220, 100), (205, 0, 305, 100))
    first, last = match_coco(objects, detections, np.array([0.5, 0.96]))
    assert first.outcomes.tolist() == [TRUE_POSITIVE, IGNORED, FALSE_POSITIVE, IGNORED]
    assert last.outcomes.tolist() == [TRUE_POSITIVE, IGNORED, FALSE_POSITIVE, FALSE_POSITIVE]  # 0.95 of it inside
    assert first.objects.tolist() == [0, -1, -1, -1]


def test_coco_takes_the_last_of_equally_overlapped_objects() -> None:
    objects = one_class_of_objects((0, 0, 100, 100), (40, 0, 140, 100), crowd=(False, False))
    assert match_coco(objects, one_class_of_detections((20, 0, 120, 100)), COCO_IOUS[:1])[0].objects.tolist() == [
        1
    ]


def test_coco_looks_at_the_best_hundred_of_an_image_and_class() -> None:
    objects = one_class_of_objects(BOX, crowd=(False,))
    detections = one_class_of_detections(*[(500.0, 0.0, 510.0, 10.0)] * 100, BOX)
    assert len(match_detections("coco", objects, detections, 1, 1, NO_BLACKLIST).detections.scores) == 100
    assert len(match_detections("voc2007", objects, detections, 1, 1, NO_BLACKLIST).detections.scores) == 101


def test_row_outside_the_images_is_an_error_for_every_protocol() -> None:
    objects, detections = one_class_of_objects(BOX, crowd=(False,)), one_class_of_detections(BOX)
    for protocol in PROTOCOLS:
        with pytest.raises(DataError, match=r"^objects.image must be in 0\.\.-1, got 0$"):
            match_detections(protocol, objects, detections, 0, 1, NO_BLACKLIST)
