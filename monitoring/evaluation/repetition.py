"""One question that is asked thousands of times is one question: it says nothing of the world. Pure."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from services.core.features import Status
from services.core.records import Judged
from services.core.spec import ModelSpec

REPEATED_SHARE: Final = 0.05
"""Of a window's rows, above which equal ones are told and count once."""
REPEATED_ROWS: Final = 10
DISTINCT_SHARE: Final = 0.9
"""Of the training reference's rows. Where fewer differ from one another, as with a handful of categories, rows that are
equal are what the world is like, and all of them count."""

OK: Final = Status.OK

Row = tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class Distinct:
    """The window's rows, of which equal ones that come too often are there once; `left_out` is how many are not."""

    rows: Sequence[Judged]
    left_out: int


def distinct(spec: ModelSpec, rows: Sequence[Judged], *, reference: pd.DataFrame) -> Distinct:
    """Leave out what one caller repeats. Rows are equal when every feature is, to the last digit."""
    keys = [_key(spec, row) for row in rows]
    most = max(REPEATED_ROWS, REPEATED_SHARE * len(rows))
    repeated = {key for key, count in Counter(keys).items() if count > most}
    if not repeated or not _differ(spec, reference):
        return Distinct(rows, 0)
    seen: set[Row] = set()
    kept = []
    for key, row in zip(keys, rows, strict=True):
        if key not in seen:
            kept.append(row)
        if key in repeated:
            seen.add(key)
    return Distinct(kept, len(rows) - len(kept))


def _key(spec: ModelSpec, row: Judged) -> Row:
    """What could not be used is nothing, whatever it was."""
    verdicts = row.prediction.features
    return tuple(
        verdict.value if (verdict := verdicts.get(name)) is not None and verdict.status is OK else None
        for name in spec.feature_names
    )


def _differ(spec: ModelSpec, reference: pd.DataFrame) -> bool:
    columns = reference[[name for name in spec.feature_names if name in reference]]
    return len(columns) > 0 and float(columns.duplicated().mean()) <= 1 - DISTINCT_SHARE
