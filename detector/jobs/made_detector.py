"""Putting a detector together from its settings and the scorer of its regions."""

from collections.abc import Sequence
from functools import cache, partial

from detector.config import Config, EnsembleSettings
from detector.data.classes import ClassList
from detector.inference.detector import ObjectDetector
from detector.inference.engine import ImageScorer
from detector.inference.explaining import NetworkViews
from detector.inference.models import Detector, load_models
from detector.inference.proposer import open_proposer


def made_detector(
    config: Config,
    classes: ClassList,
    models: Sequence[Detector],
    scorer: ImageScorer,
    ensemble: EnsembleSettings,
) -> ObjectDetector:
    """The detector of `classes` whose regions `scorer` scores by `models`, seen as `ensemble` says."""
    return ObjectDetector(
        classes,
        open_proposer(config.proposals, config.engine, config.seed),
        scorer,
        config.detect,
        by_svm=models[0].svm is not None and not config.context.is_used,
        exif=config.data.exif,
        workers=config.engine.workers,
        config=config,
        views=NetworkViews(cache(partial(load_models, models, ensemble)), config.engine),
    )
