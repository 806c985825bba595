"""From what a reader found to a checked `Dataset`: the files' own sizes, bad images, bad boxes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from detector.config import DataSettings
from detector.data.classes import ClassList
from detector.data.dataset import Dataset, has_area, subset
from detector.data.formats.index_cache import cached
from detector.data.formats.xml_annotations import AnnotationTable, label_objects
from detector.data.images import Exif, read_sizes
from detector.errors import DataError
from detector.records import Array, Bool, Float64, Int64, ObjectTable, object_table

NAMED = 3  # files a note names as examples


def objects_of(table: AnnotationTable, boxes: Float64, paths: Sequence[str], classes: ClassList) -> ObjectTable:
    """The labelled objects of `table` with their `boxes` (G, 4) in continuous pixels."""
    return object_table(
        image=table.image,
        boxes=boxes,
        labels=label_objects(table, paths, classes),
        difficult=table.difficult,
        crowd=np.zeros(len(table.image), np.bool_),
    )


def settle(found: Dataset, sources: Sequence[str], settings: DataSettings) -> Dataset:
    """`found` with the sizes of its image files, its boxes in their pixels, and notes on what is odd.

    `found.sizes` are those that the annotations state, 0 where they do not; `sources` (n,) name the annotation
    of each image in messages. Bad images and boxes follow `settings`; a box is bad when it is inverted, has a
    side of one pixel or less, or lies outside its image.
    """
    origin = np.array(sources, np.str_)
    if not len(found):
        raise DataError(f"split {found.name} must hold at least one image, got none ({'; '.join(found.notes)})")
    sizes, errors = _file_sizes(found.paths.tolist(), settings.exif)
    if errors:
        found = _without_bad_images(found, errors, settings.bad_images)
        kept = np.setdiff1d(np.arange(len(sizes)), list(errors))
        sizes, origin = sizes[kept], origin[kept]
    found = _in_file_pixels(found, sizes, origin)
    return _with_bad_boxes_noted(found, origin, settings.bad_boxes)


def _file_sizes(paths: Sequence[str], exif: Exif) -> tuple[Int64, dict[int, str]]:
    """As `read_sizes`, but known sizes are not read again; images that could not be read are tried each time."""
    sizes = cached("sizes", (exif,), paths, lambda: {"sizes": read_sizes(paths, exif)[0]})["sizes"]
    unread = np.flatnonzero((sizes == 0).any(axis=1)).tolist()
    sizes[unread], errors = read_sizes([paths[position] for position in unread], exif)
    return sizes, {unread[row]: message for row, message in errors.items()}


def _without_bad_images(found: Dataset, errors: dict[int, str], policy: Literal["stop", "skip"]) -> Dataset:
    first = next(iter(errors.values()))
    others = f"; {len(errors) - 1} more like it" if len(errors) > 1 else ""
    if policy == "stop" or len(errors) == len(found):
        raise DataError(first + others)
    left_out = np.isin(np.arange(len(found)), list(errors))
    note = _note(found.name, "images cannot be read and were left out", found.paths[left_out])
    return replace(subset(found, ~left_out), notes=(*found.notes, note))


def _in_file_pixels(found: Dataset, sizes: Int64, origin: Array) -> Dataset:
    stated = found.sizes
    differs = (stated > 0).all(axis=1) & (stated != sizes).any(axis=1)
    turned = differs & (stated == sizes[:, ::-1]).all(axis=1)
    rescaled = differs & ~turned
    boxes = found.objects.boxes.copy()
    rows = rescaled[found.objects.image]
    image = found.objects.image[rows]
    boxes[rows] = boxes[rows] * sizes[image][:, [1, 0, 1, 0]] / stated[image][:, [1, 0, 1, 0]]
    areas = found.objects.areas.copy()
    areas[rows] = areas[rows] * sizes[image].prod(axis=1) / stated[image].prod(axis=1)
    objects = replace(found.objects, boxes=boxes, areas=areas)
    notes = [*found.notes]
    if rescaled.any():
        text = "images differ in size from what their annotation states; their boxes were rescaled"
        notes.append(_note(found.name, text, origin[rescaled]))
    if turned.any():
        text = "annotations state height and width exchanged (an orientation tag? see data.exif); boxes were kept"
        notes.append(_note(found.name, text, origin[turned]))
    return replace(found, sizes=sizes, objects=objects, notes=tuple(notes))


def _with_bad_boxes_noted(found: Dataset, origin: Array, policy: Literal["repair", "stop"]) -> Dataset:
    boxes, image = found.objects.boxes, found.objects.image
    limits = found.sizes[image][:, [1, 0, 1, 0]]
    clipped = np.clip(boxes, 0, limits)
    inverted = np.any(boxes[:, 2:] < boxes[:, :2], axis=1)
    degenerate = ~inverted & ~has_area(boxes)
    outside = ~inverted & ~degenerate & ~has_area(clipped)
    beyond = np.any(clipped != boxes, axis=1) & ~(inverted | degenerate | outside)
    kinds: dict[str, Bool] = {
        "boxes are inverted and not trained on": inverted,
        "boxes have a side of one pixel or less and are not trained on": degenerate,
        "boxes lie outside their image and are not trained on": outside,
    }
    if policy == "stop":
        _refuse(found, origin, inverted | degenerate | outside)
    kinds["boxes reach beyond their image and are clipped for training"] = beyond
    notes = [_note(found.name, text, origin[image[mask]]) for text, mask in kinds.items() if mask.any()]
    return replace(found, notes=(*found.notes, *notes))


def _refuse(found: Dataset, origin: Array, bad: Bool) -> None:
    if not bad.any():
        return
    row = int(np.argmax(bad))
    image = int(found.objects.image[row])
    corners = ", ".join(f"{corner:g}" for corner in found.objects.boxes[row])
    height, width = found.sizes[image]
    raise DataError(
        f"box must be over one pixel wide and high inside its image of {width} x {height} pixels, "
        f"got x1, y1, x2, y2 = {corners} ({origin[image]}); {np.count_nonzero(bad)} such boxes in {found.name}"
    )


def _note(split: str, text: str, files: Array) -> str:
    names = list(dict.fromkeys(files.tolist()))
    more = ", ..." if len(names) > NAMED else ""
    return f"{split}: {len(files)} {text} ({', '.join(names[:NAMED])}{more})"
