"""The API's own dispatch beside the framework's: the same requests to both, answered byte for byte alike."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple, cast
from urllib.parse import quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litestar import Litestar
from msgspec.structs import replace

from tallystick.access.api_key import mint_key
from tallystick.access.stored_keys import StoredKey, StoredKeys
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.app import ApiServer, Application, application
from tallystick.interfaces.api.authentication import Authenticator, Caller
from tallystick.interfaces.api.body_reader import BodyReader
from tallystick.interfaces.api.dispatch import Dispatcher, Route
from tallystick.interfaces.api.http import ApiRequest, HttpResponse
from tallystick.interfaces.api.problems import ProblemError
from tallystick.interfaces.api.rate_limit import RateLimiter
from tallystick.interfaces.api.table import ENDPOINTS

KEY = mint_key("acme")
OPERATORS_KEY = mint_key("platform")

#: Nothing of a test waits so long; a body that never ends gets its 408 at once.
BODY_TIMEOUT_MS = 5

Message = dict[str, Any]


class Answer(NamedTuple):
    """What went out; request ids are left out."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    disconnect_read: bool


class Keys:
    """One merchant's key and one operator's."""

    async def find(self, merchant_id: str, key_id: str) -> StoredKey | None:
        found = {KEY.key_id: KEY, OPERATORS_KEY.key_id: OPERATORS_KEY}.get(key_id)
        if found is None:
            return None
        operator = found is OPERATORS_KEY
        return StoredKey(secret_hash=found.secret_hash, operator=operator, default_provider=None)


async def echo(runtime: Runtime, request: ApiRequest, caller: Caller) -> HttpResponse:
    """All that a handler can know of its request."""
    seen: dict[str, Any] = {
        "ids": dict(request.path_ids),
        "id": request.path_id,
        "caller": [caller.merchant_id, caller.operator],
        "keys": request.idempotency_keys,
    }
    try:
        request.parse_query()
        seen["query"] = {name: str(value) for name, value in request.query.items()}
        seen["body"] = (await request.json_bytes(may_be_empty=True)).decode("latin-1")
    except ProblemError as error:
        seen["refused"] = error.problem.code
    if "defect" in request.idempotency_keys:
        raise RuntimeError("a defect of a handler")
    return HttpResponse(200, json.dumps(seen).encode(), headers=tuple(request.response_headers))


async def receive_webhook(scope: Any, request: ApiRequest) -> HttpResponse:
    return HttpResponse(200, json.dumps(dict(request.path_ids)).encode())


@asynccontextmanager
async def no_lifespan(_: Litestar) -> AsyncIterator[None]:
    yield


def new_application() -> Application:
    """The whole table, whose handlers say what they were given, and no database."""
    server = ApiServer(BodyReader(BODY_TIMEOUT_MS))
    room = SimpleNamespace(room=lambda share: True, has_room=lambda share: True)
    server.runtime = cast(Runtime, SimpleNamespace(journal=room, flows=room))
    server.reads = 0
    server.authenticator = Authenticator(cast(StoredKeys, Keys()), 3_600_000)
    server.limiter = RateLimiter(0, 1)
    server.webhook_receiver = cast(Any, SimpleNamespace(respond=receive_webhook))
    return application(server, [replace(each, handle=echo) for each in ENDPOINTS], no_lifespan)


#: For tests that wait for no time-out.
APPLICATION = new_application()


class Asked(NamedTuple):
    """One request. ``pieces``: of its body; the connection ends after them where ``cut``, and ``stalls`` is a body
    whose last piece never comes."""

    method: str
    raw_path: str
    headers: tuple[tuple[bytes, bytes], ...]
    pieces: tuple[bytes, ...] = (b"",)
    query: bytes = b""
    http_version: str = "1.1"
    cut: bool = False
    stalls: bool = False


async def answer(call: Any, asked: Asked) -> Answer:
    left, out, disconnect_read = list(asked.pieces), [], False

    async def receive() -> Message:
        nonlocal disconnect_read
        if left:
            more = len(left) > 1 or asked.cut or asked.stalls
            return {"type": "http.request", "body": left.pop(0), "more_body": more}
        if asked.stalls:
            await asyncio.Event().wait()
        disconnect_read = True
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        out.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": asked.http_version,
        "server": ("127.0.0.1", 8400),
        "client": ("127.0.0.1", 50_000),
        "scheme": "http",
        "method": asked.method,
        "root_path": "",
        "path": unquote(asked.raw_path),
        "raw_path": asked.raw_path.encode("latin-1"),
        "query_string": asked.query,
        "headers": list(asked.headers),
        "state": {},
    }
    await call(scope, receive, send)
    start, *bodies = out
    body = b"".join(each.get("body", b"") for each in bodies)
    headers = [(name, b"" if name == b"request-id" else value) for name, value in start["headers"]]
    assert not bodies[-1].get("more_body", False)
    return Answer(start["status"], sorted(headers), re.sub(rb"req_[0-9a-f]{32}", b"req_", body), disconnect_read)


