"""What the command line asks of a training on one's own data."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector.config import Config, parse_config
from detector.config.loading import apply_override
from detector.text import one_line

COMMAND = "command line"
UNNAMED = "own_data"  # the run of a folder without a name, such as /

Tree = dict[str, Any]


@dataclass(frozen=True)
class Wish:
    """What was asked for: the folder of the data, minutes (None: not said), and `section.key=value` words."""

    folder: Path
    minutes: float | None = None
    overrides: Sequence[str] = ()
    download: bool = False

    @property
    def name(self) -> str:
        """What the run is called unless the settings say it: as the folder."""
        return one_line(self.folder.resolve().name) or UNNAMED

    def given(self) -> Tree:
        """The settings that the words give; ConfigError for what is no such word."""
        tree: Tree = {}
        for word in self.overrides:
            apply_override(tree, word)
        return tree

    def key(self) -> str:
        """What a plan depends on beside the machine, as text."""
        given = self.given()
        sections = {name: given.get(name) for name in ("data", "network")}
        return json.dumps({"folder": str(self.folder), "minutes": self.minutes, **sections}, default=str)

    def settings(self, tree: Mapping[str, Any]) -> Config:
        """The settings in `tree` with the words over them; SVMs that the words ask for bring the NMS they need."""
        whole = deepcopy(dict(tree))
        if self._asks_for_svms():
            whole["detect"] = {**whole.get("detect", {}), "nms": "greedy"}
        for word in self.overrides:
            apply_override(whole, word)
        return parse_config(Config, whole, COMMAND)

    def _asks_for_svms(self) -> bool:
        section = self.given().get("svm")
        return isinstance(section, dict) and section.get("enabled") is True
