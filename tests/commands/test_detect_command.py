import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from bvlc_like import write_our_own
from trees import write_image

from detector import commands
from detector.commands import detect
from detector.data.exchange.detection_files import DetectionWriter
from detector.data.images import read_image, read_size
from detector.errors import DataError
from detector.inference.detector import ObjectDetector
from detector.inference.proposal_methods.by_search import SearchProposer
from detector.networks.preprocessing import IMAGENET
from detector.records import Image, Proposals
from detector.runs.folder import RunFolder


@pytest.fixture
def ready(made: RunFolder, loaded: ObjectDetector, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """The run, whose detector need not be loaded again."""
    loaded.min_score = loaded.config.detect.min_score
    monkeypatch.setattr(detect, "load_detector", lambda *_: loaded)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        write_image(tmp_path / "photos" / f"p{number}.png", 60 + 10 * number, 90)
    return tmp_path / "photos"


def test_a_folder_becomes_pictures_results_and_a_table(
    made: RunFolder, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = [str(made.path), str(folder), "--out", str(out), "--top", "4", "--min-score", "0"]
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
    made: RunFolder, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "p1.png").write_bytes(b"no image")
    out = tmp_path / "out"
    assert commands.main(["detect", str(made.model_path), str(folder), "--out", str(out), "--no-pictures"]) == 1
    shown = capsys.readouterr()
    assert "left out: image must be a whole, readable file" in shown.err
    assert "in 2 images" in shown.out
    assert {row["image_id"] for row in json.loads((out / "results.json").read_text())} == {1, 3}
    assert not (out / "pictures").exists()


def test_a_camera_ends_when_it_is_interrupted_and_keeps_what_it_saw(
    made: RunFolder, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    assert commands.main(["detect", str(made.path), "0", "--out", str(out)]) == 0
    rows = list(csv.DictReader((out / "detections.csv").open()))
    assert {(row["file"], row["frame"]) for row in rows} == {("camera 0", "0")}
    assert [path.name for path in (out / "pictures").iterdir()] == ["000001_camera 0_000000.jpg"]


@pytest.mark.parametrize(
    ("ending", "status"), [(KeyboardInterrupt(), 130), (DataError("disk must be writable, got a full one"), 2)]
)
def test_what_was_found_before_an_end_is_kept(
    ready: RunFolder,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ending: BaseException,
    status: int,
) -> None:
    add = DetectionWriter.add

    def add_one(writer: DetectionWriter, image_id: int, *rest: Any) -> None:
        if image_id == 2:
            raise ending
        add(writer, image_id, *rest)

    monkeypatch.setattr(DetectionWriter, "add", add_one)
    out = tmp_path / "out"
    words = ["detect", str(ready.path), str(folder), "--out", str(out), "--min-score", "0"]
    assert commands.main(words) == status
    results = json.loads((out / "results.json").read_text())
    assert {row["image_id"] for row in results} == {1}
    assert len(list(csv.DictReader((out / "detections.csv").open()))) == len(results)
    assert f"kept: {len(results)} detections in 1 images: {out}" in capsys.readouterr().out


def test_a_picture_that_cannot_be_drawn_costs_nothing_else(
    ready: RunFolder,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    draw = ObjectDetector.draw

    def stumble(detector: ObjectDetector, image: Image, *rest: Any) -> Image:
        if len(image) == 70:
            raise MemoryError
        return draw(detector, image, *rest)

    monkeypatch.setattr(ObjectDetector, "draw", stumble)
    out = tmp_path / "out"
    words = ["detect", str(ready.path), str(folder), "--out", str(out), "--min-score", "0"]
    assert commands.main(words) == 1
    assert {row["image_id"] for row in json.loads((out / "results.json").read_text())} == {1, 2, 3}
    assert sorted(path.name for path in (out / "pictures").iterdir()) == ["000001_p0.jpg", "000003_p2.jpg"]
    assert f"left out: MemoryError ({folder / 'p1.png'})" in capsys.readouterr().err


def test_an_image_that_takes_too_much_memory_costs_nothing_else(
    ready: RunFolder,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prepare = SearchProposer.prepare

    def stumble(proposer: SearchProposer, image: Image) -> Proposals:
        if len(image) == 70:
            raise MemoryError
        return prepare(proposer, image)

    monkeypatch.setattr(SearchProposer, "prepare", stumble)
    out = tmp_path / "out"
    assert commands.main(["detect", str(ready.path), str(folder), "--out", str(out), "--min-score", "0"]) == 1
    assert {row["image_id"] for row in json.loads((out / "results.json").read_text())} == {1, 3}
    assert f"left out: image must leave memory for its regions, got none ({folder / 'p1.png'})" in (
        capsys.readouterr().err
    )


def test_names_of_any_kind_keep_their_results_and_get_pictures(ready: RunFolder, tmp_path: Path) -> None:
    names = ["n" * 251 + ".png", "写" * 83 + ".png", "caf\udce9.png", "two\nlines.png", "a 9.41 AM.png"]
    for position, name in enumerate(names):
        write_image(tmp_path / "made.png", 60 + position, 90).rename(tmp_path / name)
    out = tmp_path / "out"
    words = [str(tmp_path / name) for name in names]
    assert commands.main(["detect", str(ready.path), *words, "--out", str(out), "--min-score", "0"]) == 0
    assert {row["image_id"] for row in json.loads((out / "results.json").read_text())} == {1, 2, 3, 4, 5}
    with (out / "detections.csv").open(newline="") as file:
        files = {row["file"] for row in csv.DictReader(file)}
    assert files == {word.replace("\udce9", "\\udce9") for word in words}
    pictures = sorted(path.name for path in (out / "pictures").iterdir())
    assert [name[:6] for name in pictures] == [f"{number:06d}" for number in range(1, 6)]
    assert pictures[2:] == ["000003_caf\udce9.jpg", "000004_two\nlines.jpg", "000005_a 9.41 AM.jpg"]


def test_images_of_one_name_get_their_own_ids(ready: RunFolder, tmp_path: Path) -> None:
    for place, height in (("a", 60), ("b", 70)):
        write_image(tmp_path / "photos" / place / "x.png", height, 90)
    annotations = annotate(tmp_path / "all.json", {"b/x.png": 4, "a/x.png": 9})
    out = tmp_path / "out"
    words = [str(tmp_path / "photos"), "--out", str(out), "--annotations", str(annotations), "--min-score", "0"]
    assert commands.main(["detect", str(ready.path), *words, "--no-pictures"]) == 0
    rows = list(csv.DictReader((out / "detections.csv").open()))
    assert {(row["image_id"], Path(row["file"]).parent.name) for row in rows} == {("9", "a"), ("4", "b")}


def test_classes_that_the_annotations_lack_are_left_out_and_told(
    ready: RunFolder, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotations = annotate(
        tmp_path / "all.json", {f"p{number}.png": number for number in range(3)}, ("DOG", "cow")
    )
    out = tmp_path / "out"
    words = [
        str(folder),
        "--out",
        str(out),
        "--annotations",
        str(annotations),
        "--min-score",
        "0",
        "--no-pictures",
    ]
    assert commands.main(["detect", str(ready.path), *words]) == 0
    line = f"{annotations} has 1 of the detector's 2 classes; left out of the results: cat"
    assert line in capsys.readouterr().err.splitlines()
    results = json.loads((out / "results.json").read_text())
    assert {row["category_id"] for row in results} == {1}
    rows = list(csv.DictReader((out / "detections.csv").open()))
    assert {row["class"] for row in rows} == {"cat", "dog"}


def test_classes_are_asked_for_by_name(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = write_our_own(tmp_path / "imagenet.safetensors", "tiny", IMAGENET, 1000)
    out = tmp_path / "out"
    words = [str(weights), str(folder), "--out", str(out), "--no-pictures", "--classes", "dog, traffic_light"]
    small = ["region.crop_size=32", "region.padding=2", "proposals.max_boxes=5", "detect.min_score=0"]
    assert commands.main(["detect", *words, *(part for word in small for part in ("--set", word))]) == 0
    with (out / "detections.csv").open() as file:
        assert {row["class"] for row in csv.DictReader(file)} == {"dog", "traffic_light"}
    line = "dog is n02084071 (canine), traffic_light is n06874185 (light)"
    assert line in capsys.readouterr().err.splitlines()
    assert commands.main(["detect", *words[:-1], "dog,crane"]) == 2
    assert "got 'crane', which may mean" in capsys.readouterr().err


@pytest.mark.shared
def test_published_weights_detect_by_their_name_in_the_ids_of_annotations(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    (cache / "bvlc_googlenet.npz").symlink_to(shared / "weights" / "bvlc_googlenet.npz")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "fruit.jpg").symlink_to(shared / "data" / "fruit" / "train" / "banana_1.jpg")
    (folder / "broken.jpg").write_bytes(b"no image")
    grey = read_image(folder / "fruit.jpg").mean(2).astype(np.uint8)
    cv2.imwrite(str(folder / "grey.jpg"), grey)
    images = {"fruit.jpg": 11, "broken.jpg": 12, "grey.jpg": 13}
    annotations = annotate(tmp_path / "all.json", images, ("Banana", "zebra stripes", "n07739125"))
    words = ["bvlc", str(folder), "--annotations", str(annotations), "--out", str(tmp_path / "out")]
    words += ["--no-pictures", "--set", "proposals.max_boxes=15"]
    assert commands.main(["detect", *words]) == 1
    error = capsys.readouterr().err
    assert "has 2 of the detector's 200 classes; left out of the results: accordion, airplane" in error
    assert "left out: image must be a whole, readable file" in error
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert {row["category_id"] for row in results} <= {1, 3}
    best = {number: max(row["score"] for row in results if row["image_id"] == number) for number in (11, 13)}
    assert best[11] > 0.5


def annotate(path: Path, images: dict[str, int], classes: Sequence[str] = ("cat", "dog")) -> Path:
    """A COCO JSON of these images, without objects, with the detector's classes or others."""
    tree = {
        "images": [{"id": number, "file_name": name} for name, number in images.items()],
        "annotations": [],
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes, 1)],
    }
    path.write_text(json.dumps(tree))
    return path


def film(path: Path, pictures: int = 6) -> Path:
    """A video of grey pictures."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (90, 60))
    if not writer.isOpened():
        pytest.skip("OpenCV writes no videos here")
    for number in range(pictures):
        writer.write(np.full((60, 90, 3), 30 * number, np.uint8))
    writer.release()
    return path


def test_a_video_that_ends_early_is_told_and_its_pictures_are_kept(
    ready: RunFolder, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = film(tmp_path / "film.avi")
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"00dc", 0, content.rindex(b"idx1")) - 4])
    out = tmp_path / "out"
    words = [str(path), str(folder), "--out", str(out), "--no-pictures", "--min-score", "0"]
    assert commands.main(["detect", str(ready.path), *words]) == 1
    shown = capsys.readouterr()
    (line,) = [line for line in shown.err.splitlines() if "left out" in line]
    assert re.search(r"left out: video must be whole, got .*film\.avi \(pictures? .*5 of 6 cannot be read\)", line)
    rows = list(csv.DictReader((out / "detections.csv").open()))
    assert {row["file"] for row in rows} == {str(path), *(str(folder / f"p{n}.png") for n in range(3))}


def test_nothing_that_can_be_read_is_a_mistake(
    ready: RunFolder, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "p1.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n{ } loop\n")
    assert commands.main(["detect", str(ready.path), str(folder / "p1.png"), "--out", str(tmp_path / "out")]) == 2
    assert "left out: image must be a whole, readable file" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == []


def test_the_smallest_images_are_images(ready: RunFolder, tmp_path: Path) -> None:
    for height, width in ((1, 1), (1, 300), (300, 1), (2, 2)):
        write_image(tmp_path / "photos" / f"{height}x{width}.png", height, width)
    out = tmp_path / "out"
    assert commands.main(["detect", str(ready.path), str(tmp_path / "photos"), "--out", str(out)]) == 0
    assert len(list((out / "pictures").iterdir())) == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["RUN", "gone.jpg"], "image must be a file, got none at gone.jpg"),
        (["gone", "PHOTOS"], "inception_v3, got gone"),
        (["RUN", "PHOTOS", "--set", "detect.min_scor=1"], "did you mean detect.min_score"),
        (["RUN", "PHOTOS", "--annotations", "gone.json"], "COCO JSON must be a readable file"),
        (["RUN", "PHOTOS", "--annotations", "ONE"], "image must be one of the annotations, got "),
        (["RUN", "FILM", "--annotations", "ONE"], "inputs must be images, whose ids --annotations gives, got "),
        (
            ["RUN", "PHOTOS", "PHOTOS", "--annotations", "ALL"],
            "images must each be another one of the annotations",
        ),
        (["RUN", "PHOTOS", "--annotations", "OTHERS"], "must have classes of the detector, got none of cat, dog"),
        (["RUN", "PHOTOS", "--classes", "cat,dog"], "classes must be left to what a trained detector knows"),
        (
            ["bvlc", "PHOTOS"],
            "got no such file: put https://dl.caffe.berkeleyvision.org/bvlc_googlenet.caffemodel",
        ),
        (["RUN", "PHOTOS", "--min-score", "2"], "min_score must be a number in 0..1, got 2.0"),
        (["RUN", "PHOTOS", "--min-score", "-0.5"], "min_score must be a number in 0..1, got -0.5"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str],
    message: str,
    made: RunFolder,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no weights"))
    places = {
        "RUN": str(made.path),
        "PHOTOS": str(folder),
        "FILM": str(film(tmp_path / "film.avi")),
        "ONE": str(annotate(tmp_path / "one.json", {"p1.png": 1})),
        "OTHERS": str(annotate(tmp_path / "others.json", {"p1.png": 1}, ("zebra",))),
        "ALL": str(annotate(tmp_path / "all.json", {f"p{n}.png": n for n in range(3)})),
    }
    assert commands.main(["detect", *(places.get(word, word) for word in words)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("word", ["nan", "inf", "1_0", "much", "\u0660", ""])
def test_a_least_score_that_is_no_number_is_one_line(
    word: str, made: RunFolder, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        commands.main(["detect", str(made.path), str(folder), "--min-score", word])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("detect: --min-score must be a number in 0..1, of SVMs any, got ")
    assert error.count("\n") == 1
