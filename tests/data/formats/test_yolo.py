from pathlib import Path

import numpy as np
import pytest
from trees import write_image, write_lines
from yolo_trees import ONE, by_kind, pair, two_folders

from detector.config import DataSettings
from detector.data.check import check_data
from detector.data.dataset import Dataset
from detector.data.exchange.drawn_pictures import PictureFolder
from detector.data.folders import DRAWN
from detector.data.formats.yolo import find_yolo
from detector.data.readers import open_dataset
from detector.errors import DataError

BOX = [15, 15, 45, 25]


def read(root: Path, split: str, **settings: object) -> Dataset:
    given = {"format": "yolo", "root": root, "train": split, "test": split, **settings}
    return open_dataset(DataSettings.model_validate(given), (split,))


def test_a_box_is_centre_and_sides_in_shares_of_the_image(tmp_path: Path) -> None:
    by_kind(tmp_path, "train", {"a": [ONE, "1 0.25 0.5 0.1 1"], "b": []})
    data = read(tmp_path, "train")
    np.testing.assert_allclose(data.objects.boxes, [BOX, [12, 0, 18, 40]])
    np.testing.assert_allclose(data.objects.areas, [300, 240])
    assert data.classes.names == ("class 0", "class 1")
    assert data.image_ids.tolist() == ["images/train/a", "images/train/b"]
    assert data.objects.image.tolist() == [0, 0]
    assert data.sizes.tolist() == [[40, 60]] * 2
    assert not any("differ in size" in note for note in data.notes)


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        ("images/train/a.jpg", "labels/train/a.txt"),
        ("train/images/a.jpg", "train/labels/a.txt"),
        ("train/a.jpg", "train/a.txt"),
        ("train/deep/er/a.jpg", "train/deep/er/a.txt"),
        ("images/train/a b ü.jpg", "labels/train/a b ü.txt"),
        ("train/a.jpg", "elsewhere/a.txt"),
    ],
)
def test_labels_lie_in_place_of_images_beside_them_or_where_no_other_are(
    image: str, labels: str, tmp_path: Path
) -> None:
    pair(tmp_path / image, tmp_path / labels, ONE)
    assert read(tmp_path, "train").objects.boxes.tolist() == [BOX]


def test_an_image_whose_label_file_is_missing_or_empty_has_no_objects(tmp_path: Path) -> None:
    two_folders(tmp_path, "train", {"a": [ONE], "b": []})
    write_image(tmp_path / "train/images/c.jpg")
    data = read(tmp_path, "train")
    assert data.objects.image.tolist() == [0]
    assert len(data) == 3
    assert any("1 images have no label file and count as images without objects (" in note for note in data.notes)


def test_of_an_outline_the_bounding_box_counts(tmp_path: Path) -> None:
    pair(tmp_path / "train/a.jpg", tmp_path / "train/a.txt", "0 0.25 0.5 0.75 0.375 0.5 0.625")
    np.testing.assert_allclose(read(tmp_path, "train").objects.boxes, [BOX])


def test_the_points_of_a_pose_follow_its_box(tmp_path: Path) -> None:
    by_kind(tmp_path, "train", {"a": [f"{ONE} 0.1 0.1 2 0.9 0.9 2"]})
    write_lines(tmp_path / "data.yaml", "names: [person]", "kpt_shape: [2, 3]", "train: images/train")
    assert read(tmp_path, "train").objects.boxes.tolist() == [BOX]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.5 0.25 0.9", r"got 6 values: is the last a prediction's confidence\?"),
        ("0 0.5 0.5 0.5", "line must read <class> <cx> .* got 4 values"),
        ("cat 0.5 0.5 0.5 0.25", "class must be a whole number from 0 .* got 'cat'"),
        ("-1 0.5 0.5 0.5 0.25", "class must be a whole number from 0 .* got '-1'"),
        ("1.5 0.5 0.5 0.5 0.25", "class must be a whole number from 0 .* got '1.5'"),
        ("0 nan 0.5 0.5 0.25", "cx must be a share of the image's side, from 0 to 1, got 'nan'"),
        ("0 0.5 inf 0.5 0.25", "cy must be a share .* got 'inf'"),
        ("0 0.5 0.5 1e999 0.25", r"width must be a share .* got '1e999': are these pixels\?"),
        ("0 30 20 10 10", r"cx must be a share .* got '30': are these pixels\?"),
        ("9 0.5 0.5 0.5 0.25", r"class must be one of the 2 of .*data.yaml, 0 to 1, got 9"),
    ],
)
def test_a_line_that_is_wrong_is_named(line: str, message: str, tmp_path: Path) -> None:
    by_kind(tmp_path, "train", {"a": [ONE, "", line], "b": [ONE]})
    write_lines(tmp_path / "data.yaml", "names: [cat, dog]")
    with pytest.raises(DataError, match=rf"{message}.* \(.*labels/train/a\.txt:3\)$"):
        read(tmp_path, "train")
    check = check_data(
        DataSettings(format="yolo", root=tmp_path, train=("train",), test=("train",)), {"train": ["train"]}
    )
    assert check.findings[0].text == "annotations cannot be read"


