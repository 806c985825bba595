"""Finding the files of a data set by their names without suffix."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from detector.data.exchange.drawn_pictures import is_drawn
from detector.data.formats.split_roles import of_other_splits
from detector.errors import DataError
from detector.text import shown

IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
# of photographs that are not read, such as phones and cameras make
UNREAD_SUFFIXES = (".heic", ".heif", ".avif", ".jxl", ".jp2", ".dng", ".cr2", ".cr3", ".nef", ".arw")
UNREAD = "photographs are of kinds that are not read, and left out: as JPEG they would be"
DRAWN = "pictures were drawn by `detect`, and are left out"
XML_SUFFIXES = (".xml",)
LONGEST_PATH = 4000  # bytes; Linux opens no longer ones
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # line breaks among them
OUTSIDE_ALLOWED = "data.outside_root=allow allows it"

Identity = tuple[int, int]  # of a folder, by whatever path: its device and its number there


class FileIndex:
    """The files under `folders` whose suffix (in any case) is among `suffixes`, hidden ones left out.

    Of files that differ in folder or suffix alone the one earlier in `folders`, then in `suffixes`, counts.
    """

    def __init__(self, folders: Sequence[Path], suffixes: Sequence[str]) -> None:
        self.suffixes = tuple(suffixes)
        self._paths: dict[str, str] = {}
        self._others: dict[str, list[str]] = {}  # paths in the shadow of one in `_paths`
        self._keys_by_name: dict[str, list[str]] | None = None
        self._folders_by_name: dict[str, list[str]] | None = None
        for folder in folders:
            self._add(folder, {suffix: rank for rank, suffix in enumerate(suffixes)})

    def __len__(self) -> int:
        return len(self._paths)

    def ids(self) -> list[str]:
        """The files' paths below their folder without suffix, sorted."""
        return sorted(self._paths)

    def paths(self) -> list[str]:
        """The paths of the files that count, in the order of `ids`."""
        return [self._paths[key] for key in self.ids()]

    def find(self, image_id: str) -> str | None:
        """The path of the file called `image_id` below its folder, or by the end of its path where only one fits.

        By its name alone it is found where the folder that `image_id` states is not among those of the files, and
        none of another split. DataError where several fit alike, and none is called so below its folder.
        """
        key = self._key(image_id)
        if key is None:
            return None
        paths = [self._paths[key], *self._others.get(key, ())]
        ends = (path for path in paths if os.path.splitext(path)[0].endswith(f"/{image_id}"))  # noqa: PTH122
        return paths[0] if len(paths) == 1 else next(ends, paths[0])

    def find_one(self, image_id: str) -> str | None:
        """As `find`; DataError where there are others of that name, which differ in suffix alone."""
        rivals = self.rivals(image_id)
        if rivals:
            raise DataError(f"{shown(image_id)} must be one file, got {' and '.join(rivals)}")
        return self.find(image_id)

    def find_named(self, name: str) -> tuple[str, str] | None:
        """The id and the path of the file that is called `name` with its suffix; found as by `find`."""
        stem, suffix = os.path.splitext(name)  # noqa: PTH122
        key = self._key(stem) if suffix.lower() in self.suffixes else None
        if key is None:
            return None
        paths = [self._paths[key], *self._others.get(key, ())]
        same = [path for path in paths if path.endswith(suffix)]
        alike = [path for path in paths if path.lower().endswith(suffix.lower())]
        return next(((key, path) for path in (*same, *alike)), None)

    def rivals(self, image_id: str) -> list[str]:
        """The files in one folder that `image_id` may mean, `find`'s the first: none where it means one."""
        key = self._key(image_id)
        others = self._others.get(key, ()) if key is not None else ()
        folder = os.path.dirname(self._paths[key]) if others and key is not None else ""  # noqa: PTH120
        beside = [path for path in others if os.path.dirname(path) == folder]  # noqa: PTH120
        return [self._paths[key], *beside] if beside and key is not None else []

    def _key(self, image_id: str) -> str | None:
        if image_id in self._paths:
            return image_id
        where, _, name = image_id.rpartition("/")
        keys = self._by_name().get(name, [])
        if where:
            ends = [key for key in keys if f"/{image_id}".endswith(f"/{key}") or key.endswith(f"/{image_id}")]
            if self._has_folder(where):
                keys = [key for key in ends if "/" in key]
            else:
                keys = ends or [key for key in keys if not of_other_splits(image_id, key)]
        if len(keys) > 1:
            first, second = (self._paths[key] for key in keys[:2])
            raise DataError(f"{shown(image_id)} must be one file, got {len(keys)}, such as {first} and {second}")
        return keys[0] if keys else None

    def _has_folder(self, where: str) -> bool:
        """Whether files lie in a folder of that path, or of an end of it: a file that is not there is in none."""
        if self._folders_by_name is None:
            self._folders_by_name = {}
            for folder in {os.path.dirname(key) for key in self._paths}:  # noqa: PTH120
                self._folders_by_name.setdefault(folder.rpartition("/")[2], []).append(folder)
        alike = self._folders_by_name.get(where.rpartition("/")[2], [])
        return any(f"/{where}".endswith(f"/{each}") or each.endswith(f"/{where}") for each in alike if each)

    def _add(self, folder: Path, ranks: dict[str, int]) -> None:
        start = len(os.path.join(folder, ""))  # noqa: PTH118
        for where, names in walk_files(folder):
            below = where[start:].replace(os.sep, "/")
            prefix = below + "/" if below else ""
            split = [(*os.path.splitext(name), name) for name in names]  # noqa: PTH122
            known = sorted(
                (ranks[suffix.lower()], stem, name) for stem, suffix, name in split if suffix.lower() in ranks
            )
            for _, stem, name in known:
                path = f"{where}{os.sep}{name}"
                if self._paths.setdefault(prefix + stem, path) != path:
                    self._others.setdefault(prefix + stem, []).append(path)

    def _by_name(self) -> dict[str, list[str]]:
        if self._keys_by_name is None:
            self._keys_by_name = {}
            for key in self._paths:
                self._keys_by_name.setdefault(key.rpartition("/")[2], []).append(key)
        return self._keys_by_name


