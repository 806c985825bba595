"""GoogLeNet detection pipeline: region proposals, Inception v1 region classifier, mAP reports."""

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detector.inference.detector import ObjectDetector

__version__ = "0.1.0"


def load_detector(
    path: str | PathLike[str], *settings: str, classes: Sequence[str] | None = None, download: bool = False
) -> "ObjectDetector":
    """The detector of a run folder, or of the `region_classifier.safetensors` of one; see docs/api.md.

    `settings` are `section.key=value` words over those it was trained with. Weights of ImageNet's classes, in a
    file or by a name such as "bvlc", make an untrained detector of `classes`; see docs/without_training.md. torch
    is loaded now, not before.
    """
    from detector.files import path_of
    from detector.jobs.load_detector import WANTED
    from detector.jobs.load_detector import load_detector as load

    return load(path_of(path, WANTED), settings, classes, download)
