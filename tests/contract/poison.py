"""A store whose database refuses some rows, or fails on them, for a reason of its own: by a trigger."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from services.adapters.record_store import RecordStoreSql
from services.core.events import LoggedEvent, prediction_event
from services.core.predictions import PredictionMade
from services.core.records import Batch, DeadLetter, Stored
from services.core.transport import Portion
from tests.contract.stores import URLS
from tests.toy import prediction

POISON = "poison"
"""The label of what a trigger is against."""

_SQLITE = "CREATE TRIGGER poison BEFORE INSERT ON predictions WHEN {when} BEGIN {then}; END"
_FUNCTION = """
CREATE OR REPLACE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN IF {when} THEN {then}; END IF; RETURN NEW; END $$
"""
_TRIGGER = "CREATE TRIGGER poison BEFORE INSERT ON predictions FOR EACH ROW EXECUTE FUNCTION poison()"
REFUSES = {"sqlite": "SELECT RAISE(ABORT, 'no poison')", "postgresql": "RAISE check_violation"}
FAILS = {"sqlite": "SELECT json(NEW.label)", "postgresql": "RAISE internal_error"}
"""With a code that says nothing of whose fault it is."""
LABELLED = f"NEW.label = '{POISON}'"
EVERY = "NEW.label <> ''"


class PoisonedStore(RecordStoreSql):
    """Counts its commits. `poison` adds a trigger, `heal` removes it."""

    def __init__(self, url: str, engine: str) -> None:
        super().__init__(url)
        self.migrate()
        self.commits = 0
        self.before_commit: Callable[[int], None] = lambda _number: None
        self._url, self._kind = url, engine

    def commit(self, batch: Batch, **where: Any) -> Stored:
        self.commits += 1
        self.before_commit(self.commits)
        return super().commit(batch, **where)

    def poison(self, then: dict[str, str], *, when: str = LABELLED) -> None:
        statements = (_SQLITE,) if self._kind == "sqlite" else (_FUNCTION, _TRIGGER)
        self.execute(*(each.format(when=when, then=then[self._kind]) for each in statements))

    def heal(self) -> None:
        self.execute("DROP TRIGGER poison" + (" ON predictions" if self._kind == "postgresql" else ""))

    def execute(self, *statements: str) -> None:
        engine = create_engine(self._url)
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()


class Told:
    """Remembers the letters that others are told of."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []

    def bury(self, _portion: Portion, letters: Sequence[DeadLetter]) -> None:
        self.letters += letters


@pytest.fixture(params=URLS)
def poisoned(request: pytest.FixtureRequest) -> Iterator[PoisonedStore]:
    with opened(URLS[request.param](request), request.param) as store:
        yield store


@contextmanager
def opened(url: str, engine: str) -> Iterator[PoisonedStore]:
    store = PoisonedStore(url, engine)
    yield store
    store.close()


def labelled(number: int, label: str = POISON) -> PredictionMade:
    return prediction(number, label=label)


def portion(*made: PredictionMade, start: int = 0) -> Portion:
    """Of these predictions, at the positions behind `start`."""
    events = [LoggedEvent(place, prediction_event(each)) for place, each in enumerate(made, start=start + 1)]
    end = start + len(made)
    return Portion(partition="p", origin="log", events=events, dead_letters=[], start=start, position=end)
