"""Everything that is counted of one set of detections, once, for all forms of its report."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from detector.choices import PROTOCOLS
from detector.data.dataset import Dataset
from detector.evaluation.bootstrap import RESAMPLES, Bootstrap, bootstrap
from detector.evaluation.confusion import ConfusionMatrix, confusion_matrix
from detector.evaluation.diagnosis import ErrorTypes, find_errors
from detector.evaluation.evaluator import evaluate
from detector.evaluation.false_positives import FalsePositives, rank_false_positives
from detector.evaluation.metrics import Classes
from detector.evaluation.outcomes import NO_BLACKLIST, MatchedDetections, match_detections, protocol_of
from detector.evaluation.sizes import COCO_EDGES, SizeReport, ap_by_size, tercile_edges
from detector.evaluation.thresholds import ScoreThresholds, best_thresholds
from detector.progress import progress_bar
from detector.records import DetectionTable, Int64, ObjectTable, Report


@dataclass(frozen=True, eq=False)
class Case:
    """What is evaluated: the objects and detections of images 0..num_images - 1, of the classes 1..C.

    blacklist (K, 2) are pairs of image position and label, which protocols that use it leave out.
    """

    classes: Classes
    num_images: int
    objects: ObjectTable
    detections: DetectionTable
    blacklist: Int64

    @staticmethod
    def of(dataset: Dataset, detections: DetectionTable) -> "Case":
        """The detections of a data set's images."""
        return Case(dataset.classes, len(dataset), dataset.objects, detections, dataset.blacklist)

    def evaluate(self, protocol: str) -> Report:
        """The Report by `protocol`."""
        return evaluate(protocol, *self._tables())

    def match(self, protocol: str) -> MatchedDetections:
        """The detections ranked and matched by `protocol`."""
        return match_detections(protocol, *self._tables())

    def _tables(self) -> tuple[ObjectTable, DetectionTable, int, int, Int64]:
        return self.objects, self.detections, self.num_images, len(self.classes.names), self.blacklist


@dataclass(frozen=True, eq=False)
class Analysis:
    """The Report by the chosen protocol, those by the others, and what the same detections say besides.

    sizes are COCO's three, thirds part the objects in three equal numbers. `matched` are the chosen protocol's
    matches; `confusion` is of the detections that reach `thresholds`.
    """

    report: Report
    others: Mapping[str, Report]
    matched: MatchedDetections
    bootstrap: Bootstrap
    thresholds: ScoreThresholds
    sizes: SizeReport
    thirds: SizeReport
    confusion: ConfusionMatrix
    errors: ErrorTypes
    false_positives: FalsePositives


def analyse(case: Case, report: Report, random: np.random.Generator, resamples: int = RESAMPLES) -> Analysis:
    """The analysis of `case`, whose `report` is known; a line shows what is being counted."""
    protocol = report.protocol
    tables = case.objects, case.detections, case.num_images, len(case.classes.names)
    blacklist = case.blacklist if protocol_of(protocol).uses_blacklist else NO_BLACKLIST
    with progress_bar(bar_format="analyse: {desc}{elapsed}", leave=False) as line:
        others: dict[str, Report] = {}
        for other in PROTOCOLS:
            if other != protocol:
                line.set_description(other)
                others[other] = case.evaluate(other)
        line.set_description("bootstrap")
        matched = case.match(protocol)
        intervals = bootstrap(matched, random, resamples)
        line.set_description("errors")
        thresholds = best_thresholds(matched)
        return Analysis(
            report=report,
            others=others,
            matched=matched,
            bootstrap=intervals,
            thresholds=thresholds,
            sizes=ap_by_size(matched, COCO_EDGES),
            thirds=ap_by_size(matched, tercile_edges(matched)),
            confusion=confusion_matrix(*tables, blacklist, thresholds.scores),
            errors=find_errors(*tables, blacklist),
            false_positives=rank_false_positives(matched),
        )
