"""The settings of a folder's data: its format and splits as they are found, and a split where there is none."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from detector.data.folders import require_folder
from detector.data.formats.assembly import known_headers
from detector.data.formats.data_format import FoundData
from detector.data.formats.turned_images import sizes_tell
from detector.data.layouts import find_data
from detector.data.readers import format_of, open_classes
from detector.errors import DataError
from detector.files import read_text, write_text
from detector.jobs.drawn_lists import TEST_LIST, TRAIN_LIST, draw_lists
from detector.jobs.stated_splits import StatedSplits, data_settings, names_of
from detector.jobs.unused_data import unused_lines
from detector.jobs.wish import Tree


def own_data(folder: Path, given: Mapping[str, Any], lists: Path, seed: int) -> tuple[Tree, list[str]]:
    """The settings of section `data` for what lies in `folder`, and lines that say what was found.

    Settings of the section that are `given` are kept. Where the folder has no split, one is drawn, and its lists
    are written to the folder `lists`. DataError where no data are found, or two formats are equally plausible.
    """
    require_folder(folder, "--data")
    if {"format", "train", "test"} <= given.keys():
        named, told = {"root": str(folder), **given}, [f"data: {folder}, as the settings say"]
        return named | _turned(named, StatedSplits(named), told), told
    data = find_data(Path(given.get("root", folder)), [str(given["format"])] if "format" in given else ())
    found = data.found
    tree: Tree = {"format": data.format, "root": str(found.root), **found.beside, **given}
    lines = [f"data: {found.layout}, in {found.root}"]
    stated, roles = StatedSplits(tree), _roles(found, given)
    test = "test" if {"train", "test"} <= roles.keys() and "test" in given else _tested(stated, roles)
    if "train" in roles and test:
        tree |= {"train": roles["train"], "test": roles[test]}
        lines += [_told(roles, test), *_unused(stated, found, given, roles, test)]
    else:
        roles["train"] = _whole_of(found, roles.get("train", found.whole))
        chosen, told = draw_lists(stated, roles["train"], found.whole, lists, seed)
        tree |= chosen
        lines += [*told, *_unused(stated, found, given, roles, None)]
    return tree | _all_classes(tree, lines) | _turned(tree, stated, lines), lines


def unused_since(tree: Tree, given: Mapping[str, Any]) -> list[str]:
    """Lines about annotations that no split of a plan's data has, such as those that came after its lists."""
    if _says_what_is_used(given):
        return []
    with suppress(DataError):  # who opens the data tells it
        found = find_data(Path(str(tree["root"])), [str(tree["format"])]).found
        told = [name for split in found.splits.values() for name in names_of(split)]
        return unused_lines(StatedSplits(tree), found, {key: tree[key] for key in ("train", "test")}, told)
    return []


def _says_what_is_used(given: Mapping[str, Any]) -> bool:
    return {"train", "test"} <= given.keys() or "train_positives" in given


def _roles(found: FoundData, given: Mapping[str, Any]) -> dict[str, Any]:
    """The splits by their roles, those of the settings before those that were found."""
    said = {role: given[role] for role in ("train", "test") if role in given}
    return {role: given.get(role, split) for role, split in found.splits.items()} | said


def list_texts(folder: Path) -> list[str | None]:
    """What the lists of a drawn split in `folder` say, None for one that is not there."""
    return [read_text(path, "list") if path.is_file() else None for path in _list_paths(folder)]


def _list_paths(folder: Path) -> list[Path]:
    return [folder / name for name in (TRAIN_LIST, TEST_LIST)]


@contextmanager
def lists_of_a_plan(folder: Path) -> Iterator[None]:
    """Within, lists may be written to `folder`; an error restores those of the plan before, or removes them."""
    before = list_texts(folder)
    try:
        yield
    except BaseException:
        for path, text in zip(_list_paths(folder), before, strict=True):
            if text is None:
                path.unlink(missing_ok=True)
            else:
                write_text(path, text)
        with suppress(OSError):  # it holds something else, or is not there
            folder.rmdir()
        raise


def _tested(stated: StatedSplits, roles: Mapping[str, Any]) -> str | None:
    """The role to test on: test, or else val, that has objects and other images than are trained on."""
    if "train" not in roles:
        return None
    trained = {path for raw in stated.read(roles["train"]) for path in raw.paths.tolist()}
    for role in ("test", "val"):
        for raw in stated.read(roles[role]) if role in roles else ():
            if (len(raw.names) or raw.errors) and not trained.issuperset(raw.paths.tolist()):
                return role
    return None


def _told(roles: Mapping[str, Any], test: str) -> str:
    train, tested = (", ".join(names_of(roles[role])) for role in ("train", test))
    held = f"; {roles['val']} is not used" if test == "test" and "val" in roles else ""
    return f"split: trained on {train}, tested on {tested}{held}"


def _whole_of(found: FoundData, whole: object) -> object:
    if not names_of(whole):
        raise DataError(
            f"--data must say what to train on, got {found.layout} in {found.root}: add data.train=SPLIT"
        )
    return whole


def _unused(
    stated: StatedSplits, found: FoundData, given: Mapping[str, Any], roles: Mapping[str, Any], test: str | None
) -> list[str]:
    """Lines about annotations that are not used, unless the settings say themselves what is.

    `test` is the role that is tested on, None where the split is drawn.
    """
    if _says_what_is_used(given):
        return []
    told = [name for role in ("val", "test") for name in names_of(roles.get(role))]
    chosen = {"train": roles["train"], **({"test": roles[test]} if test else {})}
    return unused_lines(stated, found, chosen, told)


def _turned(tree: Tree, stated: StatedSplits, lines: list[str]) -> Tree:
    """The setting that orientation tags are applied, where the sizes that annotations state say so."""
    if "exif" in tree:
        return {}
    settings = data_settings(tree)
    splits = stated.read(list(dict.fromkeys((*settings.train, *settings.test))))
    shown, stored = sizes_tell(splits, [known_headers(raw.paths.tolist()) for raw in splits])
    if shown and stored:
        lines.append(
            f"warning: {shown} annotations state the size of their image as its orientation tag turns it, "
            f"{stored} as it is stored; images are read as they are stored (data.exif=apply turns them)"
        )
    if not shown or stored:
        return {}
    lines.append(
        f"images are turned by their orientation tag (data.exif=apply): {shown} annotations state their size so"
    )
    return {"exif": "apply"}


def _all_classes(tree: Tree, lines: list[str]) -> Tree:
    """The setting of the classes where some are in the test split alone: nothing can be learned of them."""
    if "classes" in tree:
        return {}
    settings = data_settings(tree)
    known = open_classes(settings)
    tested = [format_of(settings).read(settings, split, known) for split in settings.test]
    extra = sorted(
        {str(name) for raw in tested for name in np.unique(raw.names) if known.label(str(name)) is None}
    )
    if not extra:
        return {}
    lines.append(
        f"classes that are tested and have no object to train on, so that their AP is 0: {', '.join(extra)}"
    )
    return {"classes": [*known.names, *extra]}
