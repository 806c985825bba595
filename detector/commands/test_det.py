"""Test a run's detector on a split, with the settings it was trained with."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from detector.config import Config
from detector.pipeline.distributed import process_group
from detector.pipeline.run import RunFolder
from detector.pipeline.train import outcome_text, run_testing


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stages propose, detect and evaluate on other splits; print the mAP table and the report's path."""
    options = _parse(arguments)
    run = RunFolder(options.run)
    config = run.read_config(Config, options.overrides)
    with process_group(config.engine.device) as group:
        outcome = run_testing(run, config, options.split or config.data.test, group)
    if group.is_first:
        sys.stdout.write(outcome_text(outcome))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="test_det", description=__doc__)
    parser.add_argument("run", type=Path, help="run folder of train_det")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="settings over the run's")
    parser.add_argument("--split", action="append", help="split to test; several are joined (default: the run's)")
    return parser.parse_intermixed_args(arguments)
