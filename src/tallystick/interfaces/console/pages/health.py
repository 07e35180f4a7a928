"""Whether the console is up, for supervisors; and its files."""

from __future__ import annotations

from typing import Any, Final

from litestar.response import Response

from tallystick.interfaces.console.page import Page, PageRequest, Refused
from tallystick.interfaces.console.rendering import STATIC, STATIC_CACHE


async def healthz(_: PageRequest) -> Response[Any]:
    """The process answers."""
    return Response(b'{"status": "ok"}', media_type="application/json")


async def readyz(request: PageRequest) -> Response[Any]:
    """The database answers, and has the schema of this release."""
    reason = await request.runtime.readiness.reason_not_ready()
    if reason is None:
        return Response(b'{"status": "ready"}', media_type="application/json")
    return Response({"status": "not_ready", "detail": reason}, media_type="application/json", status_code=503)


async def static(request: PageRequest) -> Response[Any]:
    """One of our files. Raises Refused."""
    file = STATIC.get(request.path["file"])
    if file is None or not file.url.endswith(f"/{request.path['digest']}/{request.path['file']}"):
        raise Refused(404, "There is no such file.")
    return Response(file.body, media_type=file.media_type, headers={"cache-control": STATIC_CACHE})


PAGES: Final = (
    Page(name="healthz", path="/healthz", handle=healthz, right=None, title="Health"),
    Page(name="readyz", path="/readyz", handle=readyz, right=None, title="Readiness"),
    Page(name="static", path="/console/static/{digest:str}/{file:str}", handle=static, right=None, title="File"),
)
