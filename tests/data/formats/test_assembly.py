"""Bad images and bad boxes, met through the simplest reader."""

from pathlib import Path

import numpy as np
import pytest
from trees import side_by_side, write_annotation, write_image

from detector.config import DataSettings
from detector.data.classes import ClassList
from detector.data.dataset import Dataset
from detector.data.formats.assembly import label_objects
from detector.data.readers import read_split
from detector.errors import DataError

CLASSES = ClassList(("cat", "dog"))
GOOD = ("cat", (11, 11, 30, 30))


def read(root: Path, **settings: object) -> Dataset:
    return read_split(DataSettings.model_validate({"format": "voc", "root": root, **settings}), "train", CLASSES)


@pytest.mark.parametrize(
    ("corners", "kind"),
    [
        ((30, 11, 11, 30), "1 boxes are inverted and not trained on"),
        ((11, 30, 30, 11), "1 boxes are inverted and not trained on"),
        ((11, 11, 11, 30), "1 boxes have a side of one pixel or less and are not trained on"),
        ((12, 11, 11, 30), "1 boxes have a side of one pixel or less and are not trained on"),
        ((61, 1, 80, 30), "1 boxes lie outside their image and are not trained on"),
        ((-20, 1, 0, 30), "1 boxes lie outside their image and are not trained on"),
        ((60, 1, 80, 30), "1 boxes lie outside their image and are not trained on"),
    ],
)
def test_bad_box_is_noted_kept_for_evaluation_and_dropped_from_training(
    tmp_path: Path, corners: tuple[int, ...], kind: str
) -> None:
    root = side_by_side(tmp_path, "train", a=[GOOD], b=[("dog", corners), GOOD])
    data = read(root)
    assert len(data.objects.labels) == 3
    assert data.truth(1).labels.tolist() == [1]
    (note,) = data.notes[1:]
    assert note.startswith(f"train: {kind} (")
    assert "b.xml" in note
    with pytest.raises(DataError, match=r"^box must be over one pixel .* of 60 x 40 pixels, got x1.*b\.xml"):
        read(root, bad_boxes="stop")


def test_box_that_reaches_beyond_the_image_is_clipped_for_training_only(tmp_path: Path) -> None:
    root = side_by_side(tmp_path, "train", a=[("cat", (-5, 11, 90, 50))])
    data = read(root, bad_boxes="stop")  # not bad enough to stop
    np.testing.assert_array_equal(data.objects.boxes, [[-6, 10, 90, 50]])
    np.testing.assert_array_equal(data.truth(0).boxes, [[0, 10, 60, 40]])
    assert "1 boxes reach beyond their image and are clipped for training" in data.notes[1]


def test_note_names_three_files_at_most(tmp_path: Path) -> None:
    side_by_side(tmp_path, "train", **{name: [("cat", (9, 9, 1, 1))] for name in "abcde"})
    note = read(tmp_path).notes[1]
    assert note.startswith("train: 5 boxes are inverted")
    assert note.endswith("c.xml, ...)")


def test_boxes_are_rescaled_where_the_annotation_states_another_size(tmp_path: Path) -> None:
    write_image(tmp_path / "train" / "a.jpg", height=40, width=60)
    write_annotation(tmp_path / "train" / "a.xml", ("cat", (1, 1, 600, 80)), height=80, width=600)
    write_image(tmp_path / "train" / "b.jpg")
    write_annotation(tmp_path / "train" / "b.xml", GOOD)
    data = read(tmp_path)
    np.testing.assert_array_equal(data.objects.boxes, [[0, 0, 60, 40], [10, 10, 30, 30]])
    assert "1 images differ in size from what their annotation states; their boxes were rescaled" in data.notes[1]
    assert "a.xml" in data.notes[1]


def test_rescaled_boxes_never_leave_the_image_by_rounding(tmp_path: Path) -> None:
    for side in range(7, 107):
        write_image(tmp_path / "train" / f"{side}.png", height=7, width=7)
        write_annotation(tmp_path / "train" / f"{side}.xml", ("cat", (1, 1, side, side)), height=side, width=side)
    data = read(tmp_path)
    assert (data.objects.boxes == [0, 0, 7, 7]).all()


def test_exchanged_height_and_width_do_not_rescale(tmp_path: Path) -> None:
    write_image(tmp_path / "train" / "a.jpg", height=40, width=60)
    write_annotation(tmp_path / "train" / "a.xml", GOOD, height=60, width=40)
    data = read(tmp_path)
    np.testing.assert_array_equal(data.objects.boxes, [[10, 10, 30, 30]])
    assert "height and width exchanged" in data.notes[1]


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def test_truncated_image_stops_or_is_skipped(tmp_path: Path) -> None:
    root = side_by_side(tmp_path, "train", a=[GOOD], b=[GOOD], c=[GOOD, GOOD])
    damage(root / "train" / "b.jpg")
    with pytest.raises(DataError, match=r"image must be a whole, readable file, got .*b\.jpg \("):
        read(root)
    data = read(root, bad_images="skip")
    assert data.image_ids.tolist() == ["a", "c"]
    assert data.objects.image.tolist() == [0, 1, 1]
    assert data.sizes.tolist() == [[40, 60], [40, 60]]
    assert "1 images cannot be read and were left out" in data.notes[1]


def test_count_of_further_bad_images_is_told(tmp_path: Path) -> None:
    root = side_by_side(tmp_path, "train", a=[GOOD], b=[GOOD], c=[GOOD])
    (root / "train" / "a.jpg").write_text("no image")
    (root / "train" / "c.jpg").unlink()
    with pytest.raises(DataError, match=r"a\.jpg \(.*\); 1 more like it$"):
        read(root)


def test_split_of_bad_images_alone_is_an_error_even_when_skipping(tmp_path: Path) -> None:
    root = side_by_side(tmp_path, "train", a=[GOOD])
    (root / "train" / "a.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.jpg \(it is empty\)"):
        read(root, bad_images="skip")


def test_objects_are_labelled_by_name_or_wnid() -> None:
    classes = ClassList(("cat", "dog"), ("n01", "n02"))
    names, image = np.array(["dog", "n01", "dog"]), np.array([0, 0, 1])
    assert label_objects(names, image, ["a.xml", "b.xml"], classes).tolist() == [2, 1, 2]
    assert label_objects(np.array([], np.str_), np.array([], np.int64), [], classes).tolist() == []


def test_unknown_class_names_file_class_and_the_nearest() -> None:
    names, image = np.array(["zebra", "zebra", "aple", "aaa"]), np.array([0, 1, 1, 1])
    with pytest.raises(DataError, match=r"class list, got 'aple' \(b\.xml\); did you mean 'apple'\?"):
        label_objects(names, image, ["a.xml", "b.xml"], ClassList(("apple", "zebra")))
