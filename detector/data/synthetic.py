"""A synthetic detection set in the 2015 layout of ILSVRC-DET, for trying the whole pipeline without a download.

Classes differ by silhouette and surface pattern, never by colour. Image i of a split depends on the seed, the
split, i, the number of classes and the mean width, and on nothing else. As in the real set, a part of the training
images is labelled for every class; the others are listed for some classes only, sometimes with a part of the
instances boxed, and may hold objects that nobody boxed.
"""

import json
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from detector.data.classes import ClassList
from detector.data.synthetic_painting import paint
from detector.data.synthetic_scenes import MAX_CLASSES, MEAN_WIDTH, Scene, class_name, compose
from detector.errors import ConfigError, DataError
from detector.files import write_atomically, write_text
from detector.parallel import worker_count
from detector.records import FIRST_LABEL, Bool, GroundTruth, Image, take

Split = Literal["train", "val"]
SPLITS: tuple[Split, ...] = ("train", "val")

VERSION = 1  # raised whenever the same settings give other images
MARKER = "synthetic.json"
JPEG_QUALITY = 90
EXHAUSTIVE = 0.7

POSITIVE, PARTIAL, NEGATIVE = 1, 0, -1  # of the train_X.txt lists
UNLISTED = 2
PARTIAL_SHARE = 0.2  # of the classes present in images that are not labelled for all
UNLISTED_SHARE = 0.25  # likewise
NEGATIVE_SHARE = 0.3  # of the classes absent from such images
BLACKLIST_SHARE = 0.02  # of the validation images
NO_XML_SHARE = 0.5  # of the images without a box

_SCENE, _PAINT, _LABELS, _CLASS = range(4)  # independent random streams of an image
_CHUNK = 16

Status = NDArray[np.int8]


@dataclass(frozen=True)
class _Recipe:
    """Everything that decides the bytes of a set."""

    images: int
    val: int
    classes: int
    seed: int
    exhaustive: float
    mean_width: float


@dataclass(frozen=True, eq=False)
class _Labelling:
    """What is known of one image: `boxed` (G,) of its objects, `status` (C,) of its classes, and the label of
    which an object was left unboxed by mistake, 0 where there is none.
    """

    boxed: Bool
    status: Status
    blacklisted: int = 0


def class_list(classes: int) -> ClassList:
    """The first `classes` classes of the synthetic world; the earliest differ most."""
    labels = range(FIRST_LABEL, classes + FIRST_LABEL)
    return ClassList(tuple(map(class_name, labels)), tuple(f"n9{label:07d}" for label in labels))


def render_image(
    index: int, *, classes: int, seed: int, split: Split = "train", mean_width: float = MEAN_WIDTH
) -> tuple[Image, GroundTruth]:
    """Image `index` (from 0) of a split, (H, W, 3) RGB, and all its objects, boxed by their visible parts."""
    scene = _scene(index, classes, seed, split, mean_width)
    return paint(scene, _stream(seed, split, index, _PAINT)), scene.truth


