"""One retraining: doubt the outcomes, snapshot, train, gate, register, promote. Each step is a call, in this order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from monitoring.evaluation.baseline import decision_without_model
from monitoring.evaluation.outcome_checks import Doubt, Kind
from monitoring.evaluation.standing import CHECKED_UNTIL, DOUBTS, SAID_BY
from monitoring.evaluation.unknown import NotEnoughData
from monitoring.lifecycle.gate import Changed, Scores, Verdict, changed, judge
from monitoring.lifecycle.outcomes import doubts_of_outcomes
from monitoring.lifecycle.packaging import Package, package
from monitoring.lifecycle.promote import promote
from monitoring.lifecycle.scoring import Unscorable, scores, scores_of_rule, scores_of_version, without_gaps
from monitoring.lifecycle.training_set import Asked, Snapshot, asked_lately, keep, past_rows, served_rows
from services.core.artifacts import encoded, sha256_of
from services.core.clock import Now
from services.core.ports import Fleet, ModelStore, RecordStore
from services.core.records import CHAMPION, JobState, VersionRecord
from services.core.spec import Decision, ModelSpec
from services.core.training import TrainingSet
from services.core.world import PastCase


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What a retraining works with. `now` is event time; `say` hears of each step.

    `looked_at` is when each waiting job was last looked at, by its id. It ends with the process: a job more to count.
    """

    store: RecordStore
    models: ModelStore
    fleet: Fleet
    now: Now
    training_directory: Path
    say: Callable[[str], None]
    looked_at: dict[int, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrained:
    """How it ended. `version` is the registered version, "" when there is none; `evidence` is JSON-ready.

    `state` is WAITING where nothing was trained, because too little is known yet.
    """

    state: JobState
    version: str = ""
    reasons: tuple[str, ...]
    evidence: dict[str, Any]

    @property
    def promoted(self) -> bool:
        return self.state is JobState.PROMOTED

    @property
    def note(self) -> str:
        return "; ".join(self.reasons)


def retrain(
    spec: ModelSpec, workshop: Workshop, *, since: datetime, as_of: datetime, trigger: str, believed: bool = False
) -> Retrained:
    """Train on the answers made since `since` that have matured by `as_of`, and promote what passes the gate.

    Outcomes that cannot be true teach nothing, and judge nothing, unless a person `believed` them. A version that would
    tell most callers something else is registered and waits for a person.

    Raises:
        TooFewRows: the rows are of one class, or there are none.
        NotServable: the trained estimator has no served form.
    """
    found = None if believed else _checked(spec, workshop, since, as_of)
    if isinstance(found, NotEnoughData):
        return _unchecked(found)
    looked = {} if found is None else _looked(spec, found, as_of)
    if found:
        return _stopped(found, spec, looked)
    rows = served_rows(spec, workshop.store, made_from=since, now=as_of)
    candidate, verdict = _made(spec, workshop, rows, trigger=trigger, believed=believed)
    if verdict.doubted:
        doubt = Doubt(Kind.INVERTED, since, verdict.reasons[0], {SAID_BY: candidate.manifest.version})
        return _stopped([doubt], spec, verdict.evidence | _looked(spec, [doubt], as_of))
    verdict = replace(verdict, evidence=verdict.evidence | looked)
    if not verdict.promoted:
        return Retrained(state=JobState.REFUSED, reasons=verdict.reasons, evidence=verdict.evidence)
    return _judged(spec, workshop, candidate, verdict, as_of=as_of)


def first_version(spec: ModelSpec, workshop: Workshop, *, cases: Sequence[PastCase]) -> Retrained:
    """Train on cases from before the service existed. Raises like `retrain`."""
    candidate, verdict = _made(spec, workshop, past_rows(spec, cases), trigger="first version", believed=False)
    for warning in verdict.evidence.get("warnings", ()):
        workshop.say(f"{spec.name}: {warning}")
    if not verdict.promoted:
        return Retrained(state=JobState.REFUSED, reasons=verdict.reasons, evidence=verdict.evidence)
    return _promoted(spec, workshop, candidate, verdict)


def _checked(
    spec: ModelSpec, workshop: Workshop, since: datetime, as_of: datetime
) -> tuple[Doubt, ...] | NotEnoughData | None:
    return doubts_of_outcomes(
        spec,
        workshop.store,
        since=since,
        now=as_of,
        score_champion=lambda features: _champion_scores(spec, workshop, features),
    )


def _unchecked(found: NotEnoughData) -> Retrained:
    reason = f"whether its outcomes can be believed is not known: {found.as_body()['reason']}"
    return Retrained(state=JobState.WAITING, reasons=(reason,), evidence={"reasons": [reason]})


def _looked(spec: ModelSpec, found: Sequence[Doubt], as_of: datetime) -> dict[str, Any]:
    """Evidence that outcomes were looked at, and what was found: a doubt ends where a later look finds none."""
    until = as_of - spec.task.outcome_delay
    return {DOUBTS: [each.as_body() for each in found], CHECKED_UNTIL: until.isoformat()}


def _stopped(found: Sequence[Doubt], spec: ModelSpec, evidence: dict[str, Any]) -> Retrained:
    remedy = (
        "nothing is learnt from them; look at the feed of outcomes and send the right ones again, or, if they are "
        f'true: `bellwether retrain {spec.name} --believe-outcomes "why"`'
    )
    reasons = (*(each.reason for each in found), remedy)
    return Retrained(
        state=JobState.OUTCOMES_DOUBTED,
        reasons=reasons,
        evidence=evidence | {"reasons": list(reasons)},
    )


def _made(
    spec: ModelSpec, workshop: Workshop, rows: pd.DataFrame, *, trigger: str, believed: bool
) -> tuple[Package, Verdict]:
    """A candidate and what the gate says, with everything in its evidence that is known of the candidate."""
    snapshot = _snapshot(spec, workshop, rows)
    training, held_out = snapshot.split(spec)
    candidate = _train(spec, workshop, snapshot, training)
    verdict = _gate(spec, workshop, candidate, held_out, believed=believed)
    if not verdict.promoted:
        workshop.say(f"{spec.name}: the gate refused it: {'; '.join(verdict.reasons)}")
    told = {"trigger": trigger, "training_set": snapshot.path.name} | candidate.told
    return candidate, replace(verdict, evidence=verdict.evidence | told)


def _judged(spec: ModelSpec, workshop: Workshop, candidate: Package, verdict: Verdict, *, as_of: datetime) -> Retrained:
    """Promoted, or waiting for a person where callers would be told too much that is new."""
    asked = asked_lately(spec, workshop.store, now=as_of)
    if not asked.entities:
        return _promoted(spec, workshop, candidate, verdict)
    if not asked.enough:
        return _waiting(spec, workshop, candidate, verdict, why=_unknown(asked))
    found = _changed_answers(spec, workshop, candidate, asked.vectors)
    verdict = replace(verdict, evidence=verdict.evidence | {"changed_answers": found.as_body()})
    if not found.waits(spec.gate):
        return _promoted(spec, workshop, candidate, verdict)
    return _waiting(spec, workshop, candidate, verdict, why=_too_many(spec, found))


def _promoted(spec: ModelSpec, workshop: Workshop, candidate: Package, verdict: Verdict) -> Retrained:
    _register(spec, workshop, candidate, verdict.evidence)
    _swap(spec, workshop, candidate, verdict)
    return Retrained(
        state=JobState.PROMOTED,
        version=candidate.manifest.version,
        reasons=verdict.reasons,
        evidence=verdict.evidence,
    )


def _waiting(spec: ModelSpec, workshop: Workshop, candidate: Package, verdict: Verdict, *, why: str) -> Retrained:
    version = candidate.manifest.version
    _register(spec, workshop, candidate, verdict.evidence)
    waits = f"{version} waits for a person: {why}; to let it serve: `bellwether promote {spec.name} {version}`"
    return Retrained(
        state=JobState.AWAITS_APPROVAL,
        version=version,
        reasons=(waits, *verdict.reasons),
        evidence=verdict.evidence,
    )


def _too_many(spec: ModelSpec, found: Changed) -> str:
    return (
        f"it would tell {found.share:.0%} of the {found.n} who were asked about lately something else, "
        f"limit {spec.gate.changed_answers_at_most:.0%}"
    )


def _unknown(asked: Asked) -> str:
    return (
        "how many it would tell something else is not known: only "
        f"{len(asked.vectors)} of {asked.entities} entities that were asked about lately had all features"
    )


def _changed_answers(spec: ModelSpec, workshop: Workshop, candidate: Package, asked: pd.DataFrame) -> Changed:
    """What callers are told now against what they would be told.

    Where no champion can answer, they are told what the rule says.
    """
    champion = _champion_scores(spec, workshop, asked)
    after = [spec.decide(float(score)) for score in scores(candidate.form, asked)]
    return changed(_decisions(spec, asked, champion), after)


def _decisions(spec: ModelSpec, asked: pd.DataFrame, champion: Scores | None) -> list[Decision]:
    if champion is not None:
        return [spec.decide(float(score)) for score in champion]
    return [decision_without_model(spec, without_gaps(row)) for row in asked.to_dict("records")]


def _snapshot(spec: ModelSpec, workshop: Workshop, rows: pd.DataFrame) -> Snapshot:
    snapshot = keep(spec, rows, directory=workshop.training_directory, at=workshop.now())
    workshop.say(f"{spec.name}: training set {snapshot.path.name}")
    return snapshot


def _train(spec: ModelSpec, workshop: Workshop, snapshot: Snapshot, training: TrainingSet) -> Package:
    estimator = spec.train(training)
    version = workshop.models.next_version(spec.name)
    candidate = package(spec, estimator, version=version, training=training, snapshot=snapshot, now=workshop.now())
    workshop.say(
        f"{spec.name}: trained {version} on {len(training.target)} rows, parity {candidate.manifest.parity:.1g}"
    )
    if why := candidate.manifest.not_converted:
        workshop.say(f"{spec.name}: scikit-learn itself will serve {version}, at milliseconds a row: {why}")
    return candidate


def _gate(spec: ModelSpec, workshop: Workshop, candidate: Package, held_out: TrainingSet, *, believed: bool) -> Verdict:
    return judge(
        spec.gate,
        challenger=scores(candidate.form, held_out.features),
        champion=_champion_scores(spec, workshop, held_out.features),
        rule=scores_of_rule(spec, held_out.features),
        target=held_out.target,
        weight=held_out.weights,
        believed=believed,
    )


def _champion_scores(spec: ModelSpec, workshop: Workshop, features: pd.DataFrame) -> Scores | None:
    """None without a champion that could serve: then the challenger has to beat what answers in its place, the rule."""
    champion = workshop.store.aliases(spec.name).get(CHAMPION)
    if champion is None:
        return None
    try:
        recorded = workshop.store.manifests(spec.name).get(champion, "")
        directory = workshop.models.directory(spec.name, champion)
        found = scores_of_version(spec, directory, features, manifest_sha256=recorded)
    except Unscorable as error:
        workshop.say(f"{spec.name}: champion {champion} cannot be compared with, the rule answers for it: {error}")
        return None
    if found is None:
        workshop.say(
            f"{spec.name}: champion {champion} takes other features than the spec has now, so no worker serves it"
        )
    return found


def _register(spec: ModelSpec, workshop: Workshop, candidate: Package, evidence: dict[str, Any]) -> None:
    # Files have no fence: who has lost the lease while it trained must not put its own under the other's version.
    workshop.store.confirm()
    workshop.models.add(candidate.manifest, candidate.files)
    workshop.store.add_version(
        VersionRecord(
            model=spec.name,
            version=candidate.manifest.version,
            registered_at=workshop.now(),
            training_set=candidate.manifest.training_set,
            training_set_sha256=candidate.manifest.training_set_sha256,
            training_rows=candidate.manifest.training_rows,
            evidence=evidence,
            manifest_sha256=sha256_of(encoded(candidate.manifest)),
        )
    )


def _swap(spec: ModelSpec, workshop: Workshop, candidate: Package, verdict: Verdict) -> None:
    promote(
        spec,
        candidate.manifest.version,
        store=workshop.store,
        models=workshop.models,
        fleet=workshop.fleet,
        now=workshop.now(),
        reason="; ".join(verdict.reasons),
    )
