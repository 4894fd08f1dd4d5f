from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitoring.lifecycle.promote import NothingToDo, await_fleet, promote, promotions, publish, rollback, rollbacks
from services.core.artifacts import WorkerReport
from services.core.errors import UnknownVersion
from services.core.records import CHAMPION, VersionRecord
from tests.artifacts import add_toy_version
from tests.toy import NOON
from tests.workshop import SPEC, Bench, open_bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = open_bench(tmp_path)
    for version in ("v1", "v2", "v3"):
        add_toy_version(bench.workshop.models, version)
    yield bench
    bench.store.close()


def move(bench: Bench, version: str) -> None:
    shop = bench.workshop
    promote(SPEC, version, store=shop.store, models=shop.models, fleet=shop.fleet, now=NOON, reason="better")


def back(bench: Bench) -> str:
    shop = bench.workshop
    return rollback(SPEC, store=shop.store, models=shop.models, fleet=shop.fleet, now=NOON, reason="worse").version


def report(bench: Bench, version: str, problem: str = "") -> None:
    # Process 1 is always there; reports of processes that have ended do not count.
    bench.workshop.fleet.report(
        WorkerReport(pid=1, model="toy", version=version, at=datetime.now(UTC), problem=problem)
    )


def test_going_back_is_no_promotion(bench: Bench) -> None:
    for version in ("v1", "v2"):
        move(bench, version)
    back(bench)

    changes = bench.store.alias_changes("toy")
    assert (promotions(changes), rollbacks(changes)) == (2, 1)


def test_a_promotion_is_in_the_store_with_its_reason_and_in_the_workers_file(bench: Bench) -> None:
    move(bench, "v1")
    move(bench, "v2")

    assert bench.workshop.fleet.published("toy") == bench.store.aliases("toy") == {CHAMPION: "v2"}
    assert [(each.version, each.previous, each.reason) for each in bench.store.alias_changes("toy")] == [
        ("v1", "", "better"),
        ("v2", "v1", "better"),
    ]


def test_a_version_that_is_not_there_or_serves_already_is_refused_and_nothing_moves(bench: Bench) -> None:
    move(bench, "v1")

    with pytest.raises(UnknownVersion, match="has no version 'v9'; it has v1, v2, v3"):
        move(bench, "v9")
    with pytest.raises(NothingToDo, match="is the champion already"):
        move(bench, "v1")
    assert len(bench.store.alias_changes("toy")) == 1


def test_going_back_twice_goes_back_two_versions(bench: Bench) -> None:
    for version in ("v1", "v2", "v3"):
        move(bench, version)

    assert [back(bench), back(bench)] == ["v2", "v1"]
    with pytest.raises(UnknownVersion, match="no champion before"):
        back(bench)


def test_after_a_rollback_and_a_promotion_the_way_back_leaves_out_what_was_rolled_back(bench: Bench) -> None:
    move(bench, "v1")
    move(bench, "v2")
    back(bench)
    move(bench, "v3")

    assert back(bench) == "v1"


def test_every_return_of_an_earlier_champion_counts_as_a_rollback(bench: Bench) -> None:
    for version in ("v1", "v2", "v1", "v3"):
        move(bench, version)
    back(bench)

    assert rollbacks(bench.store.alias_changes("toy")) == 2


def test_a_crash_between_store_and_file_heals_at_the_next_step(bench: Bench, tmp_path: Path) -> None:
    move(bench, "v1")
    (tmp_path / "aliases" / "toy.json").unlink()

    assert publish(SPEC, store=bench.store, fleet=bench.workshop.fleet)
    assert bench.workshop.fleet.published("toy") == {CHAMPION: "v1"}
    assert not publish(SPEC, store=bench.store, fleet=bench.workshop.fleet)


def test_a_damaged_file_is_written_anew(bench: Bench, tmp_path: Path) -> None:
    move(bench, "v1")
    (tmp_path / "aliases" / "toy.json").write_bytes(b"{")

    assert publish(SPEC, store=bench.store, fleet=bench.workshop.fleet)
    assert bench.workshop.fleet.published("toy") == {CHAMPION: "v1"}


def test_waiting_for_the_fleet_ends_when_every_worker_follows(bench: Bench) -> None:
    report(bench, "v1")

    def follow(_: float) -> None:
        report(bench, "v2")

    assert await_fleet(bench.workshop.fleet, "toy", "v2", pause=follow) == []


def test_a_worker_that_refuses_a_version_is_named_with_its_reason(bench: Bench) -> None:
    report(bench, "v1", problem="SHA-256 differs")

    assert await_fleet(bench.workshop.fleet, "toy", "v2") == ["worker 1 serves v1: SHA-256 differs"]


def test_without_workers_there_is_nobody_to_wait_for(bench: Bench) -> None:
    assert await_fleet(bench.workshop.fleet, "toy", "v2") == []


def test_the_workers_file_has_the_recorded_hash_of_the_champions_manifest_and_is_mended(bench: Bench) -> None:
    for version, sha256 in (("v1", ""), ("v2", "ab12"), ("v3", "cd34")):
        bench.store.add_version(registered(version, manifest_sha256=sha256))
    fleet, store = bench.workshop.fleet, bench.store

    move(bench, "v1")
    assert fleet.manifests("toy") == {}
    move(bench, "v2")
    assert fleet.manifests("toy") == {"v2": "ab12"}
    assert not publish(SPEC, store=store, fleet=fleet)
    fleet.publish("toy", {CHAMPION: "v2"}, manifests={"v2": "of somebody else"})
    assert publish(SPEC, store=store, fleet=fleet)
    assert fleet.manifests("toy") == {"v2": "ab12"}


def registered(version: str, *, manifest_sha256: str) -> VersionRecord:
    return VersionRecord(
        model="toy",
        version=version,
        registered_at=NOON,
        training_set="toy.parquet",
        training_set_sha256="0" * 64,
        training_rows=1,
        evidence={},
        manifest_sha256=manifest_sha256,
    )
