"""A monitor and a lifecycle of the toy model as one process: `python -m tests.faults.attending_toy`.

Those of the commands attend to the models that are discovered, and the toy is none of them.
"""

from typing import Final

from monitoring.entrypoints.lifecycle import Attendance, tenure_of, workshop_of
from monitoring.evaluation.monitor import Monitor
from monitoring.evaluation.references import CalibrationCache, References
from monitoring.evaluation.report_files import ReportFiles
from monitoring.lifecycle.retention import Upkeep
from services import bootstrap
from services.core.clock import wall_clock
from services.core.ports import RecordStore
from services.entrypoints.processes import log_to_stderr, serve_metrics, stop_on_signals
from services.settings import Settings
from tests.toy import toy_spec

SPEC: Final = toy_spec()


def main() -> None:
    log_to_stderr()
    settings, stop = Settings.from_environment(), stop_on_signals()
    store = bootstrap.record_store(settings)
    with workshop_of(settings, store, print) as workshop, tenure_of(settings, store, ["toy"]) as tenure:
        attendance = Attendance(workshop, tenure, Upkeep(bootstrap.retention(settings), ("toy",)))
        monitor = _monitor(settings, store)
        serve_metrics(attendance.metrics.registry, settings, "lifecycle_port")
        while not stop.wait(settings.lifecycle_seconds):
            attendance.attend(SPEC)
            monitor.round()
        monitor.close()


def _monitor(settings: Settings, store: RecordStore) -> Monitor:
    return Monitor(
        specs={"toy": SPEC},
        store=store,
        desk=lambda _: store,
        references=References(bootstrap.model_store(settings), CalibrationCache(settings.calibration_directory)),
        files=ReportFiles(settings.report_directory, settings.reports_kept),
        now=bootstrap.clock(settings),
        wall_now=wall_clock,
        hand_over=lambda _payload, _now, _desk: None,
        observe=lambda _spec, _results: None,
        forget=lambda _: None,
    )


if __name__ == "__main__":
    main()
