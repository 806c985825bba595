import csv
import json
from pathlib import Path

import cv2
import pytest
from made_runs import write_run
from trees import write_image

from detector import commands
from detector.data.images import read_size
from detector.inference.detector import ObjectDetector
from detector.pipeline.run import RunFolder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return write_run(tmp_path_factory.mktemp("made") / "run")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        write_image(tmp_path / "photos" / f"p{number}.png", 60 + 10 * number, 90)
    return tmp_path / "photos"


def test_a_folder_becomes_pictures_results_and_a_table(
    run: RunFolder, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = [str(run.path), str(folder), "--out", str(out), "--top", "4", "--min-score", "0"]
    assert commands.main(["detect", *words]) == 0
    results = json.loads((out / "results.json").read_text())
    assert {row["image_id"] for row in results} == {1, 2, 3}
    assert max(sum(row["image_id"] == number for row in results) for number in (1, 2, 3)) <= 4
    rows = list(csv.DictReader((out / "detections.csv").open()))
    assert len(rows) == len(results)
    assert {row["class"] for row in rows} <= {"cat", "dog"}
    pictures = sorted(path.name for path in (out / "pictures").iterdir())
    assert pictures == ["000001_p0.jpg", "000002_p1.jpg", "000003_p2.jpg"]
    assert read_size(out / "pictures" / pictures[2]) == (80, 90)
    assert f"{len(results)} detections in 3 images: {out}" in capsys.readouterr().out


def test_an_unreadable_image_is_left_out_and_told(
    run: RunFolder, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "p1.png").write_bytes(b"no image")
    out = tmp_path / "out"
    assert commands.main(["detect", str(run.model_path), str(folder), "--out", str(out), "--no-pictures"]) == 1
    shown = capsys.readouterr()
    assert "left out: image must be a whole, readable file" in shown.err
    assert "in 2 images" in shown.out
    assert {row["image_id"] for row in json.loads((out / "results.json").read_text())} == {1, 3}
    assert not (out / "pictures").exists()


def test_a_camera_ends_when_it_is_interrupted_and_keeps_what_it_saw(
    run: RunFolder, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Capture:
        """A camera that shows one picture, and whose user has then seen enough."""

        def __init__(self, source: int) -> None:
            self.left = 2 if source == 0 else 0

        def isOpened(self) -> bool:
            return True

        def grab(self) -> bool:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
            return True

        def retrieve(self) -> tuple[bool, object]:
            return True, cv2.imread(str(folder / "p0.png"))

        def release(self) -> None:
            pass

    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    out = tmp_path / "out"
    assert commands.main(["detect", str(run.path), "0", "--out", str(out)]) == 0
    rows = list(csv.DictReader((out / "detections.csv").open()))
    assert {(row["file"], row["frame"]) for row in rows} == {("camera 0", "0")}
    assert [path.name for path in (out / "pictures").iterdir()] == ["000001_camera 0_000000.jpg"]


def test_an_interrupted_folder_leaves_no_half_results(
    run: RunFolder, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ObjectDetector, "draw", interrupt)
    out = tmp_path / "out"
    assert commands.main(["detect", str(run.path), str(folder), "--out", str(out)]) == 130
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["RUN", "gone.jpg"], "image must be a file, got none at gone.jpg"),
        (["gone", "PHOTOS"], "detector must be a run folder or a region_classifier.safetensors, got gone"),
        (["RUN", "PHOTOS", "--set", "detect.min_scor=1"], "did you mean detect.min_score"),
        (["RUN", "PHOTOS", "--annotations", "gone.json"], "COCO JSON must be a readable file"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], message: str, run: RunFolder, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"RUN": str(run.path), "PHOTOS": str(folder)}
    assert commands.main(["detect", *(places.get(word, word) for word in words)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
