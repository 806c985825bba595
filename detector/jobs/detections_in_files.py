"""Detections and objects in files of ILSVRC's or COCO's form, whoever wrote them, to be evaluated."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from detector.data.classes import class_list, ilsvrc_det_classes, read_classes
from detector.data.exchange.submission import read_coco_results, read_submission
from detector.data.folders import require_folder
from detector.data.formats.coco_tree import read_coco_json, sorted_categories
from detector.data.formats.ilsvrc import annotated_names, read_blacklist, read_ground_truth, read_image_list
from detector.errors import DataError
from detector.evaluation.outcomes import protocol_of
from detector.evaluation.protocols.coco_rule import category_ids, coco_tables
from detector.records import Report
from detector.reports.detection.analysis import Case


@dataclass(frozen=True, eq=False)
class Files:
    """What was read: the case, the numbers of its classes in the files and the names of its images.

    `coco` are the annotations and results of COCO's files, whose own numbers its protocol counts by.
    """

    case: Case
    class_ids: tuple[int, ...]
    image_names: list[str]
    coco: tuple[Any, Any] | None = None

    def evaluate(self, protocol: str) -> Report:
        """The Report by `protocol`."""
        of_files = protocol_of(protocol).of_coco_files
        return of_files(*self.coco) if self.coco and of_files else self.case.evaluate(protocol)


def read_ilsvrc_files(
    annotations: Path, images: Path, detections: Path, class_file: Path | None, blacklist_file: Path | None
) -> Files:
    """The XML files in the folder `annotations` of the images in the list `images`, and a submission.

    The classes are those of `class_file`, by default DET's 200; what `blacklist_file` lists does not count.
    """
    classes = read_classes(class_file) if class_file else ilsvrc_det_classes()
    require_folder(annotations, "--annotations")
    names, indices = read_image_list(images, annotated_names(annotations))
    _require_images(names, images)
    blacklist = np.empty((0, 2), np.int64)
    if blacklist_file:
        blacklist = read_blacklist(blacklist_file, indices, classes)
    objects = read_ground_truth(annotations, names, classes)
    found = read_submission(detections, indices, len(classes))
    case = Case(classes, len(names), objects, found, blacklist)
    return Files(case, tuple(range(1, len(classes) + 1)), names)


def read_coco_files(annotations: Path, detections: Path) -> Files:
    """The objects of an instances JSON, and the detections of a results JSON."""
    tree = read_coco_json(annotations)
    tree["images"].sort(key=itemgetter("id"))  # COCO's order, in which equal scores rank
    results = read_coco_results(detections, tree)
    ids = category_ids(tree)
    names = [image["file_name"] for image in tree["images"]]
    _require_images(names, annotations)
    objects, found = coco_tables(tree, results)
    classes = class_list(sorted_categories(tree).values(), (), str(annotations))
    case = Case(classes, len(names), objects, found, np.empty((0, 2), np.int64))
    return Files(case, ids, names, (tree, results))


def _require_images(names: Sequence[str], path: Path) -> None:
    if not names:
        raise DataError(f"images must be at least one to be evaluated, got none ({path})")
