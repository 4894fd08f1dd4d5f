"""The log on a disk that takes no more, and then does again."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.adapters.event_log_sqlite import EventLogSqlite
from services.core.errors import EventLogUnavailable
from services.core.events import prediction_event
from tests.toy import prediction


@contextmanager
def files_no_larger_than(size_bytes: int) -> Iterator[None]:
    """Writes beyond this size fail in this process, as they do on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def append(log: EventLogSqlite, number: int) -> None:
    (settled,) = log.append(prediction_event(prediction(number))).result(10)
    if isinstance(settled, EventLogUnavailable):
        raise settled


def append_until_refused(log: EventLogSqlite) -> int:
    """How many events were taken before one was refused."""
    for number in range(1000):
        try:
            append(log, number)
        except EventLogUnavailable:
            return number
    pytest.fail("the limit on file sizes does not bind")


def test_a_full_disk_refuses_events_keeps_those_it_took_and_takes_more_once_there_is_room(tmp_path: Path) -> None:
    log = EventLogSqlite(tmp_path / "events.sqlite")
    with files_no_larger_than(200_000):
        taken = append_until_refused(log)
        with pytest.raises(EventLogUnavailable):
            append(log, 2000)

    append(log, 3000)

    ids = [each.event.id for each in log.read(after=0, limit=1000)]
    assert ids == [prediction(number).prediction_id for number in [*range(taken), 3000]]
    log.close()
