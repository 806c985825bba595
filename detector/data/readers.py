"""Opening a data set: the one place that chooses between the formats."""

from collections.abc import Sequence
from pathlib import Path

from detector.config import DataSettings
from detector.data.classes import ClassList, class_list, class_name, ilsvrc_det_classes, read_classes
from detector.data.dataset import Dataset, join_datasets
from detector.data.formats.coco import coco_class_names, read_coco
from detector.data.formats.ilsvrc import read_ilsvrc
from detector.data.formats.voc import read_voc, voc_class_names
from detector.errors import DataError
from detector.records import FIRST_LABEL


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
        return _named_classes(settings.classes, settings.format)
    match settings.format:
        case "ilsvrc":
            return ilsvrc_det_classes()
        case "voc":
            names = voc_class_names(settings, settings.train)
        case "coco":
            names = coco_class_names(settings, settings.train)
    if not names:
        raise DataError(
            f"splits {', '.join(settings.train)} must name at least one class, got none ({settings.root})"
        )
    return ClassList(names)


def _named_classes(names: tuple[str, ...], data_format: str) -> ClassList:
    """`names` in their order; ILSVRC-DET's own get the WNIDs that its XML files use."""
    known = ilsvrc_det_classes()
    names = tuple(class_name(name, f"data.classes[{row}]", "the settings") for row, name in enumerate(names))
    labels = [known.label(name) for name in names]
    if data_format != "ilsvrc" or None in labels:
        return class_list(names, (), "data.classes")
    rows = [label - FIRST_LABEL for label in labels if label]
    return ClassList(tuple(known.names[row] for row in rows), tuple(known.wnids[row] for row in rows))


def _read_split(settings: DataSettings, split: str, classes: ClassList) -> Dataset:
    match settings.format:
        case "ilsvrc":
            return read_ilsvrc(settings, split, classes)
        case "voc":
            return read_voc(settings, split, classes)
        case "coco":
            return read_coco(settings, split, classes)
