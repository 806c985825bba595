"""Stage `labels`: the class label of every region, for training; computed once, then memory-mapped."""

from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from detector.records import Array, Bool, Float32
from detector.runs.journal import Fields
from detector.runs.split import Split
from detector.runs.stage import Stage
from detector.runs.store import Store
from detector.runs.stored_result import Make, run_stored
from detector.stages.region_rows import counts

VERSION = 2
FIELDS: Fields = {"labels": (np.dtype(np.int16), ()), "near": (np.dtype(np.bool_), ())}


class RegionSet(Protocol):
    """Regions of each image of a split, with labels; `reads` is what they depend on."""

    @property
    def split(self) -> Split:
        """The images."""

    @property
    def reads(self) -> dict[str, object]:
        """What the regions and labels depend on, but for settings of labels."""

    def boxes(self, position: int) -> Float32:
        """Regions (R, 4) of an image."""

    def labels(self, position: int) -> Array:
        """Their labels (R,) i16."""

    def near(self, position: int) -> Bool:
        """Which of them (R,) are near an object."""


Kind = TypeVar("Kind", bound=RegionSet)


@dataclass(frozen=True)
class LabelledRegions(Generic[Kind]):
    """Regions and the store of their labels."""

    regions: Kind
    labels: Store


def run_labels(stage: Stage, regions: Kind, **settings: Any) -> LabelledRegions[Kind]:
    """Label every region of the split, by the regions and `settings`, and note which are near an object."""

    def prepare() -> Make:
        return lambda positions: (
            {"labels": regions.labels(position), "near": regions.near(position)} for position in positions
        )

    result = stage.result(VERSION, **regions.reads, **settings)
    return LabelledRegions(regions, run_stored(result, FIELDS, len(regions.split), prepare, counts))
