"""Stage `evaluate`: the mAP of a split's detections by the run's protocol, and the report."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from detector.config import Config, dump_config
from detector.data.dataset import Dataset
from detector.data.images import read_image
from detector.errors import DataError
from detector.evaluation.metrics import finite
from detector.evaluation.outcomes import MatchedDetections
from detector.evaluation.recall import CURVE_BUDGETS, Coverage, counted_objects, measure_coverage
from detector.evaluation.thresholds import ScoreThresholds
from detector.files import write_text
from detector.records import DetectionTable, Report
from detector.reports.detection.analysis import Analysis, Case, analyse
from detector.reports.detection.picture_choice import Picture, choose_images, count_images, draw_image
from detector.reports.detection.report import DetectionReport
from detector.reports.detection.to_json import PROPOSAL_BUDGETS
from detector.reports.detection.write import write_report
from detector.runs.folder import RunFolder, Stage, environment_notes
from detector.runs.history import stage_seconds, training_logs
from detector.runs.processes import Group
from detector.runs.store import Store, read_proposals
from detector.stages.inputs import evaluate_inputs

REPORT_FILES = ("metrics.json", "report.md", "index.html", "methods.json")

Reports = dict[str, Report]  # by method, the one that the run reports last


def run_evaluate(
    stage: Stage,
    config: Config,
    dataset: Dataset,
    regions: Store,
    tables: Mapping[str, DetectionTable],
    hashes: dict[str, str],
    folder: Path,
    group: Group,
) -> Reports | None:
    """The reports of `tables` by method, that of the last one written into `folder`; None without objects.

    The detections are of `regions`, whose recall the report states.
    Every process of the group evaluates, the first one writes.
    """
    if not len(dataset.objects.labels):
        if group.is_first:
            stage.run.log("no objects to evaluate against", data=dataset.name)
        return None
    cases = {method: detection_case(dataset, table) for method, table in tables.items()}
    reports = {method: case.evaluate(config.evaluate.protocol) for method, case in cases.items()}
    inputs = evaluate_inputs(config, dataset, regions, hashes, tuple(tables))
    are_there = all((folder / name).is_file() for name in REPORT_FILES)
    if not group.is_first or (stage.is_done(inputs) and are_there):
        return reports
    stage.begin(inputs)
    method, report = next(reversed(reports.items()))
    analysis = analyse(cases[method], report, np.random.default_rng(config.seed))
    content = DetectionReport(
        title=f"Detection report: {config.name}",
        case=cases[method],
        ids=range(1, len(dataset.classes) + 1),
        analysis=analysis,
        methods=reports,
        proposals=_coverage(dataset, regions),
        training=training_logs(stage.run),
        pictures=draw_pictures(config, dataset, analysis),
        seconds=stage_seconds(stage.run),
        notes=_provenance(stage.run, config, dataset),
        settings=dump_config(config),
    )
    write_report(folder, content)
    mean_aps = {method: finite(report.mean_ap) for method, report in reports.items()}
    write_text(folder / "methods.json", json.dumps(mean_aps, indent=1) + "\n")
    stage.finish(inputs, protocol=report.protocol, mean_ap=report.mean_ap, report=str(folder))
    return reports


def detection_case(dataset: Dataset, table: DetectionTable) -> Case:
    """The detections `table` of `dataset`, to be evaluated."""
    return Case(dataset.classes, len(dataset), dataset.objects, table, dataset.blacklist)


def draw_pictures(config: Config, dataset: Dataset, analysis: Analysis) -> dict[str, list[Picture]]:
    """The best, the worst and some other test images, drawn; those that cannot be read are left out."""
    counts = count_images(analysis.matched, analysis.thresholds)
    random = np.random.default_rng(config.seed)
    chosen = choose_images(counts, range(len(dataset)), config.evaluate.pictures, random)
    with tqdm(total=sum(map(len, chosen.values())), desc="draw", unit="image", leave=False) as progress:

        def draw(position: int) -> Picture | None:
            progress.update()
            found = draw_position(config, dataset, analysis.matched, analysis.thresholds, position)
            return found and Picture(f"{dataset.image_ids[position]}: {counts.text(position)}", found.image)

        drawn = {heading: list(filter(None, map(draw, positions))) for heading, positions in chosen.items()}
        return {heading: pictures for heading, pictures in drawn.items() if pictures}


def draw_position(
    config: Config, dataset: Dataset, matched: MatchedDetections, thresholds: ScoreThresholds, position: int
) -> Picture | None:
    """The image at `position` with its objects and the detections that reach the thresholds, called by its id.

    None where it cannot be read any more, which is noted: the numbers of a report stand without its pictures.
    """
    try:
        image = read_image(dataset.record(position).path, config.data.exif)
    except DataError as error:
        tqdm.write(f"not drawn: {error}", file=sys.stderr)
        return None
    drawn = draw_image(image, matched, thresholds, position, dataset.classes.names)
    return Picture(str(dataset.image_ids[position]), drawn)


def _coverage(dataset: Dataset, regions: Store) -> Coverage:
    """How the regions cover the objects."""
    positions = tqdm(range(len(dataset)), desc="recall", unit="image", leave=False)
    boxes = (read_proposals(regions, position).boxes for position in positions)
    return measure_coverage(
        counted_objects(dataset.objects, dataset.blacklist), boxes, [*CURVE_BUDGETS, *PROPOSAL_BUDGETS]
    )


def _provenance(run: RunFolder, config: Config, dataset: Dataset) -> dict[str, str]:
    """Where the report's numbers come from."""
    finetune = run.stage("finetune").facts()
    return {
        "Data": f"{dataset.name}: {len(dataset)} images, {len(dataset.objects.labels)} objects",
        "Notes on the data": "; ".join(dataset.notes) or "none",
        "Network": f"GoogLeNet {config.network.variant}, {finetune.get('steps', '?')} steps of fine-tuning",
        "Regions": f"{_regions_text(config)}, crops of {config.region.crop_size} pixels",
        **environment_notes(),
    }


def _regions_text(config: Config) -> str:
    """Where the regions come from."""
    source, cascade = config.proposals.source, config.cascade
    return f"{source}, the best {cascade.keep} of an image by the cascade" if cascade.is_used else source
