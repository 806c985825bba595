"""The plan of a training on one's own data: what is trained and how, for so many minutes at a measured speed.

`LEVELS` are sets of settings, the most accurate first. The time of each one's stages is predicted from what was
measured on the machine, and the first level that leaves time for enough steps of training is taken.
benchmarks/short_trainings.md measures what steps and pixels are worth, and compares crops of 224 pixels with
shared maps; with 600 pixels in place of 400 a step takes 1.6 times as long, and no more is found there. Smaller
images and fewer regions miss objects: docs/own_data.md has figures. Where images hold many objects, a level's
limit of regions is raised: the first 150 regions of an image cover 0.59 of the objects among blood cells (14 an
image), and 0.93 among fruit (2 an image).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from detector.config import Config
from detector.errors import DataError
from detector.jobs.wish import Tree
from detector.networks.backbones import backbone_facts
from detector.networks.backbones.base import Variant
from detector.parallel import worker_count

PASSES = 40  # times that each object is drawn in a whole training: 1,000 steps for the 400 of configs/fruit.yaml
MANY_OBJECTS, PASSES_OF_MANY = 2000, 5  # objects beyond so many are drawn so often
FEW, ENOUGH = 3200, 6400  # objects drawn, below which a cheaper level is better
LEAST = 240  # objects drawn; fewer are not planned
FEWEST_STEPS = 20
SAFETY = 0.93  # of the minutes are planned for; machines are not as even as plans
ROUND = 10  # steps, and regions
USUAL = 4  # objects an image, for which a level's limit of regions is meant
REPORT_SECONDS, REPORT_IMAGE = 5.0, 0.05  # of evaluation, pictures and pages: whatever the images are, and of each
SETUP_SECONDS = 6.0  # of reading the data, starting workers and writing a network
DIMENSIONS, RIDGE_ROWS = 9217, 3000  # features of a box regressor; rows by which its ridge is chosen
CHOOSING = 15.0  # multiply-adds a cubed row of choosing a ridge: the eigenvectors of n x n numbers


@dataclass(frozen=True)
class Level:
    """Settings over the published ones; without time to draw `enough` objects, the next level is tried."""

    name: str
    settings: Mapping[str, Any]
    enough: int = FEW


@dataclass(frozen=True)
class Numbers:
    """The size of the job: images trained and tested on, objects and classes trained on.

    `unkept` is the share of the training images that the cache of decoded ones cannot hold: they are read again.
    """

    train: int
    test: int
    objects: int
    classes: int
    unkept: float = 0.0


@dataclass(frozen=True)
class ImageRates:
    """Of an image: seconds to decode and to propose, its regions, and those of them paired with an object."""

    decode: float
    search: float
    regions: float
    pairs: float
    multiply_add: float  # seconds of one in double precision


@dataclass(frozen=True)
class LevelRates:
    """Seconds of a step of training, of scoring an image and each region of it, and of opening an engine."""

    step: float
    image: float
    region: float
    start: float


@dataclass(frozen=True)
class Plan:
    """The chosen level and steps, and the seconds that each stage is expected to take."""

    level: Level
    steps: int
    seconds: Mapping[str, float]

    @property
    def total(self) -> float:
        """Seconds of all stages."""
        return sum(self.seconds.values())


SMALL_BATCH = {"batch_size": 64, "positives": 16}
TINY_BATCH = {"batch_size": 32, "positives": 8}
FROM_MAPS = {
    "optimizer": "adamw",
    "learning_rate": 2e-4,
    "frozen_stages": 2,
    "near_background": 0.7,
    "zoom": 0.4,
}


def merged(*trees: Mapping[str, Any]) -> Tree:
    """The settings of all `trees`, later ones over earlier ones, section by section."""
    found: Tree = {}
    for tree in trees:
        for key, value in tree.items():
            inner = found.get(key)
            both = isinstance(inner, Mapping) and isinstance(value, Mapping)
            found[key] = merged(inner or {}, value) if both else value
    return found


def _shared(side: int, longest: int, boxes: int) -> Mapping[str, Any]:
    return {
        "region": {
            "mode": "shared",
            "shared_side": [side],
            "shared_longest": longest,
            "shared_images": 4,
            "crop_size": 160,
            "padding": 11,
        },
        "finetune": {**SMALL_BATCH, **FROM_MAPS},
        **({"proposals": {"max_boxes": boxes}, "boxes": {"images": boxes}} if boxes else {}),
    }


LEVELS = (
    Level("maps shared at 400 pixels", _shared(400, 600, 0), ENOUGH),
    Level("maps shared at 400 pixels, 300 regions an image", _shared(400, 600, 300)),
    Level("maps shared at 300 pixels, 150 regions an image", _shared(300, 450, 150)),
    Level(
        "maps shared at 240 pixels, 80 regions an image",
        merged(_shared(240, 360, 80), {"finetune": TINY_BATCH, "boxes": {"images": 40}}),
    ),
)
_FROM_SCRATCH = {
    "batch_size": 64,
    "positives": 32,
    "optimizer": "adamw",
    "learning_rate": 2e-3,
    "head_factor": 1,
    "weight_decay": 0.05,
    "average": "ema",
    "average_decay": 0.98,
}
SCRATCH_LEVELS = (
    Level("crops of 96 pixels", {"region": {"crop_size": 96, "padding": 7}, "finetune": _FROM_SCRATCH}),
    Level("crops of 64 pixels", {"region": {"crop_size": 64, "padding": 5}, "finetune": _FROM_SCRATCH}),
    Level(
        "crops of 64 pixels, 200 regions an image",
        {
            "region": {"crop_size": 64, "padding": 5},
            "finetune": _FROM_SCRATCH,
            "proposals": {"max_boxes": 200},
        },
    ),
)
COMMON: Mapping[str, Any] = {
    "network": {"head": "auto"},
    "finetune": {
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "warmup": 10,
        "photometric": 0.3,
        "checkpoint_every": 50,
    },
    "boxes": {"enabled": True},
    "detect": {"nms": "soft_linear", "voting_iou": 0.65},
}


def suited(level: Level, variant: Variant) -> Level:
    """`level` for a network that may have fewer stages to freeze."""
    frozen = min(level.settings["finetune"].get("frozen_stages", 0), backbone_facts(variant).stages)
    return replace(level, settings=merged(level.settings, {"finetune": {"frozen_stages": frozen}}))


def for_crowds(level: Level, numbers: Numbers) -> Level:
    """`level` for images with more than the usual objects: its limit of regions grows with their number."""
    limit = level.settings.get("proposals", {}).get("max_boxes", 0)
    more = _rounded(limit * numbers.objects / max(numbers.train, 1) / USUAL)
    if not limit or more <= limit:
        return level
    name = level.name.replace(f"{limit} regions", f"{more} regions")
    return replace(level, name=name, settings=merged(level.settings, {"proposals": {"max_boxes": more}}))


def whole_steps(objects: int, positives: int) -> int:
    """The steps of a whole training."""
    drawn = PASSES * min(objects, MANY_OBJECTS) + PASSES_OF_MANY * max(0, objects - MANY_OBJECTS)
    return _rounded(max(drawn, FEW) / positives)


def expected(config: Config, numbers: Numbers, images: ImageRates, rates: LevelRates) -> dict[str, float]:
    """The seconds that each stage of a run of `config` takes."""
    limit = config.proposals.max_boxes
    regions = min(images.regions, limit) if limit else images.regions
    pairs = images.pairs * regions / max(images.regions, 1.0) * numbers.train
    drawn = config.region.shared_images if config.region.mode == "shared" else config.finetune.batch_size
    reading = drawn * numbers.unkept * images.decode / max(worker_count(config.engine.workers), 1)
    seconds = {
        "propose": (numbers.train + numbers.test) * images.search,
        "train": SETUP_SECONDS + config.finetune.steps * (rates.step + reading),
    }
    if config.svm.enabled:
        mined = min(numbers.train, config.svm.images or numbers.train)
        seconds["svm"] = rates.start + mined * (rates.image + regions * rates.region)
    if config.boxes.enabled and config.boxes.method == "ridge":
        share = min(1.0, (config.boxes.images or numbers.train) / max(numbers.train, 1))
        pairs, looked_at = pairs * share, numbers.train * share * (config.region.mode == "shared")
        seconds["boxes"] = rates.start + looked_at * rates.image + pairs * rates.region
        seconds["boxes"] += numbers.classes * _ridge(pairs / numbers.classes) * images.multiply_add
    seconds["test"] = rates.start + numbers.test * (rates.image + regions * rates.region)
    seconds["report"] = REPORT_SECONDS + REPORT_IMAGE * numbers.test
    return seconds


def _ridge(rows: float) -> float:
    """Multiply-adds of one class's ridge regression on so many pairs."""
    chosen, least = min(rows, RIDGE_ROWS), min(rows, DIMENSIONS)
    return chosen**2 * DIMENSIONS + CHOOSING * chosen**3 + rows * least * DIMENSIONS + least**3 / 3


