"""Whatever the spec, the ages and the clock: a value that is a second too old never reaches the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.core.errors import FeatureSourceDown
from services.core.features import Reading, Status, Value
from services.core.predictions import ServedBy
from services.core.spec import Categorical, Decision, Feature, Impute, ModelSpec, Numeric, Source, Unavailable
from services.serving.availability import availability
from services.serving.decision import Decided, decide
from tests.toy import toy_spec

SECOND = timedelta(seconds=1)


@dataclass
class WatchfulModel:
    """Scores everything the same and remembers what it was given."""

    spec: ModelSpec
    version: str = "v1"
    seen: list[Mapping[str, Value]] = field(default_factory=list)

    def score(self, values: Mapping[str, Value]) -> float:
        self.seen.append(values)
        return 0.5


@dataclass(frozen=True)
class Case:
    spec: ModelSpec
    readings: dict[str, Reading]
    now: datetime

    def ages(self) -> dict[str, timedelta]:
        return {name: self.now - reading.observed_at for name, reading in self.readings.items()}


KINDS: tuple[Numeric | Categorical, ...] = (Numeric(), Numeric(low=0, high=10), Categorical(("a", "b")))


@st.composite
def features(draw: st.DrawFn, name: str) -> Feature:
    kind = draw(st.sampled_from(KINDS))
    imputed = Impute("a" if isinstance(kind, Categorical) else 5.0)
    remedies: tuple[Unavailable | Impute, ...] = (Unavailable.ASK_THE_RULE, Unavailable.OPTIONAL, imputed)
    return Feature(
        name,
        kind,
        Source.ONLINE,
        meaning="anything",
        owner="tests",
        refreshed="now and then",
        max_age=draw(st.timedeltas(timedelta(milliseconds=1), timedelta(days=400))),
        if_unavailable=draw(st.sampled_from(remedies)),
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A spec of up to five online features, and readings whose ages crowd around their limits."""
    declared = [draw(features(f"f{number}")) for number in range(draw(st.integers(1, 5)))]
    clock = draw(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001 - made aware below
    now = clock.replace(tzinfo=UTC)
    readings = {each.name: Reading(_value(each), now - _age(draw, each)) for each in declared if draw(st.booleans())}
    return Case(toy_spec(features=tuple(declared), slices=(), rule=_rule), readings, now)


def _age(draw: st.DrawFn, feature: Feature) -> timedelta:
    limit = feature.max_age
    assert limit is not None
    near = [limit, limit + SECOND, limit - SECOND, limit + timedelta(microseconds=1), timedelta(0), -4 * SECOND]
    return draw(st.sampled_from(near) | st.timedeltas(timedelta(days=-2), timedelta(days=800)))


def _value(feature: Feature) -> Value:
    """A value that only the store has: what is imputed is another."""
    return "b" if isinstance(feature.kind, Categorical) else 7.0


def _rule(_: Mapping[str, Value]) -> Decision | None:
    return Decision(label="stayer", action="none", reasons=("by rule",))


def answered(
    case: Case, readings: Mapping[str, Reading] | FeatureSourceDown
) -> tuple[Decided, Sequence[Mapping[str, Value]]]:
    model: Any = WatchfulModel(case.spec)
    verdicts = availability(case.spec, given={}, readings=readings, now=case.now, started_at=None)
    return decide(case.spec, model, verdicts, failed=lambda _: None), model.seen


@given(cases())
def test_the_model_is_given_a_stored_value_only_while_it_is_no_older_than_its_limit(case: Case) -> None:
    _, seen = answered(case, case.readings)
    ages = case.ages()
    for values in seen:
        for feature in case.spec.features:
            if feature.max_age is not None and values.get(feature.name) == _value(feature):
                assert -5 * SECOND <= ages[feature.name] <= feature.max_age


@given(cases())
def test_one_needed_value_that_is_a_second_too_old_leaves_the_answer_to_the_rule(case: Case) -> None:
    needed = [each for each in case.spec.features if each.if_unavailable is Unavailable.ASK_THE_RULE]
    for feature in needed:
        assert feature.max_age is not None
        stale = Reading(_value(feature), case.now - feature.max_age - SECOND)
        verdicts = availability(
            case.spec, given={}, readings=case.readings | {feature.name: stale}, now=case.now, started_at=None
        )
        decided, seen = answered(case, case.readings | {feature.name: stale})
        assert verdicts[feature.name].status is Status.STALE
        assert (decided.served_by, seen) == (ServedBy.RULE, [])


@given(cases())
def test_a_source_that_is_down_gives_the_model_no_stored_value(case: Case) -> None:
    _, seen = answered(case, FeatureSourceDown("no answer within 20 ms"))
    assert all(values.get(each.name) != _value(each) for values in seen for each in case.spec.features)
