"""A merchant's server: a real one on loopback, which keeps what it got and answers as it is told."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Any

from aiohttp import web
from msgspec import Struct
from standardwebhooks import Webhook

from tallystick.kit.ids import new_id


class Got(Struct, frozen=True):
    """One request."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.body)
        return body

    def verified(self, secret: str) -> dict[str, Any]:
        """The body, by the library of Standard Webhooks. Raises what it raises."""
        body: dict[str, Any] = Webhook(secret).verify(self.body, dict(self.headers))
        return body


Script = Callable[[Got], Awaitable[web.StreamResponse]]


async def ok(_: Got) -> web.StreamResponse:
    """Everything is welcome."""
    return web.Response(text="thanks")


def status(code: int, **headers: str) -> Script:
    """Always this answer."""

    async def answer(_: Got) -> web.StreamResponse:
        return web.Response(status=code, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return answer


def first(failures: int, then: Script = ok, code: int = 500) -> Script:
    """So many failures of each message, then well."""
    seen: dict[str, int] = {}

    async def answer(got: Got) -> web.StreamResponse:
        seen[got.message_id] = seen.get(got.message_id, 0) + 1
        return web.Response(status=code) if seen[got.message_id] <= failures else await then(got)

    return answer


class Receiver:
    """What a merchant runs. ``script`` may be changed at any time."""

    def __init__(self, port: int) -> None:
        self.port = port
        # Workers send what is due to whomever: what others left over must not come here.
        self.path = f"/{new_id('req')}"
        self.url = f"http://127.0.0.1:{port}{self.path}"
        self.got: list[Got] = []
        self.script: Script = ok

    @property
    def types(self) -> list[str]:
        """The types of what came, in that order."""
        return [got.json["type"] for got in self.got]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        got = Got({name.lower(): value for name, value in request.headers.items()}, await request.read())
        self.got.append(got)
        return await self.script(got)


@asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver that listens; on https with ``tls``."""
    receivers: list[Receiver] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path != receivers[0].path:
            return web.Response(status=404)
        return await receivers[0].handle(request)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    assert isinstance(site._server, asyncio.Server)
    receivers.append(Receiver(site._server.sockets[0].getsockname()[1]))
    try:
        yield receivers[0]
    finally:
        await runner.cleanup()


def heard(receiver: Receiver) -> list[tuple[str, str]]:
    """(payment, type) as a receiver that drops repetitions of what it just heard of a payment sees them."""
    by_payment: dict[str, list[str]] = {}
    for got in receiver.got:
        by_payment.setdefault(got.json["payment_id"], []).append(got.json["type"])
    return [(payment_id, kind) for payment_id, kinds in by_payment.items() for kind, _ in groupby(kinds)]
