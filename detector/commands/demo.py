"""Make a small synthetic set, train a detector on it and test it: the whole job in minutes, without a download."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from detector.commands import train_det
from detector.commands.options import Parser, a_path
from detector.config import Config, load_config
from detector.synthetic.detection_set import make_dataset

CONFIG = Path(__file__).with_name("demo.yaml")
IMAGES, VAL, CLASSES, SEED, MEAN_WIDTH = 500, 80, 5, 0, 360.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the set and train on it; print what `train_det` prints. A repeated command goes on where it was."""
    options = _parse(arguments)
    words = [f"data.root={json.dumps(str(options.data))}", *options.overrides]
    load_config(Config, CONFIG, words)  # a wrong setting is told before any work
    sys.stdout.write(f"{IMAGES + VAL} synthetic images: {options.data}\n")
    make_dataset(
        options.data, IMAGES, CLASSES, SEED, val=VAL, exhaustive=1, mean_width=MEAN_WIDTH, gentle=True, workers=-1
    )
    return train_det.main([str(CONFIG), *words, "--run", str(options.run)])


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="demo", description=__doc__)
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="settings over the demo's")
    parser.add_argument(
        "--data", type=a_path, default=Path("datasets/demo"), help="where the set goes (%(default)s)"
    )
    parser.add_argument("--run", type=a_path, default=Path("runs/demo"), help="run folder (%(default)s)")
    return parser.parse_intermixed_args(arguments)
