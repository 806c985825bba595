import numpy as np
import pytest
from random_traces import KINDS, NAMES, random_case

from detector.inference.image_trace import Steps, trace_of
from detector.inference.iterate import Round
from detector.inference.score import unrefined


def steps(scores: list[list[float]]) -> Steps:
    regions = np.tile(np.array([0, 0, 5, 5], np.float32), (len(scores), 1))
    found = unrefined(regions, np.array(scores, np.float32))
    return Steps(regions, [Round(regions, found)], found, found)


def test_candidates_stand_by_class_and_then_by_region() -> None:
    trace = trace_of(steps([[0.5, 0.1, 0.2], [0.05, 0.9, 0.0], [0.3, 0.0, 0.0]]), NAMES, (9, 9), False, 0.1)
    assert trace.columns.tolist() == [0, 0, 1, 1, 2]
    assert trace.rows.tolist() == [0, 2, 0, 1, 0]
    assert trace.scores.tolist() == pytest.approx([0.5, 0.3, 0.1, 0.9, 0.2])
    assert trace.top_labels[:, 0].tolist() == [1, 2, 1]
    assert trace.background.tolist() == pytest.approx([0.2, 0.05, 0.7])
    assert (trace.before, trace.rescored) == (None, None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("most", [0, 1, 7, 20])
def test_too_many_candidates_raise_the_floor_as_far_as_it_takes(kind: str, most: int) -> None:
    case = random_case(3, kind)
    whole = case.trace
    rounds = [Round(whole.boxes[whole.rounds == number], case.final) for number in np.unique(whole.rounds)]
    rounds[0] = Round(rounds[0].regions[: whole.scored], case.final)
    steps = Steps(whole.boxes[: whole.proposals], rounds, case.final, case.final)
    trace = trace_of(steps, NAMES, (9, 9), True, -9.0, most)
    assert len(trace.rows) <= most
    final = case.final.scores if case.final.rescored is None else case.final.rescored
    assert np.count_nonzero(final >= trace.floor) <= most
    if kind != "after_nms" and trace.floor > -9:  # one more equal score would have been too many
        below = np.nextafter(np.float32(trace.floor), np.float32(-np.inf))
        assert np.count_nonzero(final >= below) > most


def test_what_a_cascade_drops_is_known_but_has_no_scores() -> None:
    trace = random_case(2, "cascade").trace
    assert trace.cascade is not None
    assert len(trace.cascade) == trace.proposals > trace.scored
    assert (trace.top_labels[trace.scored :] == 0).all()
    assert (trace.top_labels[: trace.scored, 0] > 0).all()
    assert trace.rows.max() < trace.scored
