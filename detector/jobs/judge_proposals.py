"""Judging the region proposals of a split: the recall of one or several sets by IoU and by number of boxes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from detector.config import Config
from detector.data.dataset import Dataset
from detector.data.exchange.given_proposals import GivenProposals
from detector.data.readers import open_dataset
from detector.errors import DataError
from detector.evaluation.recall import CURVE_BUDGETS, counted_objects, measure_coverage
from detector.records import Array, Proposals
from detector.reports.recall_report import recall_text, recall_tree, write_recall_report
from detector.runs.environment import environment_notes
from detector.runs.split import check_images
from detector.runs.store import PROPOSAL_FIELDS, Store, read_proposals

BEYOND = 1.0  # pixels beyond its image where a box is taken for another image's


@dataclass(frozen=True)
class ProposalSource:
    """The proposals of every image of a data set, by position, and notes for the report."""

    path: Path
    read: Callable[[int], Proposals]
    notes: tuple[str, ...] = ()


def judge_proposals(
    config: Config, splits: Sequence[str], paths: Mapping[str, Path], budgets: Sequence[int], out: Path
) -> tuple[str, Path]:
    """The table of the recalls of the proposals at `paths`, by name, and the page that is written into `out`."""
    dataset = open_dataset(config.data, splits)
    objects = counted_objects(dataset.objects, dataset.blacklist)
    sources = {name: _open_source(path, dataset) for name, path in paths.items()}
    coverages = {
        name: measure_coverage(objects, _boxes(source, dataset, name), [*CURVE_BUDGETS, *budgets])
        for name, source in sources.items()
    }
    page = write_recall_report(
        out,
        coverages,
        dataset.classes,
        budgets,
        _origin(dataset, len(objects.labels), sources),
        title=f"Proposal recall: {config.name}",
    )
    return recall_text(recall_tree(coverages, dataset.classes, budgets)), page


def _open_source(path: Path, dataset: Dataset) -> ProposalSource:
    """A store, the folder of the stage that made one, or a file of given proposals."""
    if path.is_file():
        given = GivenProposals.open(path, dataset)
        return ProposalSource(path, given.read, given.notes)
    if not path.is_dir():
        raise DataError(f"proposals must be a folder of `propose`, or an .npz or .json file, got none at {path}")
    folder = path / "store" if (path / "store").is_dir() else path
    check_images(folder.parent, dataset)
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

    return ProposalSource(path, read)


def _boxes(source: ProposalSource, dataset: Dataset, name: str) -> Iterator[Array]:
    """The boxes of every image, in order."""
    for position in tqdm(range(len(dataset)), desc=name, unit="image", leave=False):
        yield source.read(position).boxes


def _origin(dataset: Dataset, counted: int, sources: Mapping[str, ProposalSource]) -> dict[str, str]:
    """Where the numbers come from."""
    left_out = len(dataset.objects.labels) - counted
    return {
        "Data": f"{dataset.name}: {len(dataset)} images, {counted} objects"
        + (f" and {left_out} that do not count (difficult, crowd, empty or blacklisted)" if left_out else ""),
        "Notes on the data": "; ".join(dataset.notes) or "none",
        **{f"Proposals {name}": "; ".join([str(s.path), *s.notes]) for name, s in sources.items()},
        **environment_notes(),
    }
