"""Sets of regions of a split's images: proposals, training regions, objects' boxes, mined regions."""

from dataclasses import dataclass

import numpy as np

from detector.records import Array, Bool, Float32
from detector.runs.split import Split
from detector.runs.store import Store, read_proposals
from detector.training.assign import IGNORED, assign, near_objects

LABEL = np.dtype(np.int16)


@dataclass(frozen=True, eq=False)
class ProposedRegions:
    """The proposals of a split's images."""

    proposals: Store

    def boxes(self, position: int) -> Float32:
        """Regions (R, 4) of the image at `position`."""
        return np.array(read_proposals(self.proposals, position).boxes)


@dataclass(frozen=True, eq=False)
class TrainingRegions:
    """The regions of a training split: of each image its objects' boxes first, then its proposals."""

    split: Split
    proposals: Store
    positive_iou: float

    @property
    def reads(self) -> dict[str, object]:
        """What they depend on."""
        return {"proposals": self.proposals, "truth": self.split.truth_key}

    def boxes(self, position: int) -> Float32:
        """Regions (R, 4) of the image at `position`; none where the image was found unreadable."""
        proposed = read_proposals(self.proposals, position).boxes
        if not len(proposed):
            return proposed
        return np.concatenate([self.split.dataset.truth(position).boxes, proposed])

    def labels(self, position: int) -> Array:
        """Labels (R,) i16 of `boxes(position)`."""
        dataset = self.split.dataset
        is_exhaustive = bool(dataset.exhaustive[position])
        return assign(self.boxes(position), dataset.truth(position), self.positive_iou, is_exhaustive)

    def near(self, position: int) -> Bool:
        """Which of them (R,) are near an object."""
        return near_objects(self.boxes(position), self.split.dataset.truth(position))


@dataclass(frozen=True, eq=False)
class ObjectRegions:
    """The objects' own boxes as regions, without those that are difficult or crowds."""

    split: Split

    @property
    def reads(self) -> dict[str, object]:
        """What they depend on."""
        return {"objects": self.split.truth_key}

    def boxes(self, position: int) -> Float32:
        """Boxes (G, 4) of the objects of the image at `position`."""
        return self.split.dataset.truth(position).boxes

    def labels(self, position: int) -> Array:
        """Labels (G,) i16 of `boxes(position)`."""
        truth = self.split.dataset.truth(position)
        return np.where(truth.difficult | truth.crowd, IGNORED, truth.labels).astype(LABEL)

    def near(self, position: int) -> Bool:
        """All of them (G,) are."""
        return np.ones(len(self.boxes(position)), np.bool_)


@dataclass(frozen=True, eq=False)
class MinedRegions:
    """All regions of the images in the mask `mined` (n,), for negatives; of the others the objects' boxes."""

    regions: TrainingRegions
    mined: Bool

    @property
    def reads(self) -> dict[str, object]:
        """What they depend on."""
        return {**self.regions.reads, "mined": np.flatnonzero(self.mined)}

    def boxes(self, position: int) -> Float32:
        """Regions (R, 4) of the image at `position`, its objects' boxes first."""
        boxes = self.regions.boxes(position)
        if self.mined[position]:
            return boxes
        return boxes[: len(self.regions.split.dataset.truth(position).boxes)]


def choose_images(candidates: Bool, count: int, seed: int, first: Bool | None = None) -> Bool:
    """A mask (n,) of `count` (0: all) of the images in the mask `candidates` (n,), drawn at random.

    Those in the mask `first` (n,), where it is given, come before all others: of R-CNN's images it is those that
    are labelled for every class (`Dataset.exhaustive`), val1's, and the others only fill up.
    """
    order = np.random.default_rng([seed, len(candidates)]).permutation(np.flatnonzero(candidates))
    if first is not None:
        order = order[np.argsort(~first[order], kind="stable")]
    chosen = np.zeros(len(candidates), np.bool_)
    chosen[order[: count or len(order)]] = True
    return chosen
