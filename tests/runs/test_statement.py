"""What model/ states of its files."""

import json
from pathlib import Path

import pytest

from detector.config import Config
from detector.errors import DataError
from detector.runs.folder import RunFolder
from detector.runs.statement import begin_statement, read_statement, state_files

OTHER = Config.model_validate({"finetune": {"steps": 7}})


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run whose training of two members is done."""
    run = RunFolder(tmp_path / "run")
    begin_statement(run, Config(), [])
    for path in files_of(run):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
        state_files(run, [path])
    return run


def files_of(run: RunFolder) -> list[Path]:
    return [run.model_path, run.member(1).model_path, run.weights_path, run.context_path]


def stated(run: RunFolder) -> list[bool]:
    """Of which of its files the run states that they are of its training."""
    statement = read_statement(run)
    assert statement is not None
    return [statement.has(run, path) for path in files_of(run)]


def test_a_finished_training_states_all_its_files(run: RunFolder) -> None:
    assert stated(run) == [True] * 4


def test_a_training_by_other_settings_begins_with_no_file(run: RunFolder) -> None:
    begin_statement(run, OTHER, [])
    assert stated(run) == [False] * 4


def test_a_training_repeated_by_the_same_settings_changes_nothing(run: RunFolder) -> None:
    before = run.statement_path.read_bytes()
    begin_statement(run, Config(), [])
    state_files(run, files_of(run)[:1])
    assert run.statement_path.read_bytes() == before


def test_a_model_that_was_trained_anew_leaves_nothing_that_followed_the_old_one(run: RunFolder) -> None:
    run.member(1).model_path.write_text("new")
    assert stated(run) == [True, False, True, True]
    state_files(run, [run.member(1).model_path])
    assert stated(run) == [True, True, False, False]


def test_other_models_of_further_runs_are_another_beginning(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "further").write_text("a model")
    begin_statement(run, Config(), [tmp_path / "further"])
    assert stated(run) == [False] * 4


def test_a_copied_run_states_its_own_files(run: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(run.path.rename(tmp_path / "copy"))
    assert stated(copy) == [True] * 4


def test_a_run_of_an_earlier_version_states_nothing(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    state_files(run, [])
    assert read_statement(run) is None


@pytest.mark.parametrize("text", ["[]", "{}", json.dumps({"settings": [], "further": [], "files": {}}), "{"])
def test_a_damaged_statement_is_one_line_and_begun_anew(run: RunFolder, text: str) -> None:
    run.statement_path.write_text(text)
    with pytest.raises(DataError, match=r"statement must .*statement\.json"):
        read_statement(run)
    begin_statement(run, Config(), [])
    assert stated(run) == [False] * 4
