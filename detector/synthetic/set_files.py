"""What the synthetic sets share: random streams, and a folder that processes fill and a later run completes."""

import json
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, TypeVar

import cv2
import numpy as np

from detector.errors import ConfigError, DataError
from detector.files import read_json, write_atomically, write_text
from detector.progress import progress_bar
from detector.records import Image
from detector.synthetic.scenes import MAX_CLASSES

SetSplit = Literal["train", "val"]
SPLITS: tuple[SetSplit, ...] = ("train", "val")
Made = TypeVar("Made")

MARKER = "synthetic.json"
JPEG_QUALITY = 90

SCENE, PAINT, LABELS, CLASS, CROP = range(5)  # purposes of random streams

_CHUNK = 16


def stream(seed: int, split: SetSplit, index: int, purpose: int) -> np.random.Generator:
    """The random numbers of image `index` of a split for one purpose; all streams are independent."""
    return np.random.default_rng([seed, SPLITS.index(split), index, purpose])


def check_numbers(images: int, val: int, classes: int, seed: int, workers: int) -> None:
    """Raise ConfigError for the first number that is out of range."""
    for name, value, low in (("images", images, 1), ("val", val, 1), ("seed", seed, 0), ("workers", workers, 1)):
        if value < low:
            raise ConfigError(f"{name} must be at least {low}, got {value}")
    if not 1 <= classes <= MAX_CLASSES:
        raise ConfigError(f"classes must be in 1..{MAX_CLASSES}, got {classes}")


def begin_set(out: Path, settings: Mapping[str, object]) -> bool:
    """Make `out` ready for a set of `settings`, new or interrupted; False where the whole set stands already.

    DataError where `out` holds anything else.
    """
    if _is_finished(out, settings):
        return False
    for stale in out.rglob(".*.tmp"):  # a killed run could not remove them
        stale.unlink()
    _write_marker(out, settings, finished=False)
    return True


def finish_set(out: Path, settings: Mapping[str, object]) -> None:
    """Note in `out` that the whole set stands."""
    _write_marker(out, settings, finished=True)


def make_images(make: Callable[[int], Made], count: int, label: str, workers: int) -> Iterator[Made]:
    """`make` of 0..count - 1 in order, on `workers` processes, with a progress bar called `label`."""
    progress = partial(progress_bar, total=count, desc=label, unit="image")
    if workers == 1:
        yield from progress(map(make, range(count)))
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker) as pool:
        yield from progress(pool.map(make, range(count), chunksize=_CHUNK))


def write_jpeg(path: Path, image: Image) -> None:
    """Write `image`, whole or not at all."""
    _, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    with write_atomically(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def _is_finished(out: Path, settings: Mapping[str, object]) -> bool:
    """Whether `out` holds the whole set; DataError where it holds files that are not of this set."""
    if out.exists() and not out.is_dir():
        raise DataError(f"output must be a folder, got {out}, a file")
    if not out.exists() or not any(out.iterdir()):
        return False
    found = read_json(out / MARKER, "marker of a synthetic set") if (out / MARKER).is_file() else None
    if not isinstance(found, dict) or "finished" not in found:
        raise DataError(f"output must be an empty folder or a synthetic set, got {out} with other files")
    finished = found.pop("finished")
    unstated = {"task": "det", "context": None}  # of the markers of plain detection sets
    known = {**unstated, **found}
    for name, value in {**unstated, **settings}.items():
        if known.get(name) != value:
            raise DataError(f"output must hold a set with {name} {value}, got {known.get(name)} ({out / MARKER})")
    return bool(finished)


def _write_marker(out: Path, settings: Mapping[str, object], finished: bool) -> None:
    write_text(out / MARKER, json.dumps({**settings, "finished": finished}, indent=2) + "\n")


def _start_worker() -> None:
    """Leave the cores to the other workers, and an interrupt to the parent."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
