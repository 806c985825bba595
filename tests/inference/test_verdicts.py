"""A sentence of each kind, of cases small enough to be worked out by hand."""

from typing import Any

import numpy as np
import pytest

from detector.config import DetectSettings
from detector.evaluation.explained import KnownObject, Limits, Verdict
from detector.inference.image_trace import Steps, trace_of
from detector.inference.iterate import Round
from detector.inference.score import unrefined
from detector.inference.select_traced import trace_selection
from detector.inference.verdicts import figure, judge
from detector.records import ClassScores

NAMES = ("apple", "pear")
APPLE = KnownObject("apple", (0, 0, 10, 10))
HALF = [[0.0, 0, 10, 6]]  # of the apple's area: 0.6
SETTINGS = DetectSettings()


def steps_of(regions: Any, scores: Any, boxes: Any = None, after: Any = None, rescored: Any = None) -> Steps:
    regions, scores = np.array(regions, np.float32), np.array(scores, np.float32)
    found = unrefined(regions, scores)
    if boxes is not None:
        moved = np.repeat(np.array(boxes, np.float32)[:, None], 2, axis=1)
        found = ClassScores(moved, scores)
    final = found
    if after is not None:
        final = ClassScores(found.boxes, np.array(after, np.float32))
    if rescored is not None:
        final = ClassScores(found.boxes, scores, np.array(rescored, np.float32))
    return Steps(regions, [Round(regions, found)], found, final)


def verdicts(
    steps: Steps,
    *objects: KnownObject,
    least: float = 0.5,
    regions: int = 99,
    settings: DetectSettings = SETTINGS,
    svm: bool = False,
    floor: float = 0.01,
) -> list[Verdict]:
    trace = trace_of(steps, NAMES, (40, 40), svm, floor)
    limits = Limits(least, settings.nms_iou, regions)
    selection = trace_selection(trace, limits, settings)
    return judge(trace, selection, limits, settings, objects or (APPLE,))[0]


def text(*arguments: Any, **options: Any) -> str:
    (found,) = verdicts(*arguments, **options)
    return f"{found.kind}: {found.text}"


def test_found() -> None:
    assert text(steps_of(HALF, [[0.9, 0.05]])) == "found: Found: apple 0.90, IoU 0.60."


def test_found_twice() -> None:
    steps = steps_of([[0, 0, 10, 6], [0, 0, 10, 10]], [[0.9, 0], [0.8, 0]])
    wanted = "found: Found 2 times: apple 0.90, IoU 0.60, counts, the other does not."
    assert text(steps, settings=DetectSettings(nms_iou=0.9)) == wanted
    thrice = steps_of([[0, 0, 10, 6], [0, 0, 10, 10], [0, 0, 10, 8]], [[0.9, 0], [0.8, 0], [0.7, 0]])
    assert "Found 3 times" in text(thrice, settings=DetectSettings(nms_iou=0.9))
    assert text(thrice, settings=DetectSettings(nms_iou=0.9)).endswith("the others do not.")


def test_no_region() -> None:
    assert text(steps_of([[0, 0, 10, 4.3]], [[0.9, 0]])) == (
        "region: Missed: no region covers it by 0.50, the best by 0.43."
    )
    almost = steps_of([[0, 0, 10, 4.999]], [[0.9, 0]])
    assert text(almost).endswith("the best by 0.49.")  # cut: 0.50 would seem enough


def test_a_region_beyond_the_limit() -> None:
    steps = steps_of([[20, 20, 30, 30], [0, 0, 10, 6]], [[0, 0], [0.9, 0]])
    assert text(steps, regions=1) == (
        "rank: Missed: its best region (IoU 0.60) is number 2, the first 1 are looked at."
    )


def test_dropped_by_the_cascade() -> None:
    scored = steps_of([[20, 20, 30, 30]], [[0.0, 0]])
    boxes = np.array([[20, 20, 30, 30], [5, 5, 9, 9], [0, 0, 10, 6]], np.float32)
    steps = Steps(boxes, scored.rounds, scored.final, scored.final, np.array([0.9, 0.3, 0.2], np.float32))
    wanted = "dropped by the cascade: its best region (IoU 0.60) came as number 3, the first 1 go on."
    assert text(steps) == f"cascade: Missed: {wanted}"


def test_taken_for_background_or_for_another_class_or_just_too_little() -> None:
    ending = "as apple its region (IoU 0.60) has"
    assert text(steps_of(HALF, [[0.05, 0.02]])) == (
        f"background: Missed: taken for background (0.93); {ending} 0.05, the least is 0.50."
    )
    assert text(steps_of(HALF, [[0.05, 0.8]])) == (
        f"class: Missed: taken for pear (0.80); {ending} 0.05, the least is 0.50."
    )
    assert text(steps_of(HALF, [[0.005, 0.8]])).endswith("has under 0.01, the least is 0.50.")
    assert text(steps_of(HALF, [[0.45, 0.2]])) == (
        "under: Missed: under the least score: its region (IoU 0.60) has apple 0.45, the least is 0.50."
    )


def test_a_region_that_only_its_box_brings_to_the_object() -> None:
    steps = steps_of([[0, 0, 10, 3.3]], [[0.18, 0.01]], boxes=[[0, 0, 10, 5.2]])
    where = "as apple a region (IoU 0.33) whose box has IoU 0.52 has 0.18, the least is 0.50."
    assert text(steps) == f"background: Missed: taken for background (0.81); {where}"


