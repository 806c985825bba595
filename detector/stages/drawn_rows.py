"""Stages `cascade_rows` and `first_rows`: some labelled regions as a network sees them, for linear classifiers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detector.config import EngineSettings, RegionSettings
from detector.inference.engine import make_engine
from detector.inference.shared_engine import SharedEngine
from detector.networks.backbones import backbone_facts
from detector.networks.heads import FeaturesAndMoves, MapCells
from detector.networks.weight_files.weights import open_trunk, weights_header
from detector.records import Array, Float32, Int64
from detector.runs.journal import Entry, Fields
from detector.runs.stage import Stage
from detector.runs.store import Store
from detector.stages.label import LabelledRegions
from detector.stages.region_features import NamedRows
from detector.stages.region_rows import HALF, Engine, engine_name, in_half, store_rows
from detector.stages.region_sets import LABEL, TrainingRegions, choose_images
from detector.training.sample import draw_regions

VERSION = 1
NO_ROWS = np.empty(0, np.int64)


@dataclass(frozen=True)
class FeatureLook:
    """How regions are looked at: the features that a network has of their crops, or of its shared map."""

    network: Path
    region: RegionSettings

    @property
    def width(self) -> int:
        """The numbers of a region."""
        return backbone_facts(weights_header(self.network).variant).width * len(self.region.paddings)

    def open(self, engine: EngineSettings) -> Engine[NamedRows]:
        """What gives the `features` of regions."""
        opened, preprocessing = open_trunk(self.network, 2, len(self.region.paddings))
        return make_engine(FeaturesAndMoves(opened, None), preprocessing, self.region, engine.in_floats).run


@dataclass(frozen=True)
class CellsLook:
    """How regions are looked at: the cells of a network's shared map, before anything that follows it."""

    network: Path
    region: RegionSettings

    @property
    def width(self) -> int:
        """The numbers of a region."""
        shared = backbone_facts(weights_header(self.network).variant).shared
        return shared.channels * shared.map_side(self.region.crop_size) ** 2

    def open(self, engine: EngineSettings) -> Engine[NamedRows]:
        """What gives the `features` of regions."""
        opened, preprocessing = open_trunk(self.network, 2)
        return SharedEngine(MapCells(opened), preprocessing, self.region, engine.in_floats).run


Look = FeatureLook | CellsLook


def run_drawn_rows(
    stage: Stage,
    images: int,
    labelled: LabelledRegions[TrainingRegions],
    look: Look,
    engine: EngineSettings,
    seed: int,
) -> Store:
    """Some regions of `images` images (0: of all), as features (F,) f16 and labels i16."""
    chosen = choose_images(np.diff(labelled.labels.offsets) > 0, images, seed)
    features: Fields = {"features": (HALF, (look.width,))}
    fields: Fields = {**features, "labels": (LABEL, ())}

    def labels_of(position: int) -> Array:
        return labelled.labels.read(position)["labels"]

    def drawn(position: int) -> Int64:
        return draw_regions(labels_of(position), position) if chosen[position] else NO_ROWS

    def boxes(position: int) -> Float32:
        return labelled.regions.boxes(position)[drawn(position)]

    def entry(position: int, found: NamedRows) -> Entry:
        return {**in_half(found[1], features), "labels": labels_of(position)[drawn(position)]}

    reads = {"labels": labelled.labels, "images": images, "seed": seed, "network": look.network}
    result = stage.result(VERSION, **reads, region=look.region, engine=engine_name(engine.in_floats))
    return store_rows(
        result,
        labelled.regions.split,
        boxes,
        fields,
        lambda: look.open(engine),
        entry,
        engine,
        lambda store: {"images": int(chosen.sum()), "regions": int(store.offsets[-1])},
    )


def images_of(rows: Store) -> Int64:
    """Of which image each row is (M,), rising."""
    return np.repeat(np.arange(len(rows)), np.diff(rows.offsets))
