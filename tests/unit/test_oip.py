"""Inference requests, on real adapters and without a server."""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from services.core.errors import EventLogUnavailable
from services.core.events import Event, fact_of
from services.core.predictions import PredictionMade
from services.core.records import CHAMPION
from services.entrypoints.access import OPEN, Access
from services.entrypoints.http import build_app
from services.entrypoints.http_json import ROWS_AT_MOST
from services.entrypoints.worker import Worker, build_worker
from services.serving.requests import FAULTS_AT_MOST
from services.settings import Settings
from tests.artifacts import add_toy_version
from tests.toy import NOON, toy_spec

TOY = "/v2/models/toy"
INFER = f"{TOY}/infer"
HEADER = "Inference-Header-Content-Length"
TOKEN = "a-token-that-is-known-0123456789"  # noqa: S105 - known to this test alone

Tensor = dict[str, Any]


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    (tmp_path / "clock").write_bytes(struct.pack("<d", NOON.timestamp()))
    worker = build_worker([toy_spec()], Settings(home=tmp_path, clock_file=str(tmp_path / "clock"), control_share=0.0))
    yield worker
    await worker.close()


@pytest.fixture
async def http(worker: Worker) -> AsyncIterator[httpx.AsyncClient]:
    async with asking(worker) as client:
        yield client


@asynccontextmanager
async def asking(worker: Worker, access: Access = OPEN) -> AsyncIterator[httpx.AsyncClient]:
    app = build_app(lambda: worker, body_limit=1_000_000, access=access)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


def tensor(name: str, *data: Any, datatype: str = "BYTES", **changes: Any) -> Tensor:
    return {"name": name, "shape": [len(data)], "datatype": datatype, "data": list(data)} | changes


def numbers(name: str, *data: Any, datatype: str = "FP64", **changes: Any) -> Tensor:
    return tensor(name, *data, datatype=datatype, **changes)


def asked(*inputs: Any, **more: Any) -> dict[str, Any]:
    return {"inputs": list(inputs)} | more


ENTITY = tensor("entity_id", "u")


def recorded(worker: Worker) -> list[PredictionMade]:
    facts = [fact_of(stored.event) for stored in worker.log.read(after=0, limit=5000)]
    return [fact for fact in facts if isinstance(fact, PredictionMade)]


def outputs(response: httpx.Response) -> dict[str, list[Any]]:
    assert response.status_code == 200, response.text
    return {output["name"]: output["data"] for output in response.json()["outputs"]}


def faults(response: httpx.Response) -> dict[str, str]:
    problem = response.json()
    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")
    return {fault["field"]: fault["problem"] for fault in problem["faults"]}


async def test_a_row_is_recorded_as_a_prediction_of_its_own(http: httpx.AsyncClient, worker: Worker) -> None:
    body = asked(
        tensor("entity_id", "u", "v"),
        numbers("amount", 90, None),
        tensor("plan", "monthly", "yearly"),
        tensor("started_at", "2026-03-01T10:00:00Z", None),
        id="mine",
    )
    response = await http.post(INFER, json=body)
    answered, made = outputs(response), recorded(worker)
    assert {name: [getattr(each, name) for each in made] for name in answered} == answered
    assert [each.features["amount"].value for each in made] == [90.0, None]
    assert (response.json()["id"], response.json()["model_name"]) == ("mine", "toy")


async def test_while_no_version_serves_the_rule_answers_and_the_model_is_ready(
    http: httpx.AsyncClient, worker: Worker
) -> None:
    response = await http.post(INFER, json=asked(ENTITY, tensor("plan", "monthly")))
    assert (response.json()["model_version"], outputs(response)["served_by"]) == ("", ["rule"])
    worker.started = True
    assert (await http.get(f"{TOY}/ready")).json() == {"name": "toy", "ready": True}
    assert (await http.get(TOY)).json()["versions"] == []
    refused = await http.post(f"{TOY}/versions/v1/infer", json=asked(ENTITY))
    assert (refused.status_code, refused.json()["type"]) == (404, "urn:bellwether:problem:unknown_version")
    assert "the rule answers now" in refused.json()["detail"]


