"""The load generator: a process of its own that shares the machine with what it measures, and so has to be cheap.

Raw HTTP/1.1 over keep-alive connections: a request is two pieces of bytes around a key, of an answer only status and
length are read. Closed loop: every connection always has one request under way. Open loop: requests are due at random
moments at a given rate, whether or not earlier ones are answered, and latency counts from the moment a request was
*due*: waiting for a connection, or for the generator itself, is waiting.

``python -m tallystick.lab.bench.generator '<Load as JSON>'`` prints ``measuring`` when the warm-up is over,
``measured`` when the measured time is, and then a ``LoadResult`` as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from collections import Counter, deque
from typing import Any, Final

import msgspec
import uvloop
from msgspec import Struct

from tallystick.lab.bench.latency import Latency, latency
from tallystick.lab.bench.load_connection import LoadConnection
from tallystick.lab.bench.workload import BODY, PATH, body_bytes, random_key

#: How long requests of an open loop may take to be answered after the last was sent; later ones are failures.
GRACE_S: Final = 15

#: A rate is carried where the requests that are not answered yet have grown by less than what this share of the
#: measured time brings, or a stall of a quarter of a second. A machine that falls behind is soon above both.
BACKLOG_SHARE: Final = 0.05
STALL_S: Final = 0.25

#: The platform's own answer that it does not carry the load.
OVERLOADED: Final = "503"

#: An open loop looks this often at what is due; far below the latencies that matter.
TICK_S: Final = 0.001

#: The expected status; anything else is counted as a failure.
EXPECTED: Final = b"201"


class Load(Struct, frozen=True, kw_only=True):
    """What to send. ``rate_per_s`` None: closed loop."""

    host: str
    port: int
    api_key: str
    connections: int
    warm_up_s: float
    duration_s: float
    rate_per_s: float | None = None
    grace_s: float = GRACE_S
    body: dict[str, Any] | None = None  # of each payment; None: the workload's


_LOAD: Final = msgspec.json.Decoder(Load)


class LoadResult(Struct, frozen=True, kw_only=True):
    """What came back within the measured time. ``failures``: answers other than 201 by status, and ``unanswered``.
    ``completed``: answers that came within it, whenever they were due; ``backlog_growth``: of an open loop, how many
    more were due than came."""

    answered: int
    elapsed_s: float
    per_s: float
    latency: Latency
    failures: dict[str, int]
    completed: int
    backlog_growth: int = 0

    def carried(self, rate_per_s: float) -> bool:
        """Whether the open loop's rate was carried."""
        allowed_s = max(BACKLOG_SHARE * self.elapsed_s, STALL_S)
        return self.backlog_growth < allowed_s * rate_per_s and OVERLOADED not in self.failures


class Run:
    """Counts and times of one load."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.rng = random.Random()  # unseeded: a key that was sent in an earlier run would be answered as a replay
        self.connections: list[PaymentConnection] = []
        self.free: list[PaymentConnection] = []
        self.waiting: deque[float] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self.latencies: list[float] = []
        self.failures: Counter[str] = Counter()
        self.measured_from = float("inf")
        self.measured_until = float("inf")
        self.under_way = 0
        self.completed = 0
        self.backlog_at_start = 0
        self.backlog_at_end = 0
        self.ended = asyncio.Event()
        body = body_bytes(load.body or BODY)
        self._head = (
            f"POST {PATH} HTTP/1.1\r\nhost: {load.host}:{load.port}\r\nauthorization: Bearer {load.api_key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\nidempotency-key: "
        ).encode()
        self._tail = b"\r\n\r\n" + body

    def backlog(self) -> int:
        """Requests that are due and not answered."""
        return self.under_way + len(self.waiting)

    def request(self) -> bytes:
        """A payment under a new key."""
        return b"".join((self._head, random_key(self.rng).encode(), self._tail))

    def answered(self, connection: PaymentConnection, status: bytes, due: float) -> None:
        """One answer is complete. A closed loop counts what is answered within the measured time, an open one what was
        due in it."""
        now = time.perf_counter()
        self.under_way -= 1
        self.completed += self.measured_from <= now < self.measured_until
        moment = now if self.load.rate_per_s is None else due
        if self.measured_from <= moment < self.measured_until:
            self.latencies.append(now - due)
            if status != EXPECTED:
                self.failures[status.decode()] += 1
        if self.load.rate_per_s is None:
            if now < self.measured_until:
                connection.send(now)
            return
        if self.waiting:
            connection.send(self.waiting.popleft())
        else:
            self.free.append(connection)
        if self.under_way == 0 and not self.waiting and now >= self.measured_until:
            self.ended.set()

    def lost(self, connection: PaymentConnection) -> None:
        """A connection broke. A server may close an idle one: another one is opened when it is needed."""
        if connection not in self.connections:
            return  # it was idle, and ``due`` found it closed already
        if self.load.rate_per_s is not None and connection in self.free:
            self.free.remove(connection)
            self.connections.remove(connection)
        else:
            self.failures["connection lost"] += 1

    def due(self, due: float) -> None:
        """A request of an open loop is due: it is sent, or waits for a connection."""
        while self.free:
            connection = self.free[-1]
            if connection.is_open:
                self.free.pop().send(due)
                return
            self.lost(connection)  # asyncio reports it later
        self.waiting.append(due)
        if len(self.connections) + len(self._opening) < self.load.connections:
            task = asyncio.create_task(self._open_another())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def open(self) -> PaymentConnection:
        """One more connection. Raises OSError where the server cannot be reached."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: PaymentConnection(self), self.load.host, self.load.port)
        self.connections.append(connection)
        return connection

    async def _open_another(self) -> None:
        connection = await self.open()
        if self.waiting:
            connection.send(self.waiting.popleft())
        else:
            self.free.append(connection)


