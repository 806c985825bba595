"""Test classifiers of whole images as in section 7 of arXiv 1409.4842: crops and models averaged."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from detector.commands.options import Parser, a_name, a_path, whole_number
from detector.config import EngineSettings, ImageSettings, parse_config
from detector.config.limits import BATCH, WORKERS
from detector.inference.multi_crop import CROPS
from detector.jobs.test_classifier import open_tested_images, run_classification_test
from detector.networks.weight_files.sources import find_weights
from detector.runs.folder import RunFolder


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table like Table 3, of the first model and of all together, and the report's path."""
    options = _parse(arguments)
    models = [_model_path(path, options.download) for path in options.weights]
    given = vars(options)
    images = {"root": options.data, "test": options.split, **_chosen(given, "images", "classes", "exif")}
    settings = parse_config(ImageSettings, images, "command line")
    chosen = _chosen(given, "device", "precision", "batch_size", "compile", "workers")
    engine = parse_config(EngineSettings, chosen, "command line")
    run = RunFolder(options.out)
    with run.lock() as lock:
        lock.take()
        testing = open_tested_images(settings, models[0])
        outcome = run_classification_test(run, models, testing, options.crops, settings.exif, engine)
    sys.stdout.write(outcome.text())
    return 0


def _chosen(options: Mapping[str, object], *names: str) -> dict[str, object]:
    """The options of these names, which are those of settings."""
    return {name: options[name] for name in names}


def _model_path(path: Path, download: bool) -> Path:
    """The weights of a run folder of `train_cls`, of a file or of a name."""
    return RunFolder(path).classifier_path if path.is_dir() else find_weights(path, download)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="eval_cls", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument(
        "weights",
        nargs="+",
        type=a_path,
        help="weight file (.caffemodel, .npz, .pth, .safetensors), run of train_cls, or a name such as bvlc",
    )
    parser.add_argument("--data", type=a_path, required=True, help="folder of the images")
    parser.add_argument(
        "--split", type=a_name, default="val", help="folder of class folders, or list of <file> <class from 0>"
    )
    parser.add_argument(
        "--images", type=a_path, default=Path(), help="folder of a list's files, relative to --data"
    )
    parser.add_argument("--classes", type=a_path, help="file of <wnid> <name> lines, relative to --data")
    parser.add_argument(
        "--crops", type=whole_number(1, max(CROPS)), nargs="+", choices=CROPS, default=[1], help="crops an image"
    )
    parser.add_argument(
        "--out", type=a_path, default=Path("runs/eval_cls"), help="folder of the scores and report"
    )
    parser.add_argument("--exif", choices=("ignore", "apply"), default="ignore", help="orientation tag")
    parser.add_argument("--device", type=a_name, default="auto", help="auto, cpu, cuda, cuda:1, ...")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto", help="of numbers")
    parser.add_argument(
        "--batch-size",
        type=whole_number(0, BATCH),
        default=0,
        help="crops a forward pass; 0: chosen for the device",
    )
    parser.add_argument("--compile", action="store_true", help="torch.compile the network")
    parser.add_argument(
        "--workers", type=whole_number(-1, WORKERS), default=-1, help="decoding threads; -1: one a core"
    )
    parser.add_argument("--download", action="store_true", help="fetch weights given by name where missing")
    return parser.parse_args(arguments)
