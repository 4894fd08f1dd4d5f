"""Consumers that come and go."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from services.adapters.event_log_kafka import KafkaSink, KafkaSource
from services.adapters.record_store import RecordStoreSql
from services.ingest.consume import consume
from tests.consuming import Heard
from tests.integration.kafka.carrying import await_portions, carry_until, event, ids, keep_rows
from tests.toy import NOON


class TestRebalances:
    def test_a_batch_whose_partition_went_to_another_is_stored_once_and_moves_no_position_back(
        self, sink: KafkaSink, open_source: Callable[[], KafkaSource], store: RecordStoreSql
    ) -> None:
        sink.deliver([event(number) for number in range(40)])
        slow, other = open_source(), open_source()
        held = await_portions(slow)
        slow.close()
        sink.deliver([event(number) for number in range(40, 80)])
        carry_until(other, store, lambda: len(store.stored_event_ids(list(ids(*range(80))))) == 80)
        before = {portion.partition: store.position(portion.partition) for portion in held}

        keep_rows(store, held)

        assert {portion.partition: store.position(portion.partition) for portion in held} == before
        assert all(portion.position < before[portion.partition] for portion in held)
        assert (store.counts().predictions, store.stored_twice()) == (80, 0)

    def test_members_that_come_and_go_leave_out_nothing_and_settle_by_themselves(
        self, sink: KafkaSink, open_source: Callable[[], KafkaSource], store: RecordStoreSql
    ) -> None:
        with consuming(open_source, store), consuming(open_source, store) as leave:
            for start in range(0, 300, 20):
                sink.deliver([event(number) for number in range(start, start + 20)])
                if start == 100:
                    leave()
                if start == 200:
                    with consuming(open_source, store):
                        await_stored(store, count=200)
            await_stored(store, count=300)

        assert (store.counts().predictions, store.stored_twice()) == (300, 0)


@contextlib.contextmanager
def consuming(open_source: Callable[[], KafkaSource], store: RecordStoreSql) -> Iterator[Callable[[], None]]:
    """One more member of the group, on a thread of its own. Yields what makes it leave before the end."""
    leaving = threading.Event()
    source = open_source()

    def loop() -> None:
        consume(
            source,
            store,
            limit=5,
            now=lambda: NOON,
            stop=leaving,
            idle_seconds=0.02,
            observer=Heard(),
            each_round=lambda: None,
        )
        source.close()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield leaving.set
    finally:
        leaving.set()
        thread.join(30)


def await_stored(store: RecordStoreSql, *, count: int) -> None:
    deadline = time.monotonic() + 30
    while store.counts().predictions < count:
        assert time.monotonic() < deadline, f"{store.counts().predictions} of {count} stored"
        time.sleep(0.02)
