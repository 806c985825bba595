"""Reading splits by settings that are still being found."""

from collections.abc import Mapping
from typing import Any

from detector.config import DataSettings, parse_config
from detector.data.formats.data_format import RawSplit
from detector.data.readers import format_of, stated_classes
from detector.jobs.wish import COMMAND


def settings_of(tree: Mapping[str, Any]) -> DataSettings:
    """The settings in `tree`."""
    return parse_config(DataSettings, tree, COMMAND)


def read_splits(tree: Mapping[str, Any], splits: object) -> list[RawSplit]:
    """One split or several as their files state them, whatever is wrong with them."""
    settings = settings_of({**tree, "train": splits, "test": splits})
    classes = stated_classes(settings)
    return [format_of(settings).read(settings, split, classes) for split in settings.train]


def names_of(splits: object) -> list[str]:
    """The names of splits that a setting has, one or several."""
    return [splits] if isinstance(splits, str) else [str(each) for each in splits or ()]  # type: ignore[attr-defined]
