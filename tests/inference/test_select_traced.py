import numpy as np
import pytest
from oracles_boxes import iou_of_two
from random_traces import KINDS, random_case

from detector.config import DetectSettings
from detector.evaluation.explained import BEYOND, KEPT, SUPPRESSED, UNDER, Limits
from detector.inference.image_trace import Steps, trace_of
from detector.inference.iterate import Round
from detector.inference.score import unrefined
from detector.inference.select import select
from detector.inference.select_traced import looked_at, trace_selection
from detector.records import ClassScores, Float32


def first_rows(scores: ClassScores, count: int) -> ClassScores:
    rescored = None if scores.rescored is None else scores.rescored[:count]
    return ClassScores(scores.boxes[:count], scores.scores[:count], rescored)


def one_class(boxes: list[list[float]], probs: list[float]) -> Steps:
    regions = np.array(boxes, np.float32)
    scores: Float32 = np.array(probs, np.float32)[:, None]
    found = unrefined(regions, scores)
    return Steps(regions, [Round(regions, found)], found, found)


@pytest.mark.parametrize("kind", KINDS)
def test_the_detections_are_those_of_select(kind: str) -> None:
    for seed in range(40):
        case = random_case(seed, kind)
        settings = case.settings.model_copy(update={"nms_iou": case.limits.nms_iou})
        scores = case.final if kind == "rounds" else first_rows(case.final, case.limits.regions)
        wanted = select(scores, case.limits.min_score, settings)
        found = trace_selection(case.trace, case.limits, case.settings)
        np.testing.assert_array_equal(found.boxes, wanted.boxes)
        np.testing.assert_array_equal(found.scores, wanted.scores)
        np.testing.assert_array_equal(case.trace.columns[found.detections] + 1, wanted.labels)


@pytest.mark.parametrize("seed", range(20))
def test_who_suppressed_whom_is_the_best_kept_box_that_overlaps_too_much(seed: int) -> None:
    case = random_case(seed, "svm")
    trace, limits = case.trace, case.limits
    found = trace_selection(trace, limits, case.settings.model_copy(update={"max_per_image": 0}))
    assert set(found.status.tolist()) <= {BEYOND, UNDER, SUPPRESSED, KEPT}
    kept = np.flatnonzero(found.status == KEPT).tolist()
    for k, status in enumerate(found.status):
        near = [j for j in kept if trace.columns[j] == trace.columns[k]]
        over = [j for j in near if iou_of_two(trace.moved[j], trace.moved[k]) > limits.nms_iou]
        if status != SUPPRESSED:
            assert (found.by[k], found.overlaps[k]) == (-1, 0)
            continue
        by = max(over, key=lambda j: (trace.scores[j], -j))
        assert found.by[k] == by
        assert found.overlaps[k] == pytest.approx(iou_of_two(trace.moved[by], trace.moved[k]))


def test_three_boxes_in_a_row() -> None:
    steps = one_class([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10], [0, 0, 10, 10]], [0.6, 0.9, 0.6, 0.05])
    trace = trace_of(steps, ["apple"], (10, 20), False, 0.01)
    found = trace_selection(trace, Limits(0.1, 0.3, 4), DetectSettings())
    assert found.status.tolist() == [SUPPRESSED, KEPT, SUPPRESSED, UNDER]
    assert found.by.tolist() == [1, -1, 1, -1]
    assert found.overlaps.tolist() == pytest.approx([60 / 140, 0, 60 / 140, 0])
    fewer = trace_selection(trace, Limits(0.1, 0.3, 1), DetectSettings())
    assert fewer.status.tolist() == [KEPT, BEYOND, BEYOND, BEYOND]


def test_no_scores_over_the_floor_give_nothing() -> None:
    trace = trace_of(one_class([[0, 0, 5, 5]], [0.1]), ["apple"], (10, 10), False, 0.5)
    found = trace_selection(trace, Limits(0.5, 0.3, 1), DetectSettings(voting_iou=0.5))
    assert [len(each) for each in (found.status, found.boxes, found.scores)] == [0, 0, 0]


def test_boxes_of_later_rounds_are_looked_at_whatever_the_limit() -> None:
    case = random_case(1, "rounds")
    within = looked_at(case.trace, Limits(0.1, 0.3, 1))
    np.testing.assert_array_equal(np.flatnonzero(within), [0, *range(case.trace.proposals, len(case.trace.boxes))])
