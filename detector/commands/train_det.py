"""Train a detector and test it, into a run folder that a repeated command resumes."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from detector.commands.options import a_path, number_above, training_parser
from detector.config import Config, check_partners, dump_config, load_config, parse_config
from detector.errors import ConfigError
from detector.jobs.outcome import outcome_text
from detector.jobs.planned_run import PlannedRun, plan_run
from detector.jobs.train_detector import run_training
from detector.jobs.wish import COMMAND, Wish
from detector.runs.folder import RunFolder
from detector.runs.pretrained import fetch_weights
from detector.runs.processes import coming_group, process_group

LONGEST = 1e6  # minutes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every stage that the settings ask for; print the mAP table and the report's path."""
    options = _parse(arguments)
    return _train_as_planned(options) if options.data else _train_by_config(options)


def _train_by_config(options: argparse.Namespace) -> int:
    config = load_config(Config, options.config, options.overrides)
    check_partners(config)
    if options.print_config:
        sys.stdout.write(dump_config(config))
        return 0
    fetch_weights(config, options.download)
    run = RunFolder(options.run or Path("runs") / config.name)
    with run.lock() as lock, process_group(config.engine.device) as group:
        lock.take(group)
        outcome = run_training(run, config, group)
    if group.is_first:
        sys.stdout.write(outcome_text(outcome))
    return 0


def _train_as_planned(options: argparse.Namespace) -> int:
    """Plan for the folder's data and this machine, then train as by a config file."""
    wish = Wish(options.data, options.minutes, options.overrides, options.download)
    given = wish.given()
    told = {"name": given.get("name", wish.name), "engine": given.get("engine", {})}
    known = parse_config(Config, told, COMMAND)
    engine, run = known.engine, RunFolder(options.run or Path("runs") / known.name)
    coming = coming_group(engine.device)
    made = plan_run(run, wish, coming) if coming.is_first else None
    with run.lock() as lock, process_group(engine.device) as group:
        lock.take(group)
        planned = group.do_first(lambda: (made or PlannedRun()).checked())
        config = wish.settings(planned.settings)
        if options.print_config:
            sys.stdout.write(dump_config(config) * group.is_first)
            return 0
        fetch_weights(config, options.download)
        started = time.monotonic()
        outcome = run_training(run, config, group)
        minutes = (time.monotonic() - started) / 60
    if group.is_first:
        sys.stdout.write(outcome_text(outcome) + _next_text(run, minutes, planned.seconds))
    return 0


def _next_text(run: RunFolder, minutes: float, expected: float | None) -> str:
    """How long it took, and what may be done with the run."""
    foretold = "" if expected is None else f", expected were {expected / 60:.1f}"
    used = f"detector detect {run.path} photo.jpg, or explain in place of detect: why an object was missed"
    return f"minutes: {minutes:.1f}{foretold}\nnext: open the report, then {used}\n"


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = training_parser("train_det", __doc__, "configs/ilsvrc_det.yaml", is_needed=False)
    parser.add_argument(
        "--data", type=a_path, metavar="FOLDER", help="images and annotations to plan for, in place of a config"
    )
    parser.add_argument(
        "--minutes", type=number_above(0, LONGEST), help="of this machine that --data may take (at most 60)"
    )
    options = parser.parse_intermixed_args(arguments)
    if options.data is None:
        if options.config is None:
            raise ConfigError("config must be given, or --data FOLDER")
        if options.minutes is not None:
            raise ConfigError("--minutes must be left out for a config, which says itself how long it trains")
    elif options.config is not None:
        if "=" not in str(options.config):
            raise ConfigError(f"config must be left out with --data, got {options.config} and {options.data}")
        options.overrides.insert(0, str(options.config))  # the first word that is no option
    return options
