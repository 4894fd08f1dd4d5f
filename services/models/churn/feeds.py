"""What the billing and service feeds write about a customer, when all is well and when it is not.

Assumptions: the service feed wrote 1 to 20 hours before the call, the billing feed 2 to 40. A broken billing
feed negates half of the charges and loses the other half; a slow one is four to nine days late.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

import numpy as np

from services.core.features import Reading, Value


def readings(
    *,
    services: Mapping[str, Value],
    billing: Mapping[str, float | None],
    asked_at: datetime,
    chance: np.random.Generator,
    broken: bool,
    slow: bool,
) -> dict[str, Reading]:
    """Values with their own times, as the online store gets them before the call at `asked_at`."""
    serviced_at = asked_at - timedelta(hours=float(chance.uniform(1, 20)))
    billed_at = asked_at - timedelta(hours=float(chance.uniform(2, 40)))
    late, fault = timedelta(days=float(chance.uniform(4, 9))), float(chance.random())
    if broken:
        billing = {name: _nonsense(value, fault) for name, value in billing.items()}
    if slow:
        billed_at = asked_at - late
    return {name: Reading(value, serviced_at) for name, value in services.items()} | {
        name: Reading(value, billed_at) for name, value in billing.items()
    }


def _nonsense(value: float | None, fault: float) -> float | None:
    return None if value is None or fault < 0.5 else -value - 1.0
