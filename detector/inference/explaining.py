"""Explaining one image: the numbers of every step, the verdicts on its objects, what the network saw and where."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple

import numpy as np
import torch

from detector.config import DetectSettings, EngineSettings
from detector.errors import DataError
from detector.evaluation.explained import (
    ClassScore,
    ExplainedDetection,
    Explanation,
    KnownObject,
    Limits,
    SeenRegion,
    Selection,
    SuppressedBox,
    Trace,
    Verdict,
    corners,
)
from detector.inference.engine import ImageScorer, make_engine
from detector.inference.ensemble import Model
from detector.inference.image_trace import Steps, follow, trace_of
from detector.inference.models import View
from detector.inference.proposer import Proposer
from detector.inference.select_traced import trace_selection
from detector.inference.verdicts import judge
from detector.networks.class_evidence import LastMaps, class_evidence
from detector.networks.preprocessing import prepare_image, shown_crops
from detector.networks.warp import crop_regions
from detector.records import COLOURS, FIRST_LABEL, Float32, Image
from detector.text import shown

MOST_SEEN = 60  # regions of an image whose crops and evidence are kept
BATCH = 16  # of them that go through the network together

ObjectInput = KnownObject | tuple[str, Sequence[float]]  # or KnownObject(name, box, counts)


class NetworkViews(NamedTuple):
    """Loads the networks that score, each with the way it sees a region, and how they are run."""

    load: Callable[[], Sequence[tuple[View, Model]]]
    engine: EngineSettings


@dataclass(frozen=True)
class Explainer:
    """Explains images by the parts of a detector; `classes` are the names of labels 1..C."""

    classes: tuple[str, ...]
    proposer: Proposer
    scorer: ImageScorer
    settings: DetectSettings
    views: NetworkViews

    def explain(self, image: Image, objects: Sequence[KnownObject], min_score: float, floor: float) -> Explanation:
        """What becomes of an image (H, W, 3) uint8 RGB with detections from `min_score` on.

        `floor`, at most `min_score`, is the least score that anything is kept of; both are higher where an image
        has more candidates than `MOST_CANDIDATES`.
        """
        views = self.views.load()
        (proposals,) = self.proposer.finish([self.proposer.prepare(image)])
        steps = follow(self.scorer, image, proposals.boxes)
        by_svm = views[0][1].member.svm is not None
        trace = trace_of(steps, self.classes, (image.shape[0], image.shape[1]), by_svm, floor)
        limits = Limits(max(min_score, trace.floor), self.settings.nms_iou, trace.scored)
        selection = trace_selection(trace, limits, self.settings)
        verdicts, matched = judge(trace, selection, limits, self.settings, objects)
        detections = _detections(trace, selection, matched.on.tolist(), objects)
        view, model = max(views, key=lambda each: each[1].weight)
        wanted = _regions_to_show(trace, selection, verdicts)
        return Explanation(
            trace=trace,
            limits=limits,
            selection=selection,
            detections=tuple(detections),
            objects=tuple(objects),
            verdicts=tuple(verdicts),
            seen=tuple(_see(image, model, self.views.engine, trace, steps, wanted)),
            notes=tuple(self._notes(trace, view, model, len(views), floor)),
        )

    def _notes(self, trace: Trace, view: View, model: Model, views: int, floor: float) -> Iterable[str]:
        if views > 1:
            yield (
                f"Scores are the average of {views} views. Crops and evidence are of one of them alone: model "
                f"{view.detector + 1} with {model.region.padding} pixels of context."
            )
        if model.region.mode == "shared":
            yield "The network sees the image once, and regions are pooled from its maps where their crops lie."
        if trace.unchanged is not None:
            yield "Context's scores are those of all regions, however many are looked at."
        if trace.rounds.any():
            yield "Boxes that were scored again are those made of all regions."
        if trace.floor > floor:
            yield f"There are too many scores to show them all: those under {trace.floor:.4g} are left out."
        else:
            yield f"Scores under {floor:g} are left out."


def known_objects(given: Iterable[ObjectInput]) -> list[KnownObject]:
    """Objects from outside; DataError as for `known_object`, and for what are not several."""
    if isinstance(given, str | KnownObject) or not isinstance(given, Iterable):
        raise DataError(f"objects must be several of a name and a box, as in a list, got {shown(given)}")
    return [known_object(each) for each in given]


def known_object(given: ObjectInput) -> KnownObject:
    """An object from outside; DataError for what has no name or no box with an area."""
    wanted = "a name and a box x1, y1, x2, y2 with an area"
    try:
        name, box, *rest = given
        x1, y1, x2, y2 = (float(value) for value in box)
        right = isinstance(name, str) and len(rest) <= 1 and all(map(isfinite, (x1, y1, x2, y2)))
    except (TypeError, ValueError):
        raise DataError(f"object must be {wanted}, got {shown(given)}") from None
    if not (right and x1 < x2 and y1 < y2):
        raise DataError(f"object must be {wanted}, got {shown(given)}")
    return KnownObject(name, (x1, y1, x2, y2), bool(rest[0]) if rest else True)


def _detections(
    trace: Trace, selection: Selection, on: Sequence[int], objects: Sequence[KnownObject]
) -> Iterable[ExplainedDetection]:
    """The detections, best first; the best on an object found it, others are false."""
    claimed: set[int] = set()
    unchanged = trace.final if trace.unchanged is None else trace.unchanged
    for place, candidate in enumerate(selection.detections.tolist()):
        row = int(trace.rows[candidate])
        found = on[place] if on[place] not in claimed else -1
        if found >= 0 and objects[found].counts:
            claimed.add(found)
        others = np.flatnonzero(selection.by == candidate).tolist()
        yield ExplainedDetection(
            name=trace.classes[trace.columns[candidate]],
            score=float(selection.scores[place]),
            box=corners(selection.boxes[place]),
            moved=corners(trace.moved[candidate]),
            region_box=corners(trace.boxes[row]),
            rank=row,
            before=float(unchanged[candidate]),
            suppressed=tuple(SuppressedBox(k, float(selection.overlaps[k])) for k in others),
            object=found,
        )


def _regions_to_show(trace: Trace, selection: Selection, verdicts: Sequence[Verdict]) -> dict[int, set[int]]:
    """The regions to show, of objects and then of detections, and the labels asked of each beside its best."""
    wanted: dict[int, set[int]] = {}

    def want(region: int, name: str) -> None:
        if region >= 0 and (region in wanted or len(wanted) < MOST_SEEN):
            labels = {trace.classes.index(name) + FIRST_LABEL} if name in trace.classes else set()
            wanted.setdefault(region, set()).update(labels)

    for verdict in verdicts:
        want(verdict.region, verdict.name)
        want(verdict.best_region, verdict.name)
    for candidate in selection.detections.tolist():
        want(int(trace.rows[candidate]), trace.classes[trace.columns[candidate]])
    return wanted


def _see(
    image: Image,
    model: Model,
    engine: EngineSettings,
    trace: Trace,
    steps: Steps,
    wanted: dict[int, set[int]],
) -> Iterable[SeenRegion]:
    """What the model saw of the wanted regions, in their order."""
    if not wanted:
        return
    rows = list(wanted)
    boxes = trace.boxes[rows]
    member = model.member.eval()
    crops = _crop_pictures(image, boxes, model)
    plain = {"backend": "torch", "precision": "fp32", "compile": False, "graph": False}
    settings = engine.model_copy(update={**plain, "batch_size": min(BATCH, len(rows))})
    maps_engine = make_engine(LastMaps(member.network), model.preprocessing, model.region, settings)
    ((_, answers),) = maps_engine.run([(image, boxes)])
    labels = [_labels(trace, row, wanted[row]) for row in rows]
    longest = max(map(len, labels))
    padded = torch.tensor([each + [FIRST_LABEL] * (longest - len(each)) for each in labels], dtype=torch.long)
    evidence = class_evidence(member, torch.from_numpy(answers["maps"]), padded).numpy()
    places = {row: place for place, row in enumerate(_scored_rows(trace))}
    for number, row in enumerate(rows):
        scores = steps.unchanged.scores[places[row]] if row in places else np.empty(0, np.float32)
        best = [ClassScore(trace.classes[label - 1], float(scores[label - 1])) for label in labels[number]]
        own = np.array(evidence[number, : len(best)], np.float32)
        yield SeenRegion(row, crops[number], model.region.paddings, tuple(best), own)


def _scored_rows(trace: Trace) -> list[int]:
    """The rows of a trace that the network scored, in the order of their scores."""
    return [*range(trace.scored), *range(trace.proposals, len(trace.boxes))]


def _labels(trace: Trace, row: int, asked: set[int]) -> list[int]:
    """The best labels of a region, then those that are asked besides; none where nothing was scored."""
    best: list[int] = trace.top_labels[row].tolist()
    return [*best, *sorted(asked - set(best))] if best[0] else []


def _crop_pictures(image: Image, boxes: Float32, model: Model) -> Image:
    """The crops (N, K, S, S, 3) uint8 RGB that the model is given."""
    prepared = prepare_image(torch.as_tensor(image), model.preprocessing)
    crops = crop_regions(prepared, torch.from_numpy(boxes), model.region)
    flat = shown_crops(crops.unflatten(1, (-1, COLOURS)).flatten(0, 1), model.preprocessing)
    return np.asarray(flat.unflatten(0, (len(boxes), -1)).numpy(), np.uint8)
