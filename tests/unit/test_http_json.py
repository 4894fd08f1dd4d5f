"""Bodies are read strictly, within bounds, and in time that grows as they do."""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.evaluation.alert import ALERT
from monitoring.lifecycle.alerts import MalformedAlert, intake
from services.core.errors import BellwetherError
from services.core.spec import Feature, ModelSpec, Numeric, Source
from services.entrypoints.http_json import (
    CONTAINERS_AT_MOST,
    DEPTH_AT_MOST,
    MEMBERS_AT_MOST,
    BodyTooLarge,
    MalformedJson,
    decoded,
)
from services.entrypoints.oip.inference import inference
from services.serving.requests import feature_readings, outcome, prediction_request
from tests.toy import NOON, toy_spec

TIMES_LONGER = 16
AT_MOST = 64.0
"""Times as long as for a body of a sixteenth: linear work takes some 16, quadratic work 256."""
TRIES = 5

SPEC = toy_spec()


def names(count: int, *, twice: bool = False) -> bytes:
    """An object of so many members, of which the last two may have the same name."""
    members = [f"{number:06d}" for number in range(count)]
    if twice:
        members[-1] = members[-2]
    return b"{%s}" % ",".join(f'"{name}":1' for name in members).encode()


def wide_spec(count: int, source: Source) -> ModelSpec:
    features = tuple(
        Feature(f"f{number}", Numeric(), source, meaning="-", owner="-", refreshed="-", max_age=timedelta(hours=1))
        for number in range(count)
    )
    return toy_spec(features=features, slices=())


def read_members(count: int) -> Callable[[], Any]:
    body = names(count)
    return lambda: decoded(body)


def read_a_member_twice(count: int) -> Callable[[], Any]:
    body = names(count, twice=True)
    return lambda: decoded(body)


def read_colons_in_texts(count: int) -> Callable[[], Any]:
    body = b'["%s"]' % (b'\\":{' * count)
    return lambda: decoded(body)


def refuse_unknown_members(count: int) -> Callable[[], Any]:
    body = decoded(names(count))
    return lambda: prediction_request(SPEC, body)


def refuse_unknown_features(count: int) -> Callable[[], Any]:
    body = {"entity_id": "u", "features": decoded(names(count))}
    return lambda: prediction_request(SPEC, body)


def refuse_an_outcome(count: int) -> Callable[[], Any]:
    body = decoded(names(count))
    return lambda: outcome(SPEC, body, now=NOON)


