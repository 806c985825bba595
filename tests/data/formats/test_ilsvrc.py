import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trees import write_annotation, write_image, write_lines

from detector.config import DataSettings
from detector.data.classes import ClassList, ilsvrc_det_classes
from detector.data.formats.ilsvrc import read_ground_truth
from detector.data.lists import read_image_list
from detector.data.readers import read_split
from detector.errors import DataError

CLASSES = ClassList(("cat", "dog"), ("n00000001", "n00000002"))


def tree_of_2015(root: Path) -> Path:
    images, annotations, lists = (root / kind / "DET" for kind in ("Data", "Annotations", "ImageSets"))
    for image_id in ("ILSVRC2014_train_0000/ILSVRC2014_train_00000001", "ILSVRC2013_train/n00000001/n00000001_7"):
        write_image(images / "train" / f"{image_id}.JPEG")
        write_annotation(annotations / "train" / f"{image_id}.xml", ("n00000001", (0, 10, 29, 39)))
    write_image(images / "train" / "ILSVRC2013_train_extra0" / "ILSVRC2013_train_00000003.JPEG")
    write_lines(
        lists / "train_1.txt",
        "ILSVRC2014_train_0000/ILSVRC2014_train_00000001 1",
        "ILSVRC2013_train/n00000001/n00000001_7 1",
        "ILSVRC2013_train_extra0/ILSVRC2013_train_00000003 -1",
    )
    write_lines(lists / "train_2.txt", "ILSVRC2014_train_0000/ILSVRC2014_train_00000001 -1")
    for number in (1, 2):
        write_image(images / "val" / f"ILSVRC2012_val_0000000{number}.JPEG")
    write_annotation(annotations / "val" / "ILSVRC2012_val_00000002.xml", ("n00000002", (10, 10, 19, 29)))
    write_lines(lists / "val.txt", "ILSVRC2012_val_00000001 1", "ILSVRC2012_val_00000002 2")
    write_image(images / "test" / "ILSVRC2012_test_00000001.JPEG")
    write_lines(lists / "test.txt", "ILSVRC2012_test_00000001 1")
    return root


def tree_of_2014(root: Path) -> Path:
    boxes = root / "ILSVRC2014_DET_bbox_train"
    write_image(root / "ILSVRC2014_DET_train" / "n00000001" / "n00000001_7.JPEG")
    write_annotation(boxes / "n00000001" / "n00000001_7.xml", ("n00000001", (0, 10, 29, 39)))
    write_image(root / "ILSVRC2014_DET_train_0000" / "ILSVRC2014_train_00000001.JPEG")
    new_image = boxes / "ILSVRC2014_train_0000" / "ILSVRC2014_train_00000001.xml"
    write_annotation(new_image, ("n00000001", (0, 10, 29, 39)))
    write_image(root / "ILSVRC2013_DET_train_extra0" / "ILSVRC2013_train_00000003.JPEG")
    write_image(root / "ILSVRC2013_DET_val" / "ILSVRC2012_val_00000002.JPEG")
    write_annotation(
        root / "ILSVRC2013_DET_bbox_val" / "ILSVRC2012_val_00000002.xml", ("n00000002", (10, 10, 19, 29))
    )
    lists = root / "ILSVRC2014_devkit" / "data" / "det_lists"
    write_lines(
        lists / "train_pos_1.txt", "ILSVRC2014_train_0000/ILSVRC2014_train_00000001", "n00000001/n00000001_7"
    )
    write_lines(lists / "train_neg_1.txt", "ILSVRC2013_train_extra0/ILSVRC2013_train_00000003")
    write_lines(lists / "train_neg_2.txt", "ILSVRC2014_train_0000/ILSVRC2014_train_00000001")
    write_lines(lists / "val.txt", "ILSVRC2012_val_00000002 2")
    return root


