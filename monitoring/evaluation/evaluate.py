"""One evaluation of one model: what was recorded becomes results.

1. Availability: which features were usable, and who answered.
2. Drift: the newest window against the champion's training reference, and whether it is confirmed.
3. Performance: each version's matured answers against their outcomes.
4. Business: what the answers earned, and what acting on them earned.

A step that fails becomes a FAILED result with its reason; the others go on.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from monitoring.evaluation.availability import availability
from monitoring.evaluation.business import business
from monitoring.evaluation.confirmation import Confirmation, confirm, newest_confirmation
from monitoring.evaluation.drift import SCORE, ColumnDrift, FeatureDrift, Reference, began, drift, has_drifted
from monitoring.evaluation.outcome_checks import Arrivals, Was, answers_of, doubts, in_words_of, too_early
from monitoring.evaluation.performance import by_version, coverage, performance
from monitoring.evaluation.repetition import distinct
from monitoring.evaluation.standing import DOUBTS
from monitoring.evaluation.unknown import Failed, NotEnoughData
from monitoring.evaluation.windows import SAMPLE_LIMIT, Window, matured_window, newest_window
from services.core.ports import RecordStore
from services.core.records import EvaluationResult, Judged, ResultKind, ResultStatus
from services.core.spec import ModelSpec

REMEMBERED: Final = 5
"""Drift results looked at for the state of a confirmation: a few failures in a row do not forget it."""

Outcome = tuple[ResultStatus, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What one evaluation is about. `champion` is None while no version has been promoted."""

    spec: ModelSpec
    store: RecordStore
    champion: str | None
    reference: Callable[[str], Reference]
    now: datetime
    wall_now: datetime

    def rows(self, window: Window) -> list[Judged]:
        found = self.store.judged(self.spec.name, made_from=window.start, made_until=window.end, limit=SAMPLE_LIMIT)
        return in_words_of(self.spec, found)

    def attempt(
        self, kind: ResultKind, window: Window, version: str, n: int, compute: Callable[[], Outcome]
    ) -> EvaluationResult:
        """The result of one step, whatever happens in it."""
        try:
            status, body = compute()
        except Exception as error:  # noqa: BLE001 - the edge of a step: recorded with its reason, and counted
            status, body = ResultStatus.FAILED, Failed(f"{type(error).__name__}: {error}").as_body()
        return EvaluationResult(
            model=self.spec.name,
            version=version,
            kind=kind,
            window_start=window.start,
            window_end=window.end,
            n=n,
            status=status,
            body=body,
            computed_at=self.wall_now,
        )


def evaluate(
    spec: ModelSpec,
    *,
    store: RecordStore,
    champion: str | None,
    reference: Callable[[str], Reference],
    now: datetime,
    wall_now: datetime,
) -> list[EvaluationResult]:
    """Judge `spec`'s model as of `now` (event time); nothing is saved.

    `reference` gives a version's training reference, and is asked for the champion's within the drift step.
    Raises `StoreUnavailable` when the rows cannot be read.
    """
    evaluation = Evaluation(spec=spec, store=store, champion=champion, reference=reference, now=now, wall_now=wall_now)
    newest, matured = newest_window(spec, now), matured_window(spec, now)
    recent_rows, matured_rows = evaluation.rows(newest), evaluation.rows(matured)
    return [
        _availability(evaluation, newest, recent_rows),
        _drift(evaluation, newest, recent_rows),
        *_performances(evaluation, matured, matured_rows),
        _business(evaluation, matured, matured_rows),
    ]


def _availability(evaluation: Evaluation, window: Window, rows: list[Judged]) -> EvaluationResult:
    def compute() -> Outcome:
        if not rows:
            return ResultStatus.NOT_ENOUGH_DATA, NotEnoughData(0, 1, "answers in the window").as_body()
        return ResultStatus.OK, availability(evaluation.spec, rows)

    return evaluation.attempt(ResultKind.AVAILABILITY, window, "", len(rows), compute)


def _drift(evaluation: Evaluation, window: Window, rows: list[Judged]) -> EvaluationResult:
    def compute() -> Outcome:
        if evaluation.champion is None:
            return ResultStatus.NOT_ENOUGH_DATA, NotEnoughData(0, 1, "promoted versions").as_body()
        return _compared(evaluation, evaluation.reference(evaluation.champion), window, rows)

    return evaluation.attempt(ResultKind.DRIFT, window, evaluation.champion or "", len(rows), compute)


