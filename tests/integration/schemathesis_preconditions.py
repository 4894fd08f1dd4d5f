"""Hooks of Schemathesis: what makes a request valid beside its form, which no schema can say.

Times lie in the past, and a `request_id` was not used for another entity before.
"""

from datetime import UTC, datetime
from typing import Any

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
    """An id that is valid stays so, and belongs to the entity that it is sent with."""
    body: Any = case.body
    match body:
        case {"request_id": str(request_id), "entity_id": str(entity_id)} if 0 < len(request_id) < 100:
            case.body = {**body, "request_id": f"{request_id}-{hash(entity_id):x}"}
