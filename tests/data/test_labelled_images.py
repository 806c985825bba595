import os
from pathlib import Path

import numpy as np
import pytest
from trees import write_lines

from detector.data.classes import ClassList, write_classes
from detector.data.images import read_image
from detector.data.labelled_images import LabelledImages, read_class_names, read_labelled_images
from detector.errors import DataError
from detector.text import shown

CLASSES = ClassList(("tench", "goldfish", "crane"), ("n01440764", "n01443537", "n02012849"))


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def rows(images: LabelledImages, root: Path) -> list[tuple[str, int]]:
    paths = [Path(path).relative_to(root).as_posix() for path in images.paths.tolist()]
    return list(zip(paths, images.labels.tolist(), strict=True))


def message(root: Path, split: str, classes: ClassList | None = None) -> str:
    with pytest.raises(DataError) as caught:
        read_labelled_images(root, split, classes=classes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_folders_are_the_classes_in_the_order_of_their_names(tmp_path: Path) -> None:
    touch(tmp_path, "train/dog/b.jpg", "train/dog/a.jpg", "train/cat/z.jpg")
    images = read_labelled_images(tmp_path, "train")
    assert rows(images, tmp_path) == [("train/cat/z.jpg", 1), ("train/dog/a.jpg", 2), ("train/dog/b.jpg", 2)]
    assert images.classes == ClassList(("cat", "dog"))
    assert (images.name, images.notes, len(images)) == ("train", (), 3)
    assert images.labels.dtype == np.int64
    assert images.paths.dtype.kind == "U"


def test_folders_named_by_wnids_give_names_and_wnids(tmp_path: Path) -> None:
    touch(tmp_path, "train/n00000002/b.JPEG", "train/n00000001/a.JPEG")
    wnids = ("n00000001", "n00000002")
    assert read_labelled_images(tmp_path, "train").classes == ClassList(wnids, wnids)
    touch(tmp_path, "train/others/c.JPEG")
    assert read_labelled_images(tmp_path, "train").classes == ClassList((*wnids, "others"))


def test_images_of_every_suffix_are_found_at_any_depth_and_hidden_files_are_not(tmp_path: Path) -> None:
    seen = ["a.JPEG", "b.jpg", "c.PnG", "d.bmp", "e.WEBP", "images/deep/f.jpeg"]
    unseen = ["boxes.txt", "jpg", ".a.jpg", ".thumbs/a.jpg", "images/._f.jpeg"]
    touch(tmp_path, *(f"train/cat/{name}" for name in seen + unseen), "train/.git/a.jpg")
    images = read_labelled_images(tmp_path, "train")
    assert rows(images, tmp_path) == [(f"train/cat/{name}", 1) for name in seen]
    assert len(images.classes) == 1


def test_folders_that_are_links_count(tmp_path: Path) -> None:
    touch(tmp_path, "store/cat/a.jpg")
    (tmp_path / "train").mkdir()
    (tmp_path / "train/cat").symlink_to(tmp_path / "store/cat")
    assert rows(read_labelled_images(tmp_path, "train"), tmp_path) == [("train/cat/a.jpg", 1)]


def test_a_test_split_gets_the_labels_of_the_training_classes(tmp_path: Path) -> None:
    touch(tmp_path, "val/n02012849/a.jpg", "val/goldfish/b.jpg")
    images = read_labelled_images(tmp_path, "val", classes=CLASSES)
    assert rows(images, tmp_path) == [("val/goldfish/b.jpg", 2), ("val/n02012849/a.jpg", 3)]
    assert images.classes is CLASSES
    assert images.notes == ("1 of 3 classes have no image: 'tench'",)


def test_an_unknown_folder_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    touch(tmp_path, "val/goldfisch/a.jpg")
    where = tmp_path / "val/goldfisch"
    assert message(tmp_path, "val", CLASSES) == (
        f"class name must be in the class list, got 'goldfisch' ({where}); did you mean 'goldfish'?"
    )


def test_class_folders_without_images_are_a_note_while_others_have_some(tmp_path: Path) -> None:
    touch(tmp_path, "train/3/a.jpg", "train/5/notes.txt")
    for name in "01249":
        (tmp_path / "train" / name).mkdir()
    images = read_labelled_images(tmp_path, "train")
    assert images.labels.tolist() == [4]
    assert images.notes == ("6 of 7 classes have no image: '0', '1', '2' and 3 more",)


def test_images_beside_the_class_folders_are_a_note(tmp_path: Path) -> None:
    touch(tmp_path, "train/cat/a.jpg", "train/b.jpg", "train/c.png", "train/list.txt")
    images = read_labelled_images(tmp_path, "train")
    assert images.notes == (f"2 images beside the class folders are left out ({tmp_path / 'train'})",)


def test_a_list_gives_files_and_classes_in_its_order(tmp_path: Path) -> None:
    touch(tmp_path, "images/x/b 1.jpg", "images/a.jpg", "images/c  d.jpg")
    write_lines(tmp_path / "val.txt", "x/b 1.jpg 3", "", "  a.jpg\t0 ", "c  d.jpg 0\r")
    images = read_labelled_images(tmp_path, "val", Path("images"))
    assert rows(images, tmp_path) == [("images/x/b 1.jpg", 4), ("images/a.jpg", 1), ("images/c  d.jpg", 1)]
    assert images.classes == ClassList(("0", "1", "2", "3"))
    assert images.notes == ("2 of 4 classes have no image: '1', '2'",)
    np.testing.assert_array_equal(read_labelled_images(tmp_path, "val.txt", Path("images")).labels, images.labels)


def test_a_list_may_lie_beside_the_folder_of_its_images(tmp_path: Path) -> None:
    touch(tmp_path, "val/a.jpg")
    write_lines(tmp_path / "val.txt", "a.jpg 2")
    images = read_labelled_images(tmp_path, "val", Path("val"), CLASSES)
    assert rows(images, tmp_path) == [("val/a.jpg", 3)]


def test_class_folders_count_before_a_list_of_the_same_name(tmp_path: Path) -> None:
    touch(tmp_path, "train/cat/a.jpg")
    write_lines(tmp_path / "train.txt", "train/cat/a.jpg 7")
    assert read_labelled_images(tmp_path, "train").labels.tolist() == [1]
    assert read_labelled_images(tmp_path, "train.txt").labels.tolist() == [8]


@pytest.mark.parametrize("word", ["-1", "3", "x", "1.0", "²", "9" * 5000])
def test_an_index_out_of_range_is_refused_with_its_line(tmp_path: Path, word: str) -> None:
    touch(tmp_path, "a.jpg")
    path = write_lines(tmp_path / "val.txt", "a.jpg 0", f"a.jpg {word}")
    wanted = f"{path}:2 must have a class index in 0..2, got {shown(word)}"
    assert message(tmp_path, "val", CLASSES) == wanted


def test_an_index_of_a_list_without_classes_is_bounded(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    path = write_lines(tmp_path / "val.txt", "a.jpg 20150000")
    assert message(tmp_path, "val") == f"{path}:1 must have a class index in 0..999999, got '20150000'"


def test_a_line_without_index_is_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "val.txt", "", "a.jpg")
    assert message(tmp_path, "val") == f"{path}:2 must read <file> <class index>, got 'a.jpg'"


def test_a_list_of_another_folder_is_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "val.txt", "a.jpg 0")
    assert message(tmp_path, "val") == (
        f"images of a list must stand under {tmp_path}, got no file {tmp_path / 'a.jpg'} ({path})"
    )


