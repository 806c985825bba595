"""Traces of images that nobody saw: whole-number boxes and few different scores, so that ties happen."""

from typing import NamedTuple

import numpy as np
from oracles_boxes import random_boxes

from detector.config import DetectSettings
from detector.evaluation.explained import KnownObject, Limits, Trace
from detector.inference.image_trace import Steps, trace_of
from detector.inference.iterate import Round, join_rounds
from detector.inference.score import unrefined
from detector.records import ClassScores, Float32

NAMES = ("apple", "pear", "plum")
EXTENT = 40  # pixels along the sides of the image, about
KINDS = ("plain", "svm", "context", "after_nms", "rounds", "cascade")


class Case(NamedTuple):
    """A trace of the scores `final`, what is asked of it, and the objects in the image."""

    trace: Trace
    final: ClassScores
    limits: Limits
    settings: DetectSettings
    objects: list[KnownObject]


def random_case(seed: int, kind: str, floor: float = 0.0) -> Case:
    """One image of a kind of detector."""
    random = np.random.default_rng(seed)
    settings = _settings(random, kind)
    proposals = random_boxes(random, int(random.integers(1, 40)), EXTENT)
    steps = _steps(random, kind, proposals)
    by_svm = kind == "svm"
    least = float(random.choice([-1.0, 0.0, 0.3]) if by_svm else random.choice([0.1, 0.25, 0.5]))
    floor = -2.0 if by_svm else floor
    trace = trace_of(steps, NAMES, (2 * EXTENT, 2 * EXTENT), by_svm, floor)
    some = int(random.integers(1, trace.scored + 1))
    regions = trace.scored if kind == "rounds" or random.random() < 0.5 else some
    limits = Limits(least, float(random.choice([0.3, 0.5, 0.0])), regions)
    return Case(trace, steps.final, limits, settings, _objects(random, proposals))


def _settings(random: np.random.Generator, kind: str) -> DetectSettings:
    nms = "greedy" if kind == "svm" else str(random.choice(["greedy", "greedy", "soft_linear", "soft_gaussian"]))
    return DetectSettings(
        nms=nms,
        voting_iou=float(random.choice([0.0, 0.5, 0.2])),
        max_per_image=int(random.choice([0, 4])),
    )


def _steps(random: np.random.Generator, kind: str, proposals: Float32) -> Steps:
    kept = max(1, len(proposals) // 2) if kind == "cascade" else len(proposals)
    rounds = [_round(random, kind, proposals[:kept])]
    if kind == "rounds":
        rounds.append(_round(random, kind, random_boxes(random, 6, EXTENT)))
    scores = join_rounds(rounds)
    cascade = np.linspace(1, 0, len(proposals), dtype=np.float32) if kind == "cascade" else None
    final = scores
    if kind in ("context", "after_nms"):
        changed = random.random(scores.scores.shape).round(1).astype(np.float32)
        rescored = ClassScores(scores.boxes, changed)
        final = ClassScores(scores.boxes, scores.scores, changed) if kind == "after_nms" else rescored
    return Steps(proposals, rounds, scores, final, cascade)


def _round(random: np.random.Generator, kind: str, regions: Float32) -> Round:
    count, classes = len(regions), len(NAMES)
    if kind == "svm":
        return Round(
            regions, unrefined(regions, random.normal(0, 1, (count, classes)).round(1).astype(np.float32))
        )
    scores = random.dirichlet([0.5] * (classes + 1), count)[:, 1:].round(1).astype(np.float32)
    moved = regions[:, None] + random.integers(-3, 4, (count, classes, 4))
    return Round(regions, ClassScores(moved.astype(np.float32), scores))


def _objects(random: np.random.Generator, proposals: Float32) -> list[KnownObject]:
    """Some near regions, so that all that can become of them does; one of a class that nobody knows."""
    found = []
    for box in proposals[random.integers(0, len(proposals), 6)]:
        x1, y1, x2, y2 = (float(value) for value in box + random.integers(-2, 3, 4))
        name = str(random.choice([*NAMES, "kiwi"], p=[0.4, 0.3, 0.28, 0.02]))
        found.append(KnownObject(name, (x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)), bool(random.random() < 0.95)))
    return found
