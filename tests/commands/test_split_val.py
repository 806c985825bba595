"""The command that makes val1 and val2."""

from pathlib import Path

import numpy as np
import pytest
from trees import write_annotation, write_image, write_lines

from detector import commands
from detector.commands.split_val import main
from detector.config import DataSettings
from detector.data.readers import open_dataset
from detector.errors import ConfigError, DataError

CLASSES = ("zebra", "accordion")
IMAGES = 9


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A val of nine images: 1, 2, 3 with a zebra, 4, 5 with two accordions; official indices 11, 12, ..."""
    root = tmp_path / "data"
    for number in range(1, IMAGES + 1):
        objects = [("zebra", (5, 5, 20, 20))] if number <= 3 else []
        objects += [("accordion", (5, 5, 20, 20))] * 2 if number in (4, 5) else []
        write_image(root / "Data" / "DET" / "val" / f"v{number}.JPEG")
        write_annotation(root / "Annotations" / "DET" / "val" / f"v{number}.xml", *objects)
    write_lines(root / "ImageSets" / "DET" / "val.txt", *(f"v{n} {n + 10}" for n in range(1, IMAGES + 1)))
    return root


@pytest.fixture
def config(root: Path, tmp_path: Path) -> str:
    """A config of that data set."""
    path = tmp_path / "x.yaml"
    path.write_text(f"data:\n  root: {root}\n  classes: [{', '.join(CLASSES)}]\n")
    return str(path)


def read(folder: Path) -> tuple[list[str], list[str]]:
    first, second = ((folder / f"val{number}.txt").read_text().splitlines() for number in (1, 2))
    return first, second


def test_halves_are_written_among_the_lists_with_official_indices(
    root: Path, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([config]) == 0
    lists = root / "ImageSets" / "DET"
    first, second = read(lists)
    whole = (lists / "val.txt").read_text().splitlines()
    assert (len(first), len(second)) == (5, 4)
    assert sorted(first + second) == sorted(whole)
    assert [line for line in whole if line in first] == first  # in the split's order
    assert [line for line in whole if line in second] == second
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{lists / 'val1.txt'}: 5 images, ")
    assert lines[1].startswith(f"{lists / 'val2.txt'}: 4 images, ")
    assert "of 2 classes: median 16.7%, worst 33.3% (zebra: " in lines[2]


def test_halves_are_splits_whose_blacklist_is_vals(root: Path, config: str, tmp_path: Path) -> None:
    assert main([config]) == 0
    black = write_lines(tmp_path / "black.txt", *(f"{number + 10} zebra" for number in range(1, IMAGES + 1)))
    settings = DataSettings(root=root, classes=CLASSES, blacklist=black)
    halves = [open_dataset(settings, [name]) for name in ("val1", str(root / "ImageSets/DET/val2.txt"))]
    assert [len(half) for half in halves] == [5, 4]
    for half in halves:
        assert half.blacklist.tolist() == [[position, 1] for position in range(len(half))]
        assert half.image_ids.tolist() == [f"v{index - 10}" for index in half.indices]
        assert not half.complete[:, 0].any()
        assert half.complete[:, 1].all()
    together = open_dataset(settings, ["val1", "val2"])
    np.testing.assert_array_equal(np.sort(together.indices), np.arange(11, 11 + IMAGES))


def test_a_second_time_writes_the_same_and_another_list_needs_force(config: str, tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "new" / "lists")]
    assert main([config, *out]) == 0
    before = read(tmp_path / "new" / "lists")
    assert main([config, *out]) == 0
    assert read(tmp_path / "new" / "lists") == before
    other = [config, *out, "--seed", "1"]
    with pytest.raises(DataError, match=r"list must be new .*val1\.txt; --force replaces it"):
        main(other)
    assert read(tmp_path / "new" / "lists") == before
    assert main([*other, "--force"]) == 0
    assert read(tmp_path / "new" / "lists") != before


def test_nothing_is_written_where_one_of_the_lists_is_another(config: str, tmp_path: Path) -> None:
    write_lines(tmp_path / "val2.txt", "v1 11")
    with pytest.raises(DataError, match=r"got another one at .*val2\.txt"):
        main([config, "--out", str(tmp_path)])
    assert not (tmp_path / "val1.txt").exists()


def test_the_published_second_half_leaves_the_rest(
    root: Path, config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published = write_lines(tmp_path / "published.txt", "v9 19", "v1 11", "v4 14")
    assert main([config, "--second", str(published)]) == 0
    first, second = read(root / "ImageSets" / "DET")
    assert second == ["v1 11", "v4 14", "v9 19"]
    assert first == ["v2 12", "v3 13", "v5 15", "v6 16", "v7 17", "v8 18"]
    assert "worst 33.3% (zebra: 2 and 1 objects)" in capsys.readouterr().out


def test_a_published_list_in_its_place_is_left_as_it_is(root: Path, config: str) -> None:
    lists = root / "ImageSets" / "DET"
    published = write_lines(lists / "val2.txt", "v9 19", "v1 11", "v4 14")
    assert main([config, "--second", str(published)]) == 0
    first, second = read(lists)
    assert second == ["v9 19", "v1 11", "v4 14"]
    assert len(first) == 6


def test_an_image_of_the_second_half_must_be_in_the_split(config: str, tmp_path: Path) -> None:
    published = write_lines(tmp_path / "published.txt", "v9 19", "w1 11")
    with pytest.raises(DataError, match=r"must be in val, got 'w1' \(.*published\.txt\)"):
        main([config, "--second", str(published)])


def test_a_folder_that_cannot_be_written_is_one_line(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert commands.main(["split_val", config, "--out", str(tmp_path / "file")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"split_val: {tmp_path / 'file' / 'val1.txt'} must be writable")
    assert error.count("\n") == 1


def test_other_formats_have_no_lists_to_split(config: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.format must be one with lists to split, got voc"):
        main([config, "data.format=voc"])


def test_a_split_without_objects_is_halved(root: Path, config: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(root / "ImageSets" / "DET" / "bare.txt", "v8 18", "v7 17", "v6 16")
    assert main([config, "--split", "bare"]) == 0
    assert (root / "ImageSets" / "DET" / "bare2.txt").is_file()
    assert "no objects to balance" in capsys.readouterr().out


@pytest.mark.parametrize("seed", ["-1", "1.5", "x"])
def test_a_seed_that_is_no_whole_number_is_a_usage_error(
    config: str, seed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([config, f"--seed={seed}"])
    assert f"must be a whole number from 0, got {seed}" in capsys.readouterr().err
