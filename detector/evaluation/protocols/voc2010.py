"""The VOC evaluation of 2010 and later: average precision is the area under the curve."""

from detector.evaluation.evaluator import report_over_objects
from detector.evaluation.outcomes import EvaluationProtocol
from detector.evaluation.protocols.voc_rule import match_voc_detections, not_difficult, rank_by_score

PROTOCOL = EvaluationProtocol(
    words="PASCAL VOC 2010: IoU 0.5, area under the curve",
    title="VOC 2010",
    meaning="IoU 0.5, area under the curve",
    rank=rank_by_score,
    counts=not_difficult,
    match=match_voc_detections,
    report=report_over_objects,
)
