"""The OpenAPI document says of every model what its spec says."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from services.core.predictions import PredictionRequest
from services.core.spec import Categorical, ModelSpec, Source
from services.entrypoints.access import OPEN, Access
from services.entrypoints.http import build_app
from services.entrypoints.http_problems import CODES, STATUS
from services.entrypoints.http_views import model_card
from services.entrypoints.oip.inference import inference
from services.entrypoints.oip.tensors import inputs_of
from services.entrypoints.openapi import document
from services.entrypoints.openapi.inference import example_inference
from services.entrypoints.openapi.requests import (
    example_outcome,
    example_readings,
    example_request,
    example_value,
)
from services.entrypoints.worker import build_worker
from services.models.discovery import discover
from services.serving.requests import feature_readings, outcome, prediction_request
from services.settings import Settings
from tests.toy import toy_spec

MODELS = [toy_spec(), *discover().values()]
LATER = datetime(2030, 1, 1, tzinfo=UTC)


def schemas(spec: ModelSpec) -> dict[str, Any]:
    found: dict[str, Any] = document([spec])["components"]["schemas"]
    return found


def test_every_route_is_in_the_document() -> None:
    def no_worker() -> Any:
        raise AssertionError("no request is sent")

    routes = build_app(no_worker, body_limit=1)._app.routes  # type: ignore[attr-defined]  # an ASGI app to its callers
    served = {
        (re.sub(r":\w+\}", "}", route.path).replace("{model}", "toy"), verb.lower())
        for route in routes
        if isinstance(route, Route)
        for verb in (route.methods or set()) - {"HEAD"}
    }
    described = {(path, verb) for path, item in document([toy_spec()])["paths"].items() for verb in item}
    assert described == served | {("/livez", "get"), ("/readyz", "get")}


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_the_schema_of_a_request_names_the_features_that_come_with_it(spec: ModelSpec) -> None:
    features = schemas(spec)[f"{spec.name}.Features"]
    given = [feature for feature in spec.features if feature.source is Source.REQUEST]
    assert list(features["properties"]) == [feature.name for feature in given]
    assert (features["required"], features["additionalProperties"]) == ([], False)
    for feature in given:
        said = features["properties"][feature.name]
        assert feature.meaning in said["description"]
        assert said["anyOf"][-1]["type"] == "null"
        usable = said["anyOf"][0]
        if isinstance(feature.kind, Categorical):
            assert usable["enum"] == list(feature.kind.categories)
        else:
            assert (usable.get("minimum"), usable.get("maximum")) == (feature.kind.low, feature.kind.high)


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_every_example_is_a_request_of_its_model_with_usable_values(spec: ModelSpec) -> None:
    asked = prediction_request(spec, example_request(spec))
    assert isinstance(asked, PredictionRequest)
    assert outcome(spec, example_outcome(spec), now=LATER).value == spec.task.positive
    assert set(feature_readings(spec, example_readings(spec), now=LATER)) == {
        each.name for each in spec.online_features
    }
    assert [feature.name for feature in spec.features if feature.kind.problem(example_value(feature))] == []


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_every_reference_leads_to_a_component(spec: ModelSpec) -> None:
    text = json.dumps(document([spec]))
    assert set(re.findall(r'"#/components/schemas/([^"]+)"', text)) <= set(schemas(spec))


def test_models_that_are_hosted_together_keep_their_own_schemas() -> None:
    other = toy_spec(name="other")
    both = document([toy_spec(), other])
    assert {f"{name}.Features" for name in ("toy", "other")} <= set(both["components"]["schemas"])
    operations = [operation["operationId"] for item in both["paths"].values() for operation in item.values()]
    assert len(set(operations)) == len(operations)


def test_errors_are_documented_with_the_codes_that_they_carry() -> None:
    assert set(schemas(toy_spec())["Problem"]["properties"]["error"]["enum"]) == CODES
    predict = document([toy_spec()])["paths"]["/v1/models/toy/predict"]["post"]["responses"]
    assert set(predict) == {"200", "400", "413", "415", "422", "500", "503"}
    assert {error.code for error in STATUS} <= CODES


def test_operations_name_a_token_only_where_the_service_asks_for_one() -> None:
    assert "securitySchemes" not in document([toy_spec()])["components"]
    assert asked_for_tokens(OPEN) == {}
    token: list[dict[str, list[str]]] = [{"bearer": []}]
    writes = dict.fromkeys(("toy_predict_batch", "toy_outcomes", "toy_write_features"), token)
    told_more = {"toy_availability": [{}, *token]}
    infers = ("toy_inference_infer", "toy_version_inference_infer")
    tokens = ("a-token-that-is-known-0123456789",)
    either = told_more | {name: [{}, *token] for name in infers}
    assert asked_for_tokens(Access(tokens=tokens)) == writes | either
    predicts = dict.fromkeys(("toy_predict", *infers), token)
    assert asked_for_tokens(Access(tokens=tokens, predict_needs_token=True)) == writes | told_more | predicts


def asked_for_tokens(access: Access) -> dict[str, Any]:
    """Security by operation; each that has one answers 401, names a scheme that there is, and no token is told."""
    described = document([toy_spec()], access)
    assert not any(token in json.dumps(described) for token in access.tokens)
    operations = [operation for item in described["paths"].values() for operation in item.values()]
    guarded = {each["operationId"]: each["security"] for each in operations if "security" in each}
    assert {each["operationId"] for each in operations if "401" in each["responses"]} == set(guarded)
    schemes = {name for security in guarded.values() for each in security for name in each}
    assert schemes == set(described["components"].get("securitySchemes", {}))
    return guarded


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_an_inference_request_names_its_tensors_as_the_protocol_announces_them(spec: ModelSpec) -> None:
    tensors = schemas(spec)[f"{spec.name}.InferenceRequest"]["properties"]["inputs"]["items"]["anyOf"]
    described = {each["properties"]["name"]["const"]: each["properties"]["datatype"]["const"] for each in tensors}
    assert described == {name: accepted[0] for name, accepted in inputs_of(spec).items()}
    example = json.dumps(example_inference(spec)).encode()
    assert len(inference(spec, example, header=None).rows) == 1


async def test_the_card_of_a_model_has_the_members_that_are_described(tmp_path: Path) -> None:
    worker = build_worker([toy_spec()], Settings(home=tmp_path))
    card = model_card(worker.model("toy"), versions=[])
    line, members = schemas(toy_spec())["ModelCard"]["allOf"]
    described = set(members["required"]) | set(schemas(toy_spec())["ModelLine"]["required"])
    await worker.close()
    assert line["$ref"].endswith("/ModelLine")
    assert {"served_form", "not_converted", "parity", "problem"} <= described <= set(card)
