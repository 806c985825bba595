"""Data with every fault there is, and the check that tells all of them."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from trees import annotation_text, coco_tree, side_by_side, write_annotation, write_coco, write_image, write_lines

from detector.config import DataSettings
from detector.data.check import DataCheck, check_data
from detector.data.check_text import check_text, short_number, tally
from detector.errors import DataError
from detector.synthetic.detection_set import make_dataset

ROLES = {"train": ("train",), "test": ("test",)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A side-by-side VOC set without faults: pictures differ in size, so that no two files are equal."""
    for place, split in enumerate(("train", "test")):
        for number in range(3):
            height = 40 + 10 * place + number
            write_image(tmp_path / split / f"{split}{number}.png", height, 60)
            objects = [("cat", (2, 2, 20, 30)), ("dog", (30, 5, 50, 25))]
            write_annotation(tmp_path / split / f"{split}{number}.xml", *objects, height=height)
    return tmp_path


def check(root: Path, decode: bool = False, **settings: object) -> DataCheck:
    return check_data(DataSettings(format="voc", root=root, test=("test",), **settings), ROLES, decode)


def findings(result: DataCheck) -> dict[tuple[str, str], tuple[str, ...]]:
    """The cases by split and text."""
    return {(finding.split, finding.text): finding.cases for finding in result.findings}


def severities(result: DataCheck) -> list[str]:
    return [finding.severity for finding in result.findings]


def test_of_data_without_faults_there_is_nothing_to_say(root: Path) -> None:
    result = check(root)
    assert result.findings == ()
    assert result.classes.names == ("cat", "dog")
    train, test = result.splits
    assert (len(train.raw), train.objects.tolist(), train.images.tolist()) == (3, [3, 3], [3, 3])
    np.testing.assert_allclose(train.quantiles["width, pixels"], [19, 19, 20, 21, 21])
    np.testing.assert_allclose(test.quantiles["objects an image"], 2)


def test_every_unreadable_image_is_told(root: Path) -> None:
    (root / "train" / "train0.png").write_bytes(b"no image")
    (root / "train" / "train2.png").unlink()
    result = check(root)
    cases = findings(result)["train", "images cannot be read"]
    assert ["train0.png" in cases[0], "train2" in cases[1]] == [True, True]
    assert severities(result) == ["error"]
    assert result.splits[0].objects.tolist() == [1, 1]
    assert severities(check(root, bad_images="skip")) == ["warning"]


def test_an_image_that_is_broken_in_its_middle_is_found_by_decoding(root: Path) -> None:
    path = root / "train" / "train1.png"
    content = bytearray(path.read_bytes())
    content[60:-20] = bytes(len(content) - 80)
    path.write_bytes(content)
    assert check(root).findings == ()
    cases = findings(check(root, decode=True))["train", "images cannot be read"]
    assert len(cases) == 1


def test_every_annotation_that_cannot_be_read_is_told_and_the_others_count(root: Path) -> None:
    (root / "train" / "train0.xml").write_text("<annotation>")
    (root / "train" / "train1.xml").write_text(annotation_text([("cat", ("x", 2, 20, 30))]))
    result = check(root)
    assert len(findings(result)["train", "annotations cannot be read"]) == 2
    assert result.splits[0].objects.tolist() == [1, 1]
    assert result.count("error") == 1


def test_bad_boxes_are_told_by_kind(root: Path) -> None:
    rows = [
        ("cat", (20, 2, 2, 30)),
        ("cat", (5, 5, 5, 30)),
        ("dog", (70, 5, 80, 25)),
        ("dog", (50, 5, 70, 25)),
        ("dog", (50, 5, 70, 25)),
    ]
    write_annotation(root / "train" / "train0.xml", *rows)
    result = check(root)
    found = findings(result)
    for kind, count in {
        "boxes are inverted and not trained on": 1,
        "boxes have a side of one pixel or less and are not trained on": 1,
        "boxes lie outside their image and are not trained on": 1,
        "boxes reach beyond their image and are clipped": 2,
        "boxes are there before, with the same class": 1,
    }.items():
        assert len(found["train", kind]) == count, kind
    assert found["train", "boxes are inverted and not trained on"][0].endswith("train0.xml: cat at 19, 1, 2, 30")
    assert result.splits[0].objects.tolist() == [2, 4]
    assert set(severities(result)) == {"warning"}
    assert severities(check(root, bad_boxes="stop")).count("error") == 3


def test_sizes_that_annotations_state_wrongly_are_told(root: Path) -> None:
    write_annotation(root / "train" / "train0.xml", ("cat", (1, 1, 60, 40)), height=80, width=120)
    write_annotation(root / "train" / "train1.xml", ("dog", (1, 1, 30, 30)), height=60, width=41)
    found = findings(check(root))
    text = "annotations state another size than the image file has; their boxes are rescaled"
    assert found["train", text][0].endswith("train0.xml: 120 x 80, the file has 60 x 40")
    assert any("exchanged" in text for _, text in found)
    assert check(root).splits[0].boxes[0].tolist() == [0, 0, 30, 20]


