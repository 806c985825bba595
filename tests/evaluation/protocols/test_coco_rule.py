import contextlib
import copy
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detector.evaluation.outcomes import NO_BLACKLIST, match_detections
from detector.evaluation.protocols.coco_rule import (
    COCO_NUMBERS,
    category_ids,
    coco_tables,
    evaluate_coco,
    evaluate_coco_json,
)
from detector.evaluation.weighted import class_ap
from detector.records import DetectionTable, object_table

Tree = dict[str, Any]


def random_case(seed: int) -> tuple[Tree, list[Tree]]:
    """Images and categories with gaps between their ids, crowds, areas of their own, more than 100 results."""
    random = np.random.default_rng(seed)
    images, categories = [7, 3, 12, 40], [2, 5, 90]
    boxes = np.concatenate([random.integers(0, 150, (40, 2)), random.integers(4, 120, (40, 2))], axis=1)
    annotations = [
        {
            "id": number + 1,
            "image_id": int(random.choice(images)),
            "category_id": int(random.choice(categories[:2])),
            "bbox": box.tolist(),
            "area": float(box[2] * box[3] * 0.7),
            "iscrowd": int(random.random() < 0.1),
        }
        for number, box in enumerate(boxes)
    ]
    results = [
        {
            "image_id": entry["image_id"],
            "category_id": entry["category_id"] if random.random() < 0.9 else 90,
            "bbox": [value + float(random.normal(0, 3)) for value in entry["bbox"]],
            "score": float(random.integers(0, 20)),
        }
        for entry in annotations * 8
    ]
    tree = {
        "images": [{"id": number} for number in images],
        "categories": [{"id": number, "name": str(number)} for number in reversed(categories)],
        "annotations": annotations,
    }
    return tree, results


