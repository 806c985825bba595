"""The commands: `detector NAME ...`, or `python tools/NAME.py ...`."""

import importlib
import os
import sys
from collections.abc import Callable, Sequence

from detector.caches import settle_caches
from detector.commands.options import given
from detector.commands.process import (
    interruptible,
    is_interrupt,
    keep_freed_memory,
    line_of,
    prepare_streams,
    reader_has_gone,
    say,
    silence,
)
from detector.errors import AlreadyTold, ConfigError

COMMANDS = {
    "demo": "the whole job in minutes: a synthetic set, a detector trained on it, its report",
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
    "explain": "show what a detector did with images, and why it missed their objects",
    "clean": "tell what results lie in a run folder, and remove what is asked for",
    "export": "write a run's model for others: safetensors, ONNX, a model card",
    "check_data": "check a config's data, and count what there is",
    "describe": "count a network's layers beside the paper's Table 1",
    "bench": "measure this machine: stages, engines, and what others run",
    "make_synthetic": "make a synthetic set, for detection or classification",
}
WITHOUT_TORCH = ("eval_det", "split_val", "check_data", "make_synthetic")
RESUMED = ("demo", "train_det", "test_det", "ablate", "train_cls", "eval_cls", "train_multibox", "propose")
USAGE_ERROR = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """The `detector` program: its first word names the command."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in COMMANDS:
        return run(words[0], words[1:])
    return _guarded("detector", lambda: _without_command(words))


def run(name: str, arguments: Sequence[str] | None = None) -> int:
    """Run the command `name`; the user's mistakes become one line on stderr and the exit status 2."""
    # OpenMP threads that spin while they wait make torch many times slower once anything else needs a core;
    # read when torch is loaded, so it is set before
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    settle_caches()
    return _guarded(name, lambda: _run(name, arguments))


def _run(name: str, arguments: Sequence[str] | None) -> int:
    if name not in WITHOUT_TORCH:
        keep_freed_memory()
    try:
        return importlib.import_module(f"detector.commands.{name}").main(arguments)
    except (RuntimeError, ImportError, OSError) as error:
        check_torchvision(error)
        raise


def _without_command(words: Sequence[str]) -> int:
    """Help, where it is asked for; else what is wrong."""
    if words and words[0] not in ("-h", "--help"):
        raise ConfigError(f"command must be one of {', '.join(COMMANDS)}, got {given(words[0])}")
    lines = [f"  {name:16}{summary}" for name, summary in COMMANDS.items()]
    sys.stdout.write("\n".join(["usage: detector COMMAND ...", "", *lines, ""]))
    return 0 if words else USAGE_ERROR


def _guarded(name: str, work: Callable[[], int]) -> int:
    """The exit status of `work`; a mistake of the user's or an interrupt is told in one line, a bug raises."""
    prepare_streams()
    status: int | None
    with interruptible() as came:
        try:
            status = work()
            sys.stdout.flush()
        except BaseException as error:
            status = _end(name, error, came())
            if status is None:
                raise
            _flush()
    return status


def _end(name: str, error: BaseException, came: bool) -> int | None:
    """Tell what ended the command `name`, and its exit status; None for a fault of the program."""
    if is_interrupt(error, came):
        say(f"{name}: interrupted{'; the same command goes on from here' * (name in RESUMED)}")
        return INTERRUPTED
    if isinstance(error, BrokenPipeError) and reader_has_gone():
        return INTERRUPTED
    if isinstance(error, AlreadyTold):
        return USAGE_ERROR
    line = line_of(error)
    if line is None:
        return None
    say(f"{name}: {line}")
    return USAGE_ERROR


def _flush() -> None:
    """Flush stdout after an error; where that fails, drop the rest, so that Python's exit does not complain."""
    try:
        sys.stdout.flush()
    except OSError:
        silence(sys.stdout)


def check_torchvision(error: Exception) -> None:
    """Raise ConfigError with the repair where `error` shows that torch and torchvision do not match.

    torchvision is imported only where it is used, since its import takes longer than all others of most commands.
    """
    reason = (str(error).splitlines() or [""])[0]
    if "torchvision" in reason and not isinstance(error, ModuleNotFoundError):
        raise ConfigError(
            f"torch and torchvision must be a matching pair, got '{reason}'; repair: "
            "pip install --force-reinstall torch torchvision"
        ) from None
