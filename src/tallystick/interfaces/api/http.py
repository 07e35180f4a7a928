"""One request as the handlers read it, and one response as it goes out: as near to ASGI as can be, because every
payment comes through here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs

from litestar.types import Receive, Scope, Send

from tallystick.domain.api_versions import VERSIONS, ApiVersion, Json
from tallystick.domain.errors import ProblemField, problem
from tallystick.domain.requests.fields import InvalidFields
from tallystick.domain.views import encode
from tallystick.flows.payments.instruction_line import Trail
from tallystick.interfaces.api.body_reader import BodyReader
from tallystick.interfaces.api.parameters import Parameter, no_query_error, read_query
from tallystick.interfaces.api.problems import ProblemError, invalid_fields, not_found
from tallystick.interfaces.api.versions import HEADER as VERSION_HEADER
from tallystick.kit.card_data import looks_like_card_number
from tallystick.kit.ids import is_id, new_id

#: Twice the largest honest body (50 metadata values of 500 characters, escaped); the contract's figure.
MAX_BODY_BYTES: Final = 64 * 1024

#: More than any request has; keeps a hostile query string cheap.
MAX_QUERY_PARAMETERS: Final = 50

JSON: Final = b"application/json"
PROBLEM_JSON: Final = b"application/problem+json"

Header = tuple[bytes, bytes]


class HttpResponse:
    """A whole HTTP response, and the ASGI application that sends it."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(self, status: int, body: bytes, content_type: bytes = JSON, headers: tuple[Header, ...] = ()) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: list[Header] = list(self.headers)
        if self.status != 204:  # which has no content (RFC 9110 section 15.3.5)
            headers += ((b"content-type", self.content_type), (b"content-length", b"%d" % len(self.body)))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        body = b"" if scope.get("method") == "HEAD" else self.body
        await send({"type": "http.response.body", "body": body, "more_body": False})


