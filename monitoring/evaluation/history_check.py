"""May a historic file be trained on? Every refusal and warning is a sentence with its numbers. Pure.

What could not be checked is said as well: a file without times is not one whose times are in order.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from monitoring.evaluation.history_facts import FeatureFacts, feature_facts
from monitoring.evaluation.point_in_time import (
    NOTHING,
    TIMES_NEEDED,
    HistoricRow,
    Shared,
    before_the_row_above,
    decided_after_outcome,
    decided_before_start,
)
from monitoring.evaluation.separation import GIVES_AWAY, SUSPICIOUS, Separation
from monitoring.evaluation.unknown import NotEnoughData
from services.core.spec import ModelSpec, Unavailable
from services.serving.availability import in_words

TOO_ROUGH: Final = "because their times are days without hours; give hours and minutes"


class Verdict(StrEnum):
    """From the worst on. A feature that could not be checked in full is never OK, nor merely warned about."""

    REFUSED = "refused"
    NOT_ENOUGH_DATA = "not_enough_data"
    WARNED = "warned"
    OK = "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """`refusals` and `warnings` are whole sentences; `unchecked` are reasons, without the feature's name."""

    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        if self.refusals:
            return Verdict.REFUSED
        if self.unchecked:
            return Verdict.NOT_ENOUGH_DATA
        return Verdict.WARNED if self.warnings else Verdict.OK


