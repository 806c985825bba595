"""Evaluate a file of detections by the ILSVRC, VOC or COCO protocol, and write a report."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np

from detector.choices import PROTOCOLS
from detector.commands.options import Parser, a_path
from detector.data.folders import is_file, require_folder
from detector.data.images import read_image
from detector.errors import DataError
from detector.evaluation.metrics import summary_text
from detector.evaluation.outcomes import protocol_of
from detector.jobs.detections_in_files import Files, read_coco_files, read_ilsvrc_files
from detector.reports.detection.analysis import analyse
from detector.reports.detection.drawn_images import PictureSource, draw_chosen
from detector.reports.detection.report import DetectionReport
from detector.reports.detection.write import write_report
from detector.runs.lock import owned

IMAGE_SUFFIXES = (".JPEG", ".jpg", ".jpeg", ".png", ".bmp")
PICTURES = 12
SEED = 0  # of the resamples and of the images drawn at random


def main(arguments: Sequence[str] | None = None) -> int:
    """Write metrics.json, report.md and report.html; print the mAP table and the report's path."""
    options = _parse(arguments)
    with owned(options.out):
        return _evaluate(options)


def _evaluate(options: argparse.Namespace) -> int:
    files = _read(options)
    report = files.evaluate(options.protocol)
    found = _find_images(files, options.images) if options.images else {}
    names, classes = files.image_names, files.case.classes.names
    source = PictureSource(names, classes, lambda position: read_image(found[position]))
    analysis = analyse(files.case, report, np.random.default_rng(SEED))
    content = DetectionReport(
        title="Detection report",
        case=files.case,
        ids=files.class_ids,
        analysis=analysis,
        pictures=draw_chosen(source, list(found), PICTURES, SEED, analysis),
        notes=_origin(options, files),
    )
    page = write_report(options.out, content, "report.html")
    sys.stdout.write(f"{summary_text(report, files.case.classes)}\nreport: {page}\n")
    return 0


def _read(options: argparse.Namespace) -> Files:
    if options.format == "coco":
        return read_coco_files(options.annotations, options.detections)
    return read_ilsvrc_files(
        options.annotations, options.list, options.detections, options.classes, options.blacklist
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="eval_det", description=__doc__)
    parser.add_argument("--format", choices=("ilsvrc", "coco"), required=True, help="format of the files")
    parser.add_argument(
        "--annotations", type=a_path, required=True, help="folder of XML files (ilsvrc) or instances JSON (coco)"
    )
    parser.add_argument("--list", type=a_path, help="ilsvrc: file of <image name> <index> lines")
    parser.add_argument(
        "--classes", type=a_path, help="ilsvrc: CSV with the header id,wnid,name (default: DET's 200)"
    )
    parser.add_argument("--blacklist", type=a_path, help="ilsvrc: file of <image index> <wnid> lines to leave out")
    parser.add_argument(
        "--detections", type=a_path, required=True, help="submission text (ilsvrc) or results JSON (coco)"
    )
    parser.add_argument("--protocol", choices=tuple(PROTOCOLS), required=True)
    parser.add_argument("--out", type=a_path, required=True, help="folder of the report")
    parser.add_argument("--images", type=a_path, help="folder of the images: some are drawn in the report")
    options = parser.parse_args(arguments)
    if options.format == "ilsvrc" and options.list is None:
        parser.error("--format ilsvrc needs --list")
    if options.format == "coco" and (options.list or options.classes or options.blacklist):
        parser.error("--list, --classes and --blacklist go with --format ilsvrc")
    return options


def _origin(options: argparse.Namespace, files: Files) -> dict[str, str]:
    """Where the numbers come from."""
    notes = {
        "Detections": str(options.detections),
        "Annotations": str(options.annotations),
        "Images": f"{len(files.image_names)}" + (f" of {options.list}" if options.list else ""),
    }
    if options.classes:
        notes["Classes"] = str(options.classes)
    if options.blacklist:
        used = f"{len(files.case.blacklist)} pairs of image and class left out"
        notes["Blacklist"] = f"{options.blacklist}: " + (
            used
            if protocol_of(options.protocol).uses_blacklist
            else f"not used, because {options.protocol} has none"
        )
    return notes


def _find_images(files: Files, folder: Path) -> dict[int, Path]:
    """The files in `folder` of the images, by position; at least one with objects must be there."""
    require_folder(folder, "--images")
    found = {i: path for i, name in enumerate(files.image_names) if (path := _find(folder, name))}
    with_objects = np.unique(files.case.objects.image).tolist()
    if with_objects and not found.keys() & set(with_objects):
        missing = files.image_names[with_objects[0]]
        raise DataError(f"--images must be the folder of the images, got {folder} without {missing}")
    return found


def _find(folder: Path, name: str) -> Path | None:
    """The file inside `folder` of an image whose `name` may lack its suffix."""
    if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
        return None
    candidates = [folder / name, *(folder / f"{name}{suffix}" for suffix in IMAGE_SUFFIXES)]
    return next((path for path in candidates if is_file(path)), None)
