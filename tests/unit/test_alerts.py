import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.lifecycle.alerts import NOTE_LENGTH, Code, MalformedAlert, Receipt, Result, intake
from services.adapters.record_store import RecordStoreSql
from services.core.records import Job, JobState
from tests.toy import NOON, confirmed_drift, toy_spec
from tests.workshop import SPEC, Bench, drift_payload, open_bench

DAY = timedelta(days=1)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = open_bench(tmp_path)
    yield bench
    bench.store.close()


def take(bench: Bench, payload: dict[str, Any] | bytes, *, at: timedelta = timedelta()) -> Receipt:
    (receipt,) = intake(payload, store=bench.store, specs={"toy": SPEC}, now=NOON + at)
    return receipt


def close(bench: Bench, job: int | None, state: JobState, *, at: timedelta = timedelta()) -> None:
    bench.store.update_job(job or 0, state=state, note="", closed_at=NOON + at)


def altered(**members: Any) -> dict[str, Any]:
    payload = drift_payload(NOON)
    payload["alerts"][0] |= members
    return payload


def test_a_drift_alert_opens_one_job_that_knows_its_features_and_since_when(bench: Bench) -> None:
    receipt = take(bench, drift_payload(NOON - DAY, features="amount,plan"))

    (job,) = bench.store.jobs("toy", limit=5)
    assert (receipt.result, receipt.job) == ("accepted", job.id)
    assert (job.state, job.since, job.evidence) == (JobState.WAITING, NOON - DAY, {"features": ["amount", "plan"]})


def test_bytes_are_taken_like_the_object_that_they_encode(bench: Bench) -> None:
    assert take(bench, json.dumps(drift_payload(NOON)).encode()).result == "accepted"


@pytest.mark.parametrize(
    ("payload", "result", "reason"),
    [
        (altered(status="resolved"), "ignored", "only firing alerts"),
        (drift_payload(NOON, alertname="DiskFull"), "refused", "starts no retraining"),
        (drift_payload(NOON, model="nobody"), "refused", "no model 'nobody'"),
        (altered(annotations={}), "refused", "no evaluation has confirmed drift of toy"),
        (altered(annotations={"since": "2026-03-01T12:00:00"}), "refused", "time zone"),
        (altered(annotations={"since": "soon"}), "refused", "'since'"),
        (altered(annotations={"since": "0001-01-01T00:00:00+14:00"}), "refused", "out of range"),
        (altered(annotations={"since": "9999-12-31T23:59:59-14:00"}), "refused", "out of range"),
    ],
)
def test_what_starts_nothing_says_why(bench: Bench, payload: dict[str, Any], result: str, reason: str) -> None:
    receipt = take(bench, payload)

    assert receipt.result == result
    assert reason in receipt.reason
    assert bench.store.jobs("toy", limit=5) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b"[]", b'{"version": "4"}', b'{"version": "3", "alerts": []}', b"[" * 100_000],
)
def test_a_body_that_is_no_webhook_payload_is_refused_whole(bench: Bench, body: bytes) -> None:
    with pytest.raises(MalformedAlert):
        intake(body, store=bench.store, specs={"toy": SPEC}, now=NOON)


@pytest.mark.parametrize(
    "forged",
    [
        {"status": None},
        {"labels": {"alertname": ["ModelInputDrift"]}},
        {"labels": "model=toy"},
        {"annotations": {"since": 1772366400}},
        {"startsAt": "yesterday"},
        {"fingerprint": 7},
    ],
)
def test_a_payload_with_one_forged_alert_takes_none_of_the_sound_ones(bench: Bench, forged: dict[str, Any]) -> None:
    payload = drift_payload(NOON) | {"alerts": [*drift_payload(NOON)["alerts"], *altered(**forged)["alerts"]]}

    for body in (payload, json.dumps(payload).encode()):
        with pytest.raises(MalformedAlert):
            intake(body, store=bench.store, specs={"toy": SPEC}, now=NOON)
    assert bench.store.jobs("toy", limit=5) == []


