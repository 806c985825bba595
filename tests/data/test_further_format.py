"""A format from outside: one module and one line of the table, and all that a data set is used for works."""

from pathlib import Path

import numpy as np
import pytest
from trees import write_image, write_lines

from detector.choices import FORMATS
from detector.config import DataSettings, parse_config
from detector.data.check import check_data
from detector.data.readers import format_of, open_dataset
from detector.errors import ConfigError, DataError


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataSettings:
    monkeypatch.setitem(FORMATS, "toy", "toy_format")
    for number in range(3):
        write_image(tmp_path / f"{number}.png", 40 + number)
    write_lines(tmp_path / "train.csv", "1.png,dog,5,5,20,25", "0.png,cat,0,0,9,9", "0.png,dog,9,9,5,5")
    write_lines(tmp_path / "test.csv", "2.png,dog,5,5,70,25")
    return DataSettings(format="toy", root=tmp_path, test=("test",))


def test_its_data_sets_are_opened_with_the_classes_of_the_training_split(toys: DataSettings) -> None:
    train, test = open_dataset(toys, ["train"]), open_dataset(toys, ["test"])
    assert train.classes.names == ("cat", "dog")
    assert (train.image_ids.tolist(), train.sizes.tolist()) == (["0.png", "1.png"], [[40, 60], [41, 60]])
    assert (train.objects.labels.tolist(), test.objects.labels.tolist()) == ([1, 2, 2], [2])
    np.testing.assert_array_equal(test.truth(0).boxes, [[5, 5, 60, 25]])
    assert "1 boxes are inverted and not trained on" in train.notes[1]
    assert train.exhaustive.all()


def test_its_data_sets_are_checked_by_the_same_reader(toys: DataSettings) -> None:
    with (toys.root / "train.csv").open("a") as file:
        file.write("1.png,dog,5\n")
    found = {
        (each.split, each.text): each.cases
        for each in check_data(toys, {"train": ["train"], "test": ["test"]}).findings
    }
    (case,) = found["train", "annotations cannot be read"]
    assert "got '1.png,dog,5'" in case
    assert len(found["train", "boxes are inverted and not trained on"]) == 1
    assert len(found["test", "boxes reach beyond their image and are clipped"]) == 1
    with pytest.raises(DataError, match=r"^line must read <file>,<class>,x1,y1,x2,y2, got '1\.png,dog,5' \("):
        open_dataset(toys, ["test"])


def test_its_terms_are_the_model_cards(toys: DataSettings) -> None:
    assert format_of(toys).terms == "They are toys: play with them."


def test_an_unknown_format_is_told_with_those_there_are() -> None:
    with pytest.raises(
        ConfigError, match=r"^format must be ilsvrc, voc, coco, yolo or images, got 'toy' \(here\)$"
    ):
        parse_config(DataSettings, {"format": "toy"}, "here")
