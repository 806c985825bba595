"""Stages `cascade_rows` and `first_rows`: some labelled regions as a network sees them, for linear classifiers."""

from pathlib import Path

import numpy as np

from detector.config import EngineSettings, RegionSettings
from detector.inference.engine import make_engine
from detector.networks.backbones import backbone_facts
from detector.networks.heads import FeaturesAndMoves
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


def run_drawn_rows(
    stage: Stage,
    images: int,
    labelled: LabelledRegions[TrainingRegions],
    network: Path,
    region: RegionSettings,
    engine: EngineSettings,
    seed: int,
) -> Store:
    """Some regions of `images` images (0: of all), as features (F,) f16 and labels i16.

    The features are what the network in the file `network` makes of them.
    """
    chosen = choose_images(np.diff(labelled.labels.offsets) > 0, images, seed)
    width = backbone_facts(weights_header(network).variant).width * len(region.paddings)
    features: Fields = {"features": (HALF, (width,))}
    fields: Fields = {**features, "labels": (LABEL, ())}

    def labels_of(position: int) -> Array:
        return labelled.labels.read(position)["labels"]

    def drawn(position: int) -> Int64:
        return draw_regions(labels_of(position), position) if chosen[position] else NO_ROWS

    def boxes(position: int) -> Float32:
        return labelled.regions.boxes(position)[drawn(position)]

    def open_engine() -> Engine[NamedRows]:
        opened, preprocessing = open_trunk(network, 2, len(region.paddings))
        return make_engine(FeaturesAndMoves(opened, None), preprocessing, region, engine.in_floats).run

    def entry(position: int, found: NamedRows) -> Entry:
        return {**in_half(found[1], features), "labels": labels_of(position)[drawn(position)]}

    reads = {"labels": labelled.labels, "images": images, "seed": seed, "network": network}
    result = stage.result(VERSION, **reads, region=region, engine=engine_name(engine.in_floats))
    return store_rows(
        result,
        labelled.regions.split,
        boxes,
        fields,
        open_engine,
        entry,
        engine,
        lambda store: {"images": int(chosen.sum()), "regions": int(store.offsets[-1])},
    )


def images_of(rows: Store) -> Int64:
    """Of which image each row is (M,), rising."""
    return np.repeat(np.arange(len(rows)), np.diff(rows.offsets))
