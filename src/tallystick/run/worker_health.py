"""``/healthz`` and ``/readyz`` of a worker, for a supervisor: as the API has them, on a port of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from aiohttp import web

from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.health_report import Health, ready

_RUNTIME: Final = web.AppKey("runtime", Runtime)


@asynccontextmanager
async def worker_health(runtime: Runtime) -> AsyncIterator[None]:
    """Answers while the worker works; nothing listens without the setting. Raises OSError if the port is taken."""
    port = runtime.settings.worker_health_port
    if port is None:
        yield
        return
    await runtime.readiness.first()
    app = web.Application()
    app[_RUNTIME] = runtime
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _readyz)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, runtime.settings.host, port).start()
        yield
    finally:
        await runner.cleanup()


async def _healthz(_: web.Request) -> web.Response:
    return _json(Health(status="ok"), 200)


async def _readyz(request: web.Request) -> web.Response:
    runtime = request.app[_RUNTIME]
    if (reason := await runtime.readiness.reason_not_ready()) is not None:
        return _json({"status": 503, "code": "not_ready", "detail": reason}, 503)
    return _json(ready(runtime), 200)


def _json(body: object, status: int) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")
