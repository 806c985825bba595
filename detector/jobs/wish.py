"""What the command line asks for in a training on one's own data: `train_det --data`."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector.config import Config, check_partners, parse_config
from detector.config.loading import apply_override
from detector.errors import DataError
from detector.files import parse_json
from detector.text import one_line

COMMAND = "command line"
UNNAMED = "own_data"  # the run of a folder without a name, such as /

Tree = dict[str, Any]
Setting = tuple[str, str, Any]  # section, key and value

# a setting, and the one that it needs where a plan would choose another
NEEDS: Sequence[tuple[Setting, Setting]] = (
    (("svm", "enabled", True), ("detect", "nms", "greedy")),
    (("region", "mode", "warp"), ("finetune", "zoom", 0.0)),
)


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

    def folder_of(self, key: object) -> Path | None:
        """The folder that a plan for `key` was made of, if all else was asked for as here; else None."""
        try:
            stated, asked = (parse_json(str(text), "plan's key", "plan") for text in (key, self.key()))
        except DataError:
            return None
        folder = stated.get("folder") if isinstance(stated, dict) else None
        if not isinstance(folder, str) or {**asked, "folder": folder} != stated:
            return None
        return Path(folder)

    def settings(self, tree: Mapping[str, Any]) -> Config:
        """The settings in `tree` with the words over them, and with what the words need (`NEEDS`).

        Section `data` of `tree` stays as it is: the words were used to find it, and name the images that a split
        was drawn from, not the split. ConfigError for settings that are wrong or lack their partner.
        """
        whole = deepcopy(dict(tree))
        for asked, needed in NEEDS:
            if _has(self.given(), *asked):
                section, key, value = needed
                whole[section] = {**whole.get(section, {}), key: value}
        for word in self.overrides:
            apply_override(whole, word)
        if "data" in tree:
            whole["data"] = deepcopy(tree["data"])
        config = parse_config(Config, whole, COMMAND)
        check_partners(config)
        return config


def _has(tree: Tree, section: str, key: str, value: Any) -> bool:
    inner = tree.get(section)
    return isinstance(inner, dict) and inner.get(key) == value