def test_a_body_that_was_cut_short_anywhere_takes_nothing(bench: Bench) -> None:
    body = json.dumps(drift_payload(NOON)).encode()

    for cut in range(len(body)):
        with pytest.raises(MalformedAlert):
            intake(body[:cut], store=bench.store, specs={"toy": SPEC}, now=NOON)
    assert bench.store.jobs("toy", limit=5) == []


def test_each_alert_of_a_payload_has_its_own_receipt_in_order(bench: Bench) -> None:
    alerts = [altered(status="resolved"), drift_payload(NOON), drift_payload(NOON), drift_payload(NOON, model="nobody")]
    payload = drift_payload(NOON) | {"alerts": [each["alerts"][0] for each in alerts]}

    receipts = intake(payload, store=bench.store, specs={"toy": SPEC}, now=NOON)

    assert [each.result for each in receipts] == ["ignored", "accepted", "ignored", "refused"]


class CountedDesk:
    """Counts how often a model's jobs are read."""

    def __init__(self, store: RecordStoreSql) -> None:
        self._store = store
        self.reads = 0

    def jobs(self, model: str, *, limit: int) -> list[Job]:
        self.reads += 1
        return self._store.jobs(model, limit=limit)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_the_jobs_of_a_model_are_read_for_a_payload_and_not_for_each_of_its_alerts(bench: Bench) -> None:
    desk = CountedDesk(bench.store)
    payload = drift_payload(NOON)
    payload["alerts"] = [payload["alerts"][0] | {"fingerprint": f"{number}"} for number in range(200)]

    receipts = intake(payload, store=desk, specs={"toy": SPEC}, now=NOON)

    assert [each.code for each in receipts] == [Code.JOB_OPENED, *[Code.JOB_OPEN] * 199]
    assert desk.reads <= 2


def test_a_model_has_one_open_job_whatever_else_drifts(bench: Bench) -> None:
    take(bench, drift_payload(NOON))

    assert "is open" in take(bench, drift_payload(NOON - DAY), at=2 * DAY).reason


def test_an_alert_that_led_to_a_new_version_leads_to_no_other(bench: Bench) -> None:
    close(bench, take(bench, drift_payload(NOON)).job, JobState.PROMOTED)

    assert "with a new version" in take(bench, drift_payload(NOON), at=30 * DAY).reason


def test_a_job_of_a_clock_that_was_ahead_keeps_nobody_from_a_retraining(bench: Bench) -> None:
    ahead = take(bench, drift_payload(NOON), at=500 * DAY)
    close(bench, ahead.job, JobState.REFUSED, at=500 * DAY)

    assert take(bench, drift_payload(NOON)).result == "accepted"


def test_a_job_of_a_clock_that_was_a_little_ahead_counts_as_one_of_now(bench: Bench) -> None:
    ahead = take(bench, drift_payload(NOON), at=DAY / 4)
    close(bench, ahead.job, JobState.REFUSED, at=DAY / 4)

    assert take(bench, drift_payload(NOON)).code == "cool_down"


def test_drift_that_was_confirmed_ahead_of_the_clock_is_not_on_record(bench: Bench) -> None:
    bench.store.save_results([confirmed_drift(NOON + 500 * DAY)])

    assert take(bench, altered(annotations={})).code == "not_on_record"


def test_a_refused_job_may_be_tried_again_once_the_cool_down_is_over(bench: Bench) -> None:
    close(bench, take(bench, drift_payload(NOON)).job, JobState.REFUSED)

    assert "cool-down" in take(bench, drift_payload(NOON), at=DAY / 2).reason
    assert take(bench, drift_payload(NOON), at=2 * DAY).result == "accepted"


def test_an_alert_that_fires_anew_is_another_alert_than_the_one_that_was_answered(bench: Bench) -> None:
    close(bench, take(bench, drift_payload(NOON)).job, JobState.PROMOTED)

    assert take(bench, altered(startsAt=(NOON + DAY).isoformat()), at=2 * DAY).result == "accepted"


