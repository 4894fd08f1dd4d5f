"""`bellwether replay`: a CSV of real history becomes live traffic, and its true outcomes judge the answers."""

import io
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pandas as pd

from monitoring.entrypoints.by_hand import first_version_now
from monitoring.entrypoints.check import read, require_fit
from monitoring.entrypoints.up.catching_up import CatchingUp
from monitoring.entrypoints.up.children import Children, await_answer, module
from monitoring.entrypoints.up.home import only_instance
from monitoring.entrypoints.up.stopping import StopAsked, Stopping
from monitoring.evaluation.auc import Estimate, auc_interval
from monitoring.evaluation.drift import drift, reference_of
from monitoring.evaluation.performance import MINIMUM_OF_A_CLASS
from monitoring.evaluation.ranked import Ranked
from monitoring.evaluation.unknown import NotEnoughData
from monitoring.evaluation.windows import SAMPLE_LIMIT
from services import bootstrap, home_settings
from services.adapters.home_lock import HomeLock, use
from services.core.artifacts import REFERENCE_FILE
from services.core.errors import BellwetherError, SettingsError
from services.core.features import Status
from services.core.records import CHAMPION, Judged
from services.core.spec import ModelSpec
from services.entrypoints.access import token_to_send
from services.entrypoints.serve import HOLDING
from services.ingest.audit import audit
from services.models.discovery import spec_of
from services.settings import Settings
from services.traffic.client import PredictionClient, TrafficCounts
from services.traffic.history import CsvRow
from services.traffic.replay import ReplayCounts, left_out, replay_rows, training_cases

NAME: Final = "bellwether replay"
ORIGIN: Final = datetime(2026, 1, 5, tzinfo=UTC)
ROWS_PER_DAY: Final = 200
"""A file without dates gets some: so many rows a day, which only has to be the same for training and replay."""

EVERYBODY: Final = 1.0
"""Nobody can act on history, so everybody is in the control arm and no outcome is weighted."""


def replay_now(
    settings: Settings, flags: dict[str, Any], model: str, *, csv: Path, mapping: Path | None, train_share: float
) -> dict[str, Any]:
    """Train on the first part of the file, send the rest through HTTP, then its outcomes; report what happened.

    Raises:
        MappingError: the file or its mapping does not fit the model, or most of a column was not understood.
        UnfitHistory: the first part holds what was not known at the decisions.
        SettingsError: the home has a champion of the model already.
    """
    spec = spec_of(model)
    fitting, history = read(spec, csv, mapping)
    rows, cut = history.rows, round(len(history.rows) * train_share)
    require_fit(spec, fitting, rows[:cut])
    with _home(flags.pop("home", None)) as (home, lock):
        own = replace(
            settings.with_flags(**flags),
            home=home,
            # What is learned from a file's past is this replay's own, wherever the versions that serve are.
            versions="",
            port=flags.get("port") or _free_port(),
            consumer_port=_free_port(),
            clock_file=str(home / "clock"),
            control_share=EVERYBODY,
        )
        home_settings.keep(own, *home_settings.OF_A_HOME, said=home_settings.OF_A_HOME)
        _require_unused(own, model)
        for sentence in history.warnings:
            _say(f"warning: {sentence}")
        clock = bootstrap.world_clock(own, start=ORIGIN)
        # In a home that has seen a replay before, time goes on where that one ended.
        origin = clock.now()
        cases = training_cases(rows[:cut], spec=spec, origin=origin, rows_per_day=ROWS_PER_DAY)
        unused = left_out(rows[:cut], spec=spec)
        _say(f"training {model} on {len(cases)} complete rows of the first {cut}{_because(unused)}")
        version = first_version_now(own, model, cases)["version"]
        sent, traffic = _send(own, spec, rows[cut:], lock, origin)
        return _report(own, spec, version, sent, traffic, origin=origin) | {
            "left_out_of_training": unused,
            "not_understood": [each.as_body() for each in history.not_understood],
            "replayed_until": clock.now().isoformat(),
        }


def _require_unused(settings: Settings, model: str) -> None:
    store = bootstrap.record_store(settings)
    champion = store.aliases(model).get(CHAMPION)
    store.close()
    if champion is not None:
        raise SettingsError(
            f"{settings.home} has a champion of {model} already ({champion}), and a replay trains the first version;"
            " name another directory with --home, or leave --home out"
        )


def _because(unused: Mapping[str, int]) -> str:
    return f"; left out: {', '.join(f'{count} {reason}' for reason, count in unused.items())}" if unused else ""


def _send(
    settings: Settings, spec: ModelSpec, rows: Sequence[CsvRow], lock: HomeLock, origin: datetime
) -> tuple[ReplayCounts, TrafficCounts]:
    """Serve and consume for as long as the rows take; every event is in the store when this returns.

    Raises `BellwetherError` when it is told to stop meanwhile, once every process has ended.
    """
    stopping = Stopping()
    children = Children(settings, _say, stopping)
    with stopping.listening():
        try:
            with stopping.within():
                url = _started(settings, children, lock)
            counts = stopping.run(_replay(settings, spec, rows, url, origin))
            with stopping.within():
                _all_stored(settings)
        except StopAsked:
            raise BellwetherError("told to stop before the whole file had been sent; start replay again") from None
        finally:
            children.stop()
    return counts


