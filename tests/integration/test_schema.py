from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from services.adapters.record_store.database import Database, engine_of
from services.adapters.record_store.schema import metadata


def test_the_migrations_lead_to_the_tables_that_the_code_declares(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'records.sqlite'}")
    database.migrate()

    with engine_of(database).connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)

    assert differences == []
    database.close()
