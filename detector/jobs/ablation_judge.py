"""Mean AP and cost of averages over views, with and without context and box voting."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from detector.config import Config, DetectSettings
from detector.evaluation.evaluator import evaluate
from detector.inference.ensemble import EnsembleEngine
from detector.inference.image_context import Context, Features
from detector.inference.models import ModelFiles, load_models
from detector.inference.select import keep_best_of_each_class, select
from detector.jobs.ablation_table import Way
from detector.progress import progress_bar
from detector.records import Detections, Float64, table_of_detections
from detector.runs.store import Store
from detector.stages.context_examples import (
    ContextTask,
    Examples,
    SeenImages,
    context_rows,
    learn_rescoring,
)
from detector.stages.region_sets import ProposedRegions
from detector.stages.score_sources import apply_context
from detector.stages.views import StoredViews

VOTING_IOU = 0.5  # arXiv 1505.01749; of rows with box voting where the run has none
TIMED_ROUNDS = 3


def row_settings(settings: DetectSettings, votes: bool) -> DetectSettings:
    """What a row with box voting, or one without, makes of scores: all else is as the run's `settings` say."""
    return settings.model_copy(update={"voting_iou": row_voting_iou(settings) if votes else 0.0, "iterations": 0})


def row_voting_iou(settings: DetectSettings) -> float:
    """The IoU of the rows with box voting: the run's own, if it has one."""
    return settings.voting_iou or VOTING_IOU


@dataclass(frozen=True, eq=False)
class Rescored:
    """Rescorings of averages of views, each learned on data held out; `seen` are the images that are tested."""

    task: ContextTask
    features: Features
    held_out: StoredViews
    seen_held_out: SeenImages
    seen: Store
    device: str

    def learn(self, weights: Float64) -> Context:
        """The rescoring of the average with these weights (K,)."""
        sizes = self.held_out.split.dataset.sizes.tolist()
        entries = [
            context_rows(self.held_out.scores(position, weights), self.task, height, width)
            for position, (height, width) in enumerate(sizes)
        ]
        examples = Examples.of_entries(entries)
        return learn_rescoring(self.task, self.features, self.seen_held_out, examples, self.device)


class Judge:
    """Mean APs of averages over chosen views."""

    def __init__(self, config: Config, views: StoredViews, rescored: Rescored | None) -> None:
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
        settings = row_settings(self.config.detect, votes)
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
    for _ in progress_bar(range(TIMED_ROUNDS), "time", unit="round", leave=False):
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