def by_pycocotools(tree: Tree, results: list[Tree]) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):
        index = COCO()
        index.dataset = copy.deepcopy(tree)
        index.createIndex()
        run = COCOeval(index, index.loadRes(copy.deepcopy(results)), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run


@pytest.mark.parametrize("seed", range(12))
def test_numbers_are_those_of_pycocotools(seed: int) -> None:
    tree, results = random_case(seed)
    before = copy.deepcopy((tree, results))
    report = evaluate_coco_json(tree, results)
    run = by_pycocotools(tree, results)
    assert list(report.numbers.values()) == run.stats.tolist()
    for c in range(3):
        precision = run.eval["precision"][:, :, c, 0, 2]
        expected = precision.mean() if precision.max() > -1 else math.nan
        np.testing.assert_allclose(report.ap[c], expected)
    assert (tree, results) == before


@pytest.mark.parametrize("ids", [[0, 1], [1, 0], [5, 5], [-1, 0], [None, "a"], [10**30, 0.5]])
def test_found_objects_are_found_whatever_ids_their_annotations_have(ids: list[object]) -> None:
    box = {"bbox": [10, 10, 50, 50], "image_id": 4}
    entries = [{**box, "id": number, "category_id": label} for label, number in enumerate(ids, 1)]
    tree = {"images": [{"id": 4}], "categories": [{"id": 1}, {"id": 2}], "annotations": entries}
    report = evaluate_coco_json(tree, [{**box, "category_id": label, "score": 0.5} for label in (1, 2)])
    np.testing.assert_allclose(report.ap, [1, 1])
    for entry in entries:
        del entry["id"]
    assert evaluate_coco_json(tree, [{**box, "category_id": 1, "score": 0.5}]).ap[0] == pytest.approx(1)


def odd_case(seed: int, kind: str) -> tuple[Tree, list[Tree]]:
    """A few coarse boxes, so that overlaps and scores are often equal; `kind` says what is odd about them."""
    random = np.random.default_rng(seed)
    images = sorted(random.choice(np.arange(-3, 20), 3, replace=False).tolist())
    categories = random.choice(np.arange(9), 2, replace=False).tolist()

    def entry(inverted: bool) -> Tree:
        x, y, width, height = (random.integers(1, 6, 4) * (4e4 if kind == "huge" else 10)).tolist()
        sides = {"flat": [width, 0.0], "inverted": [-width, height]}.get(kind if inverted else "", [width, height])
        where = {"image_id": int(random.choice(images)), "category_id": int(random.choice(categories))}
        return {**where, "bbox": [x, y, *sides]}

    annotations = [
        {**entry(random.random() < 0.3), "id": number, "iscrowd": int(random.random() < 0.2)}
        for number in range(7)
    ]
    if kind == "areas":
        for each in annotations:
            each["area"] = float(random.choice([0, 1, 1024, 1025, 9216, 1e10, 1e10 + 1]))
    found = [entry(kind == "inverted" and random.random() < 0.3) for _ in range(6)]
    found += [{name: each[name] for name in ("image_id", "category_id", "bbox")} for each in annotations]
    results = [{**each, "score": random.integers(1, 4) / 4} for each in found]
    tree = {
        "images": [{"id": number} for number in images],
        "categories": [{"id": number} for number in categories],
        "annotations": annotations,
    }
    return tree, results


@pytest.mark.parametrize("kind", ["plain", "flat", "inverted", "areas", "huge"])
@pytest.mark.parametrize("seed", range(12))
def test_every_way_to_the_numbers_gives_the_same(seed: int, kind: str) -> None:
    tree, results = odd_case(seed, kind)
    report = evaluate_coco_json(tree, results)
    objects, detections = coco_tables(tree, results)
    by_tables = evaluate_coco(objects, detections, 3, 2)
    assert by_tables.numbers == pytest.approx(report.numbers)
    matched = match_detections("coco", objects, detections, 3, 2, NO_BLACKLIST)
    np.testing.assert_allclose(class_ap(matched), report.ap)
    for other in (by_tables.objects, matched.positives):
        np.testing.assert_array_equal(other, report.objects)
    numbered = {**tree, "annotations": [{**each, "id": n} for n, each in enumerate(tree["annotations"], 1)]}
    for each in numbered["annotations"]:
        each.setdefault("area", each["bbox"][2] * each["bbox"][3])
    assert list(report.numbers.values()) == by_pycocotools(numbered, results).stats.tolist()


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    evaluate_coco_json(*random_case(0))
    assert capsys.readouterr() == ("", "")


def test_counts_leave_out_crowds_and_what_lies_beyond_a_hundred_detections() -> None:
    tree, results = random_case(1)
    report = evaluate_coco_json(tree, results)
    crowdless = [entry["category_id"] for entry in tree["annotations"] if not entry["iscrowd"]]
    assert report.objects.tolist() == [crowdless.count(number) for number in (2, 5, 90)]
    one = {"image_id": 7, "category_id": 5, "bbox": [0, 0, 5, 5], "score": 0.5}
    assert evaluate_coco_json(tree, [one] * 130).detections.tolist() == [0, 100, 0]


def test_empty_results_give_zero() -> None:
    report = evaluate_coco_json(random_case(0)[0], [])
    assert (report.mean_ap, report.median_ap, report.mean_ap_with_objects) == (0, 0, 0)
    assert report.numbers["AR100"] == 0
    np.testing.assert_equal(report.ap, [0, 0, math.nan])


def test_no_objects_give_nan_and_pycocotools_own_minus_one() -> None:
    tree, results = random_case(0)
    report = evaluate_coco_json({**tree, "annotations": []}, results)
    assert math.isnan(report.mean_ap)
    assert set(report.numbers.values()) == {-1}


def test_area_of_an_annotation_without_one_is_its_box() -> None:
    tree, results = random_case(2)
    bare = copy.deepcopy(tree)
    for entry in tree["annotations"]:
        entry["area"], entry["iscrowd"] = entry["bbox"][2] * entry["bbox"][3], 0
    for entry in bare["annotations"]:
        del entry["area"], entry["iscrowd"]
    assert evaluate_coco_json(bare, results).numbers == evaluate_coco_json(tree, results).numbers


def test_tables_evaluate_as_the_json_they_came_from() -> None:
    tree, results = random_case(3)
    for entry in tree["annotations"]:
        entry["area"] = entry["bbox"][2] * entry["bbox"][3]
    for number, entry in enumerate(results):  # pycocotools breaks ties by image id, which tables do not have
        entry["score"] += number / 1000
    objects, detections = coco_tables(tree, results)
    report = evaluate_coco(objects, detections, 4, 3)
    expected = evaluate_coco_json(tree, results)
    assert report.numbers == pytest.approx(expected.numbers)
    np.testing.assert_equal(report.objects, expected.objects)


def test_tables_have_positions_and_labels_in_the_order_of_images_and_of_category_ids() -> None:
    tree, results = random_case(0)
    objects, detections = coco_tables(tree, results)
    first = tree["annotations"][0]
    assert objects.image[0] == [7, 3, 12, 40].index(first["image_id"])
    assert objects.labels[0] == [2, 5, 90].index(first["category_id"]) + 1
    x, y, width, height = first["bbox"]
    assert objects.boxes[0].tolist() == [x, y, x + width, y + height]
    assert (len(detections.scores), category_ids(tree)) == (320, (2, 5, 90))


def test_an_object_s_own_area_decides_how_large_it_is() -> None:
    box, flags = np.array([[0.0, 0.0, 100.0, 100.0]]), np.zeros(1, np.bool_)
    one, found = np.ones(1, np.int64), DetectionTable(np.zeros(1, np.int64), box, np.ones(1, np.int64), np.ones(1))
    thin = object_table(np.zeros(1, np.int64), box, one, flags, flags, areas=np.array([500.0]))
    numbers = evaluate_coco(thin, found, 1, 1).numbers
    assert numbers["APs"] == pytest.approx(1)
    assert numbers["APl"] == -1


def test_empty_tables_have_a_mean_that_is_not_defined() -> None:
    flags = np.empty(0, np.bool_)
    none, boxes = np.empty(0, np.int64), np.empty((0, 4))
    report = evaluate_coco(
        object_table(none, boxes, none, flags, flags), DetectionTable(none, boxes, none, np.empty(0)), 3, 2
    )
    assert math.isnan(report.mean_ap)
    assert tuple(report.numbers) == tuple(COCO_NUMBERS)


@pytest.mark.parametrize("case", ["t01_basic", "t02_duplicates"])
def test_official_numbers(shared: Path, case: str) -> None:
    folder = shared / "data/eval_examples" / case
    tree, results, expected = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("gt_coco", "dets_coco", "expected")
    )
    report = evaluate_coco_json(tree, results)
    assert report.numbers == pytest.approx(expected["coco"]["stats"], abs=1e-9)
    assert report.ap[0] == pytest.approx(expected["coco"]["ap"]["1"], abs=1e-9)
