"""A proxy that stands between us and a provider's HTTP server and spoils what it is told to spoil.

It runs as a task of the test's own loop. What passes through it is parsed as HTTP/1.1 with a Content-Length, one
request for a connection; nothing else is understood, and nothing else is asked of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from enum import StrEnum

#: Longest that a request or an answer is held: a test that waits for more has gone wrong.
HOLD_LIMIT_S = 5.0

#: A connection that nobody reads or writes any more is given up after this.
IDLE_LIMIT_S = 30.0


class Fault(StrEnum):
    """What becomes of one request. *Charged*: the provider executes it all the same."""

    NONE = "none"
    SLOW = "slow"  # executed; the answer comes late, and in time
    TIMEOUT_CHARGED = "timeout_charged"
    TIMEOUT_NOT_CHARGED = "timeout_not_charged"
    RESET_CHARGED = "reset_charged"
    RESET_NOT_CHARGED = "reset_not_charged"
    ERROR_CHARGED = "error_charged"
    ERROR_NOT_CHARGED = "error_not_charged"
    CUT_CHARGED = "cut_charged"  # executed; the connection ends in the middle of the answer
    LATE = "late"  # under way for ``late_s``, however long the sender waited, and executed then


CHARGED = frozenset(
    {
        Fault.NONE,
        Fault.SLOW,
        Fault.TIMEOUT_CHARGED,
        Fault.RESET_CHARGED,
        Fault.ERROR_CHARGED,
        Fault.CUT_CHARGED,
        Fault.LATE,
    }
)

#: Those that only the sender's patience ends.
SILENT = frozenset({Fault.TIMEOUT_CHARGED, Fault.TIMEOUT_NOT_CHARGED, Fault.LATE})

_KEY = re.compile(rb"(?im)^idempotency-key: *([!-~]+)")

_ERROR = (
    b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 9\r\nConnection: close\r\n\r\n<p>no</p>"
)


@dataclass
class Passage:
    """One request that came by; ``key``: its Idempotency-Key."""

    method: str
    path: str
    fault: Fault
    delivered: bool = False
    key: str | None = None
    head: bytes = b""
    body: bytes = b""


@dataclass
class FaultyProxy:
    """``slow_s``: how late a slow answer is; ``late_s``: how late a late request arrives. Both are bounds as well: no
    request is under way for longer."""

    upstream_port: int
    slow_s: float = 0.1
    late_s: float = 0.5
    port: int = 0
    seen: list[Passage] = field(default_factory=list)
    choose: Callable[[str, str], Fault] | None = None
    #: Idempotency-Key -> what becomes of the next requests with it: a fault, or an answer in the provider's stead.
    by_key: dict[str, list[Fault | bytes]] = field(default_factory=dict)
    _scripts: list[tuple[re.Pattern[str], list[Fault]]] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _handlers: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        assert max(self.slow_s, self.late_s) <= HOLD_LIMIT_S

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def script(self, request: str, *faults: Fault, times: int = 1) -> None:
        """Spoil the next requests that match ``"METHOD /path"`` (a regular expression), one fault each."""
        self._scripts.append((re.compile(request), [*faults] * times))

    async def deliver(self, passage: Passage) -> bytes:
        """A request that was lost on its way arrives after all. Returns the answer, which nobody waits for."""
        passage.delivered = True
        return await self._forward(passage.head, passage.body)

    async def start(self) -> None:
        """Listen; after ``stop`` on the same port again."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, start_serving=True)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections from now on. What is under way arrives."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.settled()

    async def settled(self) -> None:
        """Until nothing is under way any more."""
        while self._handlers:
            await asyncio.wait(set(self._handlers))

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            async with asyncio.timeout(IDLE_LIMIT_S):
                await self._exchange(reader, writer)
        except (OSError, EOFError, TimeoutError):
            pass  # either side went away, which is what this is about
        finally:
            self._handlers.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, body = await _message(reader)
        method, path, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ", 2)
        named = _KEY.search(head)
        passage = Passage(method, path, Fault.NONE, key=named[1].decode() if named else None, head=head, body=body)
        self.seen.append(passage)
        own = self.by_key.get(passage.key or "")
        chosen = own.pop(0) if own else self._fault(method, path)
        if isinstance(chosen, bytes):
            writer.write(chosen)
            await writer.drain()
            return
        passage.fault = chosen
        if passage.fault == Fault.LATE:
            await asyncio.sleep(self.late_s)  # the fault itself: the request arrives so late
        answer = b""
        if passage.fault in CHARGED:
            answer = await self._forward(head, body)
            passage.delivered = True
        match passage.fault:
            case Fault.TIMEOUT_CHARGED | Fault.TIMEOUT_NOT_CHARGED:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1), HOLD_LIMIT_S)  # until the sender hangs up
                return
            case Fault.RESET_CHARGED | Fault.RESET_NOT_CHARGED:
                _reset(writer)
                return
            case Fault.ERROR_CHARGED | Fault.ERROR_NOT_CHARGED:
                answer = _ERROR
            case Fault.CUT_CHARGED:
                answer = answer[: answer.find(b"\r\n\r\n") + 20]  # none where the other side has just died
            case Fault.SLOW:
                await asyncio.sleep(self.slow_s)  # the fault itself: the answer takes so long
        writer.write(answer)
        await writer.drain()

    def _fault(self, method: str, path: str) -> Fault:
        for request, faults in self._scripts:
            if faults and request.fullmatch(f"{method} {path}"):
                return faults.pop(0)
        return self.choose(method, path) if self.choose else Fault.NONE

    async def _forward(self, head: bytes, body: bytes) -> bytes:
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        try:
            writer.write(b"\r\n".join([*lines, b"Connection: close", b"", body]))
            await writer.drain()
            return await reader.read(-1)
        finally:
            writer.close()


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The head of a request without its empty line, and its body."""
    head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
    length = re.search(rb"(?im)^content-length: *([0-9]+)", head)
    return head, await reader.readexactly(int(length[1])) if length else b""


def _reset(writer: asyncio.StreamWriter) -> None:
    """RST instead of FIN: what a crashed peer's machine sends."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextlib.asynccontextmanager
async def faulty_proxy(upstream_port: int, *, slow_s: float = 0.1, late_s: float = 0.5) -> AsyncIterator[FaultyProxy]:
    """A running proxy, stopped at the end."""
    proxy = FaultyProxy(upstream_port, slow_s=slow_s, late_s=late_s)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
