"""Stages `cascade_rows` and `cascade`: a cheap classifier of regions, an object of any class or background.

It is a network as it stands, on small crops, and a logistic regression of its features, learned on labelled
regions of the training split. All other training sees all regions; stage `filter` drops those of other splits.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from detector.config import CascadeSettings, EngineSettings, RegionSettings
from detector.errors import DataError
from detector.inference.engine import CropEngine
from detector.networks.backbones import backbone_facts, check_crop
from detector.networks.backbones.base import Variant
from detector.networks.context_maps import LinearRescoring
from detector.networks.heads import FeaturesAndMoves
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import Preprocessing
from detector.networks.weight_files.weights import load_model, save_model, weights_header
from detector.records import BACKGROUND, Array, Float32, Int64
from detector.runs.journal import Entry, Fields
from detector.runs.part_result import Tensors, run_parts
from detector.runs.pretrained import weights_file
from detector.runs.stage import Stage
from detector.runs.store import Store
from detector.stages.label import LabelledRegions
from detector.stages.region_features import Answers
from detector.stages.region_rows import HALF, Engine, engine_name, in_half, store_rows
from detector.stages.region_sets import LABEL, TrainingRegions, choose_images
from detector.training.context_fit import FittedRescoring, RescoringRows, fit_rescoring
from detector.training.sample import draw_regions

VERSION = 1
OBJECT = "object"  # the only class
NO_ROWS = np.empty(0, np.int64)


def check_cascade(settings: CascadeSettings, variant: Variant) -> None:
    """Raise DataError for weights of the cascade's own that cannot be read, ConfigError for too small crops.

    Without weights of its own the network is of `variant`.
    """
    if not settings.is_used:
        return
    weights = weights_file(settings.weights)
    if weights:
        variant = load_model(weights)[0].backbone.variant
    check_crop(variant, settings.crop_size, "cascade.crop_size")


def small_region(region: RegionSettings, crop_size: int) -> RegionSettings:
    """How the cheap network sees a region: as the detector does with one crop, but smaller."""
    padding = region.padding * crop_size // region.crop_size
    return RegionSettings(crop_size=crop_size, padding=padding, fill=region.fill)


def run_cascade_rows(
    stage: Stage,
    settings: CascadeSettings,
    labelled: LabelledRegions[TrainingRegions],
    network: Path,
    region: RegionSettings,
    engine: EngineSettings,
    seed: int,
) -> Store:
    """Some regions of some images: what the network in the file `network` makes of them, and their labels."""
    chosen = choose_images(np.diff(labelled.labels.offsets) > 0, settings.images, seed)
    width = backbone_facts(weights_header(network).variant).width
    features: Fields = {"features": (HALF, (width,))}
    fields: Fields = {**features, "labels": (LABEL, ())}

    def labels_of(position: int) -> Array:
        return labelled.labels.read(position)["labels"]

    def drawn(position: int) -> Int64:
        return draw_regions(labels_of(position), position) if chosen[position] else NO_ROWS

    def boxes(position: int) -> Float32:
        return labelled.regions.boxes(position)[drawn(position)]

    def open_engine() -> Engine[Answers]:
        opened, preprocessing = _open_network(network)
        return CropEngine(FeaturesAndMoves(opened, None), preprocessing, region, engine.in_floats).run

    def entry(position: int, found: Answers) -> Entry:
        return {**in_half(found[1], features), "labels": labels_of(position)[drawn(position)]}

    reads = {"labels": labelled.labels, "images": settings.images, "seed": seed, "network": network}
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


def run_cascade(stage: Stage, rows: Store, network: Path, region: RegionSettings, output: Path) -> Path:
    """Learn the cheap classifier from stored rows; `output`, which holds the network too."""
    labels = np.array(rows.field("labels"))
    images = np.repeat(np.arange(len(rows)), np.diff(rows.offsets))

    def learn(_: int) -> Tensors:
        features = np.array(rows.field("features"), np.float32)
        return learn_objects(features, labels, images, str(stage.group.device)).linear.state_dict()

    def finish(path: Path, parts: list[Tensors]) -> dict[str, Any]:
        opened, preprocessing = _open_network(network)
        _place(parts[0], opened)
        save_model(path, opened, preprocessing, classes=[OBJECT], region=region.model_dump())
        return {"regions": len(labels), "objects": int((labels > BACKGROUND).sum())}

    return run_parts(stage.result(VERSION, rows=rows), 1, learn, output, finish)


def learn_objects(features: Float32, labels: Array, images: Int64, device: str = "cpu") -> FittedRescoring:
    """From features (M, F) to the log-odds of an object, by logistic regression.

    labels (M,) are those of the regions, 0 of background, images (M,) rise and say of which image each region is.
    DataError without regions of both kinds.
    """
    is_object = labels > BACKGROUND
    if is_object.all() or not is_object.any():
        raise DataError(
            f"cascade needs regions of objects and of background in the training split, got {is_object.sum()} and "
            f"{(~is_object).sum()}"
        )
    groups = np.unique(images, return_inverse=True)[1]
    targets = np.where(is_object, 1, -1).astype(np.int8)[:, None]
    rows = RescoringRows(features, np.empty((groups[-1] + 1, 0), np.float32), groups, targets)
    nothing = LinearRescoring(torch.zeros(1, features.shape[1]), torch.zeros(1, 0), torch.zeros(1))
    return fit_rescoring(rows, nothing, device=device)


def _open_network(path: Path) -> tuple[RegionClassifier, Preprocessing]:
    """The trunk of a network under a classifier of one crop: background, or an object."""
    whole, preprocessing, _ = load_model(path)
    return RegionClassifier(whole.backbone, outputs=2).eval(), preprocessing


def _place(head: Tensors, network: RegionClassifier) -> None:
    """Make log-odds of an object the second output of a network, whose first is 0: a softmax is their sigmoid."""
    state = {
        "weight": torch.cat([torch.zeros_like(head["own"]), head["own"]]),
        "bias": torch.cat([torch.zeros_like(head["bias"]), head["bias"]]),
    }
    network.classifier.load_state_dict(state)
