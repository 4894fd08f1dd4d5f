"""One retraining: snapshot, train, gate, register, promote. Each step is a call, in this order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from monitoring.lifecycle.gate import Scores, Verdict, judge
from monitoring.lifecycle.packaging import Package, package
from monitoring.lifecycle.promote import promote
from monitoring.lifecycle.scoring import Unscorable, scores, scores_of_rule, scores_of_version
from monitoring.lifecycle.training_set import Snapshot, keep, past_rows, served_rows
from services.core.clock import Now
from services.core.ports import Fleet, ModelStore, RecordStore
from services.core.records import CHAMPION, VersionRecord
from services.core.spec import ModelSpec
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
    """How it ended. `version` is the registered version, "" when the gate refused it; `evidence` is JSON-ready."""

    promoted: bool
    version: str
    reasons: tuple[str, ...]
    evidence: dict[str, Any]

    @property
    def note(self) -> str:
        return "; ".join(self.reasons)


def retrain(spec: ModelSpec, workshop: Workshop, *, since: datetime, trigger: str) -> Retrained:
    """Train on the answers made since `since` that have matured, and promote what passes the gate.

    Raises:
        TooFewRows: the rows are of one class, or there are none.
        NotServable: the trained estimator has no served form.
    """
    rows = served_rows(spec, workshop.store, made_from=since, now=workshop.now())
    return _work(spec, workshop, rows, trigger=trigger)


def first_version(spec: ModelSpec, workshop: Workshop, *, cases: Sequence[PastCase]) -> Retrained:
    """Train on cases from before the service existed. Raises like `retrain`."""
    return _work(spec, workshop, past_rows(spec, cases), trigger="first version")


def _work(spec: ModelSpec, workshop: Workshop, rows: pd.DataFrame, *, trigger: str) -> Retrained:
    snapshot = _snapshot(spec, workshop, rows)
    training, held_out = snapshot.split(spec)
    candidate = _train(spec, workshop, snapshot, training)
    verdict = _gate(spec, workshop, candidate, held_out)
    evidence = verdict.evidence | {"trigger": trigger, "training_set": snapshot.path.name} | candidate.told
    if not verdict.promoted:
        workshop.say(f"{spec.name}: the gate refused it: {'; '.join(verdict.reasons)}")
        return Retrained(promoted=False, version="", reasons=verdict.reasons, evidence=evidence)
    _register(spec, workshop, candidate, evidence)
    _swap(spec, workshop, candidate, verdict)
    return Retrained(promoted=True, version=candidate.manifest.version, reasons=verdict.reasons, evidence=evidence)


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
        workshop.say(f"{spec.name}: {version} does not convert to ONNX, so scikit-learn serves it: {why}")
    return candidate


def _gate(spec: ModelSpec, workshop: Workshop, candidate: Package, held_out: TrainingSet) -> Verdict:
    return judge(
        spec.gate,
        challenger=scores(candidate.form, held_out.features),
        champion=_champion_scores(spec, workshop, held_out),
        rule=scores_of_rule(spec, held_out.features),
        target=held_out.target,
        weight=held_out.weights,
    )


def _champion_scores(spec: ModelSpec, workshop: Workshop, held_out: TrainingSet) -> Scores | None:
    """None without a champion that could serve: then the challenger has to beat what answers in its place, the rule."""
    champion = workshop.store.aliases(spec.name).get(CHAMPION)
    if champion is None:
        return None
    try:
        found = scores_of_version(spec, workshop.models.directory(spec.name, champion), held_out.features)
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
