"""The inbox worker: leases events, routes them, loads their payments together, and handles each. Merchants share what
can be under way at once (``kit.fair_shares``).

A lost lease does no harm: the version guard stops the second worker, which loads what the first one wrote and finds
nothing left to do.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.flows.event_results import EventResults
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.foreign import FIRST_LOOK_BACK_MS, LOOK_BACK_MS
from tallystick.flows.webhooks.inbound.handler import Handler
from tallystick.kit.clock import monotonic_ms
from tallystick.kit.fair_shares import FairShares
from tallystick.kit.ids import new_id
from tallystick.kit.logs import get_logger
from tallystick.providers.assembly import receivers
from tallystick.record.postgres.inbox import Inbox
from tallystick.record.postgres.inbox_rows import EventName, LeasedEvent

log = get_logger("tallystick.flows.webhooks.inbound.worker")

#: Batches under way at once: while one waits for the disk, the next is decided.
BATCHES_AT_ONCE: Final = 3

#: A batch that takes longer waits for providers, and no longer keeps others from beginning. Those that wait for the
#: disk alone take a fifth of it.
SLOW_BATCH_MS: Final = 500

#: Events under way at once, in whole batches: one more than merchants fill without waiting for a provider.
EVENTS_AT_ONCE_BATCHES: Final = BATCHES_AT_ONCE + 1

#: An event that is due for this long is taken by no other worker: inboxes are read several times a second.
WAITS_AFTER_MS: Final = 5_000

#: Events noted in one statement as waiting for a worker with other settings.
WAITING_AT_ONCE: Final = 500


class Claim(NamedTuple):
    """Leased events. ``slots``: the fairness key of each that still holds its slot."""

    lease: str
    events: Sequence[LeasedEvent]
    slots: dict[EventName, str]


class InboxWorker:
    """One worker of the inbox. Make it inside a running event loop."""

    def __init__(self, runtime: Runtime, inbox: Inbox) -> None:
        self._runtime = runtime
        self._inbox = inbox
        self.results = EventResults(runtime.stores.event_results, runtime.clock)
        self._handler = Handler(runtime, self.results)
        self._shares = FairShares(EVENTS_AT_ONCE_BATCHES * runtime.settings.webhook_batch)
        self._under_way: dict[asyncio.Task[int], int] = {}  # with the time of its beginning, in ms
        self._accounts = _accounts_of(runtime)
        self._look_back_ms = FIRST_LOOK_BACK_MS

    async def begin(self) -> int:
        """Lease events, once a batch has room, and start to process them. Returns how many there were."""
        await self._until_a_batch_has_room()
        claim = await self._claim()
        if claim.events:
            task = asyncio.create_task(self._batch(claim))
            self._under_way[task] = monotonic_ms()
            task.add_done_callback(self._done)
        return len(claim.events)

    async def finish(self) -> None:
        """Wait for the batches that are under way, and write and log what is still counted."""
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self.results.write()
        self._handler.flush()

    async def round(self) -> int:
        """Lease events once, and process them to their end. Returns how many there were."""
        claim = await self._claim()
        return await self._batch(claim) if claim.events else 0

    async def _until_a_batch_has_room(self) -> None:
        while True:
            now_ms = monotonic_ms()
            quick = {task: at_ms for task, at_ms in self._under_way.items() if now_ms - at_ms < SLOW_BATCH_MS}
            if len(quick) < BATCHES_AT_ONCE:
                return
            next_is_slow_ms = min(quick.values()) + SLOW_BATCH_MS - now_ms
            await asyncio.wait(quick, timeout=next_is_slow_ms / 1000, return_when=asyncio.FIRST_COMPLETED)

    async def take_up_known(self) -> int:
        """Queue foreign events again whose charge has become known all the same. Returns how many."""
        look_back_ms, self._look_back_ms = self._look_back_ms, LOOK_BACK_MS
        return await self._inbox.take_up_known(look_back_ms)

    def _done(self, task: asyncio.Task[int]) -> None:
        del self._under_way[task]
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception) and not self._runtime.outage.failed("inbox", error):
            log.error("webhook batch failed", error=repr(error))

    async def _claim(self) -> Claim:
        """Lease events that have a slot each."""
        settings, lease = self._runtime.settings, new_id("lse")
        slots: dict[EventName, str] = {}
        claimed: list[LeasedEvent] = []
        try:
            await self._choose(slots, settings.webhook_batch)
            claimed = await self._inbox.lease(list(slots), lease, settings.webhook_lease_ms)
        finally:
            self._give_back(slots, slots.keys() - {event.name() for event in claimed})
        return Claim(lease, claimed, slots)

    async def note_waiting(self, due_for_ms: int = WAITS_AFTER_MS) -> None:
        """Note of the events of other accounts that nobody has taken what they wait for, and alert."""
        names = await self._inbox.not_ready(WAITING_AT_ONCE, self._accounts, due_for_ms)
        for (provider, account), count in Counter(name[:2] for name in names).items():
            self._runtime.report_waiting("events", provider, account, count)

    async def _choose(self, slots: dict[EventName, str], limit: int) -> None:
        """Due events in the fair order, with a slot each. Where merchants without room stand before others in it, it is
        read again without them."""
        full = set(self._shares.full())
        while True:
            due = await self._inbox.due(limit, full, self._accounts)
            refused = set()
            for event in due:
                if event.name in slots:
                    continue
                if event.fairness_key in refused or not self._shares.take(event.fairness_key):
                    refused.add(event.fairness_key)
                    continue
                slots[event.name] = event.fairness_key
                if len(slots) == limit:
                    return
            if not refused or len(due) < limit:
                return
            full |= refused

    def _give_back(self, slots: dict[EventName, str], names: Iterable[EventName]) -> None:
        for name in list(names):
            self._shares.give_back(slots.pop(name))

    async def _batch(self, claim: Claim) -> int:
        """Every event of one lease; it is renewed for as long as any of them takes."""
        lease, events = claim.lease, claim.events
        open_events = {event.name(): event for event in events}
        renewing = asyncio.create_task(self._renew(lease, open_events))
        try:
            started_at = self._runtime.clock.now()
            routed = await self._route(events)
            stored = await self._runtime.reads.load_many(sorted({name for name in routed.values() if name}))
            chains = [
                self._chain(chain, stored.get(name) if name else None, started_at, open_events, claim.slots)
                for name, chain in _by_payment(events, routed)
            ]
            ended = await asyncio.gather(*chains, return_exceptions=True)  # one that fails ends no other
            for error in ended:
                if error is not None:
                    raise error
        finally:
            renewing.cancel()
            self._give_back(claim.slots, claim.slots)
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
                if not self._runtime.outage.failed("inbox", error):
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
        slots: dict[EventName, str],
    ) -> None:
        """The events of one payment, one after another: each is decided on the state that the previous one left."""
        fresh = True
        for event in events:
            if stored is not None and not fresh:
                stored = await self._handler.load_again(stored)
            fresh = False
            if await self._handler.handle(event, stored, started_at):
                open_events.pop(event.name(), None)
            self._give_back(slots, [event.name()])


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
