from datetime import timedelta
from pathlib import Path
from typing import Any

import alembic.command
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from msgspec.structs import replace
from sqlalchemy import select

from services.adapters.record_store import RecordStoreSql
from services.adapters.record_store.database import Database, engine_of
from services.adapters.record_store.draws import draw_of
from services.adapters.record_store.schema import metadata, predictions
from services.core.outcomes import OutcomeObserved
from services.core.records import Batch
from tests.migrating import migrated
from tests.toy import NOON, prediction


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'records.sqlite'}"
    found: str = request.getfixturevalue("postgresql_url")
    return found


def test_the_migrations_lead_to_the_tables_that_the_code_declares(url: str) -> None:
    database = Database(url)
    database.migrate()

    with engine_of(database).connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)

    assert differences == []
    database.close()


@pytest.mark.parametrize("revision", ["0001", "0007"])
def test_what_was_recorded_before_a_migration_is_there_after_it(url: str, revision: str) -> None:
    store = RecordStoreSql(url)
    store.migrate()
    store.commit(Batch([prediction(1), prediction(2)], [_seen("e1", 1, "stayed"), _seen("e2", 2, "left")], []), **AT)
    store.close()

    migrated(url, alembic.command.downgrade, revision)
    migrated(url, alembic.command.upgrade, "head")

    store = RecordStoreSql(url)
    judged = store.judged("toy", made_from=NOON, made_until=NOON + timedelta(days=1))
    assert [(row.prediction, row.outcome) for row in judged] == [(prediction(1), "stayed"), (prediction(2), "left")]
    assert store.stored_event_ids(["e1", "e2"]) == {"e1", "e2"}
    assert (store.counts("toy").predictions_by, store.counts("toy").outcomes) == ({"model": 2}, 2)
    assert _drawn(url) == {each.prediction_id: draw_of(each.prediction_id) for each in (prediction(1), prediction(2))}
    store.close()


def test_outcomes_that_an_earlier_schema_kept_only_the_latest_of_find_their_own_models(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'records.sqlite'}"
    store = RecordStoreSql(url)
    store.migrate()
    astray = _seen("e2", 1, "stayed", hours=2, model="another")
    store.commit(Batch([prediction(1)], [_seen("e1", 1, "left"), astray], []), **AT)
    migrated(url, alembic.command.downgrade, "0001")

    migrated(url, alembic.command.upgrade, "head")

    assert [row.outcome for row in store.judged("toy", made_from=NOON, made_until=NOON + timedelta(1))] == ["left"]
    assert store.counts("another").orphan_outcomes == 1
    store.close()


def test_an_outcome_that_an_earlier_schema_kept_gives_way_to_a_later_delivery_of_its_moment(url: str) -> None:
    store = RecordStoreSql(url)
    store.migrate()
    store.commit(Batch([prediction(1)], [_seen("f", 1, "left")], []), **AT)
    migrated(url, alembic.command.downgrade, "0007")
    migrated(url, alembic.command.upgrade, "head")

    event_id, seen = _seen("e", 1, "stayed")
    store.commit(Batch([], [(event_id, replace(seen, recorded_at=seen.observed_at))], []), **AT)

    assert [row.outcome for row in store.judged("toy", made_from=NOON, made_until=NOON + timedelta(1))] == ["stayed"]
    store.close()


AT: Any = {"consumer": "c", "position": 1}


def _seen(
    event_id: str, number: int, value: str, hours: float = 1.0, model: str = "toy"
) -> tuple[str, OutcomeObserved]:
    moment = NOON + timedelta(hours=hours)
    prediction_id = prediction(number).prediction_id
    return event_id, OutcomeObserved(prediction_id=prediction_id, model=model, value=value, observed_at=moment)


def _drawn(url: str) -> dict[str, int]:
    database = Database(url)
    with database.transaction() as connection:
        drawn = dict(connection.execute(select(predictions.c.prediction_id, predictions.c.draw)).tuples().all())
    database.close()
    return drawn
