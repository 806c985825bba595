"""Where the images of a COCO JSON lie: in the folder that holds the most of them, or by the ends of their names.

Names of images may repeat in the folders of other splits, and be written on another machine: `images\\a.jpg`,
`/data/upload/1/a.jpg`. A folder of another split is never taken, nor one of two that are alike.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

from detector.data.folders import class_folders, is_file, is_folder, walk_files
from detector.data.formats.split_roles import role_of
from detector.errors import DataError
from detector.text import shown

INSTANCES = "instances_"
LOOKED_FOR = 200  # images of a split, to find the folder that holds them


@dataclass(frozen=True)
class ImagePlaces:
    """The folder of a JSON's images, and the path of each; None of one that leads outside and is not found inside.

    `moved` are the paths of the names that are not in the folder as they stand.
    """

    folder: Path
    paths: list[str | None]
    moved: Mapping[str, str]


@dataclass(frozen=True)
class ImageSearch:
    """Looking below `root` for the images of `split`, whose JSON is `source`; `outside`: names may lead out."""

    root: Path
    split: str
    source: Path
    outside: bool

    @cached_property
    def role(self) -> str | None:
        """What the split is for, by the name of its JSON or the folders on the way there."""
        return role_of(self.source.stem) or _role_on(self._below(self._beside))

    @cached_property
    def _beside(self) -> Path:
        """The JSON's folder, below the root if it is there, however the JSON is called."""
        folder, root = (Path(os.path.abspath(path)) for path in (self.source.parent, self.root))  # noqa: PTH100
        return self.root / folder.relative_to(root) if folder.is_relative_to(root) else self.source.parent

    def find(self, names: Sequence[str]) -> ImagePlaces:
        """The places of the images called `names`; DataError where no folder holds any, or two are alike."""
        inside = [name for name in names if self.outside or not leads_out(name)]
        folder, others = self._find_folder(inside) if inside or not names else (None, [])
        found = _present(folder, names, self.outside) if folder else [None] * len(names)
        missing = [name for name, path in zip(names, found, strict=True) if path is None]
        taken = {os.path.normpath(path) for path in found if path is not None}
        moved = self._by_ends(missing, taken) if missing else {}
        if folder is None and not moved and len(inside) == len(names):
            raise self._nowhere(names[0], others)
        home = folder or self.root
        looked = ((name, path or moved.get(name)) for name, path in zip(names, found, strict=True))
        return ImagePlaces(home, [path or self._as_stated(home, name) for name, path in looked], moved)

    def _as_stated(self, folder: Path, name: str) -> str | None:
        return str(folder / spelled(name)) if self.outside or not leads_out(name) else None

    def _find_folder(self, names: Sequence[str]) -> tuple[Path | None, list[str]]:
        """The folder that holds the most of `names`, of equals the first of those that come first in question.

        None, and the folders of other splits that would, where there is none.
        """
        folders = [folder for folder in (*self._own, *self._general) if is_folder(folder)]
        if not names:
            return folders[0], []
        some = names[:: -(-len(names) // LOOKED_FOR)]
        held = [sum(any(is_file(folder / form) for form in _forms(name)) for name in some) for folder in folders]
        best = folders[held.index(max(held))]
        if 2 * max(held) >= len(some) and (best in self._own or not self._has_rivals):
            return best, []
        return self._chosen(self._counts(names))

    @cached_property
    def _own(self) -> list[Path]:
        """The folders that are the split's by their name, or by the JSON's place."""
        name = Path(self.split).stem.removeprefix(INSTANCES)
        beside = self._beside
        own = [self.root / name, self.root / "images" / name]
        near = [beside, beside / "images", beside / "data"] if self._has_own_folder else []
        return list(dict.fromkeys([*own, *near]))

    @cached_property
    def _general(self) -> list[Path]:
        """The folders that may hold the images of all splits."""
        beside = self._beside
        folders = [beside, beside / "images", self.root / "images", self.root, beside / "data"]
        return [folder for folder in dict.fromkeys(folders) if folder not in self._own]

    @property
    def _has_own_folder(self) -> bool:
        """Whether the JSON is in a folder further in, which may be the split's."""
        return self._beside not in (self.root, self.root / "annotations")

    @property
    def _has_rivals(self) -> bool:
        """Whether other folders may be more the split's own than those of all splits."""
        if self._has_own_folder:
            return True
        if self.role is None:
            return False
        places = [place for place in (self.root, self.root / "images") if is_folder(place)]
        return any(role_of(name) == self.role for place in places for name in class_folders(place)[0])

    @cached_property
    def _walked(self) -> list[tuple[str, list[str]]]:
        """The folders at and below the root, by their paths from there, and the names of their files."""
        return [(self._below(Path(where)), files) for where, files in walk_files(self.root)]

    def _below(self, folder: Path) -> str:
        """The path from the root to a folder, empty for the root; of one elsewhere its name."""
        if not folder.is_relative_to(self.root):
            return folder.name
        return "/".join(folder.relative_to(self.root).parts)

    def _counts(self, names: Iterable[str]) -> Counter[str]:
        """How many of `names` each folder holds, by its path from the root."""
        wanted = {os.path.normpath(form) for name in names for form in _forms(name)}
        within = {os.path.dirname(name) for name in wanted}  # noqa: PTH120 - of half a million names
        counts: Counter[str] = Counter()
        for where, files in self._walked:
            for folder, inner in _cuts(where):
                if inner in within:
                    counts[folder] += sum(os.path.join(inner, file) in wanted for file in files)  # noqa: PTH118
        return +counts

    def _chosen(self, counts: Counter[str]) -> tuple[Path | None, list[str]]:
        """The folder of `counts`, and those of other splits among them; DataError where two are alike.

        Of all with half of the most, the split's own go first.
        """
        usual = [
            [self._below(place) for place in group if place.is_relative_to(self.root)] for group in self._usual
        ]
        known = {place for group in usual for place in group}
        allowed = {place: held for place, held in counts.items() if place in known or self._may_hold(place)}
        others = sorted(counts.keys() - allowed.keys())
        if not allowed:
            return None, others
        best = {max(group, key=lambda place: allowed.get(place, 0)) for group in usual if group}
        half = (max(allowed.values()) + 1) // 2
        rivals = [place for place, held in allowed.items() if held >= half and place not in known - best]
        ranked = sorted((self._rank(place), -allowed[place], place) for place in rivals)
        alike = [place for *order, place in ranked if order == [*ranked[0][:2]]]
        if len(alike) > 1:
            one, two = (self.root / place for place in alike[:2])
            got = f"{one} and {two}, of which each holds {allowed[alike[0]]} of them ({self.source})"
            raise DataError(f"images of {self.split} must be in one folder, got {got}")
        return self.root / alike[0], others

    @property
    def _usual(self) -> list[list[Path]]:
        """The usual folders in groups, of each of which the one that holds the most comes into question."""
        return [self._own, self._general] if self._has_own_folder else [[*self._own, *self._general]]

    def _rank(self, place: str) -> int:
        """How far a folder is from being the split's own, from 0."""
        folder = self.root / place
        if folder in self._own:
            return 0
        below = self._has_own_folder and folder.is_relative_to(self._beside)
        own = below + (self.role is not None and _role_on(place) == self.role)
        return 3 - own if own or folder in self._general else 4

    def _may_hold(self, place: str) -> bool:
        """Whether a folder is no other split's."""
        return None in (self.role, _role_on(place)) or _role_on(place) == self.role

    def _by_ends(self, names: Sequence[str], taken: set[str]) -> dict[str, str]:
        """The paths of the `names` that one file, none of those `taken`, agrees with in the longest end."""
        wanted = {end for name in names for end in _ends(name)}
        last = {end for end in wanted if "/" not in end}
        found: dict[str, list[str]] = {}  # by an end of its path, the folder below which a file has it
        for where, files in self._walked:
            cuts = _cuts(where)
            for file in (file for file in files if file in last):
                for folder, inner in cuts:
                    end = f"{inner}/{file}" if inner else file
                    if end in wanted:
                        found.setdefault(end, []).append(folder)
        parallel = self._parallel(taken)
        agreed = ((name, self._agreed(_ends(name), found, parallel)) for name in names)
        paths = ((name, str(self.root / place)) for name, place in agreed if place is not None)
        return {name: path for name, path in paths if os.path.normpath(path) not in taken}

    def _agreed(self, ends: Sequence[str], found: Mapping[str, Sequence[str]], parallel: set[str]) -> str | None:
        for end in ends:
            folders = found.get(end, ())
            if "/" not in end and (len(folders) > 1 or parallel.intersection(folders)):
                return None
            allowed = [folder for folder in folders if self._may_hold(folder)]
            if allowed:
                return os.path.join(allowed[0], end) if len(allowed) == 1 else None  # noqa: PTH118
        return None

    def _parallel(self, taken: set[str]) -> set[str]:
        """The folders whose files are called as some of those `taken`: names say nothing there."""
        known = {os.path.basename(path) for path in taken}  # noqa: PTH119 - of half a million paths
        folders = ((where, os.path.normpath(self.root / where), files) for where, files in self._walked)
        return {
            where
            for where, folder, files in folders
            if any(file in known and os.path.join(folder, file) not in taken for file in files)  # noqa: PTH118
        }

    def _nowhere(self, name: str, others: Sequence[str]) -> DataError:
        places = ", ".join(map(str, (*self._own, *self._general)))
        but = f"; {self.root / others[0]} is another split's" if others else ""
        looked = f"{shown(name)} looked for in {places}{but}"
        return DataError(f"images of {self.split} must be in a folder, got none ({looked})")


def leads_out(name: str) -> bool:
    """Whether a path is absolute or climbs, be it written with / or with \\."""
    path = PurePath(spelled(name))
    return path.is_absolute() or ".." in path.parts


def spelled(name: str) -> str:
    r"""A name with / where Windows has \."""
    return name.replace("\\", "/")


def _forms(name: str) -> tuple[str, ...]:
    return (name, spelled(name)) if "\\" in name else (name,)


def _ends(name: str) -> list[str]:
    """What a path may be called further in, the longest first."""
    parts = [part for part in spelled(name).split("/") if part not in ("", ".", "..")]
    return ["/".join(parts[first:]) for first in range(len(parts))]


def _cuts(place: str) -> list[tuple[str, str]]:
    """The pairs of paths that make up `place`: the root, then all of it, and so on to all of it and nothing."""
    parts = place.split("/") if place else []
    return [("/".join(parts[:cut]), "/".join(parts[cut:])) for cut in range(len(parts) + 1)]


def _role_on(place: str) -> str | None:
    """The role of the innermost folder on a path that has one."""
    return next((role for part in reversed(place.split("/")) if (role := role_of(part))), None)


def _present(folder: Path, names: Sequence[str], outside: bool) -> list[str | None]:
    """The path of each of `names` in `folder`, None where it is not there, or leads out and may not."""
    listed: dict[str, frozenset[str]] = {}

    def is_there(form: str) -> bool:
        inner, base = os.path.split(form)
        if inner not in listed:
            listed[inner] = _listing(folder / inner)
        return base in listed[inner] or is_file(folder / form)

    def path_of(name: str) -> str | None:
        forms = (form for form in _forms(name) if outside or not _climbs(form))
        return next((str(folder / form) for form in forms if is_there(form)), None)

    return [path_of(name) for name in names]


def _climbs(form: str) -> bool:
    path = PurePath(form)
    return path.is_absolute() or ".." in path.parts


def _listing(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))  # noqa: PTH208 - a name is all that is asked
    except (OSError, ValueError):
        return frozenset()
