import json
from pathlib import Path

import pytest

from detector.config import Config, load_config
from detector.errors import DataError
from detector.files import file_hash, write_text
from detector.runs.environment import environment
from detector.runs.folder import RunFolder
from detector.runs.split import split_slug


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.begin(Config())
    return folder


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


def test_a_run_says_with_what_it_was_made(run: RunFolder) -> None:
    facts = json.loads((run.path / "environment.json").read_text())
    assert facts.keys() == environment().keys()
    assert facts["packages"]["torch"] != "not installed"
    assert load_config(Config, run.config_path) == Config()
    events = [json.loads(line)["event"] for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert events == ["start"]


def test_the_lists_of_a_run_that_was_moved_are_found_in_it(tmp_path: Path) -> None:
    lists = [f"{tmp_path}/run/data/{name}.txt" for name in ("train", "test")]
    data = {"root": tmp_path, "train": [lists[0], "more"], "test": lists[1]}
    run = RunFolder(tmp_path / "run")
    run.begin(Config.model_validate({"data": data}))
    for path in lists:
        write_text(Path(path), "a.jpg\n")
    assert run.read_config(Config, []).data.train == (lists[0], "more")
    moved = run.path.rename(tmp_path / "moved")
    found = RunFolder(moved).read_config(Config, []).data
    assert found.train == (str(moved / "data/train.txt"), "more")
    assert found.test == (str(moved / "data/test.txt"),)
    (moved / "data/test.txt").unlink()
    assert RunFolder(moved).read_config(Config, []).data.test == (lists[1],)


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"must be a folder that holds config.yaml, got {tmp_path}"):
        RunFolder(tmp_path).read_config(Config, [])


def test_a_file_that_cannot_be_hashed_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.npz"):
        file_hash(tmp_path / "nowhere.npz")
