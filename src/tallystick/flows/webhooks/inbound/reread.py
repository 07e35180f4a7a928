"""Events that are closed are read again from their kept bytes, with today's code, and put through the same guards.

An older release may have filed an event as a type that says nothing. What today's code reads in the same bytes
replaces what is stored, and the event is processed from its beginning, as a replayed one is. What was applied is never
read again: its effect is in the record, perhaps under another name.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, get_args

import msgspec
from msgspec import Struct

from tallystick.domain.next_action import public_part, with_action
from tallystick.domain.notices import Notice
from tallystick.flows.webhooks.inbound.envelope import KEPT_WITH, Envelope, envelope_of, unsealed_part
from tallystick.flows.webhooks.inbound.intake import stored_notice
from tallystick.flows.webhooks.inbound.worker import InboxWorker
from tallystick.kit.clock import monotonic_ms
from tallystick.providers.receiver import Receiver, Unparseable
from tallystick.record.next_action_seal import ActionSeal
from tallystick.record.postgres.inbox import EventName, FiledEvent, FiledFilter, Inbox, ReadAgain
from tallystick.record.sealing import SealBroken, Sealer

#: How the events that are read again were closed. Not: applied, and what an operator discarded.
FiledAs = Literal["unknown_type", "duplicate_effect", "stale", "conflict", "dead"]
FILED_AS: Final[tuple[FiledAs, ...]] = get_args(FiledAs)

#: Rows of the inbox in one look: a statement of milliseconds.
SCANNED_AT_ONCE: Final = 5_000

#: Events read again in one transaction; each has its bytes decrypted first.
BATCH_EVENTS: Final = 100

#: How long the first tries of one batch may take; another worker may hold some of its events.
PATIENCE_MS: Final = 60_000

#: Between two looks at events that another worker holds.
_PAUSE_MS: Final = 50

_NOTICE: Final = msgspec.json.Decoder(Notice)


class Reading(Struct, frozen=True, kw_only=True):
    """One closed event, and what today's code makes of its bytes. ``reads_as`` is the kind of its notice, or None where
    nothing is read differently: ``why`` says so."""

    event_id: str
    provider: str
    account: str
    provider_event_id: str
    type: str
    filed_as: str
    received_at: datetime
    payment_id: str | None
    reads_as: str | None
    why: str | None = None


class Batch(Struct, frozen=True, kw_only=True):
    """Some events that match, in the order of their keys. ``scanned``: rows of the inbox looked at so far, rounded up.
    ``again``: what would be written, of those that read differently now."""

    scanned: int
    readings: Sequence[Reading]
    again: Sequence[ReadAgain]


class Became(Struct, frozen=True, kw_only=True):
    """What an event became that was read again: its state after the first try, and why. One that cannot be decided yet
    is ``unroutable``, and is tried again."""

    event_id: str
    type: str
    payment_id: str | None
    state: str
    detail: str | None


class Reread:
    """Finds closed events, reads their bytes, reopens them and processes them."""

    def __init__(
        self, inbox: Inbox, receivers: Mapping[tuple[str, str], Receiver], sealer: Sealer, actions: ActionSeal
    ) -> None:
        self._inbox = inbox
        self._receivers = receivers
        self._sealer = sealer
        self._actions = actions

    async def batches(self, which: FiledFilter) -> AsyncIterator[Batch]:
        """Every event that matches, batch by batch; empty batches are progress alone."""
        after: EventName | None = None
        scanned = 0
        while page := await self._inbox.filed(which, after, SCANNED_AT_ONCE):
            scanned += SCANNED_AT_ONCE
            after = page[-1].name()
            chosen = [each for each in page if each.chosen]
            for start in range(0, max(1, len(chosen)), BATCH_EVENTS):
                read = [await self._read(each) for each in chosen[start : start + BATCH_EVENTS]]
                again = [each for _, each in read if each is not None]
                yield Batch(scanned=scanned, readings=[reading for reading, _ in read], again=again)

    async def put_through(
        self, worker: InboxWorker, batch: Batch, which: FiledFilter, *, actor: str, reason: str
    ) -> list[Became]:
        """Reopen what a batch reads differently, as it reads now, and process it. Events that were closed otherwise
        meanwhile stay as they are. Returns what became of each."""
        if not batch.again:
            return []
        turn = time.time_ns() // 1_000_000  # behind everything that is due already
        names = set(await self._inbox.read_again(batch.again, which.state, turn, actor=actor, reason=reason))
        by_name = {(each.provider, each.account, each.provider_event_id): each.event_id for each in batch.readings}
        event_ids = [event_id for name, event_id in by_name.items() if name in names]
        give_up_at_ms = monotonic_ms() + PATIENCE_MS
        while True:
            became = [await self._became(event_id) for event_id in event_ids]
            if all(each.state != "received" for each in became) or monotonic_ms() > give_up_at_ms:
                return became
            if not await worker.round():
                await asyncio.sleep(_PAUSE_MS / 1000)

    async def _became(self, event_id: str) -> Became:
        event = await self._inbox.event(event_id)
        if event is None:
            raise LookupError(f"event {event_id} is gone")
        return Became(
            event_id=event_id, type=event.type, payment_id=event.payment_id, state=event.state, detail=event.detail
        )

    async def _read(self, event: FiledEvent) -> tuple[Reading, ReadAgain | None]:
        try:
            envelope = await self._envelope(event)
        except _NotReadable as error:
            return _reading(event, None, str(error)), None
        if envelope.notice is None:
            return _reading(event, None, "it still says nothing about money"), None
        if event.notice is not None and _same(_NOTICE.decode(event.notice), envelope.notice):
            return _reading(event, None, "it reads as before"), None
        sealed = self._actions.notice(envelope.notice, event.event_id)
        again = ReadAgain(
            name=event.name(),
            notice=stored_notice(sealed),
            charge_reference=envelope.charge_reference,
            merchant_id=envelope.merchant_id,
            payment_id=envelope.payment_id,
        )
        kind = type(envelope.notice).__struct_config__.tag
        return _reading(event, str(kind), None, envelope.payment_id), again

    async def _envelope(self, event: FiledEvent) -> Envelope:
        """Raises _NotReadable."""
        receiver = self._receivers.get((event.provider, event.account))
        if receiver is None:
            raise _NotReadable(f"webhooks of {event.provider}/{event.account} are not configured here")
        headers, body = await self._kept(event)
        try:
            found = [each for each in receiver.translate(body) if each.provider_event_id == event.provider_event_id]
            if not found:
                raise _NotReadable("the kept bytes have no such event any more")
            return envelope_of(receiver, found[0], body, headers, event.received_at)
        except Unparseable as error:
            raise _NotReadable(str(error)) from None

    async def _kept(self, event: FiledEvent) -> tuple[Mapping[str, str], bytes]:
        """Headers and body of the event's first arrival. Those of several events in one delivery are kept once."""
        deliveries = await self._inbox.deliveries(event.name())
        first = next((each for each in deliveries if each.result == "first"), None)
        sealed = None if first is None else await self._inbox.sealed(event.name(), first.delivery_id)
        if first is None or sealed is None:
            raise _NotReadable("its bytes are not there")
        headers, body = self._opened(event.name(), first.delivery_id, sealed)
        elsewhere = headers.get(KEPT_WITH)
        if elsewhere is None or body:  # with a body of its own it is a header that somebody sent
            return headers, body
        kept = await self._inbox.delivery_named(event.provider, event.account, elsewhere)
        if kept is None:
            raise _NotReadable(f"its bytes are kept with {elsewhere}, which is not there")
        return self._opened(kept[0], elsewhere, kept[1])

    def _opened(self, name: EventName, delivery_id: str, sealed: bytes) -> tuple[Mapping[str, str], bytes]:
        try:
            return unsealed_part(self._sealer.open(sealed, "/".join((*name, delivery_id)).encode()))
        except SealBroken as error:
            raise _NotReadable(f"its bytes cannot be opened: {error}") from None


class _NotReadable(Exception):
    """Why an event cannot be read again. The text never repeats what was sent."""


def _reading(event: FiledEvent, reads_as: str | None, why: str | None, payment_id: str | None = None) -> Reading:
    return Reading(
        event_id=event.event_id,
        provider=event.provider,
        account=event.account,
        provider_event_id=event.provider_event_id,
        type=event.type,
        filed_as=event.state,
        received_at=event.received_at,
        payment_id=payment_id or event.payment_id,
        reads_as=reads_as,
        why=why,
    )


def _same(before: Notice, now: Notice) -> bool:
    """But for the seal of what a payer has to do next, which is another one each time."""
    return with_action(before, public_part) == with_action(now, public_part)
