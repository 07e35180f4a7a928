"""The acquirer's HTTP face."""

from __future__ import annotations

import asyncio
import signal
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web

from tallystick.simulator.books import Books, KeyReused, NoSuchCharge, NotWaiting
from tallystick.simulator.scripts import METHODS, Behaviour, behaviour

#: How long a caller that gets no answer is kept on the line: longer than any time-out it should have.
HOLD_MS: Final = 60_000

#: The scripted delays of sim_slow and sim_pending.
SLOW_MS: Final = 3_000
PENDING_MS: Final = 2_000

#: Charges on a page: at most what one answer of about 500 kB carries, and by default what a person reads.
PAGE_LIMIT: Final = 1_000
DEFAULT_PAGE: Final = 100

#: Longest idempotency key, in characters: as other providers have it.
KEY_LIMIT: Final = 255

#: SO_LINGER, on and 0 s: closing such a socket sends RST, where a plain close would say goodbye with FIN.
LINGER_NOT: Final = struct.pack("ii", 1, 0)

#: Held and slow connections may not delay the end of the program.
SHUTDOWN_S: Final = 0.2


class BadRequest(Exception):
    """The caller's request makes no sense."""


class Acquirer:
    """Handlers over one set of books."""

    def __init__(self, books: Books, *, slow_s: float, hold_s: float) -> None:
        self._books = books
        self._slow_s = slow_s
        self._hold_s = hold_s

    async def authorize(self, request: web.Request) -> web.StreamResponse:
        """POST /sim/charges."""
        payload = await _payload(
            request,
            {
                "payment_id": str,
                "attempt_id": str,
                "merchant_id": str,
                "amount": int,
                "currency": str,
                "payment_method": str,
                "capture": bool,
            },
        )
        if payload["payment_method"] not in METHODS:
            raise BadRequest("unknown payment_method")
        what = behaviour(payload["payment_method"], "authorize")
        return await self._carry_out(request, payload, what, lambda key: self._books.authorize(key, payload, what))

    async def follow_up(self, request: web.Request) -> web.StreamResponse:
        """POST /sim/charges/{id}/capture, /cancel, /refunds."""
        operation = {"capture": "capture", "cancel": "cancel", "refunds": "refund"}[request.match_info["action"]]
        fields: dict[str, type] = {"attempt_id": str}
        if operation != "cancel":
            fields["amount"] = int
        payload = await _payload(request, fields)
        charge_id = request.match_info["id"]
        what = behaviour(self._books.charge(charge_id)["payment_method"], operation)
        full = payload | {"charge": charge_id, "operation": operation}
        return await self._carry_out(
            request, full, what, lambda key: self._books.follow_up(operation, key, charge_id, full, what)
        )

    async def lookup(self, request: web.Request) -> web.StreamResponse:
        """GET /sim/operations/{attempt_id}."""
        found = self._books.lookup(request.match_info["attempt_id"])
        return _json(404, {"error": "no_such_operation"}) if found is None else _json(200, found)

    async def customer(self, request: web.Request) -> web.StreamResponse:
        """POST /sim/charges/{id}/complete, /abandon."""
        completes = request.match_info["action"] == "complete"
        return _json(200, self._books.customer(request.match_info["id"], completes=completes))

    async def dashboard(self, request: web.Request) -> web.StreamResponse:
        """POST /sim/charges/{id}/dashboard-capture."""
        return _json(200, self._books.dashboard_capture(request.match_info["id"]))

    async def charges(self, request: web.Request) -> web.StreamResponse:
        """GET /sim/charges."""
        try:
            limit = int(request.query.get("limit", DEFAULT_PAGE))
            after = int(request.query.get("cursor", 0))
        except ValueError as error:
            raise BadRequest("limit and cursor are integers") from error
        if not (1 <= limit <= PAGE_LIMIT and 0 <= after < 2**63):
            raise BadRequest(f"limit is 1 to {PAGE_LIMIT}")
        data, more = self._books.charges(after, limit, request.query.get("payment_id"))
        return _json(200, {"data": data, "next_cursor": None if more is None else str(more)})

    async def _carry_out(
        self, request: web.Request, payload: dict[str, Any], what: Behaviour, book: Callable[[str], dict[str, Any]]
    ) -> web.StreamResponse:
        """Book at most once for a key; then answer as the script says, also to a repeated call."""
        key = _key(request)
        result = self._books.known(key, payload)
        if result is None and what.executes:
            result = book(key)
        match what.answer:
            case "slow":
                await asyncio.sleep(self._slow_s)
            case "timeout":
                await asyncio.sleep(self._hold_s)
                _reset(request)
            case "reset":
                _reset(request)
        if what.answer == "error" or result is None:
            return _json(500, {"error": "internal"})
        return _json(402 if result["status"] == "declined" else 200, result)


