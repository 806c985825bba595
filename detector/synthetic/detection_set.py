"""A synthetic detection set in the 2015 layout of ILSVRC-DET, for trying the whole pipeline without a download.

Classes differ by silhouette and surface pattern, and but in the gentle world never by colour. Image i of a split
depends on the seed, the split, i, the number of classes, the mean width and the kind of world, and on nothing
else. As in the real set, a part of the training images is labelled for every class; the others are listed for
some classes only, sometimes with a part of the instances boxed, and may hold objects that nobody boxed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.data.classes import ClassList
from detector.errors import ConfigError
from detector.files import write_text
from detector.parallel import worker_count
from detector.records import FIRST_LABEL, Bool, GroundTruth, Image, take
from detector.synthetic.gentle import GentleWorld, check_gentle
from detector.synthetic.painting import paint
from detector.synthetic.scenes import MEAN_WIDTH, PlainWorld, Scene, World, compose
from detector.synthetic.set_files import (
    CLASS,
    LABELS,
    PAINT,
    SCENE,
    SPLITS,
    SetSplit,
    begin_set,
    check_numbers,
    finish_set,
    make_images,
    stream,
    write_jpeg,
)
from detector.synthetic.themes import ThemedWorld, check_context, image_facts, world_facts

VERSION = 1  # raised whenever the same settings give other images
EXHAUSTIVE = 0.7
MIN_MEAN_WIDTH = 48

POSITIVE, PARTIAL, NEGATIVE = 1, 0, -1  # of the train_X.txt lists
UNLISTED = 2
PARTIAL_SHARE = 0.2  # of the classes present in images that are not labelled for all
UNLISTED_SHARE = 0.25  # likewise
NEGATIVE_SHARE = 0.3  # of the classes absent from such images
BLACKLIST_SHARE = 0.02  # of the validation images
NO_XML_SHARE = 0.5  # of the images without a box

Status = NDArray[np.int8]


@dataclass(frozen=True)
class _SceneRecipe:
    """Everything that decides the bytes of a set."""

    images: int
    val: int
    classes: int
    seed: int
    exhaustive: float
    mean_width: float
    context: float | None
    gentle: bool

    @property
    def world(self) -> World:
        """Where the images are taken."""
        return _world(self.classes, self.context, self.gentle)

    def settings(self) -> dict[str, Any]:
        """What the set's marker states; of a plain world as before there were others."""
        stated = {name: value for name, value in asdict(self).items() if value is not None and value is not False}
        return {"version": VERSION, **stated}


@dataclass(frozen=True, eq=False)
class _Labelling:
    """What is known of one image: `boxed` (G,) of its objects, `status` (C,) of its classes, and the label of
    which an object was left unboxed by mistake, 0 where there is none; `context` are the facts of a themed image.
    """

    boxed: Bool
    status: Status
    blacklisted: int = 0
    context: dict[str, Any] | None = None


def class_list(classes: int, context: float | None = None) -> ClassList:
    """The first `classes` classes of the synthetic world, or the themed one; the earliest differ most.

    Those of the gentle world are called as the plain one's.
    """
    labels = range(FIRST_LABEL, classes + FIRST_LABEL)
    world = _world(classes, context)
    return ClassList(tuple(map(world.name, labels)), tuple(f"n9{label:07d}" for label in labels))


def render_image(
    index: int,
    *,
    classes: int,
    seed: int,
    split: SetSplit = "train",
    mean_width: float = MEAN_WIDTH,
    context: float | None = None,
    gentle: bool = False,
) -> tuple[Image, GroundTruth]:
    """Image `index` (from 0) of a split, (H, W, 3) RGB, and all its objects, boxed by their visible parts."""
    scene = _scene(index, _world(classes, context, gentle), seed, split, mean_width)
    return paint(scene, stream(seed, split, index, PAINT)), scene.truth


