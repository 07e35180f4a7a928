"""What every connector is held to, and what a stand of one has to bring: its provider as a process with books of its
own, tokens that make it do each thing, and webhooks as it signs them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from msgspec.structs import replace

from tallystick.domain.verdicts import Approved, Verdict
from tallystick.kit.clock import monotonic_ms
from tallystick.kit.ids import new_id
from tallystick.providers.port import Provider, ProviderCall
from tallystick.providers.receiver import Receiver

AMOUNT = 1_000

#: What a follow-up is of, and what it leaves: operation -> effect.
EFFECTS = {"authorize": "captured", "capture": "captured", "cancel": "voided", "refund": "refunded"}

OPERATIONS = tuple(EFFECTS)


class Money(NamedTuple):
    """What a provider's books say of one payment of ours, all charges together, in the provider's own unit."""

    held: int = 0  # captured or not
    captured: int = 0
    refunded: int = 0


#: operation -> what the books say before and after it, of a whole payment.
MOVES = {
    "authorize": (Money(), Money(AMOUNT, AMOUNT)),
    "capture": (Money(AMOUNT), Money(AMOUNT, AMOUNT)),
    "cancel": (Money(AMOUNT), Money()),
    "refund": (Money(AMOUNT, AMOUNT), Money(AMOUNT, AMOUNT, AMOUNT)),
}


@dataclass(frozen=True, kw_only=True)
class Stand:
    """A connector, and its provider as a process. ``told`` is there where modifications are answered "received": the
    outcome of such a call, from the notification about it. Functions that block are called in threads."""

    name: str
    port: int
    connect: Callable[..., AbstractAsyncContextManager[Provider]]  # (url, **settings)
    books: Callable[[str], Money]  # of a payment of ours
    good: str
    declines: Mapping[str, tuple[str, bool]]  # token -> our code, retryable
    action: Callable[[], str]  # a token that makes the customer act
    currencies: Sequence[tuple[str, int, int]]  # our amount, and theirs
    unrepresentable: tuple[int, str]
    told: Callable[[ProviderCall], Awaitable[Verdict]] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def money(self, call: ProviderCall) -> Money:
        """What the books say of the call's payment."""
        return await asyncio.to_thread(self.books, call.payment_id)

    def authorize(self, payment_method: str | None = None, *, window_ms: int = 60_000, **fields: Any) -> ProviderCall:
        """A new attempt at a new payment."""
        values: dict[str, Any] = {
            "merchant_id": "m-1",
            "payment_id": new_id("pay"),
            "attempt_id": new_id("att"),
            "operation": "authorize",
            "amount": AMOUNT,
            "currency": "EUR",
            "payment_method": payment_method or self.good,
            "capture": True,
            "key": uuid.uuid4().hex,
            "parent_reference": None,
            "reference": None,
            "send_by_ms": monotonic_ms() + window_ms,
        }
        return ProviderCall(**(values | fields))

    async def prepared(self, provider: Provider, operation: str, amount: int = AMOUNT) -> ProviderCall:
        """An attempt of this operation, at a payment that is ready for it."""
        if operation == "authorize":
            return self.authorize(amount=amount)
        first = self.authorize(capture=operation == "refund")
        verdict = await provider.authorize(first)
        assert isinstance(verdict, Approved), verdict
        return follow_up(first, verdict.reference, operation, amount)

    async def outcome(self, call: ProviderCall, verdict: Verdict) -> Verdict:
        """What became of a call: its answer, or what is told later."""
        if call.operation == "authorize" or self.told is None:
            return verdict
        return await self.told(call)


def follow_up(of: ProviderCall, reference: str | None, operation: str, amount: int = AMOUNT) -> ProviderCall:
    """A new attempt at the payment of an earlier call."""
    return replace(
        of,
        attempt_id=new_id("att"),
        operation=operation,
        amount=amount,
        capture=operation == "capture",
        key=uuid.uuid4().hex,
        parent_reference=reference,
        send_by_ms=monotonic_ms() + 60_000,
    )


class Signed(NamedTuple):
    """A delivery: body and headers."""

    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Letters:
    """A provider's webhooks. ``event`` makes the one of this number; ``sign`` signs it with a secret at a time.
    ``unreadable`` are events that are signed and cannot be read. ``timed``: the signature holds a time."""

    name: str
    receiver: Callable[[Sequence[str]], Receiver]
    secrets: tuple[str, str]
    event: Callable[[int], dict[str, Any]]
    sign: Callable[[dict[str, Any], str, datetime], Signed]
    unsigned: Callable[[dict[str, Any]], Signed]
    garbled: Callable[[Signed], Sequence[Signed]]
    changed: Callable[[Signed], Signed]  # what it says, under the same signature
    unreadable: Sequence[dict[str, Any]]
    timed: bool


class Stub:
    """A server that gives every request the same answer, byte for byte."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.requests = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        self.requests += 1
        writer.write(self.answer)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def stub(answer: bytes) -> AsyncIterator[Stub]:
    """A running stub."""
    served = Stub(answer)
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield served


def http(status: int, body: bytes = b"{}", *headers: str) -> bytes:
    """An answer as it goes over the wire."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Tape:
    """Passes requests on, and keeps the last answer."""

    def __init__(self, port: int) -> None:
        self.upstream_port = port
        self.answer = b""
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, body = await request_of(reader)
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
        upstream, request = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        request.write(b"\r\n".join([*lines, b"Connection: close", b"", body]))
        self.answer = await upstream.read(-1)
        request.close()
        writer.write(self.answer)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def tape(port: int) -> AsyncIterator[Tape]:
    """A running tape."""
    made = Tape(port)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield made


async def request_of(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of a request."""
    head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
    length = next(
        (int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    return head, await reader.readexactly(length)
