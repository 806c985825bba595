"""Average precision beside torchvision's Faster R-CNN after training for the same processor seconds.

python benchmarks/accuracy.py CONFIG [section.key=value ...] [--budgets 300 900 1800] [--out runs/accuracy]
    [--methods crops shared faster_rcnn] [--seeds 0] [--held-out SPLIT ...] [--converge] [--side PIXELS]

CONFIG is one of train_det: all train on its training split, from its weights, and are tested on its test split.

- crops, shared: this pipeline by `region.mode` warp and shared. A pilot in a temporary folder measures a step of
  fine-tuning and all else that a training does; the steps are those with which the whole takes the budget. From
  the second budget on the longest training that is done says what a step takes.
  `region.shared_side` counts for all; `--for-crops` and `--for-shared` are settings of one alone.
- faster_rcnn: torchvision's, on the same GoogLeNet with a feature pyramid: SGD with momentum, a linear warm-up
  over the first epoch, a tenth of the rate after 2/3 and 8/9 of the budget, mirrored images. Each of
  `--peer-rates` is trained for the whole budget; the one counts that is best on `--held-out`, or without it has
  the lowest loss in its last steps. All are in results.json; only the seconds of the one count.

Seconds are the processor's, of this process with its threads and children (on a GPU those of the clock), and those
measured, not those wanted. Opening the data, proposals of the training split and the heads on the features belong
to a training; the test does not, and is told in seconds an image. `--converge` goes on with doubled budgets until
VOC AP50 on `--held-out` (without: on the test split) has risen by less than `--tolerance` points twice in a row,
or to `--most` seconds. Results go to results.json, results.md and results.png in `--out`; a repeated command
trains what is missing there.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import faster_rcnn_peer as peer
import numpy as np
import torch
from accuracy_results import TITLES, Plan, Results, Row

from detector.caches import settle_caches
from detector.commands.options import Parser, a_name, a_path, number_above, number_between, whole_number
from detector.commands.process import keep_freed_memory, line_of, say
from detector.config import Config, load_config
from detector.errors import ConfigError, DataError
from detector.evaluation.evaluator import evaluate
from detector.jobs.test_detector import run_testing
from detector.jobs.train_detector import run_training
from detector.networks.device import choose_device, choose_precision
from detector.records import DetectionTable
from detector.runs.folder import RunFolder
from detector.runs.pretrained import fetch_weights
from detector.runs.split import Split, open_split
from detector.runs.stage import STAGES
from detector.stages.detect import open_detections

MODES = {"crops": "warp", "shared": "shared"}
PEER = "faster_rcnn"
FLAT = 2  # doublings that bring less than the tolerance end a training to convergence
MOST = 1e9  # seconds: more than any budget
USAGE_ERROR = 2
# of the command line: what results depend on beside the settings of the config
SETTINGS = ("for_crops", "for_shared", "held_out", "pilot", "rates", "batch", "decay", "regions", "precision")

Ended = Callable[["Note"], bool]


class PilotOverError(Exception):
    """A pilot has measured what it is for."""


@dataclass(frozen=True)
class Note:
    """An event of a run's log, and the seconds at it."""

    event: str
    stage: str
    seconds: float


class NotedRun(RunFolder):
    """A run folder that notes the seconds at each event, and ends a pilot at the one that `is_over` names."""

    def __init__(self, path: Path, clock: Callable[[], float], is_over: Ended | None = None) -> None:
        super().__init__(path)
        self.clock, self.is_over = clock, is_over
        self.started = clock()
        self.notes: list[Note] = []

    def log(self, event: str, **facts: Any) -> None:
        """As of any run; PilotOverError at the end of a pilot."""
        super().log(event, **facts)
        note = Note(event, str(facts.get("stage", "")), self.clock() - self.started)
        self.notes.append(note)
        if self.is_over and self.is_over(note):
            raise PilotOverError

    def at(self, event: str, stage: str) -> float:
        """The seconds at an event of a stage."""
        return next(note.seconds for note in self.notes if (note.event, note.stage) == (event, stage))

    def ends(self) -> list[Note]:
        """The ends of stages."""
        return [note for note in self.notes if note.event == "stage done"]


