"""Which annotated image a file is: that whose name agrees with most of the file's path, from its end."""

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from detector.data.formats.coco_tree import CocoId
from detector.errors import DataError
from detector.text import shown

Parts = tuple[str, ...]  # of a path, the last one first


class Named(NamedTuple):
    """An annotated image: its name, of how many parts that is, and its id, a number or text."""

    name: str
    parts: int
    image_id: CocoId


class ImageIds:
    """The ids of annotated images by their names, which may be paths; `source` is where they stand."""

    def __init__(self, ids: Iterable[tuple[str, CocoId]], source: Path) -> None:
        self.source = source
        self._ending: dict[Parts, list[Named]] = defaultdict(list)
        for name, image_id in ids:
            parts = _parts(name)
            for count in range(1, len(parts) + 1):
                self._ending[parts[:count]].append(Named(name, len(parts), image_id))

    def find(self, file: str) -> CocoId:
        """The id of the image in `file`; DataError where none is called so, or several agree equally well.

        Of several that agree in as many parts the one whose name has no more is meant.
        """
        parts = _parts(os.path.abspath(file))  # noqa: PTH100 - resolves no links
        agreed = next((count for count in range(len(parts), 0, -1) if parts[:count] in self._ending), 0)
        best = self._ending[parts[:agreed]] if agreed else []
        whole = [image for image in best if image.parts == agreed]
        if len(best) == 1 or len(whole) == 1:
            return (whole or best)[0].image_id
        doubt = f", which may be {' or '.join(shown(image.name) for image in best[:2])}" if best else ""
        raise DataError(f"image must be one of the annotations, got {file}{doubt} ({self.source})")

    def check(self, files: Iterable[str]) -> None:
        """DataError where one of `files` is none of the images, or two are the same."""
        seen: dict[CocoId, str] = {}
        for file in files:
            image_id = self.find(file)
            if image_id in seen:
                wanted = "each be another one of the annotations"
                both = f"{seen[image_id]} and {file} for the same"
                raise DataError(f"images must {wanted}, got {both} ({self.source})")
            seen[image_id] = file


def _parts(path: str) -> Parts:
    return tuple(part for part in path.replace("\\", "/").split("/") if part not in ("", "."))[::-1]
