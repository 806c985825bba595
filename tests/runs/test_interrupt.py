import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from detector.errors import DataError
from detector.runs.interrupt import interrupts_noted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_interrupt_is_noted_and_the_second_raised(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), interrupts_noted() as interrupted:
        assert not interrupted()
        os.kill(os.getpid(), number)
        assert interrupted()
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_what_goes_wrong_after_an_interrupt_is_the_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt) as caught, interrupts_noted():
        signal.raise_signal(signal.SIGTERM)
        raise RuntimeError("DataLoader worker (pid 7) exited unexpectedly")
    assert isinstance(caught.value.__cause__, RuntimeError)
    with pytest.raises(RuntimeError), interrupts_noted():
        raise RuntimeError("a fault")


def test_an_ignored_interrupt_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts_noted() as interrupted:
            os.kill(os.getpid(), signal.SIGINT)
            assert not interrupted()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_has_a_line_of_its_own_is_told_after_an_interrupt_too() -> None:
    with pytest.raises(DataError, match="disk"), interrupts_noted():
        signal.raise_signal(signal.SIGTERM)
        raise DataError("a full disk")


def test_other_threads_leave_interrupts_alone() -> None:
    def look() -> bool:
        with interrupts_noted() as interrupted:
            return interrupted()

    before = signal.getsignal(signal.SIGINT)
    with ThreadPoolExecutor(1) as pool:
        assert not pool.submit(look).result()
    assert signal.getsignal(signal.SIGINT) is before
