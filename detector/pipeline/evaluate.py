"""Stage `evaluate`: the mAP of a split's detections by the run's protocol, and the report."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from detector.config import Config
from detector.data.dataset import Dataset
from detector.data.images import read_image
from detector.evaluation.metrics import decimal, finite
from detector.evaluation.pictures import best_detections, draw_detections, evenly_spread
from detector.evaluation.protocols import evaluate
from detector.evaluation.report import Picture, write_report
from detector.files import write_text
from detector.pipeline.distributed import Group
from detector.pipeline.inputs import evaluate_inputs
from detector.pipeline.run import RunFolder, Stage, environment_notes
from detector.records import DetectionTable, Report

PICTURE_SIDE = 640  # pixels

Reports = dict[str, Report]  # by method, the one that the run reports last


def run_evaluate(
    stage: Stage,
    config: Config,
    dataset: Dataset,
    tables: Mapping[str, DetectionTable],
    hashes: dict[str, str],
    folder: Path,
    group: Group,
) -> Reports | None:
    """The reports of `tables` by method, that of the last one written into `folder`; None without objects.

    Every process of the group evaluates, the first one writes.
    """
    if not len(dataset.objects.labels):
        if group.is_first:
            stage.run.log("no objects to evaluate against", data=dataset.name)
        return None
    reports = {method: _evaluate(config, dataset, table) for method, table in tables.items()}
    inputs = evaluate_inputs(config, dataset, hashes, tuple(tables))
    if not group.is_first or (stage.is_done(inputs) and (folder / "index.html").is_file()):
        return reports
    stage.begin(inputs)
    method, report = next(reversed(reports.items()))
    write_report(
        folder,
        report,
        dataset.classes,
        pictures=draw_pictures(config, dataset, tables[method]),
        notes=_provenance(stage.run, config, dataset, reports),
        html_name="index.html",
        title=f"Detection report: {config.name}",
    )
    write_text(folder / "methods.json", json.dumps(_mean_aps(reports), indent=1) + "\n")
    stage.finish(inputs, protocol=report.protocol, mean_ap=report.mean_ap, report=str(folder))
    return reports


def _evaluate(config: Config, dataset: Dataset, table: DetectionTable) -> Report:
    count, classes = len(dataset), len(dataset.classes)
    return evaluate(config.evaluate.protocol, dataset.objects, table, count, classes, dataset.blacklist)


def _mean_aps(reports: Reports) -> dict[str, float | None]:
    return {method: finite(report.mean_ap) for method, report in reports.items()}


def draw_pictures(config: Config, dataset: Dataset, table: DetectionTable) -> list[Picture]:
    """Test images that hold objects, spread evenly over the split, with their detections drawn."""
    pictures = []
    with_objects = np.unique(dataset.objects.image).tolist()
    chosen = evenly_spread(with_objects, config.evaluate.pictures)
    for position in tqdm(chosen, desc="draw", unit="image", leave=False):
        record, truth = dataset.record(position), dataset.truth(position)
        image = read_image(record.path, config.data.exif)
        found = best_detections(table, position, len(truth.labels))
        drawn = draw_detections(image, found, truth, dataset.classes.names, PICTURE_SIDE)
        pictures.append(Picture(record.image_id, drawn))
    return pictures


def _provenance(run: RunFolder, config: Config, dataset: Dataset, reports: Reports) -> dict[str, str]:
    """Where the report's numbers come from."""
    finetune = run.stage("finetune").facts()
    return {
        "Data": f"{dataset.name}: {len(dataset)} images, {len(dataset.objects.labels)} objects",
        "Notes on the data": "; ".join(dataset.notes) or "none",
        "Network": f"GoogLeNet {config.network.variant}, {finetune.get('steps', '?')} steps of fine-tuning",
        "Regions": f"{config.proposals.source}, crops of {config.region.crop_size} pixels",
        "Mean AP by method": ", ".join(f"{name} {decimal(value)}" for name, value in _mean_aps(reports).items()),
        **environment_notes(),
        "Settings": json.dumps(config.model_dump(mode="json")),
    }
