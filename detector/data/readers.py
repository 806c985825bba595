"""Opening a data set, whatever its format."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from detector.choices import FORMATS, chosen_module
from detector.config import DataSettings
from detector.data.classes import ClassList, class_name, read_classes
from detector.data.dataset import Dataset, join_datasets
from detector.data.formats.assembly import settle
from detector.data.formats.data_format import Format, RawSplit
from detector.errors import DataError


def format_of(settings: DataSettings) -> Format:
    """The format that the settings name."""
    found: Format = chosen_module(FORMATS, settings.format).FORMAT
    return found


def open_dataset(settings: DataSettings, splits: Sequence[str]) -> Dataset:
    """The images and objects of all `splits`, joined in order.

    The labels are those of `open_classes`, whichever splits are read: a test split gets the training split's.
    """
    classes = open_classes(settings)
    return join_datasets([read_split(settings, split, classes) for split in splits])


def read_split(settings: DataSettings, split: str, classes: ClassList) -> Dataset:
    """The images and objects of one split, with the labels of `classes`."""
    return settle(format_of(settings).read(settings, split, classes), classes, settings)


def open_classes(settings: DataSettings) -> ClassList:
    """The classes of `settings.classes`, or of the format: ILSVRC-DET's 200, or those of the training splits."""
    return stated_classes(settings) or found_classes(settings, _whole_splits(settings))


def stated_classes(settings: DataSettings) -> ClassList | None:
    """The classes that the settings or the format state, None where the annotations are to tell them."""
    data_format = format_of(settings)
    if isinstance(settings.classes, Path):
        return read_classes(settings.root / settings.classes)
    if settings.classes is not None:
        names = enumerate(settings.classes)
        return data_format.named(tuple(class_name(n, f"data.classes[{row}]", "the settings") for row, n in names))
    return data_format.classes(settings) if data_format.classes else None


def found_classes(settings: DataSettings, splits: Iterable[RawSplit]) -> ClassList:
    """The names of the objects in the training `splits`, sorted; DataError says why there is none."""
    read = list(splits)
    names = {str(name) for split in read for name in np.unique(split.names)}
    if names:
        return ClassList(tuple(sorted(names)))
    reasons = [error for split in read for error in (*split.missing, *split.errors)]
    nothing = str(settings.root) if any(map(len, read)) else f"there is no image in {settings.root}"
    why = f"{len(reasons)} annotations cannot be read: {reasons[0]}" if reasons else nothing
    raise DataError(f"splits {', '.join(settings.train)} must name at least one class, got none ({why})")


def _whole_splits(settings: DataSettings) -> Iterable[RawSplit]:
    """The training splits; DataError names the first annotation that cannot be read."""
    for name in settings.train:
        split = format_of(settings).read(settings, name, None)
        if split.errors:
            raise DataError(split.errors[0])
        yield split