class PaymentConnection(LoadConnection):
    """Sends one new payment after another."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run
        self._due = 0.0

    def send(self, due: float) -> None:
        """Send a new payment that was due at ``due`` (seconds on the performance counter)."""
        self._due = due
        self._run.under_way += 1
        self.write(self._run.request())

    def responded(self, status: bytes) -> None:
        """One payment is answered."""
        self._run.answered(self, status, self._due)

    def connection_lost(self, exc: Exception | None) -> None:
        """Before the end nothing here closes a connection: the server did."""
        if not self._run.ended.is_set():
            self._run.lost(self)


async def generate(load: Load) -> LoadResult:
    """Send the load and report. Raises OSError where the server cannot be reached."""
    run = Run(load)
    for _ in range(load.connections):
        await run.open()
    await (_closed_loop(run) if load.rate_per_s is None else _open_loop(run, load.rate_per_s))
    if run.backlog() and load.rate_per_s is not None:
        run.failures["unanswered"] += run.backlog()
    return LoadResult(
        answered=len(run.latencies),
        elapsed_s=load.duration_s,
        per_s=round(len(run.latencies) / load.duration_s, 1),
        latency=latency(run.latencies),
        failures=dict(run.failures),
        completed=run.completed,
        backlog_growth=run.backlog_at_end - run.backlog_at_start,
    )


async def _closed_loop(run: Run) -> None:
    for connection in run.connections:
        connection.send(time.perf_counter())
    await asyncio.sleep(run.load.warm_up_s)
    _start_measuring(run, time.perf_counter())
    await asyncio.sleep(run.measured_until - time.perf_counter())
    print("measured", flush=True)
    run.ended.set()


async def _open_loop(run: Run, rate_per_s: float) -> None:
    run.free.extend(run.connections)
    due = time.perf_counter()
    start_at = due + run.load.warm_up_s
    while due < run.measured_until:
        await asyncio.sleep(TICK_S)
        now = time.perf_counter()
        if run.measured_from == float("inf") and now >= start_at:
            _start_measuring(run, start_at)
            run.backlog_at_start = run.backlog()
        while due <= now and due < run.measured_until:
            run.due(due)
            due += run.rng.expovariate(rate_per_s)
    run.backlog_at_end = run.backlog()
    print("measured", flush=True)
    if run.backlog():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(run.ended.wait(), run.load.grace_s)
    run.ended.set()


def _start_measuring(run: Run, moment: float) -> None:
    run.measured_from = moment
    run.measured_until = moment + run.load.duration_s
    print("measuring", flush=True)


def main() -> None:
    """One load from the command line."""
    result = uvloop.run(generate(_LOAD.decode(sys.argv[1])))
    print(msgspec.json.encode(result).decode(), flush=True)


if __name__ == "__main__":
    main()
