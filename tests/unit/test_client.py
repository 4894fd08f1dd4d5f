import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from services.core.errors import SettingsError
from services.core.features import Reading
from services.traffic.client import Outcome, PredictionClient, Refused, Unanswered
from services.traffic.latencies import Latencies
from tests.toy import NOON
from tests.traffic_doubles import RecordingService, running


def unavailable_at_first(attempt: int) -> web.StreamResponse | None:
    return web.Response(status=503) if attempt <= 2 else None


def always_unavailable(_: int) -> web.StreamResponse | None:
    return web.Response(status=503, text="starting")


def broken(_: int) -> web.StreamResponse | None:
    return web.Response(status=500, text="a defect")


def refuses(_: int) -> web.StreamResponse | None:
    return web.json_response({"error": "invalid_request", "detail": "plan: found 3"}, status=422)


def elsewhere(_: int) -> web.StreamResponse | None:
    return web.Response(status=307, headers={"Location": "http://192.0.2.1/"})


def service(**more: object) -> RecordingService:
    return RecordingService(now=lambda: NOON, **more)  # type: ignore[arg-type]  # the fields are those of the double


async def test_a_prediction_carries_its_request_id_and_comes_back_as_an_answer() -> None:
    recorded = service()
    async with running(recorded) as url, PredictionClient(url, model="toy") as client:
        answer = await client.predict("user-1", {"plan": "monthly", "amount": 1.5}, request_id="r-1")
    assert recorded.predictions == [
        {"entity_id": "user-1", "features": {"plan": "monthly", "amount": 1.5}, "request_id": "r-1"}
    ]
    assert (answer.model, answer.made_at) == ("toy", NOON)
    assert (client.counts.sent, client.counts.failed, client.counts.retried) == (1, 0, 0)


async def test_an_unavailable_service_is_asked_again_with_the_same_request_id() -> None:
    recorded = service(behaviour=unavailable_at_first)
    async with running(recorded) as url, PredictionClient(url, model="toy") as client:
        await client.predict("user-1", {}, request_id="r-1")
    assert [each["request_id"] for each in recorded.predictions] == ["r-1"] * 3
    assert (client.counts.sent, client.counts.failed, client.counts.retried) == (1, 0, 2)


async def test_a_request_that_never_gets_an_answer_fails_once_and_says_why() -> None:
    recorded = service(behaviour=always_unavailable)
    async with running(recorded) as url, PredictionClient(url, model="toy", patience_seconds=0.1) as client:
        with pytest.raises(Unanswered, match="starting"):
            await client.predict("user-1", {}, request_id="r-1")
    assert (client.counts.sent, client.counts.failed) == (1, 1)
    assert "starting" in client.counts.last_problem


async def test_a_service_that_is_not_there_is_waited_for_and_then_given_up(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    async with PredictionClient(url, model="toy", patience_seconds=0.1) as client:
        with pytest.raises(Unanswered):
            await client.predict("user-1", {}, request_id="r-1")
    assert client.counts.failed == 1
    assert client.counts.retried >= 1


async def test_a_defect_of_the_service_is_not_asked_for_again() -> None:
    recorded = service(behaviour=broken)
    async with running(recorded) as url, PredictionClient(url, model="toy") as client:
        with pytest.raises(Unanswered, match="a defect"):
            await client.predict("user-1", {}, request_id="r-1")
    assert recorded.attempts == Counter(predict=1)


async def test_a_refused_request_is_an_answer_and_not_a_failure() -> None:
    recorded = service(behaviour=refuses)
    async with running(recorded) as url, PredictionClient(url, model="toy") as client:
        with pytest.raises(Refused, match="plan: found 3"):
            await client.predict("user-1", {}, request_id="r-1")
    assert (client.counts.refused, client.counts.failed, client.counts.retried) == (1, 0, 0)


async def test_a_redirect_is_not_followed_away_from_this_machine() -> None:
    async with running(service(behaviour=elsewhere)) as url, PredictionClient(url, model="toy") as client:
        with pytest.raises(Refused):
            await client.predict("user-1", {}, request_id="r-1")


@pytest.mark.parametrize("url", ["http://example.org", "http://192.168.1.5:3000", "http://0.0.0.0:3000", "nonsense"])
def test_traffic_to_another_machine_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="this machine only"):
        PredictionClient(url, model="toy")


@pytest.mark.parametrize("url", ["http://127.0.0.1:3000", "http://localhost:3000/", "http://[::1]:3000"])
def test_traffic_to_this_machine_is_welcome(url: str) -> None:
    PredictionClient(url, model="toy")


async def test_readings_are_written_with_their_own_times_and_a_blank_as_null() -> None:
    recorded = service()
    async with running(recorded) as url, PredictionClient(url, model="toy") as client:
        await client.write_features("user/1", {"visits": Reading(3.0, NOON), "mood": Reading(None, NOON)})
    assert recorded.written == {
        "user/1": {
            "visits": {"value": 3.0, "observed_at": "2026-03-01T12:00:00Z"},
            "mood": {"value": None, "observed_at": "2026-03-01T12:00:00Z"},
        }
    }


