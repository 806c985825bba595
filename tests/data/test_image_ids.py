from pathlib import Path

import pytest

from detector.data.image_ids import ImageIds
from detector.errors import DataError

SOURCE = Path("instances_val.json")


@pytest.mark.parametrize(
    ("names", "file", "image_id"),
    [
        (["a.jpg", "b.jpg"], "/photos/b.jpg", 2),
        (["a/x.jpg", "b/x.jpg"], "/photos/b/x.jpg", 2),
        (["a/x.jpg", "b/x.jpg"], "/photos/a/x.jpg", 1),
        (["x.jpg", "b/x.jpg"], "/photos/b/x.jpg", 2),
        (["x.jpg", "b/x.jpg"], "/photos/x.jpg", 1),  # what is named without a folder may lie in any
        (["x.jpg", "b/x.jpg"], "/photos/a/x.jpg", 1),
        (["photos/a/x.jpg", "other/a/x.jpg"], "/photos/a/x.jpg", 1),
        (["val2017/x.jpg"], "/elsewhere/x.jpg", 1),  # moved, and yet the only one called so
        (["./a//x.jpg"], "/photos/a/x.jpg", 1),
        (["a\\x.jpg", "b\\x.jpg"], "/photos/b/x.jpg", 2),
        (["caf\udce9.jpg"], "/photos/caf\udce9.jpg", 1),
    ],
)
def test_the_name_that_agrees_longest_with_the_path_is_meant(names: list[str], file: str, image_id: int) -> None:
    assert ImageIds(zip(names, range(1, 9), strict=False), SOURCE).find(file) == image_id


def test_a_relative_path_is_that_of_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "b")
    ids = ImageIds([("a/x.jpg", 1), ("b/x.jpg", 2)], SOURCE)
    assert ids.find("x.jpg") == 2
    assert ids.find("../a/x.jpg") == 1


@pytest.mark.parametrize(
    ("names", "file", "message"),
    [
        (["a.jpg"], "c.jpg", "got c.jpg (instances_val.json)"),
        ([], "c.jpg", "got c.jpg (instances_val.json)"),
        (["a.jpg"], "A.jpg", "got A.jpg (instances_val.json)"),
        (
            ["a/x.jpg", "b/x.jpg"],
            "c/x.jpg",
            "got c/x.jpg, which may be 'a/x.jpg' or 'b/x.jpg' (instances_val.json)",
        ),
        (["x.jpg", "./x.jpg"], "x.jpg", "got x.jpg, which may be 'x.jpg' or './x.jpg' (instances_val.json)"),
    ],
)
def test_no_name_and_several_are_told(names: list[str], file: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        ImageIds(zip(names, range(1, 9), strict=False), SOURCE).find(file)
    assert str(caught.value) == f"image must be one of the annotations, {message}"


def test_two_files_for_one_image_are_told() -> None:
    ids = ImageIds([("b/x.jpg", 1), ("y.jpg", 2)], SOURCE)
    ids.check(["b/x.jpg", "y.jpg"])
    with pytest.raises(DataError, match=r"each be another one of the annotations, got b/x\.jpg and a/x\.jpg for"):
        ids.check(["b/x.jpg", "y.jpg", "a/x.jpg"])
    with pytest.raises(DataError, match=r"got y\.jpg and y\.jpg for the same"):
        ids.check(["y.jpg", "b/x.jpg", "y.jpg"])


def test_many_images_of_one_name_are_found_quickly() -> None:
    """10,000 folders with an image.png each: every pair would be 100 million comparisons."""
    names = [f"scene{n}/image.png" for n in range(10_000)]
    ids = ImageIds(zip(names, range(10_000), strict=True), SOURCE)
    ids.check(f"/data/{name}" for name in names)
    assert ids.find("/data/scene77/image.png") == 77
