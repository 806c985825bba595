"""The command that writes a synthetic set."""

from pathlib import Path

import pytest

from detector.commands.make_synthetic import main
from detector.errors import DataError

SMALL = ["--images", "5", "--classes", "2", "--seed", "3", "--mean-width", "64"]


def test_the_command_writes_the_set_and_says_so_by_its_status(tmp_path: Path) -> None:
    assert main([str(tmp_path / "new"), *SMALL]) == 0
    assert len(list((tmp_path / "new/Data/DET/train").iterdir())) == 5
    assert len(list((tmp_path / "new/Data/DET/val").iterdir())) == 1  # a quarter of the training images
    assert (tmp_path / "new/ImageSets/DET/train_2.txt").exists()


def test_the_number_of_validation_images_can_be_chosen(tmp_path: Path) -> None:
    assert main([str(tmp_path), *SMALL, "--val", "3"]) == 0
    assert len((tmp_path / "ImageSets/DET/val.txt").read_text().splitlines()) == 3


def test_a_folder_with_other_files_is_one_line_of_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError) as caught:
        main([str(tmp_path), *SMALL])
    assert "\n" not in str(caught.value)


def test_a_word_that_is_no_number_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path), "--images", "many"])
    assert caught.value.code == 2
    assert "--images" in capsys.readouterr().err
