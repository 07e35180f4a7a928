"""One request as the handlers read it, and one answer as it goes out: as near to ASGI as can be, because every payment
comes through here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs

from litestar.types import Receive, Scope, Send

from tallystick.domain.errors import ProblemField, problem
from tallystick.interfaces.api.body_reader import Reception
from tallystick.interfaces.api.problems import Refused, refused_fields
from tallystick.kit.card_data import looks_like_card_number
from tallystick.kit.ids import new_id

#: Twice the largest honest body (50 metadata values of 500 characters, escaped); the contract's figure.
MAX_BODY_BYTES: Final = 64 * 1024

#: More than any request has; keeps a hostile query string cheap.
MAX_QUERY_PARAMETERS: Final = 50

JSON: Final = b"application/json"
PROBLEM_JSON: Final = b"application/problem+json"

Header = tuple[bytes, bytes]


class HttpResponse:
    """A whole HTTP answer, and the ASGI application that sends it."""

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
    """What the handlers need of a request. ``answer_headers`` go out with whatever the answer is;
    ``reception`` takes its body."""

    __slots__ = (
        "_content_encoding",
        "_content_length",
        "_content_types",
        "_query",
        "_receive",
        "_reception",
        "answer_headers",
        "authorizations",
        "idempotency_keys",
        "path_id",
        "path_ids",
        "request_id",
    )

    def __init__(self, scope: Scope, receive: Receive, reception: Reception) -> None:
        self.request_id = new_id("req")
        self.path_ids: Mapping[str, str] = scope["path_params"]
        self.path_id: str | None = self.path_ids.get("id")
        self.answer_headers: list[Header] = [(b"request-id", self.request_id.encode())]
        self.authorizations: list[str] = []
        self.idempotency_keys: list[str] = []
        self._content_types: list[str] = []
        self._content_encoding = "identity"
        self._content_length = ""
        self._query: bytes = scope["query_string"]
        self._receive = receive
        self._reception = reception
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
                self._content_encoding = value.decode("latin-1").strip().lower()

    async def body(self, limit_bytes: int) -> bytes:
        """The whole body. Raises Refused: over the limit, too slow, or cut off."""
        return await self._reception.body(self._receive, self._content_length, limit_bytes, self.request_id)

    async def json_bytes(self, *, may_be_empty: bool) -> bytes:
        """The whole body. Raises Refused: over 64 KiB, too slow, cut off, or not declared as JSON; where the body may
        be empty, an empty one needs no declaration."""
        raw = await self.body(MAX_BODY_BYTES)
        if not (may_be_empty and not raw and not self._content_types) and not self._declares_json():
            detail = "Send application/json in UTF-8, without a content encoding."
            raise Refused(problem("unsupported_media_type", detail, request_id=self.request_id))
        return raw

    def has_query(self) -> bool:
        """Whether anything came after the question mark."""
        return self._query != b""

    def parameters(self) -> Mapping[str, list[str]]:
        """The query, decoded. Raises Refused for card numbers and for a hopeless number of parameters."""
        if not self._query:
            return {}
        try:
            decoded = parse_qs(
                self._query.decode("latin-1"),
                keep_blank_values=True,
                errors="surrogateescape",
                max_num_fields=MAX_QUERY_PARAMETERS,
            )
        except ValueError:
            refused = ProblemField("query", "too_many", f"must have at most {MAX_QUERY_PARAMETERS} parameters")
            raise refused_fields([refused], self.request_id) from None
        for name, values in decoded.items():
            if looks_like_card_number(name) or any(map(looks_like_card_number, values)):
                raise self.card_data("query")
        return decoded

    def card_data(self, place: str) -> Refused:
        """The refusal of what looks like a card number; it says where, and repeats nothing."""
        return Refused(
            problem(
                "card_data_refused",
                f"The {place} seems to hold a card number. Send a payment method token; nothing was kept.",
                request_id=self.request_id,
            )
        )

    def _declares_json(self) -> bool:
        if self._content_types == ["application/json"]:
            return self._content_encoding == "identity"
        if len(self._content_types) != 1:
            return False
        media_type, *parameters = (part.strip().lower() for part in self._content_types[0].split(";"))
        utf8 = all(parameter in ("", "charset=utf-8", 'charset="utf-8"') for parameter in parameters)
        return media_type == "application/json" and utf8 and self._content_encoding == "identity"
