"""Orientation tags, and what is said of boxes that may speak of the turned image."""

from pathlib import Path

import pytest
from trees import write_annotation, write_lines
from turned_trees import write_turned
from yolo_trees import ONE

from detector.config import DataSettings
from detector.data.check import check_data
from detector.data.formats.turned_images import EXCHANGED, SHOWN, SILENT, STORED
from detector.data.readers import open_dataset

BOX = ("cat", (5, 5, 20, 30))


def photograph(root: Path, name: str, orientation: int, stated: tuple[int, int], **sides: int) -> None:
    """An image of 60 x 40 pixels as stored, and its XML that states a height and a width."""
    write_turned(root / "train" / f"{name}.jpg", orientation, **sides)
    write_annotation(root / "train" / f"{name}.xml", BOX, height=stated[0], width=stated[1])


def said(root: Path, **settings: object) -> list[str]:
    """What the reader notes after what it read; the check says the same."""
    data = DataSettings.model_validate({"format": "voc", "root": root, "test": ("train",), **settings})
    notes = [note.split(" (/")[0] for note in open_dataset(data, data.train).notes[1:]]
    found = [
        f"{each.split}: {len(each.cases)} {each.text}"
        for each in check_data(data, {"train": data.train}).findings
        if each.severity == "warning"
    ]
    assert notes == found
    return found


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_stated_size_that_is_the_shown_one_is_told_with_what_turns_the_image(
    tmp_path: Path, orientation: int
) -> None:
    photograph(tmp_path, "a", orientation, (60, 40))
    assert said(tmp_path) == [f"train: 1 {SHOWN}"]
    assert said(tmp_path, exif="apply") == []


def test_a_stated_size_that_is_the_stored_one_is_right_until_the_tag_is_applied(tmp_path: Path) -> None:
    photograph(tmp_path, "a", 6, (40, 60))
    assert said(tmp_path) == []
    assert said(tmp_path, exif="apply") == [f"train: 1 {STORED}"]


@pytest.mark.parametrize(
    ("orientation", "stated", "sides"),
    [
        (3, (40, 60), {}),
        (2, (40, 60), {}),
        (4, (40, 60), {}),
        (6, (40, 40), {"height": 40, "width": 40}),
        (6, (0, 0), {}),
    ],
)
def test_where_no_size_tells_of_a_tag_it_is_told(
    tmp_path: Path, orientation: int, stated: tuple[int, int], sides: dict[str, int]
) -> None:
    photograph(tmp_path, "a", orientation, stated, **sides)
    assert said(tmp_path) == [f"train: 1 {SILENT}"]
    assert said(tmp_path, exif="apply") == []


@pytest.mark.parametrize("orientation", [3, 6])
def test_tags_of_images_whose_labels_state_no_size_are_told(tmp_path: Path, orientation: int) -> None:
    for name in ("a", "b"):
        write_turned(tmp_path / "train" / f"{name}.jpg", orientation, seed=ord(name))
    write_lines(tmp_path / "train" / "a.txt", ONE)
    write_lines(tmp_path / "train" / "b.txt")  # no boxes, nothing to turn
    assert said(tmp_path, format="yolo") == [f"train: 1 {SILENT}"]
    assert said(tmp_path, format="yolo", exif="apply") == []


def test_images_without_a_tag_that_turns_are_left_in_peace(tmp_path: Path) -> None:
    photograph(tmp_path, "a", 1, (40, 60))
    assert said(tmp_path) == said(tmp_path, exif="apply") == []
    photograph(tmp_path, "b", 1, (60, 40), seed=1)
    assert said(tmp_path) == [f"train: 1 {EXCHANGED}"]


def test_another_size_that_nothing_turned_has_is_rescaled_and_its_tag_told(tmp_path: Path) -> None:
    photograph(tmp_path, "a", 6, (80, 120))
    assert [line.split(" ", 2)[2].split()[0] for line in said_by_check(tmp_path)] == ["annotations", "images"]


def said_by_check(root: Path) -> list[str]:
    data = DataSettings(format="voc", root=root, test=("train",))
    found = check_data(data, {"train": data.train}).findings
    return [f"{each.split}: {len(each.cases)} {each.text}" for each in found]
