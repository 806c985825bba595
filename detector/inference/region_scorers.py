"""What a trained detector runs on crops, and what each class makes of the answers."""

from typing import Protocol

import numpy as np
from torch import nn

from detector.inference.score import FeatureScorer, refine, unrefined
from detector.networks.region_classifier import RegionClassifier
from detector.networks.region_heads import BoxHead, FeaturesAndMoves, Probabilities, SvmHead
from detector.records import FIRST_LABEL, Array, ClassScores, Float32

Answers = dict[str, Array]  # of `RegionScorer.module`, (N, ...) each


class RegionScorer(Protocol):
    """A module of crops, and the way from its answers to scores."""

    @property
    def module(self) -> nn.Module:
        """What runs on crops (B, 3, S, S)."""

    def scores(self, boxes: Float32, answers: Answers, height: int, width: int) -> ClassScores:
        """Each class's scores and boxes of the regions (N, 4), N > 0, of an image of that size; on any thread."""


class NetworkScorer:
    """The network's own probabilities, at the regions themselves."""

    def __init__(self, network: RegionClassifier) -> None:
        self.module = Probabilities(network)

    def scores(self, boxes: Float32, answers: Answers, height: int, width: int) -> ClassScores:
        """As `RegionScorer` says."""
        return unrefined(boxes, np.ascontiguousarray(answers["probs"][:, FIRST_LABEL:]))


class HeadScorer:
    """The softmax or SVMs on the network's features, at the regions or where box regressors move them."""

    def __init__(self, network: RegionClassifier, svm: SvmHead | None, boxes: BoxHead | None) -> None:
        self.module = FeaturesAndMoves(network, boxes)
        self.linear = FeatureScorer(svm or network.classifier, is_softmax=svm is None)

    def scores(self, boxes: Float32, answers: Answers, height: int, width: int) -> ClassScores:
        """As `RegionScorer` says."""
        scores = self.linear.scores(answers["features"])
        if "moves" not in answers:
            return unrefined(boxes, scores)
        return ClassScores(refine(boxes, answers["moves"], height, width), scores)


def make_scorer(network: RegionClassifier, svm: SvmHead | None, boxes: BoxHead | None) -> RegionScorer:
    """The scorer of a network with the heads that there are."""
    return HeadScorer(network, svm, boxes) if svm or boxes else NetworkScorer(network)