def test_val_of_2015_is_read_in_list_order_with_continuous_boxes(tmp_path: Path) -> None:
    data = read_split(DataSettings(root=tree_of_2015(tmp_path)), "val", CLASSES)
    assert data.name == "val"
    assert data.image_ids.tolist() == ["ILSVRC2012_val_00000001", "ILSVRC2012_val_00000002"]
    assert data.indices.tolist() == [1, 2]
    assert data.exhaustive.all()
    assert data.sizes.tolist() == [[40, 60], [40, 60]]
    assert data.objects.image.tolist() == [1]
    assert data.objects.labels.tolist() == [2]
    np.testing.assert_array_equal(data.objects.boxes, [[10, 10, 20, 30]])
    assert "layout of 2015" in data.notes[0]
    assert "1 images have no XML" in data.notes[0]
    assert data.record(1).path.is_file()


@pytest.mark.parametrize("tree", [tree_of_2015, tree_of_2014])
def test_train_is_the_union_of_the_lists_by_class(tmp_path: Path, tree: object) -> None:
    assert callable(tree)
    data = read_split(DataSettings(root=tree(tmp_path)), "train", CLASSES)
    names = [image_id.rpartition("/")[2] for image_id in data.image_ids.tolist()]
    assert sorted(names) == ["ILSVRC2013_train_00000003", "ILSVRC2014_train_00000001", "n00000001_7"]
    assert dict(zip(names, data.complete.tolist(), strict=True)) == {
        "ILSVRC2013_train_00000003": [True, False],
        "ILSVRC2014_train_00000001": [True, True],
        "n00000001_7": [True, False],
    }
    objects = [len(data.truth(position).labels) for position in range(3)]
    assert dict(zip(names, objects, strict=True)) == {
        "ILSVRC2013_train_00000003": 0,
        "ILSVRC2014_train_00000001": 1,
        "n00000001_7": 1,
    }


def test_val_of_2014_is_found_by_the_devkit_list(tmp_path: Path) -> None:
    data = read_split(DataSettings(root=tree_of_2014(tmp_path)), "val", CLASSES)
    assert data.indices.tolist() == [2]
    np.testing.assert_array_equal(data.objects.boxes, [[10, 10, 20, 30]])
    assert "layout of 2014" in data.notes[0]


def test_plain_train_list_is_used_where_there_are_none_by_class(tmp_path: Path) -> None:
    lists = tree_of_2015(tmp_path) / "ImageSets" / "DET"
    for number in (1, 2):
        (lists / f"train_{number}.txt").unlink()
    write_lines(
        lists / "train.txt",
        "ILSVRC2013_train/n00000001/n00000001_7 1",
        "ILSVRC2014_train_0000/ILSVRC2014_train_00000001 2",
    )
    data = read_split(DataSettings(root=tmp_path), "train", CLASSES)
    assert data.exhaustive.tolist() == [False, True]  # only those added in 2014 are labelled for all classes
    assert len(data.objects.labels) == 2


def test_split_can_be_a_list_file_over_val_and_train(tmp_path: Path) -> None:
    root = tree_of_2015(tmp_path / "data")
    path = write_lines(
        tmp_path / "mine.txt", "ILSVRC2012_val_00000002 2", "ILSVRC2013_train/n00000001/n00000001_7 1"
    )
    black = write_lines(tmp_path / "black.txt", "1 n00000001", "2 n00000002")
    data = read_split(DataSettings(root=root, blacklist=black), str(path), CLASSES)
    assert data.name == "mine"
    assert data.objects.labels.tolist() == [2, 1]
    assert data.complete.tolist() == [[True, False], [True, False]]  # blacklisted; not in the list of class 2
    assert data.blacklist.tolist() == [[0, 2]]  # index 1 is val's first image, not that of train
    assert data.truth(0).difficult.tolist() == [True]
    assert data.objects.difficult.tolist() == [False, False]


