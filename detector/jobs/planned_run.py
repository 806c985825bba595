"""The settings of a training on one's own data: those found for the data, and those planned for this machine.

The plan is kept in RUN/plan.json: a repeated command goes on by it, and nothing is measured again. Other data,
another network or another number of minutes make another plan.
"""

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tqdm import tqdm

from detector.data.check import check_data
from detector.data.check_text import findings_text
from detector.data.readers import format_of
from detector.errors import DataError, UserError
from detector.files import write_text
from detector.jobs.known_plan import PLAN, known_plan, lists_of, plan_of_moved_data
from detector.jobs.own_data import list_texts, lists_of_a_plan, own_data, unused_since
from detector.jobs.plan import (
    COMMON,
    LEVELS,
    SAFETY,
    SCRATCH_LEVELS,
    Level,
    Plan,
    for_crowds,
    merged,
    plan_text,
    suited,
)
from detector.jobs.plan_choice import Chooser
from detector.jobs.plan_rates import measure_images, numbers_of
from detector.jobs.wish import Tree, Wish
from detector.runs.folder import RunFolder
from detector.runs.pretrained import start_of
from detector.runs.processes import Group
from detector.runs.split import open_split

DEFAULT_MINUTES = 60.0  # where nobody says how many there are


@dataclass(frozen=True)
class PlannedRun:
    """The planned settings, before the words of the command line, and the seconds that the run should take.

    `seconds` is None where the plan was there already; `error` says why no plan could be made.
    """

    settings: Tree = field(default_factory=dict)
    seconds: float | None = None
    error: DataError | None = None

    def checked(self) -> "PlannedRun":
        """The same; or its error is raised."""
        if self.error:
            raise self.error
        return self


def plan_run(run: RunFolder, wish: Wish, coming: Group) -> PlannedRun:
    """The plan for `wish`: that of an earlier command in the folder, or a new one.

    One process makes and prints it before it joins the `coming` group, since it measures the machine alone.
    """
    try:
        with run.lock() as lock:
            lock.take()
            return _known_plan(run, wish) or _make_plan(run, wish, coming)
    except UserError as error:  # told by the first process, once all are there to end with it
        return PlannedRun(error=DataError(str(error)))


def _known_plan(run: RunFolder, wish: Wish) -> PlannedRun | None:
    settings = known_plan(run, wish)
    if not settings:
        return None
    data = settings.get("data")
    unused = unused_since(data, wish.given().get("data") or {}) if isinstance(data, dict) else []
    _say(f"plan: that of {run.path / PLAN}", *unused)
    return PlannedRun(settings)


def _make_plan(run: RunFolder, wish: Wish, group: Group) -> PlannedRun:
    started = time.monotonic()
    # wrong words are told before anything is looked for
    wish.settings(merged(COMMON, LEVELS[-1].settings))
    before = list_texts(lists_of(run))
    with lists_of_a_plan(lists_of(run)):
        base = _checked_base(run, wish)
        moved = plan_of_moved_data(run, wish, base["data"], before)
        if moved:
            write_text(run.path / PLAN, json.dumps(moved, indent=1) + "\n")
            _say(f"plan: that of {run.path / PLAN}, of the same data in another folder")
            return PlannedRun(moved["settings"])
        plan = _choose(wish, base, group, started)
        _say(plan_text(plan, wish.minutes))
    settings = _planned(base, plan.level, plan.steps)
    facts = {"for": wish.key(), "level": plan.level.name, "seconds": dict(plan.seconds), "settings": settings}
    write_text(run.path / PLAN, json.dumps(facts, indent=1) + "\n")
    return PlannedRun(settings, plan.total)


def _checked_base(run: RunFolder, wish: Wish) -> Tree:
    """The settings of the data and the network; prints what was found."""
    given, seed = wish.given(), wish.settings({"name": wish.name}).seed
    data, lines = own_data(wish.folder, given.get("data") or {}, lists_of(run), seed)
    network = start_of(given.get("network") or {}, wish.download)
    base = merged({"name": wish.name, "network": network, "data": data}, COMMON)
    config = wish.settings(base)
    check = check_data(config.data, {"train": config.data.train, "test": config.data.test})
    _say(*lines, *findings_text(check))
    return merged(base, {"evaluate": {"protocol": format_of(config.data).protocol}})


def _choose(wish: Wish, base: Tree, group: Group, started: float) -> Plan:
    """Measure this machine on some of the images, and choose."""
    config = wish.settings(base)
    training, testing = (open_split(config.data, splits) for splits in (config.data.train, config.data.test))
    seconds = 60 * SAFETY * (wish.minutes or DEFAULT_MINUTES)
    with TemporaryDirectory(prefix="plan-") as scratch:
        sample = measure_images(config, training, group, Path(scratch))
        numbers = numbers_of(training.dataset, testing.dataset)
        chooser = Chooser(
            lambda level, steps: wish.settings(_planned(base, level, steps)),
            numbers,
            sample,
            group,
            lambda: seconds - (time.monotonic() - started),
        )
        levels = LEVELS if config.network.weights else SCRATCH_LEVELS
        able = [for_crowds(suited(level, config.network.variant), numbers) for level in levels]
        return chooser.choose(able, wish.minutes)


def _planned(base: Tree, level: Level, steps: int) -> Tree:
    return merged(base, level.settings, {"finetune": {"steps": steps, "warmup": min(10, steps // 2)}})


def _say(*lines: str) -> None:
    for line in lines:
        tqdm.write(line, file=sys.stderr)