async def both(asked: Asked, app: Application = APPLICATION) -> Answer:
    """The answer of the API's own dispatch, after a look that the framework's is the same."""

    async def framework(scope: Any, receive: Any, send: Any) -> None:
        """What the application did when every request went through the framework."""
        routed = app.dispatcher
        app.dispatcher = Dispatcher(())
        try:
            await app(scope, receive, send)
        finally:
            app.dispatcher = routed

    ours = await answer(app, asked)
    assert ours == await answer(framework, asked)
    return ours


def authorized(*more: tuple[bytes, bytes], key: str = KEY.text) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"host", b"a.example"), (b"authorization", f"Bearer {key}".encode()), *more)


JSON_TYPE = (b"content-type", b"application/json")

ID = "0190" + "a" * 28


def filled(path: str) -> str:
    return re.sub(r"{\w+}", f"pay_{ID}", path)


PATHS = sorted({filled(each.path) for each in ENDPOINTS} | {"/healthz", "/openapi.json", "/v1/webhooks/stripe/main"})
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "post", "PURGE"]


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("method", METHODS)
async def test_every_method_on_every_path(method: str, part: int) -> None:
    for path in PATHS[part::4]:
        for key in (KEY.text, OPERATORS_KEY.text, "wrong"):
            await both(Asked(method, path, authorized(JSON_TYPE, key=key), (b"{}",)))


async def test_every_endpoint_is_reached_without_the_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    async def framework(*_: Any) -> None:
        raise AssertionError("the framework was asked")

    monkeypatch.setattr(Litestar, "__call__", framework)
    for endpoint in ENDPOINTS:
        key = OPERATORS_KEY if endpoint.callers == "operator" else KEY
        asked = Asked(endpoint.method, filled(endpoint.path), authorized(key=key.text))
        found = await answer(APPLICATION, asked)
        names = re.findall(r"{(\w+)}", endpoint.path)
        assert (found.status, json.loads(found.body)["ids"]) == (200, dict.fromkeys(names, f"pay_{ID}"))
        if endpoint.method == "GET":
            assert await answer(APPLICATION, asked._replace(method="HEAD")) == found._replace(body=b"")


OTHER_PATHS = [
    "/",
    "",
    "*",
    "//",
    "v1/payments",
    "xv1/payments",
    "/v1",
    "/v1/",
    "/v1/payments/",
    "//v1/payments",
    "/v1//payments",
    "/V1/payments",
    "/v1/Payments",
    "/v1/%70ayments",
    "/v1%2Fpayments",
    "/v1/payments%2F",
    "/v1/payments%00",
    "/v1/payments/%00",
    "/v1/payments/%20",
    "/v1/payments/ ",
    "/v1/payments/%C3%A9",
    "/v1/payments/%FF",
    "/v1/payments/{id}",
    "/v1/payments/{id:str}",
    "/v1/payments/./capture",
    "/v1/payments/..",
    "/v1/payments/x/y",
    "/v1/payments/x/capture/",
    "/v1/payments/x/capture/y",
    "/v1/webhooks/simulator",
    "/v1/webhook-endpoints/x/deliveries/resend",
    "/v1/webhook-endpoints/deliveries/deliveries/resend/resend",
    "/healthz/",
    "/healthz;x",
    "/openapi.json/",
    "/schema",
]


@pytest.mark.parametrize("path", OTHER_PATHS)
async def test_paths_that_are_spelled_otherwise(path: str) -> None:
    for method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS"):
        await both(Asked(method, path, authorized()))


