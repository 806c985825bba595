"""A synthetic world in which the company that an object keeps tells what it is.

Classes come in themes that meet in images, on a ground of the theme's own texture and hue. Each class has a twin
of the same outline in another theme; only their textures differ. Of an object that is out of focus no texture is
seen, so that nothing but the rest of its image can tell it from its twin.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from detector.errors import ConfigError
from detector.records import FIRST_LABEL, Bool, Int64
from detector.synthetic.scenes import Corner, Crowding, Layer, Surface, class_name, class_shape, class_surface
from detector.synthetic.shapes import Outline
from detector.synthetic.textures import TEXTURES

MIN_CLASSES = 4
TWIN_STEP = 80  # kinds from a class to its twin: five 16ths on, the same shape, and five textures further
MAX_THEMED_CLASSES = 2 * TWIN_STEP
THEME_CLASSES = 5  # about so many in a theme
STRANGERS = 0.1  # odds that the next class of an image is of another theme
HORIZON = (0.72, 0.88)  # where the ground begins, of the image's height
SLOPE = 0.04  # of the horizon, to each side
GROUND_TILES = 2.5  # of its texture, across the image


@dataclass(frozen=True)
class ThemedWorld:
    """A `World` of themes, where a share `blurred` of the objects is out of focus.

    Labels k and k + C / 2 are twins. Themes are numbered from 0; the themes of twins are half of their number
    apart, and so are their hues.
    """

    classes: int
    blurred: float

    @property
    def crowding(self) -> Crowding:
        """As in the plain world."""
        return Crowding()

    @property
    def themes(self) -> int:
        """The number of themes, an even one."""
        return 2 * max(round(self.classes / 2 / THEME_CLASSES), 1)

    def theme(self, labels: Int64) -> Int64:
        """The themes (N,) of classes (N,)."""
        side, pair = np.divmod(labels - FIRST_LABEL, self.classes // 2)
        groups = self.themes // 2
        return side * groups + pair * groups // (self.classes // 2)

    def twin(self, label: int) -> int:
        """The class that looks like `label` out of focus."""
        return (label - FIRST_LABEL + self.classes // 2) % self.classes + FIRST_LABEL

    def name(self, label: int) -> str:
        """The class's texture and shape."""
        return class_name(self._look(label))

    def outline(self, label: int) -> Outline:
        """The outline that `label` and its twin share."""
        return class_shape(min(label, self.twin(label)))

    def surface(self, label: int, rng: np.random.Generator) -> Surface:
        """The texture of the class, in focus or not."""
        surface = class_surface(self._look(label), rng)
        return replace(surface, in_focus=bool(rng.random() >= self.blurred))

    def companions(self, label: int, rng: np.random.Generator) -> Int64:
        """All other labels, most of those of the same theme first."""
        others = np.delete(np.arange(FIRST_LABEL, self.classes + FIRST_LABEL), label - FIRST_LABEL)
        strange = self.theme(others) != self._theme_of(label)
        rate = np.where(strange, STRANGERS / strange.sum(), 1 / max((~strange).sum(), 1))
        return others[np.argsort(rng.exponential(size=len(others)) / rate)]

    def ground(self, label: int, image: Corner, rng: np.random.Generator) -> Layer | None:
        """The theme's ground, below a horizon that is nearly level."""
        height, width = image
        theme, level, slope = self._theme_of(label), rng.uniform(*HORIZON), rng.uniform(-SLOPE, SLOPE)
        edge = [(0, height * (level - slope)), (width, height * (level + slope)), (width, height), (0, height)]
        mask = np.zeros(image, np.uint8)
        cv2.fillPoly(mask, [np.round(edge).astype(np.int32)], 255)
        shift = (float(rng.random()), float(rng.random()))
        family, variant = TEXTURES[theme % len(TEXTURES)], theme // len(TEXTURES)
        surface = Surface(family, variant, rng.uniform(-0.2, 0.2), shift, hue=theme / self.themes)
        units = 2 * GROUND_TILES / width  # a tile spans two units
        return Layer(mask, (0, 0), np.diag([units, units, 1]), surface, 0)

    def _theme_of(self, label: int) -> int:
        return int(self.theme(np.array([label]))[0])

    def _look(self, label: int) -> int:
        """The class of the plain world whose texture and name it has."""
        side, pair = divmod(label - FIRST_LABEL, self.classes // 2)
        return pair + side * TWIN_STEP + FIRST_LABEL


def check_context(context: float, classes: int) -> None:
    """Raise ConfigError unless there is a `ThemedWorld` of these numbers."""
    if not 0 <= context <= 1:
        raise ConfigError(f"context must be in 0..1, got {context}")
    if classes % 2 or not MIN_CLASSES <= classes <= MAX_THEMED_CLASSES:
        wanted = f"an even number in {MIN_CLASSES}..{MAX_THEMED_CLASSES}"
        raise ConfigError(f"classes must be {wanted} with context, got {classes}")


def image_facts(world: ThemedWorld, label: int, layers: Sequence[Layer], boxed: Bool) -> dict[str, Any]:
    """The theme of an image made for `label`, and which of its `boxed` objects (G,), from 0, are out of focus."""
    in_focus = np.array([layer.surface.in_focus for layer in layers if layer.label], np.bool_)
    return {"theme": world._theme_of(label), "blurred": np.flatnonzero(~in_focus[boxed]).tolist()}


def world_facts(world: ThemedWorld, images: Mapping[str, Any]) -> dict[str, Any]:
    """What context.json tells: the themes with their classes, the twins, and of each split's images the facts."""
    labels = np.arange(FIRST_LABEL, world.classes + FIRST_LABEL)
    themes = world.theme(labels)
    return {
        "context": world.blurred,
        "themes": [
            {"classes": [world.name(int(label)) for label in labels[themes == theme]], "ground": family}
            for theme, family in ((t, TEXTURES[t % len(TEXTURES)]) for t in range(world.themes))
        ],
        "twins": [
            [world.name(label), world.name(world.twin(label))] for label in labels[: world.classes // 2].tolist()
        ],
        "images": images,
    }
