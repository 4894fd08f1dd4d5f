"""What speaks against a model's outcomes now: by the newest judgement, and by the newest retraining that was stopped.
Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from services.core.records import EvaluationResult, Job, JobState, ResultKind

DOUBTS: Final = "doubts"
"""In the body of a performance result, and in the evidence of a job: `Doubt.as_body` of each."""

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
    """Those that stopped the newest retraining, until everything that is judged was answered after its end.

    It sees more than a judgement does: a longer time, and single groups.
    """
    newest = next((job for job in jobs if not job.state.open), None)
    if newest is None or newest.state is not JobState.OUTCOMES_DOUBTED or newest.closed_at is None:
        return []
    if performances and all(result.window_start >= newest.closed_at for result in performances):
        return []
    return list(newest.evidence.get(DOUBTS, []))
