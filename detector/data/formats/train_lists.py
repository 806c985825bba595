"""ILSVRC-DET's lists of training images by class: which images show a class, and where it is known to be missing.

Class X has train_X.txt with lines `<id> <1|0|-1>`, or train_pos_X.txt, train_part_X.txt and train_neg_X.txt with
lines `<id>`: of its objects all are boxed in the image, or some, or there is none. Most images are listed for a
few classes only; in these nothing is known of the others.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detector.data.classes import ClassList, ilsvrc_det_classes
from detector.data.folders import require_file_name
from detector.data.names import NameSet
from detector.errors import DataError
from detector.files import read_text
from detector.records import FIRST_LABEL, Array, Bool, Int64
from detector.text import shown

LIST_NAME = re.compile(r"train_(?:(pos|part|neg)_)?([0-9]{1,9})\.txt")
POSITIVE, PARTIAL, NEGATIVE = 1, 0, -1
FLAGS = {"1": POSITIVE, "0": PARTIAL, "-1": NEGATIVE}
KINDS = {"pos": POSITIVE, "part": PARTIAL, "neg": NEGATIVE}
NOWHERE = -1

SIGNS = (".", "\n/", "\0", "\n ", "\n\t")  # of lines that are not as the official lists have them

Int8 = NDArray[np.int8]
Entries = tuple[Array, Int8]  # of a class's lists: places of images i32, flags
Places = defaultdict[str, int]  # of images by their ids


@dataclass(frozen=True, eq=False)
class TrainLists:
    """The union of all classes' lists.

    ids (n) sorted; complete (n, C) bool: the image is listed as positive or negative of the class, and not as
    partial; positives: of each class the rows (K,) i64, rising, of the images listed as positive.
    """

    ids: list[str]
    complete: Bool
    positives: tuple[Int64, ...]


def read_train_lists(
    folder: Path, classes: ClassList, names: NameSet | None = None, outside: bool = False
) -> TrainLists | None:
    """The lists of all classes in `folder`, None where there is none; DataError names a wrong list or line.

    The numbers in the lists' names are labels; but where `classes` are ILSVRC-DET's own in another order, they are
    the numbers of its own. `names` are the images there are, for lists whose names hold blanks or have suffixes;
    `outside` allows names that are absolute paths or hold "..".
    """
    paths = _paths_by_label(folder, classes)
    if not paths:
        return None
    places: Places = defaultdict()
    places.default_factory = places.__len__  # a new id gets the next place
    entries = {label: _read_entries(lists, places, names, outside) for label, lists in paths.items()}
    ids = sorted(places)
    row_of = np.empty(len(ids), np.int64)
    row_of[[places[image_id] for image_id in ids]] = np.arange(len(ids))
    return TrainLists(ids, _completeness(entries, row_of, len(classes)), _positives(entries, row_of, len(classes)))


def draw_positives(lists: TrainLists, most: int) -> Int64:
    """Rows (K,), rising, of the images drawn: of each class at most `most` of those listed as positive.

    The draw is random but depends on the lists alone, each class having a generator of its own; so a class's
    images with a smaller `most` are among those with a larger one.
    """
    drawn = [
        np.random.default_rng(label).permutation(rows)[:most]
        for label, rows in enumerate(lists.positives, FIRST_LABEL)
    ]
    return np.unique(np.concatenate(drawn))


def completeness_of(ids: Sequence[str], lists: TrainLists) -> Bool:
    """`lists.complete` (n, C) of the images `ids`, False in the rows of those that are not listed.

    An image is found by its id, or by the last part of it where only one listed image has that.
    """
    by_name: dict[str, int] = {}
    for row, image_id in enumerate(lists.ids):
        name = image_id.rpartition("/")[2]
        by_name[name] = NOWHERE if name in by_name else row
    by_id = {image_id: row for row, image_id in enumerate(lists.ids)}
    rows = np.array([by_id.get(i, by_name.get(i.rpartition("/")[2], NOWHERE)) for i in ids], np.int64)
    listed = rows != NOWHERE
    complete = np.zeros((len(rows), lists.complete.shape[1]), np.bool_)
    complete[listed] = lists.complete[rows[listed]]
    return complete


def _paths_by_label(folder: Path, classes: ClassList) -> dict[int, list[tuple[Path, int | None]]]:
    """The lists of each class with the flag of all their images, None where each line has its own."""
    labels = _labels_by_number(classes)
    paths: dict[int, list[tuple[Path, int | None]]] = {}
    for path in sorted(folder.glob("train_*.txt")):
        if match := LIST_NAME.fullmatch(path.name):
            label = labels.get(int(match[2]))
            if label is None:
                raise DataError(
                    f"list of training images must be of a class in 1..{len(classes)}, got {match[2]} ({path})"
                )
            paths.setdefault(label, []).append((path, KINDS[match[1]] if match[1] else None))
    return paths


def _labels_by_number(classes: ClassList) -> dict[int, int]:
    official = ilsvrc_det_classes().wnids
    if set(classes.wnids) == set(official):
        return {number: classes.wnids.index(wnid) + FIRST_LABEL for number, wnid in enumerate(official, 1)}
    return {label: label for label in range(FIRST_LABEL, len(classes) + FIRST_LABEL)}


def _read_entries(
    lists: Sequence[tuple[Path, int | None]], places: Places, names: NameSet | None, outside: bool
) -> Entries:
    """The images of one class's lists, as places in `places`, which grows, with their flags."""
    parts = [_read_list(path, flag, names, outside) for path, flag in lists]
    rows = [np.fromiter(map(places.__getitem__, ids), np.int32, len(ids)) for ids, _ in parts]
    return np.concatenate(rows), np.concatenate([flags for _, flags in parts])


