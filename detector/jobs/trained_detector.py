"""A trained detector from its run folder, or from the file of its network alone."""

from collections.abc import Sequence
from pathlib import Path

from detector.config import Config
from detector.errors import ConfigError, DataError
from detector.inference.detector import ObjectDetector
from detector.inference.image_context import Context, ContextScorer, WholeImages
from detector.inference.models import ModelFiles, open_scorer, trained_classes
from detector.inference.region_filter import CascadeScorer, RegionFilter
from detector.jobs.made_detector import made_detector
from detector.jobs.model_check import check_network, check_overrides
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


def detector_of_run(run: RunFolder, overrides: Sequence[str]) -> ObjectDetector:
    """The detector of a run as its report has it, with `section.key=value` words over its settings."""
    job = Job(run, run_config(run, overrides), alone())
    detector = detector_of(job)
    if overrides:
        trained = run_config(run)
        check_overrides(trained, job.config, run.path)
        _check_named(trained, job.config, detector.classes, run.path)
    return detector


def detector_of(job: Job[Config]) -> ObjectDetector:
    """The detector that a job has trained, as it reports it."""
    run, config = job.run, job.config
    models = [model.by(config.method) for model in trained_models(job)]
    ensemble = trained_ensemble(run, config)
    scorer = open_scorer(models, ensemble, config.engine, config.detect)
    cascade = trained_cascade(run, config)
    if cascade:
        scorer = CascadeScorer(RegionFilter(cascade, config.cascade, config.engine), scorer)
    if config.context.is_used:
        path = trained_context(run, config)
        images = WholeImages(image_network(run, config), config.engine)
        context = Context.load(path, config.context.after_nms)
        context.check(images.width, images.outputs, path)
        scorer = ContextScorer(scorer, images, context)
    return made_detector(config, trained_classes(models[0].network), models, scorer, ensemble)


def detector_of_file(path: Path, overrides: Sequence[str]) -> ObjectDetector:
    """The detector of a region_classifier.safetensors; it knows the softmax of one model alone."""
    config = config_of_file(path, overrides)
    if "softmax" not in [method.name for method in config.methods]:
        raise DataError(
            f"weights must be of a fine-tuned network, got one whose SVMs are in another file ({path}); "
            "the run folder has both"
        )
    check_network(config, path)
    models = [ModelFiles(path)]
    scorer = open_scorer(models, config.ensemble, config.engine, config.detect)
    classes = trained_classes(path)
    trained = config_of_file(path, ())
    check_overrides(trained, config, path)
    _check_named(trained, config, classes.names, path)
    return made_detector(config, classes, models, scorer, config.ensemble)


def _check_named(trained: Config, wished: Config, classes: Sequence[str], where: Path) -> None:
    """Raise ConfigError where the settings name other classes than the detector's; a file is for test data."""
    named = wished.data.classes
    if isinstance(named, tuple) and named not in (trained.data.classes, tuple(classes)):
        known, given = ", ".join(classes), ", ".join(named)
        raise ConfigError(f"data.classes must be those of the detector, {known}, got {given} ({where})")
