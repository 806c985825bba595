import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from trees import coco_tree, write_coco, write_image

from detector.config import DataSettings
from detector.data.classes import ClassList
from detector.data.dataset import Dataset
from detector.data.exchange.coco_results import coco_ground_truth, coco_image_ids, write_coco_results
from detector.data.exchange.found_detections import read_detections
from detector.data.formats.coco_tree import read_coco_json
from detector.data.readers import open_classes, open_dataset, read_split
from detector.errors import DataError
from detector.jobs.detections_in_files import read_coco_files
from detector.records import DetectionTable

CLASSES = ClassList(("cat", "dog"))


def read(root: Path, split: str = "train", classes: ClassList = CLASSES) -> Dataset:
    return read_split(DataSettings(format="coco", root=root), split, classes)


def test_labels_follow_category_ids_and_images_the_file(tmp_path: Path) -> None:
    write_coco(tmp_path, "train", coco_tree())
    data = read(tmp_path)
    assert data.image_ids.tolist() == ["12", "5"]
    assert data.classes.category_ids == (3, 7)
    assert data.objects.labels.tolist() == [2, 1]
    assert data.objects.crowd.tolist() == [False, True]
    np.testing.assert_array_equal(data.objects.boxes, [[1.5, 2, 11.5, 22.25], [0, 0, 60, 40]])
    assert data.exhaustive.all()
    assert len(data.truth(1).labels) == 0  # an image without annotations stays


def test_objects_are_sorted_by_image_and_keep_their_order(tmp_path: Path) -> None:
    tree = coco_tree()
    tree["annotations"] = [
        {"id": number, "image_id": image, "category_id": 3, "bbox": [number, 0, 9, 9]}
        for number, image in enumerate([5, 12, 5, 12])
    ]
    write_coco(tmp_path, "train", tree)
    objects = read(tmp_path).objects
    assert objects.image.tolist() == [0, 0, 1, 1]
    assert objects.boxes[:, 0].tolist() == [1, 3, 0, 2]


def test_an_object_has_the_area_that_the_file_states_or_its_box_s(tmp_path: Path) -> None:
    tree = coco_tree()
    tree["annotations"] = [
        {"id": 1, "image_id": 12, "category_id": 3, "bbox": [0, 0, 10, 20], "area": 77.5},
        {"id": 2, "image_id": 12, "category_id": 3, "bbox": [0, 0, 10, 20]},
    ]
    write_coco(tmp_path, "train", tree)
    data = read(tmp_path)
    assert data.objects.areas.tolist() == [77.5, 200]
    assert [entry["area"] for entry in coco_ground_truth(data)["annotations"]] == [77.5, 200]


def test_class_names_are_in_the_order_of_category_ids(tmp_path: Path) -> None:
    write_coco(tmp_path, "train", coco_tree())
    settings = DataSettings(format="coco", root=tmp_path)
    assert open_classes(settings).names == ("cat", "dog")
    tree = coco_tree()
    tree["categories"][0]["id"] = 1
    tree["annotations"].clear()
    write_coco(tmp_path, "val", tree)
    with pytest.raises(DataError, match=r"categories must be those of .*train\.json, got others in .*val\.json"):
        open_classes(settings.model_copy(update={"train": ("train", "val")}))


def test_own_class_order_changes_labels_and_not_category_ids(tmp_path: Path) -> None:
    write_coco(tmp_path, "train", coco_tree())
    data = read(tmp_path, classes=ClassList(("dog", "bird", "cat")))
    assert data.objects.labels.tolist() == [1, 3]
    assert data.classes.category_ids == (7, -1, 3)


def test_category_that_the_class_list_lacks_is_an_error(tmp_path: Path) -> None:
    write_coco(tmp_path, "train", coco_tree())
    with pytest.raises(
        DataError, match=r"got 'dog' \(.*instances_train\.json, image b\.jpg\); did you mean 'dogs'\?"
    ):
        read(tmp_path, classes=ClassList(("cat", "dogs")))


