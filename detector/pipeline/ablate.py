"""What each part of an ensemble is worth: every model scores every region once, and the averages are evaluated."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from detector.config import Config, DetectSettings, reported_method
from detector.data.dataset import Dataset
from detector.data.journal import Entry, Fields
from detector.data.readers import open_dataset
from detector.data.stores import Store, read_proposals
from detector.evaluation.metrics import decimal
from detector.evaluation.protocols import evaluate
from detector.files import write_text
from detector.inference.ensemble import EnsembleEngine, Model, Views, average, class_scores
from detector.inference.models import View, load_models
from detector.inference.select import keep_best_of_each_class, select
from detector.pipeline.distributed import Group
from detector.pipeline.inputs import detect_inputs
from detector.pipeline.propose import run_propose
from detector.pipeline.regions import ProposedRegions, load_regions
from detector.pipeline.run import RunFolder, Stage
from detector.pipeline.scores import FromImages, check_classes
from detector.pipeline.stored import Make, run_stored_stage
from detector.pipeline.train import split_slug, trained_detectors
from detector.records import Bool, Detections, Float64, Int64, table_of_detections

VOTING_IOU = 0.5  # arXiv 1505.01749

Models = Sequence[tuple[View, Model]]


@dataclass(frozen=True)
class Row:
    """One line of the table: mean AP (of several choices of models the mean and its standard error), and its cost.

    `passes` are the forward passes of a region, one a model and view.
    """

    name: str
    mean_ap: float
    standard_error: float | None
    change: float
    passes: int


def run_ablation(run: RunFolder, config: Config, splits: Sequence[str], group: Group) -> list[Row]:
    """Evaluate one model, its views, ensembles of more and more models, and box voting on the images of `splits`.

    The table goes to `ablation_SPLIT/` in the run folder.
    """
    dataset = open_dataset(config.data, splits)
    slug = split_slug(splits)
    proposals = run_propose(run.stage("propose", slug), config, dataset, group)
    detectors = [detector.by(reported_method(config)) for detector in trained_detectors(run, config)]
    for detector in detectors:
        check_classes(dataset, detector.network)
    source = FromImages(detectors, config.ensemble)
    models = load_models(detectors, config.ensemble)
    store = _run_views(run.stage("views", slug), config, dataset, proposals, source.inputs(), models, group)
    judge = _Judge(config, dataset, proposals, store, models)
    rows = list(_rows(judge, [view for view, _ in models], len(detectors), config.detect))
    if group.is_first:
        folder = run.path / f"ablation_{slug}"
        write_text(folder / "ablation.json", json.dumps([asdict(row) for row in rows], indent=1) + "\n")
        write_text(folder / "ablation.md", ablation_text(rows))
    return rows


def ablation_text(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| | mean AP | change | forward passes a region |", "|---|---:|---:|---:|"]
    for row in rows:
        error = "" if row.standard_error is None else f" ± {row.standard_error:.4f}"
        lines.append(f"| {row.name} | {decimal(row.mean_ap)}{error} | {row.change:+.4f} | {row.passes} |")
    return "\n".join(lines) + "\n"


def _run_views(
    stage: Stage,
    config: Config,
    dataset: Dataset,
    proposals: Store,
    source_inputs: dict[str, Any],
    models: Models,
    group: Group,
) -> Store:
    """What every model says of every region in each of its views."""
    classes = len(dataset.classes)
    fields: Fields = {
        "scores": (np.dtype(np.float32), (len(models), classes)),
        "moves": (np.dtype(np.float16), (len(_moving(models)), classes, 4)),
    }

    def prepare() -> Make:
        engine = EnsembleEngine([model for _, model in models], config.engine)
        boxes = ProposedRegions(proposals).boxes
        workers = group.workers(config.engine.workers)

        def make(positions: range) -> Iterator[Entry]:
            for found in engine.views(load_regions(config, dataset, boxes, positions, workers)):
                yield {"scores": found.scores, "moves": found.moves.astype(np.float16)}

        return make

    def facts(found: Store) -> dict[str, Any]:
        return {"images": len(found), "regions": int(found.offsets[-1]), "views": len(models)}

    inputs = detect_inputs(config, dataset, source_inputs)
    return run_stored_stage(stage, inputs, fields, len(dataset), group, prepare, facts)


def _moving(models: Models) -> Int64:
    """The views (M,) that have box regressors."""
    return np.array([k for k, (_, model) in enumerate(models) if model.member.boxes is not None], np.int64)


class _Judge:
    """Mean APs of averages over chosen views."""

    def __init__(self, config: Config, dataset: Dataset, proposals: Store, store: Store, models: Models) -> None:
        self.config = config
        self.dataset = dataset
        self.proposals = proposals
        self.store = store
        self.moving = _moving(models)
        self.weights = np.array([model.weight for _, model in models], np.float64)

    def mean_ap(self, chosen: Bool, settings: DetectSettings) -> float:
        """The mean AP of the average of the views in the mask `chosen` (K,)."""
        weights = np.where(chosen, self.weights, 0.0)
        found = [self._detect(position, weights, settings) for position in range(len(self.dataset))]
        table = keep_best_of_each_class(table_of_detections(found), settings.max_per_class)
        dataset = self.dataset
        report = evaluate(
            self.config.evaluate.protocol,
            dataset.objects,
            table,
            len(dataset),
            len(dataset.classes),
            dataset.blacklist,
        )
        return report.mean_ap

    def _detect(self, position: int, weights: Float64, settings: DetectSettings) -> Detections:
        boxes = np.array(read_proposals(self.proposals, position).boxes)
        stored = self.store.read(position)
        views = Views(boxes, stored["scores"], stored["moves"].astype(np.float32), self.moving)
        scores = class_scores(average(views, weights), *self.dataset.sizes[position].tolist())
        is_svm = reported_method(self.config).startswith("svm")
        return select(scores, settings.min_svm_score if is_svm else settings.min_score, settings)


def _rows(judge: _Judge, views: Sequence[View], models: int, settings: DetectSettings) -> Iterator[Row]:
    number = np.array([view.detector for view in views])
    plain = np.array([view.is_own and not view.mirrored for view in views])
    sides = np.array([view.is_own for view in views])
    everything = np.ones(len(views), np.bool_)
    single = _mean_row("one model", judge, [plain & (number == k) for k in range(models)], settings, None)
    yield single
    if (sides != plain).any():
        choices = [sides & (number == k) for k in range(models)]
        yield _mean_row("one model, mirrored too", judge, choices, settings, single)
    if (sides != everything).any():
        yield _mean_row("one model, all views", judge, [number == k for k in range(models)], settings, single)
    for count in range(2, models + 1):
        yield _mean_row(f"{count} models", judge, [plain & (number < count)], settings, single)
    if (plain != everything).any() and models > 1:
        yield _mean_row(f"{models} models, all views", judge, [everything], settings, single)
    voting = settings.model_copy(update={"voting_iou": VOTING_IOU})
    yield _mean_row("one model, box voting", judge, [plain & (number == k) for k in range(models)], voting, single)
    if len(views) > 1:
        yield _mean_row("everything, box voting", judge, [everything], voting, single)


def _mean_row(
    name: str, judge: _Judge, choices: Sequence[Bool], settings: DetectSettings, single: Row | None
) -> Row:
    found = [judge.mean_ap(chosen, settings) for chosen in tqdm(choices, desc=name, leave=False)]
    mean = float(np.mean(found))
    error = float(np.std(found, ddof=1) / len(found) ** 0.5) if len(found) > 1 else None
    return Row(name, mean, error, mean - (single.mean_ap if single else mean), int(choices[0].sum()))