@pytest.mark.parametrize("name", ["/etc/a.jpg", "../a.jpg", "cat/../../a.jpg"])
def test_a_list_leads_out_of_its_folder_only_where_the_user_says_so(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "data/cat/b.jpg", "a.jpg")
    name = name.replace("/etc", str(tmp_path))
    path = write_lines(tmp_path / "data" / "val.txt", "cat/b.jpg 0", f"{name} 1")
    where = f"{path}:2; data.outside_root=allow allows it"
    assert message(tmp_path / "data", "val") == (
        f"image of a list must be a path inside its folder, got {shown(name)} ({where})"
    )
    images = read_labelled_images(tmp_path / "data", "val", outside=True)
    assert Path(images.paths[1]).samefile(tmp_path / "a.jpg")


def test_a_class_folder_whose_name_is_no_line_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "train/cat/a.jpg", "train/do\ng/a.jpg")
    assert message(tmp_path, "train").startswith(
        "name of a class folder must be 1 to 200 printable characters in one line, got 'do\\ng' ("
    )


def test_links_to_folders_above_are_no_classes_and_add_no_images(tmp_path: Path) -> None:
    touch(tmp_path, "train/cat/a.jpg")
    (tmp_path / "train/all").symlink_to(".")
    (tmp_path / "train/cat/up").symlink_to("..")
    assert rows(read_labelled_images(tmp_path, "train"), tmp_path) == [("train/cat/a.jpg", 1)]


def test_a_csv_with_blanks_in_its_header_is_a_csv(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "classes.csv", "id, wnid, name", "1, n01, cat")
    assert read_class_names(path) == ClassList(("cat",), ("n01",))


def test_a_split_that_is_not_there_is_refused(tmp_path: Path) -> None:
    places = f"neither {tmp_path / 'vall'} nor {tmp_path / 'vall.txt'}"
    assert message(tmp_path, "vall") == f"split must be a folder or a list file, got 'vall' ({places})"


def test_a_split_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train/cat").mkdir(parents=True)
    (tmp_path / "val.txt").touch()
    assert message(tmp_path, "train") == f"split must hold at least one image, got none ({tmp_path / 'train'})"
    assert message(tmp_path, "val") == f"split must hold at least one image, got none ({tmp_path / 'val.txt'})"


