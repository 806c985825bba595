"""Stage `propose`: the regions of every image of a split, in one memory-mapped store."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from tqdm import tqdm

from detector.config import Config
from detector.data.dataset import Dataset
from detector.data.images import read_image
from detector.errors import DataError
from detector.inference.proposer import open_proposer, proposal_method
from detector.parallel import ordered_map
from detector.records import Proposals
from detector.runs.folder import Stage
from detector.runs.journal import Entry
from detector.runs.processes import Group, alone
from detector.runs.store import PROPOSAL_FIELDS, Store
from detector.runs.store_stage import run_stored_stage
from detector.stages.inputs import IMAGE_IDS, ids_hash, proposal_inputs

Propose = Callable[[range], Iterator[Proposals]]  # of the images at some positions

NO_PROPOSALS = Proposals(np.empty((0, 4), np.float32), np.empty(0, np.float32))


def run_propose(stage: Stage, config: Config, dataset: Dataset, group: Group | None = None) -> Store:
    """The proposals of every image of `dataset`, in its order; computed where they are not there yet.

    An unreadable image stops the run, or with `data.bad_images=skip` gets no proposals: an image without
    proposals is one that could not be read, or one that the user's own proposals leave out. The processes of a
    group share the images; the store is the same whatever their number, and however often they were killed.
    """
    group = group or alone()

    def prepare() -> Callable[[range], Iterator[Entry]]:
        propose = open_source(stage, config, dataset, group.workers(config.engine.workers))
        return lambda positions: map(_entry, propose(positions))

    def facts(store: Store) -> dict[str, Any]:
        counts = np.diff(store.offsets)
        empty = dataset.image_ids[counts == 0].tolist()
        facts = {"images": len(dataset), "boxes": int(counts.sum()), "without_proposals": empty}
        return {**facts, IMAGE_IDS: ids_hash(dataset)}

    inputs = proposal_inputs(config, dataset)
    return run_stored_stage(stage, inputs, PROPOSAL_FIELDS, len(dataset), group, prepare, facts)


def _entry(proposals: Proposals) -> Entry:
    return {"boxes": proposals.boxes, "scores": proposals.scores}


def open_source(stage: Stage, config: Config, dataset: Dataset, workers: int) -> Propose:
    """Where the proposals of `dataset` come from; DataError where its weights or its file are wrong."""
    known_to = proposal_method(config.proposals.source).of_dataset
    if known_to is None:
        return PixelProposals(config, dataset, workers).propose
    known = known_to(config.proposals, dataset)
    stage.run.log_notes(known.notes)
    return lambda positions: map(known.read, positions)


class PixelProposals:
    """Proposals computed from the pixels, the images decoded and prepared on threads."""

    def __init__(self, config: Config, dataset: Dataset, workers: int) -> None:
        self.config = config
        self.dataset = dataset
        self.workers = workers
        self.proposer = open_proposer(config.proposals, config.engine, config.seed)

    def propose(self, positions: range) -> Iterator[Proposals]:
        """The proposals of the images at `positions`; none of one that cannot be read and may be skipped."""
        prepared = ordered_map(self._prepare, positions, self.workers)
        if self.proposer.group == 1:
            for image in prepared:
                yield from self._finish([image])
        else:
            yield from self._finish(list(prepared))

    def _prepare(self, position: int) -> Any:
        try:
            image = read_image(self.dataset.record(position).path, self.config.data.exif)
        except DataError as error:
            if self.config.data.bad_images == "stop":
                raise
            tqdm.write(f"skipped: {error}")
            return None
        return self.proposer.prepare(image)

    def _finish(self, images: list[Any]) -> Iterator[Proposals]:
        found = self.proposer.finish([image for image in images if image is not None])
        for image in images:
            yield NO_PROPOSALS if image is None else next(found)
