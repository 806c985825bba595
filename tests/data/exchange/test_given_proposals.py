import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trees import coco_tree, side_by_side, write_coco

from detector.config import DataSettings
from detector.data.classes import ClassList
from detector.data.dataset import Dataset
from detector.data.exchange.given_proposals import GivenProposals
from detector.data.readers import open_dataset, read_split
from detector.errors import DataError
from detector.records import Array

BOXES = np.array([[0, 0, 10, 10], [5, 5, 20, 30], [-5, 3.5, 70, 39], [30, 10, 30, 20]], np.float32)
SCORES = np.array([0.25, 0.75, 0.5, 0.9], np.float32)


@pytest.fixture
def photos(tmp_path: Path) -> Dataset:
    """Three VOC-like images a, b, c of 60 x 40 pixels."""
    root = side_by_side(tmp_path / "photos", "train", a=[("dog", (1, 1, 9, 9))], b=[], c=[])
    return open_dataset(DataSettings(format="voc", root=root, train=("train",)), ["train"])


@pytest.fixture
def coco(tmp_path: Path) -> Dataset:
    """COCO's images 12 and 5 of 60 x 40 pixels."""
    write_coco(tmp_path / "coco", "train", coco_tree())
    return open_dataset(DataSettings(format="coco", root=tmp_path / "coco", train=("train",)), ["train"])


def arrays(**changed: Any) -> dict[str, Array]:
    """Four boxes of the image c, the last of them empty, and none of a."""
    content = {"image_ids": np.array(["c", "a"]), "offsets": np.array([0, 4, 4]), "boxes": BOXES, "scores": SCORES}
    return {name: array for name, array in {**content, **changed}.items() if array is not None}


def write_npz(folder: Path, **changed: Any) -> Path:
    path = folder / "given.npz"
    np.savez(path, **arrays(**changed))  # type: ignore[arg-type]
    return path


def write_json(folder: Path, *rows: Any) -> Path:
    path = folder / "given.json"
    path.write_text(json.dumps(rows))
    return path


def row(image_id: object = "a", box: object = (1, 2, 3, 4), score: object = 0.5) -> dict[str, object]:
    return {"image_id": image_id, "bbox": box, "score": score, "category_id": 1}


def test_boxes_of_an_npz_come_best_first_clipped_and_without_the_empty_one(
    tmp_path: Path, photos: Dataset
) -> None:
    given = GivenProposals.open(write_npz(tmp_path), photos)
    assert len(given) == 3
    found = given.read(2)
    assert found.boxes.tolist() == [[5, 5, 20, 30], [0, 3.5, 60, 39], [0, 0, 10, 10]]
    assert found.scores.tolist() == [0.75, 0.5, 0.25]
    for position in (0, 1):
        assert given.read(position).boxes.shape == (0, 4)
        assert given.read(position).scores.shape == (0,)


def test_notes_count_what_was_dropped_and_images_without_an_entry(tmp_path: Path, photos: Dataset) -> None:
    path = write_npz(tmp_path)
    assert GivenProposals.open(path, photos).notes == (
        f"{path}: 1 of 3 images have no entry, and so no proposals",
        f"{path}: 1 boxes are empty or outside their image and were dropped",
    )


def test_without_scores_the_order_is_the_file_s(tmp_path: Path, photos: Dataset) -> None:
    found = GivenProposals.open(write_npz(tmp_path, scores=None), photos).read(2)
    assert found.boxes[:, 0].tolist() == [0, 5, 0]
    np.testing.assert_allclose(found.scores, [1, 2 / 3, 1 / 3])


def test_equal_scores_keep_the_order_of_the_file(tmp_path: Path, photos: Dataset) -> None:
    path = write_npz(tmp_path, scores=np.array([0.5, 0.5, 0.7, 0.5]))
    assert GivenProposals.open(path, photos).read(2).boxes[:, 1].tolist() == [3.5, 0, 5]


def test_boxes_of_a_json_are_sides_and_may_lie_in_any_order(tmp_path: Path, photos: Dataset) -> None:
    path = write_json(
        tmp_path, row("c", [1, 2, 3, 4], 0.1), row("a", [0, 0, 99.5, 9]), row("c", [1, 1, 1, 1], 0.2)
    )
    given = GivenProposals.open(path, photos)
    assert given.read(0).boxes.tolist() == [[0, 0, 60, 9]]
    assert given.read(2).boxes.tolist() == [[1, 1, 2, 2], [1, 2, 4, 6]]
    np.testing.assert_allclose(given.read(2).scores, [0.2, 0.1])
    assert given.notes == (f"{path}: 1 of 3 images have no entry, and so no proposals",)


