import csv
import json
from pathlib import Path

import numpy as np
import pytest
from trees import coco_tree, write_coco

from detector.data.classes import ClassList
from detector.data.exchange.detection_files import count_from_one, numbering_of, open_detection_files
from detector.data.exchange.submission import read_coco_results
from detector.data.formats.coco import read_coco_json
from detector.errors import DataError
from detector.records import Detections

CLASSES = ("dog", "cat")
FOUND = Detections(
    np.array([[1, 2, 11, 22], [0, 0, 4, 4]], np.float32), np.array([2, 1]), np.array([0.75, 0.5], np.float32)
)
NONE = Detections(np.empty((0, 4), np.float32), np.empty(0, np.int64), np.empty(0, np.float32))


def test_detections_are_written_as_coco_results_and_as_a_table(tmp_path: Path) -> None:
    with open_detection_files(tmp_path, CLASSES, count_from_one(CLASSES)) as writer:
        writer.add(1, "a.jpg", None, FOUND)
        writer.add(2, "film.avi", 30, NONE)
        writer.add(3, "film.avi", 60, FOUND)
        assert not (tmp_path / "results.json").exists()
    results = json.loads((tmp_path / "results.json").read_text())
    assert results[0] == {"image_id": 1, "category_id": 2, "bbox": [1, 2, 10, 20], "score": 0.75}
    assert [row["image_id"] for row in results] == [1, 1, 3, 3]
    rows = list(csv.DictReader((tmp_path / "detections.csv").open()))
    assert [row["class"] for row in rows] == ["cat", "dog", "cat", "dog"]
    assert [row["frame"] for row in rows] == ["", "", "60", "60"]
    assert rows[0] | {"x1": "1.00", "y2": "22.00", "score": "0.75", "file": "a.jpg"} == rows[0]


def test_without_detections_the_files_are_empty_lists(tmp_path: Path) -> None:
    with open_detection_files(tmp_path, CLASSES, count_from_one(CLASSES)) as writer:
        writer.add(1, "a.jpg", None, NONE)
    assert json.loads((tmp_path / "results.json").read_text()) == []
    assert len((tmp_path / "detections.csv").read_text().splitlines()) == 1


@pytest.mark.parametrize("ending", [KeyboardInterrupt, DataError("full"), MemoryError, ValueError])
@pytest.mark.parametrize("found", [FOUND, NONE])
def test_what_was_added_before_an_end_is_written_whole(
    tmp_path: Path, ending: BaseException, found: Detections
) -> None:
    with (
        pytest.raises(type(ending) if isinstance(ending, BaseException) else ending),
        open_detection_files(tmp_path, CLASSES, count_from_one(CLASSES)) as writer,
    ):
        writer.add(1, "a.jpg", None, found)
        raise ending
    assert sorted(path.name for path in tmp_path.iterdir()) == ["detections.csv", "results.json"]
    assert len(json.loads((tmp_path / "results.json").read_text())) == len(found.scores)
    assert len((tmp_path / "detections.csv").read_text().splitlines()) == 1 + len(found.scores)


def test_an_end_before_the_first_image_keeps_earlier_results(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("[]")
    with (
        pytest.raises(KeyboardInterrupt),
        open_detection_files(tmp_path, CLASSES, count_from_one(CLASSES)),
    ):
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_names_that_are_no_text_are_written_as_escapes(tmp_path: Path) -> None:
    with open_detection_files(tmp_path, ("dog\n\x1b", "c\udce9t"), count_from_one(CLASSES)) as writer:
        writer.add(1, "caf\udce9,\n.jpg", None, FOUND)
    assert len(json.loads((tmp_path / "results.json").read_text())) == 2
    with (tmp_path / "detections.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["caf\\udce9,\n.jpg"] * 2
    assert [row["class"] for row in rows] == ["c\\udce9t", "dog\n\x1b"]


def test_the_ids_can_be_those_of_annotations(tmp_path: Path) -> None:
    path = write_coco(tmp_path, "val", coco_tree())
    numbering = numbering_of(path, ClassList(CLASSES))
    assert numbering.category_ids == (7, 3)
    assert numbering.image("/somewhere/a.jpg", 0) == 5
    with open_detection_files(tmp_path / "out", CLASSES, numbering) as writer:
        writer.add(numbering.image("b.jpg", 1), "b.jpg", None, FOUND)
    results = read_coco_results(tmp_path / "out" / "results.json", read_coco_json(path))
    assert [(row["image_id"], row["category_id"]) for row in results] == [(12, 3), (12, 7)]


def test_a_class_that_annotations_lack_is_left_out_of_the_results_alone(tmp_path: Path) -> None:
    path = write_coco(tmp_path, "val", coco_tree())
    classes = ClassList(("zebra", CLASSES[1]))
    numbering = numbering_of(path, classes)
    assert numbering.category_ids == (None, 3)
    with open_detection_files(tmp_path / "out", classes.names, numbering) as writer:
        writer.add(numbering.image("b.jpg", 1), "b.jpg", None, FOUND)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["category_id"] for row in results] == [3]
    with (tmp_path / "out" / "detections.csv").open(newline="") as file:
        assert {row["class"] for row in csv.DictReader(file)} == set(classes.names)


def test_images_and_classes_that_annotations_lack_are_named(tmp_path: Path) -> None:
    path = write_coco(tmp_path, "val", coco_tree())
    with pytest.raises(DataError, match="must have classes of the detector, got none of zebra, giraffe"):
        numbering_of(path, ClassList(("zebra", "giraffe")))
    with pytest.raises(DataError, match=r"image must be one of the annotations, got c\.jpg"):
        numbering_of(path, ClassList(CLASSES)).image("c.jpg", 0)
    with pytest.raises(DataError, match=r"image must be one of the annotations, got c\.jpg"):
        numbering_of(path, ClassList(CLASSES)).check(["a.jpg", "c.jpg"])
    count_from_one(CLASSES).check(["c.jpg", "c.jpg"])