def test_images_are_found_in_each_known_folder(tmp_path: Path) -> None:
    for name, folder in enumerate(("train", "images/train", "images", ".")):
        root = tmp_path / str(name)
        write_coco(root, "train", coco_tree())
        if folder != "train":
            for picture in list((root / "train").iterdir()):
                (root / folder).mkdir(parents=True, exist_ok=True)
                picture.rename(root / folder / picture.name)
        assert read(root).record(0).path == root / folder / "b.jpg"


def test_missing_files_tell_where_they_were_looked_for(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"annotations/instances_train\.json, .*/instances_train\.json and .*/train/_ann"
    ):
        read(tmp_path)
    path = write_coco(tmp_path, "train", coco_tree())
    path.rename(tmp_path / "instances_train.json")
    assert len(read(tmp_path)) == 2
    (tmp_path / "train").rename(tmp_path / "by_any_name")
    assert read(tmp_path).record(0).path == tmp_path / "by_any_name" / "b.jpg"
    shutil.rmtree(tmp_path / "by_any_name")
    with pytest.raises(
        DataError, match=r"images of train must be in a folder, got none \('b\.jpg' looked for in .*/train, "
    ):
        read(tmp_path)
    with pytest.raises(DataError, match=r"data\.root must be a folder"):
        read(tmp_path / "gone")


def test_empty_split_is_named(tmp_path: Path) -> None:
    write_coco(tmp_path, "train", {"images": [], "categories": [{"id": 1, "name": "cat"}], "annotations": []})
    with pytest.raises(DataError, match=r"split train must hold at least one image, got none \(.*_train\.json"):
        read(tmp_path)


def test_whole_numbers_may_be_written_as_floats_and_names_with_blanks_around(tmp_path: Path) -> None:
    tree = coco_tree()
    tree["images"][0].update(height=40.0, width=60.0)
    tree["categories"][1]["name"] = " cat\n"
    path = write_coco(tmp_path, "train", tree)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    data = read(tmp_path)
    assert data.sizes.tolist() == [[40, 60], [40, 60]]
    assert data.classes.category_ids == (3, 7)
    assert len(data.notes) == 1


def test_ids_may_be_zero_and_negative(tmp_path: Path) -> None:
    tree = coco_tree()
    tree["images"][1]["id"] = -5
    for number, (entry, category) in enumerate(zip(tree["annotations"], tree["categories"], strict=True)):
        entry["id"], category["id"], entry["category_id"] = number, number, number
    write_coco(tmp_path, "train", tree)
    data = read(tmp_path)
    assert data.classes.category_ids == (1, 0)
    assert data.objects.labels.tolist() == [2, 1]
    assert coco_image_ids(data).tolist() == [12, -5]


def test_a_file_that_two_images_name_is_told(tmp_path: Path) -> None:
    tree = coco_tree()
    tree["images"][1]["file_name"] = "./b.jpg"
    write_coco(tmp_path, "train", tree)
    wanted = (
        r"^images\[1\]\.file_name must be another file than images\[0\]'s, got '\./b\.jpg' \(.*_train\.json\)$"
    )
    with pytest.raises(DataError, match=wanted):
        read(tmp_path)


@pytest.mark.parametrize("absolute", [True, False])
def test_images_outside_are_read_only_where_the_user_says_so(tmp_path: Path, absolute: bool) -> None:
    tree = coco_tree()
    path = write_coco(tmp_path / "data", "train", tree)
    outside = write_image(tmp_path / "outside.jpg")
    tree["images"][0]["file_name"] = str(outside) if absolute else "../../outside.jpg"
    path.write_text(json.dumps(tree))
    wanted = (
        r"^images\[0\]\.file_name must be a path inside its folder, got '.*outside\.jpg' \(.*train\.json; data\."
    )
    with pytest.raises(DataError, match=wanted):
        read(tmp_path / "data")
    settings = DataSettings(format="coco", root=tmp_path / "data", outside_root="allow")
    assert read_split(settings, "train", CLASSES).record(0).path.samefile(outside)


def test_a_link_inside_the_root_may_lead_out_of_it(tmp_path: Path) -> None:
    write_coco(tmp_path / "data", "train", coco_tree())
    (tmp_path / "data" / "train").rename(tmp_path / "disk")
    (tmp_path / "data" / "train").symlink_to(tmp_path / "disk")
    assert len(read(tmp_path / "data")) == 2


