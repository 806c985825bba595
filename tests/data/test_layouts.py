import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from trees import annotation_text, coco_tree, side_by_side, write_annotation, write_image, write_lines
from yolo_trees import ONE, by_kind, two_folders

from detector.config import DataSettings
from detector.data.layouts import find_data
from detector.data.readers import open_dataset
from detector.errors import DataError

OBJECTS = [("cat", (5, 5, 20, 20))]


def voc(root: Path, images: str, annotations: str, *names: str) -> None:
    for name in names:
        write_image(root / images / f"{name}.jpg")
        write_annotation(root / annotations / f"{name}.xml", *OBJECTS)


def coco(root: Path, source: str, images: str, name: str = "") -> None:
    """A COCO JSON at `source` of the images b and a, with `name` before theirs, in the folder `images`."""
    tree = coco_tree()
    for image in tree["images"]:
        write_image(root / images / image["file_name"])
        image["file_name"] = name + image["file_name"]
    path = root / source
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree))


def voc_side_by_side(root: Path) -> None:
    side_by_side(root, "train", a=OBJECTS, b=OBJECTS)
    side_by_side(root, "valid", c=OBJECTS)
    side_by_side(root, "test", d=OBJECTS)


def voc_devkit(root: Path) -> None:
    voc(root, "VOCdevkit/VOC2007/JPEGImages", "VOCdevkit/VOC2007/Annotations", "1", "2", "3")
    lists = root / "VOCdevkit/VOC2007/ImageSets/Main"
    write_lines(lists / "trainval.txt", "1", "2")
    write_lines(lists / "train.txt", "1")
    write_lines(lists / "cat_train.txt", "1  1")
    write_lines(lists / "val.txt", "2")
    write_lines(lists / "test.txt", "4")  # whose annotations are kept back


def voc_of_cvat(root: Path) -> None:
    voc(root, "JPEGImages", "Annotations", "a", "b")
    write_lines(root / "ImageSets/Main/default.txt", "a", "b")
    write_lines(root / "labelmap.txt", "# label:color_rgb:parts:actions", "cat:0,0,0::")


def voc_in_inner_folders(root: Path) -> None:
    voc(root, "images/training", "annotations/training", "a", "b")
    voc(root, "images/testing", "annotations/testing", "a")


def voc_of_one_folder_of_annotations(root: Path) -> None:
    voc(root, "images/train", "annotations", "a", "b")
    voc(root, "images/val", "annotations", "c")


def voc_among_labels(root: Path) -> None:
    voc(root, "images/train", "labels/train", "a", "b")
    voc(root, "images/val", "labels/val", "c")


def voc_apart_by_any_name(root: Path) -> None:
    voc(root, "pictures", "boxes", "a", "b ü")


def voc_lists(root: Path) -> None:
    voc(root, "images", "annotations", "a", "b")
    write_lines(root / "train.txt", "a")
    write_lines(root / "test.txt", "b")


def coco_plain(root: Path) -> None:
    coco(root, "annotations/instances_train2017.json", "train2017")
    coco(root, "annotations/instances_val2017.json", "val2017")
    (root / "annotations/captions_train2017.json").write_text('{"images": [], "annotations": []}')


def coco_of_roboflow(root: Path) -> None:
    for split in ("train", "valid", "test"):
        coco(root, f"{split}/_annotations.coco.json", split)
    write_lines(root / "README.roboflow.txt", "about")


def coco_of_cvat(root: Path) -> None:
    coco(root, "annotations/instances_default.json", "images")


def coco_of_label_studio(root: Path) -> None:
    coco(root, "project-1/result.json", "project-1/images", "images/")


def coco_of_fiftyone(root: Path) -> None:
    for split in ("train", "validation"):
        coco(root, f"{split}/labels.json", f"{split}/data")


def yolo_of_ultralytics(root: Path) -> None:
    by_kind(root, "train", {"a": [ONE]})
    by_kind(root, "val", {"b": [ONE]})
    write_lines(
        root / "coco8.yaml", "path: ../datasets/coco8", "train: images/train", "val: images/val", "names: [x]"
    )


def yolo_of_roboflow(root: Path) -> None:
    for split in ("train", "valid", "test"):
        two_folders(root, split, {"a_jpg.rf.0123abc": [ONE]})
    lines = ["train: ../train/images", "val: ../valid/images", "test: ../test/images", "nc: 1", "names: ['x']"]
    write_lines(root / "data.yaml", *lines)


def yolo_without_yaml(root: Path) -> None:
    by_kind(root, "training", {"a": [ONE]})
    by_kind(root, "testing", {"b": [ONE]})


def yolo_flat(root: Path) -> None:
    write_image(root / "a.jpg")
    write_lines(root / "a.txt", ONE)
    write_image(root / "b.jpg")
    write_lines(root / "classes.txt", "cat")


