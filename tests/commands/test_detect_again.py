"""Detecting again into the same folder: what lies there afterwards belongs to the new results, or to others."""

import json
from pathlib import Path

import cv2
import pytest
from trees import write_image

from detector import commands
from detector.commands import detect
from detector.data.images import read_image, read_size
from detector.inference.detector import ObjectDetector
from detector.runs.lock import owned


@pytest.fixture
def folder(loaded: ObjectDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with images a, b and c, and the results and pictures of the first two in out."""
    monkeypatch.setattr(detect, "load_detector", lambda *_: loaded)
    for number, name in enumerate("abc"):
        write_image(tmp_path / f"{name}.png", 40 + 10 * number, 90)
    assert detect_in(tmp_path, "a", "b") == 0
    assert pictures(tmp_path) == ["000001_a.jpg", "000002_b.jpg"]
    return tmp_path


def detect_in(folder: Path, *names: str, further: tuple[str, ...] = ()) -> int:
    files = [str(folder / f"{name}.png") for name in names]
    return commands.main(["detect", "run", *files, "--out", str(folder / "out"), *further])


def pictures(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "out" / "pictures").iterdir())


def test_pictures_of_earlier_results_go(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert detect_in(folder, "c") == 0
    assert pictures(folder) == ["000001_c.jpg"]
    assert "left as" not in capsys.readouterr().err
    assert detect_in(folder, "c", further=("--no-pictures",)) == 0
    assert pictures(folder) == []


def test_two_do_not_write_into_one_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with owned(folder / "out"):
        assert detect_in(folder, "c") == 2
    assert capsys.readouterr().err.startswith(f"detect: {folder / 'out'} must be free, got ")
    assert pictures(folder) == ["000001_a.jpg", "000002_b.jpg"]
    assert detect_in(folder, "c") == 0


def test_pictures_of_the_same_images_are_drawn_anew(folder: Path) -> None:
    before = (folder / "out/pictures/000001_a.jpg").read_bytes()
    (folder / "out/pictures/000002_b.jpg").write_bytes(b"anything")
    assert detect_in(folder, "a", "b") == 0
    assert (folder / "out/pictures/000001_a.jpg").read_bytes() == before
    assert read_size(folder / "out/pictures/000002_b.jpg") == (50, 90)


def test_what_others_made_or_changed_stays_and_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = folder / "out" / "pictures"
    changed = place / "000002_b.jpg"
    cv2.imwrite(str(changed), read_image(changed))
    cv2.imwrite(str(place / "000003_mine.jpg"), read_image(changed))
    (place / "000004_link.jpg").symlink_to("000001_a.jpg")
    (place / "000005_folder.jpg").mkdir()
    (place / "000006_empty.jpg").write_bytes(b"")
    (place / "notes.txt").write_text("mine")
    capsys.readouterr()
    assert detect_in(folder, "c") == 0
    others = ["000002_b.jpg", "000003_mine.jpg", "000004_link.jpg", "000005_folder.jpg", "000006_empty.jpg"]
    assert pictures(folder) == ["000001_c.jpg", *others, "notes.txt"]
    line = f"left as they are: 5 other pictures in {place}: {', '.join(others[:3])}, ...\n"
    assert line in capsys.readouterr().err


def test_pictures_stay_with_results_that_were_not_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = (folder / "out" / "results.json").read_text()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ObjectDetector, "stream", stop)
    assert detect_in(folder, "c") == 130
    assert (folder / "out" / "results.json").read_text() == results
    assert pictures(folder) == ["000001_a.jpg", "000002_b.jpg"]


def test_pictures_go_with_results_that_an_interrupt_cut_short(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = ObjectDetector.stream

    def one(detector: ObjectDetector, *given: object) -> object:
        yield next(stream(detector, *given))  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(ObjectDetector, "stream", one)
    assert detect_in(folder, "c", "b") == 130
    assert {row["image_id"] for row in json.loads((folder / "out" / "results.json").read_text())} == {1}
    assert pictures(folder) == ["000001_c.jpg"]


def test_a_least_score_that_soft_suppression_cannot_use_is_told_before_any_work(
    loaded: ObjectDetector, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    soft = loaded.settings.model_copy(update={"nms": "soft_gaussian"})
    monkeypatch.setattr(loaded, "settings", soft)
    capsys.readouterr()
    for word in ("0", "1e-400"):
        assert detect_in(folder, "c", further=("--min-score", word)) == 2
        line = "detect: min_score must be above 0 with detect.nms=soft_gaussian, got 0\n"
        assert capsys.readouterr().err == line
    assert pictures(folder) == ["000001_a.jpg", "000002_b.jpg"]


@pytest.mark.parametrize(
    ("ids", "names"), [((7, 3), ["000003_b", "000007_a"]), (("12", "x/1"), ["000001_a", "000002_b"])]
)
def test_pictures_are_called_by_ids_that_are_numbers_and_else_counted(
    folder: Path, ids: tuple[int | str, ...], names: list[str]
) -> None:
    images = [{"id": number, "file_name": f"{name}.png"} for number, name in zip(ids, "ab", strict=True)]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    annotations = folder / "all.json"
    annotations.write_text(json.dumps({"images": images, "annotations": [], "categories": categories}))
    assert detect_in(folder, "a", "b", further=("--annotations", str(annotations), "--min-score", "0")) == 0
    assert pictures(folder) == [f"{name}.jpg" for name in names]
    assert {row["image_id"] for row in json.loads((folder / "out/results.json").read_text())} == set(ids)
