"""GoogLeNet detection pipeline (arXiv 1409.4842, section 8): region proposals, region classifier, mAP reports."""

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detector.inference.detector import ObjectDetector

__version__ = "0.1.0"


def load_detector(
    path: str | PathLike[str], *settings: str, classes: Sequence[str] | None = None, download: bool = False
) -> "ObjectDetector":
    """The detector of a run folder, as its report uses it, or of its `region_classifier.safetensors`, by softmax.

    `settings` are `section.key=value` words over those of the training. Weights of ImageNet's 1,000 classes, in a
    file or by a name such as "bvlc", make a detector without training, of `classes` (names or WNIDs; ILSVRC-DET's
    200 by default); `download` fetches weights given by name where they are missing. torch is loaded now, not
    before.

    ConfigError for wrong settings, settings that training has fixed, or `classes` of a trained detector; DataError
    where `path` holds no detector, or a damaged one. See docs/api.md and docs/without_training.md.
    """
    from detector.files import path_of
    from detector.jobs.load_detector import WANTED
    from detector.jobs.load_detector import load_detector as load

    return load(path_of(path, WANTED), settings, classes, download)
