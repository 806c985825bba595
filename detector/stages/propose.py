"""Stage `propose`: the regions of every image of a split, in one memory-mapped store."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from detector.config import EngineSettings, ProposalSettings
from detector.errors import DataError
from detector.inference.proposer import Proposer, open_proposer, proposal_method
from detector.parallel import ordered_map
from detector.records import Proposals
from detector.runs.journal import Entry
from detector.runs.split import IMAGE_IDS, Split, ids_key
from detector.runs.stage import Stage
from detector.runs.store import PROPOSAL_FIELDS, Store
from detector.runs.stored_result import run_stored
from detector.stages.region_rows import engine_name

Propose = Callable[[range], Iterator[Proposals]]  # of the images at some positions

VERSION = 1
NO_PROPOSALS = Proposals(np.empty((0, 4), np.float32), np.empty(0, np.float32))


def run_propose(
    stage: Stage, split: Split, settings: ProposalSettings, engine: EngineSettings, seed: int
) -> Store:
    """The proposals of every image of `split`, in its order; computed where they are not there yet.

    An unreadable image stops the run, or with `data.bad_images=skip` gets no proposals: an image without
    proposals is one that could not be read, or one that the user's own proposals leave out. The processes of a
    group share the images; the store is the same whatever their number, and however often they were killed.
    """

    def prepare() -> Callable[[range], Iterator[Entry]]:
        propose = open_source(stage, split, settings, engine, seed)
        return lambda positions: map(_entry, propose(positions))

    def facts(store: Store) -> dict[str, Any]:
        counts = np.diff(store.offsets)
        empty = split.dataset.image_ids[counts == 0].tolist()
        facts = {"images": len(split), "boxes": int(counts.sum()), "without_proposals": empty}
        return {**facts, IMAGE_IDS: ids_key(split.dataset)}

    result = stage.result(VERSION, images=split.key, **proposal_reads(settings, engine), seed=seed)
    store = run_stored(result, PROPOSAL_FIELDS, len(split), prepare, facts)
    if not split.skips_bad and proposal_method(settings.source).of_dataset is None:
        _read_those_without(split, store)
    return store


def proposal_reads(settings: ProposalSettings, engine: EngineSettings) -> dict[str, Any]:
    """What proposals depend on beside the images and the seed: settings, and files by what is in them."""
    method = proposal_method(settings.source)
    return {
        "settings": settings.model_dump(exclude={"multibox": {"weights"}, "given": True}),
        "files": {name: path for name, path in method.files(settings).items() if path},
        # under its first name, by which stores of methods without a network are known
        "precision": engine_name(engine.in_floats) if method.runs_a_network else None,
    }


def _read_those_without(split: Split, store: Store) -> None:
    """Raise DataError for an image that was skipped in making the store, when bad ones were to be skipped."""
    for position in np.flatnonzero(np.diff(store.offsets) == 0).tolist():
        split.read(position)


def _entry(proposals: Proposals) -> Entry:
    return {"boxes": proposals.boxes, "scores": proposals.scores}


def open_source(
    stage: Stage, split: Split, settings: ProposalSettings, engine: EngineSettings, seed: int
) -> Propose:
    """Where the proposals of `split` come from; DataError where its weights or its file are wrong."""
    known_to = proposal_method(settings.source).of_dataset
    if known_to is None:
        proposer = open_proposer(settings, engine, seed)
        return PixelProposals(split, proposer, stage.group.workers(engine.workers)).propose
    known = known_to(settings, split.dataset)
    for note in known.notes:
        stage.log("data", note=note)
        tqdm.write(note, file=sys.stderr)
    return lambda positions: map(known.read, positions)


@dataclass(frozen=True)
class PixelProposals:
    """Proposals computed from the pixels, the images decoded and prepared on threads."""

    split: Split
    proposer: Proposer
    workers: int

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
            image = self.split.read(position)
        except DataError as error:
            if not self.split.skips_bad:
                raise
            tqdm.write(f"skipped: {error}")
            return None
        return self.proposer.prepare(image)

    def _finish(self, images: list[Any]) -> Iterator[Proposals]:
        found = self.proposer.finish([image for image in images if image is not None])
        for image in images:
            yield NO_PROPOSALS if image is None else next(found)
