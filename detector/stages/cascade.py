"""Stages `cascade_rows` and `cascade`: a cheap classifier of regions, an object of any class or background.

It is a network as it stands, on small crops, and a logistic regression of its features, learned on labelled
regions of the training split. All other training sees all regions; stage `filter` drops those of other splits.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detector.config import Config, RegionSettings
from detector.errors import DataError
from detector.files import file_hash
from detector.inference.engine import CropEngine
from detector.networks.backbones.googlenet import FEATURES
from detector.networks.context_maps import LinearRescoring
from detector.networks.heads import FeaturesAndMoves
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import Preprocessing
from detector.networks.weight_files.weights import load_model, save_model
from detector.records import BACKGROUND, Array, Float32, Int64
from detector.runs.folder import RunFolder, Stage
from detector.runs.journal import Entry, Fields
from detector.runs.part_stage import Tensors, run_parts
from detector.runs.pretrained import weights_file
from detector.runs.processes import Group
from detector.runs.store import Store
from detector.runs.store_stage import Make, run_stored_stage
from detector.stages.inputs import engine_name, label_inputs
from detector.stages.label import LabelledRegions
from detector.stages.region_features import HALF, choose_images, half_entry
from detector.stages.region_sets import LABEL, TrainingRegions, load_regions
from detector.training.context_fit import FittedRescoring, RescoringRows, fit_rescoring
from detector.training.sample import draw_regions

OBJECT = "object"  # the only class
NO_ROWS = np.empty(0, np.int64)

Labelled = LabelledRegions[TrainingRegions]


def run_cascade(run: RunFolder, config: Config, labelled: Labelled, group: Group) -> Path:
    """Learn the cheap classifier; the path of its file, which holds the network too."""
    network_path, region = cascade_network(run, config), small_region(config)
    rows = _run_rows(run.stage("cascade_rows"), config, labelled, network_path, group)
    labels = np.array(rows.field("labels"))
    images = np.repeat(np.arange(len(rows)), np.diff(rows.offsets))
    output = run.cascade_path

    def learn(_: int) -> Tensors:
        features = np.array(rows.field("features"), np.float32)
        return learn_objects(features, labels, images, str(group.device)).linear.state_dict()

    def finish(parts: list[Tensors]) -> dict[str, Any]:
        network, preprocessing = _open_network(network_path)
        _place(parts[0], network)
        save_model(output, network, preprocessing, classes=[OBJECT], region=region.model_dump())
        return {"regions": len(labels), "objects": int((labels > BACKGROUND).sum())}

    return run_parts(run.stage("cascade"), {"rows": rows.key}, 1, group, learn, output, finish)


def cascade_network(run: RunFolder, config: Config) -> Path:
    """The file of the network that looks at all regions."""
    return weights_file(config.cascade.weights or config.network.weights) or run.model_path


def check_cascade(config: Config) -> None:
    """Raise DataError where weights of the cascade's own cannot be read."""
    weights = weights_file(config.cascade.weights) if config.cascade.is_used else None
    if weights:
        load_model(weights)


def small_region(config: Config) -> RegionSettings:
    """How that network sees a region: as the detector does with one crop, but smaller."""
    region, size = config.region, config.cascade.crop_size
    padding = region.padding * size // region.crop_size
    return RegionSettings(crop_size=size, padding=padding, fill=region.fill)


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


def _run_rows(stage: Stage, config: Config, labelled: Labelled, network_path: Path, group: Group) -> Store:
    """Some regions of some images: what the network makes of them, and their labels."""
    dataset, region = labelled.regions.dataset, small_region(config)
    chosen = choose_images(np.diff(labelled.labels.offsets) > 0, config.cascade.images, config.seed)
    fields: Fields = {"features": (HALF, (FEATURES,)), "labels": (LABEL, ())}
    features: Fields = {"features": fields["features"]}

    def drawn(position: int) -> Int64:
        return draw_regions(labels_of(position), position) if chosen[position] else NO_ROWS

    def labels_of(position: int) -> Array:
        return labelled.labels.read(position)["labels"]

    def prepare() -> Make:
        network, preprocessing = _open_network(network_path)
        engine = CropEngine(FeaturesAndMoves(network, None), preprocessing, region, config.engine.in_floats)
        workers = group.workers(config.engine.workers)

        def boxes(position: int) -> Float32:
            return labelled.regions.boxes(position)[drawn(position)]

        def make(positions: range) -> Iterator[Entry]:
            images = load_regions(config, dataset, boxes, positions, workers)
            for position, (_, found) in zip(positions, engine.run(images), strict=True):
                yield {**half_entry(found, features), "labels": labels_of(position)[drawn(position)]}

        return make

    def facts(found: Store) -> dict[str, Any]:
        return {"images": int(chosen.sum()), "regions": int(found.offsets[-1])}

    inputs = {
        "labels": label_inputs(config, dataset),
        "images": config.cascade.images,
        "seed": config.seed,
        "network": file_hash(network_path),
        "region": region.model_dump(),
        "engine": engine_name(config.engine.in_floats),
    }
    return run_stored_stage(stage, inputs, fields, len(dataset), group, prepare, facts)


def _open_network(path: Path) -> tuple[RegionClassifier, Preprocessing]:
    """The trunk of a network under a classifier of one crop: background, or an object."""
    whole, preprocessing, _ = load_model(path)
    network = RegionClassifier(whole.backbone.variant, outputs=2)
    network.backbone = whole.backbone
    return network.eval(), preprocessing


def _place(head: Tensors, network: RegionClassifier) -> None:
    """Make log-odds of an object the second output of a network, whose first is 0: a softmax is their sigmoid."""
    state = {
        "weight": torch.cat([torch.zeros_like(head["own"]), head["own"]]),
        "bias": torch.cat([torch.zeros_like(head["bias"]), head["bias"]]),
    }
    network.classifier.load_state_dict(state)