@pytest.mark.parametrize("by_path", [False, True])
def test_blacklist_follows_the_official_indices_of_a_part_of_val(tmp_path: Path, by_path: bool) -> None:
    root = tree_of_2015(tmp_path / "data")
    lists = tmp_path if by_path else root / "ImageSets" / "DET"
    path = write_lines(lists / "val1.txt", "ILSVRC2012_val_00000002 2")
    black = write_lines(tmp_path / "black.txt", "1 n00000001", "2 n00000001")
    settings = DataSettings(root=root, blacklist=black, train=("val1",))
    data = read_split(settings, str(path) if by_path else "val1", CLASSES)
    assert data.indices.tolist() == [2]
    assert data.blacklist.tolist() == [[0, 1]]
    assert data.complete.tolist() == [[False, True]]
    assert data.truth(0).difficult.tolist() == [False]  # a dog; cats are blacklisted


def test_val_is_complete_and_the_lists_can_be_ignored(tmp_path: Path) -> None:
    settings = DataSettings(root=tree_of_2015(tmp_path))
    assert read_split(settings, "val", CLASSES).complete.tolist() == [[True, True]] * 2
    assert not read_split(settings, "train", CLASSES).complete.all()
    ignoring = settings.model_copy(update={"negative_lists": "ignore"})
    assert read_split(ignoring, "train", CLASSES).complete.all()
    black = write_lines(tmp_path / "black.txt", "2 n00000001")
    blacklisting = ignoring.model_copy(update={"blacklist": black})
    assert read_split(blacklisting, "val", CLASSES).complete.tolist() == [[True, True], [False, True]]


def test_listed_train_image_of_another_name_is_complete_for_nothing(tmp_path: Path) -> None:
    root = tree_of_2015(tmp_path / "data")
    for name in ("new_1", "new_2"):
        write_image(root / "Data" / "DET" / "train" / f"{name}.JPEG")
    path = write_lines(tmp_path / "mine.txt", "new_1 1", "ILSVRC2014_train_00000001 2", "new_2 3")
    data = read_split(DataSettings(root=root), str(path), CLASSES)
    assert data.complete.tolist() == [[False, False], [True, True], [False, False]]


@pytest.mark.parametrize("tree", [tree_of_2015, tree_of_2014])
def test_training_can_be_limited_to_some_positives_of_each_class(tmp_path: Path, tree: object) -> None:
    assert callable(tree)
    settings = DataSettings(root=tree(tmp_path), train_positives=2)
    data = read_split(settings, "train", CLASSES)
    names = [image_id.rpartition("/")[2] for image_id in data.image_ids.tolist()]
    assert sorted(names) == ["ILSVRC2014_train_00000001", "n00000001_7"]  # positive of a class, not merely listed
    assert dict(zip(names, data.complete[:, 1].tolist(), strict=True))["n00000001_7"] is False
    assert "at most 2 positives of each of the classes' lists" in data.notes[0]
    one = read_split(settings.model_copy(update={"train_positives": 1}), "train", CLASSES)
    assert set(one.image_ids) < set(data.image_ids)
    assert len(one) == 1


def test_positives_cannot_be_chosen_without_lists_by_class(tmp_path: Path) -> None:
    lists = tree_of_2015(tmp_path) / "ImageSets" / "DET"
    for number in (1, 2):
        (lists / f"train_{number}.txt").unlink()
    write_lines(lists / "train.txt", "ILSVRC2013_train/n00000001/n00000001_7 1")
    with pytest.raises(DataError, match=r"must be there for data\.train_positives, got none \(.*ImageSets/DET\)$"):
        read_split(DataSettings(root=tmp_path, train_positives=5), "train", CLASSES)


@pytest.mark.parametrize(
    ("others", "wanted"),
    [
        ({"format": "voc"}, "0 for format voc, which has no lists by class, got 3"),
        ({"train": ("val1",)}, "0 without the split train, got 3"),
    ],
)
def test_positives_are_for_the_train_split_of_ilsvrc(others: dict[str, Any], wanted: str) -> None:
    with pytest.raises(ValueError, match=f"train_positives must be {wanted}"):
        DataSettings.model_validate({"train_positives": 3, **others})
    assert DataSettings(train=("val1", "train"), train_positives=3).train_positives == 3


