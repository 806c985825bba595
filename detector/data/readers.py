"""Opening a data set: the one place that chooses between the formats."""

from collections.abc import Sequence
from pathlib import Path

from detector.config import DataSettings
from detector.data.classes import ClassList, ilsvrc_det_classes, read_classes
from detector.data.coco import coco_class_names, read_coco
from detector.data.dataset import Dataset, join_datasets
from detector.data.ilsvrc import read_ilsvrc
from detector.data.voc import read_voc, voc_class_names
from detector.errors import DataError


def open_dataset(settings: DataSettings, splits: Sequence[str]) -> Dataset:
    """The images and objects of all `splits`, joined in order.

    The labels are those of `open_classes`, whichever splits are read: a test split gets the training split's.
    """
    classes = open_classes(settings)
    return join_datasets([_read_split(settings, split, classes) for split in splits])


def open_classes(settings: DataSettings) -> ClassList:
    """The classes of `settings.classes`, or of the format: ILSVRC-DET's 200, or those of the training splits."""
    if isinstance(settings.classes, Path):
        return read_classes(settings.root / settings.classes)
    if settings.classes is not None:
        return _named_classes(settings.classes)
    match settings.format:
        case "ilsvrc":
            return ilsvrc_det_classes()
        case "voc":
            names = voc_class_names(settings, settings.train)
        case "coco":
            names = coco_class_names(settings, settings.train)
    if not names:
        raise DataError(f"splits {', '.join(settings.train)} must name at least one class, got none ({settings.root})")
    return ClassList(names)


def _named_classes(names: tuple[str, ...]) -> ClassList:
    """`names` in their order, with their WNIDs where all are ILSVRC-DET's."""
    known = ilsvrc_det_classes()
    labels = [known.label(name) for name in names]
    if any(label is None for label in labels):
        return ClassList(names)
    return ClassList(
        tuple(known.name(label) for label in labels if label),
        tuple(known.wnids[label - 1] for label in labels if label),
    )


def _read_split(settings: DataSettings, split: str, classes: ClassList) -> Dataset:
    match settings.format:
        case "ilsvrc":
            return read_ilsvrc(settings, split, classes)
        case "voc":
            return read_voc(settings, split, classes)
        case "coco":
            return read_coco(settings, split, classes)
