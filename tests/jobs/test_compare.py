"""Runs compared through the command."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from html_pages import Page

from detector.commands import main
from detector.config import Config
from detector.data.images import read_image
from detector.errors import DataError
from detector.jobs.outcome import Outcome
from detector.jobs.tested_runs import open_runs
from detector.runs.folder import RunFolder
from detector.runs.journal import Entry
from detector.runs.split import split_slug
from detector.runs.store import StoreWriter
from detector.stages.detect import FIELDS

Finished = tuple[RunFolder, Outcome]
NOTHING: Entry = {
    "boxes": np.empty((0, 4), np.float32),
    "labels": np.empty(0, np.int64),
    "scores": np.empty(0, np.float32),
}


def read(folder: Path) -> Any:
    return json.loads((folder / "comparison.json").read_text(), parse_constant=lambda word: pytest.fail(word))


def copied_run(folder: Path, finished: Finished) -> Path:
    """A copy of the finished run that has what `compare` reads."""
    return Path(
        shutil.copytree(
            finished[0].path, folder, ignore=shutil.ignore_patterns("propose", "finetune", "labels", "model")
        )
    )


def write_detections(store: Path, entries: list[Entry]) -> None:
    shutil.rmtree(store, ignore_errors=True)
    writer = StoreWriter(store, FIELDS, len(entries), "planted", len(entries))
    writer.write_shard(range(len(entries)), entries)
    writer.finish()


def run_that_finds(folder: Path, finished: Finished, images: range) -> Path:
    """A copy of the finished run that detects exactly the objects of these images."""
    copy = copied_run(folder / f"finds_{len(images)}", finished)
    dataset = finished[1].dataset
    entries: list[Entry] = []
    for position in range(len(dataset)):
        truth = dataset.truth(position)
        count = len(truth.labels) if position in images else 0
        scores = np.full(count, 0.5, np.float32)
        entries.append({"boxes": truth.boxes[:count], "labels": truth.labels[:count], "scores": scores})
    write_detections(copy / "stages/detect/val/softmax/store", entries)
    return copy


def test_a_run_and_itself_are_the_same(
    finished_run: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(finished_run[0].path)
    assert main(["compare", path, path, "--out", str(tmp_path), "--resamples", "20"]) == 0
    (found,) = read(tmp_path)["runs"]
    assert (found["difference"], found["interval"], found["better"]) == (0, [0, 0], 0.5)
    assert found["changed"] == []
    printed = capsys.readouterr().out
    assert "whole (2) and whole (1) are the same on every image." in printed
    assert printed.endswith(f"report: {tmp_path / 'index.html'}\n")


def test_a_planted_difference_is_found_with_its_images(
    finished_run: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = len(finished_run[1].dataset)
    none, some, whole = (run_that_finds(tmp_path, finished_run, range(n)) for n in (0, 1, images))
    out = tmp_path / "out"
    assert main(["compare", str(none), str(whole), str(some), "--out", str(out), "--pictures", "2"]) == 0
    tree = read(out)
    assert tree["first"] == {"name": "finds_0", "mean_ap": 0}
    perfect, partial = tree["runs"]
    assert perfect["difference"] == pytest.approx(1)
    assert perfect["better"] == 1
    assert 0 < partial["difference"] < 1
    dataset = finished_run[1].dataset
    with_objects = np.unique(dataset.objects.image)
    assert {row["image"] for row in perfect["changed"]} == {str(dataset.image_ids[i]) for i in with_objects}
    assert [row["image"] for row in partial["changed"]] == [str(dataset.image_ids[0])]
    assert [row["hits"][0] for row in perfect["changed"]] == [0] * len(with_objects)
    assert all(row["misses"] == [0, 0] for row in perfect["changed"])
    text = (out / "index.html").read_text()
    page = Page(text)
    assert page.open == []
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert text.count("<figure>") == 2 * (2 + 1)
    assert "finds_4 is better than finds_0 by 1.0000 mean AP." in text
    assert "| finds_4 | 1.0000 | +1.0000 |" in (out / "report.md").read_text()
    assert "finds_4" in capsys.readouterr().out


def test_methods_of_one_run_are_runs_of_their_own(finished_run: Finished, tmp_path: Path) -> None:
    copy = run_that_finds(tmp_path, finished_run, range(2))
    shutil.copytree(copy / "stages/detect/val/softmax", copy / "stages/detect/val/svm")
    one, other = open_runs([str(copy), f"{copy}:svm"], (), ())
    assert (one.name, one.method, other.name, other.method) == ("finds_2", "softmax", "finds_2:svm", "svm")


def test_detections_of_a_test_by_other_settings_are_told_with_these(
    finished_run: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(shutil.copytree(finished_run[0].path, tmp_path / "run", symlinks=True))
    assert main(["test_det", str(path), "detect.nms_iou=0.9", "evaluate.pictures=0"]) == 0
    words = [str(finished_run[0].path), str(path), "--out", str(tmp_path / "out"), "--resamples", "20"]
    capsys.readouterr()
    assert main(["compare", *words]) == 0
    told = "made with detect.nms_iou 0.9, not 0.3"
    assert f"warning: detections of run were {told}\n" in capsys.readouterr().err
    assert told in (tmp_path / "out/report.md").read_text()
    assert main(["compare", *words, "--set", "detect.nms_iou=0.9"]) == 0
    assert "detections of run were" not in capsys.readouterr().err


def test_a_run_without_the_detections_is_an_error(
    finished_run: Finished, tmp_path: Path, tiny_config: Config
) -> None:
    path = finished_run[0].path
    untested = tmp_path / "untested.txt"
    untested.write_text((Path(tiny_config.data.root) / "ImageSets/DET/val.txt").read_text())
    with pytest.raises(DataError, match=r"run must hold detections of val by svm, got softmax \(.*/detect/val\)$"):
        open_runs([str(path), f"{path}:svm"], (), ())
    with pytest.raises(DataError, match=r"run must hold detections of .*untested\.txt by softmax, got none \("):
        open_runs([str(path)], (str(untested),), ())
    with pytest.raises(DataError, match=r"run must be a folder that holds config\.yaml, got nowhere"):
        open_runs(["nowhere"], (), ())


def test_runs_on_other_images_are_an_error(finished_run: Finished, tmp_path: Path, tiny_config: Config) -> None:
    copy = run_that_finds(tmp_path, finished_run, range(2))
    listed = tmp_path / "val.txt"
    source = Path(tiny_config.data.root) / "ImageSets/DET/val.txt"
    listed.write_text("".join(source.read_text().splitlines(keepends=True)[:3]))
    config = copy / "config.yaml"
    config.write_text(config.read_text().replace("test:\n  - val\n", f"test:\n  - {listed}\n"))
    write_detections(copy / "stages/detect" / split_slug([str(listed)]) / "softmax/store", [NOTHING] * 3)
    message = (
        r"runs must be tested on the same images, objects and classes, got val, 4 images, for whole and .*, 3 "
    )
    with pytest.raises(DataError, match=message):
        open_runs([str(finished_run[0].path), str(copy)], (), ())


def test_lists_of_one_name_do_not_share_their_detections(finished_run: Finished, tmp_path: Path) -> None:
    copy = copied_run(tmp_path / "run", finished_run)
    slug = split_slug([str(tmp_path / "a/val.txt")])
    shutil.copytree(copy / "stages/detect/val", copy / "stages/detect" / slug)
    with pytest.raises(DataError, match=r"run must hold detections of .*b/val\.txt by softmax, got none"):
        open_runs([str(copy)], (str(tmp_path / "b/val.txt"),), ())


LABELLED = {"boxes": np.zeros((1, 4), np.float32), "labels": np.full(1, 3), "scores": np.ones(1, np.float32)}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([NOTHING] * 5, "store must be of 4 images, got 5"),
        ([LABELLED] * 4, r"labels of detections must be in 1\.\.2, got 3"),
        ([{**LABELLED, "labels": np.zeros(1, np.int64)}] * 4, "labels must be at least 1, got 0"),
        ([{**LABELLED, "scores": np.full(1, np.nan, np.float32)}] * 4, "scores must be finite"),
    ],
)
def test_detections_that_cannot_be_the_run_s_are_one_line(
    finished_run: Finished, tmp_path: Path, entries: list[Entry], message: str
) -> None:
    copy = copied_run(tmp_path / "run", finished_run)
    write_detections(copy / "stages/detect/val/softmax/store", entries)
    with pytest.raises(DataError, match=message):
        open_runs([str(copy)], (), ())


def test_detections_of_as_many_other_images_are_one_line(finished_run: Finished, tmp_path: Path) -> None:
    copy = copied_run(tmp_path / "run", finished_run)
    manifest = copy / "stages/detect/val/softmax/stage.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "image_ids": "others"}))
    with pytest.raises(DataError, match=r"stage must be of the images of val, got one of others \(.*/softmax\)"):
        open_runs([str(copy)], (), ())


def test_detections_of_images_that_were_replaced_are_one_line(finished_run: Finished, tmp_path: Path) -> None:
    run, outcome = finished_run
    root = run.read_config(Config, []).data.root
    moved = Path(shutil.copytree(root, tmp_path / "tree"))
    open_runs([str(run.path)], (), [f"data.root={moved}"])
    image = moved / outcome.dataset.record(0).path.relative_to(root)
    cv2.imwrite(str(image), 255 - read_image(image))
    with pytest.raises(
        DataError, match=r"stage must be of the images of val as they are now, got one of others of"
    ):
        open_runs([str(run.path)], (), [f"data.root={moved}"])
