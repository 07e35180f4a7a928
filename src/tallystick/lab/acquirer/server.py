"""The acquirer's HTTP API, and the tasks beside it: scripted steps, and sending events."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Final, assert_never

import msgspec
from aiohttp import web

from tallystick.lab.acquirer.books import Books
from tallystick.lab.acquirer.control import BackOffice, WebhookDesk, routes_of
from tallystick.lab.acquirer.controls_list import ControlsList
from tallystick.lab.acquirer.health import RETRY_AFTER_S, NextHealth
from tallystick.lab.acquirer.options import Options, address_of
from tallystick.lab.acquirer.origin import same_origin
from tallystick.lab.acquirer.pages import Pages
from tallystick.lab.acquirer.requests import (
    BadRequest,
    answer,
    errors,
    idempotency_key,
    page_answer,
    page_of,
    payload,
    time_of,
)
from tallystick.lab.acquirer.scripts import METHODS, Behaviour, FollowUp, behaviour
from tallystick.lab.acquirer.sender import Sender
from tallystick.lab.acquirer.settlement_desk import SettlementDesk

#: SO_LINGER, on and 0 s: closing such a socket sends RST; a plain close would send FIN.
LINGER_NOT: Final = struct.pack("ii", 1, 0)

#: Held and slow connections may not delay the end of the program.
SHUTDOWN_S: Final = 0.2

#: The end of a path -> what is done to the charge.
FOLLOW_UPS: Final[Mapping[str, FollowUp]] = {"capture": "capture", "cancel": "cancel", "refunds": "refund"}

#: How often the acquirer looks at what is due to happen by itself; readers look first as well.
TICK_S: Final = 0.02


class Acquirer:
    """Handlers over one set of books: what a connector talks to."""

    def __init__(self, books: Books, desk: WebhookDesk, health: NextHealth, options: Options) -> None:
        self._books = books
        self._desk = desk
        self._health = health
        self._slow_s = options.slow_ms / 1000
        self._hold_s = options.hold_ms / 1000

    def routes(self) -> list[web.RouteDef]:
        """Where they are."""
        return [
            web.post("/sim/charges", self.authorize),
            web.get("/sim/charges", self.charges),
            web.post("/sim/charges/{id}/{action:capture|cancel|refunds}", self.follow_up),
            web.get("/sim/operations", self.operations),
            web.get("/sim/operations/{attempt_id}", self.lookup),
            web.get("/sim/keys/{key}", self.by_key),
            web.get("/sim/healthz", self.healthz),
        ]

    async def authorize(self, request: web.Request) -> web.StreamResponse:
        """POST /sim/charges."""
        body = await payload(
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
            {"return_url": str},
        )
        if body["payment_method"] not in METHODS:
            raise BadRequest("unknown payment_method")
        what = behaviour(body["payment_method"], "authorize")
        return await self._carry_out(request, body, what, lambda key: self._books.authorize(key, body, what))

    async def follow_up(self, request: web.Request) -> web.StreamResponse:
        """POST /sim/charges/{id}/capture, /cancel, /refunds."""
        operation = FOLLOW_UPS[request.match_info["action"]]
        fields: dict[str, type] = {"attempt_id": str}
        if operation != "cancel":
            fields["amount"] = int
        body = await payload(request, fields)
        charge_id = request.match_info["id"]
        what = behaviour(self._books.charge(charge_id)["payment_method"], operation)
        full = body | {"charge": charge_id, "operation": operation}
        return await self._carry_out(
            request, full, what, lambda key: self._books.follow_up(operation, key, charge_id, full, what)
        )

    async def lookup(self, request: web.Request) -> web.StreamResponse:
        """GET /sim/operations/{attempt_id}."""
        found = self._books.lookup(request.match_info["attempt_id"])
        return answer(404, {"error": "no_such_operation"}) if found is None else answer(200, found)

    async def operations(self, request: web.Request) -> web.StreamResponse:
        """GET /sim/operations: what was booked since ``since``, in seconds since 1970."""
        after, limit = page_of(request)
        return page_answer(*self._books.operations(after, limit, time_of(request, "since")))

    async def by_key(self, request: web.Request) -> web.StreamResponse:
        """GET /sim/keys/{key}: the operation that a key stands for, whosever it is."""
        found = self._books.by_key(request.match_info["key"])
        return answer(404, {"error": "no_such_key"}) if found is None else answer(200, found)

    async def charges(self, request: web.Request) -> web.StreamResponse:
        """GET /sim/charges."""
        after, limit = page_of(request)
        return page_answer(*self._books.charges(after, limit, request.query.get("payment_id")))

    async def healthz(self, _: web.Request) -> web.StreamResponse:
        """GET /sim/healthz."""
        return answer(200, {"status": "ok"})

    async def _carry_out(
        self, request: web.Request, body: dict[str, Any], what: Behaviour, book: Callable[[str], dict[str, Any]]
    ) -> web.StreamResponse:
        """Book at most once for a key; then answer as the script says, also to a repeated call. What the next
        instruction is to meet comes before its script."""
        key = idempotency_key(request)
        unhealthy = await self._met(request)
        if unhealthy is not None:
            return unhealthy
        result = self._books.known(key, body)
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
            case "early":
                if result is not None and self._desk.sender is not None:
                    await self._desk.sender.sent(result["charge_id"])
            case "ok" | "error":
                pass
            case _:
                assert_never(what.answer)
        if what.answer == "error" or result is None:
            return answer(500, {"error": "internal"})
        return answer(402 if result["status"] in ("declined", "failed") else 200, result)

    async def _met(self, request: web.Request) -> web.StreamResponse | None:
        """The answer of an unhealthy acquirer, which books nothing; None where the instruction is carried out."""
        met = self._health.take()
        match met:
            case "unavailable":
                return answer(503, {"error": "unavailable"})
            case "busy":
                response = answer(429, {"error": "busy"})
                response.headers["Retry-After"] = str(RETRY_AFTER_S)
                return response
            case "timeout":
                await asyncio.sleep(self._hold_s)
                _reset(request)
                return answer(503, {"error": "unavailable"})
            case "reset":
                _reset(request)
                return answer(503, {"error": "unavailable"})
            case "slow":
                await asyncio.sleep(self._slow_s)
                return None
            case "healthy":
                return None
            case _:
                assert_never(met)


def _reset(request: web.Request) -> None:
    """Break the connection: whatever is answered after this reaches nobody."""
    if request.transport is not None:
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        request.transport.abort()


def create_app(books_path: Path, options: Options) -> web.Application:
    """The acquirer as an aiohttp application."""
    books = Books(books_path, options)
    desk = WebhookDesk(books, options.webhooks)
    health = NextHealth()
    office = BackOffice(books, health)
    listed = ControlsList(books, desk, options)
    settled = SettlementDesk(books)
    calls = [*office.calls(), *desk.calls(), *settled.calls()]
    app = web.Application(middlewares=[errors, same_origin(options.address)])

    async def beside(_: web.Application) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(_tick(books))]
        if options.webhooks is not None:
            desk.sender = Sender(books.events, options.webhooks)
            tasks.append(asyncio.create_task(desk.sender.run()))
        yield
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await desk.close()
        books.close()

    app.add_routes([*Acquirer(books, desk, health, options).routes(), *routes_of(calls)])
    app.add_routes([*office.routes(), *desk.routes(), *listed.routes(), *settled.routes()])
    app.add_routes(Pages(books, desk, health, listed, options).routes(calls))
    app.cleanup_ctx.append(beside)
    return app


async def _tick(books: Books) -> None:
    while True:
        books.late.catch_up()
        await asyncio.sleep(TICK_S)


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


def run(host: str, port: int, books_path: Path, options: Options) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError when the port is taken."""
    reached = msgspec.structs.replace(options, address=address_of(host, port))
    asyncio.run(_serve(create_app(books_path, reached), host, port))