def test_an_image_of_the_test_that_is_trained_on_is_an_error(root: Path) -> None:
    shutil.copyfile(root / "train" / "train1.png", root / "test" / "other.png")
    write_annotation(root / "test" / "other.xml", ("cat", (2, 2, 20, 30)), height=41)
    result = check(root)
    (case,) = findings(result)["train + test", "images are in both splits"]
    assert case.endswith("other.png")
    assert severities(result) == ["error"]


def test_equal_files_in_one_split_and_equal_ids_in_two_are_told(root: Path) -> None:
    shutil.copyfile(root / "test" / "test1.png", root / "test" / "train1.png")
    shutil.copyfile(root / "test" / "test1.xml", root / "test" / "train1.xml")
    result = check(root)
    found = findings(result)
    assert len(found["test", "images are the same file as another of the split"]) == 1
    assert found["train + test", "ids are in both splits"] == ("train1",)
    assert severities(result) == ["warning", "note"]


def test_splits_that_are_to_be_joined_may_not_share_files(root: Path) -> None:
    settings = DataSettings(format="voc", root=root)
    write_lines(root / "more.txt", "train0", "train1")
    result = check_data(settings, {"train": ("train", "more.txt")})
    found = findings(result)
    shared = found["train + more", "files are in two splits that are to be joined"]
    assert shared == tuple(f"{root.resolve()}/train/train{number}.png" for number in (0, 1))
    assert severities(result)[0] == "error"


def test_splits_that_are_to_be_joined_may_share_names(root: Path) -> None:
    for name in ("train0.png", "train0.xml"):
        shutil.copyfile(root / "test" / name.replace("train", "test"), root / "test" / name)
    result = check_data(DataSettings(format="voc", root=root), {"train": ("train", "test")})
    found = findings(result)
    assert found["train + test", "ids are in both splits; joined, they get the split's name in front"] == (
        "train0",
    )
    assert "error" not in severities(result)


def test_a_split_with_two_roles_is_an_error(root: Path) -> None:
    settings = DataSettings(format="voc", root=root)
    result = check_data(settings, {"train": ("train",), "test": ("train",)})
    assert [(finding.severity, finding.cases) for finding in result.findings] == [("error", ("train", "test"))]


def test_classes_that_a_split_lacks_and_that_the_list_lacks_are_told(root: Path) -> None:
    result = check(root, classes=("cat", "zebra"))
    found = findings(result)
    assert found["train", "classes are not in the class list"] == ("dog (3 objects)",)
    assert found["test", "classes have no usable object"] == ("zebra",)
    assert result.splits[0].labels.tolist() == [1, 0, 1, 0, 1, 0]


def test_names_of_classes_that_look_alike_are_told_once(root: Path) -> None:
    write_annotation(root / "train/train0.xml", ("Cat", (2, 2, 20, 30)), ("dog ", (30, 5, 50, 25)))
    result = check(root)
    told = findings(result)["classes", "names look alike, and each is a class of its own"]
    assert told == ("'Cat' and 'cat'",)
    assert result.classes.names == ("Cat", "cat", "dog")


def test_much_difference_between_classes_is_noted(root: Path) -> None:
    write_annotation(root / "train" / "train0.xml", *[("cat", (2, 2, 20 + k, 30)) for k in range(30)])
    text = "classes differ much in their objects: the most and the least frequent"
    assert findings(check(root))["train", text] == ("cat (32)", "dog (2)")


def test_an_image_listed_without_annotation_is_told(tmp_path: Path) -> None:
    side_by_side(tmp_path, "train", a=[("cat", (2, 2, 20, 30))])
    write_image(tmp_path / "train" / "b.jpg", 50)
    write_lines(tmp_path / "train.txt", "a", "b")
    settings = DataSettings(format="voc", root=tmp_path / "train", train=("../train.txt",))
    result = check_data(settings, {"train": ("../train.txt",)})
    assert "got none for 'b'" in findings(result)["train", "annotations cannot be read"][0]


def test_every_listed_image_without_annotation_is_told(tmp_path: Path) -> None:
    side_by_side(tmp_path, "train", a=[("cat", (2, 2, 20, 30))])
    path = write_lines(tmp_path / "list.txt", "a", "b", "c 1")
    settings = DataSettings(format="voc", root=tmp_path / "train", train=(str(path),))
    cases = findings(check_data(settings, {"train": (str(path),)}))["list", "annotations cannot be read"]
    assert [
        f"got none for {name} ({path}:{line};" in case
        for name, line, case in zip(("'b'", "'c 1'"), (2, 3), cases, strict=True)
    ] == [True, True]


def test_lists_of_one_name_in_two_folders_are_told_apart(tmp_path: Path) -> None:
    side_by_side(tmp_path, "all", a=[("cat", (2, 2, 20, 30))], b=[("cat", (2, 2, 20, 30))])
    lists = [str(write_lines(tmp_path / name / "test.txt", name)) for name in ("a", "b")]
    settings = DataSettings(format="voc", root=tmp_path / "all", train=(lists[0],), test=(lists[1],))
    result = check_data(settings, {"train": (lists[0],), "test": (lists[1],)})
    assert [split.raw.title for split in result.splits] == lists


