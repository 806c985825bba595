"""Judging the region proposals of a split: the recall of one or several sets by IoU and by number of boxes."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from detector.config import Config, ProposalSettings
from detector.data.dataset import Dataset
from detector.evaluation.recall import CURVE_BUDGETS, counted_objects, measure_coverage
from detector.jobs.proposal_sources import ProposalSource, open_source
from detector.records import Array
from detector.reports.recall_report import recall_text, recall_tree, write_recall_report
from detector.runs.environment import environment_notes
from detector.runs.split import open_split


def judge_proposals(
    config: Config,
    splits: Sequence[str],
    paths: Mapping[str, Path],
    budgets: Sequence[int],
    out: Path,
    wished: ProposalSettings | None,
) -> tuple[str, Path]:
    """The table of the recalls of the proposals at `paths`, by name, and the page that is written into `out`.

    Where the proposals should be of `wished` settings, others that they were made with are told.
    """
    split = open_split(config.data, splits)
    dataset = split.dataset
    objects = counted_objects(dataset.objects, dataset.blacklist)
    sources = {name: open_source(path, split, wished) for name, path in paths.items()}
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
