"""The application inside this process, behind a real HTTP server on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.support.api import Inside
from tests.support.ports import free_port

_PASSED_ON = ("authorization", "tallystick-version", "content-type")


class Served:
    """``refusals``: statuses of the next answers, instead of the application's; ``requests``: what was asked for."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.refusals: list[int] = []
        self.requests: list[str] = []


@asynccontextmanager
async def served(api: Inside) -> AsyncIterator[Served]:
    """Over HTTP, with the keys of whoever asks."""
    port = free_port()
    here = Served(f"http://127.0.0.1:{port}")

    async def handle(request: web.Request) -> web.StreamResponse:
        here.requests.append(request.path_qs)
        if here.refusals:
            return web.Response(status=here.refusals.pop(0), headers={"Retry-After": "0"})
        headers = {name: value for name, value in request.headers.items() if name.lower() in _PASSED_ON}
        asked = api.client.build_request(request.method, request.path_qs, headers=headers, content=await request.read())
        answer = await api.client.send(asked)
        shown = {name: value for name, value in answer.headers.items() if name != "content-length"}
        return web.Response(status=answer.status_code, body=answer.content, headers=shown)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield here
    finally:
        await runner.cleanup()
