"""The data types of the pipeline, and every convention they share.

Letters: N regions, G objects, M detections, C classes (background not counted), H, W image size.

Coordinates: a box is (x1, y1, x2, y2) in continuous pixels of the original image; the origin is the outer
corner of the top-left pixel, width = x2 - x1. Files hold inclusive pixel indices; they are converted where
they are read and written, and nowhere else. Images are (H, W, 3) uint8 RGB.

Labels: 1..C are the classes in the order of the class list; 0 is background.

Records are frozen, checked when made, and their arrays are never written in place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from detector.errors import DataError

Array = NDArray[Any]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]
Image = NDArray[np.uint8]

FIRST_LABEL = 1
BACKGROUND = 0
COLOURS = 3  # channels of an image


Layout = tuple[type, tuple[int | str, ...]]  # dtype, and shape with a letter for each free length


def _check_shapes(owner: object, **layouts: Layout) -> None:
    """Raise DataError unless the arrays of `owner` have these dtypes and shapes; equal letters, equal lengths."""
    sizes: dict[str, int] = {}
    for name, (dtype, shape) in layouts.items():
        array = getattr(owner, name)
        where = f"{type(owner).__name__}.{name}"
        if not isinstance(array, np.ndarray) or array.dtype != dtype:
            got = getattr(array, "dtype", type(array).__name__)
            raise DataError(f"{where} must be an array of {np.dtype(dtype)}, got {got}")
        wanted = tuple(sizes.get(side, side) if isinstance(side, str) else side for side in shape)
        if array.ndim != len(shape) or any(
            isinstance(side, int) and side != got for side, got in zip(wanted, array.shape, strict=True)
        ):
            raise DataError(f"{where} must have shape {_shape_text(wanted)}, got {_shape_text(array.shape)}")
        sizes.update({side: n for side, n in zip(shape, array.shape, strict=True) if isinstance(side, str)})


def _check(owner: object, **layouts: Layout) -> None:
    """As `_check_shapes`; besides, numbers must be finite and labels those of classes."""
    _check_shapes(owner, **layouts)
    for name, (dtype, _) in layouts.items():
        array = getattr(owner, name)
        where = f"{type(owner).__name__}.{name}"
        if np.issubdtype(dtype, np.floating) and not np.isfinite(array).all():
            raise DataError(f"{where} must be finite, got NaN or infinity")
        if name == "labels" and array.size and array.min() < FIRST_LABEL:
            raise DataError(f"{where} must be at least {FIRST_LABEL}, got {int(array.min())}")


def _shape_text(shape: Sequence[int | str]) -> str:
    return "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"


BOXES: Layout = (np.float32, ("N", 4))
EXACT_BOXES: Layout = (np.float64, ("N", 4))
NUMBERS: Layout = (np.float32, ("N",))
EXACT_NUMBERS: Layout = (np.float64, ("N",))
INTEGERS: Layout = (np.int64, ("N",))
FLAGS: Layout = (np.bool_, ("N",))


@dataclass(frozen=True)
class ImageRecord:
    """One image of a data set, without its pixels. `height` and `width` are those of the file."""

    image_id: str
    path: Path
    height: int
    width: int


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The objects of one image: boxes (G, 4) f32 inside the image, labels (G,) i64 in 1..C, flags (G,)."""

    boxes: Float32
    labels: Int64
    difficult: Bool
    crowd: Bool

    def __post_init__(self) -> None:
        _check(self, boxes=BOXES, labels=INTEGERS, difficult=FLAGS, crowd=FLAGS)


@dataclass(frozen=True, eq=False)
class Proposals:
    """Class-agnostic regions of one image: boxes (N, 4) f32, scores (N,) f32, best first."""

    boxes: Float32
    scores: Float32

    def __post_init__(self) -> None:
        _check(self, boxes=BOXES, scores=NUMBERS)


@dataclass(frozen=True, eq=False)
class RegionScores:
    """Class probabilities of an image's regions: boxes (N, 4) f32, probs (N, C + 1) f32, column 0 background."""

    boxes: Float32
    probs: Float32

    def __post_init__(self) -> None:
        _check(self, boxes=BOXES, probs=(np.float32, ("N", "C+1")))


@dataclass(frozen=True, eq=False)
class ClassScores:
    """What each class makes of an image's regions: boxes (N, C, 4) f32, scores (N, C) f32 of any range.

    Column c is the class with label c + 1. Classes that share their boxes hold one array, broadcast. With
    `rescored` (N, C) f32 regions are chosen by `scores`, and those chosen have these scores in their place.
    """

    boxes: Float32
    scores: Float32
    rescored: Float32 | None = None

    def __post_init__(self) -> None:
        numbers: Layout = (np.float32, ("N", "C"))
        rescored = {} if self.rescored is None else {"rescored": numbers}
        _check(self, boxes=(np.float32, ("N", "C", 4)), scores=numbers, **rescored)


