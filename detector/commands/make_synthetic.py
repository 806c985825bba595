"""Write a synthetic set: scenes for a detector, or crops of single objects for a classifier."""

import argparse
from collections.abc import Sequence

from detector.commands.options import Parser, a_path, number_between, whole_number
from detector.config.limits import SEED, SIDE, WORKERS
from detector.errors import ConfigError
from detector.synthetic.classification_set import make_crops
from detector.synthetic.detection_set import EXHAUSTIVE, MIN_MEAN_WIDTH, make_dataset
from detector.synthetic.scenes import MAX_CLASSES, MEAN_WIDTH

DETECTION_ONLY = ("exhaustive", "mean_width", "context", "gentle")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the set; 0 when all of it stands under OUT."""
    options = _parse(arguments)
    given = {name: getattr(options, name) for name in DETECTION_ONLY if hasattr(options, name)}
    numbers = (options.images, options.classes, options.seed)
    if options.task == "det":
        make_dataset(options.out, *numbers, val=options.val, workers=options.workers, **given)
        return 0
    for name, value in given.items():
        got = "" if value is True else f", got {value}"
        raise ConfigError(f"--{name.replace('_', '-')} must be left out with --task cls{got}")
    make_crops(options.out, *numbers, val=options.val, workers=options.workers)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="make_synthetic",
        description="Write a synthetic set. det: scenes in the 2015 layout of ILSVRC-DET: Data, Annotations, "
        "ImageSets, synsets.csv and det_validation_blacklist.txt. cls: crops of one object each in the layout of "
        "ImageNet: train/WNID, val/WNID and classes.txt. Classes differ by shape and texture, by colour only "
        "with --gentle. The same settings give the same bytes; an interrupted run is completed by a repeated one.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "out", metavar="OUT", type=a_path, help="folder to write; new, empty, or of an earlier run"
    )
    parser.add_argument("--task", choices=("det", "cls"), default="det", help="what the set is for")
    parser.add_argument("--images", type=whole_number(1), default=2000, help="training images")
    parser.add_argument(
        "--val", type=whole_number(1), default=None, help="validation images; None: a quarter of the training's"
    )
    parser.add_argument(
        "--classes",
        type=whole_number(1, MAX_CLASSES),
        default=10,
        help="classes, 1 to 240; the first ones differ most",
    )
    parser.add_argument(
        "--seed", type=whole_number(0, SEED), default=0, help="two seeds give two sets of the same classes"
    )
    parser.add_argument(
        "--exhaustive",
        type=number_between(0, 1),
        default=argparse.SUPPRESS,
        help=f"det: share of training images labelled for every class (default: {EXHAUSTIVE})",
    )
    parser.add_argument(
        "--mean-width",
        type=number_between(MIN_MEAN_WIDTH, SIDE),
        default=argparse.SUPPRESS,
        help=f"det: mean width of the images, pixels (default: {MEAN_WIDTH})",
    )
    parser.add_argument(
        "--context",
        type=number_between(0, 1),
        metavar="SHARE",
        default=argparse.SUPPRESS,
        help="det: classes that meet by theme, and this share of the objects so blurred that only the rest of the "
        "image tells them from a twin in another theme; context.json says which (default: no themes)",
    )
    parser.add_argument(
        "--gentle",
        action="store_true",
        default=argparse.SUPPRESS,
        help="det: few things in an image, none of them small, and each class in its own colour",
    )
    parser.add_argument("--workers", type=whole_number(-1, WORKERS), default=1, help="processes; -1: one a core")
    return parser.parse_args(arguments)
