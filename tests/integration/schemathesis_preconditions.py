"""Hooks of Schemathesis: what makes a request valid beside its form, which no schema can say.

Times lie in the past, a `request_id` was not used for another request before, and the tensors of one request have
equally many rows.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import schemathesis
from hypothesis import strategies as st

schemathesis.openapi.format(
    "date-time",
    # The strategy takes its bounds without a zone, and adds it.
    st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2025, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
        datetime.isoformat
    ),
)


@schemathesis.hook
def before_call(_context: schemathesis.HookContext, case: schemathesis.Case[Any], _kwargs: dict[str, Any]) -> None:
    """An id that is valid stays so, and belongs to the content that it is sent with."""
    body: Any = case.body
    match body:
        case {"request_id": str(request_id)} if 0 < len(request_id) < 100:
            case.body = {**body, "request_id": f"{request_id}-{hash(repr(body)):x}"}
        case {"inputs": [*inputs]} if case.meta and not case.meta.generation.mode.is_negative:
            case.body = {**body, "inputs": fitted(inputs), "outputs": [*once(body.get("outputs", [])).values()]}


def fitted(inputs: list[Any]) -> list[Any]:
    """Each tensor once, with as many rows as there are entities, and request ids that belong to these."""
    tensors = once(inputs)
    entities = tensors["entity_id"]["data"]
    for tensor in tensors.values():
        tensor["shape"] = [len(entities)]
        tensor["data"] = [*tensor["data"], *[None] * len(entities)][: len(entities)]
    if "request_id" in tensors:
        tensors["request_id"]["data"] = [request_id and f"{uuid4()}" for request_id in tensors["request_id"]["data"]]
    return list(tensors.values())


def once(named: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {each["name"]: dict(each) for each in named}
