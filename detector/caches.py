"""Folders for what is kept between runs, also where a user has no home, or one that cannot be written.

So it is in containers that run as some user (`--user`). Packages that keep things in the home folder then fail, or
make a folder called ~ in the working folder.
"""

import os
import stat
import tempfile
from functools import cache
from pathlib import Path

NAME = "googlenet-detector"


def settle_caches() -> None:
    """Point matplotlib, not yet loaded, elsewhere if the home cannot be written, and torch if there is none.

    What torch finds in a home that can only be read is of use.
    """
    if not Path(os.path.expanduser("~")).is_absolute():  # noqa: PTH111 - Path raises for some of these
        _point("TORCH_HOME", "torch")
    if _home("XDG_CONFIG_HOME", "~/.config") is None or user_folder() is None:
        _point("MPLCONFIGDIR", "matplotlib")


@cache
def user_folder() -> Path | None:
    """$XDG_CACHE_HOME or ~/.cache, which is made; None where it cannot be written."""
    return _home("XDG_CACHE_HOME", "~/.cache")


@cache
def stand_in(name: str) -> Path | None:
    """The folder `name` in one of the user's own below the system's for temporary files; None where there is none.

    Nobody else may write there: what numba keeps is run.
    """
    try:
        own = Path(tempfile.gettempdir()) / f"{NAME}-{os.geteuid()}"
        own.mkdir(mode=0o700, exist_ok=True)
        found = own.lstat()
    except (OSError, AttributeError):  # a system without users
        return None
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
    return own / name if is_ours and can_write(own / name) else None


def can_write(folder: Path) -> bool:
    """Whether files can be written in `folder`, which is made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _home(variable: str, usual: str) -> Path | None:
    """The folder that the variable names, or the usual one; None where it cannot be written."""
    try:
        folder = Path(os.environ.get(variable) or usual).expanduser()
    except RuntimeError:  # a user whom the system does not know
        return None
    return folder if folder.is_absolute() and can_write(folder) else None


def _point(variable: str, name: str) -> None:
    folder = stand_in(name)
    if folder is not None:
        os.environ.setdefault(variable, str(folder))
