"""What is counted, and how the workers of one server add up."""

import math
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry

from services.core.records import Batch, DeadLetter, Stored
from services.core.transport import Lag, Unsent
from services.metrics import ConsumerMetrics, ForwarderMetrics, Serves, ServingMetrics, exposition
from tests.toy import NOON, prediction

# Metrics keep their values where the process's environment said when prometheus_client was imported.
COUNTING_WORKER = """
import sys
from prometheus_client import CollectorRegistry
from services.metrics import Serves, ServingMetrics, exposition
from tests.toy import prediction
metrics = ServingMetrics(CollectorRegistry())
metrics.started(["toy"], workers=2)
metrics.answered(prediction(), seconds=0.001)
metrics.publish()
metrics.serves("toy", Serves("v1", "onnx", 2e-5), instead_of=None)
if sys.argv[1] == "show":
    print(exposition(metrics.registry).decode())
"""


def test_the_counts_of_ended_workers_stay_and_their_versions_do_not(tmp_path: Path) -> None:
    def worker(do: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", COUNTING_WORKER, do],
            env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    worker("count")
    assert list(tmp_path.glob("gauge_live*"))
    text = worker("show")
    assert 'bellwether_predictions_total{arm="control",model="toy",served_by="model",version="v1"} 2.0' in text
    assert 'bellwether_model_info{alias="champion",model="toy",version="v1"} 1.0' in text
    assert 'bellwether_model_row_seconds{form="onnx",model="toy",version="v1"} 2e-05' in text
    assert "bellwether_workers 1.0" in text
    assert "bellwether_workers_wanted 2.0" in text
    assert 'bellwether_predictions_lost_total{model="toy"} 0.0' in text


def test_a_version_that_is_no_longer_served_shows_no_time_for_a_row() -> None:
    metrics = ServingMetrics(CollectorRegistry())
    before, now = Serves("v1", "scikit-learn", 0.007), Serves("v2", "onnx", 2e-5)
    metrics.serves("toy", before, instead_of=None)
    metrics.serves("toy", now, instead_of=before)
    shown = {
        each.version: metrics.registry.get_sample_value(
            "bellwether_model_row_seconds", {"model": "toy", "version": each.version, "form": each.form}
        )
        for each in (before, now)
    }
    assert shown == {"v1": 0, "v2": 2e-5}


def test_a_latency_objective_is_the_bound_of_a_bucket() -> None:
    metrics = ServingMetrics(CollectorRegistry(), objectives=[timedelta(milliseconds=80)])
    metrics.answered(prediction(), seconds=0.06)
    metrics.publish()
    bucket = {"model": "toy", "served_by": "model", "le": "0.08"}
    assert metrics.registry.get_sample_value("bellwether_prediction_seconds_bucket", bucket) == 1


def test_without_a_shared_directory_the_registry_itself_is_shown() -> None:
    metrics = ServingMetrics(CollectorRegistry())
    metrics.answered(prediction(), seconds=0.001)
    metrics.publish()
    assert b'bellwether_prediction_seconds_count{model="toy",served_by="model"} 1.0' in exposition(metrics.registry)


def test_the_lag_of_which_nothing_is_known_has_no_line() -> None:
    metrics = ConsumerMetrics(CollectorRegistry())
    metrics.looked([Lag(topic="event-log", partition=0, events=7)], at=NOON)
    of_log = {"topic": "event-log", "partition": "0"}
    assert metrics.registry.get_sample_value("bellwether_consumer_lag", of_log) == 7
    metrics.looked([], at=NOON)
    assert metrics.registry.get_sample_value("bellwether_consumer_lag", of_log) is None


def test_whether_the_store_is_there_is_no_number_before_somebody_knows() -> None:
    metrics = ConsumerMetrics(CollectorRegistry())
    told = [metrics.registry.get_sample_value("bellwether_store_up")]
    for there in (True, False):
        metrics.store_is(there=there)
        told.append(metrics.registry.get_sample_value("bellwether_store_up"))
    assert math.isnan(told[0] or 0)
    assert told[1:] == [1, 0]


def test_what_waits_in_a_log_that_cannot_be_read_is_no_number_and_its_age_grows() -> None:
    metrics = ForwarderMetrics(CollectorRegistry())
    value = metrics.registry.get_sample_value
    metrics.waiting(Unsent(events=3, oldest_at=NOON), limit=10, at=NOON)
    metrics.waiting_is_unknown()
    assert math.isnan(value("bellwether_outbox_depth") or 0)
    assert math.isnan(value("bellwether_outbox_oldest_seconds") or 0)
    assert value("bellwether_forwarder_last_round_timestamp_seconds") == NOON.timestamp()


def test_a_committed_batch_is_counted_by_what_became_of_its_events() -> None:
    registry = CollectorRegistry()
    letter = DeadLetter(
        event_id="e", reason="undecodable", detail="", origin="log:1", type="t", key="k", data=b"", at=NOON
    )
    batch = Batch([prediction()], [], [letter])
    ConsumerMetrics(registry).consumed(Stored(stored=1, duplicates=2, dead_lettered=1), batch)
    assert registry.get_sample_value("bellwether_events_stored_total") == 1
    assert registry.get_sample_value("bellwether_events_duplicate_total") == 2
    assert registry.get_sample_value("bellwether_events_dead_lettered_total", {"reason": "undecodable"}) == 1
