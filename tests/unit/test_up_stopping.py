"""The first signal ends a run in order, the second at once, and neither breaks what cleans up."""

import asyncio
import signal
import subprocess
import sys

import pytest

from monitoring.entrypoints.up.stopping import SIGNALS, StopAsked, Stopping


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_noted_and_interrupts_nothing_outside_of_what_allows_it(number: signal.Signals) -> None:
    stopping = Stopping()
    with stopping.listening():
        signal.raise_signal(number)
    assert (stopping.asked, stopping.hurried) == (True, False)


def test_a_second_signal_is_a_hurry() -> None:
    stopping = Stopping()
    with stopping.listening():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    assert stopping.hurried


def test_a_terminal_that_says_twice_that_it_closes_is_in_no_hurry() -> None:
    stopping = Stopping()
    with stopping.listening():
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGHUP)
    assert (stopping.asked, stopping.hurried) == (True, False)


def test_the_handlers_from_before_come_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with Stopping().listening():
        pass
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_signal_interrupts_what_allows_it() -> None:
    stopping = Stopping()
    with stopping.listening(), pytest.raises(StopAsked), stopping.within():
        signal.raise_signal(signal.SIGINT)


def test_a_signal_from_before_keeps_it_from_beginning() -> None:
    stopping, began = Stopping(times=1), []
    with pytest.raises(StopAsked), stopping.within():
        began.append(True)
    assert began == []


def test_what_only_a_second_signal_interrupts_outlasts_the_first() -> None:
    stopping, lasted = Stopping(), []

    def interrupted() -> None:
        signal.raise_signal(signal.SIGINT)
        lasted.append(True)
        signal.raise_signal(signal.SIGINT)

    with stopping.listening(), pytest.raises(StopAsked), stopping.within(times=2):
        interrupted()
    assert lasted == [True]


def test_what_cleans_up_is_not_interrupted_by_a_further_signal() -> None:
    stopping, cleaned = Stopping(), []

    def interrupted() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)
            cleaned.append(True)

    with stopping.listening(), pytest.raises(StopAsked), stopping.within():
        interrupted()
    assert cleaned == [True]


def test_who_wants_to_be_called_is_called_at_every_signal_and_for_one_from_before() -> None:
    stopping, called = Stopping(times=1), []
    with stopping.listening(), stopping.calling(lambda: called.append(stopping.times)):
        signal.raise_signal(signal.SIGTERM)
    assert called == [1, 2]


def test_a_signal_that_comes_in_a_callback_cancels_what_is_run() -> None:
    stopping, cleaned = Stopping(), []

    async def work() -> None:
        asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    with stopping.listening(), pytest.raises(StopAsked):
        stopping.run(work())
    assert cleaned == [True]


def test_what_nobody_stopped_is_run_to_its_end() -> None:
    assert Stopping().run(asyncio.sleep(0, result=3)) == 3


def test_a_run_that_is_to_outlive_its_terminal_ignores_that_it_closes() -> None:
    script = (
        "import signal\n"
        "from monitoring.entrypoints.up.stopping import Stopping\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "stopping = Stopping()\n"
        "with stopping.listening():\n"
        "    signal.raise_signal(signal.SIGHUP)\n"
        "print(stopping.asked)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
