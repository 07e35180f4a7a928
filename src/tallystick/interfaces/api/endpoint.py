"""What an endpoint of the API is: one method on one path, with everything that it may answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from msgspec import Struct

from tallystick.domain.views import encode
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.http import ApiRequest, HttpResponse

Handle = Callable[[Runtime, ApiRequest, Caller], Awaitable[HttpResponse]]


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

    async def handle(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> HttpResponse:
        return await answer_query(query, runtime, exchange, caller)

    return handle


Query = Callable[[Runtime, ApiRequest, Caller], Awaitable[object]]


async def answer_query(query: Query, runtime: Runtime, exchange: ApiRequest, caller: Caller) -> HttpResponse:
    """Read and render. Raises Refused, and what the database raises."""
    view = await query(runtime, exchange, caller)
    return HttpResponse(200, encode(view), headers=tuple(exchange.answer_headers))
