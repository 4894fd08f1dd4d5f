"""What the consumer's process shows of its store while nothing comes."""

from prometheus_client import CollectorRegistry

from services.core.errors import StoreUnavailable
from services.entrypoints.consumer import ASK_SECONDS, AskedSometimes
from services.metrics import ConsumerMetrics
from tests.fakes import StoreInMemory


class AskedStore(StoreInMemory):
    """Counts who asks for a position, and is away while it is told so."""

    asked = 0
    away = False

    def position(self, consumer: str) -> int:
        self.asked += 1
        if self.away:
            raise StoreUnavailable("record store: away")
        return 0


def test_an_idle_consumer_asks_its_store_now_and_then_and_shows_what_it_hears() -> None:
    store, metrics, clock = AskedStore(), ConsumerMetrics(CollectorRegistry()), [0.0]
    ask = AskedSometimes(store.port, metrics, monotonic=lambda: clock[0])
    told = []
    for clock[0], store.away in ((0.0, False), (1.0, True), (ASK_SECONDS, True), (2 * ASK_SECONDS, False)):
        ask()
        told.append(metrics.registry.get_sample_value("bellwether_store_up"))
    assert (told, store.asked) == ([1, 1, 0, 1], 3)