def test_test_split_needs_no_annotations(tmp_path: Path) -> None:
    data = read_split(DataSettings(root=tree_of_2015(tmp_path)), "test", CLASSES)
    assert len(data) == 1
    assert len(data.objects.labels) == 0


def test_blacklist_is_relative_to_the_root(tmp_path: Path) -> None:
    root = tree_of_2015(tmp_path)
    write_lines(root / "black.txt", "2 n00000001")
    data = read_split(DataSettings(root=root, blacklist=Path("black.txt")), "val", CLASSES)
    assert data.blacklist.tolist() == [[1, 1]]


def test_folder_that_is_no_ilsvrc_tells_the_known_layouts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Data/DET and ImageSets/DET \(2015\), or .*\(2014\), got neither"):
        read_split(DataSettings(root=tmp_path), "val", CLASSES)
    with pytest.raises(DataError, match=r"data\.root must be a folder, got .*gone"):
        read_split(DataSettings(root=tmp_path / "gone"), "val", CLASSES)


def test_missing_parts_of_a_tree_are_named(tmp_path: Path) -> None:
    root = tree_of_2015(tmp_path)
    with pytest.raises(DataError, match=r"list file, got 'val3' \(looked for .*ImageSets/DET/val3\.txt"):
        read_split(DataSettings(root=root), "val3", CLASSES)
    (root / "Annotations").rename(root / "Boxes")
    with pytest.raises(DataError, match=r"XML files, got none \(looked for .*Annotations/DET/val;"):
        read_split(DataSettings(root=root), "val", CLASSES)
    (root / "Data" / "DET" / "val").rename(root / "Data" / "DET" / "validation")
    with pytest.raises(DataError, match=r"images must be in a folder, got none \(looked for .*Data/DET/val;"):
        read_split(DataSettings(root=root), "val", CLASSES)


def test_empty_list_is_an_empty_split(tmp_path: Path) -> None:
    root = tree_of_2015(tmp_path)
    write_lines(root / "ImageSets" / "DET" / "val.txt")
    with pytest.raises(DataError, match=r"split val must hold at least one image, got none \(.*val\.txt"):
        read_split(DataSettings(root=root), "val", CLASSES)


def test_listed_image_without_file_stops_or_is_skipped(tmp_path: Path) -> None:
    root = tree_of_2015(tmp_path)
    (root / "Data" / "DET" / "val" / "ILSVRC2012_val_00000001.JPEG").unlink()
    with pytest.raises(DataError, match=r"val/ILSVRC2012_val_00000001\.JPEG \(No such file"):
        read_split(DataSettings(root=root), "val", CLASSES)
    black = write_lines(tmp_path / "black.txt", "1 n00000001", "2 n00000002")
    data = read_split(DataSettings(root=root, bad_images="skip", blacklist=black), "val", CLASSES)
    assert data.indices.tolist() == [2]
    assert data.objects.image.tolist() == [0]
    assert data.blacklist.tolist() == [[0, 2]]
    assert any("1 images cannot be read and were left out" in note for note in data.notes)


def test_ground_truth_is_unclipped_and_missing_files_hold_no_objects(tmp_path: Path) -> None:
    write_annotation(tmp_path / "a.xml", ("cat", (-3, 5, 80, 4)), ("n00000002", (1.5, 2, 3, 4)))
    table = read_ground_truth(tmp_path, ["gone", "a"], CLASSES)
    assert table.image.tolist() == [1, 1]
    assert table.labels.tolist() == [1, 2]
    np.testing.assert_array_equal(table.boxes, [[-3, 5, 81, 5], [1.5, 2, 4, 5]])


