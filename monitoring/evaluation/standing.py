"""What speaks against a model's outcomes now: by the newest judgement, and by the newest retraining that looked at
them. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from services.core.records import EvaluationResult, Job, ResultKind

DOUBTS: Final = "doubts"
"""In the body of a performance result, and in the evidence of a job: `Doubt.as_body` of each. Empty says that the
outcomes were looked at and found good; it is absent where nobody looked."""

CHECKED_UNTIL: Final = "outcomes_checked_until"
"""In the evidence of a job: when the newest of the answers whose outcomes it looked at may have been made."""

GROUP: Final = "group"
"""In the body of a doubt about one group of a slice: which one. A doubt about all answers has none."""

SAID_BY: Final = "said_by"
"""In the body of a doubt that no check of outcomes raised: who did, as a new version that learnt the opposite."""

BELIEVED: Final = "believes_outcomes"
"""In the evidence of a job: why a person who asked for it believes outcomes that look wrong."""

Body = Mapping[str, Any]


def standing_doubts(results: Iterable[EvaluationResult], jobs: Sequence[Job]) -> list[Body] | None:
    """One of each kind; none where the outcomes can be believed, None where nobody knows.

    `results` are those of the newest judgement, `jobs` newest first. What a person has believed is doubted no more.
    """
    performances = [result for result in results if result.kind is ResultKind.PERFORMANCE]
    judged = [result.body[DOUBTS] for result in performances if DOUBTS in result.body]
    found = [*_of_newest(jobs, performances), *(doubt for each in judged for doubt in each)]
    if not found and not judged:
        return None
    believed = max((job.opened_at for job in jobs if BELIEVED in job.evidence), default=None)
    standing = [each for each in found if believed is None or datetime.fromisoformat(each["since"]) > believed]
    return list({each["kind"]: each for each in reversed(standing)}.values())


def _of_newest(jobs: Sequence[Job], performances: Sequence[EvaluationResult]) -> list[Body]:
    """What the newest retraining that looked at outcomes found, until everything that is judged was answered after it.

    One that ended without a look, as for a broken source, says nothing about them. A retraining sees more than a
    judgement does: a longer time, and single groups. What a later judgement sees as well ends when it finds no fault.
    """
    newest = next((job for job in jobs if not job.state.open and DOUBTS in job.evidence), None)
    if newest is None or newest.closed_at is None:
        return []
    if performances and all(result.window_start >= newest.closed_at for result in performances):
        return []
    checked = newest.evidence.get(CHECKED_UNTIL)
    until = newest.closed_at if checked is None else datetime.fromisoformat(checked)
    later = [result for result in performances if result.window_end > until]
    return [doubt for doubt in newest.evidence[DOUBTS] if not _is_repaired(doubt, later)]


def _is_repaired(doubt: Body, later: Sequence[EvaluationResult]) -> bool:
    """Whether these judgements found no fault with the whole time that the doubt is about.

    They look at no groups and train nothing, so they say nothing of doubts that came from there.
    """
    if GROUP in doubt or SAID_BY in doubt:
        return False
    found = [result.body[DOUBTS] for result in later if DOUBTS in result.body]
    since = datetime.fromisoformat(doubt["since"])
    return bool(found) and not any(found) and all(each.window_start <= since for each in later)
