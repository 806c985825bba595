"""A protocol as CONTRIBUTING.md tells to add one: VOC's rule at IoU 0.5 and, averaged with it, at 0.8."""

from detector.evaluation.evaluator import report_over_objects
from detector.evaluation.matching import Matches, match_best
from detector.evaluation.outcomes import EvaluationProtocol
from detector.evaluation.protocols.voc_rule import not_difficult, rank_by_score
from detector.records import DetectionTable, Int64, ObjectTable

IOUS = (0.5, 0.8)


def match(objects: ObjectTable, ranked: DetectionTable, blacklist: Int64) -> list[Matches]:
    """The matches at each IoU."""
    return [match_best(objects, ranked, iou) for iou in IOUS]


PROTOCOL = EvaluationProtocol(
    words="Toys: IoU 0.5 and 0.8",
    title="Toys",
    meaning="IoU 0.5 and 0.8",
    rank=rank_by_score,
    counts=not_difficult,
    match=match,
    report=report_over_objects,
    curves_at="IoU 0.5",
)