def refuse_many_readings(count: int) -> Callable[[], Any]:
    spec = wide_spec(count // 20, Source.ONLINE)
    body: dict[str, Any] = {"features": {name: {} for name in spec.feature_names}}
    return lambda: feature_readings(spec, body, now=NOON)


def refuse_many_tensors(count: int) -> Callable[[], Any]:
    spec = wide_spec(count // 20, Source.REQUEST)
    tensors = [{"name": name, "shape": [1], "datatype": "FP64"} for name in spec.feature_names]
    body = msgspec.json.encode({"inputs": tensors + [{"name": f"x{tensor['name']}"} for tensor in tensors]})
    return lambda: inference(spec, body, header=None)


def refuse_unknown_parameters(count: int) -> Callable[[], Any]:
    body = b'{"inputs":[],"outputs":[{"name":"score","parameters":%s}]}' % names(count)
    return lambda: inference(SPEC, body, header=None)


def refuse_an_alert(count: int) -> Callable[[], Any]:
    labels = {f"label{n}": "x" for n in range(count)} | {"alertname": ALERT, "model": "nobody's"}
    alert = {"status": "firing", "labels": labels, "startsAt": NOON.isoformat(), "fingerprint": "a"}
    body = msgspec.json.encode({"version": "4", "alerts": [alert]})
    return lambda: intake(body, store=None, specs={}, now=NOON)  # type: ignore[arg-type]  # nothing is looked up


def seconds(work: Callable[[], Any]) -> float:
    """Of the processor, which no other process prolongs; the shortest of some tries."""
    taken = []
    for _ in range(TRIES):
        began = time.process_time()
        with suppress(BellwetherError):
            work()
        taken.append(time.process_time() - began)
    return min(taken)


@pytest.mark.parametrize(
    "work",
    [
        read_members,
        read_a_member_twice,
        read_colons_in_texts,
        refuse_unknown_members,
        refuse_unknown_features,
        refuse_an_outcome,
        refuse_many_readings,
        refuse_many_tensors,
        refuse_unknown_parameters,
        refuse_an_alert,
    ],
)
def test_work_grows_no_faster_than_what_is_read(work: Callable[[int], Callable[[], Any]]) -> None:
    few = 2_500
    assert seconds(work(few * TIMES_LONGER)) < AT_MOST * seconds(work(few))


@given(st.lists(st.text(max_size=3), max_size=20))
def test_exactly_the_objects_in_which_no_member_stands_twice_are_read(members: list[str]) -> None:
    body = b"{%s}" % b",".join(b"%s:1" % msgspec.json.encode(name) for name in members)
    if len(set(members)) == len(members):
        assert decoded(body) == dict.fromkeys(members, 1)
    else:
        with pytest.raises(MalformedJson, match="stands twice"):
            decoded(body)


def test_the_member_that_stands_twice_is_named() -> None:
    with pytest.raises(MalformedJson, match="member '019998' stands twice in one object"):
        decoded(names(20_000, twice=True))


def test_as_many_members_as_are_allowed_are_read_and_one_more_is_not() -> None:
    assert len(decoded(names(MEMBERS_AT_MOST))) == MEMBERS_AT_MOST
    with pytest.raises(BodyTooLarge, match=r"found 50001 members, expected at most 50000; send less at once"):
        decoded(names(MEMBERS_AT_MOST + 1))


@pytest.mark.parametrize("each", [b"[]", b"{}", b"[[]]"])
def test_arrays_and_objects_are_counted_too(each: bytes) -> None:
    with pytest.raises(BodyTooLarge, match="arrays and objects, expected at most 150000"):
        decoded(b"[%s]" % b",".join([each] * CONTAINERS_AT_MOST))


@pytest.mark.parametrize("text", [":", "[", "{", '\\"', '\\\\\\":', "\\\\"])
def test_what_stands_in_a_text_is_no_member_and_no_array(text: str) -> None:
    body = b'["%s"]' % (text * 2 * CONTAINERS_AT_MOST).encode()
    assert len(decoded(body)) == 1


@pytest.mark.parametrize("around", [(b"[", b"]"), (b'{"a":', b"}"), (b'{"a":[', b"]}")])
@pytest.mark.parametrize("levels", [1_000, 5_000, 20_000])
def test_no_depth_ends_the_reader(around: tuple[bytes, bytes], levels: int) -> None:
    for body in (around[0] * levels + b"1" + around[1] * levels, around[0] * levels):
        with pytest.raises(MalformedJson, match=f"more than {DEPTH_AT_MOST} arrays and objects inside one another"):
            decoded(body)


def test_the_deepest_that_is_read() -> None:
    deepest = b"[" * DEPTH_AT_MOST + b"]" * DEPTH_AT_MOST
    assert decoded(deepest)
    with pytest.raises(MalformedJson):
        decoded(b"[%s]" % deepest)


@pytest.mark.parametrize("levels", [1_000, 100_000])
def test_no_depth_ends_the_reader_of_alerts(levels: int) -> None:
    for payload in (b"[" * levels, b'{"version":"4","x":%s}' % (b"[" * levels + b"]" * levels)):
        with pytest.raises(MalformedAlert):
            intake(payload, store=None, specs={}, now=NOON)  # type: ignore[arg-type]  # nothing is looked up
