"""Train a MultiBox proposal network and propose with it, into a run folder that a repeated command resumes."""

import sys
from collections.abc import Sequence
from pathlib import Path

from detector.commands.options import training_parser
from detector.config import MultiBoxConfig, dump_config, load_config
from detector.jobs.train_multibox import run_multibox
from detector.runs.folder import RunFolder
from detector.runs.pretrained import fetch_weights


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, and propose on the test split; print its recall and where the weights are."""
    parser = training_parser("train_multibox", __doc__, "configs/multibox.yaml")
    options = parser.parse_intermixed_args(arguments)
    config = load_config(MultiBoxConfig, options.config, options.overrides)
    if options.print_config:
        sys.stdout.write(dump_config(config))
        return 0
    run = RunFolder(options.run or Path("runs") / config.name)
    fetch_weights(config, options.download)
    outcome = run_multibox(run, config)
    if outcome is not None:
        sys.stdout.write(outcome.text())
    return 0
