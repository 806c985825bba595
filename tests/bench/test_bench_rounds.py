import multiprocessing
import os

import pytest
from measured import broken, dying, steady, tiring
from processes import FORKS

from detector.bench.machine import Load, LoadWatch, peak_memory
from detector.bench.rounds import Candidate, RoundOutcome, Spread, median_ratio, run_rounds


def test_candidates_take_turns_in_processes_of_their_own_and_one_that_fails_stops_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("detector.bench.rounds.get_context", lambda method: FORKS)  # each is loaded at once
    opens = {"steady": steady, "broken": broken, "tiring": tiring, "dying": dying}
    found = run_rounds([Candidate(name, opened) for name, opened in opens.items()], 0.5, 3, "test")
    by_name = {outcome.name: outcome for outcome in found}
    assert list(by_name) == list(opens)
    assert [each["seconds"] for each in by_name["steady"].rounds] == [0.5] * 3
    assert os.getpid() not in {each["process"] for each in by_name["steady"].rounds}
    assert by_name["steady"].memory > 1
    assert not by_name["steady"].failure
    assert (by_name["broken"].rounds, by_name["broken"].failure) == ((), "no such engine at all")
    assert by_name["tiring"].failure == "too hot"
    assert len(by_name["tiring"].rounds) == 1
    assert by_name["dying"].rounds == ()
    assert "was killed" in by_name["dying"].failure


def test_an_interrupt_ends_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(worker: object, seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("detector.bench.rounds._Worker.measure", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_rounds([Candidate("steady", steady)], 0.1, 1, "test")
    assert multiprocessing.active_children() == []


def test_a_spread_is_the_median_and_the_extremes() -> None:
    assert Spread.of([3.0, 1.0, 10.0]) == Spread(3.0, 1.0, 10.0)
    assert Spread.of([2.0]) == Spread(2.0, 2.0, 2.0)


def test_a_ratio_is_taken_round_by_round() -> None:
    assert median_ratio([10, 2, 30], [5, 1, 3]) == 2  # whatever slowed the second round slowed both


def test_rates_are_units_over_seconds() -> None:
    outcome = RoundOutcome("a", ({"image": 0.5}, {"image": 0.25}), 1.0)
    assert outcome.rates("image", 10) == [20, 40]


def test_peak_memory_is_that_of_the_process() -> None:
    assert 1 < peak_memory() < 1 << 20


@pytest.mark.parametrize(
    ("before", "foreign", "disturbed"),
    [(0.0, 0.0, False), (2.0, 0.0, False), (0.0, 0.5, True), (1.0, None, True), (0.1, None, False)],
)
def test_only_what_others_take_is_a_disturbance(before: float, foreign: float | None, disturbed: bool) -> None:
    assert Load(before, 5.0, foreign, 2).is_disturbed is disturbed


def test_the_watch_counts_no_negative_cores() -> None:
    load = LoadWatch().stop()
    assert load.foreign is None or load.foreign >= 0
    assert load.cores >= 1
