"""Somebody else's client of the Open Inference Protocol asks the real server."""

import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from services import bootstrap
from services.core.events import fact_of
from services.core.predictions import PredictionMade
from services.entrypoints.serve import command, environment
from services.settings import Settings
from tests.integration.serving_process import ROOT, ServingProcess, toy_serving
from tests.ports import free_port
from tests.waiting import eventually

TOKEN = "a-token-of-the-test-0123456789"  # noqa: S105 - known to this test alone
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingProcess]:
    with toy_serving(tmp_path_factory.mktemp("home"), versions={"v1": 1, "v2": 2}, workers=1) as process:
        yield process


@pytest.fixture
def client(serving: ServingProcess) -> Iterator[Any]:
    with connected(serving) as client:
        yield client


def connected(serving: ServingProcess) -> Any:
    return triton.InferenceServerClient(serving.url.removeprefix("http://"))


def texts(name: str, *values: str, binary: bool = True) -> Any:
    return filled(name, "BYTES", np.array(values, dtype=object), binary=binary)


def numbers(name: str, *values: float, datatype: str = "FP64", dtype: Any = np.float64, binary: bool = True) -> Any:
    return filled(name, datatype, np.array(values, dtype=dtype), binary=binary)


def filled(name: str, datatype: str, values: Any, *, binary: bool) -> Any:
    tensor = triton.InferInput(name, list(values.shape), datatype)
    return tensor.set_data_from_numpy(values, binary_data=binary)


def recorded(serving: ServingProcess) -> dict[str, PredictionMade]:
    log = bootstrap.event_log(serving.settings)
    facts = [fact_of(stored.event) for stored in log.read(after=0, limit=10_000)]
    log.close()
    return {fact.prediction_id: fact for fact in facts if isinstance(fact, PredictionMade)}


