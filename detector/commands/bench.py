"""Measure this machine: the stages of detection, every engine installed, and what others run."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from detector.bench.bench_settings import bench_settings
from detector.bench.bench_text import bench_json, bench_text
from detector.bench.machine import LoadWatch
from detector.bench.result import PARTS, run_bench
from detector.bench.workload import open_workload
from detector.commands.options import Parser, a_path, number_above, whole_number
from detector.config.limits import REGIONS
from detector.files import write_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; write them as table.md and bench.json."""
    options = _parse(arguments)
    watch = LoadWatch()
    config = bench_settings(options.weights, options.overrides, options.download)
    parts = [*(options.only or ("stages", "engines")), *(("peer",) if options.peer else ())]
    with TemporaryDirectory(prefix="bench-") as scratch:
        workload = open_workload(config, options.images, options.count, options.regions, Path(scratch))
        if options.weights is not None and options.weights.is_dir():
            workload = replace(workload, run=options.weights, words=tuple(options.overrides))
        result = run_bench(workload, parts, options.seconds, options.rounds, watch)
    text = bench_text(result)
    sys.stdout.write(text)
    write_text(options.out / "table.md", text)
    write_text(options.out / "bench.json", bench_json(result))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="bench",
        description=f"{__doc__} Candidates take turns, each in a process of its own; numbers are medians of the "
        "rounds. engine.backend, engine.precision and engine.compile, where you set them, narrow the engines.",
    )
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="settings over the published")
    parser.add_argument("--images", type=a_path, help="folder of photographs (default: synthetic scenes)")
    parser.add_argument("--count", type=whole_number(1, REGIONS), default=4, help="images (%(default)s)")
    parser.add_argument(
        "--regions", type=whole_number(1, REGIONS), default=0, help="regions of an image (as many as are proposed)"
    )
    parser.add_argument(
        "--weights", type=a_path, help="run folder, weight file, or a name as of network.weights (random)"
    )
    parser.add_argument("--download", action="store_true", help="fetch weights given by name where missing")
    parser.add_argument(
        "--seconds", type=number_above(0, 3600), default=1.0, help="of a candidate in each round (%(default)s)"
    )
    parser.add_argument(
        "--rounds", type=whole_number(1, 1000), default=5, help="turns of each candidate (%(default)s)"
    )
    parser.add_argument("--only", action="append", choices=PARTS, help="a part; may be repeated (stages, engines)")
    parser.add_argument("--peer", action="store_true", help="what others run, too")
    parser.add_argument(
        "--out", type=a_path, default=Path("runs/bench"), help="folder of the tables (%(default)s)"
    )
    return parser.parse_intermixed_args(arguments)
