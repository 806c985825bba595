from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from trees import coco_tree, side_by_side, write_coco, write_lines

from detector.config import DataSettings
from detector.data.dataset import Dataset
from detector.data.exchange.coco_results import write_coco_results
from detector.data.exchange.found_detections import read_detections
from detector.data.exchange.submission import write_submission
from detector.data.readers import open_dataset
from detector.errors import DataError
from detector.records import DetectionTable

FOUND = DetectionTable(
    np.array([1, 0, 0]),
    np.array([[1.5, 2, 30, 20.25], [0, 0, 9, 9], [5, 5, 7, 8]]),
    np.array([2, 1, 2]),
    np.ones(3),
)


@pytest.fixture
def coco(tmp_path: Path) -> Dataset:
    """Images 12 and 5; the classes dog (category 7) and cat (3), not in the order of their ids."""
    write_coco(tmp_path, "val", coco_tree())
    return open_dataset(DataSettings(format="coco", root=tmp_path, classes=("dog", "cat")), ("val",))


@pytest.fixture
def voc(tmp_path: Path) -> Dataset:
    side_by_side(tmp_path, "val", a=[("cat", (1, 1, 9, 9))], b=[("dog", (2, 2, 20, 20))])
    return open_dataset(DataSettings(format="voc", root=tmp_path, classes=("cat", "dog")), ("val",))


def same(found: DetectionTable, wanted: DetectionTable) -> bool:
    return all(np.allclose(getattr(found, k), getattr(wanted, k)) for k in ("image", "boxes", "labels", "scores"))


@pytest.mark.parametrize("form", ["coco", "voc"])
def test_what_the_project_writes_reads_back(form: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    dataset = request.getfixturevalue(form)
    write_coco_results(tmp_path / "r.json", FOUND, dataset)
    write_submission(tmp_path / "s.txt", FOUND, dataset.indices)
    assert same(read_detections(tmp_path / "r.json", dataset), FOUND)
    assert same(read_detections(tmp_path / "s.txt", dataset), FOUND)


def test_coco_results_go_by_the_ids_of_images_and_categories(coco: Dataset, tmp_path: Path) -> None:
    row = '{"image_id": 5, "category_id": 3, "bbox": [1, 2, 10, 20], "score": 0.5}'
    write_lines(tmp_path / "r.json", f"[{row}]")
    found = read_detections(tmp_path / "r.json", coco)
    assert (found.image.tolist(), found.labels.tolist()) == ([1], [2])
    assert found.boxes.tolist() == [[1, 2, 11, 22]]


def test_results_of_images_without_numbers_count_them_from_one(voc: Dataset, tmp_path: Path) -> None:
    row = '{"image_id": 2, "category_id": 1, "bbox": [1, 2, 10, 20], "score": 0.5}'
    write_lines(tmp_path / "r.json", f"[{row}]")
    found = read_detections(tmp_path / "r.json", voc)
    assert (found.image.tolist(), found.labels.tolist()) == ([1], [1])


def test_a_file_without_detections_has_none(voc: Dataset, tmp_path: Path) -> None:
    write_lines(tmp_path / "r.json", "[]")
    write_lines(tmp_path / "s.txt")
    for name in ("r.json", "s.txt"):
        assert len(read_detections(tmp_path / name, voc).scores) == 0


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        (
            "r.json",
            '[{"image_id": 3, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]',
            r"got 3 \(.*entry 0\)$",
        ),
        ("s.txt", "7 1 0.5 0 0 9 9", r"s\.txt:1 image index must be one of the image list, got '7'$"),
        ("r.csv", "a,b", r"^detections must be COCO results \(.json\) or a submission \(.txt\), got .*r\.csv$"),
    ],
)
def test_what_is_no_detection_of_the_data_set_is_told(
    voc: Dataset, tmp_path: Path, name: str, line: str, message: str
) -> None:
    write_lines(tmp_path / name, line)
    with pytest.raises(DataError, match=message):
        read_detections(tmp_path / name, voc)


def test_a_class_that_the_json_lacks_is_never_found(coco: Dataset, tmp_path: Path) -> None:
    classes = replace(coco.classes, names=("dog", "cat", "bird"), category_ids=(7, 3, -1))
    row = '{"image_id": 5, "category_id": -1, "bbox": [1, 2, 10, 20], "score": 0.5}'
    write_lines(tmp_path / "r.json", f"[{row}]")
    with pytest.raises(DataError, match="category_id must be a category of the annotations, got -1"):
        read_detections(tmp_path / "r.json", replace(coco, classes=classes))
