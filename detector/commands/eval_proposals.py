"""Judge region proposals by how well they cover a split's objects: recall by IoU and by number of boxes."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from detector.commands.options import a_name, a_path, config_parser, whole_number
from detector.config import Config, load_config
from detector.config.limits import REGIONS
from detector.errors import ConfigError
from detector.jobs.judge_proposals import judge_proposals
from detector.runs.folder import RunFolder
from detector.runs.lock import owned
from detector.runs.split import split_slug

BUDGETS = (100, 200, 500, 1000, 2000)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write recall.json, report.md and report.html; print the table of recalls and the report's path."""
    options = _parse(arguments)
    config = load_config(Config, options.config, options.overrides)
    run = RunFolder(options.run or Path("runs") / config.name)
    out = options.out or run.path / f"recall_{split_slug(options.split)}"
    with owned(out):
        paths = named_paths(options.proposals or [str(run.stage("propose", split_slug(options.split)).folder)])
        wished = None if options.proposals else config.proposals
        table, page = judge_proposals(config, options.split, paths, options.budgets, out, wished)
    sys.stdout.write(f"{table}\nreport: {page}\n")
    return 0


def named_paths(words: Sequence[str]) -> dict[str, Path]:
    """The paths of NAME=PATH words by name; without a name it is that of the run, or of the file or folder."""
    paths: dict[str, Path] = {}
    for word in words:
        name, separator, rest = word.partition("=")
        named = bool(separator and name) and not Path(word).exists()
        path = Path(rest if named else word)
        name = name if named else _name_of(path)
        if name in paths:
            raise ConfigError(f"names of proposals must differ, got {name} twice; write NAME=PATH")
        paths[name] = path
    return paths


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = config_parser("eval_proposals", __doc__, "configs/ilsvrc_det.yaml")
    parser.add_argument("--split", type=a_name, action="append", required=True, help="split; several are joined")
    parser.add_argument(
        "--proposals",
        nargs="+",
        action="extend",
        metavar="[NAME=]PATH",
        help="stores of `propose`, or .npz and .json files, to compare (the run's own store of the split)",
    )
    parser.add_argument(
        "--budgets",
        nargs="+",
        type=whole_number(1, REGIONS),
        default=list(BUDGETS),
        help="numbers of boxes an image (%(default)s)",
    )
    parser.add_argument("--out", type=a_path, help="folder of the report (RUN/recall_SPLIT)")
    return parser.parse_intermixed_args(arguments)


def _name_of(path: Path) -> str:
    parts = path.parts
    return parts[parts.index("stages") - 1] if "stages" in parts[1:] else path.stem
