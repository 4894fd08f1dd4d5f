"""What customers of the simulated world pay, and what a change of prices does to them at once."""

from typing import Final

from services.models.churn.population import DAYS_PER_MONTH, Customer

FIBER_RISE: Final = 1.28
STREAMING_RISE_EUR: Final = 9.0
# Of the customers with a two-year contract, the share that uses the right to end it when prices change.
CONTRACTS_LAPSED: Final = 0.25
# Of the customers who paid automatically, the share that withdraws the permission to debit.
DEBITS_WITHDRAWN: Final = 0.25


def billing_of(person: Customer, day: float, *, repriced_days: float | None) -> dict[str, float | None]:
    """The values of the billing feed, `repriced_days` after a change of prices (None: no change).

    The invoices of the months before the change stay as they were.
    """
    months = int(person.tenure(day))
    old = person.list_price()
    if repriced_days is None:
        return _invoiced(monthly=old, total=old * months, months=months)
    new = repriced(person)
    dear_months = min(float(months), repriced_days / DAYS_PER_MONTH)
    return _invoiced(monthly=new, total=old * months + (new - old) * dear_months, months=months)


def repriced(person: Customer) -> float:
    """EUR per month after the change of prices."""
    rise = FIBER_RISE if person.internet == "fiber optic" else 1.0
    return person.list_price() * rise + STREAMING_RISE_EUR * sum(person.streaming.values())


def repriced_contract(person: Customer, contract: str) -> str:
    lapses = contract == "two year" and person.price_sensitivity < CONTRACTS_LAPSED
    return "month-to-month" if lapses else contract


def repriced_payment(person: Customer) -> str:
    automatic = person.payment in ("bank transfer", "credit card")
    withdraws = automatic and person.price_sensitivity > 1.0 - DEBITS_WITHDRAWN
    return "electronic check" if withdraws else person.payment


def _invoiced(*, monthly: float, total: float, months: int) -> dict[str, float | None]:
    return {"monthly_charges": round(monthly, 2), "total_charges": round(total, 2) if months else None}
