"""The monitor's process: evaluation rounds, and the monitor's HTTP beside them.

The rounds have the main thread, which is where signals arrive; the server has one of its own, so that a long
calculation never keeps a probe waiting for longer than it takes Python to switch threads.
"""

import logging
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from monitoring.entrypoints.http import MonitorHttp
from monitoring.entrypoints.tenure import Tenure
from monitoring.evaluation.monitor import Monitor
from monitoring.evaluation.references import CalibrationCache, References
from monitoring.evaluation.report_files import ReportFiles
from monitoring.lifecycle.alerts import Receipt, Result, intake
from monitoring.lifecycle.promote import awaiting, promotions, rollbacks
from monitoring.metrics import MonitorMetrics, Observed
from services import bootstrap, home_settings
from services.adapters.home_lock import use
from services.core.clock import wall_clock
from services.core.errors import PortTaken, SettingsError
from services.core.ports import RecordStore
from services.core.records import EvaluationResult
from services.core.spec import ModelSpec
from services.entrypoints.access import access_of_monitor
from services.entrypoints.listening import bound_socket, serving
from services.entrypoints.processes import log_to_stderr, opened, stop_on_signals
from services.models.discovery import discover
from services.settings import ALERTMANAGER, MONITOR, Settings, variable_of

logger = logging.getLogger("bellwether.monitor")

NAME: Final = "bellwether evaluate"
JOBS_COUNTED: Final = 1000


def run_evaluator(settings: Settings, *, once: bool = False) -> int:
    """Judge every model whenever its event time has moved, until the process is told to stop.

    Raises:
        SettingsError: nobody would hand drift over to the lifecycle, others than this machine would need no token, or
            the home keeps its records somewhere else.
        PortTaken: the monitor's port is in use (not with `once`, which serves nothing).
        AlreadyRunning: the home's files are being moved away.
    """
    log_to_stderr()
    _require_a_way_for_drift(settings)
    access_of_monitor(settings, "monitor_host")
    with use(settings.home, command=NAME):
        settings = home_settings.of_home(settings, *home_settings.OF_JUDGING)
        with home_settings.beside_others(settings, command=NAME):
            return _evaluate(settings, once=once)


def _evaluate(settings: Settings, *, once: bool) -> int:
    stop = stop_on_signals()
    store = opened(lambda: bootstrap.record_store(settings), stop=stop, patient=not once)
    if store is None:
        return 0
    home_settings.keep(settings, *home_settings.OF_JUDGING)
    # What is judged when the process is told to stop is kept before its lease goes to another.
    with _parts(settings, store) as parts, parts.tenure, closing(parts.monitor):
        if once:
            parts.monitor.round()
            return 0
        with serving(parts.http.app(), _bound(settings)):
            logger.info("http://%s:%d judges %s", settings.monitor_host, settings.monitor_port, ", ".join(discover()))
            while not stop.is_set():
                parts.monitor.round()
                stop.wait(settings.evaluate_seconds)
    return 0


def _require_a_way_for_drift(settings: Settings) -> None:
    if settings.drift_alerts not in {MONITOR, ALERTMANAGER}:
        raise SettingsError(
            f"{variable_of('drift_alerts')} is {settings.drift_alerts!r}; expected {MONITOR} or {ALERTMANAGER}"
        )
    if settings.drift_alerts == ALERTMANAGER and not settings.alert_token:
        raise SettingsError(
            f"{variable_of('drift_alerts')} is {ALERTMANAGER}, whose deliveries this monitor would all refuse: set "
            f"{variable_of('alert_token')}, and give Alertmanager the same"
        )


@dataclass(frozen=True, slots=True)
class _Parts:
    monitor: Monitor
    http: MonitorHttp
    tenure: Tenure


@contextmanager
def _parts(settings: Settings, store: RecordStore) -> Iterator[_Parts]:
    """Everything that the process is made of, from the settings; the store is closed at the end."""
    specs, now, metrics = discover(), bootstrap.clock(settings), MonitorMetrics()

    tenure = Tenure(store, work="evaluation", models=specs, lasts=timedelta(seconds=settings.lease_seconds))

    def desk(model: str) -> RecordStore | None:
        lease = tenure.lease_of(model)
        return None if lease is None else store.fenced(lease)

    def take_in(payload: Mapping[str, Any], moment: datetime) -> Sequence[Receipt]:
        return intake(payload, store=store, specs=specs, now=moment)

    def hand_over(payload: Mapping[str, Any], moment: datetime, desk: RecordStore) -> None:
        for receipt in intake(payload, store=desk, specs=specs, now=moment):
            metrics.alert(receipt.result, receipt.code)
            # A drift that lasts is handed over again and again; that it was ignored again is no news.
            news = logging.DEBUG if receipt.result is Result.IGNORED else logging.INFO
            logger.log(news, "drift alert %s: %s", receipt.result, receipt.reason)

    monitor = Monitor(
        specs=specs,
        store=store,
        desk=desk,
        references=References(
            bootstrap.model_store(settings), CalibrationCache(settings.calibration_directory), recorded=store.manifests
        ),
        files=ReportFiles(settings.report_directory, settings.reports_kept),
        now=now,
        wall_now=wall_clock,
        hand_over=hand_over if settings.drift_alerts == MONITOR else _leave_it,
        observe=lambda spec, results: metrics.observe(spec.name, _observed(spec, store, results)),
        forget=metrics.forget,
        unknown=metrics.not_observed,
    )
    http = MonitorHttp(
        specs=specs,
        monitor=monitor,
        store=store,
        fleet=bootstrap.fleet(settings),
        metrics=metrics,
        intake=take_in,
        now=now,
        wall_now=wall_clock,
        alert_token=settings.alert_token,
        body_limit=settings.body_limit,
        access=access_of_monitor(settings, "monitor_host"),
    )
    try:
        yield _Parts(monitor, http, tenure)
    finally:
        monitor.close()
        store.close()


def _leave_it(_payload: Mapping[str, Any], _moment: datetime, _desk: RecordStore) -> None:
    """Prometheus sees the gauge, and Alertmanager comes with it."""


def _observed(spec: ModelSpec, store: RecordStore, results: list[EvaluationResult]) -> Observed:
    jobs, changes = store.jobs(spec.name, limit=JOBS_COUNTED), store.alias_changes(spec.name)
    return Observed(
        results,
        store.aliases(spec.name),
        jobs,
        store.counts(spec.name),
        spec.objectives,
        rollbacks=rollbacks(changes),
        awaiting_approval=int(awaiting(jobs, changes) is not None),
        promotions=promotions(changes),
    )


def _bound(settings: Settings) -> socket.socket:
    """The listening socket."""
    try:
        return bound_socket(settings.monitor_host, settings.monitor_port)
    except OSError as error:
        raise PortTaken(
            f"cannot listen on {settings.monitor_host}:{settings.monitor_port} ({error.strerror}); stop what does, "
            f"or choose another with --monitor-port or {variable_of('monitor_port')}"
        ) from error


if __name__ == "__main__":
    sys.exit(run_evaluator(Settings.from_environment()))