def test_a_model_has_so_many_jobs_a_day_and_no_more(bench: Bench) -> None:
    hour = timedelta(hours=1)
    spec = toy_spec(gate=SPEC.gate, retraining=replace(SPEC.retraining, cool_down=timedelta(), per_day=2))

    def taken(at: timedelta) -> Receipt:
        (receipt,) = intake(drift_payload(NOON), store=bench.store, specs={"toy": spec}, now=NOON + at)
        return receipt

    for at in (timedelta(), hour):
        close(bench, taken(at).job, JobState.FAILED, at=at)

    assert taken(2 * hour).reason == "2 jobs within a day, at most 2"
    assert taken(DAY).result == "accepted"


def test_a_change_in_the_future_is_taken_to_have_begun_now(bench: Bench) -> None:
    take(bench, drift_payload(NOON + 100 * DAY))

    assert bench.store.jobs("toy", limit=1)[0].since == NOON


def test_what_an_alert_does_not_say_is_looked_up_in_the_record(bench: Bench) -> None:
    bench.store.save_results([confirmed_drift(NOON - 3 * DAY), confirmed_drift(NOON - DAY, confirmed=False)])

    receipt = take(bench, altered(annotations={"summary": "says a rule of Prometheus"}))

    (job,) = bench.store.jobs("toy", limit=5)
    assert (receipt.result, receipt.code) == (Result.ACCEPTED, Code.JOB_OPENED)
    assert (job.since, job.evidence) == (NOON - 3 * DAY, {"features": ["amount"]})


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_storm_of_deliveries_opens_exactly_one_job(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    order = random.Random(seed)  # noqa: S311 - a shuffle
    bench = open_bench(tmp_path_factory.mktemp("storm"))
    sound = json.dumps(drift_payload(NOON)).encode()
    others = [json.dumps(altered(status="resolved")).encode(), sound[: order.randrange(len(sound))], b"{}", b"\x00"]
    storm = [sound] * 20 + others * 5
    order.shuffle(storm)

    receipts = [receipt for body in storm for receipt in delivered(bench, body)]

    assert sum(receipt.result == "accepted" for receipt in receipts) == 1
    assert len(bench.store.jobs("toy", limit=50)) == 1
    bench.store.close()


def delivered(bench: Bench, body: bytes) -> list[Receipt]:
    try:
        return intake(body, store=bench.store, specs={"toy": SPEC}, now=NOON)
    except MalformedAlert:
        return []


@pytest.mark.parametrize("control", ["\x00", "\x1b", "\x7f"])
def test_an_alert_with_control_characters_still_opens_its_job_and_the_job_has_none(bench: Bench, control: str) -> None:
    dirty = f"x{control}y"
    payload = altered(
        fingerprint=dirty,
        annotations={"since": NOON.isoformat(), "summary": f"two\nlines {dirty}", "features": f"amount,{dirty}"},
    )
    assert take(bench, payload).result == "accepted"
    (job,) = bench.store.jobs("toy", limit=5)
    assert (job.note, job.evidence) == ("two lines x\ufffdy", {"features": ["amount"]})
    assert job.dedupe_key.startswith("x\ufffdy@")


def test_a_job_keeps_a_bounded_part_of_what_an_alert_says(bench: Bench) -> None:
    endless = "x" * 100_000
    annotations = {"since": NOON.isoformat(), "summary": endless, "features": endless}
    take(bench, altered(annotations=annotations, fingerprint=endless))
    (job,) = bench.store.jobs("toy", limit=5)
    assert (len(job.note), len(job.dedupe_key) < 300, job.evidence) == (NOTE_LENGTH, True, {"features": []})


@pytest.mark.parametrize(
    "since", ["0001-01-01T00:00:00Z", "1677-12-31T00:00:00Z", "9999-12-31T23:59:59Z", "x" * 10_000]
)
def test_a_time_of_no_use_is_refused_in_few_words(bench: Bench, since: str) -> None:
    receipt = take(bench, altered(annotations={"since": since}))
    assert (receipt.code, len(receipt.reason) < 300) == ("no_time", True)
