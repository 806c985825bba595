"""A detector from its run folder, from the file of its network alone, or from ImageNet's weights untrained."""

from collections.abc import Sequence
from pathlib import Path

from detector.config import Config
from detector.data.classes import ClassList
from detector.errors import ConfigError, DataError
from detector.inference.detector import ObjectDetector
from detector.inference.engine import ImageScorer
from detector.inference.image_context import Context, ContextScorer, WholeImages
from detector.inference.models import Detector, ModelFiles, open_scorer, trained_classes
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
from detector.jobs.untrained_detector import untrained_config, untrained_model
from detector.networks.weight_files.class_groups import knows_imagenet
from detector.networks.weight_files.sources import SOURCES, find_weights
from detector.runs.folder import RunFolder
from detector.runs.job import Job
from detector.runs.processes import alone
from detector.stages.score_sources import check_region


def load_detector(
    path: Path, overrides: Sequence[str] = (), classes: Sequence[str] | None = None, download: bool = False
) -> ObjectDetector:
    """The detector of a run folder, as the run reports it, of a region_classifier.safetensors, or untrained.

    `overrides` are `section.key=value` words over the settings it was trained with. A file of a trained network
    knows the softmax of one model alone. Of weights of ImageNet's 1,000 classes, in a file or by a name that
    `download` may fetch, the detector is the untrained one of `classes`: their names or WNIDs, by default
    ILSVRC-DET's 200. DataError where `path` is neither, ConfigError for other regions than it was trained on.
    """
    if path.is_dir():
        _check_trained(path, classes)
        return _of_run(RunFolder(path), overrides)
    file = find_weights(path, download)
    if not file.is_file():
        wanted = f"a run folder, a file of weights or one of {', '.join(SOURCES)}"
        raise DataError(f"detector must be {wanted}, got {path}")
    if file.suffix == ".safetensors" and not knows_imagenet(file):
        _check_trained(path, classes)
        return _of_file(file, overrides)
    return _untrained(file, overrides, classes)


def _check_trained(path: Path, classes: Sequence[str] | None) -> None:
    if classes is not None:
        wanted = "left to what a trained detector knows"
        raise ConfigError(f"classes must be {wanted}, got {', '.join(classes)} ({path})")


def _of_run(run: RunFolder, overrides: Sequence[str]) -> ObjectDetector:
    job = Job(run, run_config(run, overrides), alone())
    config = job.config
    models = [model.by(config.method) for model in trained_models(job)]
    check_region(config.region, models[0].network)
    proposer = open_proposer(config.proposals, config.engine, config.seed)
    scorer = open_scorer(models, trained_ensemble(run, config), config.engine, config.detect)
    cascade = trained_cascade(run, config)
    if cascade:
        scorer = CascadeScorer(RegionFilter(cascade, config.cascade.keep, config.engine), scorer)
    if config.context.is_used:
        path = trained_context(run, config)
        images = WholeImages(image_network(job), config.engine)
        context = Context.load(path, config.context.after_nms)
        context.check(images.width, images.outputs, path)
        scorer = ContextScorer(scorer, images, context)
    return _detector(config, trained_classes(models[0].network), models, proposer, scorer)


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
    return _detector(config, trained_classes(path), models, proposer, scorer)


def _untrained(path: Path, overrides: Sequence[str], words: Sequence[str] | None) -> ObjectDetector:
    config = untrained_config(path, overrides)
    model, classes = untrained_model(config, words)
    proposer = open_proposer(config.proposals, config.engine, config.seed)
    scorer = open_scorer([model], config.ensemble, config.engine, config.detect)
    return _detector(config, classes, [model], proposer, scorer)


def _detector(
    config: Config, classes: ClassList, models: Sequence[Detector], proposer: Proposer, scorer: ImageScorer
) -> ObjectDetector:
    return ObjectDetector(
        classes,
        proposer,
        scorer,
        config.detect,
        by_svm=models[0].svm is not None and not config.context.is_used,
        exif=config.data.exif,
        workers=config.engine.workers,
        config=config,
    )
