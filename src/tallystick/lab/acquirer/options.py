"""How an acquirer is set up: the scripted delays, and where its webhooks go."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from msgspec import Struct

from tallystick.lab.acquirer.scripts import HOLD_MS, LATE_MS, PENDING_MS, SLOW_MS

#: Where it is reached unless it listens elsewhere.
ADDRESS: Final = "http://127.0.0.1:8401"

#: Waits between tries at an event, as acquirers have them: 5 s, 30 s, 2 min, 10 min, 30 min, 1 h, 2 h, 4 h, and every
#: 8 h until the third day. The first eight cover 7.7 hours.
RETRY_S: Final = (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, *(28_800,) * 6)

#: Connections to the receiver, each with one event on its way: a receiver that answers in 10 ms gets 3,200 a second.
CONNECTIONS: Final = 32

#: Acquirers wait for 10 to 30 s; then the event is sent again.
TIMEOUT_MS: Final = 10_000


class Webhooks(Struct, frozen=True, kw_only=True):
    """Where events go. ``retry_ms``: the waits between tries; after the last one the event is given up."""

    url: str
    secret: str
    retry_ms: tuple[int, ...]
    connections: int = CONNECTIONS
    timeout_ms: int = TIMEOUT_MS


class Options(Struct, frozen=True, kw_only=True):
    """Everything that can be set. Without ``webhooks`` events are written down and stay in the books. ``address``: its
    URL for browsers on this machine, which customers are sent to. ``settlements``: a directory for settlement files."""

    forgetful: bool = False
    slow_ms: int = SLOW_MS
    pending_ms: int = PENDING_MS
    hold_ms: int = HOLD_MS
    late_ms: int = LATE_MS
    webhooks: Webhooks | None = None
    address: str = ADDRESS
    settlements: Path | None = None


def address_of(host: str, port: int) -> str:
    """The URL at which a browser on this machine reaches a server that listens there."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def webhooks(url: str | None, secret: str, retry_ms: str | None, time_scale: float) -> Webhooks | None:
    """The options as they are written on a command line: waits as ``100,200,400``, or the usual ones times a factor.
    Raises ValueError for what cannot be read."""
    if url is None:
        return None
    if not url.startswith(("http://", "https://")):
        raise ValueError("the webhook URL is http://… or https://…")
    if not secret:
        raise ValueError("webhooks are signed: a secret is needed")
    if time_scale <= 0:
        raise ValueError("the time scale is above 0")
    waits = tuple(int(part) for part in retry_ms.split(",")) if retry_ms is not None else _scaled(time_scale)
    if min(waits) < 0:
        raise ValueError("a wait is 0 ms or more")
    return Webhooks(url=url, secret=secret, retry_ms=waits)


def _scaled(time_scale: float) -> tuple[int, ...]:
    return tuple(max(1, round(wait * 1000 * time_scale)) for wait in RETRY_S)
