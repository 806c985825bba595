"""The commands: `detector NAME ...`, or `python tools/NAME.py ...`."""

import argparse
import ctypes
import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from detector.errors import ConfigError, DataError

COMMANDS = {
    "train_det": "train a detector and test it, into a run folder",
    "test_det": "test a run's detector on another split",
    "ablate": "what views, ensembles, context and box voting of a run are worth",
    "train_cls": "train a classifier of whole images and test it, into a run folder",
    "eval_cls": "test classifiers of whole images with many crops: top-1 and top-5 errors",
    "train_multibox": "train a MultiBox proposal network, into a run folder",
    "propose": "compute the region proposals of a split",
    "eval_proposals": "judge region proposals: recall by IoU and by number of boxes",
    "eval_det": "evaluate a file of detections: ILSVRC, VOC or COCO mAP",
    "fuse": "fuse the detections of several systems: weighted boxes fusion",
    "compare": "compare runs on the same test images: paired bootstrap, what changed",
    "split_val": "split an image list in two halves that balance every class",
    "detect": "detect objects in images, folders, videos or from a camera",
    "export": "write a run's model for others: safetensors, ONNX, a model card",
    "check_data": "check a config's data, and count what there is",
    "describe": "count a network's layers beside the paper's Table 1",
    "bench": "measure this machine: stages, engines, and what others run",
    "make_synthetic": "make a synthetic set, for detection or classification",
}
NEED_TORCH = (
    "train_det",
    "test_det",
    "ablate",
    "train_cls",
    "eval_cls",
    "train_multibox",
    "propose",
    "eval_proposals",
    "fuse",
    "compare",
    "detect",
    "export",
    "describe",
    "bench",
)
RESUMED = ("train_det", "test_det", "ablate", "train_cls", "eval_cls", "train_multibox", "propose")
USAGE_ERROR = 2
INTERRUPTED = 130

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def main(arguments: Sequence[str] | None = None) -> int:
    """The `detector` program: its first word names the command."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        lines = [f"  {name:16}{summary}" for name, summary in COMMANDS.items()]
        sys.stdout.write("\n".join(["usage: detector COMMAND ...", "", *lines, ""]))
        return 0 if words else USAGE_ERROR
    if words[0] not in COMMANDS:
        sys.stderr.write(f"detector: command must be one of {', '.join(COMMANDS)}, got {words[0]}\n")
        return USAGE_ERROR
    return run(words[0], words[1:])


def run(name: str, arguments: Sequence[str] | None = None) -> int:
    """Run the command `name`; the user's mistakes become one line on stderr and the exit status 2."""
    # OpenMP threads that spin while they wait make torch many times slower once anything else needs a core;
    # read when torch is loaded, so it is set before
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if name in NEED_TORCH:
            keep_freed_memory()
            check_torchvision()
        return importlib.import_module(f"detector.commands.{name}").main(arguments)
    except (ConfigError, DataError) as error:
        sys.stderr.write(f"{name}: {error}\n")
        return USAGE_ERROR
    except KeyboardInterrupt:
        sys.stderr.write(f"{name}: interrupted{'; the same command goes on from here' * (name in RESUMED)}\n")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INTERRUPTED
    except OSError as error:  # a full disk, a folder that may not be written
        sys.stderr.write(f"{name}: {error}\n")
        return USAGE_ERROR


def config_parser(name: str, description: str | None, example: str) -> argparse.ArgumentParser:
    """The arguments that every command with a config file has; `example` is such a file."""
    parser = argparse.ArgumentParser(prog=name, description=description)
    parser.add_argument("config", type=Path, help=f"YAML file, such as {example}")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="settings over the file's")
    parser.add_argument("--run", type=Path, help="run folder, in which a repeated command goes on (runs/NAME)")
    return parser


def training_parser(name: str, description: str | None, example: str) -> argparse.ArgumentParser:
    """The arguments of a command that trains."""
    parser = config_parser(name, description, example)
    parser.add_argument("--print-config", action="store_true", help="show the resolved settings and stop")
    parser.add_argument("--download", action="store_true", help="fetch weights given by name where missing")
    return parser


def run_parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """The arguments of a command that tests a trained run."""
    parser = argparse.ArgumentParser(prog=name, description=description)
    parser.add_argument("run", type=Path, help="run folder of train_det")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="settings over the run's")
    parser.add_argument("--split", action="append", help="split to test; several are joined (default: the run's)")
    return parser


def whole_number(lowest: int) -> Callable[[str], int]:
    """The `type` of an option that takes a whole number from `lowest`, which is not negative."""

    def read(word: str) -> int:
        if not (word.isascii() and word.isdecimal() and int(word) >= lowest):
            raise argparse.ArgumentTypeError(f"must be a whole number from {lowest}, got {word}")
        return int(word)

    return read


def check_torchvision() -> None:
    """Raise ConfigError with the repair where torch and torchvision do not fit each other."""
    try:
        importlib.import_module("torchvision")
    except (RuntimeError, ImportError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"torch and torchvision must be a matching pair, got '{reason}'; repair: "
            "pip install --force-reinstall torch torchvision"
        ) from None


def keep_freed_memory() -> None:
    """Have glibc keep what is freed: a network's large maps are else fetched from the system again, page by page.

    Training on a CPU spends about half of its time on that: see benchmarks/freed_memory.md.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, -1)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
