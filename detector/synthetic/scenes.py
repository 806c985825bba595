"""Scenes of the synthetic world: which things lie where, in what order, and what of each stays visible.

A scene holds shapes and no colours; `detector.synthetic.painting` paints it. Sizes and counts follow the
validation images of ILSVRC-DET: 482 x 415 pixels, 1.534 classes and 2.758 objects an image, 6.8% of the images
without any object, and a mean object scale (box area over image area) of 0.17.
"""

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from detector.records import Array, Bool, Float64, GroundTruth, Image, Int64
from detector.synthetic.shapes import SHAPES, Outline, bend, class_outline, clutter_outline
from detector.synthetic.textures import TEXTURES

MAX_CLASSES = len(SHAPES) * len(TEXTURES)  # the two counts have no common factor, so all pairs occur once
MEAN_WIDTH = 482.0  # ILSVRC-DET val, as the tables below

CLASSES_PER_IMAGE = np.array([0.0683, 0.562, 0.216, 0.095, 0.036, 0.0147, 0.008])
MAX_INSTANCES = 24
INSTANCES = np.arange(1, MAX_INSTANCES + 1) ** -2.3
MAX_OBJECTS = 40

LONG_SIDE = 500.0
MIN_SCALE, MAX_SCALE = 0.004, 0.93
MIN_VISIBLE = 0.55  # share of its silhouette that an object keeps
MIN_SIDE = 0.035  # smallest side of an object's box, of the square root of the image's area
TRIES = 12

Corner = tuple[int, int]


@dataclass(frozen=True)
class Surface:
    """A texture and how it lies on a shape: its turn in radians and its shift in tiles.

    Out of focus nothing of the texture is seen. `hue` in turns is that of its colours, which have any without it.
    """

    family: str
    variant: int
    turn: float
    shift: tuple[float, float]
    in_focus: bool = True
    hue: float | None = None


@dataclass(frozen=True, eq=False)
class Layer:
    """One thing of a scene: its coverage `mask` (h, w) uint8 with the top left at `corner` (y, x) of the image,
    `to_unit` (3, 3) from image pixels to the outline's own coordinates, and its label, 0 for clutter.
    """

    mask: Image
    corner: Corner
    to_unit: Array
    surface: Surface
    label: int


@dataclass(frozen=True, eq=False)
class Scene:
    """Layers from back to front; `owner` (H, W) uint8 is 1 + the topmost layer of each pixel, 0 where there is
    none; `truth` boxes the visible part of every object, in the order of the layers.
    """

    layers: tuple[Layer, ...]
    owner: Image
    truth: GroundTruth


@dataclass(frozen=True)
class Crowding:
    """What makes the objects of a scene hard to find.

    `behind` and `before` bound how many things of no class lie behind them and on top, from the first number to
    under the second; `smallest` is the least share of the image that an object's box has, `visible` the share of
    its silhouette that it keeps, and `objects` how many there are at most.
    """

    behind: tuple[int, int] = (3, 9)
    before: tuple[int, int] = (0, 4)
    smallest: float = MIN_SCALE
    visible: float = MIN_VISIBLE
    objects: int = MAX_OBJECTS


class World(Protocol):
    """What its classes, labels 1..`classes`, look like and in whose company they are seen."""

    @property
    def classes(self) -> int:
        """The number of classes."""

    @property
    def crowding(self) -> Crowding:
        """What stands in the way of its objects."""

    def name(self, label: int) -> str:
        """What class `label` is called."""

    def outline(self, label: int) -> Outline:
        """The outline of class `label`."""

    def surface(self, label: int, rng: np.random.Generator) -> Surface:
        """What covers one object of class `label`."""

    def companions(self, label: int, rng: np.random.Generator) -> Int64:
        """All other labels, in the order in which an image with `label` takes them."""

    def ground(self, label: int, image: Corner, rng: np.random.Generator) -> Layer | None:
        """What lies behind everything in an image of this height and width made for `label`; None: the sky."""


