"""Finding the files of a data set by their names without suffix."""

import os
from collections.abc import Sequence
from pathlib import Path

from detector.errors import DataError

IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
XML_SUFFIXES = (".xml",)


class FileIndex:
    """The files under `folders` whose suffix (in any case) is among `suffixes`, hidden ones left out.

    Of files that differ in folder or suffix alone the one earlier in `folders`, then in `suffixes`, counts.
    """

    def __init__(self, folders: Sequence[Path], suffixes: Sequence[str]) -> None:
        self._paths: dict[str, str] = {}
        self._keys_by_name: dict[str, str | None] | None = None
        for folder in folders:
            self._add(folder, {suffix: rank for rank, suffix in enumerate(suffixes)})

    def __len__(self) -> int:
        return len(self._paths)

    def ids(self) -> list[str]:
        """The files' paths below their folder without suffix, sorted."""
        return sorted(self._paths)

    def find(self, image_id: str) -> str | None:
        """The path of the file called `image_id` below its folder, or by name alone where only one has it."""
        path = self._paths.get(image_id)
        if path is None:
            key = self._by_name().get(image_id.rpartition("/")[2])
            path = self._paths[key] if key else None
        return path

    def _add(self, folder: Path, ranks: dict[str, int]) -> None:
        for where, _, names in os.walk(folder, followlinks=True):
            below = Path(where).relative_to(folder).as_posix()
            prefix = "" if below == "." else below + "/"
            split = [(*os.path.splitext(name), name) for name in names if not name.startswith(".")]  # noqa: PTH122
            known = sorted(
                (ranks[suffix.lower()], stem, name) for stem, suffix, name in split if suffix.lower() in ranks
            )
            for _, stem, name in known:
                self._paths.setdefault(prefix + stem, f"{where}{os.sep}{name}")

    def _by_name(self) -> dict[str, str | None]:
        if self._keys_by_name is None:
            self._keys_by_name = {}
            for key in self._paths:
                name = key.rpartition("/")[2]
                self._keys_by_name[name] = None if name in self._keys_by_name else key
        return self._keys_by_name


def find_list(root: Path, split: str, folders: Sequence[Path]) -> Path | None:
    """The list file of `split`: SPLIT or SPLIT.txt in one of `folders`, else a path, below `root` or as is."""
    named = [folder / name for folder in folders for name in (f"{split}.txt", split)]
    candidates = [*named, root / split, Path(split)]
    return next((path for path in candidates if path.is_file()), None)


def require_folder(path: Path, what: str) -> Path:
    """`path`, which must be a folder; else a DataError that calls it `what`."""
    if not path.is_dir():
        raise DataError(f"{what} must be a folder, got {path}")
    return path
