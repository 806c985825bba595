"""Stage `filter`: the proposals of a split that a cascade keeps, in a store of the same kind."""

from dataclasses import asdict, dataclass

from detector.config import CascadeSettings, EngineSettings
from detector.data.dataset import Dataset
from detector.evaluation.recall import LOWEST_IOU, counted_objects, measure_coverage, recall_at
from detector.inference.models import CascadeFiles
from detector.inference.region_filter import RegionFilter
from detector.records import ObjectTable, Proposals
from detector.runs.journal import Entry
from detector.runs.split import Split
from detector.runs.stage import Stage
from detector.runs.store import PROPOSAL_FIELDS, Store, read_proposals
from detector.stages.region_rows import Engine, engine_name, store_rows
from detector.stages.region_sets import ProposedRegions

VERSION = 2


@dataclass(frozen=True)
class Cut:
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


def run_cut(
    stage: Stage,
    split: Split,
    proposals: Store,
    files: CascadeFiles,
    settings: CascadeSettings,
    engine: EngineSettings,
) -> Store:
    """The best `settings.keep` proposals of every image, best first, by the classifier in `files`.

    Their scores are probabilities to be an object. An image of fewer proposals keeps all.
    """

    def open_engine() -> Engine[Proposals]:
        return RegionFilter(files, settings, engine).choose

    def entry(_: int, kept: Proposals) -> Entry:
        return {"boxes": kept.boxes, "scores": kept.scores}

    result = stage.result(
        VERSION,
        regions=proposals,
        images=split.key,
        cascade=files.cascade,
        keep=settings.keep,
        nms_iou=settings.nms_iou,
        engine=engine_name(engine.in_floats),
    )
    return store_rows(
        result,
        split,
        ProposedRegions(proposals).boxes,
        PROPOSAL_FIELDS,
        open_engine,
        entry,
        engine,
        lambda kept: asdict(compare_regions(split.dataset, proposals, kept)),
    )


def compare_regions(dataset: Dataset, proposals: Store, kept: Store) -> Cut:
    """The numbers and recalls of a data set's proposals and of those kept."""
    counts = len(dataset), int(proposals.offsets[-1]), int(kept.offsets[-1])
    objects = counted_objects(dataset.objects, dataset.blacklist)
    if not len(objects.labels):
        return Cut(*counts)
    return Cut(*counts, _recall(objects, proposals), _recall(objects, kept))


def _recall(objects: ObjectTable, store: Store) -> float:
    """The share of the objects that some region overlaps by half."""
    boxes = (read_proposals(store, position).boxes for position in range(len(store)))
    return float(recall_at(measure_coverage(objects, boxes, ()).overlaps, LOWEST_IOU)[-1])