def test_a_coco_image_is_known_by_its_number(tmp_path: Path, coco: Dataset) -> None:
    from_json = GivenProposals.open(write_json(tmp_path, row(5, [1, 2, 3, 4])), coco)
    npz = write_npz(tmp_path, image_ids=np.array([5, 12]), offsets=np.array([0, 1, 4]))
    from_npz = GivenProposals.open(npz, coco)
    assert [len(from_json.read(position).boxes) for position in (0, 1)] == [0, 1]
    assert [len(from_npz.read(position).boxes) for position in (0, 1)] == [2, 1]


def test_a_file_without_any_box_is_welcome(tmp_path: Path, photos: Dataset) -> None:
    path = write_json(tmp_path)
    assert GivenProposals.open(path, photos).notes == (
        f"{path}: 3 of 3 images have no entry, and so no proposals",
    )
    nothing = {"offsets": np.zeros(3, np.int64), "boxes": np.empty((0, 4)), "scores": np.empty(0)}
    assert len(GivenProposals.open(write_npz(tmp_path, **nothing), photos).read(2).boxes) == 0


OBJECTS = np.array(["c", None], object)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image_ids": None}, "proposals must hold the array image_ids, got "),
        ({"boxes": None}, "proposals must hold the array boxes, got "),
        ({"image_ids": OBJECTS}, "image_ids of an .npz must be whole and without objects, got "),
        ({"image_ids": np.array([0.5, 1])}, "image_ids must be text, got float64"),
        ({"image_ids": np.array(["y", "x"])}, "image_id must be an image of the data set, such as a, got 'y'"),
        ({"image_ids": np.array(["c", "c"])}, "image_ids must differ, got 'c' twice"),
        ({"image_ids": np.array([["c", "a"]])}, "image_ids must have shape ('n',), got (1, 2)"),
        ({"offsets": np.array([0, 4])}, "offsets must have shape (3,), got (2,)"),
        ({"offsets": np.array([0, 4, 3])}, "offsets must rise from 0 to the 4 boxes, got others"),
        ({"offsets": np.array([0, 5, 4])}, "offsets must rise from 0 to the 4 boxes, got others"),
        ({"offsets": np.array([1, 4, 4])}, "offsets must rise from 0 to the 4 boxes, got others"),
        ({"offsets": np.array([0.0, 4, 4])}, "offsets must be whole numbers, got float64"),
        ({"boxes": BOXES[:, :3]}, "boxes must have shape ('n', 4), got (4, 3)"),
        ({"boxes": BOXES.astype(str)}, "boxes must be numbers, got <U32"),
        (
            {"boxes": np.where(BOXES == 20, np.nan, BOXES)},
            "boxes must be finite numbers of at most 1e9, got nan in row 1",
        ),
        (
            {"boxes": np.where(BOXES == 20, 1e30, BOXES)},
            "boxes must be finite numbers of at most 1e9, got 1.0000000150474662e+30 in row 1",
        ),
        ({"scores": SCORES[:3]}, "scores must have shape (4,), got (3,)"),
        ({"scores": SCORES * np.inf}, "scores must be finite numbers, got inf in row 0"),
        ({"scores": np.array([1, 2, 3, 1e300])}, "scores must be finite numbers, got 1e+300 in row 3"),
    ],
)
def test_a_wrong_array_is_one_line_that_names_file_and_field(
    tmp_path: Path, photos: Dataset, changed: dict[str, Any], message: str
) -> None:
    path = write_npz(tmp_path, **changed)
    with pytest.raises(DataError) as caught:
        GivenProposals.open(path, photos)
    assert str(caught.value).startswith(message)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (7, "proposal must be an object with image_id, bbox and score, got int"),
        (row(image_id=None), "image_id must be a name or a whole number, got None"),
        (row(image_id=True), "image_id must be a name or a whole number, got True"),
        (row(box=[1, 2, 3]), "bbox must be four finite numbers x, y, width, height of at most 1e9, got [1, 2, 3]"),
        (
            row(box=[1, 2, 3, "4"]),
            "bbox must be four finite numbers x, y, width, height of at most 1e9, got [1, 2, 3, '4']",
        ),
        (
            row(box=[1e308, 2, 3, 4]),
            "bbox must be four finite numbers x, y, width, height of at most 1e9, got [1e+308",
        ),
        (row(image_id="x" * 2000), "image_id must be a name or a whole number, got 'xxx"),
        (row(score=True), "score must be a finite number, got True"),
        (row(score=float("nan")), "score must be a finite number, got nan"),
        (row(score=10**400), "score must be a finite number, got 1000"),
        ({"image_id": "a", "bbox": [1, 2, 3, 4]}, "score must be a finite number, got None"),
    ],
)
def test_a_wrong_json_entry_is_named(tmp_path: Path, photos: Dataset, wrong: object, message: str) -> None:
    path = write_json(tmp_path, row(), wrong)
    with pytest.raises(DataError) as caught:
        GivenProposals.open(path, photos)
    assert str(caught.value).startswith(message)
    assert str(caught.value).endswith(f"({path}, entry 1)")