def make_dataset(
    out: Path,
    images: int,
    classes: int,
    seed: int,
    *,
    val: int | None = None,
    exhaustive: float = EXHAUSTIVE,
    mean_width: float = MEAN_WIDTH,
    context: float | None = None,
    gentle: bool = False,
    workers: int = 1,
) -> None:
    """Write a set of `images` training and `val` (default: a quarter as many) validation images under `out`.

    `exhaustive` is the share of the training images that are labelled for every class. With `context` the classes
    are those of `ThemedWorld`, this share of the objects is out of focus, and context.json tells which, in the
    order of the XML. With `gentle` the images are those of `GentleWorld`. `workers` are processes, -1 for one a
    core; they do not change the files. A set that was interrupted is completed; one that is finished is left as
    it is. DataError where `out` holds anything else, ConfigError where a number is out of range.
    """
    workers = worker_count(workers)
    val = max(images // 4, 1) if val is None else val
    recipe = _SceneRecipe(images, val, classes, seed, exhaustive, mean_width, context, gentle)
    _check(recipe, workers)
    if not begin_set(out, recipe.settings()):
        return
    _write_classes(out, recipe)
    made = {split: list(_make_images(out, recipe, split, workers)) for split in SPLITS}
    _write_train_lists(out, recipe, np.stack([done.status for done in made["train"]]))
    _write_val_lists(out, recipe, [done.blacklisted for done in made["val"]])
    if isinstance(recipe.world, ThemedWorld):
        _write_context(out, recipe.world, made)
    finish_set(out, recipe.settings())


def _check(recipe: _SceneRecipe, workers: int) -> None:
    check_numbers(recipe.images, recipe.val, recipe.classes, recipe.seed, workers)
    if recipe.mean_width < MIN_MEAN_WIDTH:
        raise ConfigError(f"mean width must be at least {MIN_MEAN_WIDTH}, got {recipe.mean_width}")
    if not 0 <= recipe.exhaustive <= 1:
        raise ConfigError(f"exhaustive must be in 0..1, got {recipe.exhaustive}")
    if recipe.context is not None:
        check_context(recipe.context, recipe.classes)
    if recipe.gentle:
        check_gentle(recipe.classes)
        if recipe.context is not None:
            raise ConfigError(f"context must be left out in the gentle world, got {recipe.context}")


def _world(classes: int, context: float | None, gentle: bool = False) -> World:
    if gentle:
        return GentleWorld(classes)
    return PlainWorld(classes) if context is None else ThemedWorld(classes, context)


def _make_images(out: Path, recipe: _SceneRecipe, split: SetSplit, workers: int) -> Iterator[_Labelling]:
    """Write the images and annotations of a split; yields in order what is known of each."""
    make = partial(_make_image, out, recipe, split)
    count = recipe.images if split == "train" else recipe.val
    return make_images(make, count, split, workers)


def _make_image(out: Path, recipe: _SceneRecipe, split: SetSplit, index: int) -> _Labelling:
    """Write one image and its annotation, the image last: where it stands already, both are done."""
    scene = _scene(index, recipe.world, recipe.seed, split, recipe.mean_width)
    rng = stream(recipe.seed, split, index, LABELS)
    labelling = _label_train(scene, recipe, rng) if split == "train" else _label_val(scene, recipe, rng)
    picture = out / "Data" / "DET" / split / f"{image_id(split, index)}.JPEG"
    if not picture.exists():
        if labelling.boxed.any() or rng.random() >= NO_XML_SHARE:
            annotation = out / "Annotations" / "DET" / split / f"{image_id(split, index)}.xml"
            write_text(annotation, _annotation(scene, labelling.boxed, split, index, recipe))
        write_jpeg(picture, paint(scene, stream(recipe.seed, split, index, PAINT)))
    if isinstance(recipe.world, ThemedWorld):
        first = _first_label(index, recipe.classes, recipe.seed, split)
        return replace(labelling, context=image_facts(recipe.world, first, scene.layers, labelling.boxed))
    return labelling


def image_id(split: SetSplit, index: int) -> str:
    """The file name, without its ending, of image `index` (from 0) of a split."""
    return f"synthetic_{split}_{index + 1:08d}"


def _scene(index: int, world: World, seed: int, split: SetSplit, mean_width: float) -> Scene:
    first = _first_label(index, world.classes, seed, split)
    return compose(stream(seed, split, index, SCENE), world, first, mean_width)


def _first_label(index: int, classes: int, seed: int, split: SetSplit) -> int:
    """The classes take turns, in a new order each round, so that none is missing from a small set."""
    block, turn = divmod(index, classes)
    order = stream(seed, split, block, CLASS).permutation(classes)
    return int(order[turn]) + FIRST_LABEL


def _full_knowledge(scene: Scene, classes: int) -> tuple[Bool, Status]:
    """`boxed` and `status` of an image in which every object of every class is boxed."""
    status = np.full(classes, NEGATIVE, np.int8)
    status[scene.truth.labels - FIRST_LABEL] = POSITIVE
    return np.ones(len(scene.truth.labels), np.bool_), status


def _label_train(scene: Scene, recipe: _SceneRecipe, rng: np.random.Generator) -> _Labelling:
    """All objects boxed and all classes listed, or only some of both."""
    labels = scene.truth.labels
    boxed, status = _full_knowledge(scene, recipe.classes)
    if rng.random() < recipe.exhaustive:
        return _Labelling(boxed, status)
    unknown = rng.random(recipe.classes) >= NEGATIVE_SHARE
    unknown[rng.integers(recipe.classes)] = False  # so that an image without objects is listed at all
    status[(status == NEGATIVE) & unknown] = UNLISTED
    for number, label in enumerate(rng.permutation(np.unique(labels))):
        rows = np.flatnonzero(labels == label)
        chance = rng.random()
        if chance < PARTIAL_SHARE and len(rows) > 1:
            status[label - FIRST_LABEL] = PARTIAL
            boxed[rng.permutation(rows)[: rng.integers(1, len(rows))]] = False
        elif number and chance >= 1 - UNLISTED_SHARE:
            status[label - FIRST_LABEL] = UNLISTED
            boxed[rows] = False
    return _Labelling(boxed, status)


def _label_val(scene: Scene, recipe: _SceneRecipe, rng: np.random.Generator) -> _Labelling:
    """All objects boxed, but in a few images one is forgotten and its class goes on the blacklist."""
    labels = scene.truth.labels
    boxed, status = _full_knowledge(scene, recipe.classes)
    if not len(labels) or rng.random() >= BLACKLIST_SHARE:
        return _Labelling(boxed, status)
    forgotten = rng.integers(len(labels))
    boxed[forgotten] = False
    return _Labelling(boxed, status, int(labels[forgotten]))


def _annotation(scene: Scene, boxed: Bool, split: SetSplit, index: int, recipe: _SceneRecipe) -> str:
    """The XML of one image, its corners as the real files have them: 0-based, inclusive, xmin xmax ymin ymax."""
    height, width = scene.owner.shape
    truth = take(scene.truth, boxed)
    wnids = class_list(recipe.classes, recipe.context).wnids
    objects = [
        f"\t<object>\n\t\t<name>{wnids[label - FIRST_LABEL]}</name>\n\t\t<bndbox>\n"
        f"\t\t\t<xmin>{x1}</xmin>\n\t\t\t<xmax>{x2 - 1}</xmax>\n"
        f"\t\t\t<ymin>{y1}</ymin>\n\t\t\t<ymax>{y2 - 1}</ymax>\n\t\t</bndbox>\n\t</object>\n"
        for (x1, y1, x2, y2), label in zip(truth.boxes.astype(int).tolist(), truth.labels.tolist(), strict=True)
    ]
    return (
        f"<annotation>\n\t<folder>{split}</folder>\n\t<filename>{image_id(split, index)}</filename>\n"
        "\t<source>\n\t\t<database>synthetic</database>\n\t</source>\n"
        f"\t<size>\n\t\t<width>{width}</width>\n\t\t<height>{height}</height>\n\t</size>\n"
        f"{''.join(objects)}</annotation>\n"
    )


def _write_classes(out: Path, recipe: _SceneRecipe) -> None:
    known = class_list(recipe.classes, recipe.context)
    rows = zip(known.wnids, known.names, strict=True)
    lines = [f"{label},{wnid},{name}\n" for label, (wnid, name) in enumerate(rows, FIRST_LABEL)]
    write_text(out / "synsets.csv", "id,wnid,name\n" + "".join(lines))


def _write_train_lists(out: Path, recipe: _SceneRecipe, status: Status) -> None:
    """One list a class of the images listed for it; `status` is (images, C)."""
    names = [image_id("train", index) for index in range(recipe.images)]
    for label in range(FIRST_LABEL, recipe.classes + FIRST_LABEL):
        column = status[:, label - FIRST_LABEL].tolist()
        lines = [f"{name} {s}\n" for name, s in zip(names, column, strict=True) if s != UNLISTED]
        write_text(out / "ImageSets" / "DET" / f"train_{label}.txt", "".join(lines))


def _write_val_lists(out: Path, recipe: _SceneRecipe, blacklisted: Sequence[int]) -> None:
    lines = [f"{image_id('val', index)} {index + 1}\n" for index in range(recipe.val)]
    write_text(out / "ImageSets" / "DET" / "val.txt", "".join(lines))
    wnids = class_list(recipe.classes, recipe.context).wnids
    rows = [f"{number} {wnids[label - FIRST_LABEL]}\n" for number, label in enumerate(blacklisted, 1) if label]
    write_text(out / "det_validation_blacklist.txt", "".join(rows))


def _write_context(out: Path, world: ThemedWorld, made: Mapping[SetSplit, Sequence[_Labelling]]) -> None:
    images: dict[str, Any] = {
        split: {image_id(split, index): done.context for index, done in enumerate(labellings)}
        for split, labellings in made.items()
    }
    write_text(out / "context.json", json.dumps(world_facts(world, images), indent=1) + "\n")
