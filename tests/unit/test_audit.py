"""Of what was appended and is in the store no more: what was removed as too old, and what was lost."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from services.adapters.event_log_sqlite import EventLogSqlite
from services.adapters.outbox_sqlite import OutboxSqlite
from services.adapters.record_store import RecordStoreSql
from services.core.clock import DAY, wall_clock
from services.core.events import Event, outcome_event, prediction_event
from services.core.outcomes import OutcomeObserved
from services.core.records import Batch
from services.ingest.audit import Account, audit
from services.ingest.consume import consume_once
from services.ingest.local import LocalSource, partition_of
from tests.consuming import Heard, LastLogInMemory
from tests.toy import NOON, prediction

HOUR = timedelta(hours=1)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLogSqlite]:
    with closing(EventLogSqlite(tmp_path / "events.sqlite")) as log:
        yield log


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RecordStoreSql]:
    with closing(RecordStoreSql(f"sqlite:///{tmp_path / 'records.sqlite'}")) as store:
        store.migrate()
        yield store


def asked(day: int) -> Event:
    return prediction_event(prediction(day, made_at=NOON + day * DAY))


def told(day: int, *, after: timedelta = HOUR) -> Event:
    about = prediction(day).prediction_id
    at = NOON + day * DAY + after
    return outcome_event(OutcomeObserved(prediction_id=about, model="toy", value="left", observed_at=at))


def unreadable(day: int) -> Event:
    return msgspec.structs.replace(asked(day), id=f"unreadable-{day}", data=b"{")


def append(log: EventLogSqlite, *events: Event) -> None:
    log.append(*events).result(10)


def consume(log: EventLogSqlite, store: RecordStoreSql) -> None:
    source = LocalSource(log, committed=store.committed, last_log=LastLogInMemory())
    while consume_once(source, store, limit=100, now=lambda: NOON, observer=Heard()):
        pass


def lose(log: EventLogSqlite, store: RecordStoreSql, *events: Event) -> None:
    """Pass them without storing them, as a consumer with a defect would."""
    append(log, *events)
    store.commit(Batch([], [], []), consumer=partition_of(log), position=log.end())


def prune(store: RecordStoreSql, before: datetime) -> None:
    store.prune("toy", before=before, as_of=before, limit=1000)


def forget(log: EventLogSqlite, store: RecordStoreSql) -> None:
    """As the log does with what is stored and was appended days ago."""
    now = wall_clock() + DAY
    OutboxSqlite(log).prune(before=now, now=now + DAY, below=store.position(partition_of(log)), limit=1000)


def balanced(account: Account) -> bool:
    parts = account.stored, account.dead_lettered, account.pruned, account.in_flight, account.unaccounted
    return account.appended == sum(parts)


def test_what_was_removed_as_too_old_is_pruned_and_nothing_is_missing(
    log: EventLogSqlite, store: RecordStoreSql
) -> None:
    append(log, *(event for day in range(10) for event in (asked(day), told(day))))
    consume(log, store)
    prune(store, NOON + 4 * DAY)

    account = audit(log, store)

    assert (account.stored, account.pruned, account.unaccounted) == (12, 8, 0)
    assert balanced(account)


def test_an_outcome_goes_with_its_prediction_though_it_is_younger_than_the_horizon(
    log: EventLogSqlite, store: RecordStoreSql
) -> None:
    append(log, asked(0), told(0, after=50 * DAY), asked(9))
    consume(log, store)
    prune(store, NOON + 5 * DAY)

    assert audit(log, store).pruned == 2


def test_an_outcome_goes_with_a_prediction_that_the_log_has_forgotten(
    log: EventLogSqlite, store: RecordStoreSql
) -> None:
    """The log keeps events for days, and outcomes may take as long to come as predictions are kept."""
    append(log, *(asked(day) for day in range(4)))
    consume(log, store)
    forget(log, store)
    append(log, asked(400), *(told(day, after=395 * DAY) for day in range(3)))
    consume(log, store)

    prune(store, NOON + 10 * DAY)
    account = audit(log, store)
    assert (account.pruned, account.unaccounted) == (4, 0)

    lose(log, store, told(400), told(3, after=396 * DAY))
    account = audit(log, store)
    assert (account.pruned, account.unaccounted, balanced(account)) == (4, 2, True)


def test_an_outcome_whose_prediction_never_came_hides_behind_no_removal_while_the_log_has_everything(
    log: EventLogSqlite, store: RecordStoreSql
) -> None:
    append(log, asked(0), told(0), asked(400))
    consume(log, store)
    prune(store, NOON + 10 * DAY)
    lose(log, store, told(399))

    assert audit(log, store, at_once=1).unaccounted == 1


def test_a_loss_of_these_days_does_not_hide_behind_a_removal(log: EventLogSqlite, store: RecordStoreSql) -> None:
    append(log, *(asked(day) for day in range(10)))
    consume(log, store)
    prune(store, NOON + 5 * DAY)
    lose(log, store, asked(20), told(9, after=12 * DAY), unreadable(20))

    account = audit(log, store)

    assert (account.pruned, account.unaccounted) == (5, 3)
    assert account.examples == [asked(20).id, told(9, after=12 * DAY).id, unreadable(20).id]
    assert balanced(account)


def test_a_loss_of_long_ago_leaves_more_than_was_removed(log: EventLogSqlite, store: RecordStoreSql) -> None:
    append(log, *(event for day in range(10) for event in (asked(day), told(day))))
    consume(log, store)
    prune(store, NOON + 5 * DAY)
    lose(log, store, *(prediction_event(prediction(1000 + place, made_at=NOON)) for place in range(3)), told(-3))

    account = audit(log, store)

    assert (account.pruned, account.unaccounted) == (10, 4)


def test_a_removal_of_one_model_explains_nothing_of_another(log: EventLogSqlite, store: RecordStoreSql) -> None:
    append(log, asked(0))
    consume(log, store)
    prune(store, NOON + 5 * DAY)
    other = prediction_event(prediction(7, model="other"))
    lose(log, store, other)

    assert audit(log, store).examples == [other.id]


def test_dead_letters_that_were_removed_are_pruned_too(log: EventLogSqlite, store: RecordStoreSql) -> None:
    append(log, unreadable(-2), unreadable(-1), asked(0))
    consume(log, store)
    store.prune_dead_letters(before=NOON + DAY, as_of=NOON, limit=1)

    account = audit(log, store)

    assert (account.stored, account.dead_lettered, account.pruned, account.unaccounted) == (1, 1, 1, 0)


def test_what_is_read_again_after_its_removal_is_stored_until_the_next(
    log: EventLogSqlite, store: RecordStoreSql
) -> None:
    append(log, asked(0), told(0), asked(9))
    consume(log, store)
    prune(store, NOON + 5 * DAY)
    store.rewind(partition_of(log), position=0)
    consume(log, store)
    assert (audit(log, store).stored, audit(log, store).pruned) == (3, 0)

    prune(store, NOON + 5 * DAY)

    account = audit(log, store)
    assert (account.stored, account.pruned, account.unaccounted) == (1, 2, 0)


def test_what_nobody_has_passed_yet_is_in_flight_however_old_it_is(log: EventLogSqlite, store: RecordStoreSql) -> None:
    append(log, asked(0))
    consume(log, store)
    prune(store, NOON + 5 * DAY)
    append(log, asked(1), asked(2))

    account = audit(log, store)

    assert (account.pruned, account.in_flight) == (1, 2)
    assert balanced(account)


def test_an_account_of_several_portions_is_the_same(log: EventLogSqlite, store: RecordStoreSql) -> None:
    append(log, *(event for day in range(30) for event in (asked(day), told(day))))
    consume(log, store)
    prune(store, NOON + 20 * DAY)
    lose(log, store, asked(40))

    assert audit(log, store, at_once=7) == audit(log, store)
