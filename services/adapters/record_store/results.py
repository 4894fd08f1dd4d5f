"""What evaluations found."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import select

from services.adapters.record_store.database import Database
from services.adapters.record_store.schema import results
from services.core.records import EvaluationResult, ResultKind, ResultStatus


class SqlResults:
    """See `services.core.ports.Results`."""

    _database: Database

    def save_results(self, results_: Iterable[EvaluationResult]) -> None:
        rows = [msgspec.structs.asdict(each) for each in results_]
        if rows:
            with self._database.writing() as connection:
                connection.execute(results.insert(), rows)

    def results(
        self, model: str, kind: ResultKind, *, limit: int, until: datetime | None = None
    ) -> list[EvaluationResult]:
        of = [results.c.model == model, results.c.kind == kind.value]
        if until is not None:
            of.append(results.c.window_end <= until)
        newest = select(results).where(*of).order_by(results.c.window_end.desc(), results.c.id.desc()).limit(limit)
        with self._database.transaction() as connection:
            return [_result(row) for row in connection.execute(newest).mappings()][::-1]


def _result(row: Any) -> EvaluationResult:
    fields = {name: row[name] for name in EvaluationResult.__struct_fields__}
    return EvaluationResult(**fields | {"kind": ResultKind(row["kind"]), "status": ResultStatus(row["status"])})
