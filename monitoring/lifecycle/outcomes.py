"""May a retraining believe the outcomes that it would learn from? The checks are those of `evaluation.outcome_checks`;
here is what they look at."""

from collections.abc import Callable, Sequence
from datetime import datetime

import pandas as pd

from monitoring.evaluation.outcome_checks import Answers, Arrivals, Doubt, Was, doubts, in_words_of, too_early
from monitoring.evaluation.performance import MINIMUM_ROWS
from monitoring.evaluation.unknown import NotEnoughData
from monitoring.evaluation.windows import SAMPLE_LIMIT
from monitoring.lifecycle.gate import Scores
from monitoring.lifecycle.scoring import scores_of_rule
from monitoring.lifecycle.training_set import MADE_AT, TARGET, WEIGHT, frame_of, settled_rows, usable
from services.core.ports import RecordStore
from services.core.records import CHAMPION, Judged
from services.core.spec import ModelSpec

ScoreChampion = Callable[[pd.DataFrame], Scores | None]


def doubts_of_outcomes(
    spec: ModelSpec, store: RecordStore, *, since: datetime, now: datetime, score_champion: ScoreChampion
) -> tuple[Doubt, ...] | NotEnoughData | None:
    """What speaks against the matured outcomes since `since`; nothing where they can be believed.

    Those made before say what was. Both times are sampled for themselves: however much was asked in the one, the other
    is not crowded out. None where the outcomes could not be looked at: without a champion that can score them there is
    nothing to hold them against, since a rule alone may simply be bad.
    """
    matured = now - spec.task.outcome_delay
    sample = _sampled(spec, store, since=since, until=matured)
    if early := too_early(sample):
        return (early,)
    oldest = min(since, matured - spec.retraining.history)
    before = usable(frame_of(spec, _sampled(spec, store, since=oldest, until=since)))
    tested = _tested(spec, store, sample, since=since, until=matured)
    frame = pd.concat([each for each in (before, tested) if len(each)] or [before], ignore_index=True)
    champion = None if frame.empty else score_champion(frame[list(spec.feature_names)])
    if champion is None:
        return None
    was = Was.recorded(store.versions(spec.name), store.aliases(spec.name).get(CHAMPION))

    def arrivals() -> Arrivals:
        found = store.judged(spec.name, made_from=oldest, made_until=matured, limit=SAMPLE_LIMIT)
        return Arrivals.of(in_words_of(spec, found))

    return doubts(_answers(spec, frame, champion), since=since, was=was, arrivals=arrivals)


def _tested(
    spec: ModelSpec, store: RecordStore, sample: Sequence[Judged], *, since: datetime, until: datetime
) -> pd.DataFrame:
    """What of the sample can be used; of all that a training set is made of where that is too little, as when most were
    acted on."""
    found = usable(frame_of(spec, sample))
    if len(sample) < SAMPLE_LIMIT or len(found) >= MINIMUM_ROWS:
        return found
    return usable(settled_rows(spec, store, made_from=since, made_until=until))


def _sampled(spec: ModelSpec, store: RecordStore, *, since: datetime, until: datetime) -> list[Judged]:
    found = store.judged(spec.name, made_from=since, made_until=until, limit=SAMPLE_LIMIT, settled=True)
    return in_words_of(spec, found)


def _answers(spec: ModelSpec, frame: pd.DataFrame, champion: Scores) -> Answers:
    return Answers(
        made_at=[moment.to_pydatetime() for moment in frame[MADE_AT]],
        target=frame[TARGET].to_numpy(),
        weight=frame[WEIGHT].to_numpy(),
        champion=champion,
        rule=scores_of_rule(spec, frame[list(spec.feature_names)]),
        groups={name: [str(value) for value in frame[name]] for name in spec.slices},
    )
