"""Writing proposals to one file, as `given_proposals` reads it."""

import json
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from detector.data.formats.coco_tree import CocoId
from detector.errors import ConfigError
from detector.files import write_atomically
from detector.records import Array, Proposals

Read = Callable[[int], Proposals]  # of the image at a position


def check_proposal_files(paths: Sequence[Path]) -> None:
    """Raise ConfigError for a file that is neither .npz nor .json."""
    for path in paths:
        if path.suffix not in (".npz", ".json"):
            raise ConfigError(f"--out must be an .npz or .json file, got {path}")


def write_proposals(path: Path, image_ids: Array, read: Read) -> None:
    """Write the proposals of the images called `image_ids` (n,), whole or not at all, in the form of its suffix.

    Those of an image stand best first. An image without any is in the .npz, but not in the .json. Ids that are
    numbers are so in the .json, which has them as its data's file, and text in the .npz.
    """
    if path.suffix == ".npz":
        _write_npz(path, image_ids, read)
    else:
        _write_json(path, image_ids, read)


def _write_npz(path: Path, image_ids: Array, read: Read) -> None:
    found = [read(position) for position in range(len(image_ids))]
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            image_ids=image_ids.astype(np.str_),
            offsets=np.cumsum([0, *(len(each.boxes) for each in found)], dtype=np.int64),
            boxes=np.concatenate([np.empty((0, 4), np.float32), *(each.boxes for each in found)]),
            scores=np.concatenate([np.empty(0, np.float32), *(each.scores for each in found)]),
        )


def _write_json(path: Path, image_ids: Array, read: Read) -> None:
    lines = chain.from_iterable(_rows(name, read(at)) for at, name in enumerate(image_ids.tolist()))
    with write_atomically(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for number, line in enumerate(lines):
            file.write((",\n" if number else "[\n") + line)
        file.write("\n]\n" if file.tell() else "[]\n")


def _rows(image_id: CocoId, found: Proposals) -> list[str]:
    boxes, scores = found.boxes.astype(np.float64).tolist(), found.scores.astype(np.float64).tolist()
    return [
        json.dumps({"image_id": image_id, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score})
        for (x1, y1, x2, y2), score in zip(boxes, scores, strict=True)
    ]
