"""The true objects of an image, from a COCO JSON or from the data that a run was tested on."""

import os
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from detector.config import Config
from detector.data.dataset import Dataset
from detector.data.formats.coco_tree import CocoId, read_coco_json, sorted_categories
from detector.data.image_ids import ImageIds
from detector.data.readers import open_dataset
from detector.errors import UserError
from detector.evaluation.explained import KnownObject, corners
from detector.records import FIRST_LABEL
from detector.text import one_line

ObjectsOf = Callable[[Path], list[KnownObject]]  # of an image's file


def objects_of_json(annotations: Path) -> ObjectsOf:
    """Those of a COCO JSON, whose image is the one that agrees with the longest end of a file's path.

    DataError for a wrong JSON, and for a file that is none of its images or may be several.
    """
    tree = read_coco_json(annotations)
    names = sorted_categories(tree)
    ids = ImageIds(((image["file_name"], image["id"]) for image in tree["images"]), annotations)
    by_image: dict[CocoId, list[KnownObject]] = defaultdict(list)
    for entry in tree["annotations"]:
        x, y, width, height = entry["bbox"]
        if width > 0 and height > 0:
            box = (float(x), float(y), float(x + width), float(y + height))
            counts = not entry.get("iscrowd", 0)
            by_image[entry["image_id"]].append(KnownObject(names[entry["category_id"]], box, counts))
    return lambda file: by_image[ids.find(str(file))]


def objects_of_dataset(dataset: Dataset) -> ObjectsOf:
    """Those of a data set; none of a file that is not one of its images."""
    by_name: dict[str, list[int]] = defaultdict(list)
    for position, path in enumerate(dataset.paths.tolist()):
        by_name[os.path.basename(path)].append(position)  # noqa: PTH119 - of half a million paths

    def objects_of(file: Path) -> list[KnownObject]:
        for position in by_name.get(file.name, []):
            if os.path.realpath(dataset.paths[position]) == os.path.realpath(file):
                return objects_at(dataset, position)
        return []

    return objects_of


def objects_at(dataset: Dataset, position: int) -> list[KnownObject]:
    """The objects of the image at `position`; difficult ones and crowds do not count."""
    truth = dataset.truth(position)
    counts = ~(truth.difficult | truth.crowd)
    rows = zip(truth.labels.tolist(), truth.boxes, counts.tolist(), strict=True)
    names = dataset.classes.names
    return [KnownObject(names[label - FIRST_LABEL], corners(box), is_counted) for label, box, is_counted in rows]


def objects_of_test(config: Config) -> ObjectsOf:
    """Those of the split that the settings test on; none where its data cannot be read, which is told."""
    try:
        return objects_of_dataset(open_dataset(config.data, config.data.test))
    except UserError as error:
        tqdm.write(one_line(f"no objects are known: {error}"), file=sys.stderr)
        return no_objects


def no_objects(file: Path) -> list[KnownObject]:
    """None of any file."""
    return []
