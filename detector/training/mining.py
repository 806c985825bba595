"""SVMs of many classes with hard negative mining (R-CNN, arXiv 1311.2524, section 2.3, and its released settings).

A class's negatives are far too many to train on. They pass by once or a few times; those that the SVM of the
moment scores too high enter the class's cache, the SVM is trained anew when enough of them have gathered, and
what it then scores low enough leaves the cache again.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from detector.config import SvmSettings
from detector.parallel import ordered_map
from detector.records import FIRST_LABEL, Array, Float32, Int64
from detector.training.row_pool import RowPool
from detector.training.svm_solver import Svm, solve_svm

UNTRAINED_BIAS = -2.0  # with weights of zero: a score under those that are worth keeping


class Chunk(NamedTuple):
    """Regions that pass by: ids (n,) i64, features (n, F), and of which classes they are negatives, (n, K) bool.

    An id names a region: it comes once a pass, and with the same features in every pass.
    """

    ids: Tensor
    features: Tensor
    negative: Tensor


@dataclass(frozen=True, eq=False)
class SvmSolution:
    """SVMs of K classes: features (N, F) @ weights.T + bias are scores (N, K); tensors on the CPU.

    weights (K, F) f32, bias (K,) f32; objective and gap (K,) f64 are those of the last training, as in `Svm`.
    """

    weights: Tensor
    bias: Tensor
    objective: Tensor
    gap: Tensor


@dataclass(frozen=True, eq=False)
class MinedSvms:
    """The SVMs, and (K,) i64 each: negatives that passed by, those cached at the end, trainings."""

    solution: SvmSolution
    seen: Int64
    cached: Int64
    trainings: Int64


def train_svms(
    positives: Tensor,
    labels: Tensor,
    chunks: Callable[[], Iterable[Chunk]],
    classes: int,
    settings: SvmSettings,
    progress: Callable[[int], object] | None = None,
) -> MinedSvms:
    """One SVM for each of `classes` classes: features of objects against negatives mined from the chunks.

    positives (P, F), labels (P,) in 1..classes; each call of `chunks` makes one pass. Chunks may be of any size
    and on any device, where they are scored; a class is trained before it has gathered twice
    `settings.retrain_after` new negatives. Classes do not influence each other. One that has no positives or
    meets no negatives is not trained: its weights are 0, its bias is `UNTRAINED_BIAS`. `progress` is told how
    many regions were visited since it was told last.

    Memory: the cache holds each region once for all classes, 4 F bytes in float32: 4 GB for a million regions of
    1,024 features; float16 features are cached as they are, in half of it. Each thread copies one class's rows.
    """
    mining = _Mining(positives, labels, classes, settings)
    for _ in range(settings.passes):
        for chunk in chunks():
            for piece in _pieces(chunk, settings.retrain_after):
                mining.visit(piece)
                mining.train(settings.retrain_after)
                if progress:
                    progress(len(piece.ids))
    mining.train(1)
    return mining.result()


def _pieces(chunk: Chunk, size: int) -> Iterator[Chunk]:
    """The chunk in pieces of `size` regions, so that none is judged by an SVM that is long out of date."""
    for first in range(0, len(chunk.ids), size):
        yield Chunk(*(tensor[first : first + size] for tensor in chunk))


class _ClassCache:
    """What one class is trained on: its positives (P, F), then the negatives in `slots` (n,) of the row pool."""

    def __init__(self, positives: Float32) -> None:
        self.positives = positives
        self.slots = np.empty(0, np.int64)
        self.alphas = np.zeros(len(positives), np.float32)  # (P + n,), where the next training starts
        self.new = 0
        self.trainings = 0

    def add(self, slots: Int64) -> None:
        """Append negatives."""
        self.slots = np.concatenate([self.slots, slots])
        self.alphas = np.concatenate([self.alphas, np.zeros(len(slots), np.float32)])
        self.new += len(slots)

    def learn(self, svm: Svm, evict_score: float) -> Int64:
        """Take over a training's answer and drop the negatives scored under `evict_score`; their slots."""
        count = len(self.positives)
        kept = svm.scores[count:] >= evict_score
        evicted = self.slots[~kept]
        self.slots = self.slots[kept]
        self.alphas = np.concatenate([svm.alphas[:count], svm.alphas[count:][kept]])
        self.new = 0
        self.trainings += 1
        return evicted