def fitted_steps(plan: Callable[[int], float], positives: int, objects: int, seconds: float) -> int:
    """The most steps for which `plan` gives at most `seconds`, up to a whole training; below 1 where none fit."""
    first, one = plan(1), plan(2) - plan(1)
    fitting = 1 + int((seconds - first) // max(one, 1e-9))
    return min(whole_steps(objects, positives), fitting if fitting < ROUND else _floor(fitting))


def enough_steps(objects: int, positives: int, enough: int) -> int:
    """The steps below which a cheaper level is better; `enough` counts the objects drawn in them."""
    return min(whole_steps(objects, positives), _rounded(enough / positives))


def least_steps(positives: int) -> int:
    """The fewest steps that are planned."""
    return max(FEWEST_STEPS, _rounded(LEAST / positives))


def plan_text(plan: Plan, minutes: float | None) -> str:
    """The plan in lines, with the minutes of each stage."""
    asked = "" if minutes is None else f" of the {minutes:g} that there are"
    words = [f"{name} {seconds / 60:.1f}" for name, seconds in plan.seconds.items()]
    return (
        f"plan: {plan.level.name}, {plan.steps} steps\n"
        f"expected minutes: {', '.join(words)}; in all {plan.total / 60:.1f}{asked}"
    )


def too_short(minutes: float, least: float) -> DataError:
    """What is said of a budget under the `least` seconds."""
    needed = math.ceil(least / 60 / SAFETY * 10) / 10
    return DataError(f"--minutes must be at least {needed:.1f} for these data on this machine, got {minutes:g}")


def _rounded(number: float) -> int:
    return max(ROUND, round(number / ROUND) * ROUND)


def _floor(steps: int) -> int:
    return steps // ROUND * ROUND
