"""numba's `njit`, whose machine code is kept where it can be, and made anew where it cannot."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba

from detector.caches import can_write, stand_in, user_folder

SETTINGS: Any = numba.config


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit(cache=True, **options)`, which does not fail where nothing can be kept.

    The machine code is kept where numba would, beside the source, in NUMBA_CACHE_DIR or in the user's cache, or
    else in a folder of the user's own for temporary files. A cache that cannot be read or written is none.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        folder = _folder(Path(function.__code__.co_filename).parent)
        if folder is None:
            return numba.njit(**options)(function)
        with _kept_in(folder):
            return _forgiving(numba.njit(cache=True, **options)(function))

    return compiled


@cache
def _folder(source: Path) -> str | None:
    """NUMBA_CACHE_DIR for the sources in a folder: "" leaves the choice to numba, None is for no cache."""
    given: str = SETTINGS.CACHE_DIR
    if given and can_write(Path(given)):
        return given
    if can_write(source / "__pycache__") or user_folder() is not None:
        return ""
    folder = stand_in("numba")
    return None if folder is None else str(folder)


@contextmanager
def _kept_in(folder: str) -> Iterator[None]:
    """Within, numba's setting is `folder`: it holds for our functions alone."""
    before, SETTINGS.CACHE_DIR = SETTINGS.CACHE_DIR, folder
    try:
        yield
    finally:
        SETTINGS.CACHE_DIR = before


def _forgiving(function: Any) -> Any:
    """The function of numba with a cache whose faults (a full disk, files cut short) only cost time."""
    kept = function._cache
    load, save = kept.load_overload, kept.save_overload

    def load_if_possible(*arguments: Any) -> Any:
        try:
            return load(*arguments)
        except Exception:  # what numba and pickle say of a file that is cut short is not told
            with suppress(OSError):
                kept.flush()
            return None

    def save_if_possible(*arguments: Any) -> None:
        with suppress(OSError):
            save(*arguments)

    kept.load_overload, kept.save_overload = load_if_possible, save_if_possible
    return function