def make_dataset(
    out: Path,
    images: int,
    classes: int,
    seed: int,
    *,
    val: int | None = None,
    exhaustive: float = EXHAUSTIVE,
    mean_width: float = MEAN_WIDTH,
    workers: int = 1,
) -> None:
    """Write a set of `images` training and `val` (default: a quarter as many) validation images under `out`.

    `exhaustive` is the share of the training images that are labelled for every class. `workers` are processes,
    -1 for one a core; they do not change the files. A set that was interrupted is completed; one that is finished
    is left as it is. DataError where `out` holds anything else, ConfigError where a number is out of range.
    """
    workers = worker_count(workers)
    recipe = _Recipe(images, max(images // 4, 1) if val is None else val, classes, seed, exhaustive, mean_width)
    _check(recipe, workers)
    if _is_finished(out, recipe):
        return
    for stale in out.rglob(".*.tmp"):  # a killed run could not remove them
        stale.unlink()
    _write_marker(out, recipe, finished=False)
    _write_classes(out, classes)
    _write_train_lists(
        out, recipe, np.stack([done.status for done in _make_images(out, recipe, "train", workers)])
    )
    _write_val_lists(out, recipe, [done.blacklisted for done in _make_images(out, recipe, "val", workers)])
    _write_marker(out, recipe, finished=True)


def _check(recipe: _Recipe, workers: int) -> None:
    for name, value, low in (
        ("images", recipe.images, 1),
        ("val", recipe.val, 1),
        ("seed", recipe.seed, 0),
        ("mean width", recipe.mean_width, 48),
        ("workers", workers, 1),
    ):
        if value < low:
            raise ConfigError(f"{name} must be at least {low}, got {value}")
    if not 1 <= recipe.classes <= MAX_CLASSES:
        raise ConfigError(f"classes must be in 1..{MAX_CLASSES}, got {recipe.classes}")
    if not 0 <= recipe.exhaustive <= 1:
        raise ConfigError(f"exhaustive must be in 0..1, got {recipe.exhaustive}")


def _is_finished(out: Path, recipe: _Recipe) -> bool:
    """Whether `out` holds the whole set; DataError where it holds files that are not of this set."""
    if out.exists() and not out.is_dir():
        raise DataError(f"output must be a folder, got {out}, a file")
    if not out.exists() or not any(out.iterdir()):
        return False
    try:
        found = json.loads((out / MARKER).read_text(encoding="utf-8"))
        finished = found.pop("finished")
    except (OSError, ValueError, KeyError, AttributeError):
        raise DataError(f"output must be an empty folder or a synthetic set, got {out} with other files") from None
    for name, value in _settings(recipe).items():
        if found.get(name) != value:
            raise DataError(f"output must hold a set with {name} {value}, got {found.get(name)} ({out / MARKER})")
    return bool(finished)


def _settings(recipe: _Recipe) -> dict[str, float]:
    return {"version": VERSION, **asdict(recipe)}


def _write_marker(out: Path, recipe: _Recipe, finished: bool) -> None:
    write_text(out / MARKER, json.dumps({**_settings(recipe), "finished": finished}, indent=2) + "\n")


def _make_images(out: Path, recipe: _Recipe, split: Split, workers: int) -> Iterator[_Labelling]:
    """Write the images and annotations of a split; yields in order what is known of each."""
    make = partial(_make_image, out, recipe, split)
    count = recipe.images if split == "train" else recipe.val
    progress = partial(tqdm, total=count, desc=split, unit="image", disable=None)
    if workers == 1:
        yield from progress(map(make, range(count)))
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker) as pool:
        yield from progress(pool.map(make, range(count), chunksize=_CHUNK))


def _start_worker() -> None:
    """Leave the cores to the other workers, and an interrupt to the parent."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _make_image(out: Path, recipe: _Recipe, split: Split, index: int) -> _Labelling:
    """Write one image and its annotation, the image last: where it stands already, both are done."""
    scene = _scene(index, recipe.classes, recipe.seed, split, recipe.mean_width)
    rng = _stream(recipe.seed, split, index, _LABELS)
    labelling = _label_train(scene, recipe, rng) if split == "train" else _label_val(scene, recipe, rng)
    picture = out / "Data" / "DET" / split / f"{image_id(split, index)}.JPEG"
    if not picture.exists():
        if labelling.boxed.any() or rng.random() >= NO_XML_SHARE:
            annotation = out / "Annotations" / "DET" / split / f"{image_id(split, index)}.xml"
            write_text(annotation, _annotation(scene, labelling.boxed, split, index, recipe.classes))
        _write_jpeg(picture, paint(scene, _stream(recipe.seed, split, index, _PAINT)))
    return labelling


def image_id(split: Split, index: int) -> str:
    """The file name, without its ending, of image `index` (from 0) of a split."""
    return f"synthetic_{split}_{index + 1:08d}"


def _scene(index: int, classes: int, seed: int, split: Split, mean_width: float) -> Scene:
    """The classes take turns, in a new order each round, so that none is missing from a small set."""
    block, turn = divmod(index, classes)
    order = _stream(seed, split, block, _CLASS).permutation(classes)
    return compose(_stream(seed, split, index, _SCENE), classes, int(order[turn]) + FIRST_LABEL, mean_width)


def _stream(seed: int, split: Split, index: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng([seed, SPLITS.index(split), index, purpose])


def _full_knowledge(scene: Scene, classes: int) -> tuple[Bool, Status]:
    """`boxed` and `status` of an image in which every object of every class is boxed."""
    status = np.full(classes, NEGATIVE, np.int8)
    status[scene.truth.labels - FIRST_LABEL] = POSITIVE
    return np.ones(len(scene.truth.labels), np.bool_), status


def _label_train(scene: Scene, recipe: _Recipe, rng: np.random.Generator) -> _Labelling:
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


def _label_val(scene: Scene, recipe: _Recipe, rng: np.random.Generator) -> _Labelling:
    """All objects boxed, but in a few images one is forgotten and its class goes on the blacklist."""
    labels = scene.truth.labels
    boxed, status = _full_knowledge(scene, recipe.classes)
    if not len(labels) or rng.random() >= BLACKLIST_SHARE:
        return _Labelling(boxed, status)
    forgotten = rng.integers(len(labels))
    boxed[forgotten] = False
    return _Labelling(boxed, status, int(labels[forgotten]))


def _write_jpeg(path: Path, image: Image) -> None:
    _, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    with write_atomically(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def _annotation(scene: Scene, boxed: Bool, split: Split, index: int, classes: int) -> str:
    """The XML of one image, its corners as the real files have them: 0-based, inclusive, xmin xmax ymin ymax."""
    height, width = scene.owner.shape
    truth = take(scene.truth, boxed)
    wnids = class_list(classes).wnids
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


def _write_classes(out: Path, classes: int) -> None:
    known = class_list(classes)
    rows = zip(known.wnids, known.names, strict=True)
    lines = [f"{label},{wnid},{name}\n" for label, (wnid, name) in enumerate(rows, FIRST_LABEL)]
    write_text(out / "synsets.csv", "id,wnid,name\n" + "".join(lines))


def _write_train_lists(out: Path, recipe: _Recipe, status: Status) -> None:
    """One list a class of the images listed for it; `status` is (images, C)."""
    names = [image_id("train", index) for index in range(recipe.images)]
    for label in range(FIRST_LABEL, recipe.classes + FIRST_LABEL):
        column = status[:, label - FIRST_LABEL].tolist()
        lines = [f"{name} {s}\n" for name, s in zip(names, column, strict=True) if s != UNLISTED]
        write_text(out / "ImageSets" / "DET" / f"train_{label}.txt", "".join(lines))


def _write_val_lists(out: Path, recipe: _Recipe, blacklisted: Sequence[int]) -> None:
    lines = [f"{image_id('val', index)} {index + 1}\n" for index in range(recipe.val)]
    write_text(out / "ImageSets" / "DET" / "val.txt", "".join(lines))
    wnids = class_list(recipe.classes).wnids
    rows = [f"{number} {wnids[label - FIRST_LABEL]}\n" for number, label in enumerate(blacklisted, 1) if label]
    write_text(out / "det_validation_blacklist.txt", "".join(rows))
