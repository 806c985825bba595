"""Options of every command with odd values: one line, before anything is written or computed."""

import argparse
import importlib
import random
from pathlib import Path
from unittest.mock import patch

import pytest
from fuzz.conftest import run_command, tries
from mutations import ODD_WORDS

from detector.commands import COMMANDS

# what a command must be told besides the option that is tried; none of it exists
POSITIONALS = {"config": "no.yaml", "run": "no_run", "out": "OUT"}


class Seen(BaseException):
    """The command's parser, before it has parsed anything."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser that the command makes."""

    def stop(parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        raise Seen(parser)

    with (
        patch.object(argparse.ArgumentParser, "parse_known_args", stop),
        patch.object(argparse.ArgumentParser, "parse_known_intermixed_args", stop),
        pytest.raises(Seen) as seen,
    ):
        importlib.import_module(f"detector.commands.{command}").main([])
    return seen.value.parser


@pytest.mark.parametrize("command", COMMANDS)
def test_every_number_on_the_command_line_has_bounds(command: str) -> None:
    for action in parser_of(command)._actions:
        assert action.type not in (int, float), f"{command} {action.option_strings or action.dest}"


@pytest.mark.parametrize("command", COMMANDS)
@tries(6)
def test_an_odd_value_of_an_option_is_one_line(command: str, seed: int, tmp_path: Path) -> None:
    draw = random.Random(f"{command} {seed}")
    parser = parser_of(command)
    options = [action for action in parser._actions if action.option_strings and action.nargs != 0]
    words = [command]
    for action in parser._actions:
        if not action.option_strings and action.nargs in (None, "+"):
            words.append(POSITIONALS.get(action.dest, "no_such_file.jpg"))
        elif action.option_strings and action.required:
            words += [action.option_strings[0], str(tmp_path / "none")]
    words = [str(tmp_path / "out") if word == "OUT" else word for word in words]
    if options:
        action = draw.choice(options)
        words += [f"{action.option_strings[-1]}={draw.choice(ODD_WORDS)}"]
    if command in ("bench", "demo", "make_synthetic"):
        words.append("--no-such-option")  # else they would begin, as they need no file
    told = run_command(*words)
    assert told.status == 2, (words, told)
    assert len(told.lines) == 1, (words, told)