async def test_a_worker_that_has_not_started_is_alive_and_not_ready(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v2/health/live")).json() == {"live": True}
    for path in ("/v2/health/ready", f"{TOY}/ready"):
        response = await http.get(path)
        assert (response.status_code, response.json()["ready"]) == (503, False)


async def test_each_version_but_the_one_that_serves_is_refused(http: httpx.AsyncClient, worker: Worker) -> None:
    add_toy_version(worker.store, "v1")
    watch = worker.model("toy").watch
    watch.fleet.publish("toy", {CHAMPION: "v1"})
    await watch.look()
    assert (await http.get(f"{TOY}/versions/v1")).json()["versions"] == ["v1"]
    assert (await http.post(f"{TOY}/versions/v1/infer", json=asked(ENTITY))).json()["model_version"] == "v1"
    for method, path in (("GET", ""), ("GET", "/ready"), ("POST", "/infer")):
        response = await http.request(method, f"{TOY}/versions/v0{path}", json=asked(ENTITY))
        assert response.status_code == 404
        assert "expected 'v1'" in response.json()["error"]


async def test_only_the_outputs_that_are_named_are_answered_in_their_order(http: httpx.AsyncClient) -> None:
    body = asked(ENTITY, outputs=[{"name": "score"}, {"name": "label"}])
    assert outputs(await http.post(INFER, json=body)) == {"score": [None], "label": ["stayer"]}


async def test_a_binary_output_stands_behind_the_json_whose_length_is_told(http: httpx.AsyncClient) -> None:
    wanted = [{"name": "label", "parameters": {"binary_data": True}}, {"name": "served_by"}]
    response = await http.post(INFER, json=asked(ENTITY, outputs=wanted))
    length = int(response.headers[HEADER])
    label, served_by = msgspec.json.decode(response.content[:length])["outputs"]
    assert (label["parameters"], served_by["data"]) == ({"binary_data_size": 10}, ["last_resort"])
    assert response.content[length:] == b"\x06\0\0\0stayer"
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_an_output_may_stay_json_when_all_others_are_binary(http: httpx.AsyncClient) -> None:
    wanted = [{"name": "score"}, {"name": "label", "parameters": {"binary_data": False}}]
    body = asked(ENTITY, outputs=wanted, parameters={"binary_data_output": True, "priority": 1})
    response = await http.post(INFER, json=body)
    head = msgspec.json.decode(response.content[: int(response.headers[HEADER])])
    assert ["data" in output for output in head["outputs"]] == [False, True]


async def test_columns_of_one_column_may_be_nested_or_flat(http: httpx.AsyncClient, worker: Worker) -> None:
    nested = numbers("amount", [1], [2], shape=[2, 1])
    flat = tensor("plan", "monthly", "yearly", shape=[2, 1])
    assert len(outputs(await http.post(INFER, json=asked(tensor("entity_id", "u", "v"), nested, flat)))["label"]) == 2
    assert [each.features["amount"].value for each in recorded(worker)] == [1.0, 2.0]


async def test_no_rows_are_answered_with_no_rows(http: httpx.AsyncClient) -> None:
    assert outputs(await http.post(INFER, json=asked(tensor("entity_id"))))["label"] == []


async def test_all_faults_are_named_by_tensor_and_row_and_no_row_is_recorded(
    http: httpx.AsyncClient, worker: Worker
) -> None:
    body = asked(
        tensor("entity_id", "u", "", 7),
        numbers("amount", "1.5", True, 2),
        tensor("plan", "monthly", 1, "yearly"),
        tensor("started_at", "yesterday", None, ""),
        numbers("visits", 1, 2, 3),
        numbers("colour", 1, 2, 3),
        outputs=[{"name": "odds"}, {"name": "label"}, {"name": "label"}],
        id=1,
        more=True,
    )
    response = await http.post(INFER, json=body)
    assert set(faults(response)) == {
        *("id", "more", "outputs[0].name", "outputs[2].name"),
        *("inputs.entity_id[1]", "inputs.entity_id[2]", "inputs.amount[0]", "inputs.amount[1]", "inputs.plan[1]"),
        *("inputs.started_at[0]", "inputs.visits", "inputs.colour"),
    }
    assert response.json()["error"] == f"invalid_request: {response.json()['detail']}"
    assert recorded(worker) == []


MALFORMED: dict[str, tuple[list[Any], str]] = {
    "no entities": ([numbers("amount", 1)], "inputs.entity_id"),
    "no tensors": ([], "inputs.entity_id"),
    "a tensor twice": ([ENTITY, ENTITY], "inputs.entity_id"),
    "no object": ([ENTITY, 7], "inputs[1]"),
    "no name": ([ENTITY, {"shape": [1], "datatype": "FP64", "data": [1]}], "inputs[1].name"),
    "no shape": ([{"name": "entity_id", "datatype": "BYTES", "data": ["u"]}], "inputs.entity_id.shape"),
    "no data": ([{"name": "entity_id", "datatype": "BYTES", "shape": [1]}], "inputs.entity_id.data"),
    "data of no array": ([ENTITY | {"data": "u"}], "inputs.entity_id.data"),
    "fewer elements than the shape": ([ENTITY | {"shape": [2]}], "inputs.entity_id.data"),
    "other rows than the others": ([ENTITY, numbers("amount", 1, 2)], "inputs.amount.shape"),
    "a negative shape": ([ENTITY | {"shape": [-1]}], "inputs.entity_id.shape"),
    "a shape of a boolean": ([ENTITY | {"shape": [True]}], "inputs.entity_id.shape"),
    "two columns": ([ENTITY | {"shape": [1, 2]}], "inputs.entity_id.shape"),
    "no dimension": ([ENTITY | {"shape": []}], "inputs.entity_id.shape"),
    "too many rows": ([ENTITY | {"shape": [ROWS_AT_MOST + 1]}], "inputs.entity_id.shape"),
    "a number as text": ([ENTITY, tensor("amount", "1")], "inputs.amount.datatype"),
    "a text as numbers": ([ENTITY, numbers("plan", 1)], "inputs.plan.datatype"),
    "a boolean type": ([ENTITY, numbers("amount", True, datatype="BOOL")], "inputs.amount.datatype"),
    "a fraction among integers": ([ENTITY, numbers("amount", 1.5, datatype="INT32")], "inputs.amount[0]"),
    "an integer beyond its type": ([ENTITY, numbers("amount", -1, datatype="UINT8")], "inputs.amount[0]"),
    "an array as an element": ([ENTITY, numbers("amount", [1])], "inputs.amount[0]"),
    "a member that nobody declared": ([ENTITY | {"units": "m"}], "inputs.entity_id.units"),
    "parameters of no object": ([ENTITY | {"parameters": 1}], "inputs.entity_id.parameters"),
    "bytes that are not there": (
        [{"name": "entity_id", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 5}}],
        "inputs.entity_id.parameters.binary_data_size",
    ),
    "data twice": ([ENTITY | {"parameters": {"binary_data_size": 0}}], "inputs.entity_id.data"),
}


