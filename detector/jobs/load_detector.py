"""A trained detector from its run folder, or from the file of its network alone."""

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

from detector.config import Config, EnsembleSettings
from detector.errors import DataError
from detector.inference.detector import ObjectDetector
from detector.inference.engine import ImageScorer
from detector.inference.explaining import NetworkViews
from detector.inference.image_context import Context, ContextScorer, WholeImages
from detector.inference.models import ModelFiles, load_models, open_scorer, trained_classes
from detector.inference.proposer import Proposer, open_proposer
from detector.inference.region_filter import CascadeScorer, RegionFilter
from detector.jobs.run_settings import config_of_file, run_config
from detector.jobs.trained_models import (
    image_network,
    trained_cascade,
    trained_context,
    trained_ensemble,
    trained_models,
)
from detector.runs.folder import RunFolder
from detector.runs.job import Job
from detector.runs.processes import alone
from detector.stages.score_sources import check_region


def load_detector(path: Path, overrides: Sequence[str] = ()) -> ObjectDetector:
    """The detector of a run folder, as the run reports it, or of a region_classifier.safetensors.

    `overrides` are `section.key=value` words over the settings it was trained with. Such a file knows the softmax
    of one model alone. DataError where `path` is neither, ConfigError for other regions than it was trained on.
    """
    return _of_run(RunFolder(path), overrides) if path.is_dir() else _of_file(path, overrides)


def _of_run(run: RunFolder, overrides: Sequence[str]) -> ObjectDetector:
    return detector_of(Job(run, run_config(run, overrides), alone()))


def detector_of(job: Job[Config]) -> ObjectDetector:
    """The detector that a job has trained, as it reports it."""
    run, config = job.run, job.config
    models = [model.by(config.method) for model in trained_models(job)]
    check_region(config.region, models[0].network)
    proposer = open_proposer(config.proposals, config.engine, config.seed)
    ensemble = trained_ensemble(run, config)
    scorer = open_scorer(models, ensemble, config.engine, config.detect)
    cascade = trained_cascade(run, config)
    if cascade:
        scorer = CascadeScorer(RegionFilter(cascade, config.cascade.keep, config.engine), scorer)
    if config.context.is_used:
        path = trained_context(run, config)
        images = WholeImages(image_network(job), config.engine)
        context = Context.load(path, config.context.after_nms)
        context.check(images.width, images.outputs, path)
        scorer = ContextScorer(scorer, images, context)
    return _detector(config, models, proposer, scorer, ensemble)


def _of_file(path: Path, overrides: Sequence[str]) -> ObjectDetector:
    config = config_of_file(path, overrides)
    if "softmax" not in [method.name for method in config.methods]:
        raise DataError(
            f"weights must be of a fine-tuned network, got one whose SVMs are in another file ({path}); "
            "the run folder has both"
        )
    check_region(config.region, path)
    models = [ModelFiles(path)]
    proposer = open_proposer(config.proposals, config.engine, config.seed)
    scorer = open_scorer(models, config.ensemble, config.engine, config.detect)
    return _detector(config, models, proposer, scorer, config.ensemble)


def _detector(
    config: Config,
    models: Sequence[ModelFiles],
    proposer: Proposer,
    scorer: ImageScorer,
    ensemble: EnsembleSettings,
) -> ObjectDetector:
    return ObjectDetector(
        trained_classes(models[0].network),
        proposer,
        scorer,
        config.detect,
        by_svm=models[0].svm is not None and not config.context.is_used,
        exif=config.data.exif,
        workers=config.engine.workers,
        config=config,
        views=NetworkViews(cache(partial(load_models, models, ensemble)), config.engine),
    )
