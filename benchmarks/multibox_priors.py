"""How many objects the bare priors of MultiBox overlap by half, for several ways to fit them.

python benchmarks/multibox_priors.py [--data ../shared/data] [--seeds 0 1]

Fitted on the objects of one half of the images of coco256's train2017 and tested on the other, both ways; the same
with the annotations of ILSVRC-DET's val2; and fitted on train2017, tested on val2017. Prints a table: recall at
IoU 0.5 and at 0.7, means over the seeds.
"""

import argparse
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from detector.boxes import box_iou
from detector.config import DataSettings
from detector.data.readers import open_dataset
from detector.errors import DataError
from detector.proposals.priors import grid_priors, learned_priors
from detector.records import Array, Float32, Int64

LEARNED = 800
CORNERS = ("xmin", "ymin", "xmax", "ymax")
Fit = Callable[[Float32, int], Float32]


def main() -> None:
    """Print the table, a line a way to fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    options = parser.parse_args()
    training = coco_objects(options.data, "train2017")
    testing = coco_objects(options.data, "val2017")
    val2 = archived_objects(options.data / "ilsvrc_det_val2_xml.tar.gz")
    columns = {
        "coco256 halves": halves(*training),
        "val2 halves": halves(*val2),
        "train2017 for val2017": [(training[0], testing[0])],
    }
    sys.stdout.write(f"| priors | {' | '.join(columns)} |\n{'|---' * (len(columns) + 1)}|\n")
    for name, fit in WAYS.items():
        cells = (recalls(fit, pairs, options.seeds) for pairs in columns.values())
        sys.stdout.write(f"| {name} | {' | '.join(cells)} |\n")
        sys.stdout.flush()


WAYS: dict[str, Fit] = {
    "grids, the smallest shapes on the finest": lambda boxes, seed: grid_priors(boxes, seed, "size"),
    "grids, by coverage": grid_priors,
    f"{LEARNED} clusters": lambda boxes, seed: learned_priors(boxes, LEARNED, seed),
}


def coco_objects(data: Path, split: str) -> tuple[Float32, Int64]:
    """The objects (G, 4) of coco256's `split` in fractions of their images, and the images (G,)."""
    settings = DataSettings.model_validate(
        {"format": "coco", "root": data / "coco256", "train": (split,), "test": (split,)}
    )
    dataset = open_dataset(settings, (split,))
    sides = np.tile(dataset.sizes[dataset.objects.image][:, ::-1], 2)
    return usable(dataset.objects.boxes / sides, dataset.objects.image)


def archived_objects(path: Path) -> tuple[Float32, Int64]:
    """The objects of the VOC annotations in a tar archive, as of `coco_objects`."""
    boxes, images = [], []
    with tarfile.open(path) as archive:
        members = sorted((m for m in archive if m.name.endswith(".xml")), key=lambda member: member.name)
        for image, member in enumerate(members):
            file = archive.extractfile(member)
            for box in stated_boxes(file.read() if file else b""):
                boxes.append(box)
                images.append(image)
    return usable(np.array(boxes), np.array(images))


def stated_boxes(annotation: bytes) -> Iterator[Array]:
    """The boxes (4,) of an annotation, in fractions of its image."""
    root = ElementTree.fromstring(annotation)
    sides = np.array([float(root.findtext(f"size/{side}", "0")) for side in ("width", "height")] * 2)
    for entry in root.iter("bndbox"):
        yield np.array([float(entry.findtext(corner, "0")) for corner in CORNERS]) / sides


def usable(boxes: Array, images: Array) -> tuple[Float32, Int64]:
    """The boxes cut to the image that have an area then, and their images."""
    cut = np.clip(boxes, 0, 1)
    kept = np.all(cut[:, 2:] > cut[:, :2], axis=1)
    return cut[kept].astype(np.float32), images[kept]


def halves(boxes: Float32, images: Int64) -> list[tuple[Float32, Float32]]:
    """Two pairs of objects to fit on and to test on: each half of the images, drawn by seed 0, is both once."""
    order = np.random.default_rng(0).permutation(np.unique(images))
    first = np.isin(images, order[: len(order) // 2])
    return [(boxes[first], boxes[~first]), (boxes[~first], boxes[first])]


def recalls(fit: Fit, pairs: list[tuple[Float32, Float32]], seeds: list[int]) -> str:
    """A cell: the recall at 0.5 and at 0.7, or what the fit wants that the objects are not."""
    found = []
    try:
        for training, testing in pairs:
            for seed in seeds:
                overlaps = best_overlaps(testing, fit(training, seed))
                found.append([np.mean(overlaps >= limit) for limit in (0.5, 0.7)])
    except DataError:
        return "too few objects"
    return ", ".join(f"{mean:.3f}" for mean in np.mean(found, axis=0))


def best_overlaps(boxes: Float32, priors: Float32) -> Array:
    """The IoU (G,) of each box with its best prior."""
    parts = np.array_split(boxes, -(-len(boxes) // 2000))
    return np.concatenate([box_iou(part, priors).max(axis=1) for part in parts])


if __name__ == "__main__":
    main()
