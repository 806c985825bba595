"""`make_synthetic OUT`: write a synthetic detection set in the 2015 layout of ILSVRC-DET."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from detector.data.synthetic import EXHAUSTIVE, make_dataset
from detector.data.synthetic_scenes import MEAN_WIDTH


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and write the set; 0 when the whole set stands under OUT."""
    options = _parser().parse_args(arguments)
    make_dataset(
        options.out,
        options.images,
        options.classes,
        options.seed,
        val=options.val,
        exhaustive=options.exhaustive,
        mean_width=options.mean_width,
        workers=options.workers,
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make_synthetic",
        description="Write a synthetic detection set in the 2015 layout of ILSVRC-DET: Data, Annotations, "
        "ImageSets, synsets.csv and det_validation_blacklist.txt. Classes differ by shape and texture, never by "
        "colour. The same settings give the same bytes; an interrupted run is completed by running it again.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write; new, empty, or of an earlier run")
    parser.add_argument("--images", type=int, default=2000, help="training images")
    parser.add_argument(
        "--val", type=int, default=None, help="validation images; None: a quarter of the training's"
    )
    parser.add_argument("--classes", type=int, default=10, help="classes, 1 to 240; the first ones differ most")
    parser.add_argument("--seed", type=int, default=0, help="two seeds give two sets of the same classes")
    parser.add_argument(
        "--exhaustive", type=float, default=EXHAUSTIVE, help="share of training images labelled for every class"
    )
    parser.add_argument("--mean-width", type=float, default=MEAN_WIDTH, help="mean width of the images, pixels")
    parser.add_argument("--workers", type=int, default=1, help="processes; -1: one a core")
    return parser
