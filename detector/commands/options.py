"""Parsers and options of commands, read by the same rules as settings; an error is one line."""

import argparse
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from detector.commands.process import say
from detector.config import Config, idle_words
from detector.config.limits import MANY
from detector.config.partners import OF_DATA, OF_RUN, OF_TEST
from detector.config.values import is_path, is_printable, number_of, whole_of
from detector.text import LONGEST_VALUE, one_line, shown

# argparse's words for what is wrong, and ours; \1 is the option
REWORDED = (
    (r"argument (.+?): invalid choice: (.*) \(choose from (.*)\)", r"\1 must be one of \3, got \2"),
    (r"argument (.+?): expected (.*?)arguments?", r"\1 must be followed by \2value"),
    (r"argument (.+?): ignored explicit argument (.*)", r"\1 must be given without a value, got \2"),
    (r"argument (.+?): (must .*)", r"\1 \2"),
    (r"argument (.+?): (.*)", r"\1: \2"),
    (r"the following arguments are required: (.*)", r"\1 must be given"),
    (r"unrecognized arguments: (.*)", r"unknown arguments: \1"),
)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Write `message` in the form of our errors and exit with status 2."""
        for pattern, form in REWORDED:
            found = re.fullmatch(pattern, message, re.DOTALL)
            if found:
                message = found.expand(form)
                break
        self.exit(2, f"{self.prog}: {one_line(message)}\n")


def whole_number(lowest: int, highest: int = MANY) -> Callable[[str], int]:
    """The `type` of an option that takes a whole number from `lowest` to `highest`, in decimal digits."""

    def read(word: str) -> int:
        number = whole_of(word)
        if number is None or not lowest <= number <= highest:
            limits = f"from {lowest}" if number is None or number < lowest else f"from {lowest} to {highest}"
            raise argparse.ArgumentTypeError(f"must be a whole number {limits}, got {given(word)}")
        return number

    return read


def number_between(lowest: float, highest: float) -> Callable[[str], float]:
    """The `type` of an option that takes a number in `lowest`..`highest`, both included."""

    def read(word: str) -> float:
        number = number_of(word)
        if number is None or not lowest <= number <= highest:
            raise argparse.ArgumentTypeError(f"must be a number in {lowest:g}..{highest:g}, got {given(word)}")
        return number

    return read


def number_above(lowest: float, highest: float) -> Callable[[str], float]:
    """The `type` of an option that takes a number above `lowest` and at most `highest`."""

    def read(word: str) -> float:
        number = number_of(word)
        if number is None or not lowest < number <= highest:
            wanted = f"a number above {lowest:g} and at most {highest:g}"
            raise argparse.ArgumentTypeError(f"must be {wanted}, got {given(word)}")
        return number

    return read


def a_score(word: str) -> float:
    """The `type` of an option that takes a score, whose range the detector knows."""
    number = number_of(word)
    if number is None or math.isinf(number):
        raise argparse.ArgumentTypeError(f"must be a number in 0..1, of SVMs any, got {given(word)}")
    return number


def a_path(word: str) -> Path:
    """The `type` of an option that takes the path of a file or folder, which need not be there."""
    if not is_path(word):
        raise argparse.ArgumentTypeError(f"must be a path, got {shown(word)}")
    return Path(word)


def a_name(word: str) -> str:
    """The `type` of an option that takes the name of a split, a device or the like."""
    if not is_printable(word):
        raise argparse.ArgumentTypeError(f"must be text of printable letters, got {shown(word)}")
    return word


def names(word: str) -> list[str]:
    """The `type` of an option that takes names between commas."""
    return [a_name(name.strip()) for name in word.split(",")]


def config_parser(
    name: str, description: str | None, example: str, is_needed: bool = True
) -> argparse.ArgumentParser:
    """The arguments that every command with a config file has; `example` is such a file."""
    parser = Parser(prog=name, description=description)
    parser.add_argument(
        "config", type=a_path, nargs=None if is_needed else "?", help=f"YAML file, such as {example}"
    )
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="settings over the file's")
    parser.add_argument("--run", type=a_path, help="run folder, in which a repeated command goes on (runs/NAME)")
    return parser


def training_parser(
    name: str, description: str | None, example: str, is_needed: bool = True
) -> argparse.ArgumentParser:
    """The arguments of a command that trains, by a config file or, where none `is_needed`, by other options."""
    parser = config_parser(name, description, example, is_needed)
    parser.add_argument("--print-config", action="store_true", help="show the resolved settings and stop")
    parser.add_argument("--download", action="store_true", help="fetch weights given by name where missing")
    return parser


def run_parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """The arguments of a command that tests a trained run."""
    parser = Parser(prog=name, description=description)
    parser.add_argument("run", type=a_path, help="run folder of train_det")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="settings over the run's")
    parser.add_argument(
        "--split", action="append", type=a_name, help="split to test; several are joined (default: the run's)"
    )
    return parser


def add_detector(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which detector `load_detector` opens."""
    parser.add_argument(
        "run",
        type=a_path,
        help="run folder of train_det, its region_classifier.safetensors, or weights of ImageNet's classes",
    )
    parser.add_argument(
        "--classes",
        type=names,
        help="of ImageNet's weights: names or WNIDs, as apple,n02084071 (ILSVRC-DET's 200)",
    )
    parser.add_argument("--download", action="store_true", help="fetch weights given by name where missing")
    parser.add_argument(
        "--set", action="append", default=[], metavar="section.key=value", help="setting over the run's"
    )


def say_idle(detector: Path, config: Config, words: Sequence[str], reads_data: bool = False) -> None:
    """Tell which of the settings that words over a detector's give are used by nothing on images from anywhere.

    The data set of its test counts where a command `reads_data`.
    """
    of_data = () if reads_data else OF_DATA
    of_run = () if detector.is_dir() else OF_RUN
    for line in idle_words(config, words, (*OF_TEST, *of_data, *of_run)):
        say(line)


def given(word: str) -> str:
    """A word of the command line for a message: as it stands, if it is short and can be seen so."""
    return word if is_printable(word) and len(word) <= LONGEST_VALUE else shown(word)
