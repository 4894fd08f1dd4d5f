"""A record store's schema, forward and back."""

from collections.abc import Callable

from alembic.config import Config

from services.adapters.record_store.database import MIGRATIONS, Database, engine_of


def migrated(url: str, command: Callable[[Config, str], None], revision: str) -> None:
    """Run alembic's command as `Database.migrate` does."""
    database, config = Database(url), Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine_of(database).begin() as connection:
        config.attributes["connection"] = connection
        command(config, revision)
    database.close()