@pytest.mark.parametrize(("inputs", "field"), MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_tensor_that_is_not_what_it_says_is_refused(
    http: httpx.AsyncClient, worker: Worker, inputs: list[Any], field: str
) -> None:
    assert list(faults(await http.post(INFER, json=asked(*inputs)))) == [field]
    assert recorded(worker) == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "body"),
        ({}, "inputs"),
        ({"inputs": {}}, "inputs"),
        (asked(ENTITY, outputs={}), "outputs"),
        (asked(ENTITY, outputs=[1]), "outputs[0]"),
        (asked(ENTITY, outputs=[{"name": "label", "parameters": {"classification": 1}}]), "outputs[0].parameters."),
        (asked(ENTITY, parameters={"binary_data_output": 1}), "parameters.binary_data_output"),
        (asked(ENTITY, parameters=[]), "parameters"),
    ],
)
async def test_a_request_of_another_form_is_refused(http: httpx.AsyncClient, body: Any, field: str) -> None:
    (found,) = faults(await http.post(INFER, json=body))
    assert found.startswith(field)


async def test_no_request_makes_the_service_name_faults_without_end(http: httpx.AsyncClient) -> None:
    rows = ["u"] * ROWS_AT_MOST
    wrong = await http.post(INFER, json=asked(tensor("entity_id", *rows), numbers("amount", *rows)))
    assert len(wrong.json()["faults"]) == FAULTS_AT_MOST + 1
    assert wrong.json()["faults"][-1]["problem"] == f"and {ROWS_AT_MOST - FAULTS_AT_MOST} more faults"
    for member in ("inputs", "outputs"):
        many = await http.post(INFER, json=asked(ENTITY) | {member: [{}] * 100_000})
        assert list(faults(many)) == [member]


