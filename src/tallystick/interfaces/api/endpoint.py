"""What an endpoint of the API is: one method on one path, with everything that it may respond with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal

from msgspec import Struct

from tallystick.domain.api_keys import Scope
from tallystick.domain.api_versions import Deprecation
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.http import ApiRequest, HttpResponse, json_response
from tallystick.interfaces.api.parameters import IDEMPOTENCY_KEY, Parameter
from tallystick.interfaces.api.rate_limit import Rate

Handle = Callable[[Runtime, ApiRequest, Caller], Awaitable[HttpResponse]]
View = Callable[[Runtime, ApiRequest, Caller], Awaitable[object]]


class Endpoint(Struct, frozen=True, kw_only=True):
    """One method on one path. ``summary`` and ``description`` are the document's, in Markdown. ``responses``: the body
    by status where it succeeds; ``codes``: every error it may give; ``callers``: whose API keys it takes, and ``scope``
    what these have to have. ``tag``: its group in the document, where that is not the one of its path. ``rate``: how
    often one merchant may, beside the rate of its keys."""

    method: str
    path: str
    name: str
    summary: str
    description: str = ""  # the test of the document refuses an empty one
    tag: str | None = None
    handle: Handle
    scope: Scope
    responses: Mapping[int, type[Any]]
    operators_response: type[Any] | None = None  # the body of the 200 to an operator, where it is another one
    codes: tuple[str, ...]
    body: str | None = None  # a name in domain.requests.commands.SCHEMAS
    body_type: type[Any] | None = None  # or the type that the body is read as
    body_required: bool = False
    file_body: bool = False  # or a file as it is, which is read piece by piece
    parameters: tuple[Parameter, ...] = ()
    creates: bool = False  # responses carry Location
    callers: Literal["merchant", "operator", "either"] = "merchant"
    deprecation: Deprecation | None = None
    rate: Rate | None = None

    @property
    def is_instruction(self) -> bool:
        """Whether a known idempotency key is answered again, before anything is refused."""
        return IDEMPOTENCY_KEY in self.parameters


#: Errors of everything that needs an API key.
KEYED: Final = ("request_malformed", "unauthenticated", "rate_limited", "forbidden", "version_unknown", "scope_missing")
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


def read(view: View) -> Handle:
    """A read as a handler: the query is parsed as the row says, then ``view`` makes the body of the 200."""

    async def handle(runtime: Runtime, request: ApiRequest, caller: Caller) -> HttpResponse:
        request.parse_query()
        return json_response(request, await view(runtime, request, caller))

    return handle
