"""Stage `filter`: of the proposals of a split those that a cascade keeps, in a store of the same kind."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from detector.config import Config
from detector.data.dataset import Dataset
from detector.errors import DataError
from detector.evaluation.recall import LOWEST_IOU, counted_objects, measure_coverage, recall_at
from detector.files import file_hash
from detector.inference.region_filter import RegionFilter
from detector.records import ObjectTable
from detector.runs.folder import RunFolder, Stage
from detector.runs.journal import Entry
from detector.runs.processes import Group
from detector.runs.store import PROPOSAL_FIELDS, Store, read_proposals
from detector.runs.store_stage import Make, run_stored_stage
from detector.stages.inputs import engine_name
from detector.stages.propose import run_propose
from detector.stages.region_sets import ProposedRegions, load_regions


@dataclass(frozen=True)
class Filtered:
    """How many regions a split's images have before and after, and the recall at IoU 0.5: None without objects."""

    images: int
    regions: int
    kept: int
    recall: float | None = None
    recall_kept: float | None = None

    def text(self) -> str:
        """One line on it."""
        images = max(self.images, 1)
        counts = f"cascade: {self.kept / images:.0f} of {self.regions / images:.0f} regions an image"
        if self.recall is None:
            return counts
        return f"{counts}, recall at IoU 0.5 from {self.recall:.4f} to {self.recall_kept:.4f}"


def trained_cascade(run: RunFolder, config: Config) -> Path | None:
    """The file of the run's cascade, None where it is not used; DataError where it is and there is none."""
    if not config.cascade.is_used:
        return None
    if not run.cascade_path.is_file():
        raise DataError(f"run must hold a cascade, got none at {run.cascade_path}; cascade.keep=0 does without")
    return run.cascade_path


def run_regions(run: RunFolder, config: Config, dataset: Dataset, slug: str, group: Group) -> Store:
    """The regions that the detector scores: the proposals of a split, or those that the cascade keeps."""
    cascade = trained_cascade(run, config)
    proposals = run_propose(run.stage("propose", slug), config, dataset, group)
    if cascade is None:
        return proposals
    return run_filter(run.stage("filter", slug), config, dataset, proposals, cascade, group)


def run_filter(
    stage: Stage, config: Config, dataset: Dataset, proposals: Store, cascade: Path, group: Group
) -> Store:
    """The best `cascade.keep` proposals of every image, best first, by the classifier in the file `cascade`.

    Their scores are probabilities to be an object. An image of fewer proposals keeps all.
    """

    def prepare() -> Make:
        regions = RegionFilter(cascade, config.cascade.keep, config.engine)
        boxes = ProposedRegions(proposals).boxes
        workers = group.workers(config.engine.workers)

        def make(positions: range) -> Iterator[Entry]:
            for kept in regions.choose(load_regions(config, dataset, boxes, positions, workers)):
                yield {"boxes": kept.boxes, "scores": kept.scores}

        return make

    inputs = {
        "proposals": proposals.key,
        "cascade": file_hash(cascade),
        "keep": config.cascade.keep,
        "engine": engine_name(config.engine.in_floats),
    }

    def facts(kept: Store) -> dict[str, Any]:
        return asdict(compare_stores(dataset, proposals, kept))

    return run_stored_stage(stage, inputs, PROPOSAL_FIELDS, len(dataset), group, prepare, facts)


def filtered(run: RunFolder, dataset: Dataset, slug: str) -> Filtered:
    """What the finished stage left of a split, beside the data set's objects as they are now."""
    proposals, kept = (Store.open(run.stage(name, slug).folder / "store") for name in ("propose", "filter"))
    return compare_stores(dataset, proposals, kept)


def compare_stores(dataset: Dataset, proposals: Store, kept: Store) -> Filtered:
    """The numbers and recalls of a data set's proposals and of those kept."""
    counts = len(dataset), int(proposals.offsets[-1]), int(kept.offsets[-1])
    objects = counted_objects(dataset.objects, dataset.blacklist)
    if not len(objects.labels):
        return Filtered(*counts)
    return Filtered(*counts, _recall(objects, proposals), _recall(objects, kept))


def _recall(objects: ObjectTable, store: Store) -> float:
    """The share of the objects that some region overlaps by half."""
    boxes = (read_proposals(store, position).boxes for position in range(len(store)))
    return float(recall_at(measure_coverage(objects, boxes, ()).overlaps, LOWEST_IOU)[-1])
