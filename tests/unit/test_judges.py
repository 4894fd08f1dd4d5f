"""Judging beside one another: what one that takes long costs the others."""

from collections.abc import Callable, Iterator
from functools import partial
from threading import Event

import pytest

from monitoring.evaluation.judges import AT_MOST, Judges
from tests.waiting import eventually


@pytest.fixture
def end() -> Iterator[Event]:
    """Set at the end, whatever happens: what waits for it ends."""
    event = Event()
    yield event
    event.set()


def test_what_takes_long_holds_up_no_other_and_is_not_begun_twice(end: Event) -> None:
    judges, begun = Judges(patience=0.05), list[str]()

    def slow() -> None:
        begun.append("slow")
        end.wait()

    def work() -> Iterator[tuple[str, Callable[[], None]]]:
        yield "slow", slow
        yield from ((name, partial(begun.append, name)) for name in "abc")

    for _ in range(3):
        judges.run(work())

    assert (begun.count("slow"), judges.is_busy_with("slow")) == (1, True)
    assert all(begun.count(name) == 3 for name in "abc")
    end.set()
    eventually(lambda: not judges.is_busy_with("slow"), what="it ends")
    judges.close()


def test_a_round_ends_when_all_is_done_that_takes_no_longer_than_its_patience() -> None:
    judges, done = Judges(patience=60), list[int]()
    judges.run((str(number), partial(done.append, number)) for number in range(20))
    assert sorted(done) == list(range(20))
    judges.close()


def test_where_too_many_take_long_the_rest_waits_for_a_place_and_gets_it(end: Event) -> None:
    judges, begun = Judges(patience=0.01), list[str]()
    judges.run((str(number), lambda: _until(end)) for number in range(2 * AT_MOST))
    assert sum(judges.is_busy_with(str(number)) for number in range(2 * AT_MOST)) == AT_MOST

    judges.run([("late", lambda: begun.append("late"))])
    assert begun == []
    end.set()
    eventually(lambda: not any(judges.is_busy_with(str(number)) for number in range(AT_MOST)), what="places")
    judges.run([("late", lambda: begun.append("late"))])
    judges.close()
    assert begun == ["late"]


def test_what_fails_frees_its_place() -> None:
    judges = Judges(patience=60)
    for _ in range(2 * AT_MOST):
        judges.run([("fails", _fail)])
    assert not judges.is_busy_with("fails")
    judges.close()


def _until(end: Event) -> None:
    end.wait()


def _fail() -> None:
    raise RuntimeError("a bug")
