"""Write a run's model for others: safetensors with heads, ONNX, and a model card."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from detector.commands.options import Parser, a_path
from detector.commands.process import say_left
from detector.jobs.export import export_run
from detector.runs.folder import RunFolder


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files and print their paths."""
    options = _parse(arguments)
    folder = options.out or options.run / "export"
    with RunFolder(folder).lock() as lock:
        lock.take()
        files = export_run(RunFolder(options.run), folder, options.safetensors, options.onnx)
        say_left(_others(folder, files), "files of a model", folder)
    sys.stdout.write("".join(f"{path}\n" for path in files))
    return 0


def _others(folder: Path, files: Sequence[Path]) -> list[str]:
    """The files of models in `folder` that were not written now, such as those of an earlier export."""
    found = [path for pattern in ("model/*", "members/*/model/*") for path in folder.glob(pattern)]
    others = [path for path in found if path not in files and path != RunFolder(folder).statement_path]
    return sorted(path.relative_to(folder).as_posix() for path in others)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="export", description=__doc__)
    parser.add_argument("run", type=a_path, help="run folder of train_det")
    parser.add_argument("--safetensors", action="store_true", help="the network and its heads, for load_detector")
    parser.add_argument("--onnx", action="store_true", help="the network alone, crops to logits")
    parser.add_argument("--out", type=a_path, help="folder to write (RUN/export)")
    options = parser.parse_args(arguments)
    if not (options.safetensors or options.onnx):
        parser.error("one of --safetensors and --onnx must be given")
    return options