@pytest.mark.parametrize("split", ["train", "train/_annotations.coco.json"])
def test_images_may_stand_beside_their_json(tmp_path: Path, split: str) -> None:
    for name in ("train", "valid"):  # of each the images have the same names
        path = write_coco(tmp_path, name, coco_tree())
        path.rename(tmp_path / name / "_annotations.coco.json")
    data = read(tmp_path, split)
    assert data.name == "train"
    assert data.record(0).path == tmp_path / "train" / "b.jpg"
    assert open_classes(DataSettings(format="coco", root=tmp_path, train=(split,))).names == ("cat", "dog")


def test_the_folder_that_holds_the_most_images_counts(tmp_path: Path) -> None:
    path = write_coco(tmp_path, "train", coco_tree())
    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "b.jpg"):
        shutil.copy(tmp_path / "train" / name, tmp_path / "images" / name)
    (tmp_path / "train" / "a.jpg").unlink()
    assert read(tmp_path).record(0).path == tmp_path / "images" / "b.jpg"
    assert path.is_file()


def test_a_file_name_too_long_for_the_system_is_an_image_that_is_not_there(tmp_path: Path) -> None:
    tree = coco_tree()
    path = write_coco(tmp_path, "train", tree)
    tree["images"][0]["file_name"] = "n" * 300 + ".jpg"
    path.write_text(json.dumps(tree))
    with pytest.raises(DataError, match=r"^image must be .*File name too long"):
        read(tmp_path)


@pytest.mark.shared
def test_real_coco_images_are_read(shared: Path) -> None:
    root = shared / "data" / "coco256"
    settings = DataSettings(format="coco", root=root, train=("train2017",))
    classes = open_classes(settings)
    assert len(classes) == 80
    train, val = (read_split(settings, split, classes) for split in ("train2017", "val2017"))
    assert (len(train), len(val)) == (126, 128)
    assert len(np.unique(train.objects.labels)) == 71
    assert len(np.unique(val.objects.labels)) == 73
    assert val.classes.category_ids == tuple(range(1, 81))
    truth = coco_ground_truth(val)
    tree = read_coco_json(root / "instances_val2017.json")
    by_id = {
        image["id"]: [a["bbox"] for a in tree["annotations"] if a["image_id"] == image["id"]]
        for image in tree["images"]
    }
    made = [(a["image_id"], a["bbox"]) for a in truth["annotations"]]
    for image_id, boxes in by_id.items():
        np.testing.assert_allclose([box for i, box in made if i == image_id], boxes, atol=1e-9)


def test_a_list_names_images_of_the_json_that_has_them(tmp_path: Path) -> None:
    write_coco(tmp_path, "train", coco_tree())
    listed = tmp_path / "mine.txt"
    listed.write_text("a.jpg\n")
    assert read(tmp_path, "mine.txt").image_ids.tolist() == ["5"]
    other = {
        **coco_tree(),
        "images": [{"id": 5, "file_name": "c d.jpg", "height": 40, "width": 60}],
        "annotations": [],
    }
    write_coco(tmp_path, "test", other)
    assert read(tmp_path, str(listed)).image_ids.tolist() == ["5"]
    listed.write_text("c d.jpg\n")
    assert read(tmp_path, "mine.txt").paths.tolist() == [str(tmp_path / "test/c d.jpg")]
    listed.write_text("c d.jpg\na.jpg\n")
    with pytest.raises(DataError, match=r"images of a list must be those of a COCO JSON .*2 that have not all"):
        read(tmp_path, "mine.txt")
    (tmp_path / "annotations/instances_test.json").unlink()
    with pytest.raises(DataError, match=r"mine\.txt:1 must name an image of .*train\.json, got 'c d\.jpg'"):
        read(tmp_path, "mine.txt")
    with pytest.raises(DataError, match=r"split must be a list of images, got no such file"):
        read(tmp_path, "gone.txt")


