"""What is going on with a model, in one or two sentences for people. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from monitoring.entrypoints.overview import Overview
from services.core.features import Status
from services.core.records import CHAMPION, EvaluationResult, Job, JobState, ResultKind, ResultStatus
from services.core.spec import ModelSpec, Unavailable


class Statement(NamedTuple):
    """`style` is `well`, `watch` or `unknown`."""

    text: str
    style: str


def unasked(state: Overview) -> str:
    """All there is to say of a model that nobody has asked anything."""
    serving = f"{state.champion} would answer" if state.champion else "no version is promoted, so the rule would answer"
    orphans = state.counts.orphan_outcomes
    astray = f"; {orphans:,} outcomes name none of its predictions" if orphans else ""
    return f"nobody has asked yet; {serving}{astray}"


def present(state: Overview) -> Statement:
    """The most important thing first: an outage, outcomes that cannot be true, a version that waits for a person, an
    open job, drift, what is unknown, or that all is well."""
    found = [_outage(state.spec, state.one(ResultKind.AVAILABILITY)), _doubted(state), _awaiting(state)]
    first, last = [each for each in found if each is not None], _lifecycle(state)
    return Statement(" ".join([*first, last.text]), "watch") if first else last


def served_slowly(state: Overview) -> str:
    """A sentence when scikit-learn itself scores, "" when ONNX does."""
    if not state.not_converted:
        return ""
    why = _sentence(state.not_converted)
    return f"scikit-learn itself scores for {state.champion}, at milliseconds a row, because ONNX cannot: {why}"


def day(moment: datetime) -> str:
    return f"{moment.day} {moment:%B}"


def _doubted(state: Overview) -> str | None:
    """The figures of performance and money rest on these outcomes, so they are not to be read."""
    told = " ".join(_sentence(doubt["reason"]) for doubt in state.doubts)
    if not told:
        return None
    return f"{told[0].upper()}{told[1:]} Performance and money below rest on them; nothing is retrained on them."


def _awaiting(state: Overview) -> str | None:
    job = state.awaiting_approval
    return None if job is None else _sentence(job.note)


def _lifecycle(state: Overview) -> Statement:
    if state.champion is None:
        return Statement("No version has been promoted yet; the rule answers.", "unknown")
    if state.open_job is not None:
        return Statement(_job(state.open_job), "watch")
    drift = next(iter(state.of(ResultKind.DRIFT)), None)
    if drift is None or drift.status is not ResultStatus.OK:
        return Statement(_unknown(drift), "unknown")
    if drift.body["confirmed"]:
        return Statement(_drifted(state, drift), "watch")
    return Statement(f"{_serving(state)} Its inputs look like those it was trained on.", "well")


def _job(job: Job) -> str:
    began = f"A change that began about {day(job.since)} was found on {day(job.opened_at)}."
    doing = "A new version is being trained." if job.state is JobState.RUNNING else "Retraining waits."
    return f"{began} {doing} {_sentence(job.note)}"


def _unknown(drift: EvaluationResult | None) -> str:
    reason = "nothing has been judged yet" if drift is None else drift.body.get("reason", "too few answers yet")
    return f"Whether the inputs have drifted is not known: {reason}."


def _drifted(state: Overview, drift: EvaluationResult) -> str:
    since = datetime.fromisoformat(drift.body["since"])
    text = f"Since about {day(since)} the inputs differ from training: {', '.join(drift.body['confirmed_features'])}."
    ended = next(iter(state.jobs), None)
    if ended is None:
        return text
    return f"{text} The last retraining was {ended.state.value.replace('_', ' ')}: {_sentence(ended.note)}"


def _serving(state: Overview) -> str:
    changes = [change for change in state.changes if change.alias == CHAMPION]
    if not changes:
        return f"{state.champion} serves."
    return f"{state.champion} has served since {day(changes[-1].at)}."


def _outage(spec: ModelSpec, result: EvaluationResult | None) -> str | None:
    """A sentence when the model answers less than its objective says, with the feature that is most often to blame."""
    if result is None or result.body["served_by"]["model"] >= spec.objectives.answered_by_model:
        return None
    return (
        f"The model gave {result.body['served_by']['model']:.0%} of the newest answers, objective "
        f"{spec.objectives.answered_by_model:.0%}{_blame(spec, result.body['features'])}."
    )


def _blame(spec: ModelSpec, features: Mapping[str, Mapping[str, float]]) -> str:
    """The feature that was most often unusable, among those without which the model cannot answer."""
    required = [each.name for each in spec.features if each.if_unavailable is Unavailable.ASK_THE_RULE]
    unusable = {name: 1 - shares[Status.OK] for name in required if (shares := features.get(name))}
    worst = max(unusable, key=lambda name: unusable[name], default="")
    return f"; {worst} was unusable in {unusable[worst]:.0%}" if unusable.get(worst) else ""


def _sentence(note: str) -> str:
    note = note.strip()
    return note if not note or note.endswith((".", "!", "?")) else f"{note}."