async def test_values_that_gave_way_to_newer_ones_are_counted() -> None:
    recorded = service()
    recorded.results = {"visits": "kept_newer", "mood": "written"}
    async with running(recorded) as url, PredictionClient(url, model="toy") as client:
        for _ in range(2):
            await client.write_features("u", {"visits": Reading(3.0, NOON), "mood": Reading(1.0, NOON)})
    assert (client.counts.kept_newer, client.counts.refused) == (2, 0)


async def test_many_outcomes_go_in_bounded_batches() -> None:
    recorded = service()
    outcomes = [Outcome(f"p-{n}", "left", NOON + timedelta(seconds=n)) for n in range(1100)]
    async with running(recorded) as url, PredictionClient(url, model="toy") as client:
        assert await client.send_outcomes(outcomes) == 1100
    assert recorded.attempts == Counter(outcomes=3)
    assert [each["prediction_id"] for each in recorded.outcomes] == [each.prediction_id for each in outcomes]


class BusyLog(RecordingService):
    """Cannot record the outcome of p-1 before the third attempt, and finds that of p-2 wrong."""

    def _receipt(self, row: dict[str, Any]) -> dict[str, Any]:
        if row["prediction_id"] == "p-1" and self.attempts["outcomes"] < 3:
            return {"result": "refused", "faults": ["the log is busy"], "retriable": True}
        if row["prediction_id"] == "p-2":
            return {"result": "refused", "faults": ["value: found 'gone'"]}
        return super()._receipt(row)


OUTCOMES = [Outcome(f"p-{n}", "left", NOON) for n in range(4)]


async def test_an_outcome_that_could_not_be_recorded_is_sent_again_by_itself_and_a_wrong_one_is_not() -> None:
    busy = BusyLog(now=lambda: NOON)
    async with running(busy) as url, PredictionClient(url, model="toy") as client:
        assert await client.send_outcomes(OUTCOMES) == 3
    assert [each["prediction_id"] for each in busy.outcomes] == ["p-0", "p-3", "p-1"]
    assert (client.counts.refused, client.counts.retried, client.counts.failed) == (1, 2, 0)
    assert client.counts.last_problem == "value: found 'gone'"


async def test_outcomes_that_cannot_be_recorded_in_time_are_not_passed_over() -> None:
    busy = BusyLog(now=lambda: NOON)
    async with running(busy) as url, PredictionClient(url, model="toy", patience_seconds=0.01) as client:
        with pytest.raises(Unanswered, match=r"1 outcomes could not be recorded.*the log is busy"):
            await client.send_outcomes([OUTCOMES[0], OUTCOMES[1]])


@pytest.mark.parametrize("answer", [{"rows": []}, {"accepted": 4}, []])
async def test_receipts_that_do_not_fit_the_outcomes_are_a_refusal(answer: object) -> None:
    recorded = service(behaviour=lambda _: web.json_response(answer))
    async with running(recorded) as url, PredictionClient(url, model="toy") as client:
        with pytest.raises(Refused):
            await client.send_outcomes(OUTCOMES)


async def test_no_more_requests_are_in_flight_than_allowed() -> None:
    crowd = Crowd()
    async with running(crowd.service) as url, PredictionClient(url, model="toy", concurrency=3) as client:
        await asyncio.gather(*(client.predict("u", {}, request_id=str(n)) for n in range(20)))
    assert crowd.most <= 3
    assert client.counts.latencies.total == 20


class Crowd:
    """Counts the requests that are with the service at once: between the arrival of a body and its answer."""

    def __init__(self) -> None:
        self.most = self.present = 0
        self.service = _Crowded(self)


class _Crowded(RecordingService):
    def __init__(self, crowd: Crowd) -> None:
        super().__init__(now=lambda: NOON)
        self._crowd = crowd

    async def _predict(self, request: web.Request) -> web.StreamResponse:
        self._crowd.present += 1
        self._crowd.most = max(self._crowd.most, self._crowd.present)
        try:
            # Lets every other request in that the client would let out.
            for _ in range(10):
                await asyncio.sleep(0)
            return await super()._predict(request)
        finally:
            self._crowd.present -= 1


def test_quantiles_of_latencies_are_right_to_five_per_cent() -> None:
    latencies = Latencies()
    for n in range(1, 1001):
        latencies.observe(n / 1000)
    assert latencies.quantile(0.5) == pytest.approx(0.5, rel=0.06)
    assert latencies.quantile(0.99) == pytest.approx(0.99, rel=0.06)


def test_without_requests_there_is_no_quantile() -> None:
    assert Latencies().quantile(0.5) is None


@pytest.mark.parametrize(
    ("token", "sent"), [("a-token-of-many-characters", "Bearer a-token-of-many-characters"), ("", None)]
)
async def test_a_token_goes_along_with_everything_that_is_sent(token: str, sent: str | None) -> None:
    recorded = service()
    async with running(recorded) as url, PredictionClient(url, model="toy", token=token) as client:
        await client.write_features("user-1", {"visits": Reading(3, NOON)})
        await client.predict("user-1", {}, request_id="r-1")
        await client.send_outcomes([Outcome("p-1", "left", NOON)])
    assert recorded.authorizations == [sent] * 3
