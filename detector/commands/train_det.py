"""Train a detector and test it, into a run folder that a repeated command resumes."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from detector.config import Config, dump_config, load_config
from detector.pipeline.run import RunFolder
from detector.pipeline.train import outcome_text, run_training


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stages propose, finetune, detect and evaluate; print the mAP table and the report's path."""
    options = _parse(arguments)
    config = load_config(Config, options.config, options.overrides)
    if options.print_config:
        sys.stdout.write(dump_config(config))
        return 0
    outcome = run_training(RunFolder(options.run or Path("runs") / config.name), config)
    sys.stdout.write(outcome_text(outcome))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="train_det", description=__doc__)
    parser.add_argument("config", type=Path, help="YAML file, such as configs/ilsvrc_det.yaml")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="settings over the file's")
    parser.add_argument("--run", type=Path, help="run folder (default: runs/NAME)")
    parser.add_argument("--print-config", action="store_true", help="show the resolved settings and stop")
    return parser.parse_intermixed_args(arguments)
