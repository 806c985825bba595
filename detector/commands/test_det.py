"""Test a run's detector on a split, with the settings it was trained with."""

import sys
from collections.abc import Sequence

from detector.commands.options import run_parser
from detector.config import idle_words
from detector.jobs.outcome import outcome_text
from detector.jobs.run_settings import wished_config
from detector.jobs.test_detector import run_testing
from detector.runs.folder import RunFolder
from detector.runs.processes import process_group


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stages propose, detect and evaluate on other splits; print the mAP table and the report's path."""
    options = run_parser("test_det", __doc__).parse_intermixed_args(arguments)
    run = RunFolder(options.run)
    config = wished_config(run, options.overrides)
    with run.lock() as lock, process_group(config.engine.device) as group:
        lock.take(group)
        if group.is_first:
            run.log_notes(idle_words(config, options.overrides))
        outcome = run_testing(run, config, options.split or config.data.test, group)
    if group.is_first:
        sys.stdout.write(outcome_text(outcome))
    return 0