@dataclass(frozen=True, slots=True)
class FeatureCheck:
    facts: FeatureFacts
    findings: Findings

    def as_body(self) -> dict[str, Any]:
        return {
            "verdict": self.findings.verdict.value,
            **self.facts.as_body(),
            "unchecked": list(self.findings.unchecked),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryCheck:
    """A file of `n` rows. `outcomes` counts them by class; `whole` is what was found about the rows as they are."""

    model: str
    n: int
    outcomes: dict[str, int]
    whole: Findings
    features: tuple[FeatureCheck, ...]

    @property
    def refusals(self) -> tuple[str, ...]:
        return (*self.whole.refusals, *(each for one in self.features for each in one.findings.refusals))

    @property
    def warnings(self) -> tuple[str, ...]:
        return (*self.whole.warnings, *(each for one in self.features for each in one.findings.warnings))

    @property
    def unchecked(self) -> dict[str, list[str]]:
        """The features that each reason kept from being checked."""
        found: dict[str, list[str]] = {}
        for one in self.features:
            for reason in one.findings.unchecked:
                found.setdefault(reason, []).append(one.facts.feature.name)
        return found

    @property
    def verdict(self) -> Verdict:
        verdicts = {self.whole.verdict, *(each.findings.verdict for each in self.features)}
        return next(each for each in Verdict if each in verdicts)

    def as_body(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "verdict": self.verdict.value,
            "n": self.n,
            "outcomes": self.outcomes,
            "refusals": list(self.refusals),
            "warnings": list(self.warnings),
            "unchecked": self.unchecked,
            "features": {each.facts.feature.name: each.as_body() for each in self.features},
        }


def check_history(
    spec: ModelSpec, rows: Sequence[HistoricRow], *, shared: Mapping[str, Shared] = MappingProxyType({})
) -> HistoryCheck:
    """Judge every feature of the spec; `shared` has those that are read from columns of the row itself."""
    facts = [feature_facts(spec, each, rows, shared.get(each.name, NOTHING)) for each in spec.features]
    return HistoryCheck(
        model=spec.name,
        n=len(rows),
        outcomes={name: sum(row.outcome == name for row in rows) for name in spec.task.classes},
        whole=Findings(refusals=tuple(_outcome_refusals(spec, rows)), warnings=tuple(_order_warnings(spec, rows))),
        features=tuple(FeatureCheck(each, _findings(spec, each, rows)) for each in facts),
    )


def percent(share: float) -> str:
    """A share in [0, 1] for people; what is neither none nor all is rounded to neither."""
    for digits in (0, 1, 2):
        text = f"{100 * share:.{digits}f}"
        if share in (0.0, 1.0) or 0.0 < float(text) < 100.0:
            return f"{text} %"
    return "under 0.01 %" if share < 0.5 else "over 99.99 %"


def _findings(spec: ModelSpec, facts: FeatureFacts, rows: Sequence[HistoricRow]) -> Findings:
    subject = f"{spec.name}: '{facts.feature.name}'"
    return Findings(
        refusals=tuple(f"{subject} {each}" for each in (*_giving_away(facts), *_too_late(facts))),
        warnings=tuple(f"{subject} {each}" for each in (*_doubtful(facts), *_unusable(facts))),
        unchecked=tuple(_unchecked(facts, rows)),
    )


def _outcome_refusals(spec: ModelSpec, rows: Sequence[HistoricRow]) -> Iterator[str]:
    compared, known_before = decided_after_outcome(rows)
    if known_before:
        share = percent(known_before / compared)
        yield (
            f"{spec.name}: the outcome is known before the decision in {share} of rows; such rows decide nothing: "
            "take them out, or say in time_format that midnights stand for days, where they do"
        )


def _order_warnings(spec: ModelSpec, rows: Sequence[HistoricRow]) -> Iterator[str]:
    decided, before = before_the_row_above(rows)
    if before:
        yield (
            f"{spec.name}: {percent(before / decided)} of rows were decided before one further up in the file; replay "
            f"trains on the first part, so sort the rows by decided_at"
        )
    started, before = decided_before_start(rows)
    if before:
        yield (
            f"{spec.name}: {percent(before / started)} of rows were decided before their entity began (started_at), so "
            "what is known some time after that is too early in them; see that both times are read as they were meant"
        )


def _giving_away(facts: FeatureFacts) -> Iterator[str]:
    """The outcome's own column is not measured on top: that it separates the classes says nothing more."""
    if facts.is_outcome:
        yield "is the outcome itself: it is read from the outcome's column; take it out of the model"
    elif isinstance(facts.alone, Separation) and facts.alone.auc >= GIVES_AWAY:
        yield (
            f"gives the outcome away: alone it tells the classes apart with AUC {facts.alone.auc:.3f} in "
            f"{facts.alone.n} rows (limit {GIVES_AWAY:g}); it is the outcome or derived from it"
        )


def _too_late(facts: FeatureFacts) -> Iterator[str]:
    times = facts.timing
    if times.lead is not None:
        yield (
            f"is known {in_words(times.lead.total_seconds())} after the decision in {percent(times.late / times.n)} "
            f"of rows; leave it blank in those, or take it as it was at the decision"
        )
    if times.after_outcome:
        share = percent(times.after_outcome / times.against_outcomes)
        yield f"is observed when the outcome is known or later in {share} of rows, so it can hold the answer"


def _doubtful(facts: FeatureFacts) -> Iterator[str]:
    if isinstance(facts.alone, Separation) and SUSPICIOUS <= facts.alone.auc < GIVES_AWAY:
        yield (
            f"alone tells the classes apart with AUC {facts.alone.auc:.3f} in {facts.alone.n} rows; "
            f"make sure that it is not derived from the outcome"
        )


def _unusable(facts: FeatureFacts) -> Iterator[str]:
    """What serving would not let the model see."""
    times, limit = facts.timing, facts.feature.max_age
    if times.unsure and times.dated - times.unsure >= TIMES_NEEDED:
        yield f"may be known after the decision in {percent(times.unsure / times.dated)} of rows, {TOO_ROUGH}"
    if times.stale and limit is not None:
        age = in_words(limit.total_seconds())
        yield f"is older than {age} at the decision in {percent(times.stale / times.dated)} of rows"
    if facts.invalid:
        yield f"is invalid in {percent(facts.invalid / facts.n)} of rows"
    # A gap in an optional feature is what the model was made for.
    if facts.missing and facts.feature.if_unavailable is not Unavailable.OPTIONAL:
        yield f"is missing in {percent(facts.missing / facts.n)} of rows"
    if TIMES_NEEDED <= times.dated < facts.values:
        yield f"has no time, or its decision has none, in {percent(1 - times.dated / facts.values)} of its values"


def _unchecked(facts: FeatureFacts, rows: Sequence[HistoricRow]) -> Iterator[str]:
    if facts.timing.dated < TIMES_NEEDED:
        yield f"known at the decision: {_lacking_times(facts, rows)}"
    elif facts.timing.dated - facts.timing.unsure < TIMES_NEEDED:
        yield f"known at the decision: that cannot be told, {TOO_ROUGH}"
    elif facts.feature.known_after is not None and not any(row.started_at for row in rows):
        yield "known so soon after the entity's start: no row says when that was (started_at)"
    if isinstance(facts.alone, NotEnoughData):
        yield f"derived from the outcome: {facts.alone.as_body()['reason']}"


def _lacking_times(facts: FeatureFacts, rows: Sequence[HistoricRow]) -> str:
    if not any(row.decided_at for row in rows):
        return "no row says when it was decided (decided_at)"
    if not any(facts.feature.name in row.observed_at for row in rows):
        return "no value has its own time (observed_at)"
    return f"{facts.timing.dated} values with a time, {TIMES_NEEDED} needed"
