import argparse
import importlib
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from detector import commands
from detector.commands.options import Parser
from detector.errors import ConfigError, DataError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", sorted(commands.COMMANDS))
def test_every_tool_explains_itself(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("detector.commands.keep_freed_memory", lambda: None)  # what lasts in a process
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "tools" / f"{name}.py"), run_name="__main__")
    assert ended.value.code == 0
    assert name in capsys.readouterr().out


def test_a_tool_is_a_program_of_its_own_and_a_training_does_without_torchvision() -> None:
    words = [sys.executable, "-X", "importtime", str(ROOT / "tools" / "train_det.py"), "--help"]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert "train_det" in result.stdout
    loaded = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert {"detector.jobs.train_detector", "torch"} <= loaded
    assert "torchvision" not in loaded


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
        ("ablate RUN --regions 0", "ablate: --regions must be a whole number from 1, got 0"),
        ("bench --rounds x", "bench: --rounds must be a whole number from 1, got x"),
        ("check_data FILE --samples 1.5", "check_data: --samples must be a whole number from 0, got 1.5"),
        ("compare RUN RUN --pictures=-1", "compare: --pictures must be a whole number from 0, got -1"),
        ("compare RUN RUN --resamples 0", "compare: --resamples must be a whole number from 1, got 0"),
        ("detect RUN IMAGE --every \N{SUPERSCRIPT TWO}", "detect: --every must be a whole number from 1, got"),
        ("split_val FILE --seed=-1", "split_val: --seed must be a whole number from 0, got -1"),
        (
            "split_val FILE --seed 9223372036854775808",
            "--seed must be a whole number from 0 to 9223372036854775807, got",
        ),
        ("eval_cls W --data D --workers -5", "eval_cls: --workers must be a whole number from -1, got -5"),
        ("eval_cls W --data D --batch-size -3", "eval_cls: --batch-size must be a whole number from 0, got -3"),
        ("eval_cls W --data D --crops 3", "eval_cls: --crops must be one of 1, 10, 144, got 3"),
        (
            "eval_cls W --data D --precision half",
            "--precision must be one of 'auto', 'fp32', 'bf16', 'fp16', got 'half'",
        ),
        ("eval_cls W", "eval_cls: --data must be given"),
        ("fuse C F --out O --iou nan", "fuse: --iou must be a number in 0..1, got nan"),
        ("fuse C F --out O --min-score 1_0", "fuse: --min-score must be a number in 0..1, got 1_0"),
        ("fuse C F --out O --weights inf", "fuse: --weights must be a number above 0 and at most 1e+06, got inf"),
        ("make_synthetic O --images 1e3", "make_synthetic: --images must be a whole number from 1, got 1e3"),
        (
            "make_synthetic O --mean-width 1e9",
            "make_synthetic: --mean-width must be a number in 48..8192, got 1e9",
        ),
        ("describe paper --size 010", "describe: --size must be a whole number from 1, got 010"),
        ("compare A B --out", "compare: --out must be followed by one value"),
        ("compare A B --out=", "compare: --out must be a path, got ''"),
        ("compare A B --nothing x", "compare: unknown arguments: --nothing x"),
        ("train_det C --download=3", "train_det: --download must be given without a value, got '3'"),
    ],
)
def test_a_number_that_an_option_cannot_be_is_named(
    words: str, wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        commands.main(words.split())
    assert ended.value.code == 2
    line = capsys.readouterr().err
    assert wanted in line
    assert line.count("\n") == 1


@pytest.mark.parametrize("name", sorted(commands.COMMANDS))
def test_every_option_is_read_by_the_rules_of_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parsers: list[argparse.ArgumentParser] = []

    def stop(parser: argparse.ArgumentParser, arguments: object = None) -> None:
        parsers.append(parser)
        raise ConfigError("stopped")

    for parse in ("parse_args", "parse_intermixed_args"):
        monkeypatch.setattr(argparse.ArgumentParser, parse, stop)
    with pytest.raises(ConfigError, match="stopped"):
        importlib.import_module(f"detector.commands.{name}").main([])
    (parser,) = parsers
    assert isinstance(parser, Parser)
    for action in parser._actions:
        if isinstance(action.default, (int, float, Path)) and action.nargs != 0:
            assert action.type not in (None, int, float, Path), action
        if action.type is not None:
            assert getattr(action.type, "__module__", "") == "detector.commands.options", action
            for word in ("nan", "-inf", "1_0", "9" * 400, "a\0b", ""):
                read_or_refused(parser, action, word)


def read_or_refused(parser: argparse.ArgumentParser, action: argparse.Action, word: str) -> None:
    """The option takes the word as a text that says just that, or refuses it in short."""
    try:
        value = parser._get_value(action, word)
    except argparse.ArgumentError as error:
        assert " must be " in str(error)
        assert len(str(error)) < 300
    else:
        assert (",".join(value) if isinstance(value, list) else str(value)) == word


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
    goes_on_here = "; the same command goes on from here" * goes_on
    assert capsys.readouterr().err == f"{name}: interrupted{goes_on_here}\n"


def work_of_describe(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> int:
    """The exit status of the command describe that does `work`."""

    def main(arguments: list[str]) -> int:
        work()
        return 0

    monkeypatch.setattr("detector.commands.describe.main", main)
    return commands.run("describe", [])


def kernel() -> None:
    """As numba's kernels and imports do with an exception of a signal's handler."""
    try:
        signal.raise_signal(signal.SIGTERM)
    except KeyboardInterrupt:
        raise SystemError("CPUDispatcher returned a result with an exception set") from None


def library() -> None:
    """As a library that loses the exception of the handler altogether."""
    with suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    raise ImportError("no such module")


def destructor() -> None:
    """As a signal that comes while an object is deleted: Python drops the exception, and the work goes on."""

    class Deleted:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    Deleted()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.parametrize("work", [kernel, library, destructor])
def test_an_interrupt_that_arrives_as_something_else_is_one(
    work: Callable[[], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), sys.unraisablehook
    assert work_of_describe(monkeypatch, work) == 130
    assert capsys.readouterr().err == "describe: interrupted\n"
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), sys.unraisablehook) == before


def test_what_goes_wrong_after_an_interrupt_that_was_answered_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def camera() -> None:
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise DataError("results.json must be writable (No space left on device)")

    assert work_of_describe(monkeypatch, camera) == 2
    assert "results.json must be writable" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            MemoryError("Unable to allocate 7 TiB"),
            "memory must be enough, got too little (Unable to allocate 7 TiB)",
        ),
        (MemoryError(), "memory must be enough, got too little (MemoryError)"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate\nat"), "memory must be enough"),
        (RecursionError("maximum recursion depth exceeded"), "input must not nest without end"),
        (OSError(28, "No space left on device", "a\nb"), r"[Errno 28] No space left on device: 'a\nb'"),
    ],
)
def test_what_the_machine_lacks_is_one_line_and_status_2(
    error: Exception, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    assert work_of_describe(monkeypatch, fail) == 2
    line = capsys.readouterr().err
    assert line.startswith(f"describe: {told}")
    assert line.count("\n") == 1


def test_a_fault_of_the_program_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ValueError("a fault")

    with pytest.raises(ValueError, match="a fault"):
        work_of_describe(monkeypatch, fail)


PROGRAM = """
import sys, types
from detector import commands
stand_in = types.ModuleType("detector.commands.check_data")  # which need not be loaded
stand_in.main = lambda words: sys.stdout.write(words[0] + chr(10)) and 0
sys.modules[stand_in.__name__] = stand_in
sys.exit(commands.run("check_data", sys.argv[1:]))
"""


def program(word: str, redirection: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A command that writes `word`, as a process, by a shell that redirects its streams."""
    line = f'exec "$0" -c "$1" "$2" {redirection}'
    words = ["sh", "-c", line, sys.executable, PROGRAM, word]
    return subprocess.run(
        words,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        check=False,
    )


def test_a_terminal_of_ascii_shows_any_name() -> None:
    ended = program("caf\xe9 caf\udce9", PYTHONIOENCODING="ascii")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, rb"caf\xe9 caf\udce9" + b"\n", b"")


@pytest.mark.parametrize(
    ("redirection", "status", "told"),
    [
        (">/dev/full", 2, b"check_data: [Errno 28] No space left on device\n"),
        (">&-", 0, b""),
        (">&- 2>&-", 0, b""),
        ("| true", 0, b""),  # the status is that of `true`
    ],
)
def test_a_stdout_that_takes_nothing_is_one_line_at_most(redirection: str, status: int, told: bytes) -> None:
    ended = program("x" * 100_000, redirection)
    assert (ended.returncode, ended.stderr) == (status, told)


def test_a_broken_torchvision_is_one_line_with_the_repair(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> int:
        raise RuntimeError("operator torchvision::nms does not exist\nat some place")

    monkeypatch.setattr("detector.commands.describe.main", fail)
    assert commands.run("describe", []) == 2
    line = capsys.readouterr().err
    assert line.startswith("describe: torch and torchvision must be a matching pair, got 'operator torchvision")
    assert line.endswith("repair: pip install --force-reinstall torch torchvision\n")
    assert line.count("\n") == 1
