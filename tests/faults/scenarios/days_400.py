"""More than 400 days of events and outcomes go through the log, the consumer and the retention, in seconds.

Predictions are removed by event time, and the log keeps its events by the machine's: the account has to balance.
"""

from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from monitoring.lifecycle.retention import Upkeep
from services import bootstrap
from services.core.clock import DAY
from services.core.events import Event, outcome_event, prediction_event
from services.core.outcomes import OutcomeObserved
from services.core.ports import EventLog, RecordStore
from services.core.transport import EventSource
from services.ingest.audit import Account, audit
from services.ingest.consume import consume_once
from services.ingest.local import partition_of
from services.settings import Settings
from tests.consuming import Heard
from tests.faults.trial import Trial
from tests.toy import NOON, prediction
from tests.workshop import SPEC, open_bench

NAME: Final = "400 days"
DAYS: Final = 430
A_DAY: Final = 10
DAYS_AT_ONCE: Final = 5
"""As a world that plays at several days a second goes by its lifecycle."""
OUTCOME_DELAY: Final = timedelta(days=14)
KEEP: Final = 400 * DAY


def play(home: Path, seconds: float) -> Trial:
    settings = Settings(home=home)
    bench = open_bench(home)
    with (
        closing(bootstrap.event_log(settings)) as log,
        closing(bench.store) as store,
        closing(bootstrap.event_source(settings, store)) as source,
    ):
        upkeep = Upkeep(KEEP, models=("toy",))
        for first in range(0, DAYS, DAYS_AT_ONCE):
            days = range(first, first + DAYS_AT_ONCE)
            log.append(*(event for day in days for event in _events(day))).result(30)
            _consume(source, store)
            upkeep.attend(SPEC, bench.at(NOON + days[-1] * DAY).workshop)
        lived = audit(log, store)
        again = _read_again(source, log, store)
        Upkeep(KEEP, models=("toy",)).attend(SPEC, replace(bench.workshop, now=lambda: NOON + DAYS * DAY))
        return _trial(lived, _wrong("it", lived) + _wrong("what was read again", audit(log, store)) + again)


def _events(day: int) -> list[Event]:
    made = [prediction(day * A_DAY + number, made_at=NOON + day * DAY) for number in range(A_DAY)]
    return [
        *map(prediction_event, made),
        *(_outcome(day, number) for number in range(A_DAY) if day >= OUTCOME_DELAY.days),
    ]


def _outcome(day: int, number: int) -> Event:
    """Of a prediction of two weeks ago."""
    about = prediction((day - OUTCOME_DELAY.days) * A_DAY + number).prediction_id
    seen: datetime = NOON + day * DAY
    return outcome_event(OutcomeObserved(prediction_id=about, model="toy", value="left", observed_at=seen))


def _consume(source: EventSource, store: RecordStore) -> None:
    while consume_once(source, store, limit=2000, now=lambda: NOON, observer=Heard()):
        pass


def _read_again(source: EventSource, log: EventLog, store: RecordStore) -> list[str]:
    """The whole log, as after a loss of the position: what is too old is there once more, until the next removal."""
    before = store.counts("toy").predictions
    store.rewind(partition_of(log), position=0)
    _consume(source, store)
    return [] if store.counts("toy").predictions > before else ["nothing came back when the log was read again"]


def _wrong(what: str, account: Account) -> list[str]:
    parts = account.stored + account.dead_lettered + account.pruned + account.in_flight + account.unaccounted
    found = [f"{what} leaves {account.unaccounted} unaccounted for"] if account.unaccounted else []
    if parts != account.appended:
        found.append(f"{what} does not balance: {account}")
    return found if account.pruned else [*found, f"nothing of {what} was pruned"]


def _trial(account: Account, wrong: list[str]) -> Trial:
    return Trial(
        fault=NAME,
        store="SQLite",
        sent=account.appended,
        # What was removed as too old was stored before.
        stored=account.stored + account.pruned,
        dead_lettered=account.dead_lettered,
        lost=account.unaccounted,
        duplicated=account.duplicates_stored,
        unaccounted=account.unaccounted,
        wrong=wrong,
    )
