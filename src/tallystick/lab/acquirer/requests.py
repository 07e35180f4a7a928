"""Reading requests and writing answers: JSON in, JSON out, and what cannot be read refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from tallystick.lab.acquirer.origin import CrossSite
from tallystick.lab.acquirer.rules import KeyReused, Missing, NotPossible
from tallystick.lab.acquirer.scripts import API_VERSION

#: Rows on a page: at most what one answer of about 500 kB carries, and by default what a person reads.
PAGE_LIMIT: Final = 1_000
DEFAULT_PAGE: Final = 100

#: Longest idempotency key, in characters: as other providers have it.
KEY_LIMIT: Final = 255

#: What aiohttp raises of a form: it is not as it says, names an unknown encoding, or is too large.
_NO_FORM: Final = (
    ValueError,
    LookupError,
    RuntimeError,
    HttpProcessingError,
    web.RequestPayloadError,
    web.HTTPRequestEntityTooLarge,
)

#: More digits than any integer that a call takes.
_DIGITS_LIMIT: Final = 20

#: Amounts stay where every JSON reader is exact.
AMOUNT_LIMIT: Final = 2**53


#: Longest URL that browsers and servers between them are sure to take, in characters.
URL_LIMIT: Final = 2_048


class BadRequest(Exception):
    """The caller's request is malformed."""


def idempotency_key(request: web.Request) -> str:
    """The key that every operation carries."""
    key = request.headers.get("Idempotency-Key")
    if not key:
        raise BadRequest("Idempotency-Key is missing")
    if len(key) > KEY_LIMIT or not (key.isascii() and key.isprintable()):
        raise BadRequest(f"Idempotency-Key is 1 to {KEY_LIMIT} printable ASCII characters")
    return key


async def payload(
    request: web.Request, fields: Mapping[str, type], optional: Mapping[str, type] | None = None
) -> dict[str, Any]:
    """The body: all of ``fields``, any of ``optional``, and nothing else. Raises BadRequest."""
    try:
        text = await request.read()
        body = msgspec.json.decode(text) if text or fields else {}
    except (web.RequestPayloadError, web.HTTPRequestEntityTooLarge) as error:
        raise BadRequest("the body is broken or too large") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest("not JSON") from error
    return checked(body, fields, optional or {})


async def form(request: web.Request, optional: Mapping[str, type]) -> dict[str, Any]:
    """The same of a form: integers are written as digits, and what is left empty is left out. Raises BadRequest."""
    try:
        sent = await request.post()
    except _NO_FORM as error:
        raise BadRequest("the form is broken or too large") from error
    body: dict[str, Any] = {}
    for name, text in sent.items():
        if text != "":
            is_number = optional.get(name) is int and isinstance(text, str) and _is_number(text)
            body[name] = int(str(text)) if is_number else text
    return checked(body, {}, optional)


def _is_number(text: str) -> bool:
    return len(text) <= _DIGITS_LIMIT and text.isascii() and text.isdigit()


def checked(body: object, fields: Mapping[str, type], optional: Mapping[str, type]) -> dict[str, Any]:
    """A body that has all of ``fields``, any of ``optional``, and nothing else. Raises BadRequest."""
    known = {**fields, **optional}
    if not isinstance(body, dict) or not set(fields) <= set(body) <= set(known):
        raise BadRequest(f"expected the fields {', '.join(known)}")
    for name, value in body.items():
        if type(value) is not known[name] and not (known[name] is float and type(value) is int):
            raise BadRequest(f"{name} is of the wrong type")
    if "amount" in body and not 0 < body["amount"] < AMOUNT_LIMIT:
        raise BadRequest("amount is out of range")
    if "return_url" in body and not _is_url_of_a_page(body["return_url"]):
        raise BadRequest(f"return_url is http://… or https://…, at most {URL_LIMIT} characters")
    return body


def _is_url_of_a_page(text: str) -> bool:
    """A browser goes there by a link on our page: any other scheme could be code."""
    try:
        parts = urlsplit(text)
        has_host = bool(parts.hostname)
    except ValueError:
        return False
    printable = text.isascii() and text.isprintable() and " " not in text
    return has_host and parts.scheme in ("http", "https") and printable and len(text) <= URL_LIMIT


def page_of(request: web.Request) -> tuple[int, int]:
    """Where a page starts, and how long it is. Raises BadRequest."""
    try:
        limit = int(request.query.get("limit", DEFAULT_PAGE))
        after = int(request.query.get("cursor", 0))
    except ValueError as error:
        raise BadRequest("limit and cursor are integers") from error
    if not (1 <= limit <= PAGE_LIMIT and 0 <= after < 2**63):
        raise BadRequest(f"limit is 1 to {PAGE_LIMIT}")
    return after, limit


def time_of(request: web.Request, name: str) -> datetime:
    """A time in a query, in seconds since 1970, which it is without one. Raises BadRequest."""
    try:
        return datetime.fromtimestamp(float(request.query.get(name, 0)), UTC)
    except (ValueError, OverflowError, OSError) as error:  # no number, not a finite one, or no year of a calendar
        raise BadRequest(f"{name} is a number of seconds since 1970") from error


def answer(status: int, body: Mapping[str, Any]) -> web.Response:
    """A JSON answer."""
    return web.Response(
        status=status,
        body=msgspec.json.encode(body),
        content_type="application/json",
        headers={"Acquirer-Version": API_VERSION},
    )


def page_answer(data: list[dict[str, Any]], more: int | None) -> web.Response:
    """One page of a list."""
    return answer(200, {"data": data, "next_cursor": None if more is None else str(more)})


@web.middleware
async def errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """What the handlers raise, as answers."""
    try:
        return await handler(request)
    except BadRequest as error:
        return answer(400, {"error": str(error)})
    except Missing as error:
        return answer(404, {"error": f"no_such_{error}"})
    except NotPossible as error:
        return answer(409, {"error": str(error)})
    except CrossSite:
        return answer(403, {"error": "cross_site"})
    except KeyReused:
        return answer(409, {"error": "idempotency_key_reused"})
