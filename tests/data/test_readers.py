from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trees import coco_tree, side_by_side, write_annotation, write_coco, write_image, write_lines

from detector.config import DataSettings
from detector.data.classes import ilsvrc_det_classes
from detector.data.readers import open_classes, open_dataset
from detector.errors import DataError

CAT, DOG = ("cat", (5, 5, 20, 20)), ("dog", (5, 5, 20, 20))


def settings(root: Path, data_format: str, **others: Any) -> DataSettings:
    return DataSettings.model_validate({"format": data_format, "root": root, **others})


def test_test_split_has_the_labels_of_the_training_split(tmp_path: Path) -> None:
    side_by_side(tmp_path, "train", a=[CAT, DOG])
    side_by_side(tmp_path, "test", b=[DOG])
    data = open_dataset(settings(tmp_path, "voc", test="test"), ["test"])
    assert data.classes.names == ("cat", "dog")
    assert data.objects.labels.tolist() == [2]


def test_class_that_only_the_test_split_has_is_an_error(tmp_path: Path) -> None:
    side_by_side(tmp_path, "train", a=[CAT])
    side_by_side(tmp_path, "test", b=[DOG])
    with pytest.raises(DataError, match=r"class list, got 'dog' \(.*b\.xml\)"):
        open_dataset(settings(tmp_path, "voc", test="test"), ["test"])


def test_splits_are_joined_in_order(tmp_path: Path) -> None:
    side_by_side(tmp_path, "train", b=[DOG])
    side_by_side(tmp_path, "more", a=[CAT], c=[DOG])
    data = open_dataset(settings(tmp_path, "voc", train=["train", "more"]), ["train", "more"])
    assert data.image_ids.tolist() == ["b", "a", "c"]
    assert data.objects.labels.tolist() == [2, 1, 2]
    assert data.name == "train + more"
    assert len(data.notes) == 2


def test_classes_can_be_named_in_any_order(tmp_path: Path) -> None:
    side_by_side(tmp_path, "train", a=[CAT, DOG])
    data = open_dataset(settings(tmp_path, "voc", classes=("dog", "ant", "cat")), ["train"])
    assert data.objects.labels.tolist() == [3, 1]


def test_classes_can_come_from_a_file_relative_to_the_root(tmp_path: Path) -> None:
    side_by_side(tmp_path, "train", a=[("n02", (5, 5, 20, 20)), CAT])
    write_lines(tmp_path / "list.csv", "id,wnid,name", "1,n01,cat", "2,n02,dog")
    data = open_dataset(settings(tmp_path, "voc", classes="list.csv"), ["train"])
    assert data.objects.labels.tolist() == [2, 1]
    with pytest.raises(DataError, match=r"readable file, got .*gone\.csv"):
        open_dataset(settings(tmp_path, "voc", classes="gone.csv"), ["train"])


def test_training_split_without_objects_has_no_classes(tmp_path: Path) -> None:
    side_by_side(tmp_path, "train", a=[])
    with pytest.raises(DataError, match="splits train must name at least one class, got none"):
        open_dataset(settings(tmp_path, "voc"), ["train"])


def test_ilsvrc_has_its_200_classes_or_some_by_name(tmp_path: Path) -> None:
    assert open_classes(settings(tmp_path, "ilsvrc")) == ilsvrc_det_classes()
    some = open_classes(settings(tmp_path, "ilsvrc", classes=("zebra", "n02672831")))
    assert some.names == ("zebra", "accordion")
    assert some.wnids == ("n02391049", "n02672831")
    assert open_classes(settings(tmp_path, "voc", classes=("zebra",))).wnids == ()


def test_coco_has_the_categories_of_its_training_file(tmp_path: Path) -> None:
    write_coco(tmp_path, "train", coco_tree())
    data = open_dataset(settings(tmp_path, "coco"), ["train"])
    assert data.classes.names == ("cat", "dog")
    assert data.classes.category_ids == (3, 7)


def test_formats_agree_on_the_same_objects(tmp_path: Path) -> None:
    for folder, corners in (("voc/train", (11, 6, 40, 30)), ("ilsvrc/Annotations/DET/val", (10, 5, 39, 29))):
        write_annotation(tmp_path / folder / "a.xml", ("zebra", corners))
    for folder in ("voc/train", "ilsvrc/Data/DET/val"):
        write_image(tmp_path / folder / "a.jpg")
    write_lines(tmp_path / "ilsvrc" / "ImageSets" / "DET" / "val.txt", "a 1")
    tree = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "zebra"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 5, 30, 25]}],
    }
    write_coco(tmp_path / "coco", "train", tree)
    splits = {"voc": "train", "coco": "train", "ilsvrc": "val"}
    for data_format, split in splits.items():
        data = open_dataset(settings(tmp_path / data_format, data_format), [split])
        np.testing.assert_array_equal(data.objects.boxes, [[10, 5, 40, 30]])
        np.testing.assert_array_equal(data.truth(0).boxes, [[10, 5, 40, 30]])
        assert data.classes.name(int(data.objects.labels[0])) == "zebra"


@pytest.mark.shared
def test_real_fruit_opens_by_its_settings_alone(shared: Path) -> None:
    data = open_dataset(settings(shared / "data" / "fruit", "voc"), ["test"])
    assert (len(data), len(data.objects.labels)) == (60, 117)
    assert data.classes.names == ("apple", "banana", "orange")
    assert data.classes.wnids == ()
