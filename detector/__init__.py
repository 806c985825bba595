"""GoogLeNet detection pipeline: region proposals, Inception v1 region classifier, mAP reports."""

from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detector.inference.detector import ObjectDetector

__version__ = "0.1.0"


def load_detector(path: str | PathLike[str], *settings: str) -> "ObjectDetector":
    """The detector of a run folder, or of the `region_classifier.safetensors` of one; see docs/api.md.

    `settings` are `section.key=value` words over those it was trained with. torch is loaded now, not before.
    """
    from pathlib import Path

    from detector.jobs.load_detector import load_detector as load

    return load(Path(path), settings)
