"""A process that writes its name into the store as fast as it can while it holds a lease, until it is told to stop.

python -m tests.integration.lease_worker URL NAME SECONDS
"""

import sys
from contextlib import suppress
from datetime import timedelta

from monitoring.entrypoints.tenure import Tenure
from services.adapters.record_store import RecordStoreSql
from services.core.errors import LeaseLost
from services.core.ports import RecordStore
from services.core.records import AliasChange
from services.entrypoints.processes import stop_on_signals
from tests.toy import NOON

MODEL = "toy"


def main(url: str, name: str, seconds: str) -> None:
    stop, store = stop_on_signals(), RecordStoreSql(url)
    with Tenure(store, work="test", models=[MODEL], lasts=timedelta(seconds=float(seconds))) as tenure:
        print("at its desk", flush=True)
        while not stop.is_set():
            lease = tenure.lease_of(MODEL)
            # Between the look at the lease and the writing is where a process that stands still does harm.
            stop.wait(0.01)
            if lease is not None:
                with suppress(LeaseLost):
                    sign(store.fenced(lease), name)
    store.close()


def sign(store: RecordStore, name: str) -> None:
    """What the workers have written stands in the order of the commits."""
    store.move_alias(AliasChange(model=MODEL, alias="champion", version=name, previous="", at=NOON, reason="a test"))


if __name__ == "__main__":
    main(*sys.argv[1:])