def test_the_server_and_its_model_are_alive_and_ready(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("toy")
    assert client.is_model_ready("toy", "v1")
    assert not client.is_model_ready("toy", "v2")
    assert not client.is_model_ready("nope")


def test_the_metadata_names_the_tensors_that_the_spec_declares(client: Any) -> None:
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    told = client.get_model_metadata("toy")
    assert (told["name"], told["versions"]) == ("toy", ["v1"])
    assert {tensor["name"]: tensor["datatype"] for tensor in told["inputs"]} == {
        "entity_id": "BYTES",
        "request_id": "BYTES",
        "started_at": "BYTES",
        "amount": "FP64",
        "plan": "BYTES",
    }
    assert {tensor["name"]: tensor["datatype"] for tensor in told["outputs"]}["score"] == "FP64"
    assert all(tensor["shape"] == [-1] for tensor in (*told["inputs"], *told["outputs"]))


@pytest.mark.parametrize("sent", [True, False], ids=["binary in", "JSON in"])
@pytest.mark.parametrize("asked", [True, False], ids=["binary out", "JSON out"])
def test_rows_are_answered_and_recorded_however_their_tensors_travel(
    serving: ServingProcess, client: Any, sent: bool, asked: bool
) -> None:
    inputs = [
        texts("entity_id", "a", "b", "ç", binary=sent),
        numbers("amount", 10, 20, 30, binary=sent),
        texts("plan", "monthly", "yearly", "monthly", binary=sent),
    ]
    names = ("prediction_id", "served_by", "version", "label", "score", "action", "arm")
    outputs = [triton.InferRequestedOutput(name, binary_data=asked) for name in names]

    result = client.infer("toy", inputs, outputs=outputs, request_id="forty-two")

    answered = {name: [text(value) for value in result.as_numpy(name)] for name in names}
    made = [recorded(serving)[prediction_id] for prediction_id in answered["prediction_id"]]
    assert [(each.entity_id, each.features["amount"].value) for each in made] == [("a", 10), ("b", 20), ("ç", 30)]
    assert {name: [getattr(each, name) for each in made] for name in names[:4]} == {
        name: answered[name] for name in names[:4]
    }
    assert [None if math.isnan(score) else score for score in answered["score"]] == [each.score for each in made]
    told = result.get_response()
    assert (told["id"], told["model_name"], told["model_version"]) == ("forty-two", "toy", "v1")


def text(value: Any) -> Any:
    """A text comes as bytes from a binary tensor."""
    return value.decode() if isinstance(value, bytes) else value


def test_without_named_outputs_all_come_as_bytes(client: Any) -> None:
    result = client.infer("toy", [texts("entity_id", "u")])
    assert len(result.get_response()["outputs"]) == 7
    assert all("binary_data_size" in output["parameters"] for output in result.get_response()["outputs"])


def test_no_value_is_a_nan_or_an_empty_text_and_no_score_is_a_nan(serving: ServingProcess, client: Any) -> None:
    inputs = [texts("entity_id", "u"), numbers("amount", math.nan), texts("plan", ""), texts("request_id", "")]
    result = client.infer("toy", inputs)
    assert result.as_numpy("served_by").tolist() == [b"last_resort"]
    assert math.isnan(result.as_numpy("score")[0])
    made = recorded(serving)[result.as_numpy("prediction_id")[0].decode()]
    assert {made.features[name].status.value for name in ("amount", "plan")} == {"missing"}
    assert made.request_id is None


def test_a_feature_may_come_in_any_type_of_number_and_as_a_column(serving: ServingProcess, client: Any) -> None:
    whole = np.array([[7], [8]], dtype=np.int32)
    entities = np.array([["u"], ["v"]], dtype=object)
    inputs = [filled("entity_id", "BYTES", entities, binary=True), filled("amount", "INT32", whole, binary=True)]
    result = client.infer("toy", inputs)
    made = [recorded(serving)[prediction_id.decode()] for prediction_id in result.as_numpy("prediction_id")]
    assert [each.features["amount"].value for each in made] == [7.0, 8.0]


def test_the_same_request_id_gets_the_same_answer_recorded_once(serving: ServingProcess, client: Any) -> None:
    inputs = [texts("entity_id", "u", "v"), texts("request_id", "first", "second")]
    before = len(recorded(serving))
    one, two = [client.infer("toy", inputs).as_numpy("prediction_id").tolist() for _ in range(2)]
    assert one == two
    assert len(recorded(serving)) == before + 2


def test_every_fault_is_in_the_message_of_the_client_and_nothing_is_recorded(
    serving: ServingProcess, client: Any
) -> None:
    inputs = [texts("entity_id", "u", ""), numbers("amount", 1.0, math.inf), numbers("colour", 1.0, 2.0)]
    before = len(recorded(serving))
    with pytest.raises(InferenceServerException) as refused:
        client.infer("toy", inputs)
    assert refused.value.status() == "422"
    assert refused.value.message().startswith("invalid_request: ")
    for named in ("inputs.entity_id[1]: ", "inputs.amount[1]: ", "inputs.colour: is unknown"):
        assert named in refused.value.message()
    assert len(recorded(serving)) == before


def test_a_version_that_does_not_serve_is_refused_and_the_one_that_does_is_named(client: Any) -> None:
    assert client.infer("toy", [texts("entity_id", "u")], model_version="v1").as_numpy("version") is not None
    with pytest.raises(InferenceServerException, match="unknown_version: found version 'v2', expected 'v1'"):
        client.infer("toy", [texts("entity_id", "u")], model_version="v2")


def test_several_rows_ask_for_the_token_of_a_batch_and_one_row_does_not(tmp_path_factory: Any) -> None:
    home = tmp_path_factory.mktemp("home")
    with toy_serving(home, versions={"v1": 1}, workers=1, token=TOKEN) as serving, connected(serving) as client:
        one, several = [texts("entity_id", "u")], [texts("entity_id", "u", "v")]
        assert len(client.infer("toy", one).as_numpy("label")) == 1
        with pytest.raises(InferenceServerException, match="unauthorized: "):
            client.infer("toy", several)
        assert len(recorded(serving)) == 1
        assert len(client.infer("toy", several, headers=dict(BEARER)).as_numpy("label")) == 2
        assert client.is_server_ready()


def test_a_promotion_is_seen_in_the_metadata(serving: ServingProcess, client: Any) -> None:
    serving.promote("v2")
    eventually(lambda: client.is_model_ready("toy", "v2"), what="v2 serves")
    assert client.get_model_metadata("toy", "v2")["versions"] == ["v2"]


def test_the_example_of_the_documentation_runs_as_it_stands(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "http.md").read_text(), re.DOTALL)
    settings = Settings(home=tmp_path, port=free_port(), workers=1)
    with (tmp_path / "serving.log").open("wb") as log:
        server = subprocess.Popen(
            command(settings), cwd=ROOT, env=environment(settings, os.environ), stdout=log, stderr=subprocess.STDOUT
        )
    try:
        eventually(lambda: answers(settings.port), what=f"every model is served, see {tmp_path}/serving.log")
        moved = example.replace("127.0.0.1:3000", f"127.0.0.1:{settings.port}")
        said = subprocess.run([sys.executable, "-c", moved], capture_output=True, text=True, check=True, timeout=30)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)
    assert "served_by [b'rule' b'last_resort']" in said.stdout


def answers(port: int) -> bool:
    try:
        with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
            return bool(client.is_server_ready())
    except OSError:
        return False