def test_a_box_to_the_edge_is_none_over_it_for_the_decimals_that_are_written(tmp_path: Path) -> None:
    by_kind(tmp_path, "train", {"a": ["0 0.8334 0.5 0.3333 1.0001"]})
    data = read(tmp_path, "train")
    assert not any("beyond" in note for note in data.notes)
    np.testing.assert_allclose(data.objects.boxes, [[40.005, 0, 60, 40]], atol=1e-3)


def test_boxes_over_the_edge_follow_the_setting(tmp_path: Path) -> None:
    by_kind(tmp_path, "train", {"a": ["0 0.95 0.5 0.2 0.5", "0 1.5 0.5 0.2 0.2"]})
    data = read(tmp_path, "train")
    assert any("1 boxes reach beyond their image" in note for note in data.notes)
    assert any("1 boxes lie outside their image" in note for note in data.notes)
    assert data.truth(0).boxes.tolist() == [[51, 10, 60, 30]]
    with pytest.raises(DataError, match="box must be over one pixel wide and high inside its image of 60 x 40"):
        read(tmp_path, "train", bad_boxes="stop")


@pytest.mark.parametrize(
    "text",
    [
        "names: [cat, no, 2024-01-01]",
        "names:\n  2: 2024-01-01\n  0: cat\n  1: no",
        "nc: 3\nnames: ['cat', 'no', '2024-01-01']",
    ],
)
def test_names_are_a_list_or_a_map_and_text_as_it_stands(text: str, tmp_path: Path) -> None:
    by_kind(tmp_path, "train", {"a": ["1 0.5 0.5 0.5 0.25"]})
    write_lines(tmp_path / "data.yaml", text)
    data = read(tmp_path, "train")
    assert data.classes.names == ("cat", "no", "2024-01-01")
    assert data.objects.labels.tolist() == [2]


@pytest.mark.parametrize("name", ["classes.txt", "labels/train/classes.txt", "obj.names", "train/_darknet.labels"])
def test_names_may_stand_in_a_list(name: str, tmp_path: Path) -> None:
    by_kind(tmp_path, "train", {"a": ["1 0.5 0.5 0.5 0.25"]})
    write_lines(tmp_path / name, "cat", "big dog")
    assert read(tmp_path, "train").classes.names == ("cat", "big dog")


