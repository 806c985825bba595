import json
from pathlib import Path

import pytest

from detector.config import Config, load_config
from detector.errors import DataError
from detector.files import file_hash
from detector.runs.folder import RunFolder, environment, key_of, split_slug

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
    stage.begin(INPUTS)
    (stage.folder / "last.pt").touch()
    stage.manifest_path.write_text(text, encoding="latin-1")
    for use in (stage.is_done, stage.begin):
        with pytest.raises(
            DataError, match=r"finetune/stage\.json.*; without this file the stage is made again"
        ) as e:
            use(INPUTS)
        assert message in str(e.value)
    with pytest.raises(DataError):
        stage.facts()
    assert (stage.folder / "last.pt").exists()
    stage.manifest_path.unlink()
    stage.begin(INPUTS)
    assert not (stage.folder / "last.pt").exists()


def test_a_line_of_the_log_that_a_kill_cut_takes_no_other_with_it(run: RunFolder) -> None:
    with (run.path / "log.jsonl").open("a") as file:
        file.write('{"event": "stage do')
    run.log("start")
    run.log("start")
    lines = (run.path / "log.jsonl").read_text().splitlines()
    assert len(lines) == 4
    assert [json.loads(line)["event"] for line in (lines[0], *lines[2:])] == ["start"] * 3


@pytest.mark.parametrize(
    ("splits", "slug"),
    [
        (["train"], "train"),
        (["test.txt"], "test"),
        (["./test.txt"], "test"),
        (["train", "val1"], "train_val1"),
        (["train2017"], "train2017"),
    ],
)
def test_splits_become_folder_names(splits: list[str], slug: str) -> None:
    assert split_slug(splits) == slug


def test_different_splits_have_different_folders() -> None:
    words = [
        "a/test.txt",
        "b/test.txt",
        "/a/test.txt",
        "test",
        "../test.txt",
        "v1.test",
        "v1.train",
        "..",
        ".",
        "te st",
    ]
    words += ["te_st", "test\n", "训练", "测试", "x" * 250, "x" * 251, "caf\udce9", "test.json", "a/b/test.txt"]
    slugs = [split_slug([word]) for word in words]
    assert len(set(slugs)) == len(words)
    assert all(slug.isascii() and slug.isprintable() and len(slug) < 120 for slug in slugs)
    assert all(not slug.startswith(".") and "/" not in slug for slug in slugs)
    assert split_slug(["a/test.txt"]) == split_slug(["a/./test.txt"]) == "test-178ce766"
    assert split_slug(["a/test.txt", "val"]) != split_slug(["b/test.txt", "val"])


def test_what_an_older_version_made_of_a_list_is_taken_over(run: RunFolder) -> None:
    old, new = run.stage("propose", "test"), run.stage("propose", split_slug(["a/test.txt"]))
    old.begin(INPUTS)
    (old.folder / "work").touch()
    assert not new.is_done({"a": 2})
    assert old.folder.exists()
    assert not new.is_done(INPUTS)
    new.begin(INPUTS)
    assert (new.folder / "work").exists()
    assert not old.folder.exists()


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
