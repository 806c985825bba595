"""Stage `seen`: a network's features and probabilities of every whole image, for rescoring by context."""

from pathlib import Path

import numpy as np

from detector.config import ContextSettings, EngineSettings, NetworkSettings
from detector.errors import DataError
from detector.inference.image_context import Seen, WholeImages
from detector.networks.weight_files.weights import load_model, save_model, weights_header
from detector.runs.journal import Entry, Fields
from detector.runs.pretrained import weights_file
from detector.runs.processes import Group
from detector.runs.split import Split
from detector.runs.stage import Stage
from detector.runs.store import Store
from detector.stages.region_rows import FLOAT, Engine, engine_name, store_rows
from detector.stages.region_sets import ProposedRegions

VERSION = 1
IMAGENET_CLASSES = 1000


def run_image_features(
    stage: Stage, split: Split, proposals: Store, network: Path, engine: EngineSettings
) -> Store:
    """What the network makes of every image of a split; nothing of those without regions, unreadable or not."""
    header = weights_header(network)
    fields: Fields = {"features": (FLOAT, (header.width,)), "probs": (FLOAT, (header.outputs,))}
    boxes = ProposedRegions(proposals).boxes

    def open_engine() -> Engine[Seen]:
        return WholeImages(network, engine).see

    def entry(position: int, found: Seen) -> Entry:
        rows = slice(min(len(boxes(position)), 1))
        return {"features": found.features[None][rows], "probs": found.probs[None][rows]}

    readable = np.diff(proposals.offsets) > 0
    result = stage.result(
        VERSION, images=split.key, readable=readable, network=network, engine=engine_name(engine.in_floats)
    )
    return store_rows(
        result, split, boxes, fields, open_engine, entry, engine, lambda store: {"images": len(store)}
    )


def read_image_features(store: Store, position: int) -> Seen:
    """What the store holds of an image with regions."""
    found = store.read(position)
    return Seen(np.array(found["features"][0]), np.array(found["probs"][0]))


def image_weights(context: ContextSettings, network: NetworkSettings) -> Path | None:
    """The pretrained weights that see whole images; None where the region classifier itself does."""
    return context.weights or network.weights


def keep_image_network(weights: Path | None, output: Path, group: Group) -> None:
    """Copy pretrained weights into the run folder, whose detector then needs nothing else."""
    found = weights_file(weights)
    if found and group.is_first:
        network, preprocessing, _ = load_model(found)
        save_model(output, network, preprocessing)
    group.wait()


def check_image_network(context: ContextSettings, network: NetworkSettings) -> None:
    """Raise DataError for weights that cannot be read or do not give ImageNet's probabilities where asked to."""
    weights = weights_file(image_weights(context, network)) if context.is_used else None
    if weights is None:
        return
    outputs = load_model(weights)[0].classifier.out_features
    if "imagenet" in context.image and outputs != IMAGENET_CLASSES:
        raise DataError(f"context.weights must have 1,000 classes for imagenet, got {outputs} ({weights})")
