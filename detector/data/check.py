"""What is wrong with a data set, and what there is in it: everything at once, where training stops at the first.

Errors are what training stops at, or what makes its results worthless: images of the test among those that are
trained on. Warnings are what it repairs or leaves out, notes are worth knowing.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np

from detector.config import DataSettings
from detector.data.classes import ClassList, names_alike
from detector.data.duplicates import equal_files
from detector.data.formats.assembly import box_faults, rescaled_boxes, size_faults
from detector.data.formats.data_format import RawSplit
from detector.data.formats.turned_images import turn_faults
from detector.data.images import ImageHeaders, read_headers, unreadable_images
from detector.data.readers import format_of, found_classes, stated_classes
from detector.records import FIRST_LABEL, Bool, Float64, Int64
from detector.text import one_line

Severity = Literal["error", "warning", "note"]
Tell = Callable[[Severity, str, Sequence[str]], None]  # of a finding with its cases; nothing without cases
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)
IMBALANCE = 10.0  # between the most and the least frequent class, from which it is worth a note


@dataclass(frozen=True)
class Finding:
    """Something about a split (or "TRAIN + TEST"): `text` says what, of `cases` each is one, all of them."""

    split: str
    severity: Severity
    text: str
    cases: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class CheckedSplit:
    """The numbers of a split: usable objects (C,) of each class, images (C,) with them, quantiles of their boxes.

    `sizes` (n, 2) are those of the files, 0 of images that cannot be read; `labels` (G,) are 0 for unknown
    classes; `boxes` (G, 4) are in the pixels of the files, `bad` (G,) marks those that are not trained on. The
    quantiles (5,) are `QUANTILES` of what they are called, and empty without usable boxes.
    """

    raw: RawSplit
    sizes: Int64
    labels: Int64
    boxes: Float64
    bad: Bool
    objects: Int64
    images: Int64
    quantiles: Mapping[str, Float64]


@dataclass(frozen=True, eq=False)
class DataCheck:
    """The splits that were checked, and what was found."""

    classes: ClassList
    splits: tuple[CheckedSplit, ...]
    findings: tuple[Finding, ...]

    def count(self, severity: Severity) -> int:
        """How many findings there are of that severity."""
        return sum(finding.severity == severity for finding in self.findings)


def check_data(settings: DataSettings, roles: Mapping[str, Sequence[str]], decode: bool = False) -> DataCheck:
    """Check the splits of each role, such as train and test, each by itself and against each other.

    With `decode` every image is decoded, where else its header and its end are read. DataError where a split
    cannot be found at all.
    """
    read = format_of(settings).read
    # annotations that cannot be read leave the names of the classes to the others
    classes = stated_classes(settings) or found_classes(
        settings, [read(settings, n, None) for n in settings.train]
    )
    names = list(dict.fromkeys(name for splits in roles.values() for name in splits))
    raw = _with_titles([read(settings, name, classes) for name in names])
    found: list[Finding] = []
    splits = tuple(_check_split(settings, each, classes, decode, found) for each in raw)
    found += _between(raw, roles)
    alike = [" and ".join(map(repr, group)) for group in names_alike(classes.names)]
    found += _finding("classes", "warning", "names look alike, and each is a class of its own", alike)
    return DataCheck(classes, splits, tuple(sorted(found, key=lambda each: SEVERITIES.index(each.severity))))


def _with_titles(splits: Sequence[RawSplit]) -> list[RawSplit]:
    """`splits`, of which those that would have one title are called by their whole names."""
    counts = Counter(split.title for split in splits)
    return [replace(split, title=split.name) if counts[split.title] > 1 else split for split in splits]


def _check_split(
    settings: DataSettings, raw: RawSplit, classes: ClassList, decode: bool, found: list[Finding]
) -> CheckedSplit:
    """The numbers of a split; what is to be said of it goes to `found`."""

    def tell(severity: Severity, text: str, cases: Sequence[str]) -> None:
        found.extend(_finding(raw.title, severity, text, cases))

    tell("error", "split holds no image", [] if len(raw) else [raw.name])
    headers, unreadable = _headers(raw, settings, decode)
    sizes = headers.sizes(settings.exif)
    stops = settings.bad_images == "stop" or len(unreadable) == len(raw)
    tell("error" if stops else "warning", "images cannot be read", unreadable)
    tell("error", "annotations cannot be read", [*raw.missing, *raw.errors])
    for text, cases in raw.remarks.items():
        tell("warning", text, cases)
    tell("warning", "images are the same file as another of the split", _repeated(raw))
    labels = np.array([classes.label(name) or 0 for name in raw.names.tolist()], np.int64)
    unknown = [f"{name} ({count} objects)" for name, count in Counter(raw.names[labels == 0].tolist()).items()]
    tell("error", "classes are not in the class list", unknown)
    boxes = _in_file_pixels(raw, headers, settings, tell)
    bad = _bad_boxes(settings, raw, boxes, sizes, tell)
    usable = ~bad & (labels > 0) & (sizes[raw.image] > 0).all(axis=1)
    objects = _per_class(labels[usable], classes)
    images = _per_class(np.unique(np.stack([labels[usable], raw.image[usable]]), axis=1)[0], classes)
    _tell_of_classes(raw, classes, objects, tell)
    return CheckedSplit(
        raw, sizes, labels, boxes, bad, objects, images, _quantiles(raw.image[usable], boxes[usable], sizes)
    )


def _headers(raw: RawSplit, settings: DataSettings, decode: bool) -> tuple[ImageHeaders, list[str]]:
    """The headers of the image files, their sizes 0 where they cannot be read, and the messages about these."""
    paths = raw.paths.tolist()
    headers = read_headers(paths)
    errors = headers.errors
    if decode:
        errors = unreadable_images(paths, settings.exif, thorough=True) | errors
    headers.stored[list(errors)] = 0
    return headers, [errors[row] for row in sorted(errors)]


def _repeated(raw: RawSplit) -> list[str]:
    paths = raw.paths.tolist()
    return [f"{paths[again]} = {paths[first]}" for first, *more in equal_files(paths) for again in more]


def _in_file_pixels(raw: RawSplit, headers: ImageHeaders, settings: DataSettings, tell: Tell) -> Float64:
    """The boxes (G, 4), rescaled where the annotation states another size than the file has."""
    sizes = headers.sizes(settings.exif)
    rescaled, turned = size_faults(raw.stated, sizes)
    cases = [
        f"{source}: {stated[1]} x {stated[0]}, the file has {size[1]} x {size[0]}"
        for source, stated, size in zip(raw.sources.tolist(), raw.stated.tolist(), sizes.tolist(), strict=True)
    ]
    text = "annotations state another size than the image file has; their boxes are rescaled"
    tell("warning", text, [] if raw.relative else [cases[row] for row in np.flatnonzero(rescaled)])
    for text, mask in turn_faults(raw.stated, raw.image, turned, headers, settings.exif):
        named = raw.paths if raw.relative else cases
        tell("warning", text, [str(named[row]) for row in np.flatnonzero(mask)])
    return rescaled_boxes(raw.boxes, raw.image, raw.stated, sizes)


def _bad_boxes(settings: DataSettings, raw: RawSplit, boxes: Float64, sizes: Int64, tell: Tell) -> Bool:
    """Mask (G,) of the boxes that are not trained on, of images whose size is known."""
    faults = box_faults(boxes, sizes[raw.image])
    if raw.relative:  # shares of unknown sides are no pixels
        faults = replace(faults, thin=faults.thin & (sizes[raw.image] > 0).all(axis=1))
    same = _same_boxes(raw, boxes)

    def cases(mask: Bool) -> list[str]:
        return [_box_text(raw, boxes, row) for row in np.flatnonzero(mask).tolist()]

    stops: Severity = "error" if settings.bad_boxes == "stop" else "warning"
    tell(stops, "boxes are inverted and not trained on", cases(faults.inverted))
    tell(stops, "boxes have a side of one pixel or less and are not trained on", cases(faults.thin))
    tell(stops, "boxes lie outside their image and are not trained on", cases(faults.outside))
    tell("warning", "boxes reach beyond their image and are clipped", cases(faults.beyond))
    tell("warning", "boxes are there before, with the same class", cases(same))
    return faults.bad


def _same_boxes(raw: RawSplit, boxes: Float64) -> Bool:
    """Mask (G,) of the objects whose image has the same box of the same class before."""
    _, inverse = np.unique(raw.names, return_inverse=True)
    rows = np.column_stack([raw.image, inverse.reshape(-1), boxes])
    _, first = np.unique(rows, axis=0, return_index=True)
    same = np.ones(len(rows), np.bool_)
    same[first] = False
    return same


def _box_text(raw: RawSplit, boxes: Float64, row: int) -> str:
    corners = ", ".join(f"{corner:g}" for corner in boxes[row].tolist())
    return f"{raw.sources[raw.image[row]]}: {raw.names[row]} at {corners}"


def _per_class(labels: Int64, classes: ClassList) -> Int64:
    """How many of the labels are of each class, (C,)."""
    return np.bincount(labels, minlength=len(classes) + FIRST_LABEL)[FIRST_LABEL:]


def _tell_of_classes(raw: RawSplit, classes: ClassList, objects: Int64, tell: Tell) -> None:
    tell("warning", "classes have no usable object", [classes.names[k] for k in np.flatnonzero(objects == 0)])
    present = np.flatnonzero(objects)
    if len(present) and objects.max() >= IMBALANCE * objects[present].min():
        by_count = present[np.argsort(-objects[present], kind="stable")]
        ends = [f"{classes.names[k]} ({objects[k]})" for k in (by_count[0], by_count[-1])]
        tell("note", "classes differ much in their objects: the most and the least frequent", ends)
    empty = np.setdiff1d(np.arange(len(raw)), raw.image)
    tell("note", "images have no object", raw.ids[empty].tolist())
    tell("note", "objects are called difficult", raw.ids[raw.image[raw.difficult]].tolist())
    tell("note", "objects are crowds", raw.ids[raw.image[raw.crowd]].tolist())


def _quantiles(image: Int64, boxes: Float64, sizes: Int64) -> dict[str, Float64]:
    """Quantiles of the boxes (N, 4) of images with known sizes; none without boxes."""
    if not len(boxes):
        return {}
    clipped = np.clip(boxes, 0, sizes[image][:, [1, 0, 1, 0]])
    sides = clipped[:, 2:] - clipped[:, :2]
    areas = sides.prod(axis=1)
    measures = {
        "width, pixels": sides[:, 0],
        "height, pixels": sides[:, 1],
        "width / height": sides[:, 0] / sides[:, 1],
        "area / image": areas / sizes[image].prod(axis=1),
        "objects an image": np.unique(image, return_counts=True)[1],
    }
    return {name: np.quantile(values, QUANTILES) for name, values in measures.items()}


def _between(raw: Sequence[RawSplit], roles: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """Images that are in two splits, by content and by id; splits of two roles."""
    for each in raw:
        own = [role for role, splits in roles.items() if each.name in splits]
        if len(own) > 1:
            yield Finding(each.title, "error", "roles has the split, which must have one", tuple(own))
    paths = np.concatenate([each.paths for each in raw]).tolist()
    owner = np.repeat(np.arange(len(raw)), [len(each) for each in raw])
    groups = equal_files(paths)
    for a, b in combinations(range(len(raw)), 2):
        one, two = raw[a], raw[b]
        name = f"{one.title} + {two.title}"
        joined = any({one.name, two.name} <= set(splits) for splits in roles.values())
        shared = np.intersect1d(one.ids, two.ids).tolist()
        if joined:
            differ = sorted({f"{own} and {other}" for own, other in _differing(one, two)})
            yield from _finding(name, "error", "ids of categories differ in splits that are to be joined", differ)
            text = "ids are in both splits; joined, they get the split's name in front"
            yield from _finding(name, "note", text, shared)
            yield from _finding(
                name, "error", "files are in two splits that are to be joined", _same_files(one, two)
            )
        else:
            yield from _finding(name, "note", "ids are in both splits", shared)
        equal = [
            _first_of(group, owner, paths, (a, b)) for group in groups if {a, b} <= set(owner[group].tolist())
        ]
        yield from _finding(name, "warning" if joined else "error", "images are in both splits", equal)


def _finding(split: str, severity: Severity, text: str, cases: Sequence[str]) -> Iterator[Finding]:
    if cases:
        yield Finding(split, severity, text, tuple(map(one_line, cases)))


def _same_files(one: RawSplit, two: RawSplit) -> list[str]:
    """The files that both splits have, by whatever links."""
    ours, theirs = ({os.path.realpath(path) for path in each.paths.tolist()} for each in (one, two))
    return sorted(ours & theirs)


def _differing(one: RawSplit, two: RawSplit) -> Iterator[tuple[str, str]]:
    """The categories of COCO splits that have one name and two ids."""
    ours, theirs = one.categories or {}, two.categories or {}
    for name in ours.keys() & theirs.keys():
        ids = ours[name], theirs[name]
        if ids[0] != ids[1]:
            yield f"{name} {ids[0]}", f"{name} {ids[1]}"


def _first_of(group: Sequence[int], owner: Int64, paths: Sequence[str], splits: tuple[int, int]) -> str:
    """The first file of each of two splits among equal ones."""
    return " = ".join(next(paths[row] for row in group if owner[row] == split) for split in splits)
