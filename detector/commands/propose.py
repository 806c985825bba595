"""Compute the region proposals of a folder of images, or of a config's split; a repeated command resumes."""

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from detector.commands.options import a_name, a_path, config_parser
from detector.config import Config, load_config
from detector.config.loading import apply_override, parse_config
from detector.data.exchange.coco_results import stated_image_ids
from detector.data.exchange.proposal_files import check_proposal_files, write_proposals
from detector.data.folders import IMAGE_SUFFIXES, is_folder
from detector.data.formats.image_folder import EVERY_IMAGE
from detector.errors import ConfigError
from detector.runs.folder import RunFolder
from detector.runs.processes import process_group
from detector.runs.split import open_split
from detector.runs.store import read_proposals
from detector.stages.propose import run_propose


def main(arguments: Sequence[str] | None = None) -> int:
    """Propose regions for every image; print how many and where they are."""
    options = _parse(arguments)
    check_proposal_files(options.out)
    config = _config(options)
    run = RunFolder(options.run or Path("runs") / config.name)
    with run.lock() as lock, process_group(config.engine.device) as group:
        lock.take(group)
        split = open_split(config.data, config.data.test)
        if group.is_first:
            run.log_notes(split.dataset.notes)
        stage = run.stage("propose", split.name, group=group)
        store = run_propose(stage, split, config.proposals, config.engine, config.seed)
        if group.is_first:
            for path in options.out:
                write_proposals(path, stated_image_ids(split.dataset), partial(read_proposals, store))
    if group.is_first:
        boxes = int(store.offsets[-1])
        mean = boxes / len(split)
        places = ", ".join(map(str, options.out)) or stage.folder
        sys.stdout.write(f"{boxes} regions of {len(split)} images ({mean:.0f} an image): {places}\n")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = config_parser("propose", __doc__, "configs/ilsvrc_det.yaml; or a folder of images")
    parser.add_argument("--split", type=a_name, action="append", help="of a config's data; several are joined")
    parser.add_argument(
        "--out",
        type=a_path,
        action="append",
        default=[],
        metavar="FILE",
        help="write them to this .npz or .json",
    )
    return parser.parse_intermixed_args(arguments)


def _require_config(path: Path) -> None:
    """ConfigError where `path`, which is no folder, can be no config either."""
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise ConfigError(f"config must be a YAML file or a folder of images, got the image {path}")
    if not os.path.lexists(path):
        raise ConfigError(f"config must be a YAML file or a folder of images, got {path}, which is not there")


def _config(options: argparse.Namespace) -> Config:
    """The settings, whose `data.test` are the images to propose regions of; ConfigError for what does not fit."""
    if not is_folder(options.config):
        _require_config(options.config)
        if not options.split:
            raise ConfigError(f"--split must be given for the config {options.config}")
        config = load_config(Config, options.config, options.overrides)
        data = config.data.model_copy(update={"test": tuple(options.split)})
        return config.model_copy(update={"data": data})
    if not options.out and options.run is None:
        raise ConfigError(f"--out must be a file for the regions of {options.config}, or --run a folder")
    splits = options.split or [EVERY_IMAGE]
    data_of_folder = {"format": "images", "root": options.config, "test": splits, "bad_images": "skip"}
    tree = {"name": "propose", "data": data_of_folder}
    for word in options.overrides:
        apply_override(tree, word)
    return parse_config(Config, tree, str(options.config))