def test_images_without_annotation_and_of_two_suffixes_are_told(root: Path) -> None:
    write_image(root / "train" / "bare.jpg", 77)
    write_image(root / "train" / "train0.jpg", 78, 60)
    found = findings(check(root))
    train = root / "train"
    assert found["train", "images have no annotation and are not in the split"] == (str(train / "bare.jpg"),)
    assert found["train", "images have others of their name, which differ in suffix; the first counts"] == (
        f"{train / 'train0.jpg'} and {train / 'train0.png'}",
    )


def test_why_no_class_was_found_is_told(root: Path) -> None:
    for number in range(3):
        path = root / "train" / f"train{number}.xml"
        path.write_text('<?xml version="1.0" encoding="gb2312"?>' + path.read_text())
    wanted = (
        r"^splits train must name at least one class, got none \(3 annotations cannot be read: .*train0\.xml\)\)$"
    )
    with pytest.raises(DataError, match=wanted):
        check(root)


def test_a_split_without_images_and_one_without_any_that_can_be_read_are_errors(root: Path) -> None:
    for path in (root / "test").iterdir():
        path.unlink()
    for path in (root / "train").glob("*.png"):
        path.write_bytes(path.name.encode())
    found = {(each.split, each.text): each.severity for each in check(root, bad_images="skip").findings}
    assert found["test", "split holds no image"] == "error"
    assert found["train", "images cannot be read"] == "error"


def test_the_lists_that_training_would_stop_at_stop_the_check(tmp_path: Path) -> None:
    make_dataset(tmp_path, images=6, classes=2, seed=0, val=3, mean_width=80)
    black = write_lines(tmp_path / "black.txt", "1 n99999999")
    settings = DataSettings(root=tmp_path, classes=Path("synsets.csv"), blacklist=Path("black.txt"))
    with pytest.raises(DataError, match=rf"^{black}:1 must name a class of the list, got 'n99999999'$"):
        check_data(settings, {"test": ("val",)})


def test_joined_splits_whose_categories_have_other_ids_are_an_error(tmp_path: Path) -> None:
    tree = coco_tree()
    write_coco(tmp_path, "one", tree)
    tree["categories"][0]["id"] = tree["annotations"][0]["category_id"] = 8
    write_coco(tmp_path, "two", tree)
    settings = DataSettings(format="coco", root=tmp_path, train=("one",), test=("one", "two"))
    text = "ids of categories differ in splits that are to be joined"
    assert findings(check_data(settings, {"test": ("one", "two")}))["one + two", text] == ("dog 7 and dog 8",)
    assert ("one + two", text) not in findings(check_data(settings, {"train": ("one",), "test": ("two",)}))


def test_cases_are_one_printable_line_each(root: Path) -> None:
    name = os.fsdecode(b"caf\xe9\n")
    write_image(root / "train" / "x.png", 70).rename(root / "train" / f"{name}.png")
    write_annotation(root / "train" / "x.xml", ("cat", (2, 2, 20, 2)), height=70).rename(
        root / "train" / f"{name}.xml"
    )
    (case,) = findings(check(root))["train", "boxes have a side of one pixel or less and are not trained on"]
    assert r"train/caf\udce9\n.xml: cat at " in case
    assert check_text(check(root), 0).encode()


def test_ilsvrc_and_coco_are_checked_too(tmp_path: Path) -> None:
    make_dataset(tmp_path / "ilsvrc", images=6, classes=2, seed=0, val=3, mean_width=80)
    settings = DataSettings(root=tmp_path / "ilsvrc", classes=Path("synsets.csv"))
    result = check_data(settings, {"train": ("train",), "test": ("val",)})
    assert [len(split.raw) for split in result.splits] == [6, 3]
    assert result.count("error") == 0
    write_coco(tmp_path / "coco", "val", coco_tree())
    settings = DataSettings(format="coco", root=tmp_path / "coco", train=("val",), test=("val",))
    result = check_data(settings, {"train": ("val",)})
    found = findings(result)
    assert found["val", "objects are crowds"] == ("12",)
    assert found["val", "images have no object"] == ("5",)
    assert found["val", "images are the same file as another of the split"]
    assert result.splits[0].objects.tolist() == [1, 1]


def test_a_missing_folder_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.root must be a folder"):
        check(tmp_path / "gone")


def test_the_text_shows_the_first_cases_or_all(root: Path) -> None:
    for number in range(3):
        (root / "train" / f"train{number}.png").write_bytes(b"no image" * (number + 1))
    result = check(root)
    text = check_text(result, 2)
    assert "train: 3 images, 6 objects, 0 of them usable, in 0 of 2 classes" in text
    assert "error: train: 3 images cannot be read" in text
    assert "  and 1 more" in text
    assert "train2.png" not in text
    assert "train2.png" in check_text(result, 0)
    assert tally(result) == "1 error, 1 warning, 0 notes"
    assert [short_number(value) for value in (1234.4, 12.34, 0.01234)] == ["1234", "12.3", "0.0123"]
