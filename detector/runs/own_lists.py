"""The image lists that a run holds, found again where the run was moved or is named from another folder."""

from pathlib import Path
from typing import TypeVar

from detector.config import DataSettings, Section
from detector.data.folders import is_file

Kind = TypeVar("Kind", bound=Section)

LISTS = "data"  # the folder of a run in which they lie


def own_list(split: str, root: Path, run: Path) -> str:
    """`split`, or the list of its name in the folder `run` where it was in a run's and is not there any more."""
    path = Path(split)
    own = run / LISTS / path.name
    was_a_run_s = path.suffix == ".txt" and path.parent.name == LISTS
    return str(own) if was_a_run_s and not any(map(is_file, (path, root / path))) and is_file(own) else split


def with_own_lists(config: Kind, run: Path) -> Kind:
    """The settings of the run in the folder `run`, whose lists are named where they are now."""
    data = getattr(config, "data", None)
    if not isinstance(data, DataSettings):
        return config
    splits = {
        key: tuple(own_list(split, data.root, run) for split in named)
        for key, named in (("train", data.train), ("test", data.test))
    }
    if splits == {"train": data.train, "test": data.test}:
        return config
    return config.model_copy(update={"data": data.model_copy(update=splits)})
