"""Why an object was missed, in one sentence: the step that lost it.

An object is found by VOC's rule: of the detections that overlap it, of its class's objects, most and by `HIT` at
least, the best-scored one counts. For one that is missed the last step is told that any of its class's boxes on
it came to; where none lies on it, which step lost its best region.

`explain_logic.js` says the same of the same numbers, word by word; so figures are cut by one rule, not rounded by
two languages' own.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from detector.boxes import box_iou
from detector.config import DetectSettings
from detector.evaluation.explained import (
    KEPT,
    LEFT_OUT,
    RESCORED,
    SUPPRESSED,
    UNDER,
    Kind,
    KnownObject,
    Limits,
    Selection,
    Trace,
    Verdict,
)
from detector.inference.select_traced import looked_at
from detector.records import FIRST_LABEL, Array, Float64, Int64

HIT = 0.5  # IoU from which a box is on an object
MINUS = "\N{MINUS SIGN}"
NUDGE = 1e-4  # of the last digit, so that 0.9 in float32, which is 0.89999998, is cut to 0.90


class Matched(NamedTuple):
    """Which object each detection is on, (M,) or -1, and of each object the detections on it, best first."""

    on: Int64
    of: list[list[int]]


class Reason(NamedTuple):
    """Why an object was missed, and the region and candidate that it tells of, -1 for none."""

    kind: Kind
    text: str
    region: int = -1
    candidate: int = -1


def judge(
    trace: Trace,
    selection: Selection,
    limits: Limits,
    settings: DetectSettings,
    objects: Sequence[KnownObject],
) -> tuple[list[Verdict], Matched]:
    """The verdict on each object, and which detections are on which."""
    case = _Case(trace, selection, limits, settings)
    matched = case.match(objects)
    return [case.verdict(objects, matched, place) for place in range(len(objects))], matched


def figure(value: float) -> str:
    """A score or an IoU for a sentence: cut to two decimals, small ones to three or four."""
    value = float(value)
    size = abs(value)
    places = 2 if size >= 0.1 or size == 0 else 3 if size >= 0.01 else 4
    scaled = math.floor(value * 10**places + NUDGE)
    whole, rest = divmod(abs(scaled), 10**places)
    digits = f"{rest:0{places}d}"
    while len(digits) > 2 and digits.endswith("0"):
        digits = digits[:-1]
    return f"{MINUS if scaled < 0 else ''}{whole}.{digits}"


class _Case:
    """One image, and what became of its candidates."""

    def __init__(self, trace: Trace, selection: Selection, limits: Limits, settings: DetectSettings) -> None:
        self.trace = trace
        self.selection = selection
        self.limits = limits
        self.settings = settings
        self.least = figure(limits.min_score)
        self.after = trace.final

    def column(self, name: str) -> int:
        """The class's column, -1 of one that the detector does not know."""
        return self.trace.classes.index(name) if name in self.trace.classes else -1

    def match(self, objects: Sequence[KnownObject]) -> Matched:
        """VOC's rule: each detection is on the object of its class that it overlaps most, the first of equals."""
        found = self.selection.detections
        on = np.full(len(found), -1, np.int64)
        of: list[list[int]] = [[] for _ in objects]
        columns = [self.column(each.name) for each in objects]
        for place, candidate in enumerate(found.tolist()):
            best = HIT
            for number, each in enumerate(objects):
                if columns[number] != self.trace.columns[candidate]:
                    continue
                iou = float(overlaps(each, self.selection.boxes[place][None])[0])
                if iou > best or (iou == best and on[place] < 0):
                    on[place], best = number, iou
            if on[place] >= 0:
                of[on[place]].append(place)
        return Matched(on, of)

    def verdict(self, objects: Sequence[KnownObject], matched: Matched, place: int) -> Verdict:
        """What became of the object at `place`."""
        thing = objects[place]
        covered = overlaps(thing, self.trace.boxes)
        own = covered[: self.trace.proposals]
        best = _first_of(own, range(len(own)))
        best_iou = float(own[best]) if best >= 0 else 0.0
        own_detections = matched.of[place]
        if own_detections and thing.counts:
            first = own_detections[0]
            candidate = int(self.selection.detections[first])
            text = self._found(thing, own_detections)
            row = int(self.trace.rows[candidate])
            return Verdict(thing.name, thing.box, "found", text, best, best_iou, row, candidate, first)
        reason = self._missed(thing, covered, own, best)
        detection = own_detections[0] if own_detections else -1
        return Verdict(
            thing.name,
            thing.box,
            reason.kind,
            reason.text,
            best,
            best_iou,
            reason.region,
            reason.candidate,
            detection,
        )

    def _found(self, thing: KnownObject, own: Sequence[int]) -> str:
        first = own[0]
        score = figure(self.selection.scores[first])
        iou = figure(overlaps(thing, self.selection.boxes[first][None])[0])
        if len(own) == 1:
            return f"Found: {thing.name} {score}, IoU {iou}."
        others = "the other does" if len(own) == 2 else "the others do"
        return f"Found {len(own)} times: {thing.name} {score}, IoU {iou}, counts, {others} not."

    def _missed(self, thing: KnownObject, covered: Float64, own: Float64, best: int) -> Reason:
        if not thing.counts:
            return Reason("ignored", "Does not count: it is marked as difficult or as a crowd.", best)
        column = self.column(thing.name)
        if column < 0:
            return Reason("unknown", f"Missed: the detector knows no class {thing.name}.", best)
        trace, status = self.trace, self.selection.status
        mine = np.flatnonzero((trace.columns == column) & (status >= UNDER))
        iou = overlaps(thing, trace.moved)
        iou[self.selection.detections] = np.maximum(
            iou[self.selection.detections], overlaps(thing, self.selection.boxes)
        )
        hits = [k for k in mine.tolist() if iou[k] >= HIT]
        if hits:
            hit = self._furthest(hits)
            return self._lost(thing, hit, float(iou[hit]), covered)
        inside = looked_at(trace, self.limits)
        good = [r for r in range(len(covered)) if inside[r] and covered[r] >= HIT]
        if good:
            on_good = [k for k in mine.tolist() if covered[trace.rows[k]] >= HIT]
            k = self._furthest(on_good)
            if k >= 0 and status[k] >= SUPPRESSED:
                row = int(trace.rows[k])
                return Reason(
                    "regressed",
                    f"Missed: its region (IoU {figure(covered[row])}) was found as {thing.name} "
                    f"{figure(self.after[k])}, but the box made of it has IoU {figure(iou[k])}.",
                    row,
                    k,
                )
            row = int(trace.rows[k]) if k >= 0 else _first_of(covered, good)
            return self._low(thing, row, k, covered)
        if best < 0 or own[best] < HIT:
            text = f"Missed: no region covers it by {figure(HIT)}"
            return Reason("region", f"{text}, the best by {figure(own[best] if best >= 0 else 0)}.", best)
        where = f"its best region (IoU {figure(own[best])})"
        count = min(self.limits.regions, trace.scored)
        if trace.cascade is not None:
            text = f"dropped by the cascade: {where} came as number {best + 1}, the first {count} go on"
            return Reason("cascade", f"Missed: {text}.", best)
        return Reason("rank", f"Missed: {where} is number {best + 1}, the first {count} are looked at.", best)

    def _furthest(self, places: Sequence[int]) -> int:
        """The candidate that came furthest, of those the best-scored, the first of equals; -1 of none."""
        last = max((self.selection.status[k] for k in places), default=UNDER)
        return _first_of(self.after, [k for k in places if self.selection.status[k] == last])

    def _lost(self, thing: KnownObject, hit: int, iou: float, covered: Float64) -> Reason:
        """Why a box of the class on the object is no detection of it."""
        selection, status, row = self.selection, self.selection.status[hit], int(self.trace.rows[hit])
        by_nms = f"its box ({thing.name} {figure(self.trace.scores[hit])}, IoU {figure(iou)})"
        in_end = f"its box ({thing.name} {figure(self.after[hit])}, IoU {figure(iou)})"
        if status == KEPT:
            return self._kept(thing, hit, in_end)
        if status == LEFT_OUT:
            text = f"{in_end} is left out, the best {self.settings.max_per_image} of the image are kept"
            return Reason("left_out", f"Missed: {text}.", row, hit)
        if status == RESCORED and self.after[hit] >= np.float32(self.limits.min_score):
            text = f"{in_end} was lowered under {self.least} by better ones that overlap it"
            return Reason("lowered", f"Missed: {text}.", row, hit)
        if status == SUPPRESSED:
            rival, near = figure(self.trace.scores[selection.by[hit]]), figure(selection.overlaps[hit])
            if self.settings.nms == "greedy":
                text = f"{by_nms} was suppressed by a better one ({rival}) that overlaps it by {near}"
                return Reason("suppressed", f"Missed: {text}.", row, hit)
            text = f"{by_nms} was lowered under {self.least} by better ones, the nearest ({rival})"
            return Reason("lowered", f"Missed: {text} overlaps it by {near}.", row, hit)
        return self._low(thing, row, hit, covered, iou)

    def _kept(self, thing: KnownObject, hit: int, what: str) -> Reason:
        """Why a detection on the object does not count for it."""
        place = int(np.flatnonzero(self.selection.detections == hit)[0])
        final = float(overlaps(thing, self.selection.boxes[place][None])[0])
        row, score = int(self.trace.rows[hit]), figure(self.selection.scores[place])
        if final >= HIT:
            text = f"the {thing.name} {score} on it (IoU {figure(final)}) counts for another object"
            return Reason("neighbour", f"Missed: {text} that it covers better.", row, hit)
        text = f"{what} was moved by the votes of others to IoU {figure(final)}"
        return Reason("voted", f"Missed: {text}.", row, hit)

    def _low(self, thing: KnownObject, row: int, k: int, covered: Float64, iou: float = 0.0) -> Reason:
        """Why a region's score is under the least; candidate `k` is -1 where it is under the trace's floor.

        The region may cover the object too little itself, and its box by `iou`.
        """
        trace, name = self.trace, thing.name
        where = f"its region (IoU {figure(covered[row])})"
        if covered[row] < HIT:
            where = f"a region (IoU {figure(covered[row])}) whose box has IoU {figure(iou)}"
        before, least = self._before(name, row, k), np.float32(self.limits.min_score)
        score = f"under {figure(trace.floor)}"
        if k >= 0:
            is_under = self.after[k] < least  # else soft NMS looked at the score before context
            score = figure(float(self.after[k]) if before is None or is_under else before)
        if before is not None and np.float32(before) >= least:
            text = f"context lowered {name} at {where} from {figure(before)} to {score}"
            return Reason("context", f"Missed: {text}, the least is {self.least}.", row, k)
        label, top = int(trace.top_labels[row, 0]), float(trace.top_scores[row, 0])
        other = trace.classes[label - FIRST_LABEL]
        ending = f"; as {name} {where} has {score}, the least is {self.least}."
        background = float(trace.background[row])
        if trace.by_svm and top < 0:
            text = f"taken for background, the best SVM is {other} {figure(top)}"
            return Reason("background", f"Missed: {text}{ending}", row, k)
        if not trace.by_svm and background >= top:
            return Reason("background", f"Missed: taken for background ({figure(background)}){ending}", row, k)
        if other != name:
            return Reason("class", f"Missed: taken for {other} ({figure(top)}){ending}", row, k)
        text = f"under the least score: {where} has {name} {score}, the least is {self.least}"
        return Reason("under", f"Missed: {text}.", row, k)

    def _before(self, name: str, row: int, k: int) -> float | None:
        """The class's score of a region before context, None without context and where it is not known."""
        trace = self.trace
        if trace.unchanged is None:
            return None
        if k >= 0:
            return float(trace.unchanged[k])
        places = np.flatnonzero(trace.top_labels[row] == self.column(name) + FIRST_LABEL)
        return float(trace.top_scores[row, places[0]]) if len(places) else None


def overlaps(thing: KnownObject, boxes: Array) -> Float64:
    """IoU (N,) of an object with boxes (N, 4), in float64."""
    return np.asarray(box_iou(np.array([thing.box], np.float64), boxes.astype(np.float64))[0], np.float64)


def _first_of(values: Array, places: Sequence[int]) -> int:
    """The place of the largest value, the first of equals; -1 where there is none."""
    best = -1
    for place in places:
        if best < 0 or values[place] > values[best]:
            best = place
    return best
