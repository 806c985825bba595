"""One set of photographs for MultiBox, of the training splits of five sets with annotations of three formats.

python benchmarks/multibox_photos.py [--data ../shared/data] [--out datasets/photos] [--cells 60] [--seed 0]

Writes COCO JSON: of every ten photographs of a set one goes to `instances_val.json`, to choose settings by, the
others to `instances_train.json`; `instances_test.json` has the photographs of coco256's val2017. All objects are
of the class `object`. Images stay where they are, so that `data.outside_root` must be `allow`. Of the blood cells,
13 an image and all alike, at most `--cells` images are drawn.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from detector.config import DataSettings
from detector.data.dataset import Dataset
from detector.data.readers import open_dataset
from detector.files import write_atomically

ROOT = Path(__file__).parents[1]
HELD_OUT = 10  # one of so many
CELLS = "bccd"
# of each folder: the format, the split to train on, the file of the classes
SETS = {
    "fruit": ("voc", "train", None),
    "raccoon": ("voc", str(ROOT / "configs/raccoon_train.txt"), None),
    CELLS: ("voc", "train", None),
    "coco256": ("coco", "train2017", None),
    "ilsvrc_det_mini": ("ilsvrc", "val", "../ilsvrc_det_lists/synsets.csv"),
}


def main() -> None:
    """Write the three files and say what is in them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("datasets/photos"))
    parser.add_argument("--cells", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    training: list[tuple[Dataset, int]] = []
    held_out: list[tuple[Dataset, int]] = []
    for name in SETS:
        dataset = open_set(options.data, name)
        order = np.random.default_rng(options.seed).permutation(len(dataset))
        chosen = np.sort(order[: options.cells] if name == CELLS else order)
        is_held = np.isin(chosen, order[: len(chosen) // HELD_OUT])
        training += [(dataset, position) for position in chosen[~is_held].tolist()]
        held_out += [(dataset, position) for position in chosen[is_held].tolist()]
    testing = open_set(options.data, "coco256", "val2017")
    write_split(options.out, "train", training)
    write_split(options.out, "val", held_out)
    write_split(options.out, "test", [(testing, position) for position in range(len(testing))])


def open_set(data: Path, name: str, split: str | None = None) -> Dataset:
    """The training split, or `split`, of one of `SETS` under `data`."""
    kind, own, classes = SETS[name]
    names = (split or own,)
    settings = DataSettings.model_validate(
        {"format": kind, "root": data / name, "train": names, "test": names, "classes": classes}
    )
    return open_dataset(settings, names)


def write_split(folder: Path, split: str, images: list[tuple[Dataset, int]]) -> None:
    """Write `images`, each a position in its data set, with their usable objects."""
    tree: dict[str, list[dict[str, Any]]] = {
        "images": [image_entry(number, *image) for number, image in enumerate(images, 1)],
        "annotations": list(object_entries(images)),
        "categories": [{"id": 1, "name": "object"}],
    }
    path = folder / f"instances_{split}.json"
    with write_atomically(path) as temporary:
        temporary.write_text(json.dumps(tree))
    sys.stdout.write(f"{path}: {len(images)} images, {len(tree['annotations'])} objects\n")


def image_entry(number: int, dataset: Dataset, position: int) -> dict[str, Any]:
    """An image of the JSON, by its absolute path."""
    record = dataset.record(position)
    return {
        "id": number,
        "file_name": str(record.path.resolve()),
        "height": record.height,
        "width": record.width,
    }


def object_entries(images: Iterable[tuple[Dataset, int]]) -> Iterable[dict[str, Any]]:
    """The objects of the JSON; crowds stay crowds."""
    number = 0
    for image_id, (dataset, position) in enumerate(images, 1):
        truth = dataset.truth(position)
        for (x1, y1, x2, y2), crowd in zip(truth.boxes.tolist(), truth.crowd.tolist(), strict=True):
            number += 1
            box = [x1, y1, x2 - x1, y2 - y1]
            yield {"id": number, "image_id": image_id, "category_id": 1, "bbox": box, "iscrowd": int(crowd)}


if __name__ == "__main__":
    main()
