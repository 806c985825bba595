import json
from pathlib import Path

import pytest

from detector.config import Config, load_config
from detector.errors import DataError
from detector.pipeline.run import RunFolder, environment, file_hash, key_of

INPUTS = {"a": 1, "b": [1, 2]}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.begin(Config())
    return folder


def test_a_stage_is_done_only_with_the_inputs_it_was_made_with(run: RunFolder) -> None:
    stage = run.stage("propose", "val")
    assert not stage.is_done(INPUTS)
    stage.begin(INPUTS)
    assert not stage.is_done(INPUTS)
    stage.finish(INPUTS, boxes=3)
    assert run.stage("propose", "val").is_done(INPUTS)
    assert not stage.is_done({**INPUTS, "a": 2})
    assert stage.facts()["boxes"] == 3


def test_a_stage_begun_again_keeps_its_work_and_with_other_inputs_drops_it(run: RunFolder) -> None:
    stage = run.stage("finetune")
    stage.begin(INPUTS)
    (stage.folder / "last.pt").write_text("work")
    stage.begin(INPUTS)
    assert (stage.folder / "last.pt").exists()
    stage.begin({"a": 2})
    assert not (stage.folder / "last.pt").exists()


def test_a_damaged_manifest_is_named(run: RunFolder) -> None:
    stage = run.stage("finetune")
    stage.begin(INPUTS)
    stage.manifest_path.write_text("{")
    with pytest.raises(DataError, match=r"finetune/stage\.json"):
        stage.is_done(INPUTS)


def test_keys_do_not_depend_on_the_order_of_the_inputs() -> None:
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})


def test_a_run_says_with_what_it_was_made(run: RunFolder) -> None:
    facts = json.loads((run.path / "environment.json").read_text())
    assert facts.keys() == environment().keys()
    assert facts["packages"]["torch"] != "not installed"
    assert load_config(Config, run.config_path) == Config()
    events = [json.loads(line)["event"] for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert events == ["start"]


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"must be a folder that holds config.yaml, got {tmp_path}"):
        RunFolder(tmp_path).read_config(Config, [])


def test_a_file_that_cannot_be_hashed_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.npz"):
        file_hash(tmp_path / "nowhere.npz")
