"""One request becomes one recorded answer, whatever fails on the way."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from services.adapters.event_log_sqlite import EventLogSqlite
from services.adapters.features_sqlite import FeaturesSqlite
from services.adapters.model_store import BentoModelStore
from services.core.errors import EventLogUnavailable, FeatureSourceDown, InvalidRequest
from services.core.events import Event, LoggedEvent, fact_of, prediction_event, requested_prediction_id
from services.core.features import Reading, Readings, Status, Value
from services.core.ports import EventLog, OnlineFeatures, Settled
from services.core.predictions import Arm, PredictionRequest, ServedBy
from services.core.spec import Categorical, Decision, Feature, Numeric, Source
from services.ingest.apply import apply
from services.metrics import ServingMetrics
from services.serving.form import Untrained
from services.serving.lookup import FeatureLookup
from services.serving.outbox import Outbox
from services.serving.predict import Predictor
from services.serving.requests import prediction_request
from services.serving.runtime import ServingModel, load
from tests.artifacts import add_toy_version
from tests.toy import NOON, toy_spec

GIVEN: dict[str, Value] = {"amount": 90.0, "plan": "monthly"}
WRITTEN: dict[str, Value] = {"visits": 4.0, "mood": 0.5}
WITH_WEEKLY: Final = toy_spec(
    features=tuple(
        replace(each, kind=Categorical(("monthly", "yearly", "weekly"))) if each.name == "plan" else each
        for each in toy_spec().features
    )
)
"""A category that was declared after the version was trained."""


class Bench:
    """A predictor on a real log, a real store of features and a real version, at noon."""

    def __init__(self, home: Path) -> None:
        self.log: EventLog = EventLogSqlite(home / "events.sqlite")
        self.features: OnlineFeatures = FeaturesSqlite(home / "features.sqlite")
        self.model: ServingModel | None = load(add_toy_version(BentoModelStore(home), "v1"), toy_spec())
        self.registry = CollectorRegistry()
        self.metrics = ServingMetrics(self.registry)

    def predictor(self, **changes: Any) -> Predictor:
        sound: dict[str, Any] = {
            "spec": toy_spec(),
            "champion": lambda: self.model,
            "lookup": lookup(self.features),
            "outbox": Outbox(self.log),
            "now": lambda: NOON,
            "control_share": 0.0,
            "metrics": self.metrics,
        }
        return Predictor(**(sound | changes))

    async def write(self, values: Mapping[str, Value], *, at: datetime = NOON) -> None:
        await self.features.write("toy", "u", {name: Reading(value, at) for name, value in values.items()})

    @property
    def recorded(self) -> int:
        return len(self.log.read(after=0, limit=100))

    def count(self, name: str, **labels: str) -> float:
        self.metrics.publish()
        return self.registry.get_sample_value(name, {"model": "toy"} | labels) or 0.0


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.log.close()


def lookup(features: OnlineFeatures, *, budget: timedelta = timedelta(milliseconds=20)) -> FeatureLookup:
    return FeatureLookup(spec=toy_spec(), features=features, budget=budget)


def request(**changes: Any) -> PredictionRequest:
    return PredictionRequest(**({"entity_id": "u", "features": GIVEN} | changes))


async def test_a_feature_that_the_version_was_not_trained_with_keeps_it_from_nothing(bench: Bench) -> None:
    extra = Feature("extra", Numeric(), Source.REQUEST, meaning="New", owner="tests", refreshed="hourly")
    more = toy_spec(features=(*toy_spec().features, extra))
    await bench.write(WRITTEN)
    made = await bench.predictor(spec=more).predict(PredictionRequest(entity_id="u", features=GIVEN))
    assert (made.served_by, made.features["extra"].status) == (ServedBy.MODEL, Status.MISSING)


async def test_a_complete_request_is_answered_by_the_model_and_recorded_as_answered(bench: Bench) -> None:
    await bench.write(WRITTEN)
    made = await bench.predictor().predict(request())
    assert bench.model is not None
    assert (made.served_by, made.version, made.made_at) == (ServedBy.MODEL, "v1", NOON)
    assert made.score == bench.model.score(GIVEN | WRITTEN)
    assert fact_of(bench.log.read(after=0, limit=10)[0].event) == made


async def test_a_stale_feature_is_answered_by_the_rule_and_says_so(bench: Bench) -> None:
    await bench.write(WRITTEN, at=NOON - timedelta(hours=50))
    made = await bench.predictor().predict(request())
    assert (made.served_by, made.version, made.score) == (ServedBy.RULE, "v1", 0.6)
    assert made.reasons == ["visits is stale: 50 h old, limit 6 h", "plan is monthly"]


async def test_without_a_version_the_rule_answers(bench: Bench) -> None:
    bench.model = None
    made = await bench.predictor().predict(request())
    assert (made.served_by, made.version) == (ServedBy.RULE, "")
    assert made.reasons[0] == "no model version is loaded"


async def test_a_rule_without_its_inputs_leaves_the_last_resort(bench: Bench) -> None:
    made = await bench.predictor().predict(request(features={}))
    assert made.served_by is ServedBy.LAST_RESORT
    assert (made.label, made.score) == ("stayer", None)
    assert made.reasons[-2:] == ["the rule lacks its inputs", "neither model nor rule could answer"]


async def test_a_model_that_raises_is_answered_by_the_rule_and_counted(bench: Bench) -> None:
    await bench.write(WRITTEN)

    def broken(score: float) -> Decision:
        raise RuntimeError

    made = await bench.predictor(spec=toy_spec(decide=broken)).predict(request())
    assert (made.served_by, made.reasons[0]) == (ServedBy.RULE, "version v1 failed to score")
    assert bench.count("bellwether_answer_failures_total", served_by="model") == 1


async def test_a_model_whose_words_no_store_takes_is_answered_by_the_rule_and_every_event_becomes_a_row(
    bench: Bench,
) -> None:
    await bench.write(WRITTEN)

    def wordy(score: float) -> Decision:
        return Decision(label=f"leaves with {score} " * 20, action="call", score=score)

    made = await bench.predictor(spec=toy_spec(decide=wordy)).predict(request())

    assert made.served_by is ServedBy.RULE
    assert apply([LoggedEvent(1, prediction_event(made))], origin="log", now=NOON).dead_letters == []


async def test_a_category_that_the_version_was_not_trained_for_is_named_to_the_caller_and_in_the_log(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.write(WRITTEN)
    assert bench.model is not None

    def refuse(values: Mapping[str, Value]) -> float:
        raise Untrained("plan", values["plan"], ["monthly", "yearly"])

    bench.model = replace(bench.model, score=refuse)
    made = await bench.predictor(spec=WITH_WEEKLY).predict(request(features=GIVEN | {"plan": "weekly"}))
    reason = (
        "version v1 failed to score: it was not trained for plan: found 'weekly', expected one of monthly, yearly; "
        "`bellwether retrain toy` trains one that can"
    )
    assert (made.served_by, made.reasons[0]) == (ServedBy.RULE, reason)
    assert [(each.getMessage(), bool(each.exc_info)) for each in caplog.records] == [
        (f"toy: {reason}; the rule answers", False)
    ]


async def test_a_category_that_an_estimator_refuses_in_its_own_words_is_named_by_the_manifest(bench: Bench) -> None:
    await bench.write(WRITTEN)
    assert bench.model is not None

    def refuse(_values: Mapping[str, Value]) -> float:
        raise ValueError("Found unknown categories ['weekly'] in column 0 during transform")

    manifest = msgspec.structs.replace(bench.model.manifest, categories={"plan": ["monthly", "yearly"]})
    bench.model = replace(bench.model, score=refuse, manifest=manifest)
    made = await bench.predictor(spec=WITH_WEEKLY).predict(request(features=GIVEN | {"plan": "weekly"}))
    assert made.reasons[0].startswith(
        "version v1 failed to score: it was not trained for plan: found 'weekly', expected one of monthly, yearly; "
    )


async def test_a_rule_that_raises_is_answered_by_the_last_resort_and_counted(bench: Bench) -> None:
    def broken(features: Mapping[str, Value]) -> Decision | None:
        raise RuntimeError

    made = await bench.predictor(spec=toy_spec(rule=broken)).predict(request())
    assert (made.served_by, made.reasons[-2]) == (ServedBy.LAST_RESORT, "the rule failed")
    assert bench.count("bellwether_answer_failures_total", served_by="rule") == 1


class SlowFeatures(FeaturesSqlite):
    async def read(self, model: str, entity_id: str, names: Sequence[str]) -> dict[str, Reading]:
        await asyncio.Event().wait()
        return {}


class DownFeatures(FeaturesSqlite):
    async def read(self, model: str, entity_id: str, names: Sequence[str]) -> dict[str, Reading]:
        raise FeatureSourceDown("connection refused")


@pytest.mark.parametrize(("kind", "words"), [(SlowFeatures, "no answer within 5 ms"), (DownFeatures, "refused")])
async def test_a_source_that_is_slow_or_down_costs_the_model_and_not_the_request(
    bench: Bench, tmp_path: Path, kind: type[FeaturesSqlite], words: str
) -> None:
    features = kind(tmp_path / "features.sqlite")
    predictor = bench.predictor(lookup=lookup(features, budget=timedelta(milliseconds=5)))
    made = await predictor.predict(request())
    assert made.served_by is ServedBy.RULE
    assert made.features["visits"].status is Status.SOURCE_DOWN
    assert words in made.reasons[0]


class TimeTravellingFeatures(FeaturesSqlite):
    """A value is written while the look-up runs."""

    now = NOON

    async def read(self, model: str, entity_id: str, names: Sequence[str]) -> Readings:  # type: ignore[override]
        self.now += timedelta(hours=1)
        return {name: Reading(1.0, self.now) for name in names}


async def test_a_value_written_during_the_look_up_does_not_come_from_the_future(bench: Bench, tmp_path: Path) -> None:
    features = TimeTravellingFeatures(tmp_path / "features.sqlite")
    made = await bench.predictor(lookup=lookup(features), now=lambda: features.now).predict(request())
    assert {verdict.status for verdict in made.features.values()} == {Status.OK}


async def test_the_same_request_id_gives_the_same_answer_and_one_event(bench: Bench) -> None:
    first = await bench.predictor().predict(request(request_id="r"))
    await bench.write(WRITTEN)
    later = bench.predictor(now=lambda: NOON + timedelta(days=1))
    assert await later.predict(request(request_id="r")) == first
    assert bench.recorded == 1
    assert bench.count("bellwether_predictions_repeated_total") == 1


async def test_racing_requests_with_one_id_get_one_answer(bench: Bench) -> None:
    hours = iter(range(20))
    predictor = bench.predictor(now=lambda: NOON + timedelta(hours=next(hours)))
    made = await asyncio.gather(*(predictor.predict(request(request_id="r")) for _ in range(10)))
    assert len({each.made_at for each in made}) == 1
    assert bench.recorded == 1
    assert bench.count("bellwether_events_appended_total", type="prediction") == 1


async def test_a_request_id_of_another_entity_is_refused_and_tells_nothing_of_it(bench: Bench) -> None:
    await bench.predictor().predict(request(request_id="r", entity_id="somebody"))
    with pytest.raises(InvalidRequest, match="another entity_id") as refused:
        await bench.predictor().predict(request(request_id="r"))
    assert "somebody" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"features": {"amount": 91.0, "plan": "monthly"}}, "features.amount;"),
        ({"features": {"amount": 91.0, "plan": "yearly"}}, "features.amount, features.plan;"),
        ({"features": {"amount": 90.0}}, "features.plan;"),
        ({"features": {}}, "features.amount, features.plan;"),
        ({"started_at": NOON}, "started_at;"),
        ({"features": {"plan": "monthly"}, "started_at": NOON}, "features.amount, started_at;"),
    ],
)
async def test_a_request_id_with_other_content_is_refused_and_says_what_differs(
    bench: Bench, changes: dict[str, Any], named: str
) -> None:
    await bench.predictor().predict(request(request_id="r"))
    with pytest.raises(InvalidRequest, match=f"request_id: was used before with other content of {named} use a new"):
        await bench.predictor().predict(request(request_id="r", **changes))
    assert bench.recorded == 1
    assert bench.count("bellwether_predictions_lost_total") == 0


async def test_of_racing_requests_with_one_id_and_other_content_one_is_answered(bench: Bench) -> None:
    requests = [request(request_id="r", features=GIVEN | {"amount": float(amount)}) for amount in range(5)]
    made = await asyncio.gather(*map(bench.predictor().predict, requests), return_exceptions=True)
    assert sum(isinstance(each, InvalidRequest) for each in made) == 4
    assert bench.recorded == 1


async def test_a_request_is_the_same_in_whatever_order_its_features_stand_and_however_its_start_is_written(
    bench: Bench,
) -> None:
    east = timezone(timedelta(hours=5))
    first = await bench.predictor().predict(request(request_id="r", started_at=NOON))
    turned = dict(reversed(GIVEN.items()))
    again = prediction_request(
        toy_spec(),
        {"entity_id": "u", "features": turned, "request_id": "r", "started_at": NOON.astimezone(east).isoformat()},
    )
    assert await bench.predictor().predict(again) == first


async def test_features_that_were_too_early_to_be_looked_at_are_part_of_the_request(bench: Bench) -> None:
    amount, *others = toy_spec().features
    early = toy_spec(features=(replace(amount, known_after=timedelta(hours=1)), *others))
    predictor = bench.predictor(spec=early)
    await predictor.predict(request(request_id="r", started_at=NOON))
    await predictor.predict(request(request_id="r", started_at=NOON))
    with pytest.raises(InvalidRequest, match=r"other content of features\.amount;"):
        await predictor.predict(request(request_id="r", started_at=NOON, features=GIVEN | {"amount": 1.0}))


@pytest.mark.parametrize("changes", [{}, {"plan": "quarterly"}, {"amount": 1e6}, {"amount": None}])
async def test_an_answer_of_an_earlier_version_is_compared_by_what_it_recorded(
    bench: Bench, changes: dict[str, Any]
) -> None:
    given = {name: value for name, value in (GIVEN | changes).items() if value is not None}
    first = await bench.predictor().predict(request(features=given))
    (logged,) = bench.log.read(after=0, limit=1)
    data = json.loads(logged.event.data)
    del data["asked"]
    asked = data | {"request_id": "r", "prediction_id": requested_prediction_id("toy", "r")}
    event = msgspec.structs.replace(logged.event, id=asked["prediction_id"], data=json.dumps(asked).encode())
    bench.log.append(event).result(10)

    again = await bench.predictor().predict(request(request_id="r", features=given))
    assert (again.request_id, again.score, again.asked) == ("r", first.score, None)
    with pytest.raises(InvalidRequest, match=r"other content of features\.amount; use a new one"):
        await bench.predictor().predict(request(request_id="r", features=given | {"amount": 77.0}))


async def test_requests_without_an_id_are_events_of_their_own(bench: Bench) -> None:
    await asyncio.gather(*(bench.predictor().predict(request()) for _ in range(5)))
    assert bench.recorded == 5


async def test_nobody_acts_on_the_control_arm_and_the_intention_is_kept(bench: Bench) -> None:
    control = await bench.predictor(control_share=1.0).predict(request())
    treatment = await bench.predictor(control_share=0.0).predict(request())
    assert (control.arm, control.action, control.intended_action) == (Arm.CONTROL, "none", "call")
    assert (treatment.arm, treatment.action, treatment.intended_action) == (Arm.TREATMENT, "call", "call")
    assert control.control_share == 1.0


class FullLog(EventLogSqlite):
    def append(self, *events: Event) -> Future[list[Settled]]:
        future: Future[list[Settled]] = Future()
        future.set_result([EventLogUnavailable("database or disk is full") for _ in events])
        return future


async def test_an_answer_that_cannot_be_recorded_does_not_leave_and_is_counted_as_lost(
    bench: Bench, tmp_path: Path
) -> None:
    log = FullLog(tmp_path / "full.sqlite")
    with pytest.raises(EventLogUnavailable, match="full"):
        await bench.predictor(outbox=Outbox(log)).predict(request())
    log.close()
    assert bench.count("bellwether_events_appended_total", type="prediction") == 0
    assert bench.count("bellwether_predictions_lost_total") == 1


async def test_each_recorded_answer_is_counted_with_the_status_of_each_feature(bench: Bench) -> None:
    ticks = iter([0.0, 0.004])
    await bench.predictor(timer=lambda: next(ticks)).predict(request())
    by = {"version": "v1", "served_by": "rule", "arm": "treatment"}
    assert bench.count("bellwether_predictions_total", **by) == 1
    assert bench.count("bellwether_prediction_seconds_sum", served_by="rule") == pytest.approx(0.004)
    assert bench.count("bellwether_feature_status_total", feature="visits", status="missing") == 1
    assert bench.count("bellwether_feature_status_total", feature="plan", status="ok") == 1
