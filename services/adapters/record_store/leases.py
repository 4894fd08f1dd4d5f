"""Leases: one row each, which changes hands by an update that only one process can win."""

from datetime import timedelta

from sqlalchemy import case, or_

from services.adapters.record_store.database import Database
from services.adapters.record_store.schema import leases
from services.core.clock import EPOCH
from services.core.records import Lease

NOBODY = ""


class SqlLeases:
    """See `services.core.ports.Leases`."""

    _database: Database

    def acquire(self, name: str, *, holder: str, lasts: timedelta) -> Lease | None:
        first = self._database.insert(leases).on_conflict_do_nothing()
        mine = leases.c.holder == holder
        with self._database.transaction() as connection:
            connection.execute(first, {"name": name, "holder": NOBODY, "token": 0, "until": EPOCH})
            now = self._database.now(connection)
            free = or_(mine, leases.c.until <= now, leases.c.until > now + lasts)
            taken = (
                leases.update()
                .where(leases.c.name == name, free)
                .values(holder=holder, token=leases.c.token + case((mine, 0), else_=1), until=now + lasts)
                .returning(leases)
            )
            row = connection.execute(taken).mappings().one_or_none()
        return None if row is None else Lease(**row)

    def release(self, lease: Lease) -> None:
        held = leases.c.name == lease.name, leases.c.token == lease.token
        with self._database.transaction() as connection:
            connection.execute(leases.update().where(*held).values(holder=NOBODY, until=EPOCH))
