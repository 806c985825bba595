from pathlib import Path

import numpy as np
import pytest
from trees import side_by_side, write_annotation, write_image, write_lines

from detector.config import DataSettings
from detector.data.classes import ClassList
from detector.data.dataset import Dataset
from detector.data.formats.voc import find_voc
from detector.data.readers import open_classes, read_split
from detector.errors import DataError

CLASSES = ClassList(("cat", "dog"))


def read(root: Path, split: str, classes: ClassList = CLASSES, **settings: object) -> Dataset:
    return read_split(DataSettings.model_validate({"format": "voc", "root": root, **settings}), split, classes)


def official_tree(root: Path) -> Path:
    for image_id in ("000005", "000007", "000009"):
        write_image(root / "JPEGImages" / f"{image_id}.jpg")
        write_annotation(root / "Annotations" / f"{image_id}.xml", ("dog", (1, 1, 60, 40)))
    write_lines(root / "ImageSets" / "Main" / "train.txt", "000009", "000005")
    write_lines(root / "ImageSets" / "Main" / "dog_train.txt", "000009  1", "000007 -1")
    return root


def test_official_layout_follows_the_list_and_counts_pixels_from_one(tmp_path: Path) -> None:
    data = read(official_tree(tmp_path), "train")
    assert data.image_ids.tolist() == ["000009", "000005"]
    np.testing.assert_array_equal(data.objects.boxes, [[0, 0, 60, 40], [0, 0, 60, 40]])
    assert data.objects.labels.tolist() == [2, 2]
    assert data.indices.tolist() == [1, 2]
    assert data.exhaustive.all()
    assert len(data.notes) == 1
    assert "JPEGImages/ and Annotations/" in data.notes[0]


def test_lists_by_class_have_flags_that_do_not_matter(tmp_path: Path) -> None:
    assert read(official_tree(tmp_path), "dog_train").image_ids.tolist() == ["000009", "000007"]


def test_side_by_side_layout_takes_every_annotation_by_name(tmp_path: Path) -> None:
    side_by_side(tmp_path, "train", b=[("cat", (5, 5, 20, 20))], a=[])
    write_image(tmp_path / "train" / "unlabelled.jpg")
    data = read(tmp_path, "train")
    assert data.image_ids.tolist() == ["a", "b"]
    assert data.objects.image.tolist() == [1]
    assert "1 images have no annotation and are not in the split (" in data.notes[1]


def test_two_folders_are_read_whole_or_by_a_list_file(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for image_id in ("x-1", "x-2", "x-10"):
        write_image(root / "images" / f"{image_id}.png")
        write_annotation(root / "annotations" / f"{image_id}.xml", ("cat", (5, 5, 20, 20)))
    assert read(root, "all").image_ids.tolist() == ["x-1", "x-10", "x-2"]
    listed = write_lines(tmp_path / "mine.txt", "x-10", "x-1.png")
    data = read(root, str(listed))
    assert data.image_ids.tolist() == ["x-10", "x-1"]
    assert data.name == "mine"


def test_image_of_an_annotation_has_its_name_and_any_suffix(tmp_path: Path) -> None:
    for suffix in ("jpeg", "JPG", "png", "bmp"):
        write_image(tmp_path / "train" / f"{suffix}.{suffix}")
        write_annotation(tmp_path / "train" / f"{suffix}.xml")
    data = read(tmp_path, "train")
    assert [Path(path).name for path in data.paths.tolist()] == ["JPG.JPG", "bmp.bmp", "jpeg.jpeg", "png.png"]


def test_unstated_size_is_the_file_s_without_a_note(tmp_path: Path) -> None:
    write_image(tmp_path / "train" / "a.jpg")
    write_annotation(tmp_path / "train" / "a.xml", ("cat", (11, 11, 20, 20)), height=0, width=0)
    data = read(tmp_path, "train")
    assert data.sizes.tolist() == [[40, 60]]
    np.testing.assert_array_equal(data.objects.boxes, [[10, 10, 20, 20]])
    assert len(data.notes) == 1


def test_class_names_are_those_of_all_given_splits_sorted(tmp_path: Path) -> None:
    side_by_side(tmp_path, "train", a=[("dog", (1, 1, 9, 9)), ("cat", (1, 1, 9, 9))])
    side_by_side(tmp_path, "more", b=[("ant", (1, 1, 9, 9))])
    settings = DataSettings(format="voc", root=tmp_path)
    assert open_classes(settings).names == ("cat", "dog")
    settings = settings.model_copy(update={"train": ("train", "more")})
    assert open_classes(settings).names == ("ant", "cat", "dog")


def test_unknown_class_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    side_by_side(tmp_path, "train", a=[("dgo", (1, 1, 9, 9))])
    with pytest.raises(DataError, match=r"got 'dgo' \(.*a\.xml\); did you mean 'dog'\?"):
        read(tmp_path, "train")


def test_missing_split_tells_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"got 'val' \(looked for .*ImageSets/Main/val\.txt, .*/val, val\)"):
        read(official_tree(tmp_path), "val")
    with pytest.raises(DataError, match=r"data\.root must be a folder, got .*gone"):
        read(tmp_path / "gone", "train")


