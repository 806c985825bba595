import json
from pathlib import Path

import numpy as np
import pytest
from trees import coco_tree, side_by_side, write_coco

from detector.config import DataSettings
from detector.data.classes import ClassList
from detector.data.dataset import Dataset
from detector.data.exchange import coco_results
from detector.data.exchange.coco_results import coco_ground_truth, coco_image_ids, write_coco_results
from detector.data.readers import read_split
from detector.errors import DataError
from detector.records import DetectionTable

CLASSES = ClassList(("cat", "dog"))


def read(root: Path, classes: ClassList = CLASSES) -> Dataset:
    return read_split(DataSettings(format="coco", root=root), "train", classes)


def detections(image: list[int], labels: list[int]) -> DetectionTable:
    boxes = np.arange(4.0 * len(image)).reshape(-1, 4) + np.array([0.1, 0, 20, 20])
    scores = np.linspace(0.9, 0.1, len(image))
    return DetectionTable(np.array(image, np.int64), boxes, np.array(labels, np.int64), scores)


def test_results_carry_the_json_s_own_ids(tmp_path: Path) -> None:
    write_coco(tmp_path, "train", coco_tree())
    path = tmp_path / "out" / "results.json"
    write_coco_results(path, detections([1, 0], [1, 2]), read(tmp_path))
    rows = json.loads(path.read_text())
    assert [(row["image_id"], row["category_id"]) for row in rows] == [(5, 3), (12, 7)]
    assert rows[0]["bbox"] == pytest.approx([0.1, 1, 21.9, 22], abs=1e-12)
    assert [row["score"] for row in rows] == [0.9, 0.1]


def test_results_without_detections_are_an_empty_list(tmp_path: Path) -> None:
    write_coco(tmp_path, "train", coco_tree())
    write_coco_results(tmp_path / "results.json", detections([], []), read(tmp_path))
    assert json.loads((tmp_path / "results.json").read_text()) == []


def test_detections_of_classes_the_json_lacks_are_left_out(tmp_path: Path) -> None:
    write_coco(tmp_path, "train", coco_tree())
    data = read(tmp_path, classes=ClassList(("dog", "bird", "cat")))
    write_coco_results(tmp_path / "results.json", detections([0, 0, 1], [2, 1, 2]), data)
    assert [row["category_id"] for row in json.loads((tmp_path / "results.json").read_text())] == [7]


def test_detections_of_other_images_are_refused(tmp_path: Path) -> None:
    write_coco(tmp_path, "train", coco_tree())
    with pytest.raises(DataError, match="detections must be of 2 images, got image 2"):
        write_coco_results(tmp_path / "results.json", detections([2], [1]), read(tmp_path))


def test_full_disk_leaves_the_old_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_coco(tmp_path, "train", coco_tree())
    path = tmp_path / "results.json"
    path.write_text("old")

    def fail(row: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(coco_results.json, "dumps", fail)
    with pytest.raises(DataError, match=r"results\.json must be writable \(No space left"):
        write_coco_results(path, detections([0], [1]), read(tmp_path))
    assert path.read_text() == "old"
    assert not list(tmp_path.glob(".*"))


def test_ground_truth_of_a_coco_set_is_what_was_read(tmp_path: Path) -> None:
    tree = coco_tree()
    write_coco(tmp_path, "train", tree)
    truth = coco_ground_truth(read(tmp_path))
    assert [(image["id"], image["height"], image["width"]) for image in truth["images"]] == [
        (12, 40, 60),
        (5, 40, 60),
    ]
    assert truth["categories"] == [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]
    for made, original in zip(truth["annotations"], tree["annotations"], strict=True):
        for name in ("image_id", "category_id", "bbox", "iscrowd"):
            assert made[name] == original[name]
    json.dumps(truth)


def test_ground_truth_of_another_format_counts_images_and_classes_from_one(tmp_path: Path) -> None:
    side_by_side(tmp_path, "train", a=[("dog", (1, 1, 20, 10)), ("dog", (9, 9, 1, 1))], b=[])
    data = read_split(DataSettings(format="voc", root=tmp_path), "train", CLASSES)
    assert coco_image_ids(data).tolist() == [1, 2]
    truth = coco_ground_truth(data)
    assert [image["id"] for image in truth["images"]] == [1, 2]
    (entry,) = truth["annotations"]  # the inverted box has no area and is left out
    assert (entry["image_id"], entry["category_id"], entry["bbox"], entry["area"]) == (1, 2, [0, 0, 20, 10], 200)


@pytest.mark.parametrize(
    ("names", "ids"),
    [(("7", "12"), [7, 12]), (("000007", "12"), [1, 2]), (("9" * 30, "1"), [1, 2]), (("1\u0661", "11"), [1, 2])],
)
def test_image_ids_that_are_all_plain_numbers_are_used(
    tmp_path: Path, names: tuple[str, ...], ids: list[int]
) -> None:
    side_by_side(tmp_path, "train", **{name: [] for name in names})
    data = read_split(DataSettings(format="voc", root=tmp_path), "train", CLASSES)
    assert dict(zip(data.image_ids.tolist(), coco_image_ids(data).tolist(), strict=True)) == (
        dict(zip(names, ids, strict=True)) if ids != [1, 2] else dict(zip(sorted(names), ids, strict=True))
    )
