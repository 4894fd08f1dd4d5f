"""Several processes that start together on files that are not there yet, as the workers of a new home do."""

import asyncio
import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

from services.adapters.event_log_sqlite import EventLogSqlite
from services.adapters.features_sqlite import FeaturesSqlite
from services.adapters.record_store import RecordStoreSql

PROCESSES = 4
ROUNDS = 8


def open_everything(together: Barrier, directories: list[Path]) -> None:
    """Runs in a process of its own, whose exit code says whether every opening succeeded."""
    for directory in directories:
        for open_one in (open_log, open_features, open_store):
            together.wait(30)
            open_one(directory)


def open_log(directory: Path) -> None:
    EventLogSqlite(directory / "events.sqlite").close()


def open_features(directory: Path) -> None:
    asyncio.run(FeaturesSqlite(directory / "features.sqlite").close())


def open_store(directory: Path) -> None:
    store = RecordStoreSql(f"sqlite:///{directory / 'records.sqlite'}")
    store.migrate()
    store.close()


def test_processes_that_open_new_files_at_the_same_moment_all_succeed(tmp_path: Path) -> None:
    directories = [tmp_path / str(number) for number in range(ROUNDS)]
    for directory in directories:
        directory.mkdir()
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(PROCESSES)
    processes = [spawn.Process(target=open_everything, args=(together, directories)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0] * PROCESSES