class ApiRequest:
    """What the handlers need of a request. ``response_headers`` go out with every response. ``parameters`` are those of
    the endpoint's row; ``query`` has the values of the query, once ``parse_query`` has read them. ``version``: the one
    that the request is in, known once its caller is; ``versions_named`` are the headers that name one. ``refused``: why
    the caller may not ask for it, where a known idempotency key is answered all the same. ``asked_by``: the caller's
    key, for log lines. ``trail``: what is known of the instruction that it carries, once its caller is known and within
    its rate."""

    __slots__ = (
        "_body_reader",
        "_content_encoding",
        "_content_length",
        "_content_types",
        "_parameters",
        "_query_string",
        "_receive",
        "asked_by",
        "authorizations",
        "idempotency_keys",
        "operation",
        "path_id",
        "path_ids",
        "query",
        "refused",
        "request_id",
        "response_headers",
        "traceparents",
        "trail",
        "version",
        "versions_named",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        body_reader: BodyReader,
        parameters: Sequence[Parameter] = (),
        operation: str = "",
    ) -> None:
        self.request_id = new_id("req")
        self.operation = operation
        self.version: ApiVersion = VERSIONS.newest
        self.versions_named: list[str] = []
        self.path_ids: Mapping[str, str] = scope["path_params"]
        self.path_id: str | None = self.path_ids.get("id")
        self.query: Mapping[str, Any] = {}
        self.asked_by: Mapping[str, str] = {}
        self.refused: ProblemError | None = None
        self.trail: Trail | None = None
        self.response_headers: list[Header] = [(b"request-id", self.request_id.encode())]
        self.authorizations: list[str] = []
        self.idempotency_keys: list[str] = []
        self.traceparents: list[str] = []
        self._content_types: list[str] = []
        self._content_encoding = "identity"
        self._content_length = ""
        self._query_string: bytes = scope["query_string"]
        self._receive = receive
        self._body_reader = body_reader
        self._parameters = parameters
        for name, value in scope["headers"]:
            if name == b"authorization":
                self.authorizations.append(value.decode("latin-1"))
            elif name == b"idempotency-key":
                self.idempotency_keys.append(value.decode("latin-1"))
            elif name == b"content-type":
                self._content_types.append(value.decode("latin-1"))
            elif name == b"content-length":
                self._content_length = value.decode("latin-1")
            elif name == b"content-encoding":
                given = value.decode("latin-1").strip().lower()
                if given != "identity":  # which changes nothing, and takes no other one back
                    self._content_encoding = given
            elif name == b"traceparent":
                self.traceparents.append(value.decode("latin-1").strip())
            elif name == VERSION_HEADER:
                self.versions_named.append(value.decode("latin-1").strip())

    def as_newest(self, body: Json) -> Json:
        """A body of this request, as a request of the newest version has it."""
        return VERSIONS.request(self.version, self.operation, body)

    async def body(self, limit_bytes: int) -> bytes:
        """The whole body. Raises ProblemError: over the limit, too slow, or cut off."""
        return await self._body_reader.body(self._receive, self._content_length, limit_bytes, self.request_id)

    def pieces(self, limit_bytes: int) -> AsyncIterator[bytes]:
        """The body, piece by piece, whatever its type. Raises ProblemError: over the limit, too slow, or cut off."""
        return self._body_reader.pieces(self._receive, self._content_length, limit_bytes, self.request_id)

    async def json_bytes(self, *, may_be_empty: bool) -> bytes:
        """The whole body. Raises ProblemError: over 64 KiB, too slow, cut off, or not declared as JSON; where the body
        may be empty, an empty one needs no declaration."""
        raw = await self.body(MAX_BODY_BYTES)
        if not (may_be_empty and not raw and not self._content_types) and not self._declares_json():
            detail = "Send application/json in UTF-8, without a content encoding."
            raise ProblemError(problem("unsupported_media_type", detail, request_id=self.request_id))
        return raw

    def parse_query(self) -> None:
        """Read the query as the endpoint's row says. Raises ProblemError naming every parameter that is wrong."""
        try:
            query = VERSIONS.query(self.version, self.operation, self._decoded_query())
            self.query = read_query(query, self._parameters)
        except InvalidFields as invalid:
            raise invalid_fields(invalid.errors, self.request_id) from None

    def require_no_query(self) -> None:
        """Raises ProblemError for a request with a query."""
        if self._query_string:
            self._decoded_query()  # a card number there is named first
            raise invalid_fields(no_query_error().errors, self.request_id)

    def id_in_path(self, name: str = "id") -> str:
        """The id in the path, as the endpoint's row declares it. Raises ProblemError: 422 for what looks like a card
        number, 404 for what cannot be an id of this kind."""
        declared = next(each for each in self._parameters if (each.where, each.name) == ("path", name))
        text = self.path_ids[name]
        if not is_id(declared.prefix, text):
            if looks_like_card_number(text):
                raise self.card_data("path")
            raise not_found(self.request_id, declared.thing)
        return text

    def card_data(self, place: str) -> ProblemError:
        """The problem of what looks like a card number; it says where, and repeats nothing."""
        return ProblemError(
            problem(
                "card_data_refused",
                f"The {place} seems to hold a card number. Send a payment method token; nothing was kept.",
                request_id=self.request_id,
            )
        )

    def _decoded_query(self) -> Mapping[str, list[str]]:
        """Raises ProblemError for card numbers and for too many parameters."""
        if not self._query_string:
            return {}
        try:
            decoded = parse_qs(
                self._query_string.decode("latin-1"),
                keep_blank_values=True,
                errors="surrogateescape",
                max_num_fields=MAX_QUERY_PARAMETERS,
            )
        except ValueError:
            error = ProblemField("query", "too_many", f"must have at most {MAX_QUERY_PARAMETERS} parameters")
            raise invalid_fields([error], self.request_id) from None
        for name, values in decoded.items():
            if looks_like_card_number(name) or any(map(looks_like_card_number, values)):
                raise self.card_data("query")
        return decoded

    def _declares_json(self) -> bool:
        if self._content_types == ["application/json"]:
            return self._content_encoding == "identity"
        if len(self._content_types) != 1:
            return False
        media_type, *parameters = (part.strip().lower() for part in self._content_types[0].split(";"))
        utf8 = all(parameter in ("", "charset=utf-8", 'charset="utf-8"') for parameter in parameters)
        return media_type == "application/json" and utf8 and self._content_encoding == "identity"


def json_response(request: ApiRequest, view: object, status: int = 200, *headers: Header) -> HttpResponse:
    """A body with the headers that every response to this request has, and more."""
    body = VERSIONS.rendered(type(view), encode(view), request.version)
    return HttpResponse(status, body, headers=(*request.response_headers, *headers))