def test_lists_of_names_that_differ_are_refused(tmp_path: Path) -> None:
    by_kind(tmp_path, "train", {"a": [ONE]})
    write_lines(tmp_path / "classes.txt", "cat", "dog")
    write_lines(tmp_path / "labels/train/classes.txt", "dog", "cat")
    with pytest.raises(DataError, match=r"class names must be the same in all lists"):
        read(tmp_path, "train")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: {0: cat, 2: dog}", "names must be numbered 0 to 1, got none for 1"),
        ("names: cat", "names must be a list of classes"),
        ("names: [cat]\ntrain: {a: b}", "train must be a folder, a list file or a list of them"),
        ("names: [cat", "YAML file must be valid YAML"),
        ("names: [cat]\nkpt_shape: [2]", "kpt_shape must be two whole numbers"),
        ("names: [cat]\nnc: 2", "nc must be 1, the number of names, got '2'"),
        ("names: {0: cat, 1: dog}\nnc: many", "nc must be 2, the number of names, got 'many'"),
        (
            "names: [cat]\ntrain: ../gone/images",
            "train of .* must be a folder or a list file, got '../gone/images'",
        ),
    ],
)
def test_a_yaml_file_that_is_wrong_is_named(text: str, message: str, tmp_path: Path) -> None:
    by_kind(tmp_path, "train", {"a": [ONE]})
    write_lines(tmp_path / "data.yaml", text)
    with pytest.raises(DataError, match=rf"{message}.*data\.yaml|{message}"):
        read(tmp_path, "train")


@pytest.mark.parametrize(
    "lines",
    [
        ["train: train/images"],
        ["train: ../train/images"],
        ["train: ./train/images"],
        ["path: ../somewhere/else", "train: train/images"],
        ["train: /content/mine/train/images"],
        ["train: [train/images]"],
        ["train: listed.txt"],
    ],
)
def test_a_split_is_what_the_yaml_says_wherever_it_was_written(lines: list[str], tmp_path: Path) -> None:
    two_folders(tmp_path, "train", {"a": [ONE], "b": [ONE]})
    write_lines(tmp_path / "listed.txt", "./train/images/a.jpg", "/home/me/data/train/images/b.jpg")
    write_lines(tmp_path / "data.yaml", "names: [cat]", *lines)
    assert read(tmp_path, "train").image_ids.tolist() == ["train/images/a", "train/images/b"]


@pytest.mark.parametrize("base", ["/home/me/mine", "../datasets/mine", "."])
def test_a_yaml_file_below_the_root_states_paths_from_its_own_folder(base: str, tmp_path: Path) -> None:
    by_kind(tmp_path / "YOLODataset", "train", {"a": [ONE]})
    by_kind(tmp_path, "train", {"b": [ONE, ONE]})
    write_lines(tmp_path / "YOLODataset/dataset.yaml", f"path: {base}", "train: images/train", "names: [x]")
    assert read(tmp_path, "train").image_ids.tolist() == ["YOLODataset/images/train/a"]


def test_boxes_that_are_stated_by_corners_are_told(tmp_path: Path) -> None:
    lines = [f"0 0.2 0.3 0.{end}5 0.9" for end in range(6, 10)]
    for name in "abc":
        by_kind(tmp_path, "train", {name: lines})
    told = r"boxes must be centre and sides, got .* 100% reach .*: are these two corners.*labels/train/a\.txt"
    with pytest.raises(DataError, match=told):
        read(tmp_path, "train")


def test_pictures_that_were_drawn_are_no_images_without_objects(tmp_path: Path) -> None:
    photo = pair(tmp_path / "a.jpg", tmp_path / "a.txt", ONE)
    PictureFolder(tmp_path / "found/pictures").write("000001_a.jpg", photo.read_bytes())
    data = read(tmp_path, "all")
    assert data.paths.tolist() == [str(photo)]
    assert any(f"1 {DRAWN} (" in note for note in data.notes)


def test_several_folders_are_joined_though_their_images_have_one_name(tmp_path: Path) -> None:
    two_folders(tmp_path, "one", {"a": [ONE]})
    two_folders(tmp_path, "two", {"a": [ONE, ONE]})
    write_lines(tmp_path / "data.yaml", "names: [cat]", "train:", "  - one/images", "  - two/images")
    data = read(tmp_path, "train")
    assert data.image_ids.tolist() == ["one/images/a", "two/images/a"]
    assert data.objects.image.tolist() == [0, 1, 1]


def test_a_folder_outside_of_the_root_is_read_where_that_is_allowed(tmp_path: Path) -> None:
    two_folders(tmp_path / "other", "train", {"a": [ONE]})
    root = tmp_path / "root"
    write_lines(root / "data.yaml", "names: [cat]", f"train: {tmp_path}/other/train/images")
    with pytest.raises(DataError, match=r"must lie in .*root, got .*data\.outside_root=allow allows it"):
        read(root, "train")
    assert len(read(root, "train", outside_root="allow")) == 1


