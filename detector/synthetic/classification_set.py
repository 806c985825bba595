"""A synthetic classification set in ImageNet's layout: crops around the objects of the synthetic scenes.

Crop i of a split shows class i modulo the number of classes, so that the counts of two classes differ by one at
most. It depends on the seed, the split, i and the number of classes, and on nothing else. Every crop comes from a
scene of its own, which may show other objects at its edges, as the photographs of ImageNet do.
"""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from detector.errors import ConfigError
from detector.files import write_text
from detector.parallel import worker_count
from detector.records import FIRST_LABEL, Float32, Image
from detector.synthetic.detection_set import class_list
from detector.synthetic.painting import paint
from detector.synthetic.scenes import PlainWorld, Scene, compose
from detector.synthetic.set_files import (
    CROP,
    SPLITS,
    SetSplit,
    begin_set,
    check_numbers,
    finish_set,
    make_images,
    stream,
    write_jpeg,
)

VERSION = 1  # raised whenever the same settings give other images
MEAN_WIDTH = 320.0  # of the scenes: their objects then mostly have the pixels that a crop keeps, and paint fast
MAX_SIDE = 128  # pixels of a crop
MIN_OBJECT = 32  # longer side, pixels: what a smaller one is cannot be seen
SURROUNDINGS = (1.15, 1.45)  # side of the crop for the longer side of its object


@dataclass(frozen=True)
class _CropRecipe:
    """Everything that decides the bytes of a set."""

    images: int
    val: int
    classes: int
    seed: int


def render_crop(index: int, *, classes: int, seed: int, split: SetSplit = "train") -> tuple[Image, int]:
    """Crop `index` (from 0) of a split, (H, W, 3) RGB, and its label."""
    label = index % classes + FIRST_LABEL
    rng = stream(seed, split, index, CROP)
    scene, box = _scene_with(label, classes, rng)
    return _crop(paint(scene, rng), box, rng), label


def make_crops(
    out: Path, images: int, classes: int, seed: int, *, val: int | None = None, workers: int = 1
) -> None:
    """Write `images` training and `val` (default: a quarter as many) validation crops under `out`.

    The files are train/WNID/NNNNNN.JPEG, val/WNID/NNNNNN.JPEG, and classes.txt with lines `<wnid> <name>`.
    `workers` are processes, -1 for one a core; they do not change the files. A set that was interrupted is
    completed; one that is finished is left as it is. DataError where `out` holds anything else, ConfigError where
    a number is out of range or a class would have no training crop.
    """
    workers = worker_count(workers)
    recipe = _CropRecipe(images, max(images // 4, 1) if val is None else val, classes, seed)
    check_numbers(**asdict(recipe), workers=workers)
    if images < classes:
        raise ConfigError(f"images must be at least the number of classes, {classes}, got {images}")
    settings = {"version": VERSION, "task": "cls", **asdict(recipe)}
    if not begin_set(out, settings):
        return
    _write_classes(out, classes)
    for split, count in zip(SPLITS, (recipe.images, recipe.val), strict=True):
        for _ in make_images(partial(_make_crop, out, recipe, split), count, split, workers):
            pass
    finish_set(out, settings)


def _make_crop(out: Path, recipe: _CropRecipe, split: SetSplit, index: int) -> None:
    """Write one crop unless it stands already."""
    turn, position = divmod(index, recipe.classes)
    path = out / split / class_list(recipe.classes).wnids[position] / f"{turn + 1:06d}.JPEG"
    if not path.exists():
        write_jpeg(path, render_crop(index, classes=recipe.classes, seed=recipe.seed, split=split)[0])


def _scene_with(label: int, classes: int, rng: np.random.Generator) -> tuple[Scene, Float32]:
    """The first scene of `rng` in which an object of class `label` is large enough, and the box (4,) of one."""
    while True:
        scene = compose(rng, PlainWorld(classes), label, MEAN_WIDTH)
        boxes = scene.truth.boxes[scene.truth.labels == label]
        large = boxes[(boxes[:, 2:] - boxes[:, :2]).max(axis=1) >= MIN_OBJECT]
        if len(large):
            return scene, large[rng.integers(len(large))]


def _crop(image: Image, box: Float32, rng: np.random.Generator) -> Image:
    """A square of random size and place that holds `box` (4,), shrunk to `MAX_SIDE`.

    It is moved into the image, and where it is larger than the image, cut to it.
    """
    longer = float((box[2:] - box[:2]).max())
    side = longer * rng.uniform(*SURROUNDINGS)
    centre = (box[:2] + box[2:]) / 2 + rng.uniform(-0.5, 0.5, 2) * (side - longer)
    limits = np.array([image.shape[1], image.shape[0]])
    size = np.minimum(round(side), limits)
    x, y = np.clip(np.round(centre - size / 2), 0, limits - size).astype(int)
    crop = image[y : y + size[1], x : x + size[0]]
    factor = MAX_SIDE / max(crop.shape)
    if factor >= 1:
        return crop
    width, height = (max(round(length * factor), 1) for length in size.tolist())
    return np.asarray(cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _write_classes(out: Path, classes: int) -> None:
    known = class_list(classes)
    lines = [f"{wnid} {name}\n" for wnid, name in zip(known.wnids, known.names, strict=True)]
    write_text(out / "classes.txt", "".join(lines))