def _started(settings: Settings, children: Children, lock: HomeLock) -> str:
    """The address of the service, which is ready when this returns."""
    serving = [*module("services.entrypoints.serve"), HOLDING, str(lock.descriptor)]
    children.start("serving", serving, handed=[lock.descriptor])
    children.start("consumer", module("services.entrypoints.consumer"))
    url = f"http://{settings.host}:{settings.port}"
    await_answer(f"{url}/readyz", seconds=90, alive=children.revive)
    return url


def _all_stored(settings: Settings) -> None:
    """Returns when every event is in the store."""
    log, store = bootstrap.event_log(settings), bootstrap.record_store(settings)
    CatchingUp(log, store).wait()
    log.close()
    store.close()


async def _replay(
    settings: Settings, spec: ModelSpec, rows: Sequence[CsvRow], url: str, origin: datetime
) -> tuple[ReplayCounts, TrafficCounts]:
    clock = bootstrap.world_clock(settings)
    async with PredictionClient(url, model=spec.name, token=token_to_send(settings)) as client:
        counts = await replay_rows(
            rows,
            client=client,
            clock=clock,
            origin=origin,
            rows_per_day=ROWS_PER_DAY,
            outcome_delay=spec.task.outcome_delay,
            on_progress=_progress,
        )
    return counts, client.counts


def _report(
    settings: Settings, spec: ModelSpec, version: str, sent: ReplayCounts, traffic: TrafficCounts, *, origin: datetime
) -> dict[str, Any]:
    log, store = bootstrap.event_log(settings), bootstrap.record_store(settings)
    found = Replayed(spec)
    for rows in store.judged_in_batches(spec.name, made_from=origin, made_until=origin + timedelta(days=36500)):
        found.add(rows)
    account = audit(log, store)
    recorded = store.manifests(spec.name).get(version, "")
    content = bootstrap.model_store(settings).read(spec.name, version, REFERENCE_FILE, manifest_sha256=recorded)
    reference = reference_of(spec, version, pd.read_parquet(io.BytesIO(content)))
    columns = drift(spec, reference=reference, rows=found.first)
    log.close()
    store.close()
    return {
        "rows_sent": sent.rows_sent,
        **found.as_body(),
        "unanswered": sent.unanswered,
        "drift": {name: column.as_body() for name, column in columns.items()},
        "unmapped": sent.unmapped,
        "values_kept_newer": traffic.kept_newer,
        "failed_requests": traffic.failed + traffic.refused,
        "pruned_events": account.pruned,
        "unaccounted_events": account.unaccounted,
        "p50_ms": _milliseconds(traffic.latencies.quantile(0.5)),
        "p99_ms": _milliseconds(traffic.latencies.quantile(0.99)),
    }


class Replayed:
    """What the recorded answers come to: counts, columns, and the first rows, which drift is judged by."""

    def __init__(self, spec: ModelSpec) -> None:
        self.served_by: Counter[str] = Counter()
        self.outcomes = 0
        self.unavailable: dict[str, dict[str, int]] = {}
        """How often each feature was not ok, by status; features that always were are left out."""
        self.ranked = Ranked(spec)
        self.first: list[Judged] = []

    def add(self, rows: Sequence[Judged]) -> None:
        self.served_by.update(row.prediction.served_by.value for row in rows)
        self.outcomes += sum(row.outcome is not None for row in rows)
        for row in rows:
            self._add_unavailable(row)
        self.ranked.add(rows)
        self.first += rows[: SAMPLE_LIMIT - len(self.first)]

    def as_body(self) -> dict[str, Any]:
        return {
            "predictions": dict(self.served_by) | {"total": self.served_by.total()},
            "unavailable": self.unavailable,
            "outcomes": self.outcomes,
            **_auc(self.ranked),
        }

    def _add_unavailable(self, row: Judged) -> None:
        for name, verdict in row.prediction.features.items():
            if verdict.status is not Status.OK:
                by_status = self.unavailable.setdefault(name, {})
                by_status[verdict.status.value] = by_status.get(verdict.status.value, 0) + 1


def _auc(ranked: Ranked) -> dict[str, Any]:
    """Of the model's own answers, with the interval within which it lies in nine of ten cases.

    Where too few of them have an outcome, `auc` says so in place of a number.
    """
    found = _area(ranked)
    if isinstance(found, NotEnoughData):
        return {"auc": found.as_body(), "auc_interval": None, "auc_rows": len(ranked)}
    return {
        "auc": round(found.value, 4),
        "auc_interval": [round(found.low, 4), round(found.high, 4)],
        "auc_rows": len(ranked),
    }


def _area(ranked: Ranked) -> Estimate | NotEnoughData:
    target = ranked.target
    rarer = int(min(target.sum(), len(target) - target.sum()))
    if rarer < MINIMUM_OF_A_CLASS:
        return NotEnoughData(rarer, MINIMUM_OF_A_CLASS, "of the model's answers have an outcome of the rarer class")
    return auc_interval(target, ranked.score)


@contextmanager
def _home(chosen: Path | None) -> Iterator[tuple[Path, HomeLock]]:
    """The chosen home, or one that is gone afterwards, and its lock."""
    if chosen is None:
        with tempfile.TemporaryDirectory(prefix="bellwether-replay-") as directory, _home(Path(directory)) as own:
            yield own
        return
    with only_instance(chosen, command=NAME) as lock, use(chosen, command=NAME):
        yield chosen.absolute(), lock


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)


def _progress(done: int, total: int) -> None:
    if done == total or done % 400 < 16:
        _say(f"replayed {done} of {total} rows")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