def test_empty_split_is_named(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="split train must hold at least one image, got none"):
        read(tmp_path, "train")


def test_listed_image_without_annotation_stops_or_is_skipped(tmp_path: Path) -> None:
    root = official_tree(tmp_path)
    (root / "Annotations" / "000009.xml").unlink()
    with pytest.raises(
        DataError, match=r"readable XML file, got none for '000009' \(.*train\.txt:1; looked in .*Annotations\)"
    ):
        read(root, "train")
    data = read(root, "train", bad_images="skip")
    assert data.image_ids.tolist() == ["000005"]
    assert "1 images without annotation were left out" in data.notes[1]


def test_image_listed_twice_is_named(tmp_path: Path) -> None:
    root = official_tree(tmp_path)
    path = write_lines(root / "ImageSets" / "Main" / "twice.txt", "000005", "000007", "000005.jpg")
    with pytest.raises(DataError, match=r"twice\.txt:3 must name another image, got '000005' as in line 1"):
        read(root, path.stem)


def test_a_list_names_images_with_blanks_dots_and_suffixes(tmp_path: Path) -> None:
    names = ("b", "b 2", "a.jpg", "Screen 9.41.00 AM", "v.2", "img (1)")
    side_by_side(tmp_path, "train", **{name: [("cat", (1, 1, 10 + k, 9))] for k, name in enumerate(names)})
    for lines in (names, [f"{name}.jpg" for name in names], [f"{name} 1" for name in names]):
        data = read(tmp_path, str(write_lines(tmp_path / "train" / "list.txt", *lines)))
        assert data.image_ids.tolist() == list(names)
        assert data.objects.boxes[:, 2].tolist() == [10, 11, 12, 13, 14, 15]
        assert [Path(path).stem for path in data.paths.tolist()] == list(names)


def test_hidden_folders_and_links_to_folders_above_add_no_images(tmp_path: Path) -> None:
    side_by_side(tmp_path, "train", a=[("cat", (1, 1, 9, 9))])
    side_by_side(tmp_path / "train", ".ipynb_checkpoints", b=[("dog", (1, 1, 9, 9))], a=[])
    (tmp_path / "train" / "up").symlink_to(tmp_path)
    assert read(tmp_path, "train").image_ids.tolist() == ["a"]
    assert open_classes(DataSettings(format="voc", root=tmp_path)).names == ("cat",)


def test_a_list_says_which_of_two_suffixes_it_means_else_the_first_counts_with_a_note(tmp_path: Path) -> None:
    side_by_side(tmp_path, "train", a=[("cat", (1, 1, 9, 9))])
    write_image(tmp_path / "train" / "a.png")
    data = read(tmp_path, "train")
    assert Path(data.record(0).path).name == "a.jpg"
    assert data.notes[1].startswith("train: 1 images have others of their name, which differ in suffix; the first")
    named = write_lines(tmp_path / "named.txt", "a.png")
    data = read(tmp_path / "train", str(named))
    assert Path(data.record(0).path).name == "a.png"
    assert len(data.notes) == 1


def test_an_annotation_without_an_image_in_its_own_folder_and_two_of_one_name_are_told(tmp_path: Path) -> None:
    side_by_side(tmp_path, "train", a=[("cat", (1, 1, 9, 9))])
    write_annotation(tmp_path / "train" / "old" / "a.xml")
    with pytest.raises(DataError, match=r"^image must be a readable file, got .*train/old/a\.jpg"):
        read(tmp_path, "train")
    (tmp_path / "train" / "old" / "a.xml").rename(tmp_path / "train" / "a.XML")
    with pytest.raises(DataError, match=r"^'a' must be one file, got .*a\.XML and .*a\.xml$"):
        read(tmp_path, "train")


def test_two_lines_that_mean_one_image_are_told(tmp_path: Path) -> None:
    side_by_side(tmp_path, "train", a=[("cat", (1, 1, 9, 9))])
    path = write_lines(tmp_path / "list.txt", "x/a", "y/a")
    with pytest.raises(DataError, match=r"list\.txt:2 must name another image, got 'y/a' as in line 1"):
        read(tmp_path / "train", str(path))


@pytest.mark.parametrize("name", ["/etc/passwd", "../train/a"])
def test_a_list_leads_out_of_the_root_only_where_the_user_says_so(tmp_path: Path, name: str) -> None:
    side_by_side(tmp_path, "train", a=[("cat", (1, 1, 9, 9))])
    path = str(
        write_lines(tmp_path / "list.txt", "a", name.replace("/etc/passwd", str(tmp_path / "train" / "a.jpg")))
    )
    with pytest.raises(
        DataError, match=r"list must be a path inside its folder, got '.*a.*' \(.*list\.txt:2; data\.outside"
    ):
        read(tmp_path / "train", path)
    path = str(write_lines(tmp_path / "list.txt", name.replace("/etc/passwd", str(tmp_path / "train" / "a.jpg"))))
    assert len(read(tmp_path / "train", path, outside_root="allow")) == 1