def walk_files(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Each folder at and below `folder`, as a path, with the sorted names of its files; nothing if it is missing.

    What begins with a dot is left out, except `folder` itself. Links to folders are followed, but each folder is
    read once, under its own path rather than a link's, and none that holds `folder`. DataError names a folder that
    cannot be read.
    """
    seen = _holders(folder)
    found, links = [str(folder)], list[str]()
    while found or links:
        where = found.pop() if found else links.pop(0)
        identity = _identity(where)
        if identity is None or identity in seen:
            continue
        seen.add(identity)
        names, below, linked = _entries(where)
        found += reversed(below)
        links += linked
        yield where, names


class FolderImages(NamedTuple):
    """The files at and below a folder that are called as images, and what is left out, by why it is."""

    images: list[Path]
    left_out: Mapping[str, list[Path]]


def images_below(folder: Path) -> FolderImages:
    """The images at and below `folder` as `walk_files` finds them, sorted; what is in them is not looked at.

    Pictures that `detect` drew are left out where there are others: its results may lie among the images.
    """
    found = sorted(Path(where, name) for where, names in walk_files(folder) for name in names)
    images = [path for path in found if path.suffix.lower() in IMAGE_SUFFIXES]
    unread = [path for path in found if path.suffix.lower() in UNREAD_SUFFIXES]
    drawn = [path for path in images if is_drawn(path)]
    if len(drawn) == len(images):
        return FolderImages(images, {UNREAD: unread})
    return FolderImages(sorted({*images}.difference(drawn)), {UNREAD: unread, DRAWN: drawn})


def class_folders(place: Path) -> tuple[list[str], list[str]]:
    """The names of the folders and of the files in `place`, sorted; as `walk_files` leaves out what it does."""
    held = _holders(place) | {_identity(str(place))}
    names, below, linked = _entries(str(place))
    folders = [path for path in (*below, *linked) if _identity(path) not in held]
    return sorted(os.path.basename(path) for path in folders), names  # noqa: PTH119


def is_file(path: Path) -> bool:
    """Whether `path` is a regular file; False also where nothing can be called so."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_no_folder(path: Path) -> bool:
    """Whether there is something at `path` that is no folder: a file, or what reading it will say it is."""
    return os.path.lexists(path) and not is_folder(path)


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder; False also where nothing can be called so."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def find_list(root: Path, split: str, folders: Sequence[Path]) -> Path | None:
    """The list file of `split`: SPLIT or SPLIT.txt in one of `folders`, else a path, below `root` or as is.

    A word without folder or suffix is no path as is: a file of the working folder may be called train, too.
    """
    named = [folder / name for folder in folders for name in (f"{split}.txt", split)]
    is_path = len(PurePath(split).parts) > 1 or bool(PurePath(split).suffix)
    candidates = [*named, root / split, *([Path(split)] if is_path else [])]
    return next((path for path in candidates if is_no_folder(path)), None)


def is_below(path: Path, root: Path) -> bool:
    """Whether `path`, by its name, lies in `root`."""
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(root))  # noqa: PTH100 - links may lead anywhere


def require_folder(path: Path, what: str) -> Path:
    """`path`, which must be a folder; else a DataError that calls it `what`."""
    if not is_folder(path):
        raise DataError(f"{what} must be a folder, got {path}")
    return path


def require_file_name(name: object, outside: bool, what: str, where: str) -> str:
    """`name` if a data set's file may be called so: a relative path in one printable line that does not climb out.

    `outside` allows absolute paths and "..". DataError calls it `what` and names `where` it stands.
    """
    if not isinstance(name, str) or not name.strip():
        raise DataError(f"{what} must be the name of a file, got {shown(name)} ({where})")
    if not _can_be_a_path(name):
        raise DataError(f"{what} must be the name of a file in one printable line, got {shown(name)} ({where})")
    path = PurePath(name)
    if not outside and (path.is_absolute() or ".." in path.parts):
        raise DataError(f"{what} must be a path inside its folder, got {shown(name)} ({where}; {OUTSIDE_ALLOWED})")
    return name


def _can_be_a_path(name: str) -> bool:
    """Whether the system can be asked for it; bytes that are not UTF-8 count, as Python's surrogates."""
    try:
        encoded = os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return len(encoded) <= LONGEST_PATH and not CONTROLS.search(name)


def _holders(folder: Path) -> set[Identity | None]:
    """The folders that hold `folder`, whichever way it is reached."""
    return {_identity(str(above)) for above in Path(os.path.realpath(folder)).parents}


def _identity(folder: str) -> Identity | None:
    try:
        status = os.stat(folder)  # noqa: PTH116 - half the time of Path.stat
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _entries(folder: str) -> tuple[list[str], list[str], list[str]]:
    """What is visible in `folder`, sorted: names of files, paths of folders, paths of links to folders."""
    try:
        with os.scandir(folder) as entries:
            visible = sorted((entry.name, entry) for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"folder must be readable, got {folder} ({error.strerror})") from None
    kinds = [(name, entry.path, _is_folder(entry), entry.is_symlink()) for name, entry in visible]
    files = [name for name, _, folder_like, _ in kinds if not folder_like]
    below = [path for _, path, folder_like, link in kinds if folder_like and not link]
    return files, below, [path for _, path, folder_like, link in kinds if folder_like and link]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself: it is a file that cannot be read
        return False
