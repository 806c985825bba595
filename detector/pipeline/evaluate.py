"""Stage `evaluate`: the mAP of a split's detections by the run's protocol, and the report."""

import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

from detector.config import Config
from detector.data.dataset import Dataset
from detector.data.images import read_image
from detector.evaluation.pictures import best_detections, draw_detections, evenly_spread
from detector.evaluation.protocols import evaluate
from detector.evaluation.report import Picture, write_report
from detector.pipeline.inputs import evaluate_inputs
from detector.pipeline.run import RunFolder, Stage, environment_notes, file_hash
from detector.records import DetectionTable, Report

PICTURE_SIDE = 640  # pixels


def run_evaluate(
    stage: Stage, config: Config, dataset: Dataset, table: DetectionTable, model_path: Path, folder: Path
) -> Report | None:
    """The report of `table`, also written into `folder`; None and nothing written where there are no objects."""
    if not len(dataset.objects.labels):
        stage.run.log("no objects to evaluate against", data=dataset.name)
        return None
    report = evaluate(
        config.evaluate.protocol,
        dataset.objects,
        table,
        len(dataset),
        len(dataset.classes),
        dataset.blacklist,
    )
    inputs = evaluate_inputs(config, dataset, file_hash(model_path))
    if stage.is_done(inputs) and (folder / "index.html").is_file():
        return report
    stage.begin(inputs)
    write_report(
        folder,
        report,
        dataset.classes,
        pictures=draw_pictures(config, dataset, table),
        notes=_provenance(stage.run, config, dataset),
        html_name="index.html",
        title=f"Detection report: {config.name}",
    )
    stage.finish(inputs, protocol=report.protocol, mean_ap=report.mean_ap, report=str(folder))
    return report


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


def _provenance(run: RunFolder, config: Config, dataset: Dataset) -> dict[str, str]:
    """Where the report's numbers come from."""
    finetune = run.stage("finetune").facts()
    return {
        "Data": f"{dataset.name}: {len(dataset)} images, {len(dataset.objects.labels)} objects",
        "Notes on the data": "; ".join(dataset.notes) or "none",
        "Network": f"GoogLeNet {config.network.variant}, {finetune.get('steps', '?')} steps of fine-tuning",
        "Regions": f"selective search {config.proposals.mode}, crops of {config.region.crop_size} pixels",
        **environment_notes(),
        "Settings": json.dumps(config.model_dump(mode="json")),
    }
