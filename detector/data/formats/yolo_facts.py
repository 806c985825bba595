"""What a YOLO folder says of itself: the names of its classes and where its splits are.

It stands in a YAML file (data.yaml), in darknet's obj.data, or, names alone, in a list (classes.txt, obj.names,
_darknet.labels). Where none is there classes are called by their numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detector.config.yaml_text import read_yaml_words
from detector.data.classes import all_different, class_name
from detector.data.folders import walk_files
from detector.data.formats.split_roles import ROLE_OF
from detector.errors import ConfigError, DataError
from detector.files import read_text
from detector.text import parse_int, shown

YAML_SUFFIXES = (".yaml", ".yml")
PREFERRED = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
NAME_LISTS = ("classes.txt", "_darknet.labels")
NAMES_SUFFIX, DATA_SUFFIX = ".names", ".data"
NOTHING = ("", "~", "null", "None")


@dataclass(frozen=True)
class YoloFacts:
    """Names of classes by number, None where none are stated, and what each split is: folders or list files.

    `source` is the file that states it; `base` the folder that its paths are relative to, as they stand there.
    `beside` numbers follow each box, the points of a pose.
    """

    source: Path | None = None
    base: str = ""
    names: tuple[str, ...] | None = None
    splits: Mapping[str, Sequence[str]] = field(default_factory=dict)
    beside: int = 0


def read_facts(root: Path) -> YoloFacts:
    """What the files at and below `root` state; DataError for one that is wrong, or two that differ."""
    found = _yaml_facts(root) or _darknet_facts(root) or YoloFacts()
    if found.names is not None:
        return found
    lists = _name_lists(root)
    known = {path: _read_names(path) for path in lists}
    if not known:
        return found
    first = lists[0]
    _require_one_naming(known)
    return YoloFacts(found.source or first, found.base, known[first], found.splits, found.beside)


def is_names_file(name: str) -> bool:
    """Whether a file called so lists classes, not objects."""
    return name in NAME_LISTS or name.endswith(NAMES_SUFFIX)


def _yaml_facts(root: Path) -> YoloFacts | None:
    """What the YAML file of a data set says; None where there is none in `root` or, else, below it."""
    files = [Path(folder) / name for folder, names in walk_files(root) for name in names]
    trees = {
        path: tree
        for path in files
        if path.suffix.lower() in YAML_SUFFIXES and (tree := _read_yaml(path)) is not None
    }
    described = [path for path in trees if "names" in trees[path] or {"train", "nc"} <= trees[path].keys()]
    own = sorted((path for path in described if path.parent == root), key=_preference)
    if len(own) > 1 and own[0].name not in PREFERRED:
        both = f"{own[0]} and {own[1].name}"
        raise DataError(f"data must be described by one YAML file, got {both}: call the right one data.yaml")
    if own or len(described) == 1:
        path = own[0] if own else described[0]
        return _described(root, path, trees[path])
    found = {path: _described(root, path, trees[path]) for path in described}
    _require_one_naming({path: facts.names for path, facts in found.items()})
    return next((YoloFacts(path, names=facts.names) for path, facts in found.items()), None)


def _preference(path: Path) -> tuple[int, str]:
    return PREFERRED.index(path.name) if path.name in PREFERRED else len(PREFERRED), path.name


def _described(root: Path, path: Path, tree: Mapping[str, Any]) -> YoloFacts:
    """What one YAML file says."""
    splits = {key: _words(tree[key], key, path) for key in tree if key in ROLE_OF and tree[key] not in NOTHING}
    base = "" if tree.get("path") in (None, *NOTHING) else str(tree["path"])
    names = None if tree.get("names") is None else _named(tree["names"], path)
    _check_count(tree.get("nc"), names, path)
    return YoloFacts(
        path,
        base if path.parent == root else str(path.parent.relative_to(root) / base),
        names,
        splits,
        _beside(tree.get("kpt_shape"), path),
    )


def _require_one_naming(known: Mapping[Path, tuple[str, ...] | None]) -> None:
    """Raise DataError where files name classes otherwise: then one number would be two classes."""
    first = next(iter(known), None)
    for path, names in known.items():
        if first is not None and names != known[first]:
            raise DataError(f"class names must be the same in all lists of them, got others in {first} and {path}")


def _read_yaml(path: Path) -> dict[str, Any] | None:
    try:
        tree = read_yaml_words(read_text(path, "YAML file"), "YAML file", str(path))
    except ConfigError as error:
        if path.name in PREFERRED:
            raise DataError(str(error)) from None
        return None
    return tree if isinstance(tree, dict) else None


def _words(value: object, key: str, path: Path) -> tuple[str, ...]:
    given: list[object] = value if isinstance(value, list) else [value]
    words = [word.strip() for word in given if isinstance(word, str)]
    if not words or len(words) < len(given) or not all(words):
        raise DataError(f"{key} must be a folder, a list file or a list of them, got {shown(value)} ({path})")
    return tuple(words)


def _named(names: object, path: Path) -> tuple[str, ...]:
    """The names in a list, or in a map from the numbers 0, 1, 2, ..., in any order."""
    if isinstance(names, dict):
        numbers = {parse_int(key): name for key, name in names.items()}
        if set(numbers) != set(range(len(names))):
            missing = next(number for number in range(len(names) + 1) if number not in numbers)
            raise DataError(f"names must be numbered 0 to {len(names) - 1}, got none for {missing} ({path})")
        names = [numbers[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(
            f"names must be a list of classes or a map from their numbers, got {shown(names)} ({path})"
        )
    return tuple(class_name(name, f"names[{number}]", str(path)) for number, name in enumerate(names))


def _check_count(stated: object, names: Sequence[str] | None, path: Path) -> None:
    """Raise DataError where `nc`, the number of classes, is not that of the names: nobody knows which is right."""
    if stated in (None, *NOTHING) or names is None:
        return
    if not isinstance(stated, str) or parse_int(stated) != len(names):
        raise DataError(f"nc must be {len(names)}, the number of names, got {shown(stated)} ({path})")


def _beside(shape: object, path: Path) -> int:
    """How many numbers of a pose follow a box, by `kpt_shape`: points, and numbers a point."""
    if shape is None:
        return 0
    sides = (
        [parse_int(word) if isinstance(word, str) else None for word in shape] if isinstance(shape, list) else []
    )
    if len(sides) != 2 or any(side is None or side < 1 for side in sides):
        raise DataError(f"kpt_shape must be two whole numbers from 1, got {shown(shape)} ({path})")
    points, numbers = (side or 0 for side in sides)
    return points * numbers


def _darknet_facts(root: Path) -> YoloFacts | None:
    """What the lines `<key> = <value>` of obj.data, or of a file of its suffix, say; None without such a file."""
    files = sorted(path for path in root.iterdir() if path.suffix == DATA_SUFFIX and path.is_file())
    for path in files:
        pairs = [line.partition("=") for line in read_text(path, "darknet's data file").split("\n") if "=" in line]
        values = {key.strip(): value.strip() for key, _, value in pairs}
        splits = {key: (values[key],) for key in values if key in ROLE_OF and values[key]}
        if splits or "names" in values:
            return YoloFacts(path, "", None, splits)
    return None


def _name_lists(root: Path) -> list[Path]:
    return [Path(folder) / name for folder, names in walk_files(root) for name in names if is_names_file(name)]


def _read_names(path: Path) -> tuple[str, ...]:
    lines = [(number, line) for number, line in enumerate(read_text(path, "list of classes").split("\n"), 1)]
    named = [(number, class_name(line, "class", f"{path}:{number}")) for number, line in lines if line.strip()]
    if not named:
        raise DataError(f"list of classes must name at least one, got none ({path})")
    all_different(named, str(path))
    return tuple(name for _, name in named)
