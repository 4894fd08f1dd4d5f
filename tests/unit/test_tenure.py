"""The leases that a process holds, while it renews them and while the store is away."""

import threading
from collections.abc import Sequence
from datetime import timedelta

from monitoring.entrypoints.tenure import Tenure
from services.core.errors import StoreUnavailable
from services.core.records import Lease
from tests.toy import NOON
from tests.waiting import eventually

FAST = timedelta(milliseconds=3)


class LeasesInMemory:
    """Gives every lease to whoever asks, unless told otherwise; `asked` counts."""

    def __init__(self) -> None:
        self.asked = 0
        self.failure: Exception | None = None
        self.released: list[str] = []

    def acquire(self, name: str, *, holder: str, lasts: timedelta) -> Lease | None:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return Lease(name=name, holder=holder, token=1, until=NOON + lasts)

    def acquire_all(self, names: Sequence[str], *, holder: str, lasts: timedelta) -> dict[str, Lease]:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return {name: Lease(name=name, holder=holder, token=1, until=NOON + lasts) for name in names}

    def release(self, lease: Lease) -> None:
        self.released.append(lease.name)


def test_a_lease_is_held_without_a_gap_while_it_is_renewed() -> None:
    leases, gaps = LeasesInMemory(), 0
    with Tenure(leases, work="test", models=["toy"], lasts=FAST) as tenure:
        while leases.asked < 300:
            gaps += tenure.lease_of("toy") is None
    assert gaps == 0


def test_what_was_held_counts_as_held_while_the_store_is_away() -> None:
    leases = LeasesInMemory()
    with Tenure(leases, work="test", models=["toy"], lasts=FAST) as tenure:
        leases.failure = StoreUnavailable("no server")
        asked = leases.asked
        eventually(lambda: leases.asked > asked + 3, what="it asks again")
        assert tenure.lease_of("toy") is not None


def test_leases_are_renewed_again_after_a_failure_of_any_kind() -> None:
    leases = LeasesInMemory()
    with Tenure(leases, work="test", models=["toy"], lasts=FAST):
        leases.failure = NotImplementedError("the driver reads no such time")
        asked = leases.asked
        eventually(lambda: leases.asked > asked + 3, what="it asks again")


def test_what_is_held_is_given_back_at_the_end_and_nothing_is_asked_for_afterwards() -> None:
    leases = LeasesInMemory()
    with Tenure(leases, work="test", models=["a", "b"], lasts=FAST):
        pass
    assert leases.released == ["test/a", "test/b"]
    assert [each.name for each in threading.enumerate() if each.name == "test leases"] == []
