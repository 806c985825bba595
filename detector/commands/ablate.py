"""What mirroring, paddings, more models, context and box voting are worth and cost, on a run's own members."""

import sys
from collections.abc import Sequence
from pathlib import Path

from detector.commands import run_parser
from detector.config import Config
from detector.files import write_text
from detector.pipeline.ablate import TIMED_REGIONS, run_ablation
from detector.pipeline.ablation_table import ablation_text, join_tables
from detector.pipeline.distributed import process_group
from detector.pipeline.run import RunFolder


def main(arguments: Sequence[str] | None = None) -> int:
    """Score every region once by every model and view; print the table of what their averages reach."""
    parser = run_parser("ablate", __doc__)
    parser.add_argument("--also", action="append", type=Path, default=[], help="run of another seed; means of all")
    parser.add_argument("--regions", type=int, default=TIMED_REGIONS, help="scored to take a row's time")
    parser.add_argument("--out", type=Path, help="file for the table of all runs (Markdown)")
    options = parser.parse_intermixed_args(arguments)
    runs = [RunFolder(path) for path in (options.run, *options.also)]
    configs = [run.read_config(Config, options.overrides) for run in runs]
    with process_group(configs[0].engine.device) as group:
        tables = [
            run_ablation(run, config, options.split or config.data.test, group, options.regions)
            for run, config in zip(runs, configs, strict=True)
        ]
    if group.is_first:
        text = ablation_text(join_tables(tables) if len(tables) > 1 else tables[0])
        sys.stdout.write(text)
        if options.out:
            write_text(options.out, text)
    return 0
