"""Test a run's detector on a split, with the settings it was trained with."""

import sys
from collections.abc import Sequence

from detector.commands.options import run_parser
from detector.config import Config
from detector.jobs.outcome import outcome_text
from detector.jobs.test_detector import run_testing
from detector.runs.folder import RunFolder
from detector.runs.processes import process_group


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stages propose, detect and evaluate on other splits; print the mAP table and the report's path."""
    options = run_parser("test_det", __doc__).parse_intermixed_args(arguments)
    run = RunFolder(options.run)
    config = run.read_config(Config, options.overrides)
    with run.lock() as lock, process_group(config.engine.device) as group:
        lock.take(group)
        outcome = run_testing(run, config, options.split or config.data.test, group)
    if group.is_first:
        sys.stdout.write(outcome_text(outcome))
    return 0
