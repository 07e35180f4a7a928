"""Intake: verified envelopes become durable in batches, like changes in the journal, before the response 2xx.

Batches start as the journal's do: while deliveries come together, ``SPACING_MS`` after the last one (decision 0120).

A redelivery gets its own row beside its envelope; so do other bytes under a known id, which raise an alert.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tallystick.domain.errors import Overloaded, TallystickError
from tallystick.domain.measures import ARRIVALS
from tallystick.domain.next_action import kept_part, with_action
from tallystick.domain.notices import StoredNotice
from tallystick.flows.webhooks.inbound.envelope import Envelope
from tallystick.kit.clock import Clock
from tallystick.kit.log_sampling import SampledLines
from tallystick.kit.logs import get_logger
from tallystick.record.batch_starts import BatchStarts
from tallystick.record.postgres.arrivals import ArrivalRow, write_arrivals
from tallystick.record.postgres.batch import JournalConnection
from tallystick.record.postgres.connections import FORGET_PLANS, KeptPlans
from tallystick.record.postgres.failures import CONNECTION_IS_FINE, may_run_again, pause_ms
from tallystick.record.postgres.outage import Outage

log = get_logger("tallystick.flows.webhooks.inbound.intake")

#: Deliveries in one transaction: the gain of larger ones is small beside the wait for them.
BATCH_DELIVERIES: Final = 200

#: Encrypted bytes in one transaction, so that no transaction takes long; a delivery may have 1 MiB.
BATCH_BYTES: Final = 8_388_608

#: Encrypted bytes that wait for a batch in one process: seconds of a disk's work, and a bound on memory.
QUEUE_BYTES: Final = 134_217_728

#: While one batch is on its way to disk, the next one collects; a third connection would only split them.
CONNECTIONS: Final = 2

#: A batch costs much the same whatever its size. Providers wait for seconds.
SPACING_MS: Final = 10

#: Beside a batch in flight another one starts when so many deliveries wait: it is worth its round trips.
SECOND_BATCH_DELIVERIES: Final = 100

#: Pause before a batch that met a deadlock or a lost connection runs again.
RETRY_PAUSE_MS: Final = 50

#: The longest pause while the database stays away: a writer is back this soon after it.
RETRY_CAP_MS: Final = 500

#: What a person does about an event that came again with other content.
SHOW_EVENT: Final = "tallystick provider-events show {event_id}"

#: And about a row that the database refuses: it is a defect.
REPORT: Final = "report it with this line; the provider sends the event again"

#: The intake's name in what is said of an outage.
PART: Final = "intake"

#: A merchant's fair share of a busy inbox: 100 events a second. The rest queues behind the events of others, and does
#: not wait if there are none.
FAIRNESS_SPACING_MS: Final = 10

#: Fairness keys remembered in one process; beyond it those in the past are dropped.
_MAX_REMEMBERED_KEYS: Final = 10_000

_ENCODER: Final = msgspec.json.Encoder()


class IntakeUnavailable(TallystickError):
    """The inbox could not be written in time. The delivery may be stored; the provider will send it again."""


class Arrival(Struct, frozen=True):
    """One event of one delivery, verified, with the encrypted bytes that it came in."""

    envelope: Envelope
    validated_at: datetime
    sealed: bytes


class _QueuedArrival:
    __slots__ = ("arrivals", "future", "size_bytes")

    def __init__(self, arrivals: Sequence[Arrival], future: asyncio.Future[None]) -> None:
        self.arrivals = arrivals
        self.size_bytes = sum(len(arrival.sealed) for arrival in arrivals)
        self.future = future


class Intake:
    """Writes arrivals. One for each API process; ``connect`` opens a dedicated connection."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[JournalConnection]],
        clock: Clock,
        *,
        queue_limit: int,
        commit_timeout_ms: int,
        outage: Outage | None = None,
    ) -> None:
        self._connect = connect
        self._outage = outage or Outage()
        self._queue_limit = queue_limit
        self._commit_timeout_ms = commit_timeout_ms
        self._clock = clock
        self._queue: deque[_QueuedArrival] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._writers: list[asyncio.Task[None]] = []
        self.starts: Final = BatchStarts(
            lambda: bool(self._queue), self._has_enough, self._wake.set, spacing_ms=SPACING_MS
        )
        self._places_ms: dict[str, int] = {}
        self._lines = SampledLines()

    async def start(self) -> None:
        """Start to write. Connections open on demand: an unavailable database means a 503."""
        self._writers = [
            asyncio.create_task(_Writer(self, self._connect, self._clock, self._outage).run(), name=f"intake-{number}")
            for number in range(CONNECTIONS)
        ]

    async def stop(self) -> None:
        """Write what is queued, then close."""
        self._closing = True
        self._wake.set()
        await asyncio.gather(*self._writers)
        self.starts.cancel()
        self._lines.flush()

    async def accept(self, arrivals: Sequence[Arrival]) -> None:
        """Returns when every arrival is durable.

        Raises Overloaded (nothing was written) and IntakeUnavailable (it may have been written).
        """
        if self._closing:
            raise Overloaded("the inbox is closing")
        if len(self._queue) >= self._queue_limit or self._queued_bytes >= QUEUE_BYTES:
            raise Overloaded("the inbox's queue is full")
        loop = asyncio.get_running_loop()
        waiting = _QueuedArrival(arrivals, loop.create_future())
        self._queue.append(waiting)
        self._queued_bytes += waiting.size_bytes
        if self.starts.may_start():
            self._wake.set()
        # A time-out here, not in the writers: a hanging database blocks them, and the provider waits for seconds only.
        giving_up = loop.call_later(self._commit_timeout_ms / 1000, _fail, waiting, "it could not be written in time")
        try:
            await waiting.future
        finally:
            giving_up.cancel()

    def fair_place_ms(self, fairness_key: str, now_ms: int) -> int:
        """Place in the fairness order, in ms since 1970: now, or behind the other events of the same key."""
        if len(self._places_ms) > _MAX_REMEMBERED_KEYS:
            self._places_ms = {name: place_ms for name, place_ms in self._places_ms.items() if place_ms > now_ms}
        place_ms = max(now_ms, self._places_ms.get(fairness_key, 0) + FAIRNESS_SPACING_MS)
        self._places_ms[fairness_key] = place_ms
        return place_ms

    async def next_batch(self) -> list[_QueuedArrival]:
        """The deliveries of the next transaction; empty once the intake closes and nothing is left."""
        while not self.starts.may_start():
            if self._closing and not self._queue:
                return []
            self._wake.clear()
            await self._wake.wait()
        batch, size_bytes = [self._queue.popleft()], 0
        while self._queue and len(batch) < BATCH_DELIVERIES and size_bytes < BATCH_BYTES:
            size_bytes += self._queue[0].size_bytes
            batch.append(self._queue.popleft())
        self._queued_bytes -= sum(waiting.size_bytes for waiting in batch)
        self.starts.started(len(batch))
        return batch

    def _has_enough(self) -> bool:
        return self._closing or len(self._queue) >= SECOND_BATCH_DELIVERIES or self._queued_bytes >= BATCH_BYTES

    def rows(self, arrivals: Sequence[Arrival]) -> list[ArrivalRow]:
        """Arrivals as they are written now."""
        now_ms = time.time_ns() // 1_000_000  # places are compared between machines; only their order matters
        return [arrival_row(each, self.fair_place_ms(each.envelope.fairness_key(), now_ms)) for each in arrivals]

    def alert(self, event: str, about: Envelope, next_step: str, **more: str) -> None:
        """A sampled log line; it names the last of the counted events. ``next_step``: what a person does, with the
        event's id where it says so."""

        def say(since_last_line: int) -> None:
            log.error(
                event,
                alert=True,
                provider=about.provider,
                account=about.account,
                event_id=about.event_id,
                provider_event_id=about.provider_event_id,
                since_last_line=since_last_line,
                next=next_step.format(event_id=about.event_id),
                **more,
            )

        self._lines.line((event, about.provider, about.account, *more.values()), say)


