"""The monitor's round: judge every model whose event time has moved, keep what lasts, tell the lifecycle.

Results that last go into the store. In between the newest ones are refreshed in memory, for the gauges. Models are
judged beside one another: one whose judgement takes long holds up no other.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Final

from monitoring.evaluation.alert import drift_alert
from monitoring.evaluation.evaluate import evaluate
from monitoring.evaluation.judges import Judges, Work
from monitoring.evaluation.references import References
from monitoring.evaluation.report import drift_report
from monitoring.evaluation.report_files import ReportFiles
from monitoring.evaluation.unknown import NotEnoughData
from monitoring.evaluation.windows import SAMPLE_LIMIT, is_due, is_kept, newest_window
from services.core.clock import EPOCH, Now
from services.core.errors import BellwetherError
from services.core.ports import RecordStore
from services.core.records import CHAMPION, EvaluationResult, ResultKind, ResultStatus
from services.core.spec import ModelSpec

logger = logging.getLogger("bellwether.monitor")

Observe = Callable[[ModelSpec, list[EvaluationResult]], None]
HandOver = Callable[[dict[str, Any], datetime, RecordStore], object]

REDRAWN_AFTER: Final = 10.0
"""Seconds for which who asks for a report gets the last one: drawing takes two to four of one processor."""

KEPT_AT_ONCE: Final = 20
"""Results of one kind that one evaluation may have kept: performance has one for each version in its window."""


@dataclass
class Monitor:
    """Judges and hands over. `round` belongs to one thread; `newest` and the reports may be called from any.

    Args:
        store: what is read.
        references: of the champions that are judged.
        desk: where the results of a model are written; None while another process judges it.
        hand_over: takes an Alertmanager payload to the lifecycle, with the event time and the desk.
        observe: told every evaluation's results, for the gauges.
        forget: told of a model that another process judges from now on.
        unknown: told of a model each time that it could not be judged.
    """

    specs: Mapping[str, ModelSpec]
    store: RecordStore
    desk: Callable[[str], RecordStore | None]
    references: References
    files: ReportFiles
    now: Now
    wall_now: Now
    hand_over: HandOver
    observe: Observe
    forget: Callable[[str], object]
    unknown: Callable[[str], object] = lambda _: None
    judges: Judges = field(default_factory=Judges)
    timer: Callable[[], float] = time.monotonic
    _newest: dict[str, list[EvaluationResult]] = field(default_factory=dict)
    _kept_until: dict[str, datetime] = field(default_factory=dict)
    _reports: dict[str, Future[Path | NotEnoughData]] = field(default_factory=dict)
    _drawn_at: dict[str, float] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)
    # One at a time: a report takes seconds of one processor, and the evaluation must not wait for it.
    _reporter: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "report"))

    def newest(self, model: str) -> list[EvaluationResult]:
        """The results of the last evaluation, of every kind, or the last that were kept; empty before the first."""
        return self._newest.get(model) or self._last_kept(model)

    def round(self) -> None:
        """Judge each model that is due and this process's. One's trouble with the store does not stop the others.

        Returns when they are judged; what takes longer than the others wait for goes on behind it.
        """
        self.judges.run(self._due())

    def _due(self) -> Iterator[Work]:
        """Those judged longest ago first: where not all can be judged, each gets its turn."""
        for spec in sorted(self.specs.values(), key=lambda spec: self._judged_until(spec.name) or EPOCH):
            if self.judges.is_busy_with(spec.name):
                continue
            desk = self.desk(spec.name)
            if desk is None:
                self._leave(spec)
            elif is_due(spec, judged_until=self._judged_until(spec.name), now=self.now()):
                yield spec.name, partial(self._judge_alone, spec, desk)

    def _judge_alone(self, spec: ModelSpec, desk: RecordStore) -> None:
        try:
            self.judge(spec, self.now(), desk)
        except BellwetherError as error:
            self.unknown(spec.name)
            logger.warning("%s could not be judged: %s", spec.name, error)
        except Exception:
            # The edge of a thread: nobody else would hear of it.
            self.unknown(spec.name)
            logger.exception("judging %s failed; trying again", spec.name)

    def judge(self, spec: ModelSpec, now: datetime, desk: RecordStore) -> None:
        """1. Evaluate. 2. Keep. 3. Hand a confirmed drift over. 4. Draw it, once per onset. 5. Show."""
        results = evaluate(
            spec,
            store=self.store,
            champion=self.store.aliases(spec.name).get(CHAMPION),
            reference=lambda version: self.references.of(spec, version),
            now=now,
            wall_now=self.wall_now(),
        )
        (drift,) = (result for result in results if result.kind is ResultKind.DRIFT)
        begins = _confirmed(drift) and not self._was_confirmed(spec, drift.version, now)
        self._keep(spec, results, drift, now, desk)
        if payload := drift_alert(spec, drift):
            self.hand_over(payload, now, desk)
        if begins:
            self.report_soon(spec)
        self._newest[spec.name] = results
        self.observe(spec, results)

    def report_soon(self, spec: ModelSpec) -> "Future[Path | NotEnoughData]":
        """Draw the newest window against the champion's reference; those who ask meanwhile get the same report."""
        with self._lock:
            under_way = self._reports.get(spec.name)
            if under_way is None or under_way.done():
                under_way = self._reports[spec.name] = self._reporter.submit(self._report, spec)
                self._drawn_at.pop(spec.name, None)
                under_way.add_done_callback(_log_failure)
            return under_way

    def report_lately(self, spec: ModelSpec) -> "Future[Path | NotEnoughData]":
        """As `report_soon`, for callers, of whom there may be many: the last one for a while after it was drawn."""
        with self._lock:
            last, drawn_at = self._reports.get(spec.name), self._drawn_at.get(spec.name)
        if last is not None and drawn_at is not None and self.timer() - drawn_at < REDRAWN_AFTER:
            return last
        return self.report_soon(spec)

    def close(self) -> None:
        """End once the judgements and the report under way are written; reports that wait are dropped."""
        self.judges.close()
        self._reporter.shutdown(wait=True, cancel_futures=True)

    def _report(self, spec: ModelSpec) -> Path | NotEnoughData:
        try:
            return self._written(spec)
        finally:
            self._drawn_at[spec.name] = self.timer()

    def _written(self, spec: ModelSpec) -> Path | NotEnoughData:
        champion = self.store.aliases(spec.name).get(CHAMPION)
        if champion is None:
            return NotEnoughData(0, 1, "promoted versions")
        now = self.now()
        window = newest_window(spec, now)
        rows = self.store.judged(spec.name, made_from=window.start, made_until=window.end, limit=SAMPLE_LIMIT)
        html = drift_report(spec, reference=self.references.of(spec, champion), rows=rows)
        return html if isinstance(html, NotEnoughData) else self.files.add(spec.name, at=now, html=html)

    def _keep(
        self,
        spec: ModelSpec,
        results: list[EvaluationResult],
        drift: EvaluationResult,
        now: datetime,
        desk: RecordStore,
    ) -> None:
        """Save what is due, and every window that counts towards a confirmation: the store remembers the streak."""
        if drift.body.get("is_new_window") or is_kept(spec, kept_until=self._kept_until.get(spec.name), now=now):
            desk.save_results(results)
            self._kept_until[spec.name] = now

    def _judged_until(self, model: str) -> datetime | None:
        newest = [result for result in self._newest.get(model, []) if result.kind is ResultKind.AVAILABILITY]
        return newest[0].window_end if newest else None

    def _leave(self, spec: ModelSpec) -> None:
        """Nothing freezes at what this process last found; another goes on from what the store holds."""
        if self._newest.pop(spec.name, None) is not None:
            self._kept_until.pop(spec.name, None)
            self.forget(spec.name)

    def _last_kept(self, model: str) -> list[EvaluationResult]:
        now = self.now()
        kept = [
            result for kind in ResultKind for result in self.store.results(model, kind, limit=KEPT_AT_ONCE, until=now)
        ]
        newest = max((result.computed_at for result in kept), default=None)
        return [result for result in kept if result.computed_at == newest]

    def _was_confirmed(self, spec: ModelSpec, version: str, now: datetime) -> bool:
        earlier = self.store.results(spec.name, ResultKind.DRIFT, limit=1, until=now)
        return bool(earlier) and earlier[-1].version == version and _confirmed(earlier[-1])


def _confirmed(drift: EvaluationResult) -> bool:
    return drift.status is ResultStatus.OK and bool(drift.body["confirmed"])


def _log_failure(future: "Future[Path | NotEnoughData]") -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        logger.warning("a report could not be drawn: %s: %s", type(error).__name__, error)
