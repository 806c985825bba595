"""A trained detector from its run folder, or from the file of its network alone."""

from collections.abc import Sequence
from pathlib import Path

from detector.config import Config, detection_methods, parse_config, reported_method
from detector.config.loading import apply_override
from detector.config.yaml_text import read_yaml_text
from detector.errors import DataError
from detector.inference.detector import ObjectDetector
from detector.inference.models import ModelFiles
from detector.jobs.train_detector import trained_detectors
from detector.networks.weight_files.model_facts import ModelFacts
from detector.networks.weight_files.safetensors_files import read_tensors
from detector.runs.folder import RunFolder
from detector.stages.context import image_network, trained_context
from detector.stages.ensemble_weights import fitted_ensemble
from detector.stages.region_cut import trained_cascade
from detector.stages.score_sources import check_region


def load_detector(path: Path, overrides: Sequence[str] = ()) -> ObjectDetector:
    """The detector of a run folder, as the run reports it, or of a region_classifier.safetensors.

    `overrides` are `section.key=value` words over the settings it was trained with. Such a file knows the softmax
    of one model alone. DataError where `path` is neither, ConfigError for other regions than it was trained on.
    """
    return _of_run(RunFolder(path), overrides) if path.is_dir() else _of_file(path, overrides)


def run_config(run: RunFolder, overrides: Sequence[str] = ()) -> Config:
    """The settings of a run with `overrides`; the run's own MultiBox weights stand in for ones that are gone."""
    config = run.read_config(Config, list(overrides))
    weights = config.proposals.multibox.weights
    if weights is None or weights.is_file() or not run.multibox_path.is_file():
        return config
    multibox = config.proposals.multibox.model_copy(update={"weights": run.multibox_path})
    proposals = config.proposals.model_copy(update={"multibox": multibox})
    return config.model_copy(update={"proposals": proposals})


def _of_run(run: RunFolder, overrides: Sequence[str]) -> ObjectDetector:
    config = run_config(run, overrides)
    method = reported_method(config)
    models = [files.by(method) for files in trained_detectors(run, config)]
    check_region(config, models[0].network)
    config = config.model_copy(update={"ensemble": fitted_ensemble(run, config.ensemble)})
    cascade = trained_cascade(run, config)
    if not config.context.is_used:
        return ObjectDetector.load(models, config, cascade=cascade)
    return ObjectDetector.load(models, config, trained_context(run, config), image_network(run, config), cascade)


def _of_file(path: Path, overrides: Sequence[str]) -> ObjectDetector:
    config = _config_of_file(path, overrides)
    if "softmax" not in detection_methods(config):
        raise DataError(
            f"weights must be of a fine-tuned network, got one whose SVMs are in another file ({path}); "
            "the run folder has both"
        )
    check_region(config, path)
    return ObjectDetector.load([ModelFiles(path)], config)


def _config_of_file(path: Path, overrides: Sequence[str]) -> Config:
    """The settings that the metadata of a network's file hold."""
    if path.suffix != ".safetensors" or not path.is_file():
        raise DataError(f"detector must be a run folder or a region_classifier.safetensors, got {path}")
    text = ModelFacts.of(read_tensors(path)[1], path).config
    tree = read_yaml_text(text, "config of weights", str(path))
    if not isinstance(tree, dict):
        raise DataError(f"weights must state the config of train_det in their metadata, got none ({path})")
    parse_config(Config, tree, str(path))  # so that what is wrong in the file is not blamed on an override
    for word in overrides:
        apply_override(tree, word)
    return parse_config(Config, tree, str(path))
