"""What the command line reads from the store: the account of events, and the present state."""

from typing import Any

import msgspec

from services import bootstrap
from services.core.records import CHAMPION, EvaluationResult, Job, ResultKind
from services.ingest.audit import audit
from services.models.discovery import discover
from services.settings import Settings


def event_account(settings: Settings) -> dict[str, Any]:
    """The account of `services.ingest.audit`, JSON-ready."""
    log, store = bootstrap.event_log(settings), bootstrap.record_store(settings)
    try:
        account: dict[str, Any] = msgspec.to_builtins(audit(log, store))
        return account
    finally:
        log.close()
        store.close()


def status_now(settings: Settings) -> dict[str, Any]:
    """Per model: what serves and on which workers, the newest judgement of each kind, and the newest job."""
    store, fleet = bootstrap.record_store(settings), bootstrap.fleet(settings)
    try:
        return {
            model: {
                "champion": store.aliases(model).get(CHAMPION),
                "workers": {str(each.pid): each.version for each in fleet.workers(model)},
                "records": msgspec.to_builtins(store.counts(model)),
                "judged": {kind.value: _judgement(store.results(model, kind, limit=1)) for kind in ResultKind},
                "job": _job(store.jobs(model, limit=1)),
            }
            for model in discover()
        }
    finally:
        store.close()


def _judgement(newest: list[EvaluationResult]) -> dict[str, Any] | None:
    return msgspec.to_builtins(newest[-1]) if newest else None


def _job(newest: list[Job]) -> dict[str, Any] | None:
    return msgspec.to_builtins(newest[0]) if newest else None