BODIES = {
    "whole": Asked("POST", "/v1/payments", authorized(JSON_TYPE), (b'{"amount": 1}',)),
    "in pieces": Asked("POST", "/v1/payments", authorized(JSON_TYPE), (b'{"amo', b"", b'unt": 1}')),
    "cut off": Asked("POST", "/v1/payments", authorized(JSON_TYPE), (b'{"amo',), cut=True),
    "gone before it": Asked("POST", "/v1/payments", authorized(JSON_TYPE), (), cut=True),
    "stalled": Asked("POST", "/v1/payments", authorized(JSON_TYPE), (b'{"amo',), stalls=True),
    "too large": Asked("POST", "/v1/payments", authorized(JSON_TYPE), (b"x" * 65_536, b"x")),
    "declared too large": Asked("POST", "/v1/payments", authorized(JSON_TYPE, (b"content-length", b"65537"))),
    "no type": Asked("POST", "/v1/payments", authorized(), (b"{}",)),
    "gzip": Asked("POST", "/v1/payments", authorized(JSON_TYPE, (b"content-encoding", b"gzip")), (b"{}",)),
    "a GET with one": Asked("GET", "/v1/payments", authorized(JSON_TYPE), (b"{}",)),
    "a form": Asked("POST", "/v1/payments", authorized((b"content-type", b"multipart/form-data; boundary=x"))),
    "a defect": Asked("POST", "/v1/payments", authorized((b"idempotency-key", b"defect"))),
    "no key": Asked("POST", "/v1/payments", ((b"host", b"a.example"),)),
    "two keys": Asked("POST", "/v1/payments", authorized((b"authorization", b"Bearer x"))),
    "a query": Asked("GET", "/v1/payments", authorized(), query=b"limit=1&limit=2&state=%FF&x"),
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("case", BODIES)
async def test_bodies_and_headers(case: str) -> None:
    await both(BODIES[case], new_application())  # time-outs belong to one event loop


HOSTS: dict[str, tuple[bytes, ...]] = {
    "one": (b"a.example",),
    "none": (),
    "an empty one": (b"",),
    "two": (b"a.example", b"b.example"),
    "a user": (b"user@a.example",),
    "odd characters": (b"!$&'()*+,;=%-~_",),
    "an address": (b"[::1]:8400",),
    "a line end": (b"a.example\n",),
    "not ASCII": (b"\xe9.example",),
}


@pytest.mark.parametrize("version", ["1.1", "1.0", "1", "2"])
@pytest.mark.parametrize("case", HOSTS)
async def test_hosts(case: str, version: str) -> None:
    hosts = tuple((b"host", host) for host in HOSTS[case])
    for path in ("/healthz", "/v1/payments", "/nowhere"):
        await both(Asked("GET", path, hosts, http_version=version))


SEGMENT = st.one_of(
    st.sampled_from(sorted({segment for path in PATHS for segment in path.split("/")})),
    st.text(max_size=8).map(lambda text: quote(text, safe="/%{}")),
)
HEADER = st.tuples(
    st.sampled_from(
        [b"host", b"authorization", b"content-type", b"content-length", b"content-encoding", b"idempotency-key", b"te"]
    ),
    st.one_of(
        st.sampled_from([b"a.example", b"application/json", b"identity", b"12", b"0", b"-1", KEY.text.encode()]),
        st.sampled_from([f"Bearer {KEY.text}".encode(), f"Bearer {OPERATORS_KEY.text}".encode()]),
        st.binary(max_size=12),
    ),
)
REQUEST = st.builds(
    Asked,
    method=st.sampled_from(METHODS),
    raw_path=st.one_of(st.sampled_from(PATHS), st.lists(SEGMENT, max_size=7).map("/".join)),
    headers=st.lists(HEADER, max_size=5).map(tuple).flatmap(lambda h: st.sampled_from([h, (*authorized(), *h)])),
    pieces=st.lists(st.binary(max_size=20), max_size=3).map(tuple),
    query=st.binary(max_size=12),
    http_version=st.sampled_from(["1.1", "1.0"]),
    cut=st.booleans(),
    stalls=st.just(False),  # it waits for a time-out, and each example has an event loop of its own
)


@pytest.mark.exhaustive
@given(asked=REQUEST)
@settings(max_examples=400)
def test_whatever_is_asked(asked: Asked) -> None:
    asyncio.run(both(asked))


async def test_a_defect_outside_of_every_answer_to_failures_is_a_problem_too() -> None:
    """The webhook receiver is missing: what comes before ``respond`` fails."""
    app = application(ApiServer(BodyReader(BODY_TIMEOUT_MS)), (), no_lifespan)
    found = await both(Asked("POST", "/v1/webhooks/stripe/main", authorized()), app)
    assert (found.status, json.loads(found.body)["code"]) == (500, "internal_error")


async def test_a_failure_to_send_is_the_servers_to_hear() -> None:
    """The client has gone while its answer went out: nothing else is sent after it."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)
        raise ConnectionError

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": "/openapi.json",
        "raw_path": b"/openapi.json",
        "query_string": b"",
        "headers": [(b"host", b"a.example")],
    }
    with pytest.raises(ConnectionError):
        await APPLICATION(scope, receive, send)
    assert [each["type"] for each in sent] == ["http.response.start"]


def test_a_method_has_one_route_on_a_path() -> None:
    async def handle(*_: Any) -> HttpResponse:
        return HttpResponse(200, b"")

    with pytest.raises(ValueError, match="two routes"):
        Dispatcher([Route("GET", "/a/{one}", handle), Route("HEAD", "/a/{two}", handle)])
