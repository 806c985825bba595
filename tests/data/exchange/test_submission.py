import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.data.exchange.submission import read_coco_results, read_submission, write_submission
from detector.errors import DataError
from detector.records import DetectionTable

INDICES = np.array([40, 7, 3], np.int64)  # images in positions 0, 1, 2
TREE = {"images": [{"id": 1}, {"id": 9}], "categories": [{"id": 3}]}
ENTRY = {"image_id": 9, "category_id": 3, "bbox": [1, 2.5, 3, 4], "score": 0.5}


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "found.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def table(count: int, seed: int = 0) -> DetectionTable:
    random = np.random.default_rng(seed)
    boxes = random.uniform(0, 400, (count, 4)).astype(np.float32).astype(np.float64)
    scores = random.normal(0, 1, count).astype(np.float32).astype(np.float64)
    return DetectionTable(random.integers(0, 3, count), boxes, random.integers(1, 201, count), scores)


def test_lines_become_rows_in_their_order_with_continuous_boxes(tmp_path: Path) -> None:
    found = read_submission(written(tmp_path, "7 2 0.5 10 20 109 219\r\n\n40 1 -1e-3 0.5 0 1.5 9\n"), INDICES, 2)
    assert found.image.tolist() == [1, 0]
    assert found.labels.tolist() == [2, 1]
    assert found.scores.tolist() == [0.5, -1e-3]
    assert found.boxes.tolist() == [[10, 20, 110, 220], [0.5, 0, 2.5, 10]]


@pytest.mark.parametrize("text", ["", "\n \n\r\n", "\ufeff"])
def test_file_without_lines_has_no_detections(tmp_path: Path, text: str) -> None:
    found = read_submission(written(tmp_path, text), INDICES, 2)
    assert (len(found.scores), found.boxes.shape) == (0, (0, 4))


def test_what_was_written_reads_back_to_the_same_numbers(tmp_path: Path) -> None:
    path, before = tmp_path / "sub/found.txt", table(500)
    write_submission(path, before, INDICES)
    after = read_submission(path, INDICES, 200)
    for name in ("image", "boxes", "labels", "scores"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


def test_empty_table_is_written_as_an_empty_file(tmp_path: Path) -> None:
    write_submission(tmp_path / "none.txt", table(0), INDICES)
    assert (tmp_path / "none.txt").read_bytes() == b""
    assert len(read_submission(tmp_path / "none.txt", INDICES, 5).scores) == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("8 1 0.5 0 0 9 9", "image index must be one of the image list, got '8'"),
        ("7.5 1 0.5 0 0 9 9", "image index must be one of the image list, got '7.5'"),
        ("7 0 0.5 0 0 9 9", "class id must be in 1..2, got '0'"),
        ("7 3 0.5 0 0 9 9", "class id must be in 1..2, got '3'"),
        ("7 1.5 0.5 0 0 9 9", "class id must be in 1..2, got '1.5'"),
        ("7 1 nan 0 0 9 9", "score must be a finite number, got 'nan'"),
        ("7 1 0.5 0 0 inf 9", "xmax must be a finite number of at most 1e9, got 'inf'"),
        ("7 1 0.5 0 1_0 9 9", "ymin must be a finite number of at most 1e9, got '1_0'"),
        ("7 1 0.5 0 1e300 9 9", "ymin must be a finite number of at most 1e9, got '1e300'"),
        ("7 1 1e300 0 0 9 9", "score must be a finite number, got '1e300'"),
        ("inf 1 0.5 0 0 9 9", "image index must be a finite number, got 'inf'"),
        ("1e300 1 0.5 0 0 9 9", "image index must be one of the image list, got '1e300'"),
        ("7 \u0661 0.5 0 0 9 9", "class id must be a finite number"),
        ("7 1 True 0 0 9 9", "score must be a finite number, got 'True'"),
        ("7 n01 0.5 0 0 9 9", "class id must be a finite number, got 'n01'"),
        (
            "7 1 0.5 0 0 9",
            "must read <image index> <class id> <score> <xmin> <ymin> <xmax> <ymax>, got 6 fields",
        ),
        ("7 1 0.5 0 0 9 9 9", "got 8 fields"),
        ("7,1,0.5,0,0,9,9", "got 1 fields"),
        ("# found", "got 2 fields"),
    ],
)
def test_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = written(tmp_path, f"7 1 0.5 0 0 9 9\n\n{line}\n40 1 0.5 0 0 9 9\n")
    with pytest.raises(DataError) as error:
        read_submission(path, INDICES, 2)
    assert str(error.value).startswith(f"{path}:3 ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_all_lines_of_a_wrong_number_of_fields_and_bytes_that_are_no_text_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found\.txt:1 "):
        read_submission(written(tmp_path, b"7 1 0.5\n7 1 0.5\n"), INDICES, 2)
    with pytest.raises(DataError, match=r"found\.txt \(it is not UTF-8 at byte 14\)"):
        read_submission(written(tmp_path, b"7 1 0.5 0 0 9 \xff\xfe\n"), INDICES, 2)


