"""What each part of an ensemble and of its context is worth, and what it costs.

Every model scores every region once in every view; averages, rescorings and box voting are made of that.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from detector.config import Config, reported_method
from detector.data.dataset import Dataset
from detector.data.readers import open_dataset
from detector.errors import DataError
from detector.evaluation.protocols import evaluate
from detector.inference.ensemble import EnsembleEngine
from detector.inference.image_context import Context
from detector.inference.models import ModelFiles, load_models, lowest_score
from detector.inference.select import keep_best_of_each_class, select
from detector.jobs.ablation_table import Way, ablation_ways, join_tables, make_rows
from detector.jobs.train_detector import trained_detectors
from detector.records import Detections, Float64, table_of_detections
from detector.reports.ablation_report import AblationReport, write_ablation
from detector.runs.folder import RunFolder, environment_notes, split_slug
from detector.runs.processes import Group
from detector.runs.store import Store
from detector.stages.calibrate import calibrate_members
from detector.stages.context import (
    check_apart,
    check_image_network,
    image_network,
    keep_image_network,
    make_features,
    run_seen,
)
from detector.stages.ensemble_weights import fitted_ensemble
from detector.stages.learn_context import Examples, apply_context, context_rows, learn_rescoring
from detector.stages.propose import run_propose
from detector.stages.region_cut import run_regions
from detector.stages.region_sets import ProposedRegions, load_regions
from detector.stages.score_sources import check_classes, check_region
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
    dataset = open_dataset(config.data, splits)
    if not len(dataset.objects.labels):
        raise DataError(f"{dataset.name} must have objects to tell what a detector's parts are worth, got none")
    detectors = [files.by(reported_method(config)) for files in trained_detectors(run, config)]
    for files in detectors:
        check_classes(dataset, files.network)
    check_region(config, detectors[0].network)
    learned = _open_context(config)
    calibrate_members(run, config, group)
    config = config.model_copy(update={"ensemble": fitted_ensemble(run, config.ensemble)})
    views = _score(run, config, dataset, splits, detectors, group)
    rescored = _Rescored(run, config, *learned, views, splits, detectors, group) if learned else None
    judge = _Judge(config, views, rescored)
    ways = list(ablation_ways(views.views, rescored is not None))
    results = {way.name: judge.mean_aps(way) for way in tqdm(ways, "evaluate", unit="row", leave=False)}
    seconds = time_ways(config, dataset, views.proposals, detectors, ways, timed_regions)
    rows = make_rows(ways, results, seconds)
    report = AblationReport(
        run.path.resolve().name,
        config.evaluate.protocol,
        rows,
        f"the {len(detectors)} models",
        {
            "Data": f"{dataset.name}: {len(dataset)} images, {len(dataset.objects.labels)} objects",
            "Regions": f"{int(views.proposals.offsets[-1]):,}, scored by {reported_method(config)}",
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
        f"{len(trained_detectors(run, config))} models",
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


def _open_context(config: Config) -> tuple[Dataset, Dataset] | None:
    """The training data and those held out, on which context is learned; None without it."""
    if not config.context.is_used:
        return None
    training, held_out = (open_dataset(config.data, names) for names in (config.data.train, config.context.splits))
    check_apart("context.splits", training, held_out)
    check_image_network(config)
    return training, held_out


def _score(
    run: RunFolder,
    config: Config,
    dataset: Dataset,
    splits: Sequence[str],
    detectors: list[ModelFiles],
    group: Group,
) -> StoredViews:
    slug = split_slug(splits)
    proposals = run_regions(run, config, dataset, slug, group)
    return run_views(run.stage("views", slug), config, dataset, proposals, detectors, group)


class _Rescored:
    """Rescorings of averages of views, each learned on the run's held-out data."""

    def __init__(
        self,
        run: RunFolder,
        config: Config,
        training: Dataset,
        held_out: Dataset,
        tested: StoredViews,
        splits: Sequence[str],
        detectors: list[ModelFiles],
        group: Group,
    ) -> None:
        keep_image_network(run, config, group)
        network = image_network(run, config)

        def see(dataset: Dataset, proposals: Store, names: Sequence[str]) -> Store:
            return run_seen(run.stage("seen", split_slug(names)), config, dataset, proposals, network, group)

        self.held_out = _score(run, config, held_out, config.context.splits, detectors, group)
        seen_held_out = see(held_out, self.held_out.proposals, config.context.splits)
        self.seen = see(tested.dataset, tested.proposals, splits)
        trained_on = None
        if "classes" in config.context.image:
            names = config.data.train
            proposals = run_propose(run.stage("propose", split_slug(names)), config, training, group)
            trained_on = see(training, proposals, names)
        by_svm, device = reported_method(config).startswith("svm"), str(group.device)
        features = make_features(config, by_svm, training, trained_on, device)
        self.learn_from = partial(learn_rescoring, config, features, held_out, seen=seen_held_out, device=device)
        self.rows = partial(context_rows, features=features, config=config)

    def learn(self, weights: Float64) -> Context:
        """The rescoring of the average with these weights (K,)."""
        sizes = self.held_out.dataset.sizes.tolist()
        entries = [
            self.rows(self.held_out.scores(position, weights), height=height, width=width)
            for position, (height, width) in enumerate(sizes)
        ]
        return self.learn_from(examples=Examples.of_entries(entries))


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
        dataset, settings = self.views.dataset, self.config.detect
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
        by_svm = reported_method(self.config).startswith("svm") and context is None
        if context and self.rescored:
            scores = apply_context(context, scores, self.rescored.seen, self.views.dataset, position)
        settings = self.config.detect
        if votes:
            settings = settings.model_copy(update={"voting_iou": VOTING_IOU})
        return select(scores, lowest_score(self.config, by_svm), settings)


def time_ways(
    config: Config,
    dataset: Dataset,
    proposals: Store,
    detectors: list[ModelFiles],
    ways: Sequence[Way],
    timed_regions: int,
) -> dict[int, tuple[float, int]]:
    """By the number of forward passes the least seconds that some images took, and how many regions they have.

    Decoding and warping count. The numbers take turns, so that what else the machine does falls on all alike.
    """
    counts = np.cumsum(np.diff(proposals.offsets))
    images = range(int(np.searchsorted(counts, min(timed_regions, counts[-1]))) + 1)
    chosen = {int(way.choices[0].sum()): way.choices[0] for way in ways}
    models = [model for _, model in load_models(detectors, config.ensemble)]
    runs: dict[int, Callable[[], int]] = {}
    for passes, mask in chosen.items():
        engine = EnsembleEngine([model for model, used in zip(models, mask, strict=True) if used], config.engine)
        runs[passes] = _timed_run(config, dataset, proposals, engine, images)
    best: dict[int, tuple[float, int]] = {}
    for _ in tqdm(range(TIMED_ROUNDS), "time", unit="round", leave=False):
        for passes, score in runs.items():
            started = time.perf_counter()
            regions = score()
            took = time.perf_counter() - started
            best[passes] = min(best.get(passes, (took, regions)), (took, regions))
    return best


def _timed_run(
    config: Config, dataset: Dataset, proposals: Store, engine: EnsembleEngine, images: range
) -> Callable[[], int]:
    """What scores some images and says how many regions they have."""
    boxes = ProposedRegions(proposals).boxes

    def score() -> int:
        found = engine.score(load_regions(config, dataset, boxes, images, workers=1))
        return sum(len(each.scores) for each in found)

    return score
