"""What alembic runs around the migrations; the connection comes from `Database.migrate`."""

from alembic import context

from services.adapters.record_store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite alters a table by writing a new one.
    render_as_batch=True,
    # `Database` begins transactions itself, so a migration that is cut off leaves nothing behind on SQLite either.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
