"""Stages `pairs` and `boxes`: regressors from a region's features to its object's box (R-CNN, appendix C).

Differs from the paper: the features are the last map of GoogLeNet, averaged in a few cells (`boxes.grid`), where
the paper's network has pool5, a map of 6 x 6 cells.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detector.config import FEATURE_NORM, Config
from detector.files import file_hash
from detector.inference.engine import make_engine
from detector.networks.backbones.googlenet import FEATURES
from detector.networks.heads import BoxHead, Cells, save_head
from detector.networks.weight_files.weights import load_model
from detector.parallel import ordered_map
from detector.records import FIRST_LABEL, Bool, Float32, Image
from detector.runs.folder import Stage
from detector.runs.journal import Entry, Fields
from detector.runs.part_stage import Tensors, run_parts
from detector.runs.processes import Group
from detector.runs.store import Store
from detector.runs.store_stage import Make, run_stored_stage
from detector.stages.inputs import feature_inputs, truth_hash
from detector.stages.region_features import HALF, feature_scale, half_entry
from detector.stages.region_sets import LABEL, TrainingRegions, read_image_at
from detector.training.ridge import fit_ridge, pairs

FLOAT = np.dtype(np.float32)


def run_boxes(
    pairs_stage: Stage,
    stage: Stage,
    config: Config,
    regions: TrainingRegions,
    chosen: Bool,
    model_path: Path,
    group: Group,
) -> Path:
    """Train a regressor a class on regions of the images in the mask `chosen` (n,); the path of their weights."""
    store = _run_pairs(pairs_stage, config, regions, chosen, model_path, group)
    classes = len(regions.dataset.classes)
    labels = store.field("labels")
    scale = feature_scale(store.field("cells"), FEATURE_NORM)
    output = stage.run.boxes_path

    def fit(part: int) -> Tensors:
        rows = np.flatnonzero(labels == part + FIRST_LABEL)
        cells = torch.from_numpy(store.field("cells")[rows].astype(np.float32)).to(group.device) * scale
        weight, bias = fit_ridge(
            cells, store.field("regions")[rows], store.field("objects")[rows], config.boxes.ridge
        )
        return {"weight": weight.cpu() * scale, "bias": bias.cpu()}

    def finish(parts: list[Tensors]) -> dict[str, Any]:
        head = BoxHead(*(torch.stack([part[name] for part in parts]) for name in ("weight", "bias")))
        save_head(output, head, classes=list(regions.dataset.classes.names), model=file_hash(model_path))
        return {"pairs": len(labels), "scale": scale}

    inputs = {**_inputs(config, regions, chosen, model_path), "ridge": config.boxes.ridge}
    return run_parts(stage, inputs, classes, group, fit, output, finish)


def _inputs(config: Config, regions: TrainingRegions, chosen: Bool, model_path: Path) -> dict[str, Any]:
    return {
        **feature_inputs(config, regions.dataset, regions.proposals, file_hash(model_path)),
        "truth": truth_hash(regions.dataset),
        "chosen": np.flatnonzero(chosen).tolist(),
        "min_iou": config.boxes.min_iou,
        "grid": config.boxes.grid,
    }


def _run_pairs(
    stage: Stage, config: Config, regions: TrainingRegions, chosen: Bool, model_path: Path, group: Group
) -> Store:
    """The regions that overlap an object by `boxes.min_iou`, with their features, labels and objects."""
    dataset = regions.dataset
    fields: Fields = {
        "cells": (HALF, (FEATURES * config.boxes.grid**2,)),
        "labels": (LABEL, ()),
        "regions": (FLOAT, (4,)),
        "objects": (FLOAT, (4,)),
    }

    def prepare() -> Make:
        network, preprocessing, _ = load_model(model_path)
        engine = make_engine(Cells(network, config.boxes.grid), preprocessing, config.region, config.engine)
        workers = group.workers(config.engine.workers)

        def load(position: int) -> tuple[Image, Entry]:
            entry = paired(position)
            if not len(entry["labels"]):
                return np.zeros((1, 1, 3), np.uint8), entry
            return read_image_at(dataset, config.data.exif, position), entry

        def paired(position: int) -> dict[str, Any]:
            boxes = regions.boxes(position) if chosen[position] else np.empty((0, 4), np.float32)
            truth = dataset.truth(position)
            rows, objects = pairs(boxes, truth, config.boxes.min_iou)
            return {
                "labels": truth.labels[objects].astype(LABEL),
                "regions": boxes[rows],
                "objects": truth.boxes[objects],
            }

        def make(positions: range) -> Iterator[Entry]:
            entries: list[Entry] = []

            def images() -> Iterator[tuple[Image, Float32]]:
                for image, entry in ordered_map(load, positions, workers):
                    entries.append(entry)
                    yield image, entry["regions"]

            cells: Fields = {"cells": fields["cells"]}
            for _, found in engine.run(images()):
                yield {**half_entry(found, cells), **entries.pop(0)}

        return make

    def facts(store: Store) -> dict[str, Any]:
        return {"images": int(chosen.sum()), "pairs": int(store.offsets[-1])}

    inputs = _inputs(config, regions, chosen, model_path)
    return run_stored_stage(stage, inputs, fields, len(dataset), group, prepare, facts)
