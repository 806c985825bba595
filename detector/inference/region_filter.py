"""Fewer regions: a cheap classifier looks at all of an image, and the best alone go on to the detector.

It is a region classifier of one class, any object, that sees small crops; or a linear map of a few cells of the
detector's own shared map: the objectness of Faster R-CNN (Ren et al., arXiv 1506.01497), of regions given.
"""

from collections.abc import Iterator
from itertools import tee

import numpy as np

from detector.boxes import nms
from detector.config import CascadeSettings, EngineSettings, EnsembleSettings, RegionSettings
from detector.errors import DataError
from detector.inference.engine import ImageScorer
from detector.inference.ensemble import EnsembleEngine, Model
from detector.inference.held_image import Regions, hold
from detector.inference.models import CascadeFiles, ModelFiles, check_model, load_models
from detector.inference.score import unrefined
from detector.inference.shared_engine import SharedEngine
from detector.networks.heads import Objectness, is_objectness, load_objectness
from detector.networks.warp import Preprocessing
from detector.networks.weight_files.weights import load_model
from detector.records import ClassScores, Float32, Proposals


class ObjectnessScorer:
    """Scores regions by a few cells of the detector's own shared map."""

    def __init__(self, files: CascadeFiles, settings: EngineSettings) -> None:
        self.engine = SharedEngine(*_objectness(files), settings)

    def score(self, images: Regions) -> Iterator[ClassScores]:
        """As `ImageScorer` says, of one class."""
        for boxes, answers in self.engine.run(images):
            found = answers["objects"] if answers else np.empty(0, np.float32)
            yield unrefined(boxes, found[:, None])


def open_cascade(files: CascadeFiles, settings: EngineSettings) -> ImageScorer:
    """What scores regions by their probability to be an object; DataError for files of anything else."""
    if is_objectness(files.cascade):
        return ObjectnessScorer(files, settings.in_floats)
    return EnsembleEngine(_crop_models(files), settings.in_floats)


def check_cascade_files(files: CascadeFiles) -> None:
    """Raise DataError for files that `open_cascade` would not take."""
    if is_objectness(files.cascade):
        _objectness(files)
    else:
        _crop_models(files)


def _crop_models(files: CascadeFiles) -> list[Model]:
    """The one classifier of small crops."""
    models = [model for _, model in load_models([ModelFiles(files.cascade)], EnsembleSettings())]
    classes = models[0].member.network.classifier.out_features - 1
    if classes != 1:
        raise DataError(f"cascade must know one class, any object, got {classes} ({files.cascade})")
    return models


def _objectness(files: CascadeFiles) -> tuple[Objectness, Preprocessing, RegionSettings]:
    """The linear map with the network whose map it looks at, and how."""
    head, region = load_objectness(files.cascade)
    network, preprocessing, _ = load_model(files.network)
    shared = network.backbone.facts.shared
    wanted, got = shared.channels * shared.map_side(region.crop_size) ** 2, head.weight.shape[1]
    if wanted != got:
        raise DataError(f"cascade must be of {wanted} numbers a region, got {got} ({files.cascade})")
    check_model(head, files.cascade, files.network)
    return Objectness(network, head), preprocessing, region


class RegionFilter:
    """The best regions of images, as many as `settings.keep`, by the classifier in a run's files."""

    def __init__(self, files: CascadeFiles, settings: CascadeSettings, engine: EngineSettings) -> None:
        self.scorer = open_cascade(files, engine)
        self.settings = settings

    def choose(self, images: Regions) -> Iterator[Proposals]:
        """The regions kept of each image, best first, with their probabilities to be an object."""
        for found in self.rank(images):
            yield Proposals(found.boxes[: self.settings.keep], found.scores[: self.settings.keep])

    def rank(self, images: Regions) -> Iterator[Proposals]:
        """All regions of each image, best first, with their probabilities to be an object.

        Those that overlap a better one by more than `settings.nms_iou` come last.
        """
        for found in self.scorer.score(images):
            yield rank_regions(found.boxes[:, 0], found.scores[:, 0], self.settings.nms_iou)


class CascadeScorer:
    """Scores by `scorer` those regions of images that a filter keeps; a map that both look at is made once."""

    def __init__(self, regions: RegionFilter, scorer: ImageScorer) -> None:
        self.regions = regions
        self.scorer = scorer

    def score(self, images: Regions) -> Iterator[ClassScores]:
        """As `ImageScorer` says."""
        given, judged = tee((hold(image), boxes) for image, boxes in images)
        chosen = zip(given, self.regions.choose(judged), strict=True)
        return self.scorer.score((image, kept.boxes) for (image, _), kept in chosen)


def rank_regions(boxes: Float32, scores: Float32, nms_iou: float) -> Proposals:
    """The regions of boxes (N, 4) by their scores (N,), best first, equals in their order.

    Those that NMS at `nms_iou` drops come after all that it keeps.
    """
    kept = nms(boxes, scores, nms_iou)
    is_kept = np.zeros(len(boxes), np.bool_)
    is_kept[kept] = True
    order = np.argsort(-scores, kind="stable")
    order = np.concatenate([kept, order[~is_kept[order]]])
    return Proposals(boxes[order], scores[order])