@pytest.mark.shared
def test_real_fruit_is_read(shared: Path) -> None:
    root = shared / "data" / "fruit"
    classes = open_classes(DataSettings(format="voc", root=root))
    assert classes.names == ("apple", "banana", "orange")
    train, test = read(root, "train", classes), read(root, "test", classes)
    assert (len(train), len(test)) == (240, 60)
    assert (len(train.objects.labels), len(test.objects.labels)) == (465, 117)
    assert (train.sizes > 0).all()


@pytest.mark.shared
def test_real_raccoon_is_read(shared: Path) -> None:
    data = read(shared / "data" / "raccoon", "all", ClassList(("raccoon",)))
    assert (len(data), len(data.objects.labels)) == (200, 217)


@pytest.mark.shared
def test_real_blood_cells_have_two_degenerate_boxes(shared: Path) -> None:
    root = shared / "data" / "bccd"
    classes = ClassList(("Platelets", "RBC", "WBC"))
    parts = [read(root, split, classes) for split in ("trainval", "test")]
    assert sum(len(part) for part in parts) == 364
    assert sum(len(part.objects.labels) for part in parts) == 4_888
    trained = sum(len(part.truth(position).labels) for part in parts for position in range(len(part)))
    assert trained == 4_886
    assert any("2 boxes have a side of one pixel or less" in note for note in parts[0].notes)
    with pytest.raises(DataError, match=r"= 503, 336, 504, 337 \(.*BloodImage_00338\.xml\); 2 such boxes"):
        read(root, "trainval", classes, bad_boxes="stop")


def test_unannotated_images_of_another_split_do_not_get_the_annotations_of_their_namesakes(tmp_path: Path) -> None:
    for name in ("1", "2"):
        write_image(tmp_path / "images" / "train" / f"{name}.jpg")
        write_annotation(tmp_path / "annotations" / "train" / f"{name}.xml", ("cat", (5, 5, 20, 20)))
    write_image(tmp_path / "images" / "test" / "1.jpg")
    with pytest.raises(DataError, match=r"^split test must hold at least one image, got none "):
        read(tmp_path, "test")
    assert read(tmp_path, "train").image_ids.tolist() == ["1", "2"]


def test_images_and_annotations_may_lie_by_cameras_in_either_order_of_folders(tmp_path: Path) -> None:
    for camera, name in (("cam1", "cat"), ("cam2", "dog")):
        for image, xml in ((f"{camera}/images", f"{camera}/annotations"), (f"img/{camera}", f"ann/{camera}")):
            write_image(tmp_path / image / "0.jpg")
            write_annotation(tmp_path / xml / "0.xml", (name, (5, 5, 20, 20)))
    data = read(tmp_path, "all")
    shown = [path.removeprefix(f"{tmp_path}/") for path in data.paths.tolist()]
    assert shown == ["img/cam1/0.jpg", "img/cam2/0.jpg", "cam1/images/0.jpg", "cam2/images/0.jpg"]
    assert data.objects.labels.tolist() == [1, 2, 1, 2]
    write_lines(tmp_path / "list.txt", "cam2/images/0.jpg", "img/cam1/0.jpg")
    assert read(tmp_path, "list.txt").objects.labels.tolist() == [2, 1]


def test_folders_called_by_their_split_and_kind_go_together(tmp_path: Path) -> None:
    for split, name in (("train", "cat"), ("test", "dog")):
        write_image(tmp_path / f"{split}_images" / "0.jpg")
        write_annotation(tmp_path / f"{split}_annotations" / "0.xml", (name, (5, 5, 20, 20)))
    found = find_voc(tmp_path)
    assert found
    assert found.splits == {"train": "train_annotations", "test": "test_annotations"}
    assert read(tmp_path, found.splits["train"]).objects.labels.tolist() == [1]
    assert read(tmp_path, found.splits["test"]).objects.labels.tolist() == [2]


def test_an_image_elsewhere_is_not_taken_for_a_missing_one(tmp_path: Path) -> None:
    for name, camera in (("2", "cam1"), ("2", "cam2")):
        write_image(tmp_path / camera / f"{name}.jpg")
        write_annotation(tmp_path / camera / f"{name}.xml")
    write_image(tmp_path / "cam1" / "1.jpg")
    write_annotation(tmp_path / "cam2" / "1.xml", ("cat", (5, 5, 20, 20)))
    with pytest.raises(DataError, match=r"^image must be a readable file, got .*cam2/1\.jpg"):
        read(tmp_path, "all")


def test_a_file_of_the_working_folder_that_is_called_as_a_split_is_not_its_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    side_by_side(tmp_path / "data", "train", a=[("cat", (1, 1, 9, 9))], b=[])
    write_lines(tmp_path / "train", "b")
    monkeypatch.chdir(tmp_path)
    assert read(tmp_path / "data", "train").image_ids.tolist() == ["a", "b"]


def test_a_list_of_annotations_is_no_annotation(tmp_path: Path) -> None:
    (tmp_path / "annotations.xml").write_text(
        "<?xml version='1.0'?>\n<annotations><version>1.1</version></annotations>"
    )
    assert find_voc(tmp_path) is None
