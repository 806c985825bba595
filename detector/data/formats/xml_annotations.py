"""VOC-like XML annotations: one file an image, as ILSVRC and VOC write them.

Corners are kept as the file states them; each format's reader converts them to continuous pixels. Document
types and entities are refused, so that no file can grow beyond its size. What stands twice must say the same: of
an object with two boxes neither is chosen. `difficult` is 0, 1, false or true, and 0 where it is missing or empty.
"""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detector.data.classes import class_name
from detector.data.formats.data_format import RawSplit
from detector.data.formats.index_cache import cached
from detector.data.many_files import map_chunks
from detector.data.numbers import COORDINATE, LARGEST, PIXELS, whole_pixels
from detector.errors import DataError
from detector.files import read_bytes
from detector.records import Array, Bool, Float64, Int64
from detector.text import parse_float, shown

CORNERS = ("xmin", "ymin", "xmax", "ymax")
FLAGS = {"": False, "0": False, "false": False, "1": True, "true": True}
WHAT = "annotation"


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
    object's file; names (G,) str; corners (G, 4) f64 as stated; difficult (G,) bool; errors (E,) str are messages
    about files that cannot be read, which have no objects here.
    """

    sizes: Int64
    image: Int64
    names: Array
    corners: Float64
    difficult: Bool
    errors: Array


NOTHING = Annotation(0, 0, (), np.empty((0, 4)), np.empty(0, np.bool_))


def read_annotation(path: Path) -> Annotation:
    """The annotation in `path`; DataError names the file that is missing, no such XML, or has bad numbers."""
    return _parse(read_bytes(path, WHAT), str(path))


def read_annotations(paths: Sequence[str]) -> AnnotationTable:
    """The annotations of all `paths` in order; an empty path stands for an image without a file."""
    return AnnotationTable(**cached("annotations", (), paths, lambda: vars(_read_all(paths))))


def annotated_split(
    name: str,
    note: str,
    ids: Sequence[str],
    images: Sequence[str],
    annotations: Sequence[str],
    continuous: Callable[[Float64], Float64],
) -> RawSplit:
    """The split of these images (n) with what their XML files (n) state, an empty path for an image without one.

    `continuous` makes boxes of corners (G, 4).
    """
    table = read_annotations(annotations)
    return RawSplit(
        name=name,
        note=note,
        ids=np.array(ids, np.str_),
        paths=np.array(images, np.str_),
        sources=np.array([xml or image for xml, image in zip(annotations, images, strict=True)], np.str_),
        stated=table.sizes,
        image=table.image,
        names=table.names,
        boxes=continuous(table.corners),
        difficult=table.difficult,
        crowd=np.zeros(len(table.image), np.bool_),
        errors=tuple(table.errors.tolist()),
    )


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
        errors=np.concatenate([part.errors for part in parts]),
    )


class _PlainTree(ET.TreeBuilder):
    """Builds elements; refuses the document types that entities need."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("a document type, which is refused")


def _read_chunk(paths: Sequence[str]) -> AnnotationTable:
    # All reading before all parsing: threads then wait for the disk together.
    contents = [_read_content(path) if path else b"" for path in paths]
    return _flatten([_parse_content(c, p) if p else NOTHING for c, p in zip(contents, paths, strict=True)])


def _read_content(path: str) -> bytes | DataError:
    try:
        return read_bytes(Path(path), WHAT)
    except DataError as error:
        return error


def _parse_content(content: bytes | DataError, path: str) -> Annotation | DataError:
    try:
        return content if isinstance(content, DataError) else _parse(content, path)
    except DataError as error:
        return error


def _flatten(found: Sequence[Annotation | DataError]) -> AnnotationTable:
    annotations = [NOTHING if isinstance(each, DataError) else each for each in found]
    counts = [len(annotation.names) for annotation in annotations]
    return AnnotationTable(
        sizes=np.array([(a.height, a.width) for a in annotations], np.int64).reshape(-1, 2),
        image=np.repeat(np.arange(len(counts), dtype=np.int64), counts),
        names=np.array([name for a in annotations for name in a.names], np.str_),
        corners=np.concatenate([np.empty((0, 4)), *(a.corners for a in annotations)]),
        difficult=np.concatenate([np.empty(0, np.bool_), *(a.difficult for a in annotations)]),
        errors=np.array([str(each) for each in found if isinstance(each, DataError)], np.str_),
    )


