"""The plan that lies in a run's folder, and whether it is one for what is asked for now.

Both the folder of the data and that of the run may have been moved, or be named by another path.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from detector.files import read_json
from detector.jobs.own_data import list_texts
from detector.jobs.wish import Tree, Wish
from detector.runs.folder import RunFolder
from detector.runs.own_lists import LISTS, own_list

PLAN = "plan.json"


def lists_of(run: RunFolder) -> Path:
    """The folder of the lists of a drawn split."""
    return run.path / LISTS


def known_plan(run: RunFolder, wish: Wish) -> Tree:
    """The settings of the plan for `wish`, empty where there is none."""
    known = _read_plan(run)
    folder = wish.folder_of(known.get("for"))
    if folder is None or os.path.abspath(folder) != os.path.abspath(wish.folder):  # noqa: PTH100 - links may change
        return {}
    settings: Tree = known["settings"]
    data = settings.get("data")
    return {**settings, "data": _with_lists_of(run, data)} if isinstance(data, dict) else settings


def plan_of_moved_data(run: RunFolder, wish: Wish, data: Tree, lists: Sequence[str | None]) -> Tree:
    """What the plan file should hold, if it is of `data` in another place; empty where it is not.

    Where they were is nothing any more, the settings are the same, and so are the `lists` that there were.
    """
    known = _read_plan(run)
    folder = wish.folder_of(known.get("for"))
    stated = known["settings"].get("data") if known else None
    if folder is None or folder.exists() or not isinstance(stated, dict):
        return {}
    if {**_with_lists_of(run, stated), "root": data["root"]} != data or [*lists] != list_texts(lists_of(run)):
        return {}
    return {**known, "for": wish.key(), "settings": {**known["settings"], "data": data}}


def _read_plan(run: RunFolder) -> Tree:
    """What the run's plan file holds, empty where there is none."""
    path = run.path / PLAN
    known = read_json(path, "plan") if path.is_file() else {}
    return known if isinstance(known, dict) and isinstance(known.get("settings"), dict) else {}


def _with_lists_of(run: RunFolder, data: Tree) -> Tree:
    """The settings of data, the lists of a drawn split named where they are now."""
    given = ((key, data.get(key)) for key in ("train", "test"))
    root = Path(str(data.get("root")))
    return {**data, **{key: own_list(split, root, run.path) for key, split in given if isinstance(split, str)}}
