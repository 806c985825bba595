"""Removing results of a run, and nothing that is used or was not asked for."""

import os
import shutil
import time
from pathlib import Path

import pytest

from detector.commands import main
from detector.config import Config
from detector.runs.folder import RunFolder
from detector.runs.stage import Result


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run with two results of a stage, of which the second is present, one of a member, and one of old."""
    run = RunFolder(tmp_path / "run")
    run.begin(Config())
    for seed in (0, 1):
        finish(run.stage("propose", "val").result(1, seed=seed))
    finish(run.member(1).stage("finetune").result(1))
    old = run.path / "stages/labels/val"
    old.mkdir(parents=True)
    (old / "stage.json").write_text('{"key": "1", "done": true, "stage": "labels/val", "inputs": {}}')
    return run


def finish(result: Result) -> None:
    result.begin()
    (result.folder / "store.npy").write_bytes(bytes(5000))
    result.finish()


def table(text: str) -> list[tuple[str, ...]]:
    """Stage, whether it is used, and whether it is whole, of each line of the table."""
    rows = [line.split() for line in text.splitlines() if not line.startswith(("stage", "removed", "would"))]
    return [(row[0], row[-5], row[-4]) for row in rows]


def test_all_that_lies_in_a_run_is_told(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clean", str(run.path)]) == 0
    assert table(capsys.readouterr().out) == [
        ("labels/val", "no", "yes"),
        ("members/1/finetune", "yes", "yes"),
        ("propose/val", "yes", "yes"),
        ("propose/val", "no", "yes"),
    ]
    assert len(list(run.path.rglob("store.npy"))) == 3


def test_what_the_present_settings_use_is_kept(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    main(["clean", str(run.path), "--unused", "--dry-run"])
    assert "would remove 2 of 4 results, " in capsys.readouterr().out
    assert len(list(run.path.rglob("store.npy"))) == 3
    main(["clean", str(run.path), "--unused"])
    assert "removed 2 of 4 results, " in capsys.readouterr().out
    assert run.stage("propose", "val").result(1, seed=1).is_done()
    assert not run.stage("propose", "val").result(1, seed=0).is_done()
    assert run.member(1).stage("finetune").result(1).is_done()
    assert not (run.path / "stages/labels/val").exists()


def test_without_links_nothing_counts_as_unused(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    links = [path for path in run.path.rglob("*") if path.is_symlink()]
    for link in links:
        link.unlink()
    main(["clean", str(run.path), "--unused"])
    assert table(capsys.readouterr().out) == [("labels/val", "no", "yes")]
    assert len(list(run.path.rglob("store.npy"))) == 3


def test_of_a_run_copied_without_links_what_they_led_to_is_used(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = run.path.with_name("copied")
    shutil.copytree(run.path, copied)  # links become what they lead to
    main(["clean", str(copied), "--unused"])
    assert table(capsys.readouterr().out) == [("labels/val", "no", "yes"), ("propose/val", "no", "yes")]
    assert RunFolder(copied).stage("propose", "val").result(1, seed=1).is_done()


def test_only_what_is_old_goes_where_that_is_asked(run: RunFolder) -> None:
    folder = run.stage("propose", "val").result(1, seed=0).folder
    main(["clean", str(run.path), "--older", "1"])
    assert folder.exists()
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (time.time() - 2 * 86_400,) * 2)
    main(["clean", str(run.path), "--older", "1"])
    assert not folder.exists()
    assert (run.path / "stages/labels/val").exists()


def test_a_result_goes_by_its_key_and_its_name_with_it(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    result = run.stage("propose", "val").result(1, seed=1)
    main(["clean", str(run.path), "--key", result.key])
    assert not result.folder.exists()
    assert not run.stage("propose", "val").folder.is_symlink()
    capsys.readouterr()
    assert main(["clean", str(run.path), "--key", "none"]) == 2
    assert capsys.readouterr().err == "clean: --key must be that of a result, got none\n"


def test_a_folder_that_is_no_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clean", str(tmp_path)]) == 2
    wanted = f"clean: run must be a folder that holds config.yaml or stages, got {tmp_path}\n"
    assert capsys.readouterr().err == wanted