def test_a_list_names_images_below_the_root(tmp_path: Path) -> None:
    for name in ("a 1", "b", "c"):
        pair(tmp_path / "obj_train_data" / f"{name}.jpg", tmp_path / "obj_train_data" / f"{name}.txt", ONE)
    write_lines(tmp_path / "obj.names", "cat")
    write_lines(tmp_path / "obj.data", "classes = 1", "train = data/train.txt", "names = data/obj.names")
    write_lines(tmp_path / "train.txt", "data/obj_train_data/a 1.jpg", "data/obj_train_data/c.jpg")
    data = read(tmp_path, "train")
    assert data.image_ids.tolist() == ["obj_train_data/a 1", "obj_train_data/c"]
    write_lines(tmp_path / "train.txt", "data/obj_train_data/gone.jpg")
    with pytest.raises(DataError, match=r"image of a list must be below .*, got none for '.*gone\.jpg' \(.*:1\)"):
        read(tmp_path, "train")
    write_lines(tmp_path / "train.txt", "c.jpg", "obj_train_data/c.jpg")
    with pytest.raises(DataError, match=r"train\.txt:2 must name another image"):
        read(tmp_path, "train")


def test_settings_name_classes_that_no_file_does(tmp_path: Path) -> None:
    by_kind(tmp_path, "train", {"a": ["1 0.5 0.5 0.5 0.25"]})
    data = read(tmp_path, "train", classes=["cat", "dog"])
    assert (data.classes.names, data.objects.labels.tolist()) == (("cat", "dog"), [2])


def test_labels_without_image_and_images_of_one_name_are_told(tmp_path: Path) -> None:
    two_folders(tmp_path, "train", {"a": [ONE]})
    write_image(tmp_path / "train/images/a.png")
    write_lines(tmp_path / "train/labels/gone.txt", ONE)
    notes = "\n".join(read(tmp_path, "train").notes)
    assert "1 label files have no image" in notes
    assert "1 images have others of their name" in notes


@pytest.mark.parametrize("folder", ["masks", "Mask", "annotated/SegmentationClass", "SegmentationObject/day 1"])
def test_masks_beside_the_images_are_no_images(folder: str, tmp_path: Path) -> None:
    for name in "abc":
        pair(tmp_path / f"images/{name}.jpg", tmp_path / f"labels/{name}.txt" if name < "c" else None, ONE)
        write_image(tmp_path / folder / f"{name}.png")
    data = read(tmp_path, "all")
    assert data.image_ids.tolist() == ["images/a", "images/b", "images/c"]
    assert len(data.objects.labels) == 2
    told = "all: 3 pictures in folders of masks are called as an image and have no label file: they are no images"
    assert any(note.startswith(told) for note in data.notes)


def test_what_is_labelled_or_named_by_no_image_or_list_alone_is_no_mask(tmp_path: Path) -> None:
    pair(tmp_path / "faces/a.png", tmp_path / "faces/a.txt", ONE)
    pair(tmp_path / "masks/a.png", tmp_path / "masks/a.txt", ONE)
    write_image(tmp_path / "masks/b.png")
    write_image(tmp_path / "faces/c.png")
    write_image(tmp_path / "masks/c.jpg")
    assert read(tmp_path, "all").image_ids.tolist() == ["faces/a", "faces/c", "masks/a", "masks/b", "masks/c"]
    write_image(tmp_path / "masks/d.png")
    write_image(tmp_path / "faces/d.png")
    write_lines(tmp_path / "list.txt", "masks/d.png", "faces/d.png")
    assert read(tmp_path, "list.txt", train="all").image_ids.tolist() == ["masks/d", "faces/d"]


def test_a_split_that_is_not_there_is_told(tmp_path: Path) -> None:
    by_kind(tmp_path, "train", {"a": [ONE]})
    with pytest.raises(
        DataError, match=r"split must be a list file, a folder, .* got 'val' \(looked for .*images/val"
    ):
        read(tmp_path, "val")
    assert len(read(tmp_path, "all")) == 1


