"""What every answer of the console carries, and which requests it takes at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from litestar.types import Receive, Scope, Send

from tallystick.settings.console import is_loopback
from tallystick.settings.fields import comma_list
from tallystick.settings.load import Settings

#: Scripts, styles, images and events of our own alone; nothing inline, nothing from elsewhere. Drawings are part of the
#: page. No other page shows ours in a frame, and a form is sent to us alone.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'; object-src 'none'"
)

HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),  # under no-referrer a browser sends a form with the origin null
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-embedder-policy", b"require-corp"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"x-robots-tag", b"noindex, nofollow"),
)

#: What a page shows is no longer there once its reader has signed out, not even behind the back button.
NO_STORE: Final = (b"cache-control", b"no-store")

#: Two years, as browsers' own lists ask for.
_ENCRYPTED_ONLY: Final = (b"strict-transport-security", b"max-age=63072000")

#: Names by which a browser on this machine knows it.
_LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")


class RequestPolicy:
    """Which requests are taken, and what goes out with each answer."""

    def __init__(self, settings: Settings) -> None:
        self.hosts = allowed_hosts(settings)
        self.proxies = frozenset(comma_list(settings.console_proxies or ""))
        self.headers = (*HEADERS, _ENCRYPTED_ONLY) if settings.console_is_encrypted else HEADERS

    def refusal(self, scope: Scope) -> tuple[int, bytes] | None:
        """Why a request is not taken: status and text. None where it is."""
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or host_name(hosts[0]) not in self.hosts:
            return 421, b"The console is not known by this name. TALLYSTICK_CONSOLE_ALLOWED_HOSTS names its names.\n"
        client = scope.get("client")
        if self.proxies and (client is None or client[0] not in self.proxies):
            return 403, b"The console is reached through its proxy alone.\n"
        return None

    def address(self, scope: Scope) -> str:
        """The client's address: of the connection, or the one that a named proxy saw."""
        client = scope.get("client")
        peer = client[0] if client else ""
        if not self.proxies:
            return peer
        seen = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        return seen[-1].rpartition(",")[2].strip()[:64] if seen else peer

    def dressed(self, send: Send) -> Send:
        """``send`` with our headers. What a handler says of caching stays."""

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                names = {bytes(name).lower() for name, _ in given}
                added = [each for each in (*self.headers, NO_STORE) if each[0] not in names]
                message = {**message, "headers": [*given, *added]}
            await send(message)

        return send_with_headers


def allowed_hosts(settings: Settings) -> frozenset[str]:
    """Names that a request may ask for, in small letters and without ports."""
    own: Iterable[str] = _LOOPBACK if is_loopback(settings.console_host) else (_in_host(settings.console_host),)
    return frozenset(host.lower() for host in (*own, *comma_list(settings.console_allowed_hosts or "")))


def host_name(host: str) -> str:
    """A ``Host`` header without its port, in small letters."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()


def _in_host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


async def plain(status: int, text: bytes, receive: Receive, send: Send) -> None:
    """A short answer in words."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text, "more_body": False})
