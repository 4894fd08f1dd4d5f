"""Outcomes that the world already holds and nobody knows yet."""

import heapq
from collections.abc import Sequence
from datetime import datetime

from services.traffic.client import Outcome


class PendingOutcomes:
    """Outcomes by the time at which they become known."""

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, str, str]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, outcome: Outcome) -> None:
        heapq.heappush(self._heap, (outcome.observed_at, outcome.prediction_id, outcome.value))

    def put_back(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            self.add(outcome)

    def take_due(self, now: datetime) -> list[Outcome]:
        """Remove and return what is known at `now`, oldest first."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            known_at, prediction_id, value = heapq.heappop(self._heap)
            due.append(Outcome(prediction_id, value, known_at))
        return due
