"""The VOC evaluation of 2007: average precision over eleven recalls."""

from detector.evaluation.average_precision import ELEVEN_RECALLS
from detector.evaluation.evaluator import report_over_objects
from detector.evaluation.outcomes import EvaluationProtocol
from detector.evaluation.protocols.voc_rule import match_voc_detections, not_difficult, rank_by_score

PROTOCOL = EvaluationProtocol(
    words="PASCAL VOC 2007: IoU 0.5, 11-point average precision",
    title="VOC 2007",
    meaning="IoU 0.5, 11 points",
    rank=rank_by_score,
    counts=not_difficult,
    match=match_voc_detections,
    report=report_over_objects,
    recalls=ELEVEN_RECALLS,
)
