"""The command that writes a synthetic set."""

from pathlib import Path

import pytest

from detector.commands.make_synthetic import main
from detector.errors import ConfigError, DataError

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


def test_a_set_for_classification_is_written_on_request(tmp_path: Path) -> None:
    assert main([str(tmp_path), "--task", "cls", "--images", "4", "--classes", "2", "--val", "2"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"train", "val", "classes.txt", "synthetic.json"}
    assert len(list(tmp_path.rglob("train/*/*.JPEG"))) == 4
    assert len(list(tmp_path.rglob("val/*/*.JPEG"))) == 2


def test_a_themed_set_is_written_with_its_facts(tmp_path: Path) -> None:
    words = [*SMALL, "--classes", "4", "--context", "0.5"]
    assert main([str(tmp_path), *words]) == 0
    assert (tmp_path / "context.json").is_file()
    assert main([str(tmp_path), *words]) == 0  # the whole set stands
    with pytest.raises(DataError, match=r"must hold a set with context 0\.6, got 0\.5"):
        main([str(tmp_path), *words[:-1], "0.6"])


@pytest.mark.parametrize(
    ("option", "value"), [("--exhaustive", "0.5"), ("--mean-width", "64.0"), ("--context", "0.5")]
)
def test_an_option_of_detection_is_refused_for_classification(tmp_path: Path, option: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        main([str(tmp_path / "new"), "--task", "cls", option, value])
    assert str(caught.value) == f"{option} must be left out with --task cls, got {value}"
    assert not (tmp_path / "new").exists()


def test_the_defaults_of_detection_options_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "(default: 0.7)" in text and "(default: 482.0)" in text
