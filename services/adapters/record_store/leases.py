"""Leases: one row each, which changes hands by an update that only one process can win."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, case, or_, select

from services.adapters.record_store.database import BUSY_SECONDS, Database
from services.adapters.record_store.schema import leases
from services.core.clock import EPOCH
from services.core.records import Lease

NOBODY: Final = ""
WAITED: Final = timedelta(seconds=2 * BUSY_SECONDS)
"""Above what passes between a look at the clock and the lease: who was faster has an end later than ours would be."""


class SqlLeases:
    """See `services.core.ports.Leases`."""

    _database: Database

    def acquire(self, name: str, *, holder: str, lasts: timedelta) -> Lease | None:
        return self.acquire_all([name], holder=holder, lasts=lasts).get(name)

    def acquire_all(self, names: Sequence[str], *, holder: str, lasts: timedelta) -> dict[str, Lease]:
        with self._database.transaction() as connection:
            taken = self._taken(connection, names, holder, lasts)
            if new := self._added(connection, [name for name in names if name not in taken]):
                taken |= self._taken(connection, new, holder, lasts)
        return taken

    def _taken(self, connection: Connection, names: Sequence[str], holder: str, lasts: timedelta) -> dict[str, Lease]:
        """Of these names, those that are free or the holder's own."""
        now = self._database.now(connection)
        mine = leases.c.holder == holder
        free = or_(mine, leases.c.until <= now, leases.c.until > now + lasts + WAITED)
        take = (
            leases.update()
            .where(leases.c.name.in_(names), free)
            .values(holder=holder, token=leases.c.token + case((mine, 0), else_=1), until=now + lasts)
            .returning(leases)
        )
        return {row["name"]: Lease(**row) for row in connection.execute(take).mappings()}

    def _added(self, connection: Connection, names: Sequence[str]) -> list[str]:
        """Those of the names that nobody has asked for before, as leases of nobody."""
        known = set(connection.scalars(select(leases.c.name).where(leases.c.name.in_(names)))) if names else set(names)
        new = sorted(set(names) - known)
        if new:
            first = self._database.insert(leases).on_conflict_do_nothing()
            connection.execute(first, [{"name": name, "holder": NOBODY, "token": 0, "until": EPOCH} for name in new])
        return new

    def release(self, lease: Lease) -> None:
        held = leases.c.name == lease.name, leases.c.token == lease.token
        with self._database.transaction() as connection:
            connection.execute(leases.update().where(*held).values(holder=NOBODY, until=EPOCH))
