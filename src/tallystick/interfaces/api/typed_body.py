"""Bodies of requests that move no money, read as the type that the endpoint table documents."""

from __future__ import annotations

from datetime import datetime
from typing import Final, TypeVar

import msgspec

from tallystick.domain.errors import ProblemField, problem
from tallystick.domain.requests.json_body import BadJson, parse_json_object, safe_name
from tallystick.flows.webhooks.inbound.envelope import is_text
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.problems import Refused, refused_fields
from tallystick.kit.card_data import contains_card_data

Body = TypeVar("Body")

#: Years whose moments can all be brought to UTC.
YEARS: Final = range(2, 9999)


async def read_typed(exchange: ApiRequest, kind: type[Body], *, may_be_empty: bool = False) -> Body:
    """The body of a request without query parameters. Raises Refused."""
    raw = await exchange.json_bytes(may_be_empty=may_be_empty)
    if exchange.has_query():
        exchange.parameters()
        refused = ProblemField("query", "unknown_field", "this request takes no query parameters")
        raise refused_fields([refused], exchange.request_id)
    try:
        body = parse_json_object(raw or b"{}")
    except BadJson as error:
        errors = [ProblemField("body", error.code, error.detail)]
        raise Refused(problem("json_invalid", error.detail, request_id=exchange.request_id, errors=errors)) from None
    if contains_card_data(body):
        raise exchange.card_data("body")
    unfit = [name for name, value in body.items() if isinstance(value, str) and ("\x00" in value or not is_text(value))]
    if unfit:
        raise refused_fields(
            [ProblemField(safe_name(n), "invalid_value", "is no text") for n in unfit], exchange.request_id
        )
    try:
        read = msgspec.convert(body, kind)
        for name in body:
            moment = getattr(read, name, None)
            if isinstance(moment, datetime) and moment.year not in YEARS:
                raise msgspec.ValidationError(f"out of range - at `$.{name}`")
        return read
    except msgspec.ValidationError as error:
        field = str(error).rpartition("`$.")[2].rstrip("`") if "`$." in str(error) else "body"
        wrong = ProblemField(
            safe_name(field), "invalid_value", "is missing, unknown or of another kind than documented"
        )
        raise refused_fields([wrong], exchange.request_id) from None
