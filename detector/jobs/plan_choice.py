"""Choosing the plan: the best level that leaves time for enough steps; only likely levels are measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from detector.config import Config
from detector.jobs.level_rates import measure_level
from detector.jobs.plan import (
    SAFETY,
    Level,
    LevelRates,
    Numbers,
    Plan,
    enough_steps,
    expected,
    fitted_steps,
    least_steps,
    too_short,
)
from detector.jobs.plan_rates import Sample
from detector.networks.backbones import backbone_facts
from detector.networks.layer_table import describe, total
from detector.runs.processes import Group

DOUBTFUL = 1.3  # times the seconds left: a level that is predicted to take more is not measured
BACKWARD = 3  # a step of training beside a forward pass

Build = Callable[[Level, int], Config]  # the settings of a level with so many steps of training


@dataclass(frozen=True)
class Tried:
    """A level, its measured rates, and the steps for which there is time."""

    level: Level
    rates: LevelRates
    steps: int


@dataclass
class Chooser:
    """Tries levels by what they cost, measured or predicted; `left` gives the seconds that remain."""

    build: Build
    numbers: Numbers
    sample: Sample
    group: Group
    left: Callable[[], float]
    measured: dict[str, LevelRates] = field(default_factory=dict)

    def choose(self, levels: Sequence[Level], minutes: float | None) -> Plan:
        """The plan; DataError with the least minutes that would do, where no level fits into those asked for."""
        tried: list[Tried] = []
        for level in levels:
            if not self._is_hopeless(level, levels[-1]):
                tried.append(self._try(level))
                if tried[-1].steps >= self._enough(level):
                    return self._plan(tried[-1], tried[-1].steps)
        able = [each for each in tried if each.steps >= self._least(each.level)]
        if able:
            best = max(able, key=lambda each: each.steps / self._enough(each.level))
            return self._plan(best, best.steps)
        cheapest = min((self._plan(each, self._least(each.level)) for each in tried), key=lambda plan: plan.total)
        if minutes is not None:
            raise too_short(minutes, cheapest.total + 60 * SAFETY * minutes - self.left())
        return cheapest

    def seconds(self, level: Level, rates: LevelRates, steps: int) -> float:
        """What a run of `level` takes."""
        return sum(expected(self.build(level, steps), self.numbers, self.sample.rates, rates).values())

    def _plan(self, tried: Tried, steps: int) -> Plan:
        config = self.build(tried.level, steps)
        seconds = expected(config, self.numbers, self.sample.rates, tried.rates)
        return Plan(tried.level, config.finetune.steps, seconds)

    def _try(self, level: Level) -> Tried:
        """Measure the level, once for the same regions and training, and fit its steps into the time."""
        config = self.build(level, 1)
        key = f"{config.region!r} {config.finetune!r}"
        if key not in self.measured:
            self.measured[key] = measure_level(config, self.sample, self.group)
        rates = self.measured[key]
        return Tried(level, rates, self._fitted(level, rates))

    def _fitted(self, level: Level, rates: LevelRates) -> int:
        fixed = self._fixed(level)
        if fixed is not None:
            return fixed if self.seconds(level, rates, fixed) <= self.left() else -1
        positives = self.build(level, 1).finetune.positives
        return fitted_steps(
            lambda steps: self.seconds(level, rates, steps), positives, self.numbers.objects, self.left()
        )

    def _fixed(self, level: Level) -> int | None:
        """The steps that the user has set, whatever is planned."""
        one, two = (self.build(level, steps).finetune.steps for steps in (1, 2))
        return one if one == two else None

    def _enough(self, level: Level) -> int:
        fixed = self._fixed(level)
        positives = self.build(level, 1).finetune.positives
        return enough_steps(self.numbers.objects, positives, level.enough) if fixed is None else fixed

    def _least(self, level: Level) -> int:
        fixed = self._fixed(level)
        return least_steps(self.build(level, 1).finetune.positives) if fixed is None else fixed

    def _is_hopeless(self, level: Level, cheapest: Level) -> bool:
        """Whether the level would take far too long, judged on a CPU by the work beside that of the cheapest."""
        if level is cheapest or self.group.device.type != "cpu":
            return False
        known = self._try(cheapest).rates
        theirs, ours = (work(self.build(each, 1), self.sample) for each in (cheapest, level))
        of_step, of_image, of_region = (mine / (other or 1.0) for mine, other in zip(ours, theirs, strict=True))
        scored = known.image + self.sample.rates.regions * known.region
        both = theirs.image + self.sample.rates.regions * theirs.region
        region = known.region * of_region if ours.image else scored / both * ours.region
        rates = LevelRates(known.step * of_step, known.image * of_image, region, known.start)
        return self.seconds(level, rates, self._enough(level)) > DOUBTFUL * self.left()


class Work(NamedTuple):
    """Multiply-adds of a step of training, of an image, and of each region of it."""

    step: float
    image: float
    region: float


def work(config: Config, sample: Sample) -> Work:
    """What a network that runs by `config` computes for images as those of the sample."""
    region, batch = config.region, config.finetune.batch_size
    rows = describe(config.network.variant, region.crop_size, 1)
    whole = total(rows).multiply_adds
    if region.mode == "warp":
        return Work(BACKWARD * batch * whole, 0.0, whole)
    names = [row.name for row in rows]
    behind = rows[names.index(backbone_facts(config.network.variant).shared.layer) + 1 :]
    tail = total(behind).multiply_adds
    sizes = sample.labelled.regions.split.dataset.sizes.astype(np.float64)
    scales = np.minimum(region.shared_side[0] / sizes.min(axis=1), region.shared_longest / sizes.max(axis=1))
    pixels = float((sizes.prod(axis=1) * scales**2).mean())
    image = (whole - tail) * pixels / region.crop_size**2
    return Work(BACKWARD * (region.shared_images * image + batch * tail), image, tail)
