"""Annotations of a folder that neither training nor test uses, and the settings that would use them."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from detector.data.formats.data_format import FoundData, RawSplit
from detector.data.formats.split_roles import role_of
from detector.jobs.stated_splits import StatedSplits, names_of

PLACES = 5  # folders, or files of many images, that are told one by one
OF_MANY = ".json"  # the files of many images
WITHIN = ", image "  # in a source, between the file of many images and one of these
INSTANCES = "instances_"


@dataclass
class Unused:
    """What is looked through: the splits there are, what was found, the splits that are taken, and what is left.

    `chosen` are the names of splits by the setting that has them, train and test.
    """

    stated: StatedSplits
    found: FoundData
    chosen: dict[str, list[str]]
    used: list[RawSplit]
    left: set[str]

    @property
    def drawn(self) -> bool:
        """Whether the images to test on are drawn from those that are chosen."""
        return "test" not in self.chosen


def unused_lines(
    stated: StatedSplits, found: FoundData, chosen: Mapping[str, object], told: Iterable[str]
) -> list[str]:
    """A line for each split or folder of annotations that no split of `chosen` has, and none that is `told`.

    What is trained and tested on is chosen by these keys; without test the split is drawn from the others.
    """
    splits = {key: names_of(value) for key, value in chosen.items()}
    names = list(dict.fromkeys(name for each in splits.values() for name in each))
    used = stated.read(names)
    used += [raw for name in dict.fromkeys(told) if name not in names for raw in stated.read_if_there(name)]
    left = set(found.annotations).difference(*(_files_of(found, raw) for raw in used))
    return list(_lines(Unused(stated, found, splits, used, left))) if left else []


def _lines(unused: Unused) -> Iterator[str]:
    for name in unused.found.further:
        yield from _split_line(unused, name)
    for place in _places(unused.left)[:PLACES]:
        for name in _names_of_place(unused.found.root, place):
            if place in _places(unused.left):
                yield from _split_line(unused, name)
    places = _places(unused.left)
    for place in places[:PLACES]:
        count = sum(_is_of(path, place) for path in unused.left)
        yield f"not used: {place} has {count} annotations that are in no split{_way(unused, place)}"
    if len(places) > PLACES:
        count = sum(not any(_is_of(path, place) for place in places[:PLACES]) for path in unused.left)
        yield f"not used: {count} annotations in {len(places) - PLACES} more folders"


def _split_line(unused: Unused, name: str) -> Iterator[str]:
    """What is said of a split, if it can be read and has what is left and nothing that is taken."""
    taken = {path for other in unused.used for path in other.paths.tolist()}
    for raw in unused.stated.read_if_there(name):
        files = _files_of(unused.found, raw)
        if files & unused.left and not taken.intersection(raw.paths.tolist()):
            unused.left -= files
            count = len(raw) if raw.listed is not None else len(files)
            yield f"not used: {name} has {count} annotated images; {_advice(unused, name, raw)}"


def _advice(unused: Unused, name: str, raw: RawSplit) -> str:
    """The setting that takes the split, too."""
    if unused.drawn and raw.listed is not None:  # lists are of one file
        return f"data.test={name} tests on them"
    last = next(iter(reversed(PurePath(name).parts)), name)
    key = "test" if role_of(PurePath(last).stem) == "test" and not unused.drawn else "train"
    splits = ",".join([*unused.chosen[key], name])
    return f"data.{key}=[{splits}] {'tests' if key == 'test' else 'trains'} on them too"


def _way(unused: Unused, place: str) -> str:
    """How annotations that no split has can be used all the same."""
    whole = unused.found.whole
    files = [_files_of(unused.found, raw) for raw in unused.stated.read_if_there(whole)] if whole else []
    if not any(_is_of(path, place) and path in each for path in unused.left for each in files):
        return "; beside the others they would be"
    if unused.drawn:
        return f"; data.train={whole} takes them too"
    return f"; a list of them does: data.train=[{','.join(unused.chosen['train'])},LIST.txt]"


def _files_of(found: FoundData, raw: RawSplit) -> set[str]:
    """The annotations of the folder that a split is read from: files of one image, or of many."""
    sources = raw.sources.tolist()
    single = found.annotations.intersection(sources)
    many = [path for path in found.annotations if path.endswith(OF_MANY)]
    return {*single, *(path for path in many if any(source.startswith(path + WITHIN) for source in sources))}


def _places(paths: Iterable[str]) -> list[str]:
    """The folders of annotations of one image, and the files of those of many."""
    return sorted({_place_of(path) for path in paths})


def _place_of(path: str) -> str:
    return path if path.endswith(OF_MANY) else os.path.dirname(path)  # noqa: PTH120


def _is_of(path: str, place: str) -> bool:
    return _place_of(path) == place


def _names_of_place(root: Path, place: str) -> Sequence[str]:
    """What a split may be called that lies at `place`."""
    path = PurePath(os.path.relpath(place, root))
    parts = [part for part in path.parts if part != "."]
    names = [path.stem.removeprefix(INSTANCES)] if path.suffix == OF_MANY else []
    names += [PurePath(*parts[:end]).as_posix() for end in range(1, len(parts) + 1)]
    return list(dict.fromkeys([*names, *parts[1:]]))
