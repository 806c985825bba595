"""Compare runs on the same test images: paired bootstrap, differences by class, and the images that changed."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from detector.choices import PROTOCOLS
from detector.commands.options import Parser, a_name, a_path, whole_number
from detector.commands.process import say
from detector.config.limits import REGIONS
from detector.evaluation.bootstrap import RESAMPLES
from detector.jobs.compare import compare_runs
from detector.jobs.tested_runs import open_runs
from detector.reports.comparison_report import comparison_text, write_comparison
from detector.runs.lock import owned
from detector.text import one_line

PICTURES = 6  # of each run but the first


def main(arguments: Sequence[str] | None = None) -> int:
    """Write comparison.json, report.md and index.html; print the differences and the report's path."""
    options = _parse(arguments)
    with owned(options.out):
        return _compare(options)


def _compare(options: argparse.Namespace) -> int:
    runs = open_runs([options.first, *options.others], options.split or (), options.set)
    for run in runs:
        if run.others:
            say(one_line(f"warning: detections of {run.name} were made with {'; '.join(run.others)}"))
    protocol = options.protocol or runs[0].config.evaluate.protocol
    content = compare_runs(runs, protocol, options.resamples, options.pictures)
    page = write_comparison(options.out, content)
    sys.stdout.write(f"{comparison_text(content)}\nreport: {page}\n")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="compare", description=__doc__)
    parser.add_argument(
        "first", metavar="RUN", help="run folder of train_det, or FOLDER:METHOD, such as runs/a:svm"
    )
    parser.add_argument("others", nargs="+", metavar="RUN", help="runs to compare with the first")
    parser.add_argument(
        "--split", type=a_name, action="append", help="split they were tested on; several are joined (theirs)"
    )
    parser.add_argument("--protocol", choices=tuple(PROTOCOLS), help="of the evaluation (the first run's)")
    parser.add_argument(
        "--resamples", type=whole_number(1, REGIONS), default=RESAMPLES, help="of the bootstrap (%(default)s)"
    )
    parser.add_argument(
        "--pictures", type=whole_number(0, 10_000), default=PICTURES, help="changed images to draw (%(default)s)"
    )
    parser.add_argument(
        "--out", type=a_path, default=Path("runs/compare"), help="folder of the report (%(default)s)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="section.key=value", help="setting over those of all runs"
    )
    return parser.parse_args(arguments)