@dataclass(frozen=True)
class PlainWorld:
    """A `World` whose classes have their own shapes and textures, and where any may meet any other."""

    classes: int

    @property
    def crowding(self) -> Crowding:
        """As on photographs."""
        return Crowding()

    def name(self, label: int) -> str:
        """As `class_name`."""
        return class_name(label)

    def outline(self, label: int) -> Outline:
        """As `class_shape`."""
        return class_shape(label)

    def surface(self, label: int, rng: np.random.Generator) -> Surface:
        """As `class_surface`."""
        return class_surface(label, rng)

    def companions(self, label: int, rng: np.random.Generator) -> Int64:
        """All other labels in any order."""
        return rng.permutation(np.delete(np.arange(1, self.classes + 1), label - 1))

    def ground(self, label: int, image: Corner, rng: np.random.Generator) -> Layer | None:
        """None: there is the sky only."""
        return None


class _Canvas:
    """The scene while things are laid on it; every object keeps the share `visible` of its silhouette."""

    def __init__(self, height: int, width: int, visible: float = MIN_VISIBLE) -> None:
        self.least_visible = visible
        self.owner = np.zeros((height, width), np.uint8)
        self.layers: list[Layer] = []
        self.full: list[int] = []  # pixels of each layer's silhouette, also outside the image
        self.visible: list[int] = []

    def place(self, layer: Layer) -> bool:
        """Lay `layer` on top unless it or an object under it would show too little; says whether it was laid."""
        top, left = layer.corner
        height, width = self.owner.shape
        rows = slice(max(top, 0), min(top + layer.mask.shape[0], height))
        columns = slice(max(left, 0), min(left + layer.mask.shape[1], width))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return False
        mask = layer.mask[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        solid = mask > 127
        region = self.owner[rows, columns]
        hidden = np.bincount(region[solid], minlength=len(self.layers) + 1)[1:]
        full, shown = int((layer.mask > 127).sum()), int(solid.sum())
        if not self._all_visible(hidden) or (layer.label and shown < self.least_visible * full):
            return False
        self.visible = [v - int(h) for v, h in zip(self.visible, hidden, strict=True)] + [shown]
        self.full.append(full)
        self.layers.append(Layer(mask, (rows.start, columns.start), layer.to_unit, layer.surface, layer.label))
        region[solid] = len(self.layers)
        return True

    def _all_visible(self, hidden: Int64) -> bool:
        return all(
            not layer.label or v - h >= self.least_visible * f
            for layer, v, h, f in zip(self.layers, self.visible, hidden, self.full, strict=True)
        )


def class_surface(label: int, rng: np.random.Generator) -> Surface:
    """The texture of class `label`: its pattern and turn belong to the class, its shift is random."""
    kind = label - 1
    variant = kind // len(TEXTURES)
    turn = (2.39996 * kind) % np.pi  # the golden angle spreads the turns evenly
    return Surface(TEXTURES[kind % len(TEXTURES)], variant, turn, _random_shift(rng))


def class_shape(label: int) -> Outline:
    """The outline of class `label`."""
    kind = label - 1
    return class_outline(SHAPES[kind % len(SHAPES)], kind // len(SHAPES))


def class_name(label: int) -> str:
    """What class `label` looks like, such as `striped star`; different for each of MAX_CLASSES."""
    kind = label - 1
    return f"{TEXTURES[kind % len(TEXTURES)]} {SHAPES[kind % len(SHAPES)]}"


def compose(rng: np.random.Generator, world: World, first: int, mean_width: float = MEAN_WIDTH) -> Scene:
    """A random scene of the world; unless it is empty of objects it holds label `first`."""
    height, width = _image_size(rng, mean_width)
    canvas = _Canvas(height, width, world.crowding.visible)
    if ground := world.ground(first, (height, width), rng):
        canvas.place(ground)
    for _ in range(rng.integers(*world.crowding.behind)):
        canvas.place(_clutter(rng, canvas.owner.shape, np.exp(rng.normal(-2.6, 1.1))))
    labels = _draw_labels(rng, world, first)
    scales = _draw_scales(rng, labels, world.crowding.smallest)
    order = np.argsort(-scales * np.exp(rng.normal(0, 0.4, len(scales))))  # small things mostly lie in front
    for label, scale in zip(labels[order], scales[order], strict=True):
        _place_object(rng, canvas, world, int(label), float(scale))
    for _ in range(rng.integers(*world.crowding.before)):
        canvas.place(_clutter(rng, canvas.owner.shape, np.exp(rng.normal(-4.2, 0.8))))
    return Scene(tuple(canvas.layers), canvas.owner, _visible_truth(canvas))


def _image_size(rng: np.random.Generator, mean_width: float) -> tuple[int, int]:
    """Height and width: mostly 500 x 375 or 500 x 333, a quarter upright, some square, some of other sizes."""
    long = LONG_SIDE if rng.random() < 0.82 else rng.uniform(260, 900)
    short = long * (rng.choice([0.75, 0.667]) if rng.random() < 0.75 else rng.uniform(0.55, 1.0))
    kind = rng.random()
    sides = (short, long) if kind < 0.69 else (long, short) if kind < 0.92 else (long, long)
    height, width = (max(round(side * mean_width / MEAN_WIDTH), 16) for side in sides)
    return height, width


def _draw_labels(rng: np.random.Generator, world: World, first: int) -> Int64:
    """One label an object: few classes an image, few objects a class, both with a long tail."""
    count = int(rng.choice(len(CLASSES_PER_IMAGE), p=CLASSES_PER_IMAGE / CLASSES_PER_IMAGE.sum()))
    count = min(count, world.classes)
    if count == 0:
        return np.empty(0, np.int64)
    labels = np.concatenate([[first], world.companions(first, rng)[: count - 1]])
    counts = rng.choice(np.arange(1, MAX_INSTANCES + 1), count, p=INSTANCES / INSTANCES.sum())
    return np.repeat(labels, counts)[: world.crowding.objects]


def _draw_scales(rng: np.random.Generator, labels: Int64, smallest: float) -> Float64:
    """Box area over image area for each object: many objects are smaller, those of a class are alike."""
    count = len(labels)
    spread = 0.75 if count < 3 else 1.2
    _, group = np.unique(labels, return_inverse=True)
    middle = (
        np.log(min(0.255, 0.66 / max(count, 1) ** 1.2)) + rng.normal(0, spread, group.max(initial=0) + 1)[group]
    )
    return np.clip(np.exp(middle + rng.normal(0, 0.4, count)), smallest, MAX_SCALE)


def _place_object(rng: np.random.Generator, canvas: _Canvas, world: World, label: int, scale: float) -> None:
    """Try some positions for an object of class `label`; where all hide too much it is left out."""
    surface = world.surface(label, rng)
    layer = _shape_layer(rng, world.outline(label), surface, label, scale, canvas.owner.shape)
    for _ in range(TRIES):
        if canvas.place(_move(layer, _object_corner(rng, layer.mask.shape, canvas.owner.shape))):
            return


def _object_corner(rng: np.random.Generator, size: Corner, image: Corner) -> Corner:
    """A random place inside the image; one object in five may be cut by its border."""
    overhang = rng.uniform(0, 0.3) if rng.random() < 0.2 else 0.0
    ends = [sorted((-overhang * s, whole - s + overhang * s)) for s, whole in zip(size, image, strict=True)]
    y, x = (round(rng.uniform(low, high)) for low, high in ends)
    return y, x


def _clutter(rng: np.random.Generator, image: Corner, scale: float) -> Layer:
    """A thing of no class anywhere in the image, also across its border."""
    surface = Surface(
        str(rng.choice(TEXTURES)), int(rng.integers(4)), float(rng.uniform(0, 2 * np.pi)), _random_shift(rng)
    )
    layer = _shape_layer(rng, clutter_outline(rng), surface, 0, min(scale, 1.2), image, np.pi)
    centre = [rng.uniform(0, side) for side in image]
    y, x = (round(c - side / 2) for c, side in zip(centre, layer.mask.shape, strict=True))
    return _move(layer, (y, x))


def _random_shift(rng: np.random.Generator) -> tuple[float, float]:
    return float(rng.random()), float(rng.random())


def _shape_layer(
    rng: np.random.Generator,
    outline: Outline,
    surface: Surface,
    label: int,
    scale: float,
    image: Corner,
    max_turn: float = np.radians(35),
) -> Layer:
    """`outline` bent and seen from a random side, its box `scale` of the image's area, at the image's corner."""
    view = _random_view(rng, max_turn)
    contours = [_apply(view, points) for points in bend(outline, rng.uniform(0.02, 0.13), rng)]
    low, high = contours[0].min(axis=0), contours[0].max(axis=0)
    factor = _fit(high - low, scale, image)
    to_pixels = np.array([[factor, 0, 2 - factor * low[0]], [0, factor, 2 - factor * low[1]], [0, 0, 1]])
    width, height = np.ceil(factor * (high - low)).astype(int) + 4
    mask = np.zeros((height, width), np.uint8)
    fixed = [np.round(_apply(to_pixels, points) * 16).astype(np.int32) for points in contours]
    cv2.fillPoly(mask, fixed, 255, cv2.LINE_AA, 4)
    to_unit = np.linalg.inv(to_pixels @ view)
    return Layer(mask, (0, 0), to_unit, surface, label)


def _fit(extent: Float64, scale: float, image: Corner) -> float:
    """Pixels a unit so that the box has `scale` times the image's area, no side too small or past the image."""
    height, width = image
    wanted = np.sqrt(scale * height * width / extent.prod())
    smallest = MIN_SIDE * np.sqrt(height * width) / extent.min()
    return float(min(max(wanted, smallest), 1.06 * width / extent[0], 1.06 * height / extent[1]))


def _random_view(rng: np.random.Generator, max_turn: float) -> Float64:
    """A homography (3, 3): mirror, stretch, shear, turn of at most `max_turn`, and a little perspective."""
    stretch = np.exp(rng.normal(0, 0.16))
    mirror = rng.choice([-1.0, 1.0])
    frame = np.array([[mirror * stretch, rng.normal(0, 0.1)], [0, 1 / stretch]])
    angle = rng.uniform(-max_turn, max_turn)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    view = np.eye(3)
    view[:2, :2] = turn @ frame
    view[2, :2] = rng.uniform(-0.15, 0.15, 2)
    return view


def _apply(homography: Float64, points: Float64) -> Float64:
    mapped = points @ homography[:, :2].T + homography[:, 2]
    return mapped[:, :2] / mapped[:, 2:]


def _move(layer: Layer, corner: Corner) -> Layer:
    """`layer`, made at the image's corner, with its top left at `corner`."""
    back = np.array([[1, 0, -corner[1]], [0, 1, -corner[0]], [0, 0, 1]])
    return Layer(layer.mask, corner, layer.to_unit @ back, layer.surface, layer.label)


def _visible_truth(canvas: _Canvas) -> GroundTruth:
    """The boxes of the pixels that show each object."""
    boxes, labels = [], []
    for number, layer in enumerate(canvas.layers, 1):
        if layer.label:
            (top, left), (height, width) = layer.corner, layer.mask.shape
            shown = canvas.owner[top : top + height, left : left + width] == number
            x1, x2 = _extent(shown.any(axis=0))
            y1, y2 = _extent(shown.any(axis=1))
            boxes.append((left + x1, top + y1, left + x2, top + y2))
            labels.append(layer.label)
    none = np.zeros(len(labels), np.bool_)
    return GroundTruth(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(labels, np.int64), difficult=none, crowd=none
    )


def _extent(hit: Bool) -> tuple[int, int]:
    places = np.flatnonzero(hit)
    return int(places[0]), int(places[-1]) + 1