FOUND: Mapping[Callable[[Path], None], tuple[str, dict[str, str], str | None, int]] = {
    voc_side_by_side: ("voc", {"train": "train", "val": "valid", "test": "test"}, "all", 2),
    voc_devkit: ("voc", {"train": "train", "val": "val"}, "all", 1),
    voc_of_cvat: ("voc", {}, "all", 2),
    voc_in_inner_folders: ("voc", {"train": "training", "test": "testing"}, "all", 2),
    voc_of_one_folder_of_annotations: ("voc", {"train": "train", "val": "val"}, "all", 2),
    voc_among_labels: ("voc", {"train": "train", "val": "val"}, "all", 2),
    voc_apart_by_any_name: ("voc", {}, "all", 2),
    voc_lists: ("voc", {"train": "train.txt", "test": "test.txt"}, "all", 1),
    coco_plain: ("coco", {"train": "train2017", "val": "val2017"}, None, 2),
    coco_of_roboflow: ("coco", {"train": "train", "val": "valid", "test": "test"}, None, 2),
    coco_of_cvat: ("coco", {}, "default", 2),
    coco_of_label_studio: ("coco", {}, "result.json", 2),
    coco_of_fiftyone: ("coco", {"train": "train/labels.json", "val": "validation/labels.json"}, None, 2),
    yolo_of_ultralytics: ("yolo", {"train": "train", "val": "val"}, "all", 1),
    yolo_of_roboflow: ("yolo", {"train": "train", "val": "val", "test": "test"}, "all", 1),
    yolo_without_yaml: ("yolo", {"train": "training", "test": "testing"}, "all", 1),
    yolo_flat: ("yolo", {}, "all", 2),
}


@pytest.mark.parametrize("nested", ["", "export 1/Größe"], ids=["here", "nested"])
@pytest.mark.parametrize("make", list(FOUND), ids=lambda make: make.__name__)
def test_a_layout_is_found_and_can_be_read(make: Callable[[Path], None], nested: str, tmp_path: Path) -> None:
    make(tmp_path / nested)
    name, splits, whole, images = FOUND[make]
    data = find_data(tmp_path)
    assert (data.format, dict(data.found.splits), data.found.whole) == (name, splits, whole)
    train = splits.get("train") or whole
    settings = DataSettings.model_validate({"format": name, "root": data.found.root, "train": train})
    dataset = open_dataset(settings, settings.train)
    assert len(dataset) == images
    assert all(Path(path).is_file() for path in dataset.paths)
    assert len(dataset.objects.labels)
    for split in splits.values():
        assert len(open_dataset(settings, (split,)))


def test_ilsvrc_is_found_before_the_voc_files_that_it_holds(tiny_data: Path, tmp_path: Path) -> None:
    assert find_data(tiny_data).format == "ilsvrc"
    assert dict(find_data(tiny_data).found.splits) == {"train": "train", "val": "val"}
    (tmp_path / "within").symlink_to(tiny_data)
    assert find_data(tmp_path).found.root == tmp_path / "within"


def test_annotations_in_utf_16_are_found(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    (tmp_path / "a.xml").write_text(f'<?xml version="1.0" encoding="utf-16"?>{annotation_text(OBJECTS)}', "utf-16")
    assert find_data(tmp_path).format == "voc"


def test_two_kinds_of_annotations_are_both_named(tmp_path: Path) -> None:
    yolo_flat(tmp_path)
    (tmp_path / "b.xml").write_text(annotation_text(OBJECTS))
    with pytest.raises(
        DataError, match=r"one kind, got VOC XML.*b\.xml\) and YOLO .*add data\.format=voc or data\.format=yolo$"
    ):
        find_data(tmp_path)
    assert find_data(tmp_path, ["yolo"]).format == "yolo"


def test_two_data_sets_are_both_named(tmp_path: Path) -> None:
    voc_side_by_side(tmp_path / "one")
    voc_side_by_side(tmp_path / "two")
    with pytest.raises(DataError, match=r"one data set, got .*/one and .*/two in .*: name the right one"):
        find_data(tmp_path)


@pytest.mark.parametrize("inner", ["{}_zip/{}", "{}-20261101T101112Z-001/{}"])
def test_splits_in_folders_of_their_own_archives_are_one_data_set(inner: str, tmp_path: Path) -> None:
    for split, name in (("train", "a"), ("test", "b")):
        side_by_side(tmp_path / inner.format(split, split), "", **{name: OBJECTS})
    data = find_data(tmp_path)
    assert dict(data.found.splits) == {split: inner.format(split, split) for split in ("train", "test")}
    for split, name in (("train", "a"), ("test", "b")):
        settings = DataSettings.model_validate(
            {"format": "voc", "root": data.found.root, "train": data.found.splits[split]}
        )
        dataset = open_dataset(settings, settings.train)
        assert [Path(path).stem for path in dataset.paths] == [name]


def test_what_is_there_is_counted_where_nothing_is_found(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"got an empty folder in "):
        find_data(tmp_path)
    write_image(tmp_path / "a.jpg")
    write_lines(tmp_path / "notes.xml", "<notes/>")
    told = r"must hold images and annotations .* got 1 images, 1 \.xml files \(such as notes\.xml\) in "
    with pytest.raises(DataError, match=told):
        find_data(tmp_path)
    for name in ("README.txt", "train.csv", "b/boxes.CSV", "all.zip", "labels"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    told = (
        r"got 1 images, 2 \.csv files \(such as b/boxes\.CSV\), 1 \.zip files, .*1 files without suffix, 1 \.xml"
    )
    with pytest.raises(DataError, match=told):
        find_data(tmp_path)
    with pytest.raises(DataError, match=r"--data must be a folder, got .*gone"):
        find_data(tmp_path / "gone")


def test_json_files_that_no_split_is_called_by_are_both_named(tmp_path: Path) -> None:
    coco(tmp_path, "one.json", "images")
    coco(tmp_path, "two.json", "images")
    with pytest.raises(
        DataError,
        match=r"COCO JSON must be one, .* got one\.json and two\.json \(data\.train=FILE .* data\.format=coco",
    ):
        find_data(tmp_path)
