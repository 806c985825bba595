"""Reading splits of a folder while the settings of section `data` are still being worked out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from detector.config import DataSettings, parse_config
from detector.data.formats.data_format import RawSplit
from detector.data.readers import format_of, stated_classes
from detector.errors import DataError
from detector.jobs.wish import COMMAND


@dataclass(frozen=True)
class StatedSplits:
    """The splits of the settings in `tree` as their files state them, whatever is wrong with them; read once."""

    tree: Mapping[str, Any]
    _known: dict[str, RawSplit] = field(default_factory=dict, init=False, repr=False, compare=False)

    def read(self, splits: object) -> list[RawSplit]:
        """One split or several; DataError where one cannot be found."""
        names = data_settings({**self.tree, "train": splits, "test": splits}).train
        return [self._read(name) for name in names]

    def read_if_there(self, name: str) -> list[RawSplit]:
        """The split, or nothing."""
        try:
            return self.read(name)
        except DataError:
            return []

    def _read(self, name: str) -> RawSplit:
        if name not in self._known:
            settings = data_settings({**self.tree, "train": name, "test": name})
            self._known[name] = format_of(settings).read(settings, name, stated_classes(settings))
        return self._known[name]


def data_settings(tree: Mapping[str, Any]) -> DataSettings:
    """The section `data` that `tree` holds, checked; ConfigError where it is wrong."""
    return parse_config(DataSettings, tree, COMMAND)


def names_of(splits: object) -> list[str]:
    """The names of splits that a setting has, one or several."""
    if isinstance(splits, list | tuple):
        return [str(each) for each in splits]
    return [] if splits is None else [str(splits)]
