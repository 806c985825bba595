"""From what a reader found to a checked `Dataset`: labels, the files' own sizes, bad images, bad boxes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from detector.config import DataSettings
from detector.data.classes import UNKNOWN_CATEGORY, ClassList
from detector.data.dataset import Dataset, all_complete, has_area, subset
from detector.data.formats.data_format import RawSplit
from detector.data.formats.index_cache import cached
from detector.data.formats.turned_images import turn_faults
from detector.data.images import Exif, ImageHeaders, read_headers
from detector.errors import DataError
from detector.records import Array, Bool, Float64, Int64, object_table

NAMED = 3  # files a note names as examples


@dataclass(frozen=True, eq=False)
class BoxFaults:
    """Masks (G,) of the boxes that are inverted, have a side too thin, lie outside, or else reach beyond."""

    inverted: Bool
    thin: Bool
    outside: Bool
    beyond: Bool

    @property
    def bad(self) -> Bool:
        """Those that are not trained on."""
        return self.inverted | self.thin | self.outside


def settle(raw: RawSplit, classes: ClassList, settings: DataSettings) -> Dataset:
    """The split with the labels of `classes`, the sizes of its image files, and notes on what is odd.

    Boxes are in the pixels of the files. Bad images and boxes follow `settings`; a box is bad when it is inverted,
    has a side of one pixel or less, or lies outside its image. DataError also names an annotation that cannot be
    read, and a class that `classes` lacks.
    """
    if raw.missing and settings.bad_images == "stop":
        raise DataError(raw.missing[0])
    if raw.errors:
        raise DataError(raw.errors[0])
    found, origin = _labelled(raw, classes), raw.sources
    if not len(found):
        raise DataError(f"split {found.name} must hold at least one image, got none ({'; '.join(found.notes)})")
    headers = known_headers(found.paths.tolist())
    if headers.errors:
        found = _without_bad_images(found, headers.errors, settings.bad_images)
        kept = np.setdiff1d(np.arange(len(raw)), list(headers.errors))
        headers = ImageHeaders(headers.stored[kept], headers.orientations[kept], {})
        origin = origin[kept]
    found = _in_file_pixels(found, headers, origin, raw.relative, settings.exif)
    return _with_bad_boxes_noted(found, origin, settings.bad_boxes)


def size_faults(stated: Int64, sizes: Int64) -> tuple[Bool, Bool]:
    """Masks (n,) of the images whose annotation states another size than the file's, and exchanged sides.

    stated and sizes (n, 2) are heights and widths, 0 where they are not known.
    """
    known = (stated > 0).all(axis=1) & (sizes > 0).all(axis=1)
    differs = known & (stated != sizes).any(axis=1)
    turned = differs & (stated == sizes[:, ::-1]).all(axis=1)
    return differs & ~turned, turned


def rescaled_boxes(boxes: Float64, image: Int64, stated: Int64, sizes: Int64) -> Float64:
    """The boxes (G, 4) of the images (G,), in the pixels of files that have other sizes than their annotation.

    stated and sizes as in `size_faults`; boxes of images that it does not mention stay.
    """
    rows = size_faults(stated, sizes)[0][image]
    images = image[rows]
    moved = boxes.copy()
    moved[rows] = boxes[rows] * sizes[images][:, [1, 0, 1, 0]] / stated[images][:, [1, 0, 1, 0]]
    return moved


def box_faults(boxes: Float64, sizes: Int64) -> BoxFaults:
    """What is wrong with boxes (G, 4) in images with `sizes` (G, 2), height, width, 0 where not known."""
    known = (sizes > 0).all(axis=1)
    clipped = np.clip(boxes, 0, sizes[:, [1, 0, 1, 0]])
    inverted = np.any(boxes[:, 2:] < boxes[:, :2], axis=1)
    thin = ~inverted & ~has_area(boxes)
    outside = known & ~inverted & ~thin & ~has_area(clipped)
    beyond = known & np.any(clipped != boxes, axis=1) & ~(inverted | thin | outside)
    return BoxFaults(inverted, thin, outside, beyond)


def label_objects(names: Array, image: Int64, sources: Sequence[str], classes: ClassList) -> Int64:
    """The label (G,) of each object by its name or WNID; DataError names the source, the class and the nearest.

    image (G,) says which of the `sources` states an object.
    """
    known, first, inverse = np.unique(names, return_index=True, return_inverse=True)
    labels = np.zeros(len(known), np.int64)
    for row in np.argsort(first):
        name = str(known[row])
        label = classes.label(name)
        if label is None:
            raise DataError(classes.unknown(name, sources[image[first[row]]]))
        labels[row] = label
    return labels[inverse]


def _labelled(raw: RawSplit, classes: ClassList) -> Dataset:
    """The split as the files state it, as a data set."""
    labels = label_objects(raw.names, raw.image, raw.sources.tolist(), classes)
    if raw.categories is not None:
        ids = tuple(raw.categories.get(name, UNKNOWN_CATEGORY) for name in classes.names)
        classes = replace(classes, category_ids=ids)
    return Dataset(
        name=raw.title,
        classes=classes,
        image_ids=raw.ids,
        paths=raw.paths,
        sizes=raw.stated,
        objects=object_table(raw.image, raw.boxes, labels, raw.difficult, raw.crowd, raw.areas),
        complete=all_complete(len(raw), classes) if raw.complete is None else raw.complete,
        indices=np.arange(1, len(raw) + 1) if raw.indices is None else raw.indices,
        blacklist=np.empty((0, 2), np.int64) if raw.blacklist is None else raw.blacklist,
        notes=(raw.note, *_notes(raw)),
        text_ids=raw.text_ids,
    )


def _notes(raw: RawSplit) -> Iterator[str]:
    if raw.missing:
        yield f"{raw.name}: {len(raw.missing)} images without annotation were left out ({raw.missing[0]})"
    for text, cases in raw.remarks.items():
        if cases:
            yield f"{raw.name}: {len(cases)} {text} ({cases[0]})"


def known_headers(paths: Sequence[str]) -> ImageHeaders:
    """As `read_headers`, but known ones are not read again; images that could not be read are tried each time."""
    known = cached("sizes", ("tagged",), paths, lambda: _header_arrays(paths))
    stored, orientations = known["stored"], known["orientations"]
    unread = np.flatnonzero((stored == 0).any(axis=1)).tolist()
    again = read_headers([paths[position] for position in unread])
    stored[unread], orientations[unread] = again.stored, again.orientations
    return ImageHeaders(stored, orientations, {unread[row]: text for row, text in again.errors.items()})


def _header_arrays(paths: Sequence[str]) -> dict[str, Array]:
    headers = read_headers(paths)
    return {"stored": headers.stored, "orientations": headers.orientations}


def _without_bad_images(found: Dataset, errors: dict[int, str], policy: Literal["stop", "skip"]) -> Dataset:
    first = next(iter(errors.values()))
    others = f"; {len(errors) - 1} more like it" if len(errors) > 1 else ""
    if policy == "stop" or len(errors) == len(found):
        raise DataError(first + others)
    left_out = np.isin(np.arange(len(found)), list(errors))
    note = _note(found.name, "images cannot be read and were left out", found.paths[left_out])
    return replace(subset(found, ~left_out), notes=(*found.notes, note))


def _in_file_pixels(found: Dataset, headers: ImageHeaders, origin: Array, relative: bool, exif: Exif) -> Dataset:
    stated, image, sizes = found.sizes, found.objects.image, headers.sizes(exif)
    rescaled, turned = size_faults(stated, sizes)
    rows = rescaled[image]
    areas = found.objects.areas.copy()
    areas[rows] = areas[rows] * sizes[image[rows]].prod(axis=1) / stated[image[rows]].prod(axis=1)
    boxes = rescaled_boxes(found.objects.boxes, image, stated, sizes)
    notes = [*found.notes]
    if rescaled.any() and not relative:
        text = "images differ in size from what their annotation states; their boxes were rescaled"
        notes.append(_note(found.name, text, origin[rescaled]))
    faults = turn_faults(stated, image, turned, headers, exif)
    notes += [_note(found.name, text, origin[mask]) for text, mask in faults if mask.any()]
    objects = replace(found.objects, boxes=boxes, areas=areas)
    return replace(found, sizes=sizes, objects=objects, notes=tuple(notes))


def _with_bad_boxes_noted(found: Dataset, origin: Array, policy: Literal["repair", "stop"]) -> Dataset:
    image = found.objects.image
    faults = box_faults(found.objects.boxes, found.sizes[image])
    if policy == "stop":
        _refuse(found, origin, faults.bad)
    kinds: dict[str, Bool] = {
        "boxes are inverted and not trained on": faults.inverted,
        "boxes have a side of one pixel or less and are not trained on": faults.thin,
        "boxes lie outside their image and are not trained on": faults.outside,
        "boxes reach beyond their image and are clipped for training": faults.beyond,
    }
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
