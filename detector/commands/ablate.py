"""What mirroring, more context, more models and box voting are each worth, on a run's own members."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from detector.config import Config
from detector.pipeline.ablate import ablation_text, run_ablation
from detector.pipeline.distributed import process_group
from detector.pipeline.run import RunFolder


def main(arguments: Sequence[str] | None = None) -> int:
    """Score every region once by every model and view; print the table of what their averages reach."""
    parser = argparse.ArgumentParser(prog="ablate", description=__doc__)
    parser.add_argument("run", type=Path, help="run folder of train_det, with ensemble.members or ensemble.runs")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="settings over the run's")
    parser.add_argument("--split", action="append", help="split to test; several are joined (default: the run's)")
    options = parser.parse_intermixed_args(arguments)
    run = RunFolder(options.run)
    config = run.read_config(Config, options.overrides)
    with process_group(config.engine.device) as group:
        rows = run_ablation(run, config, options.split or config.data.test, group)
    if group.is_first:
        sys.stdout.write(ablation_text(rows))
    return 0
