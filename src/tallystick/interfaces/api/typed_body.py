"""Bodies of requests that move no money, read as the type that the endpoint table documents."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from tallystick.domain.errors import ProblemField, problem
from tallystick.domain.requests.json_body import BadJson, parse_json_object, safe_name
from tallystick.domain.storable import is_text
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.problems import ProblemError, invalid_fields
from tallystick.kit.card_data import contains_card_data

Body = TypeVar("Body")

#: Years in which every time can be converted to UTC.
YEARS: Final = range(2, 9999)


async def read_typed(request: ApiRequest, kind: type[Body], *, may_be_empty: bool = False) -> Body:
    """The body of a request without query parameters. Raises ProblemError."""
    raw = await request.json_bytes(may_be_empty=may_be_empty)
    request.require_no_query()
    body = json_object(request, raw or b"{}")
    if contains_card_data(body):
        raise request.card_data("body")
    unfit = [name for name, value in body.items() if isinstance(value, str) and ("\x00" in value or not is_text(value))]
    if unfit:
        errors = [ProblemField(safe_name(name), "invalid_value", "is not valid text") for name in unfit]
        raise invalid_fields(errors, request.request_id)
    try:
        body = request.as_newest(body)
        read = msgspec.convert(body, kind)
        for name in body:
            moment = getattr(read, name, None)
            if isinstance(moment, datetime) and moment.year not in YEARS:
                raise msgspec.ValidationError(f"out of range - at `$.{name}`")
        return read
    except msgspec.ValidationError as error:
        field = str(error).rpartition("`$.")[2].rstrip("`") if "`$." in str(error) else "body"
        wrong = ProblemField(safe_name(field), "invalid_value", "is missing, unknown or not of the documented type")
        raise invalid_fields([wrong], request.request_id) from None


def json_object(request: ApiRequest, raw: bytes) -> dict[str, Any]:
    """The JSON object in a body. Raises ProblemError."""
    try:
        return parse_json_object(raw)
    except BadJson as error:
        errors = [ProblemField("body", error.code, error.detail)]
        document = problem("json_invalid", error.detail, request_id=request.request_id, errors=errors)
        raise ProblemError(document) from None
