"""Registered versions, and which of them an alias means."""

from typing import Any

import msgspec
from sqlalchemy import select

from services.adapters.record_store.database import Database
from services.adapters.record_store.schema import alias_changes, aliases, versions
from services.core.records import AliasChange, VersionRecord


class SqlVersions:
    """See `services.core.ports.Versions`."""

    _database: Database

    def add_version(self, version: VersionRecord) -> None:
        with self._database.writing() as connection:
            connection.execute(versions.insert(), msgspec.structs.asdict(version))

    def versions(self, model: str) -> list[VersionRecord]:
        query = select(versions).where(versions.c.model == model).order_by(versions.c.registered_at, versions.c.version)
        with self._database.transaction() as connection:
            return [VersionRecord(**row) for row in connection.execute(query).mappings()]

    def manifests(self, model: str) -> dict[str, str]:
        recorded = versions.c.model == model, versions.c.manifest_sha256 != ""
        query = select(versions.c.version, versions.c.manifest_sha256).where(*recorded)
        with self._database.transaction() as connection:
            return dict(connection.execute(query).tuples().all())

    def move_alias(self, change: AliasChange) -> None:
        insert = self._database.insert(aliases)
        moved = insert.on_conflict_do_update(
            index_elements=[aliases.c.model, aliases.c.alias], set_={"version": insert.excluded.version}
        )
        row: dict[str, Any] = {"model": change.model, "alias": change.alias, "version": change.version}
        with self._database.writing() as connection:
            connection.execute(moved, row)
            connection.execute(alias_changes.insert(), msgspec.structs.asdict(change))

    def aliases(self, model: str) -> dict[str, str]:
        query = select(aliases.c.alias, aliases.c.version).where(aliases.c.model == model)
        with self._database.transaction() as connection:
            return dict(connection.execute(query).tuples().all())

    def all_aliases(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        with self._database.transaction() as connection:
            for row in connection.execute(select(aliases)):
                found.setdefault(row.model, {})[row.alias] = row.version
        return found

    def alias_changes(self, model: str) -> list[AliasChange]:
        columns = [alias_changes.c[name] for name in AliasChange.__struct_fields__]
        query = select(*columns).where(alias_changes.c.model == model).order_by(alias_changes.c.id)
        with self._database.transaction() as connection:
            return [AliasChange(**row) for row in connection.execute(query).mappings()]
