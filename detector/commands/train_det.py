"""Train a detector and test it, into a run folder that a repeated command resumes."""

import sys
from collections.abc import Sequence
from pathlib import Path

from detector.commands import training_parser
from detector.config import Config, dump_config, load_config
from detector.jobs.outcome import outcome_text
from detector.jobs.train_detector import run_training
from detector.runs.folder import RunFolder
from detector.runs.pretrained import fetch_weights
from detector.runs.processes import process_group


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every stage that the settings ask for; print the mAP table and the report's path."""
    parser = training_parser("train_det", __doc__, "configs/ilsvrc_det.yaml")
    options = parser.parse_intermixed_args(arguments)
    config = load_config(Config, options.config, options.overrides)
    if options.print_config:
        sys.stdout.write(dump_config(config))
        return 0
    fetch_weights(config, options.download)
    run = RunFolder(options.run or Path("runs") / config.name)
    with run.lock() as lock, process_group(config.engine.device) as group:
        lock.take(group)
        outcome = run_training(run, config, group)
    if group.is_first:
        sys.stdout.write(outcome_text(outcome))
    return 0