def _read_list(path: Path, flag: int | None, names: NameSet | None, outside: bool) -> tuple[list[str], Int8]:
    """The ids and flags of a list; `flag` is that of all lines, None where each has its own."""
    text = read_text(path, "list")
    lined = "\n" + text if text.endswith("\n") else f"\n{text}\n"
    words, lines = text.split(), lined.count("\n") - 1
    if any(sign in lined for sign in SIGNS):
        return _read_line_by_line(path, text, flag, names, outside)
    if flag is not None and len(words) == lines and "\n\n" not in lined:
        return words, np.full(lines, flag, np.int8)
    if flag is None and len(words) == 2 * lines and _has_flags(lined, lines):
        return words[::2], np.fromiter(map(FLAGS.__getitem__, words[1::2]), np.int8, lines)
    return _read_line_by_line(path, text, flag, names, outside)


def _has_flags(lined: str, lines: int) -> bool:
    """Whether each line ends with a flag, and one blank stands before it and nowhere else."""
    return lined.count(" ") == lines and sum(lined.count(f" {flag}\n") for flag in FLAGS) == lines


def _read_line_by_line(
    path: Path, text: str, flag: int | None, names: NameSet | None, outside: bool
) -> tuple[list[str], Int8]:
    """The same, ten times slower, where names may hold blanks and suffixes. DataError names a wrong line."""
    ids, flags = [], []
    wanted = "<image id> <1, 0 or -1>" if flag is None else "<image id>"
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        name, *last = line.strip().rsplit(maxsplit=1) if flag is None else [line.strip()]
        image_id = _identify(name, names, outside, f"{path}:{number}")
        if image_id is None or (flag is None and (not last or last[0] not in FLAGS)):
            raise DataError(f"{path}:{number} must read {wanted}, got {shown(line.strip())}")
        ids.append(image_id)
        flags.append(FLAGS[last[0]] if flag is None else flag)
    return ids, np.array(flags, np.int8)


def _identify(name: str, names: NameSet | None, outside: bool, where: str) -> str | None:
    """The id of the image called `name`; None where that holds blanks and no image is called so."""
    require_file_name(name, outside, "image of a list", where)
    found = names.identify([name], False) if names else None
    if found is None:
        return None if len(name.split()) > 1 else name
    return found[1]


def _completeness(entries: dict[int, Entries], row_of: Int64, num_classes: int) -> Bool:
    complete = np.zeros((len(row_of), num_classes), np.bool_)
    for label, (places, flags) in entries.items():
        column = complete[:, label - FIRST_LABEL]
        column[row_of[places]] = True
        column[row_of[places[flags == PARTIAL]]] = False  # last, should an image be listed twice
    return complete


def _positives(entries: dict[int, Entries], row_of: Int64, num_classes: int) -> tuple[Int64, ...]:
    nothing = (np.empty(0, np.int32), np.empty(0, np.int8))
    listed = [entries.get(label, nothing) for label in range(FIRST_LABEL, num_classes + FIRST_LABEL)]
    return tuple(np.unique(row_of[places[flags == POSITIVE]]) for places, flags in listed)
