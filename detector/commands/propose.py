"""Compute the region proposals of a split into a memory-mapped store; a repeated command resumes."""

import sys
from collections.abc import Sequence
from pathlib import Path

from detector.commands import a_name, config_parser
from detector.config import Config, load_config
from detector.runs.folder import RunFolder
from detector.runs.processes import process_group
from detector.runs.split import open_split
from detector.stages.propose import run_propose


def main(arguments: Sequence[str] | None = None) -> int:
    """Propose regions for every image of the split; print how many and where they are."""
    parser = config_parser("propose", __doc__, "configs/ilsvrc_det.yaml")
    parser.add_argument("--split", type=a_name, action="append", required=True, help="split; several are joined")
    options = parser.parse_intermixed_args(arguments)
    config = load_config(Config, options.config, options.overrides)
    splits = tuple(options.split)
    run = RunFolder(options.run or Path("runs") / config.name)
    with run.lock() as lock, process_group(config.engine.device) as group:
        lock.take(group)
        split = open_split(config.data, splits)
        stage = run.stage("propose", split.name, group=group)
        store = run_propose(stage, split, config.proposals, config.engine, config.seed)
    if group.is_first:
        boxes = int(store.offsets[-1])
        mean = boxes / len(split)
        sys.stdout.write(f"{boxes} regions of {len(split)} images ({mean:.0f} an image): {stage.folder}\n")
    return 0
