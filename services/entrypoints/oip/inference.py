"""From the body of an inference request to requests to predict. All faults are named at once, by tensor and row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.core.errors import Fault, InvalidRequest
from services.core.limits import text_problem
from services.core.predictions import PredictionRequest
from services.core.spec import ModelSpec
from services.entrypoints.http_json import ROWS_AT_MOST, decoded
from services.entrypoints.oip.tensors import BYTES, ENTITY, FIELDS, OUTPUTS, Elements, from_bytes, from_json, inputs_of
from services.serving.requests import Faults, json_type, prediction_request, shown


@dataclass(frozen=True, slots=True)
class Inference:
    """What is asked: rows that were checked, and the wanted outputs, each with whether it is sent as bytes."""

    id: str | None
    rows: list[PredictionRequest]
    outputs: dict[str, bool]


def inference(spec: ModelSpec, body: bytes, *, header: int | None) -> Inference:
    """Read a request whose first `header` bytes are JSON (None: all of them are), with binary tensors behind them.

    Raises:
        MalformedJson
        InvalidRequest: with every fault of the tensors, or the first of them and how many there are.
    """
    faults = Faults()
    tail = _Tail(body[len(body) if header is None else header :])
    asked = faults.members(decoded(body[:header]), required=("inputs",), optional=("id", "parameters", "outputs"))
    identity = asked.get("id")
    if "id" in asked and not isinstance(identity, str):
        faults.add("id", f"found {json_type(identity)}, expected a string")
    elif identity is not None and (problem := text_problem(identity)):
        faults.add("id", problem)
    parameters = _parameters(asked, "", faults)
    outputs = _outputs(asked.get("outputs", []), _flag(parameters, "binary_data_output", False, "", faults), faults)
    rows = _rows(spec, _columns(spec, asked.get("inputs"), tail, faults), faults)
    faults.refuse()
    return Inference(identity, rows, outputs)


def of_row(error: InvalidRequest, row: int) -> list[Fault]:
    """What was wrong with one row, named by tensor: `features.amount` becomes `inputs.amount[3]`."""
    return [Fault(f"inputs.{each.field.removeprefix('features.')}[{row}]", each.problem) for each in error.faults]


@dataclass(frozen=True, slots=True)
class _Known:
    """Names of tensors: inputs with their data types, and those that no request brings."""

    inputs: Mapping[str, tuple[str, ...]]
    stored: frozenset[str]


class _Tail:
    """The bytes behind the JSON; they belong to the inputs in the order of these."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._raw) - self._at

    def take(self, size: int) -> bytes:
        self._at += size
        return self._raw[self._at - size : self._at]


def _columns(spec: ModelSpec, inputs: object, tail: _Tail, faults: Faults) -> dict[str, Elements]:
    """Elements by the tensor's name, equally many of each. What is at fault is left out."""
    if not isinstance(inputs, list):
        faults.wrong_type("inputs", inputs, "an array")
        return {}
    known = _Known(inputs_of(spec), frozenset(feature.name for feature in spec.online_features))
    _refuse_many("inputs", inputs, len(known.inputs))
    columns: dict[str, Elements] = {}
    names: set[str] = set()
    for place, tensor in enumerate(inputs):
        name = _name(tensor)
        where = f"inputs.{shown(name)}" if name else f"inputs[{place}]"
        if name and name in names:
            faults.add(where, "stands twice")
        names.add(name)
        elements = _elements(known, tensor, where, tail, faults)
        if elements is not None:
            columns[name] = elements
    if tail.left:
        faults.add("inputs", f"leave {tail.left} bytes behind the JSON to no tensor")
    if ENTITY not in names:
        faults.add(f"inputs.{ENTITY}", "is missing")
    return _equally_long(columns, faults)


def _refuse_many(where: str, tensors: list[object], there_are: int) -> None:
    """So many are no slip of somebody who reads what is wrong with each, and would take long to name."""
    if len(tensors) > 2 * there_are:
        raise InvalidRequest((Fault(where, f"found {len(tensors)} tensors, expected at most {there_are}"),))


def _elements(known: _Known, tensor: object, where: str, tail: _Tail, faults: Faults) -> Elements | None:
    if not isinstance(tensor, dict):
        faults.add(where, f"found {json_type(tensor)}, expected an object")
        return None
    faults.members(tensor, required=("name", "shape", "datatype"), optional=("parameters", "data"), where=where)
    # Taken even of a tensor that is not known, since what is behind it belongs to the next.
    raw = _raw(tensor, where, tail, faults)
    shape, datatype = _shape(tensor, where, faults), _datatype(known, tensor, where, faults)
    if shape is None or datatype is None:
        return None
    if "data" in tensor:
        elements = from_json(tensor["data"], datatype, shape, where, faults)
    else:
        elements = None if raw is None else from_bytes(raw, datatype, shape[0], where, faults)
    return elements if elements is None or datatype != BYTES or _name(tensor) == ENTITY else _given(elements)


def _given(texts: Elements) -> Elements:
    """Arrays of texts have no other way to say that there is none than an empty one."""
    return [None if text == "" else text for text in texts]


def _name(tensor: object) -> str:
    name = tensor.get("name") if isinstance(tensor, dict) else None
    return name if isinstance(name, str) else ""


