"""What the feeds write before an application is decided on.

Assumptions: a bureau report was bought up to 25 days before the call, mostly for this application; statements were
read the night before, or up to three days earlier. While the bureau is down nobody gets a report: there is no score
for the form, nothing new is written, and only those who applied shortly before still have usable figures.
"""

from datetime import datetime, timedelta
from typing import Final

import numpy as np

from services.core.features import Reading, Value
from services.models.loan_approval.population import BureauFile

OLDEST_REPORT_DAYS: Final = 25.0


def report(file: BureauFile, *, asked_at: datetime, chance: np.random.Generator) -> dict[str, Reading]:
    """The bureau's figures with the report's own time; None says that the bureau itself knows nothing."""
    bought_at = asked_at - timedelta(days=OLDEST_REPORT_DAYS * float(chance.beta(0.5, 4.0)))
    values: dict[str, Value | None] = {
        "bureau_file": file.kind,
        "missed_payments_24m": file.missed_payments,
        "card_utilisation": file.card_utilisation,
        "enquiries_90d": file.enquiries,
    }
    return {name: Reading(value, bought_at) for name, value in values.items()}


def statements(overdrawn_days: float, *, asked_at: datetime, chance: np.random.Generator) -> dict[str, Reading]:
    """What the applicant's current account shows."""
    return {"overdrawn_days_90d": Reading(overdrawn_days, asked_at - timedelta(hours=float(chance.uniform(2, 70))))}
