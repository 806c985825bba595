"""VOC-like XML annotations: one file an image, as ILSVRC and VOC write them.

Corners are kept as the file states them; each format's reader converts them to continuous pixels. Document
types and entities are refused, so that no file can grow beyond its size.
"""

import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detector.data.classes import ClassList
from detector.data.index_cache import cached
from detector.data.progress import map_chunks
from detector.errors import DataError
from detector.records import Array, Bool, Float64, Int64

CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, eq=False)
class Annotation:
    """The objects of one file: names, corners (G, 4) f64 xmin ymin xmax ymax as stated, difficult (G,).

    `width` and `height` are those the file states, 0 where it states none.
    """

    width: int
    height: int
    names: tuple[str, ...]
    corners: Float64
    difficult: Bool


@dataclass(frozen=True, eq=False)
class AnnotationTable:
    """The objects of many files, flat and in their order.

    sizes (n, 2) i64 height, width as the files state them, 0 where they do not; image (G,) i64 position of the
    object's file; names (G,) str; corners (G, 4) f64 as stated; difficult (G,) bool.
    """

    sizes: Int64
    image: Int64
    names: Array
    corners: Float64
    difficult: Bool


def read_annotation(path: Path) -> Annotation:
    """The annotation in `path`; DataError names the file that is missing, no such XML, or has bad numbers."""
    return _parse(_read_bytes(str(path)), str(path))


def read_annotations(paths: Sequence[str]) -> AnnotationTable:
    """The annotations of all `paths` in order; an empty path stands for an image without a file."""
    return AnnotationTable(**cached("annotations", (), paths, lambda: vars(_read_all(paths))))


def _read_all(paths: Sequence[str]) -> AnnotationTable:
    parts = map_chunks(_read_chunk, paths, "annotations")
    starts = np.cumsum([0, *(len(part.sizes) for part in parts)])
    parts.append(_flatten([]))
    return AnnotationTable(
        sizes=np.concatenate([part.sizes for part in parts]),
        image=np.concatenate([part.image + start for part, start in zip(parts, starts, strict=True)]),
        names=np.concatenate([part.names for part in parts]),
        corners=np.concatenate([part.corners for part in parts]),
        difficult=np.concatenate([part.difficult for part in parts]),
    )


def label_objects(table: AnnotationTable, paths: Sequence[str], classes: ClassList) -> Int64:
    """The label (G,) of each object by its name or WNID; DataError names the file, the class and the nearest."""
    names, first, inverse = np.unique(table.names, return_index=True, return_inverse=True)
    labels = np.zeros(len(names), np.int64)
    for row in np.argsort(first):
        name = str(names[row])
        label = classes.label(name)
        if label is None:
            raise DataError(classes.unknown(name, paths[table.image[first[row]]]))
        labels[row] = label
    return labels[inverse]


class _PlainTree(ET.TreeBuilder):
    """Builds elements; refuses the document types that entities need."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("a document type, which is refused")


def _read_bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a third of the time of Path.read_bytes
            return file.read()
    except OSError as error:
        raise DataError(f"annotation must be a readable XML file, got {path} ({error.strerror})") from None


def _read_chunk(paths: Sequence[str]) -> AnnotationTable:
    # All reading before all parsing: threads then wait for the disk together.
    contents = [_read_bytes(str(path)) if path else b"" for path in paths]
    nothing = Annotation(0, 0, (), np.empty((0, 4)), np.empty(0, np.bool_))
    return _flatten([_parse(c, str(p)) if p else nothing for c, p in zip(contents, paths, strict=True)])


def _flatten(annotations: Sequence[Annotation]) -> AnnotationTable:
    counts = [len(annotation.names) for annotation in annotations]
    return AnnotationTable(
        sizes=np.array([(a.height, a.width) for a in annotations], np.int64).reshape(-1, 2),
        image=np.repeat(np.arange(len(counts), dtype=np.int64), counts),
        names=np.array([name for a in annotations for name in a.names], np.str_),
        corners=np.concatenate([np.empty((0, 4)), *(a.corners for a in annotations)]),
        difficult=np.concatenate([np.empty(0, np.bool_), *(a.difficult for a in annotations)]),
    )


def _parse(content: bytes, path: str) -> Annotation:
    root = _root(content, path)
    objects = root.findall("object")
    corners = [_corners(item, number, path) for number, item in enumerate(objects, 1)]
    return Annotation(
        width=_side(root, "width", path),
        height=_side(root, "height", path),
        names=tuple(_name(item, number, path) for number, item in enumerate(objects, 1)),
        corners=np.array(corners, np.float64).reshape(-1, 4),
        difficult=np.array([_is_set(item, "difficult") for item in objects], np.bool_),
    )


def _root(content: bytes, path: str) -> ET.Element:
    parser = ET.XMLParser(target=_PlainTree())
    try:
        parser.feed(content)
        root = parser.close()
    except (ET.ParseError, ValueError, LookupError) as error:  # the last two: encodings that Python lacks
        raise DataError(f"annotation must be well-formed XML, got {error} ({path})") from None
    if root.tag != "annotation":
        raise DataError(f"annotation must have the root <annotation>, got <{root.tag}> ({path})")
    return root


def _name(item: ET.Element, number: int, path: str) -> str:
    name = (item.findtext("name") or "").strip()
    if not name:
        raise DataError(f"name of object {number} must be a class name, got nothing ({path})")
    return name


def _corners(item: ET.Element, number: int, path: str) -> list[float]:
    box = item.find("bndbox")
    if box is None:
        raise DataError(f"object {number} must have a <bndbox>, got none ({path})")
    return [_number(box.findtext(tag), f"{tag} of object", number, path) for tag in CORNERS]


def _number(text: str | None, name: str, number: int, path: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{name} {number} must be a finite number, got {text!r} ({path})")
    return value


def _side(root: ET.Element, tag: str, path: str) -> int:
    text = (root.findtext(f"size/{tag}") or "0").strip()
    try:
        side = int(float(text))
    except (ValueError, OverflowError):
        side = -1
    if side < 0:
        raise DataError(f"{tag} must be a number of pixels, got {text!r} ({path})")
    return side


def _is_set(item: ET.Element, tag: str) -> bool:
    return (item.findtext(tag) or "").strip() in ("1", "true", "True")
