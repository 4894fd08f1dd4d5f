"""A worker follows the published version, and keeps the one it has when the new one is not sound."""

import contextlib
import os
import shutil
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.adapters.fleet_files import FleetFiles
from services.adapters.model_store import BentoModelStore
from services.core.artifacts import MANIFEST_FILE, sha256_of
from services.core.records import CHAMPION
from services.metrics import ServingMetrics
from services.serving.champion import RETRY_SECONDS, ChampionWatch
from tests.artifacts import add_toy_version
from tests.toy import toy_spec


class Stopwatch:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Bench:
    """A watch on real files."""

    def __init__(self, home: Path) -> None:
        self.store = BentoModelStore(home)
        self.fleet = FleetFiles(home / "aliases", home / "workers")
        self.registry = CollectorRegistry()
        self.timer = Stopwatch()
        self.watch = ChampionWatch(
            spec=toy_spec(),
            store=self.store,
            fleet=self.fleet,
            metrics=ServingMetrics(self.registry),
            pause=0.001,
            timer=self.timer,
        )

    def promote(self, version: str) -> None:
        self.fleet.publish("toy", {CHAMPION: version})

    @property
    def version(self) -> str | None:
        serving = self.watch.champion()
        return None if serving is None else serving.version

    def sample(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, {"model": "toy"} | labels)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_without_a_published_champion_nothing_is_loaded_and_the_worker_says_so(bench: Bench) -> None:
    await bench.watch.look()
    assert bench.version is None
    assert [(each.pid, each.version) for each in bench.fleet.workers("toy")] == [(os.getpid(), "")]


async def test_a_published_version_is_loaded_reported_and_counted(bench: Bench) -> None:
    for number in (1, 2):
        add_toy_version(bench.store, f"v{number}", seed=number)
        bench.promote(f"v{number}")
        await bench.watch.look()
        assert bench.version == f"v{number}"
    assert bench.fleet.workers("toy")[0].version == "v2"
    assert bench.sample("bellwether_model_info", version="v1", alias="champion") == 0
    assert bench.sample("bellwether_model_info", version="v2", alias="champion") == 1


async def test_a_corrupt_or_unknown_version_never_replaces_a_serving_one(bench: Bench) -> None:
    add_toy_version(bench.store, "v1")
    bench.promote("v1")
    await bench.watch.look()
    (add_toy_version(bench.store, "v2") / "model.onnx").write_bytes(b"no model")
    for bad in ("v2", "v3"):
        bench.promote(bad)
        await bench.watch.look()
        report = bench.fleet.workers("toy")[0]
        assert (bench.version, report.version) == ("v1", "v1")
        assert report.problem.startswith(f"{bad} was refused")
    assert bench.sample("bellwether_model_load_failures_total") == 2
    bench.promote("v1")
    await bench.watch.look()
    assert bench.fleet.workers("toy")[0].problem == ""


async def test_a_refused_version_is_tried_again_later_and_its_problem_ends_with_success(bench: Bench) -> None:
    bench.promote("v1")
    await bench.watch.look()
    add_toy_version(bench.store, "v1")
    await bench.watch.look()
    assert bench.version is None
    bench.timer.seconds += RETRY_SECONDS
    await bench.watch.look()
    assert [(each.version, each.problem) for each in bench.fleet.workers("toy")] == [("v1", "")]


async def test_a_version_that_calls_itself_differently_is_refused(bench: Bench) -> None:
    add_toy_version(bench.store, "v1").rename(bench.store.directory("toy", "v1").with_name("v2"))
    bench.promote("v2")
    await bench.watch.look()
    assert "found version 'v1', expected 'v2'" in bench.fleet.workers("toy")[0].problem


async def test_a_version_whose_manifest_is_not_the_recorded_one_never_replaces_a_serving_one(
    bench: Bench, tmp_path: Path
) -> None:
    """As of who rewrites a version with all its hashes, which the version itself cannot tell."""
    recorded = {
        version: sha256_of((add_toy_version(bench.store, version, seed=seed) / MANIFEST_FILE).read_bytes())
        for version, seed in (("v1", 1), ("v2", 2))
    }
    bench.fleet.publish("toy", {CHAMPION: "v1"}, manifests=recorded)
    await bench.watch.look()
    other = add_toy_version(BentoModelStore(tmp_path / "elsewhere"), "v2", seed=3)
    shutil.copytree(other, bench.store.directory("toy", "v2"), dirs_exist_ok=True)
    bench.fleet.publish("toy", {CHAMPION: "v2"}, manifests=recorded)
    await bench.watch.look()

    (report,) = bench.fleet.workers("toy")
    assert (bench.version, report.version) == ("v1", "v1")
    assert f"{recorded['v2']} was registered; go back to the one before" in report.problem


async def test_a_version_of_before_manifests_were_recorded_serves_and_the_log_says_so(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    add_toy_version(bench.store, "v1")
    bench.promote("v1")
    await bench.watch.look()

    assert bench.version == "v1"
    assert "toy v1 was registered before the SHA-256 of manifests was recorded" in caplog.text


class UnwritableFleet(FleetFiles):
    """Cannot report, the first few times."""

    failures = 3

    def report(self, *args: object) -> None:
        self.failures -= 1
        if self.failures < 0:
            raise Ended
        raise OSError(28, "No space left on device")


class Ended(BaseException):
    """Leaves the endless loop."""


async def test_a_look_that_fails_is_not_the_last(bench: Bench, tmp_path: Path) -> None:
    bench.watch.fleet = UnwritableFleet(tmp_path / "aliases", tmp_path / "workers")
    with contextlib.suppress(Ended):
        await bench.watch.follow()
    assert bench.sample("bellwether_model_load_failures_total") == 3
