"""Images of one class each, for training and testing a classifier: ImageNet's folders and Caffe's list files.

Labels are 1..C as everywhere; the lists count from 0 and are converted where they are read.
"""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detector.data.classes import HEADER, ClassList, all_different, class_list, class_name, read_classes
from detector.data.folders import IMAGE_SUFFIXES, class_folders, is_file, is_folder, require_file_name, walk_files
from detector.data.lists import read_lines
from detector.errors import DataError
from detector.files import read_text
from detector.records import FIRST_LABEL, Array, Int64
from detector.text import parse_int, shown

WNID = re.compile(r"n\d{8}")
MAX_CLASSES = 1_000_000  # of a list: a greater index is no class but something else
SHOWN = 3  # names in a note


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images 0..n-1: paths (n,) str array and labels (n,) i64 in 1..C, where label k is `classes.name(k)`.

    `notes` are lines about what the reader found.
    """

    name: str
    paths: Array
    labels: Int64
    classes: ClassList
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)


def read_labelled_images(
    root: Path, split: str, images: Path = Path(), classes: ClassList | None = None, outside: bool = False
) -> LabelledImages:
    """The images of `root/split`, a folder with one folder a class, or of a list, `root/split` or `split.txt`.

    Class folders are taken in the order of their names and may hold folders; hidden files are left out. The lines
    of a list are `<file> <class index>` with files relative to `root/images` and indices from 0. A folder
    without folders counts as none, so that `val/` with all images in it may stand beside its list `val.txt`.

    `classes` are those of the training split: folders must bear their names or WNIDs. Without it the folders are
    the classes, or the indices 0..max. `outside` allows files that a list names by an absolute path or by "..".
    DataError names the folder or the line that is wrong.
    """
    place = root / split
    listing = place if is_file(place) else root / f"{split}.txt"
    folders, loose = _class_folders(place) if is_folder(place) else ([], 0)
    if folders:
        paths, labels, classes = _read_folders(folders, classes)
    elif is_file(listing):
        paths, labels, classes = _read_list(listing, root / images, classes, outside)
    elif is_folder(place):
        raise DataError(f"split must be a folder with one folder a class, got {place} without any")
    else:
        raise DataError(
            f"split must be a folder or a list file, got {shown(split)} (neither {place} nor {listing})"
        )
    notes = [f"{loose} images beside the class folders are left out ({place})"] if folders and loose else []
    again = [] if folders else _repeated(paths, labels)
    return LabelledImages(split, np.array(paths), labels, classes, (*notes, *again, *_missing(labels, classes)))


def read_class_names(path: Path) -> ClassList:
    """The classes of a text file, one a line: a name, or a WNID and a name as in Caffe's `synset_words.txt`.

    The whole text after a WNID is the name, as ImageNet has several first words twice; where even that is not
    unique ("crane"), the WNID follows it in brackets. A CSV with a header is read by `read_classes`.
    """
    rows = list(read_lines(path))
    if not rows:
        raise DataError(f"class list must name at least one class, got none ({path})")
    if "".join(rows[0][1]) == ",".join(HEADER):
        return read_classes(path)
    lines = [(line, " ".join(words)) for line, words in rows]
    if not WNID.fullmatch(rows[0][1][0]):
        all_different(lines, str(path))
        return class_list(
            [class_name(name, "class name", f"{path}:{line}") for line, name in lines], (), str(path)
        )
    for line, words in rows:
        if not WNID.fullmatch(words[0]):
            raise DataError(f"{path}:{line} must begin with a WNID as the lines before, got {shown(words[0])}")
    all_different(((line, words[0]) for line, words in rows), str(path))
    wnids = tuple(words[0] for _, words in rows)
    texts = [class_name(" ".join(words[1:]) or words[0], "class name", f"{path}:{line}") for line, words in rows]
    counts = Counter(texts)
    names = [f"{text} ({wnid})" if counts[text] > 1 else text for text, wnid in zip(texts, wnids, strict=True)]
    return class_list(names, wnids, str(path))


def numbered_classes(count: int) -> ClassList:
    """`count` classes without names: "0", "1" and so on, as the lists number them."""
    return ClassList(tuple(map(str, range(count))))


def _class_folders(place: Path) -> tuple[list[Path], int]:
    """The folders in `place` by name, and the number of images beside them."""
    folders, names = class_folders(place)
    return [place / name for name in folders], sum(map(_is_image, names))


def _read_folders(folders: Sequence[Path], classes: ClassList | None) -> tuple[list[str], Int64, ClassList]:
    names = [class_name(folder.name, "name of a class folder", str(folder)) for folder in folders]
    if classes is None:
        classes = class_list(names, names if all(map(WNID.fullmatch, names)) else (), str(folders[0].parent))
    known = [_label(name, folder, classes) for name, folder in zip(names, folders, strict=True)]
    found = [_find_images(folder) for folder in folders]
    labels = np.repeat(np.array(known, np.int64), [len(paths) for paths in found])
    if not len(labels):
        raise _empty(folders[0].parent)
    return [path for paths in found for path in paths], labels, classes


def _label(name: str, folder: Path, classes: ClassList) -> int:
    label = classes.label(name)
    if label is None:
        raise DataError(classes.unknown(name, str(folder)))
    return label


def _find_images(folder: Path) -> list[str]:
    """The image files at any depth under `folder`, sorted."""
    return sorted(
        f"{where}{os.sep}{name}" for where, names in walk_files(folder) for name in names if _is_image(name)
    )


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES)


def _read_list(
    path: Path, base: Path, classes: ClassList | None, outside: bool
) -> tuple[list[str], Int64, ClassList]:
    count = len(classes) if classes else MAX_CLASSES
    paths: list[str] = []
    labels: list[int] = []
    for number, line in enumerate(read_text(path, "list").split("\n"), 1):
        words = line.strip().rsplit(maxsplit=1)  # names of files may hold spaces
        if not words:
            continue
        if len(words) != 2:
            raise DataError(f"{path}:{number} must read <file> <class index>, got {shown(line.strip())}")
        name = require_file_name(_spelled(words[0], base), outside, "image of a list", f"{path}:{number}")
        labels.append(_class_index(words[1], count, f"{path}:{number}") + FIRST_LABEL)
        paths.append(os.path.join(base, name))  # noqa: PTH118 - half the time of Path
    if not paths:
        raise _empty(path)
    if not is_file(Path(paths[0])):
        raise DataError(f"images of a list must stand under {base}, got no file {paths[0]} ({path})")
    return paths, np.array(labels, np.int64), classes or numbered_classes(max(labels))


def _spelled(name: str, base: Path) -> str:
    """A name as it is there: one that was written on Windows has a backslash for each slash."""
    return name if "\\" not in name or is_file(base / name) else name.replace("\\", "/")


def _repeated(paths: Sequence[str], labels: Int64) -> list[str]:
    """A note about the images that a list has twice, empty where it has none; with two classes one is wrong."""
    known: dict[str, int] = {}
    pairs = zip(paths, labels.tolist(), strict=True)
    differ = [path for path, label in pairs if known.setdefault(path, label) != label]
    again = len(paths) - len(known)
    wrong = f", {len(differ)} of them with another class, such as {differ[0]}" if differ else ""
    return [f"{again} lines name an image again{wrong}"] if again else []


def _class_index(word: str, count: int, where: str) -> int:
    index = parse_int(word)
    if index is None or not 0 <= index < count:
        raise DataError(f"{where} must have a class index in 0..{count - 1}, got {shown(word)}")
    return index


def _empty(place: Path) -> DataError:
    return DataError(f"split must hold at least one image, got none ({place})")


def _missing(labels: Int64, classes: ClassList) -> list[str]:
    """A note about the classes that have no image, empty where all have some."""
    absent = np.flatnonzero(np.bincount(labels - FIRST_LABEL, minlength=len(classes)) == 0)
    if not len(absent):
        return []
    shown = ", ".join(repr(classes.names[position]) for position in absent[:SHOWN])
    rest = f" and {len(absent) - SHOWN} more" if len(absent) > SHOWN else ""
    return [f"{len(absent)} of {len(classes)} classes have no image: {shown}{rest}"]
