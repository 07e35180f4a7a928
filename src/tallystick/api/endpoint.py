"""What an endpoint of the API is: one method on one path, with everything that it may answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from msgspec import Struct

from tallystick.api.authentication import Caller
from tallystick.api.exchange import Answer, Exchange
from tallystick.api.queries import Query, answer_query
from tallystick.flows.runtime import Runtime

Handle = Callable[[Runtime, Exchange, Caller], Awaitable[Answer]]


class Endpoint(Struct, frozen=True, kw_only=True):
    """One method on one path. ``answers``: the body by status where it succeeds; ``codes``: every error it may give."""

    method: str
    path: str
    name: str
    summary: str
    handle: Handle
    answers: dict[int, type[Any]]
    codes: tuple[str, ...]
    body: str | None = None  # a name in edge.commands.SCHEMAS
    body_type: type[Any] | None = None  # or the type that the body is read as
    body_required: bool = False
    parameters: tuple[str, ...] = ()  # names in openapi.PARAMETERS
    creates: bool = False  # answers carry Location
    callers: str = "merchant"  # merchant | operator | either: whose API keys it takes


#: Answers of everything that needs an API key.
KEYED: Final = ("unauthenticated", "rate_limited", "forbidden")
READ: Final = (*KEYED, "card_data_refused", "validation_failed", "overloaded", "not_ready", "internal_error")

#: Of those with a body, for how it arrived.
BODY: Final = ("body_too_large", "request_timeout", "body_incomplete")

#: Of those with a body that move no money.
ACT: Final = (
    *KEYED,
    *BODY,
    "unsupported_media_type",
    "json_invalid",
    "card_data_refused",
    "validation_failed",
    "not_ready",
    "internal_error",
)


def read(query: Query) -> Handle:
    """A query as a handler."""

    async def handle(runtime: Runtime, exchange: Exchange, caller: Caller) -> Answer:
        return await answer_query(query, runtime, exchange, caller)

    return handle
