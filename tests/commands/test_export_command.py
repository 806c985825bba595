from pathlib import Path

import pytest
from made_runs import write_run

from detector import commands


def test_the_paths_of_the_files_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run")
    assert commands.main(["export", str(run.path), "--safetensors"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [Path(line).name for line in shown] == ["region_classifier.safetensors", "config.yaml", "MODEL_CARD.md"]
    assert all(Path(line).is_file() and Path(line).is_relative_to(run.path / "export") for line in shown)


def test_what_an_earlier_export_left_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", "svm.enabled=true")
    words = ["export", str(run.path), "--safetensors", "--out", str(tmp_path / "out")]
    assert commands.main(words) == 0
    assert not capsys.readouterr().err
    for name in ("model/region_classifier.onnx", "members/1/model/region_classifier.safetensors"):
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).touch()
    assert commands.main(words) == 0
    names = "members/1/model/region_classifier.safetensors, model/region_classifier.onnx"
    assert (
        capsys.readouterr().err == f"left as they are: 2 other files of a model in {tmp_path / 'out'}: {names}\n"
    )


def test_something_must_be_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        commands.main(["export", str(tmp_path)])
    assert caught.value.code == 2
    assert "one of --safetensors and --onnx must be given" in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["export", str(tmp_path), "--onnx"]) == 2
    assert capsys.readouterr().err.startswith("export: run must be a folder that holds config.yaml")
