"""Region proposals that the user made, read from one file for the images of a data set.

An `.npz` holds the arrays

    image_ids (n,) text or whole numbers, each once
    offsets (n + 1,) whole numbers: the boxes of entry i are boxes[offsets[i]:offsets[i + 1]]
    boxes (N, 4) numbers: x1, y1, x2, y2 in the continuous pixels of `detector.records`
    scores (N,) numbers; without them the boxes of an image are best first

and a `.json` a list of {"image_id": ..., "bbox": [x, y, width, height], "score": ...}, as COCO's results have it.
An image id is the data set's own: the number in COCO's JSON; elsewhere the name in the lists, or of the file
without its suffix. One file may hold the images of several splits.
"""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from detector.boxes import clip_boxes
from detector.data.dataset import Dataset
from detector.data.numbers import BOX, HIGHEST_SCORE, LARGEST, SCORE, is_box, is_score
from detector.errors import DataError
from detector.files import read_json, require_file
from detector.records import Array, Float32, Int64, Proposals
from detector.text import shown

KINDS = {"image_ids": "Uiu", "offsets": "iu", "boxes": "fiu", "scores": "fiu"}  # of numpy's dtypes
LONGEST_ID = 1000  # characters
WANTED = {"U": "text", "i": "whole numbers", "f": "numbers"}


@dataclass(frozen=True, eq=False)
class ProposalEntries:
    """A file's content: image_ids (n,) str, offsets (n + 1,) i64, boxes (N, 4) f32, scores (N,) f32 or None."""

    image_ids: Array
    offsets: Int64
    boxes: Float32
    scores: Float32 | None


class GivenProposals:
    """The proposals of the user's file for each image of a data set, all in memory.

    `notes` say how many images have no entry, how many entries are of other images, and how many boxes are empty.
    """

    def __init__(self, path: Path, entries: ProposalEntries, dataset: Dataset) -> None:
        self.path = path
        self._entries = entries
        self._sizes = dataset.sizes
        self._entry_of = _match(entries.image_ids, dataset.image_ids, path)
        self.notes = tuple(self._notes())

    @classmethod
    def open(cls, path: Path, dataset: Dataset) -> "GivenProposals":
        """The proposals in `path`; DataError names the file and the field that is wrong."""
        match path.suffix:
            case ".npz":
                return cls(path, _read_npz(path), dataset)
            case ".json":
                return cls(path, _read_json(path), dataset)
        raise DataError(f"proposals must be an .npz or .json file, got {path}")

    def __len__(self) -> int:
        return len(self._sizes)

    def read(self, position: int) -> Proposals:
        """The proposals of the image at `position`: best first, the earlier on equality, clipped to the image.

        Boxes of which nothing is left are dropped. Where the file has no scores they fall from 1 with the rank.
        """
        rows = self._rows(position)
        boxes = clip_boxes(self._entries.boxes[rows], *self._sizes[position])
        inside = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1))
        if self._entries.scores is None:
            rank = np.arange(len(inside), dtype=np.float32)
            return Proposals(boxes[inside], 1 - rank / np.float32(max(len(inside), 1)))
        scores = self._entries.scores[rows][inside]
        order = np.argsort(-scores, kind="stable")
        return Proposals(boxes[inside[order]], scores[order])

    def _rows(self, position: int) -> slice:
        entry = self._entry_of[position]
        return slice(*self._entries.offsets[entry : entry + 2].tolist()) if entry >= 0 else slice(0, 0)

    def _notes(self) -> list[str]:
        """What a reader of results should know about the file."""
        count, matched = len(self), np.count_nonzero(self._entry_of >= 0)
        stated = sum(self._rows(position).stop - self._rows(position).start for position in range(count))
        kept = sum(len(self.read(position).boxes) for position in range(count))
        counts = {
            f"of {count} images have no entry, and so no proposals": count - matched,
            "entries are of images that are not in the data set": len(self._entries.image_ids) - matched,
            "boxes are empty or outside their image and were dropped": stated - kept,
        }
        return [f"{self.path}: {number} {text}" for text, number in counts.items() if number]


def _match(image_ids: Array, known: Array, path: Path) -> Int64:
    """The entry (n,) of each of the `known` images, -1 where it has none; DataError where no entry fits any."""
    entries = image_ids.tolist()
    entry_of = {image_id: entry for entry, image_id in enumerate(entries)}
    if len(entry_of) < len(entries):
        twice = next(image_id for entry, image_id in enumerate(entries) if entry_of[image_id] != entry)
        raise DataError(f"image_ids must differ, got {shown(twice)} twice ({path})")
    places = np.array([entry_of.get(image_id, -1) for image_id in known.tolist()], np.int64)
    if len(entries) and (places < 0).all():
        example = f"such as {known[0]!s}" if len(known) else "which is empty"
        raise DataError(f"image_id must be an image of the data set, {example}, got {shown(entries[0])} ({path})")
    return places


