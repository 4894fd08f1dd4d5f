"""What every record store promises of leases, and of the store that the holder of one writes to."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from services.core.clock import wall_clock
from services.core.errors import LeaseLost
from services.core.ports import RecordStore
from services.core.records import (
    AliasChange,
    Batch,
    JobState,
    Lease,
    VersionRecord,
)
from tests.contract.stores import Open
from tests.toy import NOON, drift_result, prediction

NAME = "lifecycle/toy"
HOUR = timedelta(hours=1)
AT_ONCE = timedelta(0)


def held(store: RecordStore, holder: str = "one", *, lasts: timedelta = HOUR) -> Lease:
    lease = store.acquire(NAME, holder=holder, lasts=lasts)
    assert lease is not None
    return lease


def lost_to_another(store: RecordStore) -> RecordStore:
    """The store of a holder whose lease ran out while it slept, and went to another."""
    asleep = store.fenced(held(store, "asleep", lasts=AT_ONCE))
    held(store, "awake")
    return asleep


def test_a_lease_belongs_to_one_holder_until_it_expires(store: RecordStore) -> None:
    first = held(store, lasts=HOUR)
    assert abs(first.until - wall_clock() - HOUR) < timedelta(minutes=1)
    assert store.acquire(NAME, holder="two", lasts=HOUR) is None
    assert store.acquire("lifecycle/other", holder="two", lasts=HOUR) is not None


def test_its_holder_renews_it_without_a_new_token(store: RecordStore) -> None:
    first = held(store)
    again = held(store)
    assert again.token == first.token
    assert again.until > first.until


def test_an_expired_lease_goes_to_who_asks_with_a_higher_token(store: RecordStore) -> None:
    first = held(store, "one", lasts=AT_ONCE)
    second = held(store, "two")
    assert second.token > first.token
    assert store.acquire(NAME, holder="one", lasts=HOUR) is None


def test_a_holder_that_is_late_keeps_what_nobody_else_has_taken(store: RecordStore) -> None:
    first = held(store, lasts=AT_ONCE)
    store.fenced(first).move_alias(change())
    assert held(store).token == first.token


def test_a_lease_that_was_given_back_is_free_at_once(store: RecordStore) -> None:
    first = held(store, "one")
    store.release(first)
    assert held(store, "two").token > first.token


def test_giving_back_what_another_has_by_now_takes_nothing_from_it(store: RecordStore) -> None:
    first = held(store, "one", lasts=AT_ONCE)
    second = held(store, "two")
    store.release(first)
    assert store.acquire(NAME, holder="three", lasts=HOUR) is None
    store.fenced(second).confirm()


def test_a_lease_from_before_a_clock_was_set_back_does_not_last_until_then(store: RecordStore) -> None:
    held(store, "one", lasts=timedelta(days=3650))
    assert held(store, "two", lasts=HOUR).holder == "two"


def test_a_lease_that_a_clock_ahead_took_over_goes_on_as_the_new_holders(store: RecordStore) -> None:
    before = held(store, "one", lasts=AT_ONCE)
    ahead = held(store, "two", lasts=timedelta(days=500))

    # The clock is right again: whoever asks first has it, and whoever had it before writes nothing.
    back = held(store, "one", lasts=HOUR)

    assert before.token < ahead.token < back.token
    with pytest.raises(LeaseLost):
        store.fenced(ahead).confirm()


def test_of_many_that_ask_at_once_one_gets_it(open_store: Open) -> None:
    stores, found, together = [open_store() for _ in range(4)], list[Lease | None](), threading.Barrier(4)

    def ask(number: int) -> None:
        together.wait()
        found.append(stores[number].acquire(NAME, holder=str(number), lasts=HOUR))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(lease is not None for lease in found) == 1


def test_all_leases_are_asked_for_at_once_and_each_is_given_for_itself(store: RecordStore) -> None:
    names = [f"lifecycle/{number}" for number in range(50)]
    store.acquire(names[7], holder="two", lasts=HOUR)

    first = store.acquire_all(names, holder="one", lasts=HOUR)
    again = store.acquire_all(names, holder="one", lasts=HOUR)

    assert set(first) == set(again) == set(names) - {names[7]}
    assert all(again[name].token == first[name].token and again[name].until >= first[name].until for name in first)
    assert store.acquire_all([], holder="one", lasts=HOUR) == {}


def test_of_many_that_ask_again_and_again_each_lease_has_one_holder_at_a_time(open_store: Open) -> None:
    names, stores, lock = ["a", "b", "c"], [open_store() for _ in range(3)], threading.Lock()
    holders: dict[tuple[str, int], set[str]] = {}

    def ask(number: int) -> None:
        for _ in range(20):
            for name, lease in stores[number].acquire_all(names, holder=str(number), lasts=HOUR).items():
                with lock:
                    holders.setdefault((name, lease.token), set()).add(lease.holder)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name for name, _ in holders} == set(names)
    assert len(holders) == len(names)
    assert all(len(each) == 1 for each in holders.values())


def change() -> AliasChange:
    return AliasChange(model="toy", alias="champion", version="v2", previous="v1", at=NOON, reason="test")


def version() -> VersionRecord:
    return VersionRecord(
        model="toy",
        version="v2",
        registered_at=NOON,
        training_set="set",
        training_set_sha256="0" * 64,
        training_rows=1,
        evidence={},
    )


def open_a_job(store: RecordStore) -> object:
    return store.open_job(model="toy", trigger="drift", dedupe_key="key", since=NOON, opened_at=NOON, note="")


def close_the_job(store: RecordStore) -> object:
    return store.update_job(1, state=JobState.PROMOTED, note="done", closed_at=NOON)


WRITES: dict[str, Callable[[RecordStore], object]] = {
    "results": lambda store: store.save_results([drift_result()]),
    "opening a job": open_a_job,
    "changing a job": close_the_job,
    "registering a version": lambda store: store.add_version(version()),
    "moving an alias": lambda store: store.move_alias(change()),
    "rows and a position": lambda store: store.commit(Batch([prediction(1)], [], []), consumer="c", position=1),
    "redeeming letters": lambda store: store.redeem(Batch([prediction(1)], [], []), origins=["c@1"]),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_who_has_lost_the_lease_writes_nothing(store: RecordStore, write: Callable[[RecordStore], object]) -> None:
    if write is close_the_job:
        open_a_job(store)
    asleep = lost_to_another(store)
    with pytest.raises(LeaseLost, match="asleep does not hold the lease lifecycle/toy any more"):
        write(asleep)
    assert [job.state for job in store.jobs("toy", limit=9)] == [JobState.WAITING] * (write is close_the_job)
    assert store.aliases("toy") == {}
    assert store.versions("toy") == []
    assert store.counts("toy").predictions == 0
    assert store.position("c") == 0


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_who_has_the_lease_writes_as_anybody(store: RecordStore, write: Callable[[RecordStore], object]) -> None:
    if write is close_the_job:
        open_a_job(store)
    write(store.fenced(held(store)))


def test_a_holder_can_ask_before_it_does_what_no_transaction_covers(store: RecordStore) -> None:
    store.confirm()
    store.fenced(held(store, lasts=AT_ONCE)).confirm()
    with pytest.raises(LeaseLost):
        lost_to_another(store).confirm()


def test_who_has_lost_the_lease_reads_as_anybody(store: RecordStore) -> None:
    store.move_alias(change())
    assert lost_to_another(store).aliases("toy") == {"champion": "v2"}
