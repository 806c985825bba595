"""The regions of a data set's images, and the images with them, decoded ahead."""

from collections.abc import Callable, Iterator

import numpy as np

from detector.config import Config
from detector.data.dataset import Dataset
from detector.data.images import Exif, read_image
from detector.parallel import ordered_map
from detector.records import Array, Float32, Image
from detector.runs.store import Store, read_proposals
from detector.training.assign import IGNORED, assign

LABEL = np.dtype(np.int16)


class ProposedRegions:
    """The proposals of a split's images."""

    def __init__(self, proposals: Store) -> None:
        self.proposals = proposals

    def boxes(self, position: int) -> Float32:
        """Regions (R, 4) of the image at `position`."""
        return np.array(read_proposals(self.proposals, position).boxes)


class TrainingRegions:
    """The regions of a training split: of each image its objects' boxes first, then its proposals."""

    def __init__(self, config: Config, dataset: Dataset, proposals: Store) -> None:
        self.config = config
        self.dataset = dataset
        self.proposals = proposals

    def boxes(self, position: int) -> Float32:
        """Regions (R, 4) of the image at `position`; none where the image was found unreadable."""
        proposed = read_proposals(self.proposals, position).boxes
        if not len(proposed):
            return proposed
        return np.concatenate([self.dataset.truth(position).boxes, proposed])

    def labels(self, position: int) -> Array:
        """Labels (R,) i16 of `boxes(position)`."""
        return assign(
            self.boxes(position),
            self.dataset.truth(position),
            self.config.finetune.positive_iou,
            bool(self.dataset.exhaustive[position]),
        )


class ObjectRegions:
    """The objects' own boxes as regions, without those that are difficult or crowds."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def boxes(self, position: int) -> Float32:
        """Boxes (G, 4) of the objects of the image at `position`."""
        return self.dataset.truth(position).boxes

    def labels(self, position: int) -> Array:
        """Labels (G,) i16 of `boxes(position)`."""
        truth = self.dataset.truth(position)
        return np.where(truth.difficult | truth.crowd, IGNORED, truth.labels).astype(LABEL)


def load_regions(
    config: Config,
    dataset: Dataset,
    boxes: Callable[[int], Float32],
    positions: range,
    workers: int,
) -> Iterator[tuple[Image, Float32]]:
    """The images at `positions` with their regions, decoded ahead; one without regions is not read, and black."""

    def load(position: int) -> tuple[Image, Float32]:
        regions = boxes(position)
        if not len(regions):
            return np.zeros((1, 1, 3), np.uint8), regions
        return read_image_at(dataset, config.data.exif, position), regions

    return ordered_map(load, positions, workers)


def read_image_at(dataset: Dataset, exif: Exif, position: int) -> Image:
    """The pixels (H, W, 3) of the image at `position`."""
    return read_image(dataset.record(position).path, exif)