def test_ground_truth_is_of_images_that_have_annotations_of_their_own(tmp_path: Path) -> None:
    assert len(read_ground_truth(tmp_path, [], CLASSES).labels) == 0
    write_annotation(tmp_path / "a.xml")
    with pytest.raises(DataError, match=r"^names of images must differ, got 'x/a' and 'y/a' for .*a\.xml \("):
        read_ground_truth(tmp_path, ["x/a", "y/a"], CLASSES)
    with pytest.raises(
        DataError, match=r"^annotations must be XML files of the listed images, got no gone\.xml in "
    ):
        read_ground_truth(tmp_path, ["gone"], CLASSES)


def test_names_of_a_list_may_hold_blanks_dots_and_suffixes(tmp_path: Path) -> None:
    root = tree_of_2015(tmp_path)
    for name in ("b", "b 2", "v.2", "a.jpg"):
        write_image(root / "Data" / "DET" / "val" / f"{name}.JPEG")
        write_annotation(
            root / "Annotations" / "DET" / "val" / f"{name}.xml", ("n00000002", (0, 0, 9 + len(name), 29))
        )
    for lines in (
        ("b 2", "v.2", "a.jpg", "b"),
        ("b 2 7", "v.2 8", "a.jpg 9", "b 1"),
        ("b 2.JPEG 7", "v.2.JPEG 8", "a.jpg.JPEG 9", "b.JPEG 1"),
    ):
        path = write_lines(tmp_path / "mine.txt", *lines)
        data = read_split(DataSettings(root=root), str(path), CLASSES)
        assert data.image_ids.tolist() == ["b 2", "v.2", "a.jpg", "b"]
        assert data.objects.boxes[:, 2].tolist() == [13, 13, 15, 11]
        assert data.indices.tolist() == ([1, 2, 3, 4] if lines[0] == "b 2" else [7, 8, 9, 1])


@pytest.mark.parametrize("name", ["/etc/passwd", "../val/ILSVRC2012_val_00000002"])
def test_a_list_that_leads_out_of_the_root_is_refused_unless_allowed(tmp_path: Path, name: str) -> None:
    root = tree_of_2015(tmp_path / "data")
    path = write_lines(tmp_path / "mine.txt", f"{name} 2")
    with pytest.raises(DataError, match=rf"inside its folder, got '{name}' \({path}:1; data\.outside_root=allow"):
        read_split(DataSettings(root=root), str(path), CLASSES)
    if name.startswith(".."):
        allowed = DataSettings(root=root, outside_root="allow")
        assert len(read_split(allowed, str(path), CLASSES).objects.labels) == 1


@pytest.mark.shared
def test_all_real_val2_annotations_are_read(shared: Path, tmp_path: Path) -> None:
    data = shared / "data"
    with tarfile.open(data / "ilsvrc_det_val2_xml.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / "Annotations" / "DET" / "val"
    ids, _ = read_image_list(data / "ilsvrc_det_lists" / "val2.txt")
    table = read_ground_truth(folder, ids, ilsvrc_det_classes())
    assert len(table.labels) == 26_782
    assert len(np.unique(table.labels)) == 200
    assert len(ids) - len(np.unique(table.image)) == 677
    assert np.count_nonzero(table.boxes[:, 0] == 0) == 1_858  # 0-based: many touch the left edge at 0
    assert (np.diff(table.image) >= 0).all()
    counts = np.array(
        [len(file.read_text().split("<object>")) - 1 for file in map(folder.joinpath, _xml(ids[:300]))]
    )
    np.testing.assert_array_equal(np.bincount(table.image, minlength=len(ids))[:300], counts)


@pytest.mark.shared
def test_real_mini_val_is_read(shared: Path) -> None:
    root = shared / "data" / "ilsvrc_det_mini"
    data = read_split(DataSettings(root=root), "val", ilsvrc_det_classes())
    assert len(data) == 60
    assert data.indices[0] == 1041
    assert (data.sizes == 227).all()
    assert len(data.objects.labels) == 126
    assert len(data.notes) == 1


def _xml(ids: list[str]) -> list[str]:
    return [f"{image_id}.xml" for image_id in ids]
