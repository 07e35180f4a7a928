"""A provider that asks to wait when it is told to, for any of the three connectors; else it approves payments."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDict

from tallystick.lab.bench.provider_stand import answer_to
from tallystick.lab.bench.providers import CONNECTORS
from tallystick.providers.port import Provider
from tallystick.providers.registry import PROVIDERS
from tallystick.settings.load import Settings

#: A day: longer than anything that is heeded.
A_DAY = {"Retry-After": "86400"}


@dataclass
class AskingBank:
    """``says``: status and headers of the next answers, one for each request; after them payments are approved.
    ``hold`` runs before each answer."""

    says: list[tuple[int, Mapping[str, str] | CIMultiDict[str]]] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    hold: Callable[[], Awaitable[object]] | None = None
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        """Any request."""
        self.seen.append(f"{request.method} {request.path}")
        status, headers = self.says.pop(0) if self.says else (200, {})
        body = await request.read()
        if self.hold is not None:
            await self.hold()
        if status != 200 or request.method != "POST":
            return web.json_response({}, status=status, headers=headers)
        _, _, content = answer_to(request.path, body).partition(b"\r\n\r\n")
        return web.Response(body=content, content_type="application/json", headers=headers)

    def settings(self, name: str, settings: Settings) -> Settings:
        """With one connector to it."""
        connector = CONNECTORS[name]
        return settings.with_connector(connector.section, **{**connector.own, connector.url: self.url})

    def connect(self, name: str, settings: Settings) -> Provider:
        """One connector to it. Call it inside a running event loop."""
        connector = PROVIDERS[name].connect(self.settings(name, settings))
        assert connector is not None
        return connector


@asynccontextmanager
async def asking_bank() -> AsyncIterator[AskingBank]:
    """One that listens."""
    bank = AskingBank()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", bank.answer)
    async with TestServer(app) as server:
        bank.url = str(server.make_url("")).rstrip("/")
        yield bank
