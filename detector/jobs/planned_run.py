"""The settings of a training on one's own data: those of the data, and those planned for this machine.

What was planned is kept in the run folder: a repeated command goes on by RUN/plan.json, and nothing is measured
anew. For other data, another network or other minutes another plan is made.
"""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tqdm import tqdm

from detector.config import Config, parse_config
from detector.config.loading import apply_override
from detector.data.check import check_data
from detector.data.check_text import findings_text
from detector.data.readers import format_of
from detector.errors import DataError, UserError
from detector.files import read_json, write_text
from detector.jobs.own_data import COMMAND, Tree, own_data
from detector.jobs.plan import COMMON, LEVELS, SAFETY, SCRATCH_LEVELS, Level, Numbers, Plan, merged, plan_text
from detector.jobs.plan_choice import Chooser
from detector.jobs.plan_rates import measure_images
from detector.runs.folder import RunFolder
from detector.runs.pretrained import start_of
from detector.runs.processes import Group
from detector.runs.split import open_split
from detector.text import one_line

PLAN = "plan.json"
LISTS = "data"
DEFAULT_MINUTES = 60.0  # where nobody says how many there are
UNNAMED = "own_data"  # the run of a folder without a name, such as /


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

    def key(self) -> Tree:
        """What a plan depends on beside the machine, as JSON gives it back."""
        given = self.given()
        sections = {name: given.get(name) for name in ("data", "network")}
        known: Tree = json.loads(json.dumps({"folder": str(self.folder), "minutes": self.minutes, **sections}))
        return known

    def settings(self, tree: Mapping[str, Any]) -> Config:
        """The settings in `tree` with the words over them."""
        whole = json.loads(json.dumps(tree))
        for word in self.overrides:
            apply_override(whole, word)
        return parse_config(Config, whole, COMMAND)


@dataclass(frozen=True)
class PlannedRun:
    """The settings of a run, and the seconds that it is expected to take: None where the plan was there."""

    config: Config
    seconds: float | None


def plan_run(run: RunFolder, wish: Wish, group: Group) -> PlannedRun:
    """The plan of `wish`, made and said by the first process of the group, or that of an earlier command."""

    def make() -> tuple[Tree, float | None]:
        try:
            return _known_plan(run, wish) or _make_plan(run, wish, group)
        except UserError as error:  # of either kind: the first process tells it for all
            raise DataError(str(error)) from None

    tree, seconds = group.do_first(make)
    return PlannedRun(wish.settings(tree), seconds)


def _known_plan(run: RunFolder, wish: Wish) -> tuple[Tree, None] | None:
    path = run.path / PLAN
    if not path.is_file():
        return None
    known = read_json(path, "plan")
    if (
        not isinstance(known, dict)
        or known.get("for") != wish.key()
        or not isinstance(known.get("settings"), dict)
    ):
        return None
    _say(f"plan: that of {path}")
    return known["settings"], None


def _make_plan(run: RunFolder, wish: Wish, group: Group) -> tuple[Tree, float]:
    started = time.monotonic()
    given = wish.given()
    base: Tree = {"name": wish.name, "network": start_of(given.get("network") or {}, wish.download)}
    seed = wish.settings(base).seed
    data, lines = own_data(wish.folder, given.get("data") or {}, run.path / LISTS, seed)
    base = merged(base, {"data": data}, COMMON)
    config = wish.settings(base)
    base = merged(base, {"evaluate": {"protocol": format_of(config.data).protocol}})
    check = check_data(config.data, {"train": config.data.train, "test": config.data.test})
    _say(*lines, *findings_text(check))
    plan = _choose(wish, base, group, started)
    _say(plan_text(plan, wish.minutes))
    settings = _planned(base, plan.level, plan.steps)
    facts = {"for": wish.key(), "level": plan.level.name, "seconds": dict(plan.seconds), "settings": settings}
    write_text(run.path / PLAN, json.dumps(facts, indent=1) + "\n")
    return settings, plan.total


def _choose(wish: Wish, base: Tree, group: Group, started: float) -> Plan:
    """Measure this machine on some of the images, and choose."""
    config = wish.settings(base)
    training, testing = (open_split(config.data, splits) for splits in (config.data.train, config.data.test))
    objects = training.dataset.objects
    present = len(np.unique(objects.labels))
    numbers = Numbers(len(training), len(testing), len(objects.labels), max(present, 1))
    seconds = 60 * SAFETY * (wish.minutes or DEFAULT_MINUTES)
    with TemporaryDirectory(prefix="plan-") as scratch:
        sample = measure_images(config, training, group, Path(scratch))
        chooser = Chooser(
            lambda level, steps: wish.settings(_planned(base, level, steps)),
            numbers,
            sample,
            group,
            lambda: seconds - (time.monotonic() - started),
        )
        return chooser.choose(LEVELS if config.network.weights else SCRATCH_LEVELS, wish.minutes)


def _planned(base: Tree, level: Level, steps: int) -> Tree:
    return merged(base, level.settings, {"finetune": {"steps": steps, "warmup": min(10, steps // 2)}})


def _say(*lines: str) -> None:
    for line in lines:
        tqdm.write(line, file=sys.stderr)