def test_a_folder_of_images_alone_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "val/a.jpg")
    assert message(tmp_path, "val") == (
        f"split must be a folder with one folder a class, got {tmp_path / 'val'} without any"
    )


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="all folders can be read here")
def test_a_class_folder_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "train/cat/a.jpg")
    (tmp_path / "train/cat").chmod(0)
    try:
        wanted = f"folder must be readable, got {tmp_path / 'train/cat'} (Permission denied)"
        assert message(tmp_path, "train") == wanted
    finally:
        (tmp_path / "train/cat").chmod(0o755)


def test_class_names_follow_their_wnids(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "words.txt", "n00000002 kit fox, Vulpes macrotis", "", "n00000001\tcat")
    assert read_class_names(path) == ClassList(("kit fox, Vulpes macrotis", "cat"), ("n00000002", "n00000001"))


def test_names_that_are_not_unique_get_their_wnids(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "words.txt", "n00000001 crane", "n00000002 cat", "n00000003 crane")
    assert read_class_names(path).names == ("crane (n00000001)", "cat", "crane (n00000003)")


def test_a_wnid_alone_is_its_name(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "synsets.txt", "n00000001", "n00000002")
    assert read_class_names(path).names == ("n00000001", "n00000002")


def test_class_names_without_wnids_are_whole_lines(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "names.txt", " maillot", "maillot, tank suit ", "n1 engine")
    assert read_class_names(path) == ClassList(("maillot", "maillot, tank suit", "n1 engine"))


def test_the_csv_of_a_class_list_is_read_as_such(tmp_path: Path) -> None:
    write_classes(tmp_path / "classes.csv", CLASSES)
    assert read_class_names(tmp_path / "classes.csv") == CLASSES


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        (("cat", "dog", "cat"), "{}:3 must differ from the lines before, got 'cat' as in line 1"),
        (("n00000001 a", "n00000001 b"), "{}:2 must differ from the lines before, got 'n00000001' as in line 1"),
        (("n00000001 a", "dog"), "{}:2 must begin with a WNID as the lines before, got 'dog'"),
        (("", ""), "class list must name at least one class, got none ({})"),
    ],
)
def test_wrong_class_names_are_refused_with_their_line(
    tmp_path: Path, lines: tuple[str, ...], wanted: str
) -> None:
    path = write_lines(tmp_path / "names.txt", *lines)
    with pytest.raises(DataError) as caught:
        read_class_names(path)
    assert str(caught.value) == wanted.format(path)


@pytest.mark.shared
def test_the_names_of_imagenet_are_read(shared: Path) -> None:
    classes = read_class_names(shared / "data/ilsvrc_det_lists/cls_synset_words.txt")
    assert len(classes) == len(set(classes.names)) == len(set(classes.wnids)) == 1000
    assert classes.names[0] == "tench, Tinca tinca"
    assert (classes.names[134], classes.names[517]) == ("crane (n02012849)", "crane (n03126707)")
    assert classes.names[638:640] == ("maillot", "maillot, tank suit")


@pytest.mark.shared
def test_real_validation_images_are_read(shared: Path) -> None:
    classes = read_class_names(shared / "data/ilsvrc_det_lists/cls_synset_words.txt")
    images = read_labelled_images(shared / "data/ilsvrc_cls_mini", "val", Path("images"), classes)
    assert len(images) == 130
    assert images.labels[:3].tolist() == [274, 102, 795]
    assert read_image(Path(images.paths[0])).shape == (227, 227, 3)


@pytest.mark.parametrize(
    ("lines", "notes"),
    [
        (("a.jpg 0", "b.jpg 1"), ()),
        (("a.jpg 0", "b.jpg 1", "a.jpg 0", "a.jpg 0"), ("2 lines name an image again",)),
        (
            ("a.jpg 0", "a.jpg 1", "b.jpg 0", "b.jpg 0"),
            ("2 lines name an image again, 1 of them with another class, such as a.jpg",),
        ),
    ],
)
def test_images_that_a_list_has_twice_are_told(
    tmp_path: Path, lines: tuple[str, ...], notes: tuple[str, ...]
) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    write_lines(tmp_path / "val.txt", *lines)
    images = read_labelled_images(tmp_path, "val")
    assert tuple(note.replace(f"{tmp_path}/", "") for note in images.notes) == notes
    assert len(images) == len(lines)


def test_a_list_that_was_written_on_windows_is_read(tmp_path: Path) -> None:
    touch(tmp_path, "cat/a b.jpg", "cat\\c.jpg")
    write_lines(tmp_path / "val.txt", "cat\\a b.jpg 0", "cat\\c.jpg 1")
    assert rows(read_labelled_images(tmp_path, "val"), tmp_path) == [("cat/a b.jpg", 1), ("cat\\c.jpg", 2)]
    write_lines(tmp_path / "val.txt", "..\\a.jpg 0")
    assert "must be a path inside its folder, got '../a.jpg'" in message(tmp_path, "val")
