"""Small inputs that once failed, where they lie beside the project; what each is about has a test of its own."""

import json
from pathlib import Path

import pytest

from detector import commands
from detector.config import Config, load_config
from detector.data.readers import open_dataset
from detector.errors import DataError

LISTS = ("data.train=train.txt", "data.test=test.txt")
COCO = ("data.format=coco",)
ROBOFLOW = (*COCO, "data.train=train/_annotations.coco.json", "data.test=valid/_annotations.coco.json")


@pytest.fixture
def cases(shared: Path) -> Path:
    folder = shared / "cases"
    if not folder.is_dir():
        pytest.skip("no such inputs beside the project")
    return folder


@pytest.mark.shared
@pytest.mark.parametrize(
    ("root", "words", "first"),
    [
        ("byte_order_mark/coco", COCO, "train: 6 images, 17 objects"),
        ("byte_order_mark/csv", ("data.classes=classes.csv",), "train: 6 images, 17 objects"),
        ("float_sizes", COCO, "train: 6 images, 17 objects"),
        ("hidden_folders", (), "train: 6 images, 17 objects"),
        ("list_with_spaces", LISTS, "train: 3 images, 12 objects"),
        ("list_with_spaces/all_spaces", LISTS, "train: 6 images, 17 objects"),
        ("name_not_utf8/data", (), "train: "),
        ("roboflow", ROBOFLOW, "train: 6 images, 17 objects"),
        ("roboflow/dup", COCO, "train: 2 images, 2 objects, 2 of them usable, in 1 of 1 classes"),
    ],
)
def test_what_is_right_is_read(
    cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], root: str, words: tuple[str, ...], first: str
) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text((cases / "TINY.yaml").read_text().replace("HERE", str(cases / root)))
    status = commands.main(["check_data", str(config), *words, "--html", str(tmp_path / "page.html")])
    assert capsys.readouterr().out.startswith(first)
    assert status == 0


@pytest.mark.shared
@pytest.mark.parametrize(
    ("case", "message"),
    [
        (
            "class_name_newline_check_data",
            r"name of object 1 must be 1 to 200 printable characters in one line, got 'ca\nt'",
        ),
        (
            "coco_bbox_1e308",
            "annotations[0].bbox must be four finite numbers x, y, width, height of at most 1e9, got",
        ),
        (
            "coco_file_name_newline",
            r"images[0].file_name must be the name of a file in one printable line, got 'b\n.jpg'",
        ),
        (
            "coco_file_name_nul",
            r"images[0].file_name must be the name of a file in one printable line, got 'b\x00.jpg'",
        ),
        (
            "coco_height_huge",
            "images[0].height must be a whole number of pixels up to 1e9, got 9223372036854775808",
        ),
        (
            "coco_image_outside_root",
            "images[0].file_name must be a path inside its folder, got '../../outside.jpg'",
        ),
        (
            "voc_coordinate_1e300",
            "xmax of object 1 must be a finite number of at most 1e9, got '1e300' (data/all/p1.xml)",
        ),
        ("xml_number_with_underscore", "xmin of object 1 must be a finite number of at most 1e9, got '1_0'"),
    ],
)
def test_what_is_wrong_stops_training_in_one_line_and_is_told_by_the_check(
    cases: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    case: str,
    message: str,
) -> None:
    monkeypatch.chdir(cases / case)
    settings = load_config(Config, Path("c.yaml")).data
    with pytest.raises(DataError) as caught:
        open_dataset(settings, settings.train)
    assert str(caught.value).startswith(message)
    status = commands.main(["check_data", "c.yaml", "--html", str(tmp_path / "page.html")])
    printed = capsys.readouterr()
    assert status == (2 if printed.err.startswith("check_data: ") else 1)
    assert message in printed.out + printed.err


@pytest.mark.shared
@pytest.mark.parametrize(
    ("root", "words", "parts"),
    [
        (
            "unreadable_xml_all",
            (),
            ("must name at least one class, got none (6 annotations cannot be read", "apple_1.xml"),
        ),
    ],
)
def test_why_there_are_no_classes_is_told(
    cases: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    root: str,
    words: tuple[str, ...],
    parts: tuple[str, ...],
) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text((cases / "TINY.yaml").read_text().replace("HERE", str(cases / root)))
    assert commands.main(["check_data", str(config), *words, "--html", str(tmp_path / "page.html")]) == 2
    error = capsys.readouterr().err
    assert all(part in error for part in parts)


@pytest.mark.shared
def test_objects_with_the_id_zero_are_found(cases: Path, tmp_path: Path) -> None:
    folder = cases / "coco_id_zero"
    words = ["--annotations", f"{folder}/gt.json", "--detections", f"{folder}/dt.json", "--out", str(tmp_path)]
    assert commands.main(["eval_det", "--format", "coco", "--protocol", "coco", *words]) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["mean_ap"] == pytest.approx(1)
