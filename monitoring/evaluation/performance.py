"""How right the model was, on answers whose truth is known by now.

Every figure weighs its rows with `PredictionMade.weight`: it says what would have happened if nobody had acted.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitoring.evaluation.auc import auc_interval
from monitoring.evaluation.baseline import score_without_model, usable_of
from monitoring.evaluation.unknown import NotEnoughData
from services.core.predictions import ServedBy
from services.core.records import Judged, ResultStatus
from services.core.spec import ModelSpec
from services.core.wording import in_digits

MINIMUM_ROWS: Final = 100
"""With 100 rows the 90 % interval of an AUC of 0.8 is 0.15 wide: fewer could not tell a model from its rule."""

MINIMUM_OF_A_CLASS: Final = 10
"""An AUC compares pairs of one row of each class; with a handful of one class it is about those few rows."""

SLICES_AT_MOST: Final = 12
"""More groups per slice than this leave too few rows in each, and fill the screen."""

CLIP: Final = 1e-6
"""A score of exactly 0 or 1 that turns out wrong costs 14 nats, not infinity."""

Numbers = NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Rows:
    """The judged answers of the model that count, as n-vectors."""

    judged: Sequence[Judged]
    target: Numbers
    score: Numbers
    weight: Numbers

    def where(self, chosen: Sequence[bool]) -> "_Rows":
        mask = np.array(chosen, dtype=bool)
        kept = [row for row, keep in zip(self.judged, chosen, strict=True) if keep]
        return _Rows(kept, self.target[mask], self.score[mask], self.weight[mask])


def by_version(rows: Iterable[Judged]) -> dict[str, list[Judged]]:
    """The model's own answers (the rule's are not) by version, the version that answered last at the end."""
    versions: dict[str, list[Judged]] = {}
    for row in rows:
        if row.prediction.served_by is ServedBy.MODEL:
            versions.setdefault(row.prediction.version, []).append(row)
    return dict(sorted(versions.items(), key=lambda each: each[1][-1].prediction.made_at))


def coverage(rows: Sequence[Judged]) -> float | None:
    """Share of matured answers whose outcome is known; None without any."""
    return sum(row.outcome is not None for row in rows) / len(rows) if rows else None


def performance(spec: ModelSpec, matured: Sequence[Judged]) -> dict[str, Any] | NotEnoughData:
    """The figures of one version from its matured answers (those without an outcome yet included).

    `n` counts rows with an outcome and a weight above 0. Log loss is in nats; the AUC has a 90 % interval.
    The rule is judged on the same rows: it is what every model has to beat.
    """
    rows = _countable(spec, matured)
    if isinstance(lacking := _lacking(rows), NotEnoughData):
        return lacking
    return {
        "n": len(rows.judged),
        "n_matured": len(matured),
        "coverage": coverage(matured),
        "auc": _auc(rows, rows.score),
        "rule_auc": _auc(rows, _rule_scores(spec, rows)),
        "positive_share": float(np.average(rows.target, weights=rows.weight)),
        **_errors(rows),
        **_decisions(spec, rows),
        "slices": {name: _by_slice(name, rows) for name in spec.slices},
    }


def _countable(spec: ModelSpec, matured: Sequence[Judged]) -> _Rows:
    known = [row for row in matured if row.outcome is not None and row.prediction.score is not None]
    judged = [row for row in known if row.prediction.weight > 0]
    return _Rows(
        judged,
        np.array([row.outcome == spec.task.positive for row in judged], dtype=int),
        np.array([row.prediction.score for row in judged], dtype=float),
        np.array([row.prediction.weight for row in judged], dtype=float),
    )


def _lacking(rows: _Rows) -> NotEnoughData | None:
    if len(rows.judged) < MINIMUM_ROWS:
        return NotEnoughData(len(rows.judged), MINIMUM_ROWS, "matured answers with an outcome and a weight")
    rarer = int(min(rows.target.sum(), len(rows.target) - rows.target.sum()))
    if rarer < MINIMUM_OF_A_CLASS:
        return NotEnoughData(rarer, MINIMUM_OF_A_CLASS, "outcomes of the rarer class")
    return None


def _auc(rows: _Rows, score: Numbers) -> dict[str, float]:
    return auc_interval(rows.target, score, rows.weight)._asdict()


def _errors(rows: _Rows) -> dict[str, float]:
    sure = np.clip(rows.score, CLIP, 1 - CLIP)
    nats = -np.where(rows.target == 1, np.log(sure), np.log1p(-sure))
    return {
        "log_loss": float(np.average(nats, weights=rows.weight)),
        "brier": float(np.average((rows.score - rows.target) ** 2, weights=rows.weight)),
    }


def _decisions(spec: ModelSpec, rows: _Rows) -> dict[str, float | None]:
    """Precision and recall of the label that the spec gives to a score of 1."""
    positive = spec.decide(1.0).label
    said = np.array([row.prediction.label == positive for row in rows.judged])
    right = float(rows.weight[said & (rows.target == 1)].sum())
    claimed, true = float(rows.weight[said].sum()), float(rows.weight[rows.target == 1].sum())
    return {"precision": right / claimed if claimed else None, "recall": right / true if true else None}


def _rule_scores(spec: ModelSpec, rows: _Rows) -> Numbers:
    return np.array([score_without_model(spec, usable_of(row)) for row in rows.judged])


def _by_slice(name: str, rows: _Rows) -> dict[str, Any]:
    groups = [_group(row, name) for row in rows.judged]
    largest = [group for group, _ in Counter(groups).most_common(SLICES_AT_MOST)]
    return {group: _slice(rows.where([each == group for each in groups])) for group in sorted(largest)}


def _slice(rows: _Rows) -> dict[str, Any]:
    if isinstance(lacking := _lacking(rows), NotEnoughData):
        return lacking.as_body()
    return {"status": ResultStatus.OK.value, "n": len(rows.judged), "auc": _auc(rows, rows.score)}


def _group(row: Judged, name: str) -> str:
    verdict = row.prediction.features.get(name)
    usable = None if verdict is None else verdict.usable
    if usable is None:
        return "unavailable"
    return usable if isinstance(usable, str) else in_digits(usable)