def test_unlabelled_images_of_another_split_do_not_get_the_labels_of_their_namesakes(tmp_path: Path) -> None:
    by_kind(tmp_path, "train", {"1": [ONE], "2": [ONE]})
    write_image(tmp_path / "images" / "test" / "1.jpg")
    data = read(tmp_path, "test", train="train", classes=["class 0"])
    assert len(data.objects.labels) == 0
    assert data.notes[1].startswith("test: 1 images have no label file")
    assert len(data.notes) == 2  # the labels of train are no orphans


def test_labels_in_a_folder_below_the_images_are_found_in_each_split(tmp_path: Path) -> None:
    for split, line in (("train", ONE), ("val", "1 0.5 0.5 0.5 0.25")):
        pair(tmp_path / split / "1.jpg", tmp_path / split / "labels" / "1.txt", line)
    assert read(tmp_path, "train").classes.names == ("class 0",)
    assert read(tmp_path, "val").classes.names == ("class 1",)


def test_a_listed_image_that_is_missing_is_not_another_split_s_of_its_name(tmp_path: Path) -> None:
    by_kind(tmp_path, "train", {"1": [ONE]})
    by_kind(tmp_path, "val", {"2": [ONE]})
    write_lines(tmp_path / "val.txt", "./images/val/1.jpg", "./images/val/2.jpg")
    with pytest.raises(DataError, match=r"image of a list must be below .*, got none for '\./images/val/1\.jpg'"):
        read(tmp_path, "val.txt")


def test_one_label_file_for_two_images_is_told(tmp_path: Path) -> None:
    pair(tmp_path / "rgb" / "1.jpg", tmp_path / "annot" / "1.txt", ONE)
    write_image(tmp_path / "depth" / "1.png")
    with pytest.raises(DataError, match=r"^annotation must be of one image, got .*depth/1\.png and .*rgb/1\.jpg"):
        read(tmp_path, "all")


def test_a_list_with_suffixes_tells_an_image_from_one_with_two(tmp_path: Path) -> None:
    pair(tmp_path / "2.jpg", tmp_path / "2.txt", ONE)
    pair(tmp_path / "2.jpg.jpg", tmp_path / "2.jpg.txt", "1 0.5 0.5 0.5 0.25")
    write_lines(tmp_path / "list.txt", "2.jpg.jpg", "2.jpg")
    assert read(tmp_path, "list.txt").image_ids.tolist() == ["2.jpg", "2"]


def test_names_in_a_yaml_file_below_the_root_are_taken_and_must_agree(tmp_path: Path) -> None:
    by_kind(tmp_path, "train", {"1": [ONE]})
    write_lines(tmp_path / "config" / "data.yaml", "names: [cat, dog]")
    assert read(tmp_path, "train").classes.names == ("cat", "dog")
    other = write_lines(tmp_path / "more" / "data.yaml", "names: [cat, dog]", "train: images/train")
    assert read(tmp_path, "train").classes.names == ("cat", "dog")
    write_lines(other, "names: [dog, cat]")
    with pytest.raises(
        DataError, match=r"^class names must be the same in all lists of them, got others in .*data"
    ):
        read(tmp_path, "train")
    write_lines(tmp_path / "data.yaml", "names: [horse]")
    assert read(tmp_path, "train").classes.names == ("horse",)


def test_a_stated_training_split_that_is_not_there_is_an_error_and_no_draw(tmp_path: Path) -> None:
    two_folders(tmp_path, "training_pictures", {"1": [ONE]})
    two_folders(tmp_path, "val", {"2": [ONE]})
    write_lines(tmp_path / "data.yaml", "train: ../train/images", "val: ../val/images", "names: [cat]")
    with pytest.raises(
        DataError, match=r"^train of .*data\.yaml must be a folder or a list file, got '\.\./train"
    ):
        find_yolo(tmp_path)
    write_lines(tmp_path / "data.yaml", "train: ../val/images", "test: ../test/images", "names: [cat]")
    found = find_yolo(tmp_path)
    assert found
    assert found.splits == {"train": "train"}
