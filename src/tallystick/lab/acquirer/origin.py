"""Who may change something from a browser: pages of this server. The acquirer has no authentication, so nothing else
keeps a page from elsewhere from posting to it while it runs on somebody's machine.

A browser says in ``Origin`` which site a POST comes from; programs say nothing. The name in ``Host`` counts as ours
only if no page of another site can have it: an address, localhost, or the name under which we are reached.
"""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

#: Methods that change nothing.
_SAFE: Final = frozenset({"GET", "HEAD"})


class CrossSite(Exception):
    """A page from elsewhere, or under a name that is not ours."""


def is_own_host(host: str, address: str) -> bool:
    """Whether a ``Host`` header names this server."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name in ("localhost", urlsplit(address).hostname):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def require_own_host(request: web.Request, address: str) -> None:
    """Raise CrossSite under another name: a site whose name was made to lead here could read the answer."""
    if not is_own_host(request.host, address):
        raise CrossSite


def require_own_form(request: web.Request, address: str) -> None:
    """Raise CrossSite unless a form on one of our pages was sent: browsers always say where a POST comes from."""
    origin = request.headers.get("Origin")
    if origin not in (f"http://{request.host}", f"https://{request.host}") or not is_own_host(request.host, address):
        raise CrossSite


def same_origin(address: str) -> Middleware:
    """The middleware: calls without an origin are from programs, and pass."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method not in _SAFE and "Origin" in request.headers:
            require_own_form(request, address)
        return await handler(request)

    return check