class _Mining:
    """The caches of all classes and their SVMs of the moment."""

    def __init__(self, positives: Tensor, labels: Tensor, classes: int, settings: SvmSettings) -> None:
        width = positives.shape[1]
        rows, own = positives.float().cpu().numpy(), labels.cpu().numpy() - FIRST_LABEL
        self.settings = settings
        self.pool = RowPool(width)
        self.caches = [_ClassCache(rows[own == label]) for label in range(classes)]
        self.has_positives = np.bincount(own, minlength=classes) > 0
        self.weights = np.zeros((classes, width), np.float32)
        self.bias = np.zeros(classes, np.float32)  # at first all negatives are hard
        self.objective, self.gap = np.zeros(classes), np.zeros(classes)
        self.seen = np.zeros(classes, np.int64)

    def visit(self, chunk: Chunk) -> None:
        """Add the hard ones of the chunk's negatives to the caches of their classes."""
        negative = chunk.negative.cpu().numpy()
        self.seen += negative.sum(0)
        hard = negative & self._is_hard(chunk.features) & self.has_positives  # (n, K)
        rows = np.flatnonzero(hard.any(1))
        if not len(rows):
            return
        chosen = torch.from_numpy(rows)
        features = chunk.features[chosen.to(chunk.features.device)].cpu().numpy()
        slots, known = self.pool.place(chunk.ids[chosen.to(chunk.ids.device)].cpu().numpy(), features)
        for label in np.flatnonzero(hard.any(0)):
            self._add(self.caches[label], slots, hard[rows, label], known)

    def _is_hard(self, features: Tensor) -> Array:
        weights = torch.from_numpy(self.weights).to(features.device)
        bias = torch.from_numpy(self.bias).to(features.device)
        scores = torch.addmm(bias, features.float(), weights.T)  # (n, K)
        return (scores > self.settings.hard_score).cpu().numpy()

    def _add(self, cache: _ClassCache, slots: Int64, hard: Array, known: Array) -> None:
        """Add the slots at the mask `hard` that are not cached yet, which only rows `known` to the pool can be."""
        if (hard & known).any():
            hard = hard & ~np.isin(slots, cache.slots)
        cache.add(slots[hard])
        self.pool.hold(slots[hard])

    def train(self, enough: int) -> None:
        """Train the classes that have `enough` new negatives, and let go of negatives that became easy."""
        due = [label for label, cache in enumerate(self.caches) if cache.new >= enough]
        threads = torch.get_num_threads() if len(due) > 1 else 0
        for label, svm in zip(due, ordered_map(self._solve, due, threads), strict=True):
            self.weights[label], self.bias[label] = svm.weights, svm.bias
            self.objective[label], self.gap[label] = svm.objective, svm.gap
            self.pool.release(self.caches[label].learn(svm, self.settings.evict_score))

    def _solve(self, label: int) -> Svm:
        cache = self.caches[label]
        rows = np.concatenate([cache.positives, self.pool.rows(cache.slots)], dtype=np.float32)
        positive = np.arange(len(rows)) < len(cache.positives)
        return solve_svm(rows, positive, self.settings, cache.alphas)

    def result(self) -> MinedSvms:
        """The SVMs as they are."""
        trainings = np.array([cache.trainings for cache in self.caches], np.int64)
        bias = np.where(trainings > 0, self.bias, np.float32(UNTRAINED_BIAS))
        numbers = (self.weights, bias, self.objective, self.gap)
        cached = np.array([len(cache.slots) for cache in self.caches], np.int64)
        return MinedSvms(SvmSolution(*map(torch.from_numpy, numbers)), self.seen, cached, trainings)
