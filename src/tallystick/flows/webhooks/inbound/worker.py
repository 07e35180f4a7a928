"""The inbox worker: leases events, routes them, loads their payments together, and handles each.

A lost lease does no harm: the version guard stops the second worker, which loads what the first one wrote and finds
nothing left to do.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.foreign import FIRST_LOOK_BACK_MS, LOOK_BACK_MS
from tallystick.flows.webhooks.inbound.handler import Handler
from tallystick.kit.clock import monotonic_ms
from tallystick.kit.ids import new_id
from tallystick.kit.logs import get_logger
from tallystick.providers.assembly import receivers
from tallystick.record.postgres.inbox import EventName, Inbox, LeasedEvent

log = get_logger("tallystick.flows.webhooks.inbound.worker")

#: Batches under way at once: while one waits for the disk, the next is decided.
BATCHES_AT_ONCE: Final = 3

#: An event that is due for this long is taken by no other worker: inboxes are read several times a second.
WAITS_AFTER_MS: Final = 5_000

#: Events noted in one statement as waiting for a worker with other settings.
WAITING_AT_ONCE: Final = 500

#: Events in their handlers at once; most handlers do nothing but wait for the same commit.
HANDLERS_AT_ONCE: Final = 400


class InboxWorker:
    """One worker of the inbox. Make it inside a running event loop."""

    def __init__(self, runtime: Runtime, inbox: Inbox) -> None:
        self._runtime = runtime
        self._inbox = inbox
        self._handler = Handler(runtime)
        self._slots = asyncio.Semaphore(HANDLERS_AT_ONCE)
        self._under_way: set[asyncio.Task[int]] = set()
        self._accounts = _accounts_of(runtime)
        self._look_for_waiting_ms = 0
        self._look_back_ms = FIRST_LOOK_BACK_MS

    async def begin(self) -> int:
        """Lease events, once a batch has room, and start to process them. Returns how many there were."""
        if len(self._under_way) >= BATCHES_AT_ONCE:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
        lease, events = await self._claim()
        if events:
            task = asyncio.create_task(self._batch(lease, events))
            self._under_way.add(task)
            task.add_done_callback(self._done)
        return len(events)

    async def finish(self) -> None:
        """Wait for the batches that are under way."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def round(self) -> int:
        """Lease events once, and process them to their end. Returns how many there were."""
        lease, events = await self._claim()
        return await self._batch(lease, events) if events else 0

    async def take_up_known(self) -> int:
        """Queue foreign events again whose charge has become known all the same. Returns how many."""
        look_back_ms, self._look_back_ms = self._look_back_ms, LOOK_BACK_MS
        return await self._inbox.take_up_known(look_back_ms)

    def _done(self, task: asyncio.Task[int]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("webhook batch failed", error=repr(error))

    async def _claim(self) -> tuple[str, list[LeasedEvent]]:
        settings, lease, accounts = self._runtime.settings, new_id("lse"), self._accounts
        if monotonic_ms() >= self._look_for_waiting_ms:
            self._look_for_waiting_ms = monotonic_ms() + WAITS_AFTER_MS
            await self.note_waiting()
        return lease, await self._inbox.lease(settings.webhook_batch, lease, settings.webhook_lease_ms, accounts)

    async def note_waiting(self, due_for_ms: int = WAITS_AFTER_MS) -> None:
        """Note of the events of other accounts that nobody has taken what they wait for, and alert."""
        names = await self._inbox.not_ready(WAITING_AT_ONCE, self._accounts, due_for_ms)
        for (provider, account), count in Counter(name[:2] for name in names).items():
            self._runtime.report_waiting("events", provider, account, count)

    async def _batch(self, lease: str, events: Sequence[LeasedEvent]) -> int:
        """Every event of one lease; it is renewed for as long as any of them takes."""
        open_events = {event.name(): event for event in events}
        renewing = asyncio.create_task(self._renew(lease, open_events))
        try:
            started_at = self._runtime.clock.now()
            routed = await self._route(events)
            stored = await self._runtime.reads.load_many(sorted({name for name in routed.values() if name}))
            chains = [
                self._chain(chain, stored.get(name) if name else None, started_at, open_events)
                for name, chain in _by_payment(events, routed)
            ]
            await asyncio.gather(*chains)
        finally:
            renewing.cancel()
            if open_events:  # the database was unavailable, or the process is ending: the next worker takes it
                await self._inbox.release(list(open_events), lease)
        return len(events)

    async def _renew(self, lease: str, open_events: Mapping[EventName, LeasedEvent]) -> None:
        lease_ms = self._runtime.settings.webhook_lease_ms
        while True:
            await asyncio.sleep(lease_ms / 3000)
            try:
                if open_events:
                    await self._inbox.renew(list(open_events), lease, lease_ms)
            except Exception as error:  # the lease may be lost, which costs only work
                log.warning("webhook lease not renewed", error=type(error).__name__)

    async def _route(self, events: Sequence[LeasedEvent]) -> dict[str, tuple[str, str] | None]:
        """(merchant, payment) by event id: from the bytes where they carry both, else by the charge's reference."""
        unnamed = [event for event in events if event.payment_id is None and event.charge_reference is not None]
        known = await self._inbox.routes([(e.provider, e.account, e.charge_reference or "") for e in unnamed])
        routed: dict[str, tuple[str, str] | None] = {}
        for event in events:
            if event.merchant_id is not None and event.payment_id is not None:
                routed[event.event_id] = (event.merchant_id, event.payment_id)
            else:
                routed[event.event_id] = known.get((event.provider, event.account, event.charge_reference or ""))
        return routed

    async def _chain(
        self,
        events: Sequence[LeasedEvent],
        stored: PaymentSnapshot | None,
        started_at: datetime,
        open_events: dict[EventName, LeasedEvent],
    ) -> None:
        """The events of one payment, one after another: each is decided on the state that the previous one left."""
        fresh = True
        for event in events:
            async with self._slots:
                if stored is not None and not fresh:
                    loaded = await self._runtime.reads.load(stored.payment.merchant_id, stored.payment.payment_id)
                    stored = loaded.stored if loaded else None
                fresh = False
                if await self._handler.handle(event, stored, started_at):
                    open_events.pop(event.name(), None)


def _accounts_of(runtime: Runtime) -> list[str]:
    """``provider/account`` of everything that the settings have a part of. With a webhook's secret alone, most events
    are decided from the record; one that depends on a question waits."""
    named = {f"{provider}/{account}" for provider, account in receivers(runtime.settings)}
    return sorted(named.union(runtime.accounts))


def _by_payment(
    events: Iterable[LeasedEvent], routed: Mapping[str, tuple[str, str] | None]
) -> Iterable[tuple[tuple[str, str] | None, list[LeasedEvent]]]:
    chains: dict[tuple[str, str], list[LeasedEvent]] = {}
    for event in events:
        name = routed[event.event_id]
        if name is None:
            yield None, [event]
        else:
            chains.setdefault(name, []).append(event)
    yield from chains.items()
