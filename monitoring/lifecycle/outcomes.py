"""May a retraining believe the outcomes that it would learn from? The checks are those of `evaluation.outcome_checks`;
here is what they look at."""

from collections.abc import Callable
from datetime import datetime

import pandas as pd

from monitoring.evaluation.outcome_checks import Answers, Doubt, Was, doubts, too_early
from monitoring.evaluation.unknown import NotEnoughData
from monitoring.evaluation.windows import SAMPLE_LIMIT
from monitoring.lifecycle.gate import Scores
from monitoring.lifecycle.scoring import scores_of_rule
from monitoring.lifecycle.training_set import MADE_AT, TARGET, WEIGHT, frame_of, usable
from services.core.ports import RecordStore
from services.core.records import CHAMPION
from services.core.spec import ModelSpec

ScoreChampion = Callable[[pd.DataFrame], Scores | None]


def doubts_of_outcomes(
    spec: ModelSpec, store: RecordStore, *, since: datetime, now: datetime, score_champion: ScoreChampion
) -> tuple[Doubt, ...] | NotEnoughData:
    """What speaks against the matured outcomes since `since`; nothing where they can be believed.

    Without a champion that can score them there is nothing to hold them against: a rule alone may simply be bad.
    """
    begin = min(since, now - spec.retraining.history - spec.task.outcome_delay)
    judged = store.judged(spec.name, made_from=begin, made_until=now - spec.task.outcome_delay, limit=SAMPLE_LIMIT)
    early = too_early([row for row in judged if row.prediction.made_at >= since])
    if early is not None:
        return (early,)
    frame = usable(frame_of(spec, judged))
    champion = None if frame.empty else score_champion(frame[list(spec.feature_names)])
    if champion is None:
        return ()
    was = Was.recorded(store.versions(spec.name), store.aliases(spec.name).get(CHAMPION))
    return doubts(_answers(spec, frame, champion), since=since, was=was)


def _answers(spec: ModelSpec, frame: pd.DataFrame, champion: Scores) -> Answers:
    return Answers(
        made_at=[moment.to_pydatetime() for moment in frame[MADE_AT]],
        target=frame[TARGET].to_numpy(),
        weight=frame[WEIGHT].to_numpy(),
        champion=champion,
        rule=scores_of_rule(spec, frame[list(spec.feature_names)]),
        groups={name: [str(value) for value in frame[name]] for name in spec.slices},
    )