def _read_npz(path: Path) -> ProposalEntries:
    arrays = _load_arrays(path)
    for name in ("image_ids", "offsets", "boxes"):
        if name not in arrays:
            raise DataError(f"proposals must hold the array {name}, got {', '.join(arrays) or 'none'} ({path})")
    boxes = _checked(arrays, "boxes", (None, 4), path)
    image_ids = _checked(arrays, "image_ids", (None,), path)
    offsets = _checked(arrays, "offsets", (len(image_ids) + 1,), path).astype(np.int64)
    if offsets[0] != 0 or offsets[-1] != len(boxes) or (np.diff(offsets) < 0).any():
        raise DataError(f"offsets must rise from 0 to the {len(boxes)} boxes, got others ({path})")
    scores = _checked(arrays, "scores", (len(boxes),), path) if "scores" in arrays else None
    return ProposalEntries(
        image_ids.astype(np.str_),
        offsets,
        _finite(boxes, "boxes", path),
        None if scores is None else _finite(scores, "scores", path),
    )


def _load_arrays(path: Path) -> dict[str, Array]:
    name, arrays = "content", {}
    require_file(path, "proposals")
    try:
        # opened here, because numpy leaves a damaged file open
        with path.open("rb") as stream:
            if not zipfile.is_zipfile(stream):  # of which numpy says how to read it unsafely
                raise ValueError("no archive, or a part of one")
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as file:
                for name in [known for known in KINDS if known in file]:
                    arrays[name] = file[name]
    except Exception as error:  # whatever a damaged file makes its reader stumble over, memory among it
        reason = f"{error}" or type(error).__name__
        raise DataError(f"{name} of an .npz must be whole and without objects, got {reason} ({path})") from None
    return arrays


def _checked(arrays: dict[str, Array], name: str, shape: Sequence[int | None], path: Path) -> Array:
    """The array `name`; DataError unless it has this kind and shape (None: any length)."""
    array = arrays[name]
    if array.dtype.kind not in KINDS[name]:
        raise DataError(f"{name} must be {WANTED[KINDS[name][0]]}, got {array.dtype} ({path})")
    if array.ndim != len(shape) or any(
        side not in (None, got) for side, got in zip(shape, array.shape, strict=True)
    ):
        wanted = tuple("n" if side is None else side for side in shape)
        raise DataError(f"{name} must have shape {wanted}, got {array.shape} ({path})")
    return array


def _finite(array: Array, name: str, path: Path) -> Float32:
    """`array` in float32, in which every number must be finite, and a coordinate one of an image."""
    largest = HIGHEST_SCORE if name == "scores" else LARGEST
    bad = np.argwhere(~(np.abs(array.astype(np.float64)) <= largest))  # NaN is not less
    if len(bad):
        got = array[tuple(bad[0])]
        wanted = "finite numbers" if name == "scores" else "finite numbers of at most 1e9"
        raise DataError(f"{name} must be {wanted}, got {got} in row {bad[0][0]} ({path})")
    return array.astype(np.float32)


def _read_json(path: Path) -> ProposalEntries:
    rows = read_json(path, "proposals")
    if not isinstance(rows, list):
        raise DataError(f"proposals must be a list of boxes, got {type(rows).__name__} ({path})")
    for number, row in enumerate(rows):
        fault = _fault(row)
        if fault:
            raise DataError(f"{fault} ({path}, entry {number})")
    return _gathered(rows)


def _gathered(rows: Sequence[dict[str, Any]]) -> ProposalEntries:
    """The boxes of a JSON, those of an image together and in their order."""
    names = np.array([str(row["image_id"]) for row in rows], np.str_)
    image_ids, entry = np.unique(names, return_inverse=True)
    order = np.argsort(entry, kind="stable")
    sides = np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4)
    boxes = np.concatenate([sides[:, :2], sides[:, :2] + sides[:, 2:]], axis=1)
    scores = np.array([row["score"] for row in rows], np.float64)
    return ProposalEntries(
        image_ids,
        np.cumsum([0, *np.bincount(entry, minlength=len(image_ids))], dtype=np.int64),
        boxes.astype(np.float32)[order],
        scores.astype(np.float32)[order],
    )


def _fault(row: Any) -> str | None:
    if not isinstance(row, dict):
        return f"proposal must be an object with image_id, bbox and score, got {type(row).__name__}"
    image_id = row.get("image_id")
    if type(image_id) not in (int, str) or len(str(image_id)) > LONGEST_ID or "\0" in str(image_id):
        return f"image_id must be a name or a whole number, got {shown(image_id)}"
    if not is_box(row.get("bbox")):
        return f"bbox must be {BOX}, got {shown(row.get('bbox'))}"
    if not is_score(row.get("score")):
        return f"score must be {SCORE}, got {shown(row.get('score'))}"
    return None
