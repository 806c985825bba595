"""Stages `pairs` and `boxes`: regressors from a region's features to its object's box (R-CNN, appendix C).

Differs from the paper: the features are the network's last map, averaged in a few cells (`boxes.grid`), where the
paper's network has pool5, a map of 6 x 6 cells.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from detector.config import FEATURE_NORM, BoxSettings, EngineSettings, RegionSettings
from detector.files import file_hash
from detector.inference.engine import make_engine
from detector.networks.backbones import backbone_facts
from detector.networks.heads import BoxHead, Cells, save_head
from detector.networks.weight_files.weights import load_model, weights_header
from detector.records import FIRST_LABEL, Array, Bool, Float32
from detector.runs.journal import Entry, Fields
from detector.runs.part_result import Tensors, run_parts
from detector.runs.stage import Stage
from detector.runs.store import Store
from detector.stages.region_features import NamedRows, feature_scale
from detector.stages.region_rows import FLOAT, HALF, Engine, engine_name, in_half, store_rows
from detector.stages.region_sets import LABEL, TrainingRegions
from detector.training.ridge import choose_ridge, fit_ridge, pairs

VERSION = 1
FITTED = 2  # the version of `run_boxes`
NO_BOXES = np.empty((0, 4), np.float32)


def run_pairs(
    stage: Stage,
    settings: BoxSettings,
    regions: TrainingRegions,
    chosen: Bool,
    model: Path,
    region: RegionSettings,
    engine: EngineSettings,
) -> Store:
    """The regions that overlap an object by `boxes.min_iou`, with their features, labels and objects.

    They are of the images in the mask `chosen` (n,).
    """
    dataset = regions.split.dataset
    channels = backbone_facts(weights_header(model).variant).channels
    cells: Fields = {"cells": (HALF, (channels * settings.grid**2,))}
    fields: Fields = {**cells, "labels": (LABEL, ()), "regions": (FLOAT, (4,)), "objects": (FLOAT, (4,))}

    def paired(position: int) -> tuple[Float32, Array, Array]:
        """The regions of an image, which of them are paired, and with which objects."""
        boxes = regions.boxes(position) if chosen[position] else NO_BOXES
        return boxes, *pairs(boxes, dataset.truth(position), settings.min_iou)

    def boxes_of(position: int) -> Float32:
        boxes, rows, _ = paired(position)
        return boxes[rows]

    def open_engine() -> Engine[NamedRows]:
        network, preprocessing, _ = load_model(model)
        return make_engine(Cells(network, settings.grid), preprocessing, region, engine).run

    def entry(position: int, found: NamedRows) -> Entry:
        boxes, rows, objects = paired(position)
        truth = dataset.truth(position)
        return {
            **in_half(found[1], cells),
            "labels": truth.labels[objects].astype(LABEL),
            "regions": boxes[rows],
            "objects": truth.boxes[objects],
        }

    reads = {**regions.reads, "chosen": np.flatnonzero(chosen), "min_iou": settings.min_iou, "grid": settings.grid}
    result = stage.result(VERSION, **reads, model=model, region=region, engine=engine_name(engine))
    return store_rows(
        result,
        regions.split,
        boxes_of,
        fields,
        open_engine,
        entry,
        engine,
        lambda store: {"images": int(chosen.sum()), "pairs": int(store.offsets[-1])},
    )


def run_boxes(
    stage: Stage, settings: BoxSettings, store: Store, names: tuple[str, ...], model: Path, output: Path
) -> Path:
    """Train a regressor for each class, called `names`, on the pairs in `store`; `output`, with their weights."""
    labels = store.field("labels")
    images = np.repeat(np.arange(len(store)), np.diff(store.offsets))
    scale = feature_scale(store.field("cells"), FEATURE_NORM)

    def fit(part: int) -> Tensors:
        rows = np.flatnonzero(labels == part + FIRST_LABEL)
        cells = torch.from_numpy(store.field("cells")[rows].astype(np.float32)).to(stage.group.device) * scale
        regions, objects = (np.array(store.field(name)[rows]) for name in ("regions", "objects"))
        chosen = settings.ridge or choose_ridge(cells, regions, objects, images[rows])
        weight, bias = fit_ridge(cells, regions, objects, chosen)
        return {"weight": weight.cpu() * scale, "bias": bias.cpu(), "ridge": torch.tensor(chosen)}

    def finish(path: Path, parts: list[Tensors]) -> dict[str, Any]:
        weight, bias = (torch.stack([part[name] for part in parts]) for name in ("weight", "bias"))
        head = BoxHead(weight, bias, settings.grid)
        save_head(path, head, classes=list(names), model=file_hash(model))
        ridges = [round(part["ridge"].item(), 3) for part in parts]
        return {"pairs": len(labels), "scale": scale, "ridges": dict(zip(names, ridges, strict=True))}

    result = stage.result(FITTED, pairs=store, ridge=settings.ridge)
    return run_parts(result, len(names), fit, output, finish)