def _key(request: web.Request) -> str:
    key = request.headers.get("Idempotency-Key")
    if not key:
        raise BadRequest("Idempotency-Key is missing")
    if len(key) > KEY_LIMIT or not (key.isascii() and key.isprintable()):
        raise BadRequest(f"Idempotency-Key is 1 to {KEY_LIMIT} printable ASCII characters")
    return key


def _reset(request: web.Request) -> None:
    """Break the connection: whatever is answered after this reaches nobody."""
    if request.transport is not None:
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        request.transport.abort()


async def _payload(request: web.Request, fields: dict[str, type]) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(await request.read())
    except (web.RequestPayloadError, web.HTTPRequestEntityTooLarge) as error:
        raise BadRequest("the body is broken or too large") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest("not JSON") from error
    if not isinstance(body, dict) or set(body) != set(fields):
        raise BadRequest(f"expected the fields {', '.join(fields)}")
    for name, kind in fields.items():
        if type(body[name]) is not kind:
            raise BadRequest(f"{name} is of the wrong type")
    if "amount" in fields and not 0 < body["amount"] < 2**53:
        raise BadRequest("amount is out of range")
    return body


def _json(status: int, body: dict[str, Any]) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")


@web.middleware
async def _errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except BadRequest as error:
        return _json(400, {"error": str(error)})
    except NoSuchCharge:
        return _json(404, {"error": "no_such_charge"})
    except NotWaiting:
        return _json(409, {"error": "not_waiting"})
    except KeyReused:
        return _json(409, {"error": "idempotency_key_reused"})


def create_app(
    books_path: Path,
    *,
    forgetful: bool = False,
    slow_ms: int = SLOW_MS,
    pending_ms: int = PENDING_MS,
    hold_ms: int = HOLD_MS,
) -> web.Application:
    """The acquirer as an aiohttp application."""
    books = Books(books_path, forgetful=forgetful, pending_s=pending_ms / 1000)
    acquirer = Acquirer(books, slow_s=slow_ms / 1000, hold_s=hold_ms / 1000)
    app = web.Application(middlewares=[_errors])

    async def healthz(_: web.Request) -> web.Response:
        return _json(200, {"status": "ok"})

    async def close(_: web.Application) -> None:
        books.close()

    app.add_routes(
        [
            web.post("/sim/charges", acquirer.authorize),
            web.get("/sim/charges", acquirer.charges),
            web.post("/sim/charges/{id}/{action:capture|cancel|refunds}", acquirer.follow_up),
            web.post("/sim/charges/{id}/{action:complete|abandon}", acquirer.customer),
            web.post("/sim/charges/{id}/dashboard-capture", acquirer.dashboard),
            web.get("/sim/operations/{attempt_id}", acquirer.lookup),
            web.get("/sim/healthz", healthz),
        ]
    )
    app.on_cleanup.append(close)
    return app


async def _serve(app: web.Application, host: str, port: int) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    # A caller that goes away ends its handler: held connections do not pile up.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        print(f"simulator ready on http://{host}:{port}", file=sys.stderr, flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()


def run(
    host: str,
    port: int,
    books_path: Path,
    *,
    forgetful: bool = False,
    slow_ms: int = SLOW_MS,
    pending_ms: int = PENDING_MS,
    hold_ms: int = HOLD_MS,
) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError when the port is taken."""
    app = create_app(books_path, forgetful=forgetful, slow_ms=slow_ms, pending_ms=pending_ms, hold_ms=hold_ms)
    asyncio.run(_serve(app, host, port))
