"""The settings of a folder's data: its format and splits as they are found, and a split where there is none."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from detector.config import DataSettings, parse_config
from detector.data.alike import scenes
from detector.data.formats.data_format import FoundData, RawSplit
from detector.data.holdout import draw_test
from detector.data.layouts import find_data
from detector.data.readers import format_of, open_classes, stated_classes
from detector.errors import DataError
from detector.files import write_text
from detector.jobs.wish import COMMAND, Tree
from detector.records import Int64

TRAIN_LIST, TEST_LIST = "train.txt", "test.txt"


def own_data(folder: Path, given: Mapping[str, Any], lists: Path, seed: int) -> tuple[Tree, list[str]]:
    """The settings of section `data` for what lies in `folder`, and lines that say what was found.

    What is `given` of the section counts. Where the folder has no split, the lists of one are written to the
    folder `lists`. DataError where no data are found, or two kinds that are equally plausible.
    """
    if {"format", "train", "test"} <= given.keys():
        return {"root": str(folder), **given}, [f"data: {folder}, as the settings say"]
    data = find_data(Path(given.get("root", folder)), [str(given["format"])] if "format" in given else ())
    found = data.found
    tree: Tree = {"format": data.format, "root": str(found.root), **found.beside, **given}
    lines = [f"data: {found.layout}, in {found.root}"]
    roles = {role: given.get(role, split) for role, split in found.splits.items()} | {
        role: given[role] for role in ("train", "test") if role in given
    }
    test = "test" if {"train", "test"} <= roles.keys() and "test" in given else _tested(tree, roles)
    if "train" in roles and test:
        tree |= {"train": roles["train"], "test": roles[test]}
        lines.append(_told(roles, test))
    else:
        whole = roles.get("train", found.whole)
        tree |= _with_lists(tree, _whole_of(found, whole), lists, seed, lines)
    return tree | _all_classes(tree, lines), lines


def _settings(tree: Mapping[str, Any]) -> DataSettings:
    return parse_config(DataSettings, tree, COMMAND)


def _read(tree: Mapping[str, Any], splits: object) -> list[RawSplit]:
    """Splits as their files state them, whatever is wrong with them."""
    settings = _settings({**tree, "train": splits, "test": splits})
    classes = stated_classes(settings)
    return [format_of(settings).read(settings, split, classes) for split in settings.train]


def _tested(tree: Tree, roles: Mapping[str, Any]) -> str | None:
    """The role to test on: test, or else val, that has objects and other images than are trained on."""
    if "train" not in roles:
        return None
    trained = {path for raw in _read(tree, roles["train"]) for path in raw.paths.tolist()}
    for role in ("test", "val"):
        for raw in _read(tree, roles[role]) if role in roles else ():
            if (len(raw.names) or raw.errors) and not trained.issuperset(raw.paths.tolist()):
                return role
    return None


def _told(roles: Mapping[str, Any], test: str) -> str:
    held = f"; {roles['val']} is not used" if test == "test" and "val" in roles else ""
    return f"split: trained on {roles['train']}, tested on {roles[test]}{held}"


def _whole_of(found: FoundData, whole: object) -> str:
    if not isinstance(whole, str):
        raise DataError(
            f"--data must say what to train on, got {found.layout} in {found.root}: add data.train=SPLIT"
        )
    return whole


def _with_lists(tree: Tree, whole: str, lists: Path, seed: int, lines: list[str]) -> Tree:
    """The settings of a split of the images of `whole`, whose lists are written."""
    (raw,) = _read(tree, whole)
    if not len(raw):
        reasons = (*raw.missing, *raw.errors)
        raise DataError(
            reasons[0] if reasons else f"--data must hold images with annotations, got none ({raw.note})"
        )
    names = (raw.ids if raw.listed is None else raw.listed).tolist()
    scene = scenes(raw.paths.tolist())
    tested = draw_test(_counts(raw), scene, names, seed)
    alike = len(scene) - len(np.unique(scene))
    together = f"; {alike} images stay with others of their scene" * bool(alike)
    drawn = f"{tested.sum()} of {len(tested)} images are drawn to test on ({lists / TEST_LIST})"
    lines.append(f"split: none found, so {drawn}{together}")
    lines += [f"warning: {len(cases)} {text} ({cases[0]})" for text, cases in raw.remarks.items() if cases]
    settings: Tree = {}
    for key, name, chosen in (("train", TRAIN_LIST, ~tested), ("test", TEST_LIST, tested)):
        write_text(lists / name, "".join(f"{names[row]}\n" for row in np.flatnonzero(chosen)))
        settings[key] = str(lists / name)
    return settings


def _counts(raw: RawSplit) -> Int64:
    """How many objects of each class, by its name, there are in each image (n, C)."""
    names, labels = np.unique(raw.names, return_inverse=True)
    counts = np.zeros((len(raw), len(names)), np.int64)
    np.add.at(counts, (raw.image, labels.reshape(-1)), 1)
    return counts


def _all_classes(tree: Tree, lines: list[str]) -> Tree:
    """The setting of the classes where some are in the test split alone: nothing can be learned of them."""
    if "classes" in tree:
        return {}
    settings = _settings(tree)
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
