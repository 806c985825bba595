"""What each part of an ensemble and of its context is worth, and what it costs.

Every model scores every region once in every view; averages, rescorings and box voting are made of that.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from detector.config import Config
from detector.errors import DataError
from detector.evaluation.evaluator import evaluate
from detector.inference.ensemble import EnsembleEngine
from detector.inference.image_context import Context
from detector.inference.models import ModelFiles, load_models
from detector.inference.select import keep_best_of_each_class, select
from detector.jobs.ablation_table import Way, ablation_ways, join_tables, make_rows
from detector.jobs.trained_models import (
    calibrate_models,
    context_task,
    image_network,
    proposals_of,
    regions_of,
    trained_ensemble,
    trained_models,
)
from detector.records import Detections, Float64, table_of_detections
from detector.reports.ablation_report import AblationReport, write_ablation
from detector.runs.environment import environment_notes
from detector.runs.folder import RunFolder
from detector.runs.job import Job
from detector.runs.processes import Group, alone
from detector.runs.split import Split, open_split, split_slug
from detector.runs.store import Store
from detector.stages.context import (
    Examples,
    SeenImages,
    check_apart,
    context_rows,
    learn_rescoring,
    learned_features,
)
from detector.stages.image_features import (
    check_image_network,
    image_weights,
    keep_image_network,
    run_image_features,
)
from detector.stages.region_sets import ProposedRegions
from detector.stages.score_sources import apply_context, check_classes, check_region
from detector.stages.views import StoredViews, run_views

VOTING_IOU = 0.5  # arXiv 1505.01749
TIMED_REGIONS = 600  # about so many regions are scored to take the time of a row
TIMED_ROUNDS = 3


def run_ablation(
    run: RunFolder, config: Config, splits: Sequence[str], group: Group, timed_regions: int = TIMED_REGIONS
) -> AblationReport:
    """Evaluate one model, its views, more and more models, context and box voting on the images of `splits`.

    Mean AP is that over the classes with objects. Context is learned anew for each average, on `context.splits`.
    The report goes to `ablation_folder`.
    """
    testing = open_split(config.data, splits)
    dataset = testing.dataset
    if not len(dataset.objects.labels):
        raise DataError(f"{dataset.name} must have objects to tell what a detector's parts are worth, got none")
    job = Job(run, config, group)
    models = [model.by(config.method) for model in trained_models(job)]
    for model in models:
        check_classes(dataset, model.network)
    check_region(config.region, models[0].network)
    learned = _open_context(config)
    calibrate_models(job)
    config = config.model_copy(update={"ensemble": trained_ensemble(run, config)})
    job = Job(run, config, group)
    views = _score(job, testing, models)
    rescored = _Rescored(job, *learned, views, models) if learned else None
    judge = _Judge(config, views, rescored)
    ways = list(ablation_ways(views.views, rescored is not None))
    results = {way.name: judge.mean_aps(way) for way in tqdm(ways, "evaluate", unit="row", leave=False)}
    seconds = time_ways(config, views, models, ways, timed_regions)
    report = AblationReport(
        run.path.resolve().name,
        config.evaluate.protocol,
        make_rows(ways, results, seconds),
        f"the {len(models)} models",
        {
            "Data": f"{dataset.name}: {len(dataset)} images, {len(dataset.objects.labels)} objects",
            "Regions": f"{int(views.proposals.offsets[-1]):,}, scored by {config.method.name}",
            **environment_notes(),
        },
    )
    if group.is_first:
        write_ablation(ablation_folder(run, splits), report)
    return report


def ablation_folder(run: RunFolder, splits: Sequence[str]) -> Path:
    """Where the report of a run's ablation is."""
    return run.path / f"ablation_{split_slug(splits)}"


def check_alike(runs: Sequence[RunFolder], configs: Sequence[Config]) -> None:
    """Raise DataError unless all runs' ablations have the same rows, of the same data, by the same protocol."""
    first, *others = (_rows_text(run, config) for run, config in zip(runs, configs, strict=True))
    for run, other in zip(runs[1:], others, strict=True):
        if other != first:
            raise DataError(
                f"runs must be alike to be joined, got {other} ({run.path}) for {first} ({runs[0].path})"
            )


def _rows_text(run: RunFolder, config: Config) -> str:
    """What decides the rows of a run's ablation, and what they are of."""
    ensemble, region = config.ensemble, config.region
    parts = [
        f"{len(trained_models(Job(run, config, alone())))} models",
        f"data of {config.data.root}",
        f"padding {region.padding} of {region.crop_size}",
        *(f"further padding {padding}" for padding in ensemble.paddings),
        *(["mirrored"] if ensemble.mirror else []),
        *(["context"] if config.context.is_used else []),
        config.evaluate.protocol,
    ]
    return ", ".join(parts)


def join_ablations(reports: Sequence[AblationReport]) -> AblationReport:
    """One report of several runs that differ in their seeds, with standard errors over the runs."""
    return replace(
        reports[0],
        name=", ".join(report.name for report in reports),
        rows=join_tables([report.rows for report in reports]),
        over=f"{len(reports)} runs",
    )


