import math
from typing import Any

import numpy as np
import pytest
from oracles_diagnosis import random_scene, tidecv_numbers

from detector.errors import DataError
from detector.evaluation.diagnosis import NO_ERROR, NOT_LOOKED_AT, TYPES, ErrorTypes, find_errors
from detector.evaluation.outcomes import NO_BLACKLIST
from detector.records import DetectionTable, Int64, ObjectTable, object_table, take

Row = tuple[int, tuple[float, float, float, float]]  # label, box
DOG, CAT = 1, 2
BOX = (0.0, 0.0, 100.0, 100.0)
THIRD = (50.0, 0.0, 150.0, 100.0)  # IoU 1/3 with BOX
NEARLY = (0.0, 0.0, 100.0, 95.0)
AWAY = (500.0, 500.0, 600.0, 600.0)

# mAP, counts and gains of TYPES, gains without false positives and without false negatives, of tidecv 1.0.1
TIDECV: list[tuple[int, dict[str, Any], float, list[int], list[float], list[float]]] = [
    (
        1,
        {},
        0.47167024,
        [13, 11, 12, 23, 8, 1],
        [0.05094868, 0.05039834, 0.07405635, 0.01159911, 0.04799982, 0.01606161],
        [0.47222415, 0.01606161],
    ),
    (
        3,
        {},
        0.68191105,
        [0, 3, 0, 10, 4, 0],
        [0.0, 0.0, 0.0, 0.09178061, 0.12831997, 0.0],
        [0.31808895, -0.04494735],
    ),
    (
        4,
        {},
        0.15033691,
        [6, 10, 9, 6, 7, 7],
        [0.16602723, 0.16926469, 0.04788916, 0.01427687, 0.02303355, 0.05554180],
        [0.24075220, 0.20640814],
    ),
    (
        6,
        {},
        0.46607732,
        [4, 4, 3, 7, 4, 1],
        [0.06431322, 0.04898633, 0.0, 0.01560585, 0.03278328, 0.00924092],
        [0.27979727, 0.11885903],
    ),
    (
        16,
        {"difficult": True},
        0.45223951,
        [4, 3, 10, 4, 6, 3],
        [0.01178689, 0.04052405, 0.08943894, 0.02370809, 0.05227094, 0.09687254],
        [0.30023574, 0.14098696],
    ),
    (
        18,
        {"crowds": True},
        0.10431400,
        [10, 2, 0, 24, 23, 0],
        [0.0, 0.00497770, 0.0, 0.05193600, 0.04128556, 0.0],
        [0.39568600, -0.00724763],
    ),
    (
        33,
        {"difficult": True, "crowds": True, "blacklist": True},
        0.20338284,
        [2, 4, 0, 9, 33, 0],
        [0.14645215, 0.04620462, 0.0, 0.00453795, 0.21328383, 0.0],
        [0.62830033, 0.03974147],
    ),
    (
        8,
        {"most": 900, "crowds": True},
        0.36303630,
        [35, 43, 11, 241, 126, 0],
        [0.04321370, 0.0, 0.0, 0.05363036, 0.05363036, 0.0],
        [0.63696370, -0.04931081],
    ),
]


def objects(*rows: Row, crowd: tuple[bool, ...] | None = None) -> ObjectTable:
    flags = np.array(crowd or [False] * len(rows), np.bool_)
    return object_table(*_columns(rows), np.zeros(len(rows), np.bool_), flags)


def ranked(*rows: Row) -> DetectionTable:
    image, boxes, labels = _columns(rows)
    return DetectionTable(image, boxes, labels, np.linspace(0.9, 0.1, len(rows)))


def _columns(rows: tuple[Row, ...]) -> tuple[Int64, np.ndarray, Int64]:
    boxes = np.array([box for _, box in rows], np.float64).reshape(-1, 4)
    return np.zeros(len(rows), np.int64), boxes, np.array([label for label, _ in rows], np.int64)


def names(found: ErrorTypes) -> list[str]:
    return [{NO_ERROR: "hit", NOT_LOOKED_AT: "-"}.get(kind) or TYPES[kind] for kind in found.types.tolist()]


def find(truth: ObjectTable, found: DetectionTable, blacklist: Int64 = NO_BLACKLIST) -> ErrorTypes:
    return find_errors(truth, found, 1, 2, blacklist)


def numbers(found: ErrorTypes) -> list[float]:
    return [found.mean_ap, *found.gains, found.false_positive_gain, found.false_negative_gain]


def test_one_error_of_each_type() -> None:
    truth = objects((DOG, BOX), (CAT, (1000, 0, 1100, 100)), (CAT, (2000, 0, 2100, 100)))
    found = ranked(
        (DOG, BOX),
        (DOG, NEARLY),  # the dog again
        (DOG, THIRD),  # too far from the dog
        (DOG, (1000, 0, 1100, 100)),  # a cat, called a dog
        (DOG, (1050, 0, 1150, 100)),  # neither the class nor the place
        (DOG, AWAY),
    )
    result = find(truth, found)
    assert names(result) == ["hit", "Dupe", "Loc", "Cls", "Both", "Bkg"]
    assert dict(zip(TYPES, result.counts.tolist(), strict=True)) == dict.fromkeys(TYPES, 1)
    assert result.missed.tolist() == [False, False, True]
    assert result.mean_ap == 0.5  # 1 for dogs, 0 for cats
    # without the class error a cat of two is found, at 51 of 101 recalls; without the missed cat the other is left
    np.testing.assert_allclose(result.gains, [51 / 101 / 2, 0, 0, 0, 0, 0], atol=1e-12)


