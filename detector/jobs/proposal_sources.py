"""The proposals of a data set's images in a store of a run, or in a file of one's own."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from detector.config import ProposalSettings
from detector.data.exchange.given_proposals import GivenProposals
from detector.errors import DataError
from detector.jobs.stated_settings import differing
from detector.records import Proposals
from detector.runs.split import Split, check_images
from detector.runs.stage import MANIFEST, read_manifest
from detector.runs.store import PROPOSAL_FIELDS, Store, read_proposals
from detector.text import one_line

BEYOND = 1.0  # pixels beyond its image where a box is taken for another image's


@dataclass(frozen=True)
class ProposalSource:
    """The proposals of every image of a data set, by position, and notes for the report."""

    path: Path
    read: Callable[[int], Proposals]
    notes: tuple[str, ...] = ()


def open_source(path: Path, split: Split, wished: ProposalSettings | None = None) -> ProposalSource:
    """A store, the folder of the stage that made one, or a file of given proposals.

    What a stage made by other settings than `wished` is told.
    """
    dataset = split.dataset
    if path.is_file():
        given = GivenProposals.open(path, dataset)
        return ProposalSource(path, given.read, given.notes)
    if not path.is_dir():
        raise DataError(f"proposals must be a folder of `propose`, or an .npz or .json file, got none at {path}")
    folder = path / "store" if (path / "store").is_dir() else path
    check_images(folder.parent, split)
    store = Store.open(folder)
    if set(store.fields) != set(PROPOSAL_FIELDS):
        wanted, got = ", ".join(PROPOSAL_FIELDS), ", ".join(store.fields)
        raise DataError(f"store of proposals must have the fields {wanted}, got {got} ({path})")
    if len(store) != len(dataset):
        raise DataError(f"store must be of the {len(dataset)} images of {dataset.name}, got {len(store)} ({path})")
    store = Store.open(folder, fields=PROPOSAL_FIELDS)

    def read(position: int) -> Proposals:
        proposals = read_proposals(store, position)
        height, width = dataset.sizes[position]
        if (proposals.boxes > [[width + BEYOND, height + BEYOND] * 2]).any():
            image = f"{dataset.image_ids[position]} of {width} x {height} pixels"
            raise DataError(f"boxes of a store must be inside their image, got others for {image} ({path})")
        return proposals

    notes = tuple(_other_settings(folder.parent, wished)) if wished else ()
    for note in notes:
        tqdm.write(one_line(f"warning: the proposals in {path} were {note}"), file=sys.stderr)
    return ProposalSource(path, read, notes)


def _other_settings(folder: Path, wished: ProposalSettings) -> Iterator[str]:
    """How the settings that the result of a stage in `folder` states are others, if they are."""
    match read_manifest(folder / MANIFEST):
        case {"reads": {"settings": dict(stated)}}:
            others = list(differing("proposals", stated, wished.model_dump(mode="json")))
            if others:
                yield f"made with {'; '.join(others)}"