@dataclass(frozen=True)
class Task:
    """The settings, and the images that all methods are judged by."""

    config: Config
    options: argparse.Namespace

    @cached_property
    def testing(self) -> Split:
        """What all are tested on."""
        return open_split(self.config.data, self.config.data.test)

    @cached_property
    def held_out(self) -> Split | None:
        """What is chosen by, if anything."""
        return open_split(self.config.data, self.options.held_out) if self.options.held_out else None

    @cached_property
    def device(self) -> torch.device:
        """Where all are trained."""
        return choose_device(self.config.engine.device)

    def clock(self) -> float:
        """Seconds of all threads and of the children that have ended; on a GPU those of the clock."""
        return time.perf_counter() if self.device.type == "cuda" else sum(os.times()[:4])


def main(words: Sequence[str] | None = None) -> int:
    """Train and test what the command line asks for and is not done yet; the exit status."""
    try:
        options = parse(words)
        task = Task(read_config(options), options)
        check_apart(task)
        results = Results(options.out, settings_of(task))
        for seed in options.seeds:
            for method in options.methods:
                train_budgets(task, results, method, seed)
        sys.stdout.write(f"{results.table()}\n{options.out / 'results.md'}\n")
    except Exception as error:
        line = line_of(error)
        if line is None:
            raise
        say(f"accuracy: {line}")
        return USAGE_ERROR
    return 0


def read_config(options: argparse.Namespace) -> Config:
    """The settings that all methods share; ConfigError for those under which nothing can be compared."""
    config = load_config(Config, options.config, words_of(options))
    fetch_weights(config, False)
    if config.ensemble.members > 1:
        raise ConfigError(f"ensemble.members must be 1 to be compared, got {config.ensemble.members}")
    if PEER in options.methods:
        peer.make_backbone(config)
    for method in set(options.methods) & MODES.keys():
        config_of(config, options, method, options.pilot, 0)  # what is wrong is told before hours of work
    return config


def words_of(options: argparse.Namespace) -> list[str]:
    """The settings of all methods beside the file's."""
    return [*options.overrides, *([f"region.shared_side=[{options.side}]"] if options.side else [])]


def check_apart(task: Task) -> None:
    """DataError for images that serve two of training, choice and test."""
    parts = {"data.train": open_split(task.config.data, task.config.data.train), "data.test": task.testing}
    if task.held_out:
        parts["--held-out"] = task.held_out
    for (one, first), (other, second) in combinations(parts.items(), 2):
        if len(both := np.intersect1d(first.dataset.paths, second.dataset.paths)):
            raise DataError(f"{other} must hold no image of {one}, got {len(both)}, first {both[0]}")


def settings_of(task: Task) -> dict[str, Any]:
    """What results depend on beside method, budget and seed."""
    return {
        "config": task.config.model_dump(mode="json"),
        **{name: getattr(task.options, name) for name in SETTINGS},
    }


def train_budgets(task: Task, results: Results, method: str, seed: int) -> None:
    """A method for each budget; with `--converge` further, until more time brings nothing."""
    options = task.options
    budgets = sorted(options.budgets)

    def train(budget: float) -> Row:
        return results.row(method, budget, seed, lambda: train_method(task, results, method, budget, seed))

    rows = [train(budget) for budget in budgets]
    budget, flat = budgets[-1], 0
    while options.converge and flat < FLAT and 2 * budget <= options.most:
        budget *= 2
        rows.append(train(budget))
        last, before = score_of(rows[-1]), score_of(rows[-2])
        is_flat = last is not None and before is not None and 100 * (last - before) < options.tolerance
        flat = flat + 1 if is_flat else 0


def score_of(row: Row) -> float | None:
    """What a result is judged by: VOC AP50, held out where there is data for it; None of a budget too short."""
    judged = row.get("held_out") or row
    return None if "voc_ap50" not in judged else float(judged["voc_ap50"])


