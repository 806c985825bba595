"""Train a classifier of whole images and test it, into a run folder that a repeated command resumes."""

import sys
from collections.abc import Sequence
from pathlib import Path

from detector.commands.options import training_parser
from detector.config import ClassificationConfig, dump_config, load_config
from detector.jobs.train_classifier import run_classification
from detector.runs.folder import RunFolder
from detector.runs.pretrained import fetch_weights


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and test; print the table of errors and the report's path."""
    parser = training_parser("train_cls", __doc__, "configs/imagenet.yaml")
    options = parser.parse_intermixed_args(arguments)
    config = load_config(ClassificationConfig, options.config, options.overrides)
    if options.print_config:
        sys.stdout.write(dump_config(config))
        return 0
    fetch_weights(config, options.download)
    outcome = run_classification(RunFolder(options.run or Path("runs") / config.name), config)
    if outcome is not None:
        sys.stdout.write(outcome.text())
    return 0