def test_entries_of_other_images_are_counted_and_left_out(tmp_path: Path, photos: Dataset) -> None:
    path = write_npz(tmp_path, image_ids=np.array(["elsewhere", "b"]), offsets=np.array([0, 3, 4]))
    given = GivenProposals.open(path, photos)
    assert [len(given.read(position).boxes) for position in range(3)] == [0, 0, 0]
    assert given.notes == (
        f"{path}: 2 of 3 images have no entry, and so no proposals",
        f"{path}: 1 entries are of images that are not in the data set",
        f"{path}: 1 boxes are empty or outside their image and were dropped",
    )


def test_a_file_of_other_images_alone_is_refused(tmp_path: Path, photos: Dataset) -> None:
    with pytest.raises(DataError, match=r"^image_id must be an image of the data set, such as a, got '7' "):
        GivenProposals.open(write_json(tmp_path, row(7)), photos)


@pytest.mark.parametrize("name", ["x.npz", "x.json", "x.txt"])
def test_files_that_are_no_proposals_are_named(tmp_path: Path, photos: Dataset, name: str) -> None:
    path, npy = tmp_path / name, io.BytesIO()
    np.save(npy, np.zeros((2, 4)))
    for content in (None, b"", b"{", b"PK\x03\x04 cut off", b"\x93NUMPY\x01\x00", b"no archive", npy.getvalue()):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(DataError, match=name) as caught:
            GivenProposals.open(path, photos)
        assert "\n" not in str(caught.value)
        assert "pickle" not in str(caught.value) and "protocol" not in str(caught.value)


def test_a_pipe_is_no_file_of_proposals(tmp_path: Path, photos: Dataset) -> None:
    for name in ("x.npz", "x.json"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(
            DataError, match=r"^proposals must be a readable file, got .* \(it is no regular file\)$"
        ):
            GivenProposals.open(tmp_path / name, photos)


def test_an_array_that_claims_more_than_there_is_memory_is_refused(tmp_path: Path, photos: Dataset) -> None:
    path = write_npz(tmp_path, scores=None)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 44, 4)})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("scores.npy", header.getvalue())
    with pytest.raises(DataError, match=r"^scores of an \.npz must be whole"):
        GivenProposals.open(path, photos)


def test_images_may_be_called_by_names_with_blanks_and_dots(tmp_path: Path) -> None:
    names = ("b", "b 2", "a.jpg", "v.2")
    side_by_side(tmp_path, "train", **{name: [("cat", (1, 1, 9, 9))] for name in names})
    data = read_split(DataSettings(format="voc", root=tmp_path), "train", ClassList(("cat",)))
    rows = [row(name, [0, 0, 1 + place, 9]) for place, name in enumerate(names)]
    given = GivenProposals.open(write_json(tmp_path, *rows), data)
    widths = {str(data.image_ids[k]): given.read(k).boxes[0, 2] for k in range(4)}
    assert widths == {"b": 1, "b 2": 2, "a.jpg": 3, "v.2": 4}


def test_one_array_under_the_name_of_an_npz_is_refused(tmp_path: Path, photos: Dataset) -> None:
    path = tmp_path / "x.npz"
    with path.open("wb") as file:
        np.save(file, BOXES)
    with pytest.raises(DataError, match=r"^content of an \.npz must be whole"):
        GivenProposals.open(path, photos)


def test_a_damaged_npz_is_refused(tmp_path: Path, photos: Dataset) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, **arrays())  # type: ignore[arg-type]
    content = bytearray(path.read_bytes())
    for start in range(60, len(content) - 200, 150):
        content[start : start + 40] = b"\x00" * 40
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"x\.npz"):
        GivenProposals.open(path, photos)