def train_method(task: Task, results: Results, method: str, budget: float, seed: int) -> Row:
    """One method trained for a budget and tested."""
    if method == PEER:
        return train_peers(task, budget, seed)
    plan = plan_of(task, results, method)
    steps = plan.steps(budget)
    if steps < 1:
        return {"too_short": f"all but fine-tuning takes {plan.rest:.0f} s", "steps": 0}
    folder = task.options.out / "runs" / f"{method}-{budget:g}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)  # of a training that was interrupted: its seconds are not known
    return train_ours(task, config_of(task.config, task.options, method, steps, seed), folder)


def plan_of(task: Task, results: Results, method: str) -> Plan:
    """What a training costs: by the longest that is done, which knows best, else by a pilot."""
    done = [row for row in results.rows() if row["method"] == method and "parts" in row]
    if not done:
        return results.plan(method, lambda: measure_plan(task, method))
    longest = max(done, key=lambda row: row["steps"])
    tuning = longest["parts"]["finetune"]
    return Plan(tuning / longest["steps"], longest["seconds"] - tuning)


def config_of(config: Config, options: argparse.Namespace, method: str, steps: int, seed: int) -> Config:
    """The settings of this pipeline by a method; those that count steps keep their share of the training."""
    own = options.for_crops if method == "crops" else options.for_shared
    settings = config.finetune
    words = [
        f"seed={seed}",
        f"region.mode={MODES[method]}",
        f"finetune.steps={steps}",
        f"finetune.step_size={max(1, round(settings.step_size * steps / max(1, settings.steps)))}",
        f"finetune.warmup={min(settings.warmup, steps // 2)}",
    ]
    return load_config(Config, options.config, [*words_of(options), *own, *words])


def train_ours(task: Task, config: Config, folder: Path) -> Row:
    """This pipeline trained and tested as its users do."""
    run = NotedRun(folder, task.clock)
    run_training(run, config)
    name = task.testing.name
    trained = [note for note in run.ends() if name not in note.stage.split("/")[1:]]
    before = [0.0, *(note.seconds for note in trained)]
    tested = [note for note in run.ends() if note.stage.startswith(f"detect/{name}/")][-1]
    row = {
        "seconds": before[-1],
        "steps": config.finetune.steps,
        "test_seconds": (tested.seconds - before[-1]) / len(task.testing),
        "parts": {note.stage: note.seconds - last for note, last in zip(trained, before, strict=False)},
        **precision_of(task.testing, detections_of(run, config, task.testing)),
    }
    if task.held_out:
        run_testing(run, config, task.options.held_out)
        row["held_out"] = precision_of(task.held_out, detections_of(run, config, task.held_out))
    return row


def detections_of(run: RunFolder, config: Config, split: Split) -> DetectionTable:
    """What a run has found in a split by the method that it reports."""
    folder = run.path / STAGES / "detect" / split.name / config.reported
    return open_detections(folder, split, config.detect.max_per_class)


def precision_of(split: Split, table: DetectionTable) -> dict[str, float]:
    """VOC AP50 and COCO AP of detections, from 0 to 1."""
    data = split.dataset
    size = len(data), len(data.classes), data.blacklist
    voc, coco = (evaluate(protocol, data.objects, table, *size) for protocol in ("voc2010", "coco"))
    return {"voc_ap50": voc.mean_ap, "coco_ap": coco.mean_ap}


