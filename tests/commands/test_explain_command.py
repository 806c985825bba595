import json
import re
from pathlib import Path
from typing import Any

import pytest
from html_pages import Page
from made_runs import write_run
from trees import write_annotation, write_image

from detector import commands
from detector.jobs.explain_images import page_name
from detector.runs.folder import RunFolder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VOC files, side by side: two photographs, with a cat and a dog."""
    folder = tmp_path_factory.mktemp("data") / "voc" / "test"
    for number, name in enumerate(("cat", "dog")):
        write_image(folder / f"p{number}.png", 60, 90 + number)
        write_annotation(folder / f"p{number}.xml", (name, (5, 5, 50, 50)), height=60, width=90 + number)
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    words = [f"data.root={data.parent}", "data.test=test", "data.classes=[cat, dog]"]
    return write_run(tmp_path_factory.mktemp("made") / "run", *words)


def data_of(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8").split('id="explain-data">')[1].split("</script>")[0])


def test_an_image_of_the_test_split_has_a_page_with_its_objects(
    run: RunFolder, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert commands.main(["explain", str(run.path), str(data / "p0.png"), "--out", str(out)]) == 0
    assert [path.name for path in out.iterdir()] == ["000001_p0.html"]
    assert capsys.readouterr().out == f"1 page: {out}/000001_p0.html\n"
    shown = data_of(out / "000001_p0.html")
    assert shown["objects"] == [{"name": "cat", "box": [4.0, 4.0, 50.0, 50.0], "counts": True}]
    assert len(shown["verdicts"]) == 1
    assert shown["levels"]
    assert shown["limits"]["minScore"] == 0.5


def test_several_images_have_an_index(run: RunFolder, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["--out", str(out), "--min-score", "0.25", "--set", "detect.nms_iou=0.4"]
    assert commands.main(["explain", str(run.model_path), str(data), *words]) == 0
    pages = sorted(path.name for path in out.iterdir())
    assert pages == ["000001_p0.html", "000002_p1.html", "index.html"]
    limits = data_of(out / "000002_p1.html")["limits"]
    assert (limits["minScore"], limits["nmsIou"]) == (0.25, 0.4)
    assert {"000001_p0.html", "000002_p1.html"} <= set(Page((out / "index.html").read_text()).addresses)


def test_pages_of_earlier_images_are_told(
    run: RunFolder, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = ["explain", str(run.path), str(data / "p1.png"), "--out", str(tmp_path)]
    assert commands.main(["explain", str(run.path), str(data), "--out", str(tmp_path)]) == 0
    (tmp_path / "mine.html").write_text("")
    assert "left as" not in capsys.readouterr().err
    assert commands.main(one) == 0
    names = "000001_p0.html, 000002_p1.html, index.html"
    assert f"left as they are: 3 other pages in {tmp_path}: {names}\n" in capsys.readouterr().err


def test_objects_of_a_coco_json(run: RunFolder, data: Path, tmp_path: Path) -> None:
    tree = {
        "images": [{"id": 7, "file_name": "test/p0.png", "height": 60, "width": 90}],
        "categories": [{"id": 3, "name": "cow"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 10, 20, 20], "iscrowd": 0},
            {"id": 2, "image_id": 7, "category_id": 3, "bbox": [30, 10, 20, 20], "iscrowd": 1},
            {"id": 3, "image_id": 7, "category_id": 3, "bbox": [30, 10, 0, 20], "iscrowd": 0},
        ],
    }
    annotations = tmp_path / "instances.json"
    annotations.write_text(json.dumps(tree))
    words = ["--annotations", str(annotations), "--out", str(tmp_path / "out")]
    assert commands.main(["explain", str(run.path), str(data / "p0.png"), *words]) == 0
    shown = data_of(tmp_path / "out" / "000001_p0.html")
    assert [(each["name"], each["box"], each["counts"]) for each in shown["objects"]] == [
        ("cow", [10.0, 10.0, 30.0, 30.0], True),
        ("cow", [30.0, 10.0, 50.0, 30.0], False),
    ]
    assert shown["verdicts"][0] == "Missed: the detector knows no class cow."


def test_an_image_that_is_not_in_the_json_is_told_before_any_work(
    run: RunFolder, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotations = tmp_path / "instances.json"
    annotations.write_text('{"images": [], "categories": [], "annotations": []}')
    words = ["--annotations", str(annotations), "--out", str(tmp_path / "out")]
    assert commands.main(["explain", str(run.path), str(data / "p0.png"), *words]) == 2
    assert re.fullmatch(r"explain: image must be one of the annotations, got .*\n", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_an_unreadable_image_is_left_out_and_told(
    run: RunFolder, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, out = tmp_path / "bad.png", tmp_path / "out"
    bad.write_bytes(b"no image")
    assert commands.main(["explain", str(run.path), str(bad), str(data / "p0.png"), "--out", str(out)]) == 1
    assert "left out: image must be a whole, readable file" in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == ["000002_p0.html", "index.html"]
    assert commands.main(["explain", str(run.path), str(bad), "--out", str(tmp_path / "none")]) == 2
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--min-score", "2"], "min_score must be a number in 0..1, got 2.0"),
        (["--set", "region.crop_size=64"], "region.crop_size must be what the network was trained on"),
        (["--set", "detect.nms=none"], "detect.nms must be greedy, soft_linear or soft_gaussian, got 'none'"),
        (["--min-score", "much"], "--min-score must be a number in 0..1"),
        (
            ["--min-score", "0", "--set", "detect.nms=soft_linear", "--set", "detect.min_score=0.1"],
            "explain: min_score must be above 0 with detect.nms=soft_linear, got 0\n",
        ),
    ],
)
def test_what_is_wrong_is_one_line(
    run: RunFolder,
    data: Path,
    tmp_path: Path,
    words: list[str],
    line: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [str(run.path), str(data / "p0.png"), "--out", str(tmp_path / "o"), *words]
    status: Any
    try:
        status = commands.main(["explain", *arguments])
    except SystemExit as end:
        status = end.code
    assert status == 2
    err = capsys.readouterr().err
    assert line in err
    assert "Traceback" not in err
    assert not (tmp_path / "o").exists()


def test_a_camera_is_no_image(run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["explain", str(run.path), "0", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("explain: ")


def test_the_name_of_a_page_can_be_a_file_and_an_address() -> None:
    assert page_name(3, Path("a/b c.jpg")) == "000003_b c.html"
    assert page_name(3, Path("a/b\n#?.jpg")) == "000003_b___.html"
    assert len(page_name(3, Path("ä" * 250)).encode()) <= 255