def _open_context(config: Config) -> tuple[Split, Split] | None:
    """The training data and those held out, on which context is learned; None without it."""
    if not config.context.is_used:
        return None
    training, held_out = (open_split(config.data, names) for names in (config.data.train, config.context.splits))
    check_apart("context.splits", training.dataset, held_out.dataset)
    check_image_network(config.context, config.network)
    return training, held_out


def _score(job: Job[Config], split: Split, models: Sequence[ModelFiles]) -> StoredViews:
    regions = regions_of(job, split)
    return run_views(
        job.stage("views", split.name), split, regions, models, job.config.ensemble, job.config.engine
    )


class _Rescored:
    """Rescorings of averages of views, each learned on the run's held-out data."""

    def __init__(
        self, job: Job[Config], training: Split, held_out: Split, tested: StoredViews, models: Sequence[ModelFiles]
    ) -> None:
        config, self.job = job.config, job
        keep_image_network(image_weights(config.context, config.network), job.run.image_network_path, job.group)
        self.task = context_task(config)
        self.held_out = _score(job, held_out, models)
        self.seen_held_out = self._see(held_out, self.held_out.proposals)
        self.seen = self._see(tested.split, tested.proposals).seen
        trained_on = None
        if "classes" in config.context.image:
            trained_on = self._see(training, proposals_of(job, training))
        self.device = str(job.group.device)
        self.features = learned_features(self.task, trained_on, self.device)

    def learn(self, weights: Float64) -> Context:
        """The rescoring of the average with these weights (K,)."""
        sizes = self.held_out.split.dataset.sizes.tolist()
        entries = [
            context_rows(self.held_out.scores(position, weights), self.task, height, width)
            for position, (height, width) in enumerate(sizes)
        ]
        examples = Examples.of_entries(entries)
        return learn_rescoring(self.task, self.features, self.seen_held_out, examples, self.device)

    def _see(self, split: Split, regions: Store) -> SeenImages:
        stage, network = self.job.stage("seen", split.name), image_network(self.job)
        return SeenImages(
            split.dataset, run_image_features(stage, split, regions, network, self.job.config.engine)
        )


class _Judge:
    """Mean APs of averages over chosen views."""

    def __init__(self, config: Config, views: StoredViews, rescored: _Rescored | None) -> None:
        self.config = config
        self.views = views
        self.rescored = rescored

    def mean_aps(self, way: Way) -> list[float]:
        """The mean AP of each choice of views."""
        return [self._mean_ap(np.where(chosen, self.views.weights, 0.0), way) for chosen in way.choices]

    def _mean_ap(self, weights: Float64, way: Way) -> float:
        dataset, settings = self.views.split.dataset, self.config.detect
        context = self.rescored.learn(weights) if self.rescored and way.in_context else None
        found = [self._detect(position, weights, context, way.votes) for position in range(len(dataset))]
        table = keep_best_of_each_class(table_of_detections(found), settings.max_per_class)
        report = evaluate(
            self.config.evaluate.protocol,
            dataset.objects,
            table,
            len(dataset),
            len(dataset.classes),
            dataset.blacklist,
        )
        return report.mean_ap_with_objects

    def _detect(self, position: int, weights: Float64, context: Context | None, votes: bool) -> Detections:
        scores = self.views.scores(position, weights)
        by_svm = self.config.method.by_svm and context is None
        if context and self.rescored:
            scores = apply_context(context, scores, self.rescored.seen, self.views.split.dataset, position)
        settings = self.config.detect
        if votes:
            settings = settings.model_copy(update={"voting_iou": VOTING_IOU})
        return select(scores, settings.lowest_score(by_svm), settings)


def time_ways(
    config: Config, views: StoredViews, files: Sequence[ModelFiles], ways: Sequence[Way], timed_regions: int
) -> dict[int, tuple[float, int]]:
    """By the number of forward passes the least seconds that some images took, and how many regions they have.

    Decoding and warping count. The numbers take turns, so that what else the machine does falls on all alike.
    """
    counts = np.cumsum(np.diff(views.proposals.offsets))
    images = range(int(np.searchsorted(counts, min(timed_regions, counts[-1]))) + 1)
    chosen = {int(way.choices[0].sum()): way.choices[0] for way in ways}
    models = [model for _, model in load_models(files, config.ensemble)]
    runs: dict[int, Callable[[], int]] = {}
    for passes, mask in chosen.items():
        engine = EnsembleEngine([model for model, used in zip(models, mask, strict=True) if used], config.engine)
        runs[passes] = _timed_run(views, engine, images)
    best: dict[int, tuple[float, int]] = {}
    for _ in tqdm(range(TIMED_ROUNDS), "time", unit="round", leave=False):
        for passes, score in runs.items():
            started = time.perf_counter()
            regions = score()
            took = time.perf_counter() - started
            best[passes] = min(best.get(passes, (took, regions)), (took, regions))
    return best


def _timed_run(views: StoredViews, engine: EnsembleEngine, images: range) -> Callable[[], int]:
    """What scores some images and says how many regions they have."""
    boxes = ProposedRegions(views.proposals).boxes

    def score() -> int:
        found = engine.score(views.split.load(boxes, images, workers=1))
        return sum(len(each.scores) for each in found)

    return score