def measure_plan(task: Task, method: str) -> Plan:
    """What a training costs, by two short ones: proposals and few steps; then more steps and all that follows."""
    many = task.options.pilot
    few = max(1, many // 4)
    name = task.testing.name
    with tempfile.TemporaryDirectory() as scratch:
        first = pilot(task, method, few, Path(scratch), lambda note: is_fine_tuned(note))
        second = pilot(task, method, many, Path(scratch), lambda note: name in note.stage.split("/")[1:])
    begun, ended = ("stage begun", "finetune"), ("stage done", "finetune")
    short, long = (run.at(*ended) - run.at(*begun) for run in (first, second))
    step = (long - short) / (many - few) if long > short else long / many
    once = max(0.0, short - few * step)  # saving the weights, the first step's memory
    return Plan(step, first.at(*begun) + once + second.notes[-1].seconds - second.at(*ended))


def is_fine_tuned(note: Note) -> bool:
    """Whether fine-tuning ends at this event."""
    return (note.event, note.stage) == ("stage done", "finetune")


def pilot(task: Task, method: str, steps: int, folder: Path, is_over: Ended) -> NotedRun:
    """A training of few steps up to the event that ends it."""
    run = NotedRun(folder, task.clock, is_over)
    try:
        run_training(run, config_of(task.config, task.options, method, steps, 0))
    except PilotOverError:
        return run
    raise DataError(f"pilot must reach the test of {task.testing.name}, got to its end before")


def train_peers(task: Task, budget: float, seed: int) -> Row:
    """Faster R-CNN at every rate; the result of the one chosen, with all of them in `rates`."""
    rows = [train_peer(task, budget, seed, rate) for rate in task.options.rates]
    sound = [row for row in rows if not row["diverged"]] or rows
    if task.held_out:
        best = max(sound, key=lambda row: row["held_out"]["voc_ap50"])
    else:
        best = min(sound, key=lambda row: row["loss"])
    return {**best, "rates": rows}


def train_peer(task: Task, budget: float, seed: int, rate: float) -> Row:
    """Faster R-CNN trained at one rate for the budget, and tested."""
    options, device = task.options, task.device
    ours = task.config.engine.in_floats.precision
    precision = choose_precision(ours if options.precision == "auto" else options.precision, device)
    recipe = peer.Recipe(options.batch, options.decay, options.regions, precision, device)
    trained = peer.train(task.config, recipe, budget, rate, seed, task.clock)
    begun = task.clock()
    table = peer.detect(trained, task.testing, device)
    row: Row = {
        "seconds": trained.seconds,
        "steps": len(trained.losses),
        "test_seconds": (task.clock() - begun) / len(task.testing),
        "rate": rate,
        "loss": trained.loss,
        "diverged": trained.has_diverged,
        **precision_of(task.testing, table),
    }
    if task.held_out:
        row["held_out"] = precision_of(task.held_out, peer.detect(trained, task.held_out, device))
    return row


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(prog="accuracy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    option, seconds = parser.add_argument, number_above(0, MOST)
    option("config", type=a_path, help="YAML file, such as configs/fruit_crops.yaml")
    option("overrides", nargs="*", metavar="section.key=value", help="settings over the file's, for all methods")
    option("--methods", nargs="+", choices=tuple(TITLES), default=list(TITLES))
    option("--budgets", nargs="+", type=seconds, default=[300.0, 900.0, 1800.0], help="seconds of a training")
    option("--seeds", nargs="+", type=whole_number(0), default=[0])
    option("--out", type=a_path, default=Path("runs/accuracy"), help="folder of the results")
    option("--held-out", nargs="+", type=a_name, default=[], help="splits to choose by")
    option("--side", type=whole_number(32), help="shorter side of the images, pixels: region.shared_side")
    option("--for-crops", nargs="+", default=[], metavar="section.key=value", help="settings of crops alone")
    option("--for-shared", nargs="+", default=[], metavar="section.key=value", help="of shared maps alone")
    option("--pilot", type=whole_number(2), default=12, help="steps of the pilot")
    option("--converge", action="store_true", help="go on with doubled budgets until they bring nothing")
    option("--tolerance", type=number_between(0, 100), default=0.5, help="points of AP that count as nothing")
    option("--most", type=seconds, default=14400.0, help="seconds: the longest budget of --converge")
    option("--peer-rates", dest="rates", nargs="+", type=number_above(0, 10), default=[0.005, 0.01])
    option("--peer-batch", dest="batch", type=whole_number(1), default=2, help="images a step")
    option("--peer-decay", dest="decay", type=number_between(0, 1), default=1e-4, help="weight decay")
    option("--peer-regions", dest="regions", type=whole_number(1), default=512, help="of an image in training")
    option(
        "--peer-precision",
        dest="precision",
        choices=("auto", "fp32", "bf16"),
        default="auto",
        help="of the backbone; auto: as engine.precision says for this pipeline",
    )
    return parser.parse_intermixed_args(words)


def begin() -> None:
    """Start this program again with OpenMP threads that sleep while they wait: spinning would count as work."""
    settle_caches()
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # read when torch is loaded, which it is by now
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    keep_freed_memory()


if __name__ == "__main__":
    begin()
    raise SystemExit(main())
