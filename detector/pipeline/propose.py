"""Stage `propose`: the regions of every image of a split, in one memory-mapped store."""

from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from detector.config import Config
from detector.data.dataset import Dataset
from detector.data.given_proposals import GivenProposals
from detector.data.images import read_image
from detector.data.stores import PROPOSAL_FIELDS, Store, StoreWriter
from detector.errors import DataError
from detector.inference.propose import Prepared, Proposer
from detector.parallel import ordered_map
from detector.pipeline.distributed import Group, alone
from detector.pipeline.inputs import proposal_inputs
from detector.pipeline.run import Stage, key_of
from detector.records import Proposals

NO_PROPOSALS = Proposals(np.empty((0, 4), np.float32), np.empty(0, np.float32))


def run_propose(stage: Stage, config: Config, dataset: Dataset, group: Group | None = None) -> Store:
    """The proposals of every image of `dataset`, in its order; computed where they are not there yet.

    An unreadable image stops the run, or with `data.bad_images=skip` gets no proposals: an image without
    proposals is one that could not be read, or one that the user's own proposals leave out. The processes of a
    group share the images; the store is the same whatever their number, and however often they were killed.
    """
    group = group or alone()
    inputs = proposal_inputs(config, dataset)
    folder = stage.folder / "store"
    if group.from_first(stage.is_done(inputs)):
        return Store.open(folder, key_of(inputs))
    source = open_source(stage, config, dataset, group.workers(config.engine.workers))
    if group.is_first:
        stage.begin(inputs)
        writer = StoreWriter(folder, PROPOSAL_FIELDS, len(dataset), key_of(inputs))
    group.wait()  # until an outdated store is gone
    if not group.is_first:
        writer = StoreWriter(folder, PROPOSAL_FIELDS, len(dataset), key_of(inputs))
    _write_shards(writer, source, stage.name, group)
    group.wait()
    if group.is_first:
        counts = np.diff(writer.finish().offsets)
        empty = dataset.image_ids[counts == 0].tolist()
        stage.finish(inputs, images=len(dataset), boxes=int(counts.sum()), without_proposals=empty)
    group.wait()
    return Store.open(folder, key_of(inputs))


def _write_shards(writer: StoreWriter, source: "FromImages | FromFile", label: str, group: Group) -> None:
    """Write the shards that are missing, those of this process; it shows its own progress if it is the first."""
    shards = writer.missing_shards(group.rank, group.world)
    hidden = None if group.is_first else True
    left = [writer.left(shard) for shard in shards]
    with tqdm(total=sum(map(len, left)), desc=label, unit="image", disable=hidden) as progress:
        for shard, positions in zip(shards, left, strict=True):
            for proposals in source.propose(positions):
                writer.append(shard, {"boxes": proposals.boxes, "scores": proposals.scores})
                progress.update()
            writer.close_shard(shard)


def open_source(stage: Stage, config: Config, dataset: Dataset, workers: int) -> "FromImages | FromFile":
    """Where the proposals of `dataset` come from; DataError where its weights or its file are wrong."""
    if config.proposals.source != "given" or config.proposals.given is None:
        return FromImages(config, dataset, workers)
    given = GivenProposals.open(config.proposals.given, dataset)
    stage.run.log_notes(given.notes)
    return FromFile(given)


class FromFile:
    """The user's own proposals."""

    def __init__(self, given: GivenProposals) -> None:
        self.given = given

    def propose(self, positions: range) -> Iterator[Proposals]:
        """The proposals of the images at `positions`."""
        return map(self.given.read, positions)


class FromImages:
    """Proposals computed from the pixels, the images decoded and searched on threads."""

    def __init__(self, config: Config, dataset: Dataset, workers: int) -> None:
        self.config = config
        self.dataset = dataset
        self.workers = workers
        self.proposer = Proposer(config.proposals, config.engine, config.seed)

    def propose(self, positions: range) -> Iterator[Proposals]:
        """The proposals of the images at `positions`; none of one that cannot be read and may be skipped."""
        prepared = ordered_map(self._prepare, positions, self.workers)
        if self.proposer.multibox is None:
            for image in prepared:
                yield from self._finish([image])
        else:
            yield from self._finish(list(prepared))

    def _prepare(self, position: int) -> Prepared | None:
        try:
            image = read_image(self.dataset.record(position).path, self.config.data.exif)
        except DataError as error:
            if self.config.data.bad_images == "stop":
                raise
            tqdm.write(f"skipped: {error}")
            return None
        return self.proposer.prepare(image)

    def _finish(self, images: list[Prepared | None]) -> Iterator[Proposals]:
        found = self.proposer.finish([image for image in images if image is not None])
        for image in images:
            yield NO_PROPOSALS if image is None else next(found)
