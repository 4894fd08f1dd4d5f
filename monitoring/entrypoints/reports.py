"""What the command line reads from the store: the account of events, and the present state."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, Final

import msgspec

from monitoring.entrypoints.overview import Overview, by_traffic, overview
from monitoring.entrypoints.wording import present, unasked
from services import bootstrap
from services.core.clock import wall_clock
from services.core.ports import RecordStore
from services.core.records import ResultKind
from services.ingest.audit import Account, audit
from services.models.discovery import discover
from services.serving.availability import in_words
from services.settings import Settings

logger = logging.getLogger("bellwether")

PATIENCE_SECONDS: Final = 10.0
"""How long an account waits for the consumers to pass what is on its way; what they have not passed is in flight."""


def event_account(settings: Settings) -> dict[str, Any]:
    """The account of `services.ingest.audit`, JSON-ready."""
    store = bootstrap.record_store_to_read(settings)
    try:
        return _account(settings, store) if settings.event_log_path.is_file() else _account_without_log(settings, store)
    finally:
        store.close()


def _account(settings: Settings, store: RecordStore) -> dict[str, Any]:
    log = bootstrap.event_log_to_read(settings)
    try:
        with closing(bootstrap.passage(settings, store)) as passage:
            passed = passage.passed(patience=PATIENCE_SECONDS)
        account: dict[str, Any] = msgspec.to_builtins(audit(log, store, passed=passed))
        return account
    finally:
        log.close()


def _account_without_log(settings: Settings, store: RecordStore) -> dict[str, Any]:
    """Of a home from which nothing was ever answered; looking makes no log."""
    logger.warning("there is no event log in %s, so there is nothing to account for", settings.home)
    nothing = Account(
        appended=0,
        stored=0,
        dead_lettered=0,
        pruned=0,
        in_flight=0,
        duplicates_stored=store.stored_twice(),
        unaccounted=0,
        examples=[],
    )
    account: dict[str, Any] = msgspec.to_builtins(nothing)
    return account


def status_now(settings: Settings) -> dict[str, Any]:
    """Per model: what serves and on which workers, the newest judgement of each kind, the newest job, why outcomes are
    doubted, and the job whose version waits for a person."""
    return {state.spec.name: _as_json(state) for state in _states(settings)}


def status_lines(settings: Settings) -> list[str]:
    """The same for people: the workers that do not work, a few lines for each model that was ever asked, one for each
    other."""
    states = _states(settings)
    return [*_silent(states), *(line for state in by_traffic(states) for line in _told(state))]


def _states(settings: Settings) -> list[Overview]:
    store, fleet, now = (
        bootstrap.record_store_to_read(settings),
        bootstrap.fleet_to_read(settings),
        bootstrap.clock_of_records(settings)(),
    )
    try:
        return [
            overview(
                spec,
                store=store,
                fleet=fleet,
                counts=store.counts(spec.name),
                results=[
                    result for kind in ResultKind for result in store.results(spec.name, kind, limit=1, until=now)
                ],
                now=now,
                wall_now=wall_clock(),
            )
            for spec in discover().values()
        ]
    finally:
        store.close()


def _as_json(state: Overview) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(
        {
            "champion": state.champion,
            "workers": {str(each.pid): each.version for each in state.workers},
            "silent_workers": {str(each.pid): each.at for each in state.silent},
            "records": state.counts,
            "judged": {kind.value: next(iter(state.of(kind)), None) for kind in ResultKind},
            "job": next(iter(state.jobs), None),
            "doubts": state.doubts,
            "awaiting_approval": state.awaiting_approval,
        }
    )
    return found


def _silent(states: Sequence[Overview]) -> Iterator[str]:
    """A worker serves every model, and is told once."""
    silence = {worker.pid: state.wall_now - worker.at for state in states for worker in state.silent}
    for pid, lasted in silence.items():
        how_long = in_words(lasted.total_seconds())
        yield f"worker {pid} has not shown for {how_long} that it works: it hangs or was stopped"


def _told(state: Overview) -> list[str]:
    if state.unasked:
        return [f"{state.spec.name}: {unasked(state)}"]
    return [f"{state.spec.name}: {present(state).text}", *(f"  {line}" for line in (*_facts(state), *_troubles(state)))]


def _facts(state: Overview) -> Iterator[str]:
    counts = state.counts
    answered = ", ".join(f"{who.replace('_', ' ')} {count:,}" for who, count in sorted(counts.predictions_by.items()))
    yield f"{len(state.workers)} workers, {counts.predictions:,} predictions ({answered}), {counts.outcomes:,} outcomes"
    judged = state.one(ResultKind.PERFORMANCE)
    if counts.pruned:
        yield f"{counts.pruned:,} predictions and outcomes were removed as too old"
    if judged is not None:
        auc, rule = judged.body["auc"], judged.body["rule_auc"]["value"]
        interval = f"{auc['low']:.2f} to {auc['high']:.2f}"
        yield f"AUC of {judged.version} {auc['value']:.2f} ({interval}), rule {rule:.2f}, n {judged.body['n']:,}"
    drift = state.one(ResultKind.DRIFT)
    if drift is not None and (repeated := drift.body.get("repeated_rows")):
        yield f"{repeated:,} of the newest {drift.n:,} answers repeat others to the last digit; drift counts them once"
    if state.jobs:
        yield f"job {state.jobs[0].id} {state.jobs[0].state.value.replace('_', ' ')}: {state.jobs[0].note}"


def _troubles(state: Overview) -> Iterator[str]:
    if state.counts.orphan_outcomes:
        yield f"{state.counts.orphan_outcomes:,} outcomes without a prediction"
    for worker in state.workers:
        if worker.problem:
            yield f"worker {worker.pid} serves {worker.version or 'no version'}: {worker.problem}"
