"""Questions to a service, one after another, and how many it says that it answered."""

import time
from typing import Any, Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

COUNTED_SECONDS: Final = 5.0
"""Workers publish their counters a moment after the answer."""


def ask(address: str, model: str, question: dict[str, Any], *, times: int) -> int:
    """How many of these requests failed."""
    failed = 0
    with httpx.Client(base_url=address) as client:
        for _ in range(times):
            try:
                failed += not client.post(f"/v1/models/{model}/predict", json=question).is_success
            except httpx.TransportError:
                failed += 1
    return failed


def is_ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/readyz").is_success
    except httpx.TransportError:
        return False


def counted(address: str, *, expected: int) -> float:
    """Answers by the service's own metrics."""
    deadline = time.monotonic() + COUNTED_SECONDS
    while (found := _counter(address)) < expected and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def _counter(address: str) -> float:
    families = text_string_to_metric_families(httpx.get(f"{address}/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name == "bellwether_predictions_total")
