import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from trees import write_image

from detector.config import DataSettings
from detector.data.dataset import Dataset
from detector.data.formats.coco import find_coco
from detector.data.formats.coco_places import ImageSearch, leads_out
from detector.data.readers import open_classes, read_split
from detector.errors import DataError

SIDE = 40


def tree_of(names: Sequence[str]) -> dict[str, Any]:
    """A box on each image."""
    return {
        "images": [{"id": n, "file_name": name, "height": SIDE, "width": SIDE} for n, name in enumerate(names)],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"image_id": n, "category_id": 1, "bbox": [5, 5, 20, 20]} for n in range(len(names))],
    }


def write_json(path: Path, *names: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree_of(names)))


def write_images(folder: Path, *names: str) -> None:
    for name in names:
        write_image(folder / name, SIDE, SIDE)


def numbered(count: int) -> list[str]:
    return [f"{number:06d}.jpg" for number in range(count)]


def read(root: Path, split: str, **others: Any) -> Dataset:
    settings = DataSettings.model_validate({"format": "coco", "root": root, "train": split, **others})
    return read_split(settings, split, open_classes(settings))


def folders_of(data: Dataset, root: Path) -> set[str]:
    return {Path(path).relative_to(root).parent.as_posix() for path in data.paths.tolist()}


def found_splits(root: Path) -> dict[str, set[str]]:
    """By the role of each split that is found in `root` the folders of its images."""
    found = find_coco(root)
    assert found is not None
    return {role: folders_of(read(root, split), root) for role, split in found.splits.items()}


def test_each_split_s_images_are_those_in_its_json_s_folder(tmp_path: Path) -> None:
    for split, count in (("train", 6), ("val", 3)):
        write_images(tmp_path / split / "data", *numbered(count))
        write_json(tmp_path / split / "labels.json", *numbered(count))
    assert found_splits(tmp_path) == {"train": {"train/data"}, "val": {"val/data"}}


def test_each_split_s_images_are_those_in_the_folder_that_is_called_by_it(tmp_path: Path) -> None:
    for split, count in (("train", 6), ("val", 3)):
        write_images(tmp_path / split, *numbered(count))
        write_json(tmp_path / f"{split}_annotations.json", *numbered(count))
    assert found_splits(tmp_path) == {"train": {"train"}, "val": {"val"}}


