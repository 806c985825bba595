"""Finding out what data a folder holds: its format, where in the folder they lie, and how they are split.

The formats of `detector.choices.FORMATS` look, each for its own annotations, at what the files say and not at what
the folder is called. A folder in which all lies one folder further in is that folder.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from detector.choices import FORMATS
from detector.config import DataSettings
from detector.data.folders import IMAGE_SUFFIXES, class_folders, is_folder, require_folder, walk_files
from detector.data.formats.data_format import FoundData
from detector.data.formats.split_roles import ROLES
from detector.data.readers import format_of
from detector.errors import DataError

OF_DATA = (*IMAGE_SUFFIXES, ".xml", ".json", ".txt", ".yaml", ".yml", ".names", ".data", ".labels")
ABOUT = ("readme", "license", "licence", "notice")  # what texts beside data are called
TOLD = 4  # kinds of files that are counted where no annotation is found


@dataclass(frozen=True)
class FolderData:
    """The data of a folder: the format's name, and what the format has found."""

    format: str
    found: FoundData


def find_data(folder: Path, formats: Sequence[str] = ()) -> FolderData:
    """What lies in `folder`, of one of `formats` (none: of any).

    DataError where nothing is found, or several things that are equally plausible.
    """
    require_folder(folder, "--data")
    root = _innermost(folder)
    asked = [name for name in formats or FORMATS if _find_of(name)]
    chosen = _chosen(root, asked)
    if chosen is None:
        raise _nothing(folder, formats)
    if not chosen.found.splits:
        within = [data for name in class_folders(root)[0] if (data := _chosen(root / name, asked))]
        split = [data for data in within if data.found.splits]
        if len(split) > 1:
            joined = _joined(root, chosen, split)
            if joined:
                return joined
            both = f"{split[0].found.root} and {split[1].found.root}"
            raise DataError(f"--data must be one data set, got {both} in {folder}: name the right one")
        if split and len(split[0].found.annotations) == len(chosen.found.annotations):
            return split[0]
    return chosen


def _joined(root: Path, whole: FolderData, parts: Sequence[FolderData]) -> FolderData | None:
    """The data of `root` split by its folders, where these hold other roles each, and all that is there.

    Archives that were each unpacked into a folder of its own lie so: train_zip/train and test_zip/test.
    """
    roles = [role for part in parts for role in part.found.splits]
    held = sum(len(part.found.annotations) for part in parts)
    kinds = {part.format for part in parts}
    if len(set(roles)) < len(roles) or held < len(whole.found.annotations) or kinds != {whole.format}:
        return None
    places = {role: part.found.root / split for part in parts for role, split in part.found.splits.items()}
    splits = {role: places[role].relative_to(root).as_posix() for role in ROLES if role in places}
    found = replace(whole.found, splits=splits, further=())
    return FolderData(whole.format, found) if all(map(is_folder, places.values())) else None


def _innermost(folder: Path) -> Path:
    """The folder at or below `folder` that holds all data not in one folder further in."""
    while True:
        heads = {
            _head(folder, where, name) for where, names in walk_files(folder) for name in names if _is_data(name)
        }
        if len(heads) != 1 or "" in heads:
            return folder
        folder = folder / heads.pop()


def _head(folder: Path, where: str, name: str) -> str:
    """The first folder on the way from `folder` to a file in `where`, empty for one in `folder` itself."""
    parts = Path(os.path.relpath(where, folder), name).parts
    return parts[0] if len(parts) > 1 else ""


def _is_data(name: str) -> bool:
    return os.path.splitext(name.lower())[1] in OF_DATA and not _is_about(name)  # noqa: PTH122


def _is_about(name: str) -> bool:
    return name.lower().startswith(ABOUT)


def _find_of(name: str) -> bool:
    return format_of(DataSettings(format=name)).find is not None


def _chosen(root: Path, names: Sequence[str]) -> FolderData | None:
    """What the formats find: of several that mean the same files the first."""
    candidates: list[FolderData] = []
    for name in names:
        find = format_of(DataSettings(format=name)).find
        found = find(root) if find else None
        if found and not any(found.annotations & each.found.annotations for each in candidates):
            candidates.append(FolderData(name, found))
    if len(candidates) > 1:
        one, two = (f"{each.found.layout} (such as {min(each.found.annotations)})" for each in candidates[:2])
        say = " or ".join(f"data.format={each.format}" for each in candidates)
        raise DataError(f"--data must hold annotations of one kind, got {one} and {two}: add {say}")
    return candidates[0] if candidates else None


def _nothing(folder: Path, formats: Sequence[str]) -> DataError:
    """What is said where no format finds anything."""
    files = sorted(Path(where, name) for where, names in walk_files(folder) for name in names)
    images = sum(path.suffix.lower() in IMAGE_SUFFIXES for path in files)
    others = [path for path in files if path.suffix.lower() not in IMAGE_SUFFIXES and not _is_about(path.name)]
    kinds = Counter(path.suffix.lower() for path in others).most_common(TOLD)
    told = [f"{count} {suffix} files" if suffix else f"{count} files without suffix" for suffix, count in kinds]
    if kinds:
        example = next(path for path in others if path.suffix.lower() == kinds[0][0])
        told[0] += f" (such as {example.relative_to(folder)})"
    counts = ", ".join([f"{images} images", *told]) if files else "an empty folder"
    wanted = " or ".join(formats) if formats else "VOC's XML, COCO's JSON, YOLO's text or ILSVRC's tree"
    return DataError(f"--data must hold images and annotations of them ({wanted}), got {counts} in {folder}")
