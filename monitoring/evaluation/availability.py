"""Which features were usable, and who answered. Apart from drift: an outage is not a change of the world."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from services.core.features import Status
from services.core.predictions import Arm, ServedBy
from services.core.records import Judged
from services.core.spec import ModelSpec


def availability(spec: ModelSpec, rows: Sequence[Judged]) -> dict[str, Any]:
    """Shares in [0, 1] by feature and status, by who answered, by arm and by version; empty without rows."""
    answered = [row.prediction for row in rows]
    return {
        "features": {name: _shares(_statuses(rows, name), Status) for name in spec.feature_names},
        "served_by": _shares([made.served_by for made in answered], ServedBy),
        "arms": _shares([made.arm for made in answered], Arm),
        "versions": _shares([made.version for made in answered], sorted({made.version for made in answered})),
    }


def _statuses(rows: Sequence[Judged], name: str) -> list[str]:
    return [verdict.status for row in rows if (verdict := row.prediction.features.get(name)) is not None]


def _shares(found: Sequence[str], known: Any) -> dict[str, float]:
    counts = Counter(str(each) for each in found)
    return {str(each): counts[str(each)] / len(found) for each in known} if found else {}
