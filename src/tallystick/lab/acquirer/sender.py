"""Sends what is due, repeatedly until the receiver accepts it, and never blocks the API."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import sqlite3
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from tallystick.lab.acquirer.events import ORIGINAL, Due, EventBook, SentRequest
from tallystick.lab.acquirer.options import Webhooks
from tallystick.lab.acquirer.signing import SIGNATURE_HEADER, forgers_signature, forgery, signature, twin
from tallystick.lab.acquirer.wire import Unanswered, Wires

#: Requests are logged in batches: one transaction in this time, not one a request.
LOG_INTERVAL_S: Final = 0.02

#: A reordered event looks this often whether the one after it has gone.
REORDER_S: Final = 0.02

#: How long an API answer waits for its own webhook at most: a receiver is quicker, and the caller waits for longer.
EARLY_S: Final = 2.0

#: Copies of each event of sim_webhook_duplicate beside the first.
EXTRA_COPIES: Final = 2

CONTENT_TYPE: Final = {"Content-Type": "application/json"}


class Courier:
    """Signs one request, sends it, and logs what it was answered."""

    def __init__(self, events: EventBook, webhooks: Webhooks) -> None:
        self._events = events
        self._secret = webhooks.secret
        self._retry_s = [wait / 1000 for wait in webhooks.retry_ms]
        self._log: list[SentRequest] = []
        self._flush: asyncio.TimerHandle | None = None

    async def carry(self, wires: Wires, sequence: int, kind: str, body: bytes) -> SentRequest:
        """Send a body as one ``kind`` of an event: original | duplicate | forged | twin. Raises nothing."""
        sent_at, started = time.time(), time.perf_counter()
        signed = forgers_signature(body, sent_at) if kind == "forged" else signature(self._secret, body, sent_at)
        status, error = None, None
        try:
            status = await wires.post(body, CONTENT_TYPE | {SIGNATURE_HEADER: signed})
        except Unanswered as unanswered:
            error = str(unanswered)
        done = SentRequest(sequence, kind, sent_at, status, (time.perf_counter() - started) * 1000, error)
        self._log.append(done)
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(LOG_INTERVAL_S, self.flush)
        return done

    def flush(self) -> None:
        """Write down what is not written down yet."""
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        if self._log:
            log, self._log = self._log, []
            self._events.record(log, self._retry_s)


class Sender:
    """What is due, in the order of its time. Make it inside a running event loop."""

    def __init__(self, events: EventBook, webhooks: Webhooks) -> None:
        self._events = events
        self.courier = Courier(events, webhooks)
        self._wires = Wires(webhooks.url, limit=webhooks.connections, timeout_s=webhooks.timeout_ms / 1000)
        self._slots = asyncio.Semaphore(webhooks.connections)
        self._due: list[Due] = events.waiting()
        heapq.heapify(self._due)
        self._news = asyncio.Event()
        self._running = asyncio.Event()
        self._running.set()
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._others: set[asyncio.Task[Any]] = set()
        events.on_due(self._hear)

    @property
    def paused(self) -> bool:
        """Whether nothing is sent for now. A restart ends it."""
        return not self._running.is_set()

    def pause(self) -> None:
        """Send nothing more; what is on its way arrives."""
        self._running.clear()

    def resume(self) -> None:
        """Go on."""
        self._running.set()

    async def run(self) -> None:
        """Send until canceled."""
        while True:
            await self._running.wait()
            self._news.clear()
            wait_s = self._due[0][0] - time.time() if self._due else None
            if wait_s is None or wait_s > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._news.wait()
                continue
            await self._slots.acquire()
            if self.paused or not self._due:
                self._slots.release()
                continue
            sequence = heapq.heappop(self._due)[1]
            if sequence in self._under_way:  # its own outcome will schedule it, where it must
                self._slots.release()
                continue
            self._under_way[sequence] = asyncio.create_task(self._send(sequence))

    async def sent(self, charge_id: str) -> None:
        """Wait until what is due about a charge was sent once and answered, or until EARLY_S is over."""
        give_up = time.monotonic() + EARLY_S
        while not self.paused and self._events.untried(charge_id) and time.monotonic() < give_up:
            await asyncio.sleep(LOG_INTERVAL_S / 4)

    async def close(self) -> None:
        """Break what is on its way and write down what is known; the rest is in the books."""
        for task in [*self._under_way.values(), *self._others]:
            task.cancel()
        await asyncio.gather(*self._under_way.values(), *self._others, return_exceptions=True)
        self.courier.flush()
        self._wires.close()

    def _hear(self, written: Sequence[Due]) -> None:
        for due in written:
            heapq.heappush(self._due, due)
        self._news.set()

    async def _send(self, sequence: int) -> None:
        try:
            event = self._events.event(sequence)
            now = time.time()
            if event["state"] != "waiting":
                return
            if event["due_at"] > now:
                self._hear([(event["due_at"], sequence)])
            elif event["departure"] == "reordered" and self._events.is_overtaken(event):
                self._hear([(now + REORDER_S, sequence)])
            else:
                await self._carry(event)
        finally:
            del self._under_way[sequence]
            self._slots.release()

    async def _carry(self, event: sqlite3.Row) -> None:
        """The event itself, and whatever its script sends with it. The forger's twin comes after the event, so that
        the first bytes under an id are the right ones."""
        sequence, body = event["sequence"], event["body"]
        if event["departure"] == "duplicate":
            for _ in range(EXTRA_COPIES):
                self._aside(self.courier.carry(self._wires, sequence, "duplicate", body))
        if event["departure"] == "forged":
            await self.courier.carry(self._wires, sequence, "forged", forgery(body))
        done = await self.courier.carry(self._wires, sequence, ORIGINAL, body)
        if event["departure"] == "forged" and done.accepted:
            await self.courier.carry(self._wires, sequence, "twin", twin(body))

    def _aside(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._others.add(task)
        task.add_done_callback(self._others.discard)
