"""The clock that whoever drives the traffic moves."""

from datetime import datetime
from typing import Protocol


class WorldClock(Protocol):
    """World time, shared with every process of the run. It never moves by itself."""

    def now(self) -> datetime:
        """Aware UTC."""
        ...

    def set(self, moment: datetime) -> None:
        """Move to `moment` (aware); everybody who asks after this call sees it."""
        ...
