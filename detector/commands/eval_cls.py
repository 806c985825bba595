"""Test classifiers of whole images as in section 7 of arXiv 1409.4842: crops and models averaged."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from detector.config import EngineSettings, ImageSettings
from detector.inference.crops import CROPS
from detector.networks.sources import find_weights
from detector.pipeline.classify import open_tested_images, run_classification_test
from detector.pipeline.run import RunFolder


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table like Table 3, of the first model and of all together, and the report's path."""
    options = _parse(arguments)
    models = [_model_path(path, options.download) for path in options.weights]
    settings = ImageSettings(
        root=options.data, test=options.split, images=options.images, classes=options.classes, exif=options.exif
    )
    engine = EngineSettings(
        device=options.device,
        precision=options.precision,
        batch_size=options.batch_size,
        compile=options.compile,
        workers=options.workers,
    )
    testing = open_tested_images(settings, models[0])
    outcome = run_classification_test(
        RunFolder(options.out), models, testing, options.crops, settings.exif, engine
    )
    sys.stdout.write(outcome.text())
    return 0


def _model_path(path: Path, download: bool) -> Path:
    """The weights of a run folder of `train_cls`, of a file or of a name."""
    return RunFolder(path).classifier_path if path.is_dir() else find_weights(path, download)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="eval_cls", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "weights",
        nargs="+",
        type=Path,
        help="weight file (.caffemodel, .npz, .pth, .safetensors), run folder of train_cls, or bvlc, torchvision",
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the images")
    parser.add_argument("--split", default="val", help="folder of class folders, or list of <file> <class from 0>")
    parser.add_argument("--images", type=Path, default=Path(), help="folder of a list's files, relative to --data")
    parser.add_argument("--classes", type=Path, help="file of <wnid> <name> lines, relative to --data")
    parser.add_argument("--crops", type=int, nargs="+", choices=CROPS, default=[1], help="crops an image")
    parser.add_argument("--out", type=Path, default=Path("runs/eval_cls"), help="folder of the scores and report")
    parser.add_argument("--exif", choices=("ignore", "apply"), default="ignore", help="orientation tag")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto", help="of numbers")
    parser.add_argument("--batch-size", type=int, default=0, help="crops a forward pass; 0: chosen for the device")
    parser.add_argument("--compile", action="store_true", help="torch.compile the network")
    parser.add_argument("--workers", type=int, default=-1, help="decoding threads; -1: one a core")
    parser.add_argument("--download", action="store_true", help="fetch weights given by name where missing")
    return parser.parse_args(arguments)
