"""Evaluate a file of detections by the ILSVRC, VOC or COCO protocol, and write a report."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detector.data.classes import ClassList, ilsvrc_det_classes, read_classes
from detector.data.coco import read_coco_json
from detector.data.ilsvrc import read_blacklist, read_ground_truth, read_image_list
from detector.data.images import read_image
from detector.data.submission import read_coco_results, read_submission
from detector.errors import DataError
from detector.evaluation.coco import category_ids, coco_tables, evaluate_coco_json
from detector.evaluation.metrics import summary_text
from detector.evaluation.pictures import best_detections, draw_detections, evenly_spread
from detector.evaluation.protocols import Protocol, evaluate
from detector.evaluation.report import Picture, write_report
from detector.records import DetectionTable, GroundTruth, Int64, ObjectTable, Report, take

PROTOCOLS = ("ilsvrc", "voc2007", "voc2010", "coco")
IMAGE_SUFFIXES = (".JPEG", ".jpg", ".jpeg", ".png", ".bmp")
PICTURES = 12
PICTURE_SIDE = 640  # pixels


@dataclass(frozen=True, eq=False)
class Case:
    """What is evaluated: the tables of the images `image_names`; `class_ids` are the numbers in the files."""

    classes: ClassList
    class_ids: tuple[int, ...]
    image_names: list[str]
    objects: ObjectTable
    detections: DetectionTable
    blacklist: Int64


def main(arguments: Sequence[str] | None = None) -> int:
    """Write metrics.json, report.md and report.html; print the mAP table and the report's path."""
    options = _parse(arguments)
    case, report = _evaluate_coco_files(options) if options.format == "coco" else _evaluate_ilsvrc_files(options)
    page = write_report(
        options.out,
        report,
        case.classes,
        _pictures(case, options.images) if options.images else (),
        _origin(options, case),
        ids=case.class_ids,
    )
    sys.stdout.write(f"{summary_text(report, case.classes)}\nreport: {page}\n")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="eval_det", description=__doc__)
    parser.add_argument("--format", choices=("ilsvrc", "coco"), required=True, help="format of the files")
    parser.add_argument(
        "--annotations", type=Path, required=True, help="folder of XML files (ilsvrc) or instances JSON (coco)"
    )
    parser.add_argument("--list", type=Path, help="ilsvrc: file of <image name> <index> lines")
    parser.add_argument(
        "--classes", type=Path, help="ilsvrc: CSV with the header id,wnid,name (default: DET's 200)"
    )
    parser.add_argument("--blacklist", type=Path, help="ilsvrc: file of <image index> <wnid> lines to leave out")
    parser.add_argument(
        "--detections", type=Path, required=True, help="submission text (ilsvrc) or results JSON (coco)"
    )
    parser.add_argument("--protocol", choices=PROTOCOLS, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the report")
    parser.add_argument("--images", type=Path, help="folder of the images: some are drawn in the report")
    options = parser.parse_args(arguments)
    if options.format == "ilsvrc" and options.list is None:
        parser.error("--format ilsvrc needs --list")
    if options.format == "coco" and (options.list or options.classes or options.blacklist):
        parser.error("--list, --classes and --blacklist go with --format ilsvrc")
    return options


def _evaluate_ilsvrc_files(options: argparse.Namespace) -> tuple[Case, Report]:
    classes = read_classes(options.classes) if options.classes else ilsvrc_det_classes()
    names, indices = read_image_list(options.list)
    if not options.annotations.is_dir():
        raise DataError(f"--annotations must be a folder of XML files, got {options.annotations}")
    blacklist = np.empty((0, 2), np.int64)
    if options.blacklist:
        blacklist = read_blacklist(options.blacklist, indices, classes)
    case = Case(
        classes=classes,
        class_ids=tuple(range(1, len(classes) + 1)),
        image_names=names,
        objects=read_ground_truth(options.annotations, names, classes),
        detections=read_submission(options.detections, indices, len(classes)),
        blacklist=blacklist,
    )
    return case, _evaluate(options.protocol, case)


def _evaluate_coco_files(options: argparse.Namespace) -> tuple[Case, Report]:
    annotations = read_coco_json(options.annotations)
    results = read_coco_results(options.detections, annotations)
    ids = category_ids(annotations)
    names = {category["id"]: category["name"] for category in annotations["categories"]}
    objects, detections = coco_tables(annotations, results)
    case = Case(
        classes=ClassList(tuple(names[number] for number in ids)),
        class_ids=ids,
        image_names=[image["file_name"] for image in annotations["images"]],
        objects=objects,
        detections=detections,
        blacklist=np.empty((0, 2), np.int64),
    )
    if options.protocol == "coco":  # the file's own areas and crowds count
        return case, evaluate_coco_json(annotations, results)
    return case, _evaluate(options.protocol, case)


def _evaluate(protocol: Protocol, case: Case) -> Report:
    return evaluate(
        protocol, case.objects, case.detections, len(case.image_names), len(case.classes), case.blacklist
    )


def _origin(options: argparse.Namespace, case: Case) -> dict[str, str]:
    """Where the numbers come from."""
    notes = {
        "Detections": str(options.detections),
        "Annotations": str(options.annotations),
        "Images": f"{len(case.image_names)}" + (f" of {options.list}" if options.list else ""),
    }
    if options.classes:
        notes["Classes"] = str(options.classes)
    if options.blacklist:
        used = f"{len(case.blacklist)} pairs of image and class left out"
        notes["Blacklist"] = f"{options.blacklist}: " + (
            used if options.protocol == "ilsvrc" else f"not used, because {options.protocol} has none"
        )
    return notes


def _pictures(case: Case, folder: Path) -> list[Picture]:
    """Images with objects, evenly spread over those in `folder`, drawn with their best detections."""
    found = {int(i): path for i in np.unique(case.objects.image) if (path := _find(folder, case.image_names[i]))}
    if not found and len(case.objects.image):
        missing = case.image_names[case.objects.image[0]]
        raise DataError(f"--images must be the folder of the images, got {folder} without {missing}")
    return [_picture(case, position, found[position]) for position in evenly_spread(sorted(found), PICTURES)]


def _find(folder: Path, name: str) -> Path | None:
    """The file of an image whose `name` may lack its suffix."""
    candidates = [folder / name, *(folder / f"{name}{suffix}" for suffix in IMAGE_SUFFIXES)]
    return next((path for path in candidates if path.is_file()), None)


def _picture(case: Case, position: int, path: Path) -> Picture:
    rows = take(case.objects, case.objects.image == position)
    truth = GroundTruth(rows.boxes.astype(np.float32), rows.labels, rows.difficult, rows.crowd)
    detections = best_detections(case.detections, position, len(rows.labels))
    drawn = draw_detections(read_image(path), detections, truth, case.classes.names, PICTURE_SIDE)
    return Picture(case.image_names[position], drawn)
