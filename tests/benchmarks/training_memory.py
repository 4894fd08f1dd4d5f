"""`python -m tests.benchmarks.training_memory STORE ROWS`: what a training set of so many rows takes, as JSON."""

import gc
import json
import sys
import time
from contextlib import closing
from datetime import timedelta
from threading import Event, Thread
from typing import Final

import psutil

from monitoring.lifecycle.training_set import served_rows
from services.adapters.record_store import RecordStoreSql
from tests.toy import NOON, toy_spec

LOOK_SECONDS: Final = 0.005


class Peak:
    """The largest resident memory of this process while it was looked at, in bytes."""

    def __init__(self) -> None:
        self._process, self._ended = psutil.Process(), Event()
        self.bytes = 0
        self._thread = Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Peak":
        gc.collect()
        self.idle = self._process.memory_info().rss
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            self.bytes = max(self.bytes, self._process.memory_info().rss)


def main(url: str, rows: int) -> dict[str, float]:
    """`rows` are those that came back, `megabytes` the peak above idle, `seconds` how long it took."""
    spec = toy_spec()
    with closing(RecordStoreSql(url)) as store, Peak() as peak:
        began = time.process_time()
        until = NOON + rows * timedelta(seconds=1) + spec.task.outcome_delay
        frame = served_rows(spec, store, made_from=NOON, now=until)
        seconds = time.process_time() - began
    return {"rows": len(frame), "megabytes": (peak.bytes - peak.idle) / 1e6, "seconds": seconds}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