def test_a_pipe_is_no_file_of_detections(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "found.txt")
    with pytest.raises(DataError, match=r"submission must be a readable file, got .* \(it is no regular file\)"):
        read_submission(tmp_path / "found.txt", INDICES, 2)
    with pytest.raises(DataError, match=r"results must be a readable file, got .* \(it is no regular file\)"):
        read_coco_results(tmp_path / "found.txt", TREE)


def test_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"submission must be a readable file, got .*none\.txt"):
        read_submission(tmp_path / "none.txt", INDICES, 2)


def test_detections_without_images_are_unknown(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=":1 image index"):
        read_submission(written(tmp_path, "7 1 0.5 0 0 9 9\n"), np.empty(0, np.int64), 2)


def test_a_hundred_thousand_lines_take_a_moment(tmp_path: Path) -> None:
    write_submission(tmp_path / "many.txt", table(100_000), INDICES)
    start = time.perf_counter()
    read_submission(tmp_path / "many.txt", INDICES, 200)
    assert time.perf_counter() - start < 3


def test_coco_results_are_returned_as_they_are(tmp_path: Path) -> None:
    assert read_coco_results(written(tmp_path, json.dumps([ENTRY])), TREE) == [ENTRY]
    assert read_coco_results(written(tmp_path, "[]"), TREE) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 2}, "image_id must be an image of the annotations, got 2"),
        ({"image_id": True}, "image_id must be an image of the annotations, got True"),
        ({"category_id": "3"}, "category_id must be a category of the annotations, got '3'"),
        ({"bbox": [1, 2, 3, 1e308]}, "bbox must be four finite numbers x, y, width, height of at most 1e9"),
        ({"bbox": [1, 2, 3, True]}, "bbox must be four finite numbers"),
        ({"score": 1e300}, "score must be a finite number, got 1e+300"),
        ({"score": True}, "score must be a finite number, got True"),
        ({"image_id": [1]}, "image_id must be an image of the annotations"),
        ({"category_id": 4}, "category_id must be a category of the annotations, got 4"),
        ({"category_id": None}, "category_id must be a category of the annotations, got None"),
        ({"bbox": [1, 2, 3]}, "bbox must be four finite numbers"),
        ({"bbox": [1, 2, 3, float("nan")]}, "bbox must be four finite numbers"),
        ({"bbox": None}, "bbox must be four finite numbers"),
        ({"score": float("inf")}, "score must be a finite number, got inf"),
        ({"score": "0.5"}, "score must be a finite number, got '0.5'"),
        ({"score": 10**400}, "score must be a finite number"),
    ],
)
def test_wrong_coco_result_is_named_by_its_position(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = written(tmp_path, json.dumps([ENTRY, {**ENTRY, **change}]))
    with pytest.raises(DataError) as error:
        read_coco_results(path, TREE)
    assert str(error.value).startswith(message)
    assert str(error.value).endswith(f"({path}, entry 1)")


@pytest.mark.parametrize(
    ("text", "got"), [("{}", "dict"), ("[", "Expecting value"), ("", "Expecting"), ("\xff", "not UTF-8")]
)
def test_results_that_are_no_json_list_are_an_error(tmp_path: Path, text: str, got: str) -> None:
    with pytest.raises(DataError, match=got):
        read_coco_results(written(tmp_path, text.encode("latin-1")), TREE)
    with pytest.raises(DataError, match="result must be an object"):
        read_coco_results(written(tmp_path, "[3]"), TREE)
