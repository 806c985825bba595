import threading
import time

import pytest

from detector.parallel import ordered_map, worker_count


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    def slow_when_even(item: int) -> int:
        time.sleep(0.002 * (item % 2 == 0))
        return item * item

    assert list(ordered_map(slow_when_even, range(20), workers)) == [i * i for i in range(20)]


def test_an_error_comes_out_at_its_items_turn() -> None:
    results = ordered_map(lambda item: 1 // (3 - item), range(10), 2)
    assert [next(results) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_work_runs_only_a_little_ahead() -> None:
    started = []
    lock = threading.Lock()

    def note(item: int) -> int:
        with lock:
            started.append(item)
        return item

    results = ordered_map(note, range(1000), 2)
    next(results)
    assert len(started) < 20


def test_minus_one_worker_means_every_core() -> None:
    assert worker_count(-1) >= 1
    assert worker_count(3) == 3
