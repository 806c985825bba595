"""A synthetic world for first trials: few things in an image, none of them small, each class in its colour."""

from dataclasses import dataclass, replace

import numpy as np

from detector.errors import ConfigError
from detector.synthetic.scenes import Crowding, PlainWorld, Surface

MAX_GENTLE_CLASSES = 12  # whose hues can be told apart
GENTLE = Crowding(behind=(0, 3), before=(0, 1), smallest=0.03, visible=0.9, objects=4)


@dataclass(frozen=True)
class GentleWorld(PlainWorld):
    """A `World` of the plain one's classes, whose hues are as far apart as they can be."""

    @property
    def crowding(self) -> Crowding:
        """Little."""
        return GENTLE

    def surface(self, label: int, rng: np.random.Generator) -> Surface:
        """The texture of the class, in its hue."""
        return replace(super().surface(label, rng), hue=(label - 1) / self.classes)


def check_gentle(classes: int) -> None:
    """Raise ConfigError unless there is a `GentleWorld` of so many classes."""
    if not 1 <= classes <= MAX_GENTLE_CLASSES:
        raise ConfigError(f"classes must be in 1..{MAX_GENTLE_CLASSES} in the gentle world, got {classes}")