def _compared(evaluation: Evaluation, reference: Reference, window: Window, rows: list[Judged]) -> Outcome:
    once = distinct(evaluation.spec, rows, reference=reference.frame)
    columns = drift(evaluation.spec, reference=reference, rows=once.rows)
    features = {name: found for name, found in columns.items() if name != SCORE}
    finds = WindowFinds(evaluation.spec, reference, window, once.rows, _drifted(features))
    earlier = _earlier(evaluation, reference.version)
    confirmation = confirm(evaluation.spec.drift, window=window, found=finds, earlier=earlier)
    body = _drift_body(features, columns[SCORE], confirmation)
    return _drift_status(features), body | {"repeated_rows": once.left_out}


@dataclass(frozen=True, slots=True)
class WindowFinds:
    """See `confirmation.Finds`. `rows` are the window's, oldest first."""

    spec: ModelSpec
    reference: Reference
    window: Window
    rows: Sequence[Judged]
    drifted: Sequence[str]

    def drifted_since(self, name: str, moment: datetime) -> bool:
        rows = [row for row in self.rows if row.prediction.made_at >= moment]
        return has_drifted(self.spec, name, reference=self.reference, rows=rows)

    def began(self, name: str) -> datetime:
        return began(self.spec, name, reference=self.reference, rows=self.rows, window=self.window)


def _earlier(evaluation: Evaluation, version: str) -> Confirmation:
    results = evaluation.store.results(evaluation.spec.name, ResultKind.DRIFT, limit=REMEMBERED, until=evaluation.now)
    return newest_confirmation(evaluation.spec.drift, results, version)


def _drifted(features: dict[str, ColumnDrift]) -> list[str]:
    return [name for name, found in features.items() if isinstance(found, FeatureDrift) and found.drifted]


def _drift_status(features: dict[str, ColumnDrift]) -> ResultStatus:
    """Ok when anything could be compared; else failed if anything failed."""
    kinds = {type(found) for found in features.values()}
    if FeatureDrift in kinds:
        return ResultStatus.OK
    return ResultStatus.FAILED if Failed in kinds else ResultStatus.NOT_ENOUGH_DATA


def _drift_body(features: dict[str, ColumnDrift], score: ColumnDrift, confirmation: Confirmation) -> dict[str, Any]:
    """`drifted` are above their threshold in this window; `confirmed` counts windows in a row.

    The model's score is shown and does not alarm: when the inputs are as in training so are the scores,
    and when they are not the inputs say which.
    """
    return {
        "features": {name: found.as_body() for name, found in features.items()},
        "model_score": score.as_body(),
        "drifted": _drifted(features),
        **confirmation.as_body(),
        "is_new_window": confirmation.is_new,
    }


def _performances(evaluation: Evaluation, window: Window, rows: list[Judged]) -> Iterator[EvaluationResult]:
    """One result per version that answered, the one that answered last at the end; one for "" when none did."""
    for version, answered in (by_version(rows) or {"": []}).items():
        compute = partial(_performance, evaluation, version, answered)
        yield evaluation.attempt(ResultKind.PERFORMANCE, window, version, len(answered), compute)


def _performance(evaluation: Evaluation, version: str, answered: list[Judged]) -> Outcome:
    found, doubted = performance(evaluation.spec, answered), _doubts(evaluation, version, answered)
    if isinstance(found, NotEnoughData):
        counted = {"n_matured": len(answered), "coverage": coverage(answered)}
        return ResultStatus.NOT_ENOUGH_DATA, found.as_body() | counted | doubted
    return ResultStatus.OK, found | doubted


def _doubts(evaluation: Evaluation, version: str, answered: list[Judged]) -> dict[str, Any]:
    """What speaks against the outcomes that the figures rest on; no member where that cannot be known."""
    if early := too_early(answered):
        return {DOUBTS: [early.as_body()]}
    spec, store = evaluation.spec, evaluation.store
    answers = answers_of(spec, answered)
    if not len(answers):
        return {}

    def arrivals() -> Arrivals:
        oldest, newest = answers.made_at[0] - spec.retraining.history, answered[-1].prediction.made_at
        found = store.judged(spec.name, made_from=oldest, made_until=newest, version=version, limit=SAMPLE_LIMIT)
        return Arrivals.of(in_words_of(spec, found))

    was = Was.recorded(store.versions(spec.name), version)
    found = doubts(answers, since=answers.made_at[0], was=was, arrivals=arrivals)
    return {} if isinstance(found, NotEnoughData) else {DOUBTS: [each.as_body() for each in found]}


def _business(evaluation: Evaluation, window: Window, rows: list[Judged]) -> EvaluationResult:
    def compute() -> Outcome:
        found = business(evaluation.spec, rows)
        if isinstance(found, NotEnoughData):
            return ResultStatus.NOT_ENOUGH_DATA, found.as_body()
        return ResultStatus.OK, found

    return evaluation.attempt(ResultKind.BUSINESS, window, "", len(rows), compute)