def raw(head: dict[str, Any], tail: bytes) -> tuple[bytes, dict[str, str]]:
    encoded = msgspec.json.encode(head)
    return encoded + tail, {HEADER: str(len(encoded)), "Content-Type": "application/octet-stream"}


def announced(name: str, size: int, datatype: str = "BYTES", rows: int = 1) -> Tensor:
    return {"name": name, "shape": [rows], "datatype": datatype, "parameters": {"binary_data_size": size}}


async def test_binary_tensors_are_read_in_the_order_of_the_inputs(http: httpx.AsyncClient, worker: Worker) -> None:
    head = asked(announced("amount", 4, "FP32"), tensor("plan", "yearly"), announced("entity_id", 6))
    content, headers = raw(head, struct.pack("<f", 1.5) + b"\x02\0\0\0\xc3\xa9")
    outputs(await http.post(INFER, content=content, headers=headers))
    (made,) = recorded(worker)
    assert (made.entity_id, made.features["amount"].value, made.features["plan"].value) == ("é", 1.5, "yearly")


@pytest.mark.parametrize("length", ["-1", "1e3", "²", "", "9" * 5000, "1000000"])
async def test_the_length_of_the_json_has_to_be_one(http: httpx.AsyncClient, length: str) -> None:
    content, headers = raw(asked(ENTITY), b"")
    response = await http.post(INFER, content=content, headers=headers | {HEADER: length.encode("latin-1")})  # type: ignore[arg-type]  # bytes, since no text has them all
    assert list(faults(response)) == [HEADER]


async def test_bytes_that_belong_to_no_tensor_are_refused(http: httpx.AsyncClient) -> None:
    content, headers = raw(asked(announced("entity_id", 5)), b"\x01\0\0\0uv")
    assert faults(await http.post(INFER, content=content, headers=headers)) == {
        "inputs": "leave 1 bytes behind the JSON to no tensor"
    }


async def test_an_infinity_among_the_bytes_is_refused(http: httpx.AsyncClient) -> None:
    content, headers = raw(asked(ENTITY, announced("amount", 8, "FP64")), struct.pack("<d", float("-inf")))
    assert list(faults(await http.post(INFER, content=content, headers=headers))) == ["inputs.amount[0]"]


async def test_a_body_without_a_content_type_is_read_from_programs_and_not_from_pages(http: httpx.AsyncClient) -> None:
    content = msgspec.json.encode(asked(ENTITY))
    assert (await http.post(INFER, content=content)).status_code == 200
    # A browser lets a page of elsewhere post bytes of no type, and says where they come from.
    for page in ({"Origin": "http://elsewhere"}, {"Origin": "null"}):
        assert (await http.post(INFER, content=content, headers=page)).status_code == 403
    own = {"Origin": str(http.base_url)}
    for headers in (own, {"Content-Type": "text/plain"}):
        assert (await http.post(INFER, content=content, headers=headers)).status_code == 415