def test_repairing_a_location_makes_the_best_of_its_errors_a_hit() -> None:
    result = find(objects((DOG, BOX)), ranked((DOG, AWAY), (DOG, THIRD), (DOG, (-50, 0, 50, 100))))
    assert names(result) == ["Bkg", "Loc", "Loc"]
    assert (result.mean_ap, result.gains.tolist()) == (0, [0, 0.5, 0, 0, 0, 0])
    assert not result.missed.any()
    assert result.false_positive_gain == 0


def test_an_error_is_removed_if_a_better_one_is_nearest_to_its_object() -> None:
    result = find(objects((DOG, BOX)), ranked((CAT, BOX), (DOG, THIRD)))
    assert names(result) == ["Cls", "Loc"]
    # the dog is found once its class is right; no class but the dogs' is then left to average
    assert (result.mean_ap, result.gains[:2].tolist()) == (0, [1, 0])


def test_edges_of_the_thresholds() -> None:
    half, tenth = (0.0, 0.0, 100.0, 50.0), (0.0, 0.0, 100.0, 10.0)
    assert names(find(objects((DOG, BOX)), ranked((DOG, half)))) == ["hit"]
    assert names(find(objects((DOG, BOX)), ranked((DOG, BOX), (DOG, half)))) == ["hit", "Loc"]
    assert names(find(objects((DOG, BOX)), ranked((DOG, tenth)))) == ["Loc"]
    assert names(find(objects((CAT, BOX)), ranked((DOG, half)))) == ["Cls"]
    assert names(find(objects((CAT, BOX)), ranked((DOG, tenth)))) == ["Bkg"]


def test_the_ignored_is_no_false_positive() -> None:
    crowd = objects((DOG, AWAY), (DOG, BOX), crowd=(False, True))
    assert find(crowd, ranked((DOG, NEARLY), (DOG, AWAY))).mean_ap == 1
    assert find(crowd, ranked((CAT, NEARLY), (DOG, AWAY))).mean_ap == 0.5
    blacklisted = find(objects((DOG, BOX)), ranked((DOG, BOX), (CAT, AWAY)), np.array([[0, DOG]], np.int64))
    assert (blacklisted.mean_ap, names(blacklisted)) == (0, ["Bkg", "Bkg"])


def test_only_the_best_hundred_of_an_image_are_looked_at() -> None:
    result = find(objects((DOG, BOX)), ranked(*[(DOG, AWAY)] * 100, (DOG, BOX)))
    assert names(result)[-2:] == ["Bkg", "-"]
    assert (result.counts.sum(), result.missed.tolist()) == (101, [True])


def test_nothing_costs_nothing_and_nothing_at_all_is_nan() -> None:
    result = find(objects((DOG, BOX)), ranked())
    assert (result.mean_ap, result.counts.tolist()) == (0, [0, 0, 0, 0, 0, 1])
    assert math.isnan(find(objects(), ranked()).mean_ap)
    assert names(find(objects(), ranked((DOG, BOX)))) == ["Bkg"]


def test_label_outside_the_classes_is_an_error() -> None:
    with pytest.raises(DataError, match=r"^detections.labels must be in 1\.\.2, got 3$"):
        find(objects(), ranked((3, BOX)))


@pytest.mark.parametrize(("seed", "kinds", "mean_ap", "counts", "gains", "special"), TIDECV)
def test_numbers_of_tidecv(
    seed: int, kinds: dict[str, Any], mean_ap: float, counts: list[int], gains: list[float], special: list[float]
) -> None:
    result = find_errors(*random_scene(seed, **kinds))
    assert result.counts.tolist() == counts
    np.testing.assert_allclose(numbers(result), [mean_ap, *gains, *special], atol=1e-8)


@pytest.mark.parametrize("seed", range(40))
def test_tidecv_itself(seed: int) -> None:
    pytest.importorskip("tidecv")
    scene = random_scene(
        seed,
        most=(90, 900)[seed % 2],
        difficult=seed % 3 == 0,
        crowds=seed % 4 == 0,
        blacklist=seed % 7 == 1,
    )
    mean_ap, counts, gains, *special = tidecv_numbers(scene)
    result = find_errors(*scene)
    assert result.counts.tolist() == counts
    np.testing.assert_allclose(numbers(result), [mean_ap, *gains, *special], atol=1e-12)


def test_types_are_those_of_the_given_rows() -> None:
    truth, found, images, classes, _ = random_scene(1)
    types = find_errors(truth, found, images, classes, NO_BLACKLIST).types
    order = np.argsort(found.image, kind="stable")  # equal scores of an image keep their order
    shuffled = find_errors(truth, take(found, order), images, classes, NO_BLACKLIST).types
    np.testing.assert_array_equal(shuffled, types[order])
