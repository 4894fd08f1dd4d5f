"""When a change began that a window shows. Pure."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitoring.evaluation.windows import Window

CANDIDATES: Final = 40
"""Moments that are tried: a change is dated to a fortieth of the window's rows."""

LEAST: Final = 20
"""Rows on either side; the distance of fewer is chance."""

Numbers = NDArray[Any]


def onset(
    window: Window,
    values: Numbers,
    times: Sequence[datetime],
    *,
    distance: Callable[[Numbers, Numbers], float],
    drifted: Callable[[Numbers], bool],
) -> datetime:
    """The moment that parts the window's rows into two that differ most; its start where the earlier ones had drifted.

    Of a split into k and n - k rows the distance is weighed by the square root of k (n - k) / n, as chance acts on it.
    Of two candidates that are equally good the later one is taken: training on rows from before a change teaches two
    worlds at once.

    Args:
        values, times: of the rows, oldest first.
        distance: between two samples, at least 0.
        drifted: whether a sample differs from the training reference.
    """
    n = len(values)
    if n < 2 * LEAST:
        return times[0] if times else window.start
    splits = np.unique(np.linspace(LEAST, n - LEAST, CANDIDATES).astype(int))[::-1]
    strengths = [distance(values[:k], values[k:]) * (k * (n - k) / n) ** 0.5 for k in splits]
    split = int(splits[int(np.argmax(strengths))])
    if drifted(values[:split]):
        return window.start
    return times[min(len(times) - 1, split * len(times) // n)]
