"""How long requests took, in memory that does not grow with their number."""

import math
from itertools import accumulate
from typing import Final

SMALLEST: Final = 1e-5
# Each bucket is 5 % wider than the one before: quantiles are exact to 5 %, and 400 buckets reach beyond 3,000 s.
GROWTH: Final = 1.05
BUCKETS: Final = 400


class Latencies:
    """A histogram with buckets of equal relative width."""

    def __init__(self) -> None:
        self._counts = [0] * BUCKETS
        self.total = 0

    def observe(self, seconds: float) -> None:
        place = math.log(max(seconds, SMALLEST) / SMALLEST) / math.log(GROWTH)
        self._counts[min(int(place), BUCKETS - 1)] += 1
        self.total += 1

    def quantile(self, share: float) -> float | None:
        """The upper end, in seconds, of the bucket below which `share` of the requests lie; None without requests."""
        if not self.total:
            return None
        enough = share * self.total
        reached = (place for place, seen in enumerate(accumulate(self._counts)) if seen and seen >= enough)
        return float(SMALLEST * GROWTH ** (next(reached) + 1))
