from pathlib import Path

import pytest

from detector.data.pairs import Pairs
from detector.errors import DataError

ROOT = Path("/sets/mine")


def pairs(images: str, annotations: str) -> Pairs:
    return Pairs(
        ROOT, [f"{ROOT}/{name}" for name in images.split()], [f"{ROOT}/{name}" for name in annotations.split()]
    )


def partner(found: Pairs, image: str) -> str | None:
    path = found.annotation(f"{ROOT}/{image}")
    return path.removeprefix(f"{ROOT}/") if path else None


@pytest.mark.parametrize(
    ("image", "annotation"),
    [
        ("a.jpg", "a.txt"),
        ("images/a.jpg", "labels/a.txt"),
        ("images/train/a.jpg", "labels/train/a.txt"),
        ("train/images/a.jpg", "train/labels/a.txt"),
        ("images/a.jpg", "a.txt"),
        ("train/a.jpg", "train/labels/a.txt"),
        ("Train/Images/a.JPG", "Train/Labels/a.txt"),
        ("train_images/a.jpg", "train_labels/a.txt"),
        ("JPEGImages/a.jpg", "Annotations/a.xml"),
        ("imgs/cam1/a.jpg", "anns/cam1/a.xml"),
        ("cam1/images/a.jpg", "cam1/annotations/a.xml"),
        ("images/a.jpg", "annotations/batch_2/a.xml"),
        ("pictures_of_june/a.jpg", "boxes/a.xml"),
        ("raw/a.jpg", "by_anna/a.xml"),
    ],
)
def test_an_annotation_is_found_in_the_folder_that_goes_with_the_image_s(image: str, annotation: str) -> None:
    found = pairs(image, annotation)
    assert partner(found, image) == annotation
    assert found.image(f"{ROOT}/{annotation}") == f"{ROOT}/{image}"
    assert found.annotations() == {f"{ROOT}/{annotation}"}


@pytest.mark.parametrize(
    ("images", "annotations", "bare"),
    [
        ("images/train/1.jpg images/test/1.jpg", "labels/train/1.txt", "images/test/1.jpg"),
        ("images/train/2.jpg images/test/1.jpg", "labels/train/2.txt labels/train/1.txt", "images/test/1.jpg"),
        ("images/test/1.jpg", "labels/train/1.txt", "images/test/1.jpg"),
        ("train/1.jpg val/1.jpg", "train/1.xml", "val/1.jpg"),
        ("1.jpg train/1.jpg", "train/1.xml", "1.jpg"),
        ("cam1/1.jpg cam1/2.jpg cam2/2.jpg", "cam1/2.xml cam2/1.xml cam2/2.xml", "cam1/1.jpg"),
        ("images/1.jpg masks/1.png", "labels/1.txt", "masks/1.png"),
        ("images/1.jpg", "labels/2.txt", "images/1.jpg"),
    ],
)
def test_no_image_gets_the_annotation_of_another_of_its_name(images: str, annotations: str, bare: str) -> None:
    assert partner(pairs(images, annotations), bare) is None


def test_numbers_that_begin_anew_in_each_folder_stay_apart() -> None:
    folders = ("cam1", "cam2", "cam3")
    names = [f"{folder}/{{}}/{number}" for folder in folders for number in range(3)]
    images = " ".join(name.format("images") + ".jpg" for name in names)
    annotations = " ".join(name.format("annotations") + ".xml" for name in reversed(names))
    found = pairs(images, annotations)
    for name in names:
        assert partner(found, name.format("images") + ".jpg") == name.format("annotations") + ".xml"


@pytest.mark.parametrize(
    ("images", "annotations", "message"),
    [
        (
            "rgb/0.jpg depth/0.png",
            "annot/0.txt",
            r"^annotation must be of one image, got .*rgb/0\.jpg and .*depth/0\.png for .*annot/0\.txt$",
        ),
        ("train/0.jpg val/0.jpg", "labels/0.txt", "^annotation must be of one image, got "),
        (
            "images/0.jpg",
            "labels/a/0.txt labels/b/0.txt",
            r"^image must have one annotation, got .*labels/a/0\.txt and .*labels/b/0\.txt \(.*images/0\.jpg\)$",
        ),
    ],
)
def test_where_names_alone_would_tell_nothing_is_taken(images: str, annotations: str, message: str) -> None:
    found = pairs(images, annotations)
    for image in images.split():
        assert found.may_be_annotated(f"{ROOT}/{image}")
        with pytest.raises(DataError, match=message):
            found.annotation(f"{ROOT}/{image}")
    for annotation in annotations.split():
        with pytest.raises(DataError, match=message):
            found.image(f"{ROOT}/{annotation}")
    assert found.annotations() == {f"{ROOT}/{name}" for name in annotations.split()}


def test_the_labels_of_a_folder_called_images_go_before_those_beside_it() -> None:
    found = pairs("images/a.jpg", "images/a.txt labels/a.txt")
    assert partner(found, "images/a.jpg") == "labels/a.txt"
    assert found.image(f"{ROOT}/images/a.txt") is None


def test_images_that_differ_in_suffix_share_an_annotation_and_the_first_is_its_image() -> None:
    found = pairs("a.jpg a.png", "a.xml")
    assert partner(found, "a.png") == partner(found, "a.jpg") == "a.xml"
    assert found.image(f"{ROOT}/a.xml") == f"{ROOT}/a.jpg"


def test_a_root_may_be_written_in_another_way_and_a_file_lie_elsewhere(tmp_path: Path) -> None:
    found = Pairs(tmp_path / "x" / "..", [f"{tmp_path}/images/a.jpg"], [f"{tmp_path}/x/../labels/a.txt"])
    assert found.annotation(f"{tmp_path}/images/a.jpg") == f"{tmp_path}/x/../labels/a.txt"
    assert not found.knows("/elsewhere/images/a.jpg")
    assert pairs("", "").annotation("/elsewhere/a.jpg") is None