def _parse(content: bytes, path: str) -> Annotation:
    root = _root(content, path)
    objects = root.findall("object")
    if len(objects) < sum(1 for _ in root.iter("object")):
        raise DataError(f"objects must stand in <annotation> itself, got one further in ({path})")
    _refuse_stray_boxes(root, path)
    found = [_object(item, f"object {number}", path) for number, item in enumerate(objects, 1)]
    return Annotation(
        width=_side(root, "width", path),
        height=_side(root, "height", path),
        names=tuple(name for name, _, _ in found),
        corners=np.array([corners for _, corners, _ in found], np.float64).reshape(-1, 4),
        difficult=np.array([difficult for _, _, difficult in found], np.bool_),
    )


def _root(content: bytes, path: str) -> ET.Element:
    parser = ET.XMLParser(target=_PlainTree())
    try:
        parser.feed(content)
        root = parser.close()
    except (ET.ParseError, ValueError, LookupError) as error:  # the last two: encodings that Python lacks
        raise DataError(f"annotation must be well-formed XML, got {error} ({path})") from None
    if any(element.tag.startswith("{") for element in (root, *root)):
        _forget_namespaces(root)
    if root.tag != "annotation":
        raise DataError(f"annotation must have the root <annotation>, got <{root.tag}> ({path})")
    return root


def _forget_namespaces(root: ET.Element) -> None:
    """Rename what stands in a namespace as if there were none: it is an annotation all the same."""
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]


def _refuse_stray_boxes(root: ET.Element, path: str) -> None:
    """DataError for a box that no <object> holds: an <Object> or <item> is none, and would be lost."""
    for child in root:
        if child.tag != "object" and any(element.tag.lower() == "bndbox" for element in child.iter()):
            holder = root if child.tag.lower() == "bndbox" else child
            raise DataError(f"<bndbox> must stand in an <object>, got one in <{holder.tag}> ({path})")


def _object(item: ET.Element, which: str, path: str) -> tuple[str, tuple[float, ...], bool]:
    """The name, the corners and the flag of an <object>."""
    name = class_name(_text(item, "name", which, path), f"name of {which}", path)
    boxes = {tuple(_corner(box, tag, which, path) for tag in CORNERS) for box in item.findall("bndbox")}
    if len(boxes) != 1:
        got = f"{len(boxes)} that differ" if boxes else "none"
        raise DataError(f"{which} must have one <bndbox>, got {got} ({path})")
    flag = _text(item, "difficult", which, path)
    if flag.lower() not in FLAGS:
        raise DataError(f"difficult of {which} must be 0 or 1, got {shown(flag)} ({path})")
    return name, boxes.pop(), FLAGS[flag.lower()]


def _text(parent: ET.Element, tag: str, which: str, path: str) -> str:
    """The text of the one `tag` in `parent`, without blanks around it; empty where there is none."""
    found = parent.findall(tag)
    if len(found) == 1 and not len(found[0]):  # as nearly all are
        return (found[0].text or "").strip()
    texts = {(element.text or "").strip() for element in found}
    if len(texts) > 1:
        raise DataError(f"{which} must have one <{tag}>, got {len(texts)} that differ ({path})")
    if any(map(len, found)):
        raise DataError(f"<{tag}> of {which} must hold text alone, got <{found[0][0].tag}> in it ({path})")
    return texts.pop() if texts else ""


def _corner(box: ET.Element, tag: str, which: str, path: str) -> float:
    text = _text(box, tag, which, path)
    value = parse_float(text)
    if value is None or abs(value) > LARGEST:
        raise DataError(
            f"{tag} of {which} must be {COORDINATE}, got {shown(text) if text else 'nothing'} ({path})"
        )
    return value


def _side(root: ET.Element, tag: str, path: str) -> int:
    """The number of pixels that all <size> elements state, 0 where none does."""
    texts = [_text(size, tag, "<size>", path) for size in root.findall("size")]
    sides = {whole_pixels(parse_float(text)) if text else 0 for text in texts}
    if None in sides:
        bad = next(text for text in texts if text and whole_pixels(parse_float(text)) is None)
        raise DataError(f"{tag} must be {PIXELS}, got {shown(bad)} ({path})")
    if len(sides) > 1:
        raise DataError(f"{tag} must be stated once, got {len(sides)} that differ ({path})")
    return sides.pop() or 0 if sides else 0
