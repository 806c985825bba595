"""Splits of one's own data: which files a drawn one means, what is left out, and how images lie."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from trees import coco_tree, side_by_side, write_annotation, write_coco, write_image, write_lines
from turned_trees import write_turned
from yolo_trees import ONE, by_kind, pair

from detector.config import DataSettings
from detector.data.dataset import Dataset
from detector.data.layouts import find_data
from detector.data.readers import open_dataset
from detector.errors import DataError
from detector.jobs.own_data import own_data

CAT = ("cat", (5, 5, 20, 20))


def voc(root: Path, folder: str, first: int, count: int) -> None:
    """Images of differing sizes, numbered from 0, and XML beside them."""
    for number in range(count):
        height = 40 + first + number
        write_image(root / folder / f"{number:04}.jpg", height)
        write_annotation(root / folder / f"{number:04}.xml", CAT, height=height)


def opened(tree: dict[str, object]) -> tuple[Dataset, Dataset]:
    settings = DataSettings.model_validate(tree)
    return open_dataset(settings, settings.train), open_dataset(settings, settings.test)


def files(tree: dict[str, object], root: Path) -> list[str]:
    """The images that are trained and tested on, below `root`."""
    return sorted(Path(path).relative_to(root).as_posix() for data in opened(tree) for path in data.paths)


def listed(folder: Path) -> list[str]:
    return sorted(line for name in ("train", "test") for line in (folder / f"{name}.txt").read_text().splitlines())


def found(root: Path, **given: object) -> tuple[dict[str, object], list[str]]:
    return own_data(root, given, root.parent / "lists", 0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder for data, beside which lists are written."""
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def test_a_drawn_split_is_of_its_folder_s_images_and_not_of_others_called_so(root: Path) -> None:
    voc(root, "train", 0, 6)
    write_image(root / "0000.jpg", 90)
    tree, _ = found(root)
    names = [f"train/{number:04}.jpg" for number in range(6)]
    assert listed(root.parent / "lists") == files(tree, root) == names


def test_images_to_test_on_without_annotations_do_not_confuse_the_draw(root: Path) -> None:
    voc(root, "train", 0, 6)
    for number in range(6):
        write_image(root / "test" / f"{number:04}.jpg", 70 + number)
    tree, _ = found(root)
    assert files(tree, root) == [f"train/{number:04}.jpg" for number in range(6)]


def test_images_whose_names_end_in_a_suffix_twice_are_told_apart(root: Path) -> None:
    for row, name in enumerate(("1", "2", "2.jpg", "3")):
        pair(root / f"{name}.jpg", root / f"{name}.txt", ONE)
        write_image(root / f"{name}.jpg", 50 + row)
    write_lines(root / "classes.txt", "cat")
    tree, _ = found(root)
    assert files(tree, root) == ["1.jpg", "2.jpg", "2.jpg.jpg", "3.jpg"]


def test_images_of_a_folder_of_their_own_are_listed_by_their_names_in_it(root: Path) -> None:
    for number in range(6):
        write_image(root / "JPEGImages" / f"{number}.png", 40 + number)
        write_annotation(root / "Annotations" / f"{number}.xml", CAT, height=40 + number)
    tree, _ = found(root)
    assert listed(root.parent / "lists") == [f"{number}.png" for number in range(6)]
    assert sorted(each for data in opened(tree) for each in data.image_ids.tolist()) == list("012345")


def test_images_of_folders_by_camera_are_listed_by_their_paths(root: Path) -> None:
    for row, camera in enumerate(("cam1", "cam2")):
        for number in range(3):
            write_image(root / camera / "images" / f"{number}.jpg", 40 + 3 * row + number)
            write_annotation(root / camera / "annotations" / f"{number}.xml", CAT, height=40 + 3 * row + number)
    tree, _ = found(root)
    names = [f"{camera}/images/{number}.jpg" for camera in ("cam1", "cam2") for number in range(3)]
    assert listed(root.parent / "lists") == files(tree, root) == names


def test_images_of_a_json_are_listed_by_their_file_names(root: Path) -> None:
    tree = coco_tree()
    for row, image in enumerate(tree["images"]):
        image["file_name"] = f"{row}/a.png"
    write_coco(root, "default", tree)
    settings, _ = found(root)
    assert listed(root.parent / "lists") == ["0/a.png", "1/a.png"]
    assert len(files(settings, root)) == 2


