"""A provider that approves every payment after a random time, in the wire format of any of the three connectors.

It keeps no books: it measures what a slow provider costs, and nothing else. It shares the machine with what is
measured, so it has to be cheap: HTTP/1.1 over kept-alive connections, one request under way on each.

``python -m tallystick.lab.bench.provider_stand lognormal:400,3000`` prints ``listening <port>`` and serves until it is
killed.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any, Final, cast
from urllib.parse import parse_qsl

import msgspec
import uvloop

from tallystick.lab.bench.provider_latency import ProviderLatency, parse_latency

HOST: Final = "127.0.0.1"

#: Connections that wait to be accepted: a surge opens hundreds at once.
BACKLOG: Final = 4_096

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"


_FIELDS: Final = msgspec.json.Decoder(dict[str, Any])


class Stand:
    """What the connections share. ``hold_until``: nothing is answered before so many requests are there."""

    def __init__(self, latency: ProviderLatency, *, hold_until: int = 0) -> None:
        self.requests = 0
        self._hold_until = hold_until
        self._held: list[Callable[[], None]] = []
        self._random = random.Random()
        self._latency = latency

    def request(self, answer: Callable[[], None]) -> None:
        """One request has come; ``answer`` answers it."""
        self.requests += 1
        if self.requests < self._hold_until:
            self._held.append(answer)
            return
        held, self._held = self._held, []
        for each in (*held, answer):
            self._in_time(each)

    def _in_time(self, answer: Callable[[], None]) -> None:
        seconds = self._latency.draw_s(self._random)
        if seconds == 0:
            answer()
            return
        asyncio.get_running_loop().call_later(seconds, answer)


class StandConnection(asyncio.Protocol):
    """One connection of a client's."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._transport: asyncio.Transport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From asyncio."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has its methods, and not its class

    def data_received(self, data: bytes) -> None:
        """From asyncio: a piece of a request."""
        self._buffer += data
        head, end, body = self._buffer.partition(_HEAD_END)
        if not end or len(body) < _content_length(head):
            return
        self._buffer = b""
        answer = answer_to(head.split(b" ", 2)[1].decode(), body)
        self._stand.request(lambda: self._send(answer))

    def _send(self, answer: bytes) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():  # the client may have gone
            self._transport.write(answer)


def answer_to(path: str, body: bytes) -> bytes:
    """A whole response that approves the payment in ``body``. Raises LookupError for a path that is no create."""
    resource = path.rpartition("/")[2]
    content = msgspec.json.encode(_APPROVALS[resource](body))
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        f"Date: {formatdate(usegmt=True)}\r\n\r\n"
    )
    return head.encode() + content


def _stripe(body: bytes) -> dict[str, Any]:
    """A PaymentIntent that is captured, or waits for its capture."""
    given = dict(parse_qsl(body.decode()))
    metadata = {name[9:-1]: value for name, value in given.items() if name.startswith("metadata[")}
    amount, captured = int(given["amount"]), given["capture_method"] == "automatic"
    name = metadata["tallystick_attempt"]
    return {
        "id": f"pi_{name}",
        "object": "payment_intent",
        "status": "succeeded" if captured else "requires_capture",
        "amount": amount,
        "amount_received": amount if captured else 0,
        "amount_capturable": 0 if captured else amount,
        "currency": given["currency"],
        "capture_method": given["capture_method"],
        "latest_charge": f"ch_{name}",
        "metadata": metadata,
    }


def _adyen(body: bytes) -> dict[str, Any]:
    given = _FIELDS.decode(body)
    return {
        "pspReference": f"{random.getrandbits(64):016X}",
        "resultCode": "Authorised",
        "amount": given["amount"],
        "merchantReference": given["reference"],
    }


def _simulator(body: bytes) -> dict[str, Any]:
    given = _FIELDS.decode(body)
    return {
        "attempt_id": given["attempt_id"],
        "operation": "authorize",
        "status": "approved",
        "effect": "captured" if given["capture"] else "authorized",
        "amount": given["amount"],
        "currency": given["currency"],
        "reference": f"ch_{given['attempt_id']}",
    }


#: The last part of the path of each provider's create -> what approves it.
_APPROVALS: Final[dict[str, Callable[[bytes], dict[str, Any]]]] = {
    "payment_intents": _stripe,
    "payments": _adyen,
    "charges": _simulator,
}


def _content_length(head: bytes) -> int:
    lines = (line for line in head.lower().split(b"\r\n") if line.startswith(_LENGTH))
    return int(next(lines, _LENGTH + b"0")[len(_LENGTH) :])


@asynccontextmanager
async def listening(stand: Stand) -> AsyncIterator[int]:
    """The port on which the stand answers."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: StandConnection(stand), HOST, 0, backlog=BACKLOG)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _serve(latency: ProviderLatency) -> None:
    async with listening(Stand(latency)) as port:
        print(f"listening {port}", flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """One stand from the command line."""
    uvloop.run(_serve(parse_latency(sys.argv[1])))


if __name__ == "__main__":
    main()
