"""Results of a stage: one for what it reads, kept for as long as nobody removes it."""

import json
from pathlib import Path

import numpy as np
import pytest

from detector.config import Config, DetectSettings
from detector.errors import DataError
from detector.runs.folder import RunFolder
from detector.runs.keys import key_of
from detector.runs.results import find_results
from detector.runs.stage import MANIFEST, Result

READS = {"a": 1, "b": [1, 2]}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.begin(Config())
    return folder


def finished(result: Result, **facts: object) -> Result:
    result.begin()
    (result.folder / "work").write_text(result.key)
    result.finish(**facts)
    return result


def test_a_result_is_done_only_with_what_it_was_made_of(run: RunFolder) -> None:
    stage = run.stage("propose", "val")
    result = stage.result(1, **READS)
    assert not result.is_done()
    result.begin()
    assert not result.is_done()
    result.finish(boxes=3)
    assert run.stage("propose", "val").result(1, **READS).is_done()
    assert not stage.result(1, **{**READS, "a": 2}).is_done()
    assert stage.facts()["boxes"] == 3


def test_another_version_of_the_algorithm_makes_another_result(run: RunFolder) -> None:
    finished(run.stage("propose", "val").result(1, **READS))
    assert not run.stage("propose", "val").result(2, **READS).is_done()


def test_other_settings_throw_nothing_away_and_going_back_finds_it(run: RunFolder) -> None:
    stage = run.stage("propose", "val")
    first = finished(stage.result(1, seed=0))
    second = finished(stage.result(1, seed=1))
    assert (stage.folder / "work").read_text() == second.key
    assert stage.result(1, seed=0).is_done()
    assert (stage.folder / "work").read_text() == first.key == (first.folder / "work").read_text()
    assert (second.folder / "work").exists()


def test_the_folder_of_a_stage_is_that_of_its_present_settings(run: RunFolder) -> None:
    plain, part = run.stage("finetune"), run.stage("detect", "val", "svm+boxes")
    for stage, path in ((plain, "stages/finetune/present"), (part, "stages/detect/val/svm+boxes")):
        result = finished(stage.result(1))
        assert stage.folder == run.path / path
        assert stage.folder.resolve() == result.folder.resolve()
        assert result.folder == run.path / "stages" / stage.names[0] / result.key
    moved = run.path.rename(run.path.with_name("moved"))
    assert RunFolder(moved).stage("finetune").facts()["done"]


def test_work_that_was_begun_is_gone_on_with(run: RunFolder) -> None:
    result = run.stage("finetune").result(1, **READS)
    result.begin()
    (result.folder / "last.pt").write_text("work")
    run.stage("finetune").result(1, **READS).begin()
    assert (result.folder / "last.pt").exists()
    events = [json.loads(line)["event"] for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert events[1:] == ["stage begun", "stage resumed"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "stage manifest must be valid JSON"),
        ("\xff", "it is not UTF-8"),
        ("[]", "stage manifest must be a JSON object"),
        ('{"done": true}', "stage manifest's 'key' must be a str, got none"),
        ('{"key": 7, "done": true}', "stage manifest's 'key' must be a str, got 7"),
        ('{"key": "k", "done": 1}', "stage manifest's 'done' must be a bool, got 1"),
    ],
)
def test_a_damaged_manifest_is_named_and_nothing_is_thrown_away(run: RunFolder, text: str, message: str) -> None:
    stage = run.stage("finetune")
    result = stage.result(1, **READS)
    result.begin()
    (result.folder / "last.pt").touch()
    (result.folder / MANIFEST).write_text(text, encoding="latin-1")
    for use in (result.is_done, result.begin):
        with pytest.raises(DataError, match=r"/stage\.json.*; without this file the stage is made again") as e:
            use()
        assert message in str(e.value)
    with pytest.raises(DataError):
        stage.facts()
    assert (result.folder / "last.pt").exists()
    (result.folder / MANIFEST).unlink()
    result.begin()
    assert not (result.folder / "last.pt").exists()


def test_what_an_older_version_left_in_the_place_of_a_link_is_kept(run: RunFolder) -> None:
    old = run.path / "stages/propose/val"
    for _ in range(2):
        old.mkdir(parents=True)
        (old / MANIFEST).write_text('{"key": "older", "done": true}')
        stage = run.stage("propose", "val")
        finished(stage.result(1, **READS))
        old.unlink()
    assert (run.path / "stages/propose/val.old" / MANIFEST).is_file()
    assert (run.path / "stages/propose/val.old.old" / MANIFEST).is_file()


def test_what_an_older_version_made_of_a_stage_without_parts_is_kept(run: RunFolder) -> None:
    old = run.path / "stages/finetune"
    (old / "parts").mkdir(parents=True)
    for name in (MANIFEST, "last.pt", "parts/0"):
        (old / name).write_text('{"key": "older", "done": true}')
    results = [finished(run.stage("finetune").result(1, seed=seed)) for seed in (0, 1)]
    kept = run.path / "stages/finetune/present.old"
    assert sorted(path.name for path in kept.iterdir()) == ["last.pt", "parts", MANIFEST]
    assert all((result.folder / "work").is_file() for result in results)
    assert not (old / MANIFEST).exists()
    assert [each.key for each in find_results(run.path)] == [results[1].key, results[0].key, ""]


def test_keys_are_of_contents_in_any_order_and_not_of_paths(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("same")
    two.write_text("same")
    assert key_of({"a": one, "b": 2}) == key_of({"b": 2, "a": two})
    two.write_text("other")
    assert key_of({"a": one, "b": 2}) != key_of({"b": 2, "a": two})
    settings = DetectSettings()
    changed = settings.model_copy(update={"nms_iou": 0.1})
    assert key_of({"s": settings}) == key_of({"s": DetectSettings()}) != key_of({"s": changed})
    rows = np.arange(3)
    assert key_of({"r": rows}) == key_of({"r": np.arange(3)}) != key_of({"r": rows.astype(np.int32)})
    with pytest.raises(DataError, match=r"nowhere\.npz"):
        key_of({"a": tmp_path / "nowhere.npz"})
