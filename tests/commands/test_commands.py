import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from detector import commands
from detector.errors import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", sorted(commands.COMMANDS))
def test_every_tool_explains_itself(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for lasting in ("keep_freed_memory", "signal.signal"):  # what a command does to its process
        monkeypatch.setattr(f"detector.commands.{lasting}", lambda *arguments: None)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "tools" / f"{name}.py"), run_name="__main__")
    assert ended.value.code == 0
    assert name in capsys.readouterr().out


def test_a_tool_is_a_program_of_its_own() -> None:
    words = [sys.executable, str(ROOT / "tools" / "train_det.py"), "--help"]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert "train_det" in result.stdout


def test_the_user_s_mistakes_are_one_line_and_status_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("finetune:\n  stepz: 3\n")
    assert commands.main(["train_det", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("train_det: unknown setting finetune.stepz = 3")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("ablate RUN --regions 0", "--regions: must be a whole number from 1, got 0"),
        ("bench --rounds x", "--rounds: must be a whole number from 1, got x"),
        ("check_data FILE --samples 1.5", "--samples: must be a whole number from 0, got 1.5"),
        ("compare RUN RUN --pictures=-1", "--pictures: must be a whole number from 0, got -1"),
        ("compare RUN RUN --resamples 0", "--resamples: must be a whole number from 1, got 0"),
        ("detect RUN IMAGE --every \N{SUPERSCRIPT TWO}", "--every: must be a whole number from 1, got"),
        ("split_val FILE --seed=-1", "--seed: must be a whole number from 0, got -1"),
    ],
)
def test_a_number_that_an_option_cannot_be_is_named(
    words: str, wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        commands.main(words.split())
    assert ended.value.code == 2
    assert wanted in capsys.readouterr().err


def test_a_missing_data_set_is_one_line_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"data:\n  root: {tmp_path / 'nowhere'}\n")
    assert commands.main(["train_det", str(path), "--run", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "nowhere") in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_print_config_shows_the_resolved_settings(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train_det", str(ROOT / "configs/ilsvrc_det.yaml"), "finetune.steps=7", "--print-config"]
    assert commands.main(arguments) == 0
    shown = capsys.readouterr().out
    assert "steps: 7" in shown
    assert "nms_iou: 0.3" in shown


def test_an_unknown_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["train_dat"]) == 2
    assert "got train_dat" in capsys.readouterr().err
    assert commands.main(["--help"]) == 0
    assert "train_det" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "goes_on"), [("train_det", True), ("bench", False)])
def test_an_interrupted_command_says_whether_it_goes_on(
    name: str, goes_on: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(arguments: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"detector.commands.{name}.main", interrupt)
    assert commands.run(name, []) == 130
    error = capsys.readouterr().err
    assert error.startswith(f"{name}: interrupted")
    assert ("goes on from here" in error) == goes_on


def test_a_broken_torchvision_is_one_line_with_the_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist\nat some place")

    monkeypatch.setattr(commands.importlib, "import_module", fail)
    with pytest.raises(ConfigError, match=r"repair: pip install --force-reinstall torch torchvision$") as caught:
        commands.check_torchvision()
    assert "\n" not in str(caught.value)
