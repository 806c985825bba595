"""The splits of a run: reading their images, and the keys of what they hold."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from detector.config import DataSettings
from detector.data.contents import content_marks
from detector.data.dataset import Dataset
from detector.data.images import Exif, read_image
from detector.data.labelled_images import LabelledImages
from detector.data.readers import open_dataset
from detector.errors import DataError
from detector.parallel import ordered_map
from detector.records import Float32, Image
from detector.runs.keys import array_hash, key_of
from detector.runs.stage import MANIFEST, read_manifest

# Splits whose names say it all: of letters, and perhaps the suffix of a list.
PLAIN_SPLIT = re.compile(r"[A-Za-z0-9_-]+(\.txt)?")
LONGEST_SLUG = 100  # characters
LOOKED_INTO = 20_000  # images of a classification set, which may have millions
IMAGE_IDS = "image_ids"  # what manifests of stages call the hash of the ids


@dataclass(frozen=True, eq=False)
class Split:
    """A data set as a run sees it: `name` names its folders there; with `skips_bad` bad images are left out."""

    dataset: Dataset
    name: str
    exif: Exif = "ignore"
    skips_bad: bool = False

    def __len__(self) -> int:
        return len(self.dataset)

    @cached_property
    def key(self) -> str:
        """Which images there are, in which order, what is in them and how they are turned; not where they are."""
        marks = content_marks(self.dataset.paths.tolist())
        return array_hash(self.dataset.image_ids, self.dataset.sizes, marks, np.array([self.exif]))

    @cached_property
    def truth_key(self) -> str:
        """The objects, the classes and what is known of the images."""
        return truth_key(self.dataset)

    def read(self, position: int) -> Image:
        """The pixels (H, W, 3) of the image at `position`."""
        return read_image(self.dataset.record(position).path, self.exif)

    def load(
        self, boxes: Callable[[int], Float32], positions: range, workers: int
    ) -> Iterator[tuple[Image, Float32]]:
        """The images at `positions` with their regions, decoded ahead; one without any is not read, and black."""

        def load_one(position: int) -> tuple[Image, Float32]:
            regions = boxes(position)
            return (self.read(position) if len(regions) else np.zeros((1, 1, 3), np.uint8)), regions

        return ordered_map(load_one, positions, workers)


def labelled_key(images: LabelledImages) -> str:
    """Which images a classification set holds, in which order and of which class; of some, what is in them."""
    names = np.array(["/".join(Path(path).parts[-2:]) for path in images.paths.tolist()], np.str_)
    rows = np.linspace(0, len(images) - 1, min(len(images), LOOKED_INTO)).astype(np.int64)
    marks = content_marks(images.paths[rows].tolist())
    return array_hash(names, images.labels, marks, np.array([images.classes.names]))


def ids_key(dataset: Dataset) -> str:
    """A hash of the ids of the images in their order, which are the same wherever the files are."""
    return array_hash(dataset.image_ids)


def check_images(folder: Path, split: Split) -> None:
    """Raise DataError where the result of a stage in `folder` says that it was made of other images.

    Those of the same names that had another content, or were turned otherwise, are others too.
    """
    dataset, manifest = split.dataset, read_manifest(folder / MANIFEST) or {}
    if manifest.get(IMAGE_IDS, ids_key(dataset)) != ids_key(dataset):
        raise DataError(f"stage must be of the images of {dataset.name}, got one of others ({folder})")
    match manifest:
        case {"reads": {"images": str(key)}} if key != split.key:
            wanted = f"the images of {dataset.name} as they are now"
            raise DataError(f"stage must be of {wanted}, got one of others of these names ({folder})")


def open_split(settings: DataSettings, splits: Sequence[str]) -> Split:
    """The images and objects of all `splits`, joined in order."""
    dataset = open_dataset(settings, splits)
    return Split(dataset, split_slug(splits), settings.exif, settings.bad_images == "skip")


def truth_key(dataset: Dataset) -> str:
    """A hash of the data set's objects, classes and what is known of its images."""
    objects = dataset.objects
    arrays = (objects.image, objects.boxes, objects.labels, objects.difficult, objects.crowd)
    names = np.array([dataset.classes.names])
    return array_hash(*arrays, dataset.complete, dataset.indices, dataset.blacklist, names)


def data_notes(dataset: Dataset) -> dict[str, str]:
    """What a report tells of its data set."""
    return {
        "Data": f"{dataset.name}: {len(dataset)} images, {len(dataset.objects.labels)} objects",
        "Notes on the data": "; ".join(dataset.notes) or "none",
    }


def split_slug(splits: Sequence[str]) -> str:
    """A folder name for the data set joined from `splits`.

    Split names and names of lists keep their letters. Names that would lose others in the folder's, such as those
    of lists in other folders, get a hash: it differs for different splits.
    """
    splits = [os.path.normpath(split) for split in splits]
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "_", "+".join(Path(split).stem for split in splits))
    if all(map(PLAIN_SPLIT.fullmatch, splits)) and len(slug) <= LONGEST_SLUG:
        return slug
    return f"{slug[:LONGEST_SLUG].lstrip('.')}-{key_of({'splits': splits})[:8]}"
