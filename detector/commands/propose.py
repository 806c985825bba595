"""Compute the region proposals of a split into a memory-mapped store; a repeated command resumes."""

import sys
from collections.abc import Sequence
from pathlib import Path

from detector.commands import a_name, config_parser
from detector.config import Config, load_config
from detector.data.readers import open_dataset
from detector.runs.folder import RunFolder, split_slug
from detector.runs.processes import process_group
from detector.stages.propose import run_propose


def main(arguments: Sequence[str] | None = None) -> int:
    """Propose regions for every image of the split; print how many and where they are."""
    parser = config_parser("propose", __doc__, "configs/ilsvrc_det.yaml")
    parser.add_argument("--split", type=a_name, action="append", required=True, help="split; several are joined")
    options = parser.parse_intermixed_args(arguments)
    config = load_config(Config, options.config, options.overrides)
    splits = tuple(options.split)
    run = RunFolder(options.run or Path("runs") / config.name)
    stage = run.stage("propose", split_slug(splits))
    with run.lock() as lock, process_group(config.engine.device) as group:
        lock.take(group)
        dataset = open_dataset(config.data, splits)
        store = run_propose(stage, config, dataset, group)
    if group.is_first:
        boxes = int(store.offsets[-1])
        mean = boxes / len(dataset)
        sys.stdout.write(f"{boxes} regions of {len(dataset)} images ({mean:.0f} an image): {stage.folder}\n")
    return 0
