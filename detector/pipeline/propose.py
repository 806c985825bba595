"""Stage `propose`: the regions of every image of a split, in one memory-mapped store."""

from functools import partial

import numpy as np
from tqdm import tqdm

from detector.config import Config
from detector.data.dataset import Dataset
from detector.data.images import read_image
from detector.data.stores import PROPOSAL_FIELDS, Store, StoreWriter
from detector.errors import DataError
from detector.parallel import ordered_map, worker_count
from detector.pipeline.inputs import proposal_inputs
from detector.pipeline.run import Stage, key_of
from detector.proposals.selective_search import selective_search
from detector.records import Proposals

NO_PROPOSALS = Proposals(np.empty((0, 4), np.float32), np.empty(0, np.float32))


def run_propose(stage: Stage, config: Config, dataset: Dataset) -> Store:
    """The proposals of every image of `dataset`, in its order; computed where they are not there yet.

    An unreadable image stops the run, or with `data.bad_images=skip` gets no proposals: an image without
    proposals is one that could not be read.
    """
    inputs = proposal_inputs(config, dataset)
    folder = stage.folder / "store"
    if stage.is_done(inputs):
        return Store.open(folder, key_of(inputs))
    stage.begin(inputs)
    writer = StoreWriter(folder, PROPOSAL_FIELDS, len(dataset), key_of(inputs))
    propose = partial(propose_image, config, dataset)
    workers = worker_count(config.engine.workers)
    shards = writer.missing_shards()
    left = sum(map(len, shards))
    with tqdm(total=len(dataset), initial=len(dataset) - left, desc=stage.name, unit="image") as progress:
        for shard in shards:
            entries = []
            for proposals in ordered_map(propose, shard, workers):
                entries.append({"boxes": proposals.boxes, "scores": proposals.scores})
                progress.update()
            writer.write_shard(shard, entries)
    store = writer.finish()
    counts = np.diff(store.offsets)
    unreadable = dataset.image_ids[counts == 0].tolist()
    stage.finish(inputs, images=len(dataset), boxes=int(counts.sum()), unreadable=unreadable)
    return store


def propose_image(config: Config, dataset: Dataset, position: int) -> Proposals:
    """The proposals of the image at `position`."""
    try:
        image = read_image(dataset.record(position).path, config.data.exif)
    except DataError as error:
        if config.data.bad_images == "stop":
            raise
        tqdm.write(f"skipped: {error}")
        return NO_PROPOSALS
    return selective_search(image, config.proposals, config.seed)
