"""Fuse the detections of several systems on a split by weighted boxes fusion, and judge the fusion."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from detector.commands.options import Parser, a_name, a_path, number_above, number_between
from detector.config import Config, load_config
from detector.config.limits import SCALE
from detector.data.dataset import Dataset
from detector.data.exchange.found_detections import read_detections
from detector.errors import ConfigError, DataError
from detector.jobs.fuse import System, fuse_systems, report_fusion, write_fusion
from detector.jobs.outcome import Outcome, outcome_text
from detector.runs.lock import owned
from detector.runs.split import open_split


def main(arguments: Sequence[str] | None = None) -> int:
    """Write results.json and submission.txt, and a report where there are objects; print the mAP table."""
    options = _parse(arguments)
    with owned(options.out), owned(options.out / "report"):
        return _fuse(options)


def _fuse(options: argparse.Namespace) -> int:
    config = load_config(Config, options.config, options.set)
    split = open_split(config.data, options.split or config.data.test)
    dataset = split.dataset
    weights = options.weights or [1.0] * len(options.detections)
    systems = read_systems(options.detections, weights, dataset)
    fused = fuse_systems(list(systems.values()), len(dataset), options.iou, options.min_score)
    write_fusion(options.out, fused, dataset)
    reports = report_fusion(options.out / "report", config, split, systems, fused)
    outcome = Outcome(dataset, reports, options.out / "report" if reports else options.out)
    sys.stdout.write(f"{len(fused.scores)} detections: {options.out}\n{outcome_text(outcome)}")
    return 0


def read_systems(paths: Sequence[Path], weights: Sequence[float], dataset: Dataset) -> dict[str, System]:
    """The systems by the paths of their files, numbered where a file is given twice."""
    if len(weights) != len(paths):
        raise ConfigError(f"--weights must be one for each of {len(paths)} files, got {len(weights)}")
    systems: dict[str, System] = {}
    for number, (path, weight) in enumerate(zip(paths, weights, strict=True), 1):
        name = f"{path} ({number})" if str(path) in systems else str(path)
        try:
            systems[name] = System(read_detections(path, dataset), weight)
        except DataError as error:
            message = str(error)
            raise DataError(message if str(path) in message else f"{message} ({path})") from None
    return systems


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="fuse", description=__doc__)
    parser.add_argument("config", type=a_path, help="YAML file of the data, such as configs/ilsvrc_det.yaml")
    parser.add_argument(
        "detections", nargs="+", type=a_path, metavar="FILE", help="COCO results (.json) or submissions (.txt)"
    )
    parser.add_argument(
        "--split", type=a_name, action="append", help="split; several are joined (the config's data.test)"
    )
    parser.add_argument("--out", type=a_path, required=True, help="folder of the results")
    parser.add_argument(
        "--weights", nargs="+", type=number_above(0, SCALE), help="how much each file's scores count (equal)"
    )
    parser.add_argument(
        "--iou",
        type=number_between(0, 1),
        default=0.55,
        help="boxes that overlap more are one object (%(default)s)",
    )
    parser.add_argument(
        "--min-score", type=number_between(0, 1), default=0.0, help="detections below it are left out (none)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="section.key=value", help="setting over the file's"
    )
    return parser.parse_intermixed_args(arguments)
