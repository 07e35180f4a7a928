"""Delivers prepared webhooks over keep-alive connections, as fast as they are acknowledged: a process of its own.

``python -m tallystick.lab.bench.webhook_load '<WebhookLoad as JSON>'`` reads the deliveries from a file and prints a
``WebhookResult`` as JSON.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import uvloop
from msgspec import Struct

from tallystick.lab.bench.latency import Latency, latency
from tallystick.lab.bench.load_connection import LoadConnection


class Delivery(Struct, frozen=True, array_like=True):
    """One request: its path, the value of its signature's header, its body, and the status it has to get."""

    path: str
    signature: str
    body: bytes
    expected: int


class WebhookLoad(Struct, frozen=True, kw_only=True):
    """What to deliver. ``expected``: of every answer, or None for what each delivery says."""

    host: str
    port: int
    deliveries: str
    connections: int
    expected: int | None = None


class WebhookResult(Struct, frozen=True, kw_only=True):
    """What came back. ``failures``: answers other than expected, by status."""

    answered: int
    elapsed_s: float
    per_s: float
    latency: Latency
    failures: dict[str, int]


class _WebhookConnection(LoadConnection):
    """Delivers one webhook after another, until none is left."""

    def __init__(self, run: _Run) -> None:
        super().__init__()
        self._run = run
        self._sent_at = 0.0
        self._expected = 0

    def next(self) -> None:
        """Send the next one, if any is left."""
        prepared = self._run.take()
        if prepared is None:
            return
        request, self._expected = prepared
        self._sent_at = time.perf_counter()
        self.write(request)

    def responded(self, status: bytes) -> None:
        self._run.answered(int(status), self._expected, time.perf_counter() - self._sent_at)
        self.next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.lost()


class _Run:
    def __init__(self, load: WebhookLoad, deliveries: Sequence[Delivery]) -> None:
        self._requests = [_request(load, each) for each in reversed(deliveries)]
        self._left = len(deliveries)
        self.latencies: list[float] = []
        self.failures: Counter[str] = Counter()
        self.ended = asyncio.Event()

    def take(self) -> tuple[bytes, int] | None:
        return self._requests.pop() if self._requests else None

    def answered(self, status: int, expected: int, seconds: float) -> None:
        self.latencies.append(seconds)
        if status != expected:
            self.failures[str(status)] += 1
        self._left -= 1
        if self._left == 0:
            self.ended.set()

    def lost(self) -> None:
        if not self.ended.is_set():
            self.failures["connection lost"] += 1
            self.ended.set()


def _request(load: WebhookLoad, delivery: Delivery) -> tuple[bytes, int]:
    head = (
        f"POST {delivery.path} HTTP/1.1\r\nhost: {load.host}:{load.port}\r\ncontent-type: application/json\r\n"
        f"acquirer-signature: {delivery.signature}\r\ncontent-length: {len(delivery.body)}\r\n\r\n"
    )
    return head.encode() + delivery.body, load.expected or delivery.expected


async def deliver(load: WebhookLoad) -> WebhookResult:
    """Deliver everything once. Raises OSError where the server cannot be reached."""
    deliveries = msgspec.msgpack.decode(Path(load.deliveries).read_bytes(), type=list[Delivery])
    run = _Run(load, deliveries)
    loop = asyncio.get_running_loop()
    connections = []
    for _ in range(load.connections):
        _, connection = await loop.create_connection(lambda: _WebhookConnection(run), load.host, load.port)
        connections.append(connection)
    started = time.perf_counter()
    for connection in connections:
        connection.next()
    await run.ended.wait()
    elapsed_s = time.perf_counter() - started
    return WebhookResult(
        answered=len(run.latencies),
        elapsed_s=round(elapsed_s, 3),
        per_s=round(len(run.latencies) / elapsed_s, 1),
        latency=latency(run.latencies),
        failures=dict(run.failures),
    )


if __name__ == "__main__":
    print(msgspec.json.encode(uvloop.run(deliver(msgspec.json.decode(sys.argv[1], type=WebhookLoad)))).decode())