@pytest.mark.parametrize("predict_needs_token", [False, True])
async def test_one_row_is_asked_as_a_prediction_and_several_as_a_batch(
    worker: Worker, predict_needs_token: bool
) -> None:
    one, several = asked(ENTITY), asked(tensor("entity_id", "u", "v"))
    known = {"Authorization": f"Bearer {TOKEN}"}
    async with asking(worker, Access(tokens=(TOKEN,), predict_needs_token=predict_needs_token)) as http:
        assert (await http.post(INFER, json=one)).status_code == (401 if predict_needs_token else 200)
        refused = await http.post(INFER, json=several)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert len(recorded(worker)) == (0 if predict_needs_token else 1)
        assert (await http.post(INFER, json=several, headers=known)).status_code == 200
        assert (await http.get(TOY)).status_code == 200


async def test_a_request_id_of_another_entity_is_named_by_its_row(http: httpx.AsyncClient) -> None:
    await http.post(INFER, json=asked(ENTITY, tensor("request_id", "r")))
    again = asked(tensor("entity_id", "u", "v"), tensor("request_id", "r", "r"))
    assert list(faults(await http.post(INFER, json=again))) == ["inputs.request_id[1]"]


class FailsFor:
    """A log that fails for some entities."""

    def __init__(self, worker: Worker, *entities: str) -> None:
        self.outbox = worker.model("toy").predictor.outbox
        self.entities = entities

    def find(self, event_id: str) -> Event | None:
        return self.outbox.find(event_id)

    async def append(self, event: Event) -> Any:
        fact = fact_of(event)
        if isinstance(fact, PredictionMade) and fact.entity_id in self.entities:
            raise EventLogUnavailable("the disk is full")
        return await self.outbox.append(event)


async def test_when_a_row_cannot_be_recorded_the_request_fails_and_may_be_repeated(worker: Worker) -> None:
    body = asked(tensor("entity_id", "u", "v", "w"), tensor("request_id", "1", "2", "3"))
    hosted, failing = worker.model("toy"), FailsFor(worker, "v")
    predictor = replace(hosted.predictor, outbox=failing)  # type: ignore[arg-type]  # it has what a predictor asks of one
    worker.models = {"toy": replace(hosted, predictor=predictor)}
    async with asking(worker) as http:
        response = await http.post(INFER, json=body)
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        before = {each.prediction_id for each in recorded(worker)}
        failing.entities = ()
        answered = outputs(await http.post(INFER, json=body))
    assert len(before) == 2
    assert before < set(answered["prediction_id"])
    assert len(recorded(worker)) == 3


async def test_refusals_under_the_protocol_are_counted_by_their_code(http: httpx.AsyncClient) -> None:
    await http.post(INFER, json={})
    missing = await http.get("/v2/repository/index")
    assert missing.json()["error"].startswith("unknown_path: ")
    text = (await http.get("/metrics")).text
    for code in ("invalid_request", "unknown_path"):
        assert f'bellwether_requests_refused_total{{code="{code}"}} 1.0' in text


@pytest.mark.parametrize("control", ["\x00", "\n", "\x7f"])
async def test_control_characters_are_refused_in_json_and_in_bytes(http: httpx.AsyncClient, control: str) -> None:
    text = f"x{control}y"
    body = asked(tensor("entity_id", text), tensor("request_id", text), tensor("plan", text), id=text)
    assert set(faults(await http.post(INFER, json=body))) == {
        "id",
        "inputs.entity_id[0]",
        "inputs.request_id[0]",
        "inputs.plan[0]",
    }
    packed = struct.pack("<I", len(text)) + text.encode()
    head = {"name": "entity_id", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(packed)}}
    content, headers = raw(asked(head), packed)
    assert list(faults(await http.post(INFER, content=content, headers=headers))) == ["inputs.entity_id[0]"]


async def test_the_inputs_that_were_expected_are_said_once(http: httpx.AsyncClient) -> None:
    found = faults(await http.post(INFER, json=asked(ENTITY, numbers("a", 1), numbers("b", 1))))
    assert ["expected" in problem for problem in found.values()] == [True, False]