def roboflow(root: Path, project: str, *names: str, **used: Sequence[str]) -> None:
    """Roboflow's export: all ids begin at 0, category 0 is the project; of each split the names of its objects."""
    heads = [{"id": 0, "name": project, "supercategory": "none"}]
    categories = heads + [{"id": n, "name": name, "supercategory": project} for n, name in enumerate(names, 1)]
    ids = {category["name"]: category["id"] for category in categories}
    for split, objects in used.items():
        images = [{"id": n, "file_name": f"{n}.jpg", "height": 40, "width": 60} for n in range(2)]
        boxes = [{"id": n, "image_id": 0, "category_id": ids[name]} for n, name in enumerate(objects)]
        tree = {
            "images": images,
            "categories": categories,
            "annotations": [{**b, "bbox": [1, 2, 9, 9]} for b in boxes],
        }
        path = write_coco(root, split, tree)
        path.rename(root / split / "_annotations.coco.json")


def test_roboflow_s_category_of_the_whole_project_is_no_class(tmp_path: Path) -> None:
    roboflow(tmp_path, "fruits", "apple", "pear", train=["apple", "pear"], valid=["pear"], test=[])
    settings = DataSettings(format="coco", root=tmp_path, train=("train", "valid"))
    classes = open_classes(settings)
    assert classes.names == ("apple", "pear")
    for split, labels in {"train": [1, 2], "valid": [2], "test": []}.items():
        data = read_split(settings, split, classes)
        assert data.objects.labels.tolist() == labels
        assert data.classes.category_ids == (1, 2)
        assert "1 categories only head others and are no class (fruits in" in data.notes[1]


def test_a_project_may_be_called_as_its_class(tmp_path: Path) -> None:
    roboflow(tmp_path, "raccoon", "raccoon", train=["raccoon"], valid=[])
    settings = DataSettings(format="coco", root=tmp_path, train=("train", "valid"))
    data = open_dataset(settings, settings.train)
    assert data.classes.names == ("raccoon",)
    assert data.classes.category_ids == (1,)
    assert len(data.notes) == 2


def test_a_category_above_others_is_a_class_where_a_training_split_uses_it(tmp_path: Path) -> None:
    roboflow(tmp_path, "fruit", "apple", train=["apple"], more=["fruit"], test=["apple"])
    settings = DataSettings(format="coco", root=tmp_path, train=("train", "more"))
    classes = open_classes(settings)
    assert classes.names == ("fruit", "apple")
    for split in ("train", "more", "test"):
        data = read_split(settings, split, classes)
        assert data.classes.category_ids == (0, 1)
        assert len(data.notes) == 1


def test_splits_whose_ids_all_begin_at_zero_are_joined(tmp_path: Path) -> None:
    roboflow(tmp_path, "fruits", "apple", train=["apple"], valid=["apple", "apple"])
    settings = DataSettings(format="coco", root=tmp_path, train=("train", "valid"))
    data = open_dataset(settings, settings.train)
    assert data.image_ids.tolist() == ["train/0", "train/1", "valid/0", "valid/1"]
    assert data.objects.image.tolist() == [0, 2, 2]
    assert data.record(2).path == tmp_path / "valid/0.jpg"
    assert coco_image_ids(data).tolist() == data.image_ids.tolist()


@pytest.mark.parametrize("before", ["img ", ""])
def test_ids_that_are_text_are_those_of_the_results(tmp_path: Path, before: str) -> None:
    tree = coco_tree()
    for image in tree["images"]:
        image["id"] = f"{before}{image['id']}"
    for entry in tree["annotations"]:
        entry["image_id"] = f"{before}12"
    path = write_coco(tmp_path, "train", tree)
    data = read(tmp_path)
    assert data.image_ids.tolist() == [f"{before}12", f"{before}5"]
    found = DetectionTable(
        np.array([1, 0]), np.array([[0.0, 0, 9, 9]] * 2), np.array([1, 2]), np.array([0.5, 0.25])
    )
    write_coco_results(tmp_path / "results.json", found, data)
    rows = json.loads((tmp_path / "results.json").read_text())
    assert [(row["image_id"], row["category_id"]) for row in rows] == [(f"{before}5", 3), (f"{before}12", 7)]
    np.testing.assert_array_equal(read_detections(tmp_path / "results.json", data).image, [1, 0])
    report = read_coco_files(path, tmp_path / "results.json").evaluate("coco")
    assert report.mean_ap == 0
    assert report.objects.tolist() == [0, 1]