def test_svms_speak_of_their_scores() -> None:
    assert text(steps_of(HALF, [[-0.4, -0.3]]), least=-0.2, svm=True, floor=-1.0) == (
        "background: Missed: taken for background, the best SVM is pear \N{MINUS SIGN}0.30; as apple its region "
        "(IoU 0.60) has \N{MINUS SIGN}0.40, the least is \N{MINUS SIGN}0.20."
    )
    assert text(steps_of(HALF, [[-0.4, 0.3]]), least=0.1, svm=True, floor=-1.0).startswith("class: Missed")


def test_suppressed() -> None:
    steps = steps_of([[0, 0, 10, 6], [0, 0, 10, 3]], [[0.7, 0], [0.93, 0]])
    assert text(steps) == (
        "suppressed: Missed: its box (apple 0.70, IoU 0.60) was suppressed by a better one (0.93) "
        "that overlaps it by 0.50."
    )


def test_lowered_by_soft_nms() -> None:
    steps = steps_of([[0, 0, 10, 6], [0, 0, 10, 3]], [[0.7, 0], [0.93, 0]])
    assert text(steps, settings=DetectSettings(nms="soft_linear")) == (
        "lowered: Missed: its box (apple 0.70, IoU 0.60) was lowered under 0.50 by better ones, "
        "the nearest (0.93) overlaps it by 0.50."
    )


def test_nms_goes_by_the_scores_before_context_where_that_comes_later() -> None:
    regions, scores = [[0, 0, 10, 6], [0, 0, 10, 3]], [[0.7, 0], [0.93, 0]]
    greedy = text(steps_of(regions, scores, rescored=[[0.99, 0], [0.6, 0]]))
    assert greedy.startswith(
        "suppressed: Missed: its box (apple 0.70, IoU 0.60) was suppressed by a better one (0.93)"
    )
    soft = text(
        steps_of([[0, 0, 10, 6], [0, 0, 10, 3]], [[0.7, 0], [0.93, 0]], rescored=[[0.6, 0], [0.6, 0]]),
        settings=DetectSettings(nms="soft_linear"),
        least=0.32,
    )
    wanted = "its box (apple 0.60, IoU 0.60) was lowered under 0.32 by better ones that overlap it."
    assert soft == f"lowered: Missed: {wanted}"


def test_the_box_after_regression() -> None:
    assert text(steps_of(HALF, [[0.71, 0]], boxes=[[0, 0, 10, 4.6]])) == (
        "regressed: Missed: its region (IoU 0.60) was found as apple 0.71, but the box made of it has IoU 0.46."
    )


def test_the_votes_of_others() -> None:
    steps = steps_of([[0, 0, 10, 5.2], [0, 0, 10, 3]], [[0.6, 0], [0.59, 0]])
    wanted = "voted: Missed: its box (apple 0.60, IoU 0.52) was moved by the votes of others to IoU 0.41."
    assert text(steps, settings=DetectSettings(voting_iou=0.5)) == wanted


def test_more_detections_than_an_image_may_have() -> None:
    steps = steps_of([[0, 0, 10, 6], [20, 20, 30, 30]], [[0.6, 0], [0.9, 0]])
    assert text(steps, settings=DetectSettings(max_per_image=1)) == (
        "left_out: Missed: its box (apple 0.60, IoU 0.60) is left out, the best 1 of the image are kept."
    )


def test_context() -> None:
    before = steps_of(HALF, [[0.62, 0.1]], after=[[0.03, 0.1]])
    told = "context lowered apple at its region (IoU 0.60) from 0.62 to 0.03, the least is 0.50."
    wanted = f"context: Missed: {told}"
    assert text(before) == wanted
    assert text(steps_of(HALF, [[0.62, 0.1]], rescored=[[0.03, 0.1]])) == wanted
    under = steps_of(HALF, [[0.62, 0.1]], after=[[0.003, 0.1]])
    assert text(under) == wanted.replace("to 0.03", "to under 0.01")


def test_a_box_counts_for_the_object_that_it_covers_most() -> None:
    other = KnownObject("apple", (0, 0, 10, 6.5))
    found, missed = verdicts(steps_of(HALF, [[0.9, 0]]), other, APPLE)
    assert (found.kind, missed.kind) == ("found", "neighbour")
    assert missed.text == (
        "Missed: the apple 0.90 on it (IoU 0.60) counts for another object that it covers better."
    )


def test_objects_that_do_not_count_and_classes_that_nobody_knows() -> None:
    steps = steps_of(HALF, [[0.9, 0]])
    assert text(steps, APPLE._replace(counts=False)) == (
        "ignored: Does not count: it is marked as difficult or as a crowd."
    )
    assert text(steps, APPLE._replace(name="kiwi")) == "unknown: Missed: the detector knows no class kiwi."


def test_a_verdict_names_the_regions_that_it_tells_of() -> None:
    (found,) = verdicts(steps_of([[0, 0, 10, 8], [0, 0, 10, 6]], [[0.1, 0], [0.2, 0]]))
    assert found.best_region == 0
    assert found.best_iou == pytest.approx(0.8)
    assert (found.region, found.detection) == (1, -1)  # of those on the object, the one that scores most


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (0.0, "0.00"),
        (0.5, "0.50"),
        (np.float32(0.9), "0.90"),
        (0.29, "0.29"),
        (0.4999, "0.49"),
        (0.999, "0.99"),
        (1.0, "1.00"),
        (0.0456, "0.045"),
        (0.05, "0.05"),
        (0.001, "0.001"),
        (0.00012, "0.0001"),
        (12.345, "12.34"),
        (-0.3, "\N{MINUS SIGN}0.30"),
    ],
)
def test_figures_are_cut(value: float, wanted: str) -> None:
    assert figure(value) == wanted