def test_each_split_s_images_may_be_further_in_than_its_name(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_images(tmp_path / split / "images", *numbered(3))
        write_json(tmp_path / "annotations" / f"instances_{split}.json", *numbered(3))
    assert found_splits(tmp_path) == {"train": {"train/images"}, "test": {"test/images"}}


def test_a_split_s_own_folder_goes_before_one_for_all_that_has_more(tmp_path: Path) -> None:
    write_images(tmp_path / "images", *numbered(6))
    write_images(tmp_path / "val" / "data", *numbered(5))
    write_json(tmp_path / "val" / "labels.json", *numbered(6))
    data = read(tmp_path, "val/labels.json", bad_images="skip")
    assert (len(data), folders_of(data, tmp_path)) == (5, {"val/data"})


def test_a_folder_called_by_the_split_goes_before_one_for_all(tmp_path: Path) -> None:
    write_images(tmp_path / "images", *numbered(6))
    write_images(tmp_path / "valid" / "pictures", *numbered(3))
    write_json(tmp_path / "val_annotations.json", *numbered(3))
    assert folders_of(read(tmp_path, "val_annotations.json"), tmp_path) == {"valid/pictures"}


def test_the_folder_of_another_split_is_never_taken(tmp_path: Path) -> None:
    write_images(tmp_path / "train" / "images", *numbered(3))
    write_json(tmp_path / "annotations" / "instances_val.json", *numbered(3))
    with pytest.raises(DataError, match=r"images of val must be in a folder, got none .*/train/images is another"):
        read(tmp_path, "val")


def test_two_folders_that_hold_the_same_names_are_both_named(tmp_path: Path) -> None:
    for folder in ("rgb", "depth"):
        write_images(tmp_path / folder, *numbered(3))
    write_json(tmp_path / "labels.json", *numbered(3))
    wanted = (
        r"images of labels\.json must be in one folder, got .*/depth and .*/rgb, of which each holds 3 of them"
    )
    with pytest.raises(DataError, match=wanted):
        read(tmp_path, "labels.json")
    write_json(tmp_path / "labels.json", *(f"rgb/{name}" for name in numbered(3)))
    assert folders_of(read(tmp_path, "labels.json"), tmp_path) == {"rgb"}


@pytest.mark.parametrize("folder", ["data", "pictures"])
def test_a_missing_first_image_does_not_hide_the_folder_of_the_others(tmp_path: Path, folder: str) -> None:
    names = [f"a{number}.jpg" for number in range(8)]
    write_images(tmp_path / folder, *names[1:])
    write_json(tmp_path / "labels.json", *names)
    with pytest.raises(DataError, match=rf"/{folder}/a0\.jpg"):
        read(tmp_path, "labels.json")
    data = read(tmp_path, "labels.json", bad_images="skip")
    assert (len(data), folders_of(data, tmp_path)) == (7, {folder})


def test_of_folders_that_hold_some_the_one_with_the_most_is_taken(tmp_path: Path) -> None:
    write_images(tmp_path / "few", *numbered(2))
    write_images(tmp_path / "many", *numbered(3))
    write_json(tmp_path / "labels.json", *numbered(4))
    assert folders_of(read(tmp_path, "labels.json", bad_images="skip"), tmp_path) == {"many"}


def test_names_may_be_written_on_windows(tmp_path: Path) -> None:
    write_images(tmp_path / "images", "x.jpg", "y.jpg")
    write_json(tmp_path / "result.json", "images\\x.jpg", "images\\y.jpg")
    data = read(tmp_path, "result.json")
    assert folders_of(data, tmp_path) == {"images"}
    assert len(data.notes) == 1
    write_images(tmp_path, "images\\x.jpg")
    assert read(tmp_path, "result.json").record(0).path == tmp_path / "images\\x.jpg"


@pytest.mark.parametrize("prefix", ["/data/upload/1/", "../../label-studio/data/images/", "C:\\photos\\", "gone/"])
def test_images_are_found_by_the_ends_of_names_that_were_written_elsewhere(tmp_path: Path, prefix: str) -> None:
    write_images(tmp_path / "images", "x.jpg", "y.jpg")
    write_json(tmp_path / "result.json", f"{prefix}y.jpg", f"{prefix}x.jpg")
    data = read(tmp_path, "result.json")
    assert data.paths.tolist() == [str(tmp_path / "images/y.jpg"), str(tmp_path / "images/x.jpg")]
    assert "2 images lie elsewhere than their file_name says, and were found by its end" in data.notes[1]


def test_a_longer_end_of_a_name_goes_before_a_shorter(tmp_path: Path) -> None:
    write_images(tmp_path / "a", "x.jpg", "y.jpg")
    write_images(tmp_path / "b", "x.jpg")
    write_json(tmp_path / "result.json", "/home/b/x.jpg", "/home/a/x.jpg", "/home/b/y.jpg")
    expected = [str(tmp_path / name) for name in ("b/x.jpg", "a/x.jpg", "a/y.jpg")]
    assert read(tmp_path, "result.json").paths.tolist() == expected


def test_a_last_part_alone_must_be_one_file_s(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_images(tmp_path / folder, "x.jpg")
    write_images(tmp_path / "a", "y.jpg")
    write_json(tmp_path / "result.json", "/home/c/x.jpg", "/home/c/y.jpg")
    with pytest.raises(
        DataError, match=r"images\[0\]\.file_name must be a path inside its folder, got '/home/c/x"
    ):
        read(tmp_path, "result.json")


def test_a_last_part_alone_is_no_other_split_s(tmp_path: Path) -> None:
    write_images(tmp_path / "train", "x.jpg")
    write_images(tmp_path / "val", "y.jpg")
    write_json(tmp_path / "val.json", "y.jpg", "/home/c/x.jpg")
    with pytest.raises(DataError, match=r"images\[1\]\.file_name must be a path inside its folder"):
        read(tmp_path, "val.json")
    write_json(tmp_path / "val.json", "y.jpg", "c/x.jpg")
    assert read(tmp_path, "val.json", bad_images="skip").image_ids.tolist() == ["0"]


def test_two_names_are_never_one_file(tmp_path: Path) -> None:
    write_images(tmp_path / "images", "x.jpg", "y.jpg")
    write_json(tmp_path / "result.json", "/one/x.jpg", "/two/x.jpg")
    with pytest.raises(
        DataError, match=r"images\[1\]\.file_name must be another file than images\[0\]'s, got '/two"
    ):
        read(tmp_path, "result.json")
    write_json(tmp_path / "result.json", "images/x.jpg", "images\\x.jpg")
    with pytest.raises(
        DataError, match=r"images\[1\]\.file_name must be another file than images\[0\]'s, got 'im"
    ):
        read(tmp_path, "result.json")
    write_json(tmp_path / "result.json", "images/x.jpg", "gone/x.jpg")  # another's, so it is not there
    assert read(tmp_path, "result.json", bad_images="skip").image_ids.tolist() == ["0"]


def test_a_list_finds_the_images_where_the_whole_json_does(tmp_path: Path) -> None:
    write_images(tmp_path / "images", *numbered(3))
    write_images(tmp_path / "previews", numbered(1)[0])
    write_json(tmp_path / "labels.json", *(f"/upload/{name}" for name in numbered(3)[1:]), numbered(1)[0])
    (tmp_path / "some.txt").write_text(f"{numbered(3)[2]}\n/upload/{numbered(3)[2]}\n")
    with pytest.raises(DataError, match=r"some\.txt:1 must name an image"):
        read(tmp_path, "some.txt")
    (tmp_path / "some.txt").write_text(f"/upload/{numbered(3)[2]}\n")
    assert folders_of(read(tmp_path, "some.txt"), tmp_path) == {"images"}


def test_paths_that_lead_outside_are_known_however_they_are_written() -> None:
    assert all(map(leads_out, ("/a.jpg", "../a.jpg", "a/../../b.jpg", "..\\a.jpg", "\\a.jpg")))
    assert not any(map(leads_out, ("a.jpg", "a/b.jpg", "a\\b.jpg", "a..b.jpg")))


def test_counts_agree_with_looking_for_every_name_in_every_folder(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = [f"{a}/{b}.jpg" if a else f"{b}.jpg" for a in ("", "x", "x/y") for b in range(3)]
    for folder in ("", "x", "x/x", "x/y", "z/x/y"):
        for number in np.flatnonzero(rng.random(3) < 0.7):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / f"{number}.jpg").touch()
    counts = ImageSearch(tmp_path, "train", tmp_path / "train.json", outside=False)._counts(names)
    folders = [tmp_path, *(path for path in tmp_path.rglob("*") if path.is_dir())]
    held = {folder: sum((folder / name).is_file() for name in names) for folder in folders}
    expected = {folder.relative_to(tmp_path).as_posix(): count for folder, count in held.items() if count}
    assert {place or ".": count for place, count in counts.items()} == expected


@pytest.mark.parametrize("folder", ["train2017", "images/train2017", "images", "pictures"])
def test_many_images_are_found_without_asking_for_each(
    tmp_path: Path, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def is_there(path: Path) -> bool:
        asked.append(path)
        return path.is_file()

    names = numbered(3000)
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "val2017").mkdir()
    for name in names:
        (tmp_path / folder / name).touch()
    monkeypatch.setattr("detector.data.formats.coco_places.is_file", is_there)
    search = ImageSearch(tmp_path, "train2017", tmp_path / "annotations/instances_train2017.json", outside=False)
    assert search.find(names).folder == tmp_path / folder
    assert len(asked) < 2000


def test_categories_alone_are_no_coco_json(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text('{"categories": [{"id": 0, "name": "cat"}], "info": {"year": 2024}}')
    assert find_coco(tmp_path) is None
    tree = {"categories": [{"id": n, "name": f"class {n}" * 20} for n in range(3000)]} | tree_of(["a.jpg"])
    tree["info"] = "x" * (1 << 17)
    (tmp_path / "all.json").write_text(json.dumps({**tree, "categories": tree["categories"]}))
    found = find_coco(tmp_path)
    assert found is not None
    assert found.whole == "all.json"


def test_the_photograph_that_is_read_is_the_split_s(tmp_path: Path) -> None:
    for split, grey in (("train", 10), ("val", 200)):
        write_images(tmp_path / split / "data", *numbered(2))
        for name in numbered(2):
            cv2.imwrite(str(tmp_path / split / "data" / name), np.full((SIDE, SIDE, 3), grey, np.uint8))
        write_json(tmp_path / split / "labels.json", *numbered(2))
    pixels = cv2.imread(str(read(tmp_path, "val/labels.json").record(0).path))
    assert pixels is not None
    assert pixels.mean() > 150
    shutil.rmtree(tmp_path / "val" / "data")
    with pytest.raises(DataError, match=r"images of val/labels\.json must be in a folder, got none"):
        read(tmp_path, "val/labels.json")


def test_images_may_be_in_several_folders_whose_names_do_not_repeat(tmp_path: Path) -> None:
    names = numbered(4)
    write_images(tmp_path / "one", *names[:3])
    write_images(tmp_path / "two", *names[3:])
    write_json(tmp_path / "labels.json", *names)
    assert folders_of(read(tmp_path, "labels.json"), tmp_path) == {"one", "two"}
    write_images(tmp_path / "two", names[0])
    assert len(read(tmp_path, "labels.json", bad_images="skip")) == 3


def test_a_json_may_be_called_from_elsewhere_than_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for split in ("train", "val"):
        write_images(tmp_path / "mine" / split / "pictures", *numbered(2))
        write_json(tmp_path / "mine" / split / "labels.json", *numbered(1), f"gone/{numbered(1)[0]}")
    monkeypatch.chdir(tmp_path)
    data = read(Path("mine"), str(tmp_path / "mine/val/labels.json"), bad_images="skip")
    assert data.paths.tolist() == [f"mine/val/pictures/{numbered(1)[0]}"]


def test_a_pipe_that_is_called_as_a_json_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "all.json"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR)  # so that who opens it does not hang
    os.write(held, b'{"images": [{}], "annotations": [{}]}')
    try:
        assert find_coco(tmp_path) is None
    finally:
        os.close(held)
