"""What all stages that look at images do: send regions of each through an engine, and store a row a region."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from detector.config import EngineSettings
from detector.inference.backends import choose_backend
from detector.inference.held_image import Regions
from detector.networks.device import choose_device, choose_precision
from detector.records import Float32
from detector.runs.journal import Entry, Fields
from detector.runs.split import Split
from detector.runs.stage import Result
from detector.runs.store import Store
from detector.runs.stored_result import Make, run_stored

HALF = np.dtype(np.float16)
FLOAT = np.dtype(np.float32)

Answer = TypeVar("Answer")
Engine = Callable[[Regions], Iterator[Answer]]  # of images with their regions: one answer an image


def store_rows(
    result: Result,
    split: Split,
    boxes: Callable[[int], Float32],
    fields: Fields,
    open_engine: Callable[[], Engine[Answer]],
    entry: Callable[[int, Answer], Entry],
    engine: EngineSettings,
    facts: Callable[[Store], dict[str, Any]] | None = None,
) -> Store:
    """Store what `entry` makes of each image's position and of what the engine answers for its regions.

    boxes(position) are the regions (R, 4) of an image. `facts` go into the manifest, by default the numbers of
    images and rows.
    """
    workers = result.group.workers(engine.workers)

    def prepare() -> Make:
        run = open_engine()

        def make(positions: range) -> Iterator[Entry]:
            answers = run(split.load(boxes, positions, workers))
            return map(entry, positions, answers)

        return make

    return run_stored(result, fields, len(split), prepare, facts or counts)


def counts(store: Store) -> dict[str, Any]:
    """How many images and rows there are."""
    return {"images": len(store), "regions": int(store.offsets[-1])}


def in_half(found: dict[str, Float32], fields: Fields) -> Entry:
    """A store's entry of an engine's answers in half precision, saturated; without answers, without rows."""
    limit = float(np.finfo(np.float16).max)
    return {
        name: np.clip(found[name], -limit, limit).astype(HALF) if found else np.empty((0, *tail), HALF)
        for name, (_, tail) in fields.items()
    }


def precision_name(engine: EngineSettings) -> str:
    """The number format that a network is run in."""
    return str(choose_precision(engine.precision, choose_device(engine.device)))


def engine_name(engine: EngineSettings) -> str:
    """What regions are scored by: backends agree within a tolerance, not to the bit."""
    name = "int8" if engine.precision == "int8" else precision_name(engine)
    return f"{choose_backend(engine)} {name}"