class _Writer:
    """One connection, and the batches that it writes."""

    def __init__(
        self, intake: Intake, connect: Callable[[], Awaitable[JournalConnection]], clock: Clock, outage: Outage
    ) -> None:
        self._intake = intake
        self._connect = connect
        self._clock = clock
        self._outage = outage
        self._connection: JournalConnection | None = None
        self._plans = KeptPlans()

    async def run(self) -> None:
        while batch := await self._intake.next_batch():
            try:
                await self._write_patiently(batch, after_loss=False)
            finally:
                self._intake.starts.ended()
        if self._connection is not None and not self._connection.is_closed():
            await self._connection.close()

    async def _write_patiently(self, batch: list[_QueuedArrival], *, after_loss: bool) -> None:
        """Try until each delivery is durable or out of time. ``after_loss``: an earlier try may have written them."""
        failures = 0
        while batch:
            try:
                await self._write([arrival for waiting in batch for arrival in waiting.arrivals], after_loss=after_loss)
            except Exception as error:
                self._discard_connection(error)
                if not may_run_again(error):
                    return await self._one_by_one(batch, error, after_loss=after_loss)
                self._outage.failed(PART, error)
                await asyncio.sleep(pause_ms(failures, RETRY_PAUSE_MS, RETRY_CAP_MS) / 1000)
                failures += 1
                after_loss = True
                batch = [waiting for waiting in batch if not waiting.future.done()]
            else:
                self._outage.worked(PART)
                for waiting in batch:
                    if not waiting.future.done():
                        waiting.future.set_result(None)
                return

    async def _one_by_one(self, batch: list[_QueuedArrival], error: Exception, *, after_loss: bool) -> None:
        """The database refused a row for good: only its delivery fails, not the others of the batch."""
        if len(batch) == 1:
            about = batch[0].arrivals[0].envelope
            self._intake.alert("delivery refused by the database", about, REPORT, error=type(error).__name__)
            _fail(batch[0], "the database refused the delivery")
            return
        for waiting in batch:
            await self._write_patiently([waiting], after_loss=after_loss)

    async def _write(self, arrivals: Sequence[Arrival], *, after_loss: bool) -> None:
        if self._connection is None or self._connection.is_closed():
            self._connection, self._plans = await self._connect(), KeptPlans()
        if self._plans.are_old():
            await self._connection.execute(FORGET_PLANS)
        rows = self._intake.rows(arrivals)
        later = await write_arrivals(self._connection, rows, self._clock.shift_ms, after_loss=after_loss)
        for arrival in arrivals:
            known = later.get(arrival.envelope.event_id)
            ARRIVALS[arrival.envelope.provider, "first" if known is None else known.result] += 1
            if known is not None and known.result == "other_bytes":
                about = replace(arrival.envelope, event_id=known.known_as)
                self._intake.alert("other bytes under a known event id", about, SHOW_EVENT)

    def _discard_connection(self, error: Exception) -> None:
        """Unless it is still usable: after a server error, and after an error about the rows."""
        if self._connection is None or isinstance(error, CONNECTION_IS_FINE) or not may_run_again(error):
            return
        self._connection.terminate()
        self._connection = None


def arrival_row(arrival: Arrival, place_ms: int) -> ArrivalRow:
    """An arrival as it is written. ``place_ms``: its place in the fair order, in ms since 1970."""
    envelope = arrival.envelope
    return ArrivalRow(
        name=(envelope.provider, envelope.account, envelope.provider_event_id),
        event_id=envelope.event_id,
        delivery_id=envelope.delivery_id,
        digest=envelope.digest,
        event=(
            envelope.type,
            envelope.received_at,
            envelope.occurred_at,
            envelope.charge_reference,
            envelope.merchant_id,
            envelope.payment_id,
            envelope.traceparent,
            None if envelope.notice is None else stored_notice(envelope.notice),
            place_ms,
            envelope.api_version,
            envelope.mark,
        ),
        times=(envelope.received_at, arrival.validated_at),
        sealed=arrival.sealed,
    )


def stored_notice(notice: StoredNotice) -> str:
    """A notice as the inbox keeps it: JSON, without what a payer has to do next unless that is sealed."""
    return _ENCODER.encode(with_action(notice, kept_part)).decode()


def _fail(waiting: _QueuedArrival, why: str) -> None:
    if not waiting.future.done():
        waiting.future.set_exception(IntakeUnavailable(why))