def _raw(tensor: Mapping[str, Any], where: str, tail: _Tail, faults: Faults) -> bytes | None:
    size = _parameters(tensor, f"{where}.", faults).get("binary_data_size")
    if size is None:
        if "data" not in tensor:
            faults.add(f"{where}.data", "is missing, and so is the parameter binary_data_size")
        return None
    if "data" in tensor:
        faults.add(f"{where}.data", "stands beside binary_data_size, expected one of both")
    elif isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= tail.left:
        problem = f"found {str(size)[:32]}, expected a number of bytes, of which {tail.left} are left behind the JSON"
        faults.add(f"{where}.parameters.binary_data_size", problem)
    else:
        return tail.take(size)
    return None


def _shape(tensor: Mapping[str, Any], where: str, faults: Faults) -> list[int] | None:
    shape = tensor.get("shape")
    if isinstance(shape, list) and all(type(each) is int for each in shape):
        match shape:
            case [rows] | [rows, 1] if 0 <= rows <= ROWS_AT_MOST:
                return shape
    if "shape" in tensor:
        faults.add(f"{where}.shape", f"expected [n] or [n, 1] with n from 0 to {ROWS_AT_MOST}")
    return None


def _datatype(known: _Known, tensor: Mapping[str, Any], where: str, faults: Faults) -> str | None:
    """The data type, when it is one that the named input may have."""
    expected, name = known.inputs, tensor.get("name")
    if not isinstance(name, str):
        faults.wrong_type(f"{where}.name", name, "a string")
        return None
    if name not in expected:
        if name in known.stored:
            faults.add(where, "comes from the online store")
        else:
            faults.unknown([name], tuple(expected), prefix="inputs.")
        return None
    datatype = tensor.get("datatype")
    if isinstance(datatype, str) and datatype in expected[name]:
        return datatype
    if "datatype" in tensor:
        faults.add(f"{where}.datatype", f"found {str(datatype)[:32]!r}, expected {', '.join(expected[name])}")
    return None


def _equally_long(columns: dict[str, Elements], faults: Faults) -> dict[str, Elements]:
    """Those that have as many rows as there are entities (or as the first, where there are none)."""
    rows = len(columns.get(ENTITY, next(iter(columns.values()), [])))
    for name, elements in columns.items():
        if len(elements) != rows:
            faults.add(f"inputs.{name}.shape", f"found {len(elements)} rows, expected {rows} as in the other inputs")
    return {name: elements for name, elements in columns.items() if len(elements) == rows}


def _rows(spec: ModelSpec, columns: Mapping[str, Elements], faults: Faults) -> list[PredictionRequest]:
    # Where the entities are at fault already, something stands in for them, so that the features' faults are found too.
    rows = len(next(iter(columns.values()), []))
    entities = columns.get(ENTITY, ["?"] * rows)
    features = {name: elements for name, elements in columns.items() if name not in FIELDS}
    fields = {name: elements for name, elements in columns.items() if name in FIELDS}
    requests = []
    for row in range(rows):
        body = {name: elements[row] for name, elements in fields.items()}
        body |= {ENTITY: entities[row], "features": {name: elements[row] for name, elements in features.items()}}
        try:
            requests.append(prediction_request(spec, body))
        except InvalidRequest as error:
            faults.include(of_row(error, row), beyond=error.beyond)
    return requests


def _outputs(wanted: object, binary: bool, faults: Faults) -> dict[str, bool]:
    """The wanted outputs, all of them where none is named."""
    if not isinstance(wanted, list):
        faults.add("outputs", f"found {json_type(wanted)}, expected an array")
        return {}
    _refuse_many("outputs", wanted, len(OUTPUTS))
    outputs: dict[str, bool] = {}
    for place, output in enumerate(wanted):
        where = f"outputs[{place}]"
        if not isinstance(output, dict):
            faults.add(where, f"found {json_type(output)}, expected an object")
            continue
        faults.members(output, required=("name",), optional=("parameters",), where=where)
        name = output.get("name")
        if not isinstance(name, str) or name not in OUTPUTS:
            faults.add(f"{where}.name", f"found {str(name)[:64]!r}, expected one of {', '.join(OUTPUTS)}")
        elif name in outputs:
            faults.add(f"{where}.name", f"{name} stands twice")
        else:
            outputs[name] = _sent_as_bytes(output, f"{where}.", binary, faults)
    return outputs or dict.fromkeys(OUTPUTS, binary)


def _sent_as_bytes(output: Mapping[str, Any], where: str, binary: bool, faults: Faults) -> bool:
    parameters = _parameters(output, where, faults)
    # Others, such as `classification`, ask for another answer than the one that would be given.
    if unknown := [name for name in parameters if name != "binary_data"]:
        faults.unknown(unknown, ("binary_data",), prefix=f"{where}parameters.")
    return _flag(parameters, "binary_data", binary, where, faults)


def _parameters(of: Mapping[str, Any], where: str, faults: Faults) -> Mapping[str, Any]:
    parameters = of.get("parameters", {})
    if isinstance(parameters, dict):
        return parameters
    faults.add(f"{where}parameters", f"found {json_type(parameters)}, expected an object")
    return {}


def _flag(parameters: Mapping[str, Any], name: str, default: bool, where: str, faults: Faults) -> bool:
    flag = parameters.get(name, default)
    if not isinstance(flag, bool):
        faults.add(f"{where}parameters.{name}", f"found {json_type(flag)}, expected a boolean")
    return flag is True
