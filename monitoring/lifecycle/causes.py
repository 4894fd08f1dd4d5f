"""Why did a feature drift: has the world changed, or has its source broken? Pure."""

from collections.abc import Iterable, Sequence

from services.core.features import Status
from services.core.records import Judged
from services.core.spec import ModelSpec


def broken_sources(spec: ModelSpec, features: Iterable[str], rows: Sequence[Judged]) -> tuple[str, ...]:
    """Say which of the drifted features were unusable in more than `drift.broken_share` of the rows.

    What is left of a feed that is failing is a strange sample. A model retrained on it learns the failure. Answers that
    asked before a value can be known do not count: no source could have had it.
    """
    return tuple(
        f"{name} was unusable in {share:.0%} of the answers, limit {spec.drift.broken_share:.0%}: mend its source"
        for name in features
        if (share := _unusable_share(name, rows)) > spec.drift.broken_share
    )


def _unusable_share(name: str, rows: Sequence[Judged]) -> float:
    found = [verdict.status for row in rows if (verdict := row.prediction.features.get(name)) is not None]
    expected = [status for status in found if status is not Status.TOO_EARLY]
    return sum(status is not Status.OK for status in expected) / len(expected) if expected else 0.0
