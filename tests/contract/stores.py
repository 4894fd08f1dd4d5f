"""The record stores that promise the same. A further engine joins by a line in `URLS`."""

from collections.abc import Callable, Iterator

import pytest

from services.adapters.record_store import RecordStoreSql
from services.core.ports import RecordStore

Open = Callable[[], RecordStore]

URLS: dict[str, Callable[[pytest.FixtureRequest], str]] = {
    "sqlite": lambda request: f"sqlite:///{request.getfixturevalue('tmp_path') / 'records.sqlite'}",
    "postgresql": lambda request: request.getfixturevalue("postgresql_url"),
}


@pytest.fixture(params=URLS)
def open_store(request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens the same store as often as a test asks, as several processes would."""
    url = URLS[request.param](request)
    opened: list[RecordStore] = []

    def open_again() -> RecordStore:
        opened.append(RecordStoreSql(url))
        opened[-1].migrate()
        return opened[-1]

    yield open_again
    for each in opened:
        each.close()


@pytest.fixture
def store(open_store: Open) -> RecordStore:
    return open_store()
