"""What mirroring, paddings, more models, context and box voting are worth and cost, on a run's own members."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from detector.commands.options import a_path, run_parser, whole_number
from detector.config import idle_words
from detector.config.limits import REGIONS
from detector.jobs.ablate import TIMED_REGIONS, run_ablation
from detector.jobs.ablated_runs import ablation_folder, check_alike, join_ablations
from detector.jobs.run_settings import wished_config
from detector.reports.ablation_report import ablation_text, write_ablation
from detector.runs.folder import RunFolder
from detector.runs.lock import FolderLock
from detector.runs.processes import process_group


def main(arguments: Sequence[str] | None = None) -> int:
    """Score every region once by every model and view; print what their averages reach, and the report's path."""
    parser = run_parser("ablate", __doc__)
    parser.add_argument(
        "--also", action="append", type=a_path, default=[], help="run of another seed; means of all"
    )
    parser.add_argument(
        "--regions", type=whole_number(1, REGIONS), default=TIMED_REGIONS, help="scored to take a row's time"
    )
    parser.add_argument(
        "--out", type=a_path, default=Path("runs/ablate"), help="folder of the report of all runs, with --also"
    )
    options = parser.parse_intermixed_args(arguments)
    runs = [RunFolder(path) for path in (options.run, *options.also)]
    configs = [wished_config(run, options.overrides) for run in runs]
    check_alike(runs, configs)
    splits = options.split or configs[0].data.test
    locks = [run.lock() for run in runs] + ([FolderLock(options.out)] if options.also else [])
    with ExitStack() as stack, process_group(configs[0].engine.device) as group:
        for lock in locks:
            stack.enter_context(lock).take(group)
        if group.is_first:
            runs[0].log_notes(idle_words(configs[0], options.overrides))
        reports = [
            run_ablation(run, config, splits, group, options.regions)
            for run, config in zip(runs, configs, strict=True)
        ]
        if not group.is_first:
            return 0
        report, folder = reports[0], ablation_folder(runs[0], splits)
        if options.also:
            report, folder = join_ablations(reports), options.out
            write_ablation(folder, report)
        sys.stdout.write(f"{ablation_text(report.rows)}\nreport: {folder / 'index.html'}\n")
    return 0