def test_a_draw_that_cannot_be_read_back_stops(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voc(root, "train", 0, 6)
    monkeypatch.setattr(
        "detector.jobs.drawn_lists._names_of_images", lambda *_: [[f"000{n}" for n in range(6)][::-1]]
    )
    with pytest.raises(
        DataError, match=r"^split must be of images that a list can name, .*\.txt:1 must mean .*g, got .*\.jpg \("
    ):
        found(root)


def test_several_splits_may_be_drawn_from(root: Path) -> None:
    voc(root, "train", 0, 5)
    voc(root, "extra", 20, 5)
    tree, lines = found(root, train=["train", "extra"])
    assert files(tree, root) == [f"{place}/{number:04}.jpg" for place in ("extra", "train") for number in range(5)]
    assert not any(line.startswith("not used") for line in lines)


def test_the_draw_leaves_out_what_cannot_be_read_where_that_is_skipped(root: Path) -> None:
    voc(root, "train", 0, 6)
    for number in (0, 2, 4):
        (root / "train" / f"{number:04}.jpg").write_bytes(b"")
    tree, lines = found(root, bad_images="skip")
    assert [len(data) for data in opened(tree)] == [2, 1]
    assert lines[2].startswith("warning: 3 images cannot be read and are in neither list (image must be a whole")
    with pytest.raises(DataError, match=r"0000\.jpg \(it is empty\)"):
        opened(found(root)[0])


def test_an_image_with_damaged_pixels_is_not_the_whole_test(root: Path) -> None:
    voc(root, "train", 0, 5)
    whole, _ = found(root)
    path = Path(opened(whole)[1].paths[0])
    content = bytearray(path.read_bytes())
    content[-200:-2] = bytes(198)
    path.write_bytes(content)
    tree, lines = found(root, bad_images="skip")
    assert str(path) not in opened(tree)[1].paths.tolist()
    assert any("1 images cannot be read and are in neither list" in line for line in lines)


def test_an_image_that_is_missing_is_named_where_that_stops(root: Path) -> None:
    voc(root, "train", 0, 6)
    (root / "train" / "0003.jpg").unlink()
    with pytest.raises(DataError, match=r"^image must be a readable file, got .*train/0003\.jpg"):
        opened(found(root)[0])
    assert len(files(found(root, bad_images="skip")[0], root)) == 5


def test_data_without_any_image_that_can_be_read_name_the_first(root: Path) -> None:
    voc(root, "train", 0, 2)
    for path in (root / "train").glob("*.jpg"):
        path.unlink()
    with pytest.raises(DataError, match=r"0000\.jpg .*; 1 more like it$"):
        found(root, bad_images="skip")


def unused(lines: list[str]) -> list[str]:
    return [line.removeprefix("not used: ") for line in lines if line.startswith("not used: ")]


def test_a_second_split_of_a_role_is_told_with_what_takes_it(root: Path) -> None:
    for row, place in enumerate(("train_1", "train_2", "test", "test_2")):
        for name in "abcd"[: 4 - row % 2]:
            write_image(root / place / f"{place}{name}.jpg", 40 + 5 * row + ord(name) % 5)
            write_annotation(root / place / f"{place}{name}.xml", CAT, height=40 + 5 * row + ord(name) % 5)
    tree, lines = found(root)
    assert (tree["train"], tree["test"]) == ("train_1", "test")
    assert unused(lines) == [
        "test_2 has 3 annotated images; data.test=[test,test_2] tests on them too",
        "train_2 has 3 annotated images; data.train=[train_1,train_2] trains on them too",
    ]
    tree, lines = found(root, train=["train_1", "train_2"])
    assert len(opened(tree)[0]) == 7
    assert lines[1] == "split: trained on train_1, train_2, tested on test"
    assert len(unused(lines)) == 1


def test_splits_whose_images_are_called_alike_can_be_joined_too(root: Path) -> None:
    for row, place in enumerate(("train_1", "train_2", "test")):
        voc(root, place, 10 * row, 2)
    assert unused(found(root)[1]) == [
        "train_2 has 2 annotated images; data.train=[train_1,train_2] trains on them too"
    ]
    train, _ = opened(found(root, train=["train_1", "train_2"])[0])
    assert train.image_ids.tolist() == [
        f"{split}/{number:04}" for split in ("train_1", "train_2") for number in (0, 1)
    ]


def test_annotations_beside_the_split_that_is_drawn_from_are_told(root: Path) -> None:
    side_by_side(root, "train", **{name: [CAT] for name in "abc"})
    side_by_side(root, "extra", **{name: [CAT] for name in "defg"})
    tree, lines = found(root)
    assert unused(lines) == ["extra has 4 annotated images; data.train=[train,extra] trains on them too"]
    assert len(files(tree, root)) == 3
    assert len(files(found(root, train=["train", "extra"])[0], root)) == 7


def test_a_second_json_of_a_role_is_told(root: Path) -> None:
    for split, name in {"train2014": "a", "train2017": "b", "val2017": "c"}.items():
        tree = coco_tree()
        for image in tree["images"]:
            image["file_name"] = name + image["file_name"]
        write_coco(root, split, tree)
    joined = ["train2017 has 2 annotated images; data.train=[train2014,train2017] trains on them too"]
    assert unused(found(root)[1]) == joined
    path = root / "annotations/instances_train2017.json"
    tree = json.loads(path.read_text())
    for row, image in enumerate(tree["images"]):
        image["id"] = 100 + row
    tree["annotations"] = []
    path.write_text(json.dumps(tree))
    assert unused(found(root)[1]) == joined


def test_annotations_that_no_split_can_have_are_told(root: Path) -> None:
    for name in "abc":
        write_image(root / "JPEGImages" / f"{name}.jpg", 40 + ord(name) % 5)
        write_annotation(root / "Annotations" / f"{name}.xml", CAT, height=40 + ord(name) % 5)
    write_annotation(root / "more" / "d.xml", CAT)
    write_annotation(root / "more" / "e.xml", CAT)
    assert unused(found(root)[1]) == [
        f"{root / 'more'} has 2 annotations that are in no split; beside the others they would be"
    ]


def test_annotations_that_lists_leave_out_are_told(root: Path) -> None:
    for number in range(6):
        write_image(root / "JPEGImages" / f"{number}.jpg", 40 + number)
        write_annotation(root / "Annotations" / f"{number}.xml", CAT, height=40 + number)
    lists = root / "ImageSets/Main"
    write_lines(lists / "train.txt", "0", "1")
    write_lines(lists / "val.txt", "2")
    write_lines(lists / "test.txt", "3")
    assert unused(found(root)[1]) == [
        f"{root / 'Annotations'} has 2 annotations that are in no split; "
        "a list of them does: data.train=[train,LIST.txt]"
    ]
    write_lines(lists / "train.txt", "0", "1", "4", "5")
    assert unused(found(root)[1]) == []


def test_a_further_list_is_told_by_its_name(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        write_image(root / "JPEGImages" / f"{number}.jpg", 40 + number)
        write_annotation(root / "Annotations" / f"{number}.xml", CAT, height=40 + number)
    for name, numbers in {"train": "01", "train_2": "23", "test": "4", "trainval": "015"}.items():
        write_lines(root / "ImageSets/Main" / f"{name}.txt", *numbers)
    data = find_data(root)
    further = replace(data, found=replace(data.found, further=("train_2", "trainval")))
    monkeypatch.setattr("detector.jobs.own_data.find_data", lambda *_: further)
    told = unused(found(root)[1])
    assert told[0] == "train_2 has 2 annotated images; data.train=[train,train_2] trains on them too"
    assert told[1].startswith(f"{root / 'Annotations'} has 1 annotations that are in no split; a list of them")
    assert len(told) == 2


def test_categories_may_differ_between_what_is_trained_and_tested_on(root: Path) -> None:
    tree = coco_tree()
    write_coco(root, "train", tree)
    for image in tree["images"]:
        image["file_name"] = f"of_{image['file_name']}"
    tree["categories"].append({"id": 9, "name": "ant"})
    write_coco(root, "val", tree)
    assert [len(data) for data in opened(found(root)[0])] == [2, 2]


def test_labels_that_are_in_no_split_are_told(root: Path) -> None:
    for row, split in enumerate(("train", "val", "more")):
        by_kind(root, split, {f"{split}{name}": [ONE] for name in "ab"})
        for name in "ab":
            write_image(root / "images" / split / f"{split}{name}.jpg", 40 + 2 * row + ord(name) % 2)
    assert unused(found(root)[1]) == ["more has 2 annotated images; data.train=[train,more] trains on them too"]


def test_of_data_that_are_all_used_nothing_is_told(root: Path) -> None:
    voc(root, "train", 0, 3)
    voc(root, "valid", 10, 3)
    voc(root, "test", 20, 3)
    assert unused(found(root)[1]) == []
    assert unused(found(root, train="train", test="test")[1]) == []


def photographs(root: Path, **stated: tuple[int, int]) -> None:
    """Images of 60 x 40 pixels that are shown upright, and the heights and widths that their XML states."""
    for row, (name, (height, width)) in enumerate(stated.items()):
        write_turned(root / f"{name}.jpg", 6, seed=row)
        write_annotation(root / f"{name}.xml", CAT, height=height, width=width)


def test_images_are_turned_where_all_sizes_that_tell_say_so(root: Path) -> None:
    photographs(root, a=(60, 40), b=(60, 40), c=(0, 0))
    tree, lines = found(root)
    assert tree["exif"] == "apply"
    assert lines[-1] == (
        "images are turned by their orientation tag (data.exif=apply): 2 annotations state their size so"
    )
    assert all(data.sizes.tolist() == [[60, 40]] * len(data) for data in opened(tree))
    tree, lines = found(root, exif="ignore")
    assert tree["exif"] == "ignore"
    assert not any("data.exif=apply)" in line for line in lines)


def test_images_stay_as_they_are_stored_where_sizes_differ_or_tell_nothing(root: Path) -> None:
    photographs(root, a=(60, 40), b=(40, 60), c=(0, 0))
    tree, lines = found(root)
    assert "exif" not in tree
    assert lines[-1].startswith(
        "warning: 1 annotations state the size of their image as its orientation tag turns"
    )
    photographs(root, a=(40, 60))
    assert "exif" not in found(root)[0]
    photographs(root, a=(0, 0), b=(0, 0))
    tree, lines = found(root)
    assert "exif" not in tree
    assert not any("orientation" in line for line in lines)


def test_sizes_tell_of_splits_that_are_named_too(root: Path) -> None:
    photographs(root / "train", a=(60, 40))
    photographs(root / "test", b=(60, 40))
    assert found(root, format="voc", train="train", test="test")[0]["exif"] == "apply"
