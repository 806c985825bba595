"""What mirroring, more context, more models and box voting are each worth, on a run's own members."""

import sys
from collections.abc import Sequence

from detector.commands import run_parser
from detector.config import Config
from detector.pipeline.ablate import ablation_text, run_ablation
from detector.pipeline.distributed import process_group
from detector.pipeline.run import RunFolder


def main(arguments: Sequence[str] | None = None) -> int:
    """Score every region once by every model and view; print the table of what their averages reach."""
    options = run_parser("ablate", __doc__).parse_intermixed_args(arguments)
    run = RunFolder(options.run)
    config = run.read_config(Config, options.overrides)
    with process_group(config.engine.device) as group:
        rows = run_ablation(run, config, options.split or config.data.test, group)
    if group.is_first:
        sys.stdout.write(ablation_text(rows))
    return 0
