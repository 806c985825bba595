"""Loading a detector: from its run folder, the file of its network, or weights of ImageNet's classes."""

from collections.abc import Collection, Sequence
from pathlib import Path

from detector.errors import ConfigError, DataError
from detector.inference.detector import ObjectDetector
from detector.jobs.trained_detector import detector_of_file, detector_of_run
from detector.jobs.untrained_detector import untrained_detector
from detector.networks.weight_files.class_groups import knows_imagenet
from detector.networks.weight_files.sources import SOURCES, find_weights
from detector.runs.folder import RunFolder
from detector.text import shown

WANTED = f"detector must be a run folder, a file of weights or one of {', '.join(SOURCES)}"


def load_detector(
    path: Path, overrides: Sequence[str] = (), classes: Sequence[str] | None = None, download: bool = False
) -> ObjectDetector:
    """The detector of a run folder, as reported, of a region_classifier.safetensors, or without training.

    `overrides` are `section.key=value` words over the settings of the training. The file of a trained network
    scores by the softmax of one model. Weights of ImageNet's 1,000 classes, in a file or by a name that `download`
    may fetch, make a detector without training, of `classes`: names or WNIDs, by default ILSVRC-DET's 200.
    DataError where `path` is none of these, ConfigError for settings that training has fixed.
    """
    _check_names(classes)
    if path.is_dir():
        _check_trained(path, classes)
        return detector_of_run(RunFolder(path), overrides)
    file = find_weights(path, download)
    if not file.is_file():
        raise DataError(f"{WANTED}, got {path}")
    if file.suffix == ".safetensors" and not knows_imagenet(file):
        _check_trained(file, classes)
        return detector_of_file(file, overrides)
    return untrained_detector(file, overrides, classes)


def _check_names(classes: Sequence[str] | None) -> None:
    is_list = isinstance(classes, Collection) and not isinstance(classes, str)
    if classes is not None and not (is_list and all(isinstance(name, str) for name in classes)):
        raise ConfigError(f"classes must be a list of names, got {shown(classes)}")


def _check_trained(path: Path, classes: Sequence[str] | None) -> None:
    if classes is not None:
        wanted = "left to what a trained detector knows"
        raise ConfigError(f"classes must be {wanted}, got {', '.join(classes)} ({path})")