@dataclass(frozen=True, eq=False)
class RegionFeatures:
    """What the network makes of regions: boxes (N, 4) f32, features (N, F) f32, probs (N, outputs) f32.

    The columns of `probs` are the network's outputs: those of a region classifier are background and C classes.
    """

    boxes: Float32
    features: Float32
    probs: Float32

    def __post_init__(self) -> None:
        _check(self, boxes=BOXES, features=(np.float32, ("N", "F")), probs=(np.float32, ("N", "outputs")))


@dataclass(frozen=True, eq=False)
class Detections:
    """Detected objects of one image: boxes (M, 4) f32, labels (M,) i64 in 1..C, scores (M,) f32, best first."""

    boxes: Float32
    labels: Int64
    scores: Float32

    def __post_init__(self) -> None:
        _check(self, boxes=BOXES, labels=INTEGERS, scores=NUMBERS)


@dataclass(frozen=True, eq=False)
class ObjectTable:
    """The objects of a whole data set, flat, as its files state them: unclipped and in float64.

    image (G,) i64 is the position of the object's image in the data set; boxes (G, 4) f64, labels (G,) i64,
    difficult and crowd (G,) bool, areas (G,) f64 in square pixels: of the object's outline where the data state
    one (COCO), else of its box. Rows keep the order of the files.
    """

    image: Int64
    boxes: Float64
    labels: Int64
    difficult: Bool
    crowd: Bool
    areas: Float64

    def __post_init__(self) -> None:
        _check(
            self,
            image=INTEGERS,
            boxes=EXACT_BOXES,
            labels=INTEGERS,
            difficult=FLAGS,
            crowd=FLAGS,
            areas=EXACT_NUMBERS,
        )


@dataclass(frozen=True, eq=False)
class DetectionTable:
    """The detections of a whole data set, flat: image, labels (M,) i64, boxes (M, 4) f64, scores (M,) f64.

    Float64, because the evaluation orders by score and compares overlaps exactly as the files state them.
    """

    image: Int64
    boxes: Float64
    labels: Int64
    scores: Float64

    def __post_init__(self) -> None:
        _check(self, image=INTEGERS, boxes=EXACT_BOXES, labels=INTEGERS, scores=EXACT_NUMBERS)


@dataclass(frozen=True, eq=False)
class Report:
    """The result of one evaluation by one protocol.

    ap (C,) f64 per class, NaN where the protocol defines none; objects (C,) and detections (C,) i64 count what
    the protocol counted; recall and precision hold one curve a class, in order of falling score (empty where
    there is no detection). mean_ap and median_ap are the protocol's own, mean_ap_with_objects is the mean over
    the classes that have objects. `numbers` are further ones of the protocol by name, such as COCO's twelve.
    """

    protocol: str
    ap: Float64
    objects: Int64
    detections: Int64
    mean_ap: float
    median_ap: float
    mean_ap_with_objects: float
    recall: tuple[Float64, ...]
    precision: tuple[Float64, ...]
    numbers: dict[str, float]

    def __post_init__(self) -> None:
        _check_shapes(self, ap=EXACT_NUMBERS, objects=INTEGERS, detections=INTEGERS)


Record = TypeVar("Record", GroundTruth, Proposals, RegionScores, Detections, ObjectTable, DetectionTable)


def take(record: Record, index: Array) -> Record:
    """The rows `index` (integers, or a mask) of every array of `record`, in that order."""
    return replace(record, **{f.name: getattr(record, f.name)[index] for f in fields(record)})


def join(records: Sequence[Record]) -> Record:
    """One record with the rows of all `records`, in order; at least one record is needed."""
    if not records:
        raise DataError("join needs at least one record, got none")
    first = records[0]
    return replace(first, **{f.name: np.concatenate([getattr(r, f.name) for r in records]) for f in fields(first)})


def object_table(
    image: Int64, boxes: Float64, labels: Int64, difficult: Bool, crowd: Bool, areas: Float64 | None = None
) -> ObjectTable:
    """An ObjectTable whose `areas` are those of the boxes unless they are given."""
    if areas is None:
        areas = np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1)
    return ObjectTable(image, boxes, labels, difficult, crowd, areas)


def table_of_detections(per_image: Sequence[Detections]) -> DetectionTable:
    """The flat float64 table of the detections of images 0, 1, 2, ... in that order."""
    counts = [len(d.scores) for d in per_image]
    empty = Detections(np.empty((0, 4), np.float32), np.empty(0, np.int64), np.empty(0, np.float32))
    flat = join([empty, *per_image])
    return DetectionTable(
        image=np.repeat(np.arange(len(counts), dtype=np.int64), counts),
        boxes=flat.boxes.astype(np.float64),
        labels=flat.labels,
        scores=flat.scores.astype(np.float64),
    )
