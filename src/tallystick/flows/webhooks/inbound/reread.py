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
from tallystick.domain.notices import StoredNotice, Unreadable
from tallystick.flows.provider_words import ProviderWords
from tallystick.flows.webhooks.inbound.kept_bytes import KeptBytes, NotReadable, read_again_of
from tallystick.flows.webhooks.inbound.worker import InboxWorker
from tallystick.kit.clock import monotonic_ms
from tallystick.providers.receiver import Receiver
from tallystick.record.next_action_seal import ActionSeal
from tallystick.record.postgres.inbox import Inbox
from tallystick.record.postgres.inbox_rows import EventName, FiledEvent, FiledFilter, ReadAgain
from tallystick.record.sealing import Sealer

#: How the events that are read again were closed. Not: applied, and what an operator discarded.
FiledAs = Literal["unknown_type", "duplicate_effect", "stale", "conflict", "unreadable", "foreign", "dead"]
FILED_AS: Final[tuple[FiledAs, ...]] = get_args(FiledAs)

#: Rows of the inbox in one look: a statement of milliseconds.
SCANNED_AT_ONCE: Final = 5_000

#: Events read again in one transaction; each has its bytes decrypted first.
BATCH_EVENTS: Final = 100

#: How long the first tries of one batch may take; another worker may hold some of its events.
PATIENCE_MS: Final = 60_000

#: Between two looks at events that another worker holds.
_PAUSE_MS: Final = 50

_NOTICE: Final = msgspec.json.Decoder(StoredNotice)

#: What an event reads as that could not be read and says nothing about money now.
_SAYS_NOTHING: Final = "unknown_type"


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
        self,
        inbox: Inbox,
        receivers: Mapping[tuple[str, str], Receiver],
        sealer: Sealer,
        actions: ActionSeal,
        words: ProviderWords,
    ) -> None:
        self._inbox = inbox
        self._kept = KeptBytes(inbox, receivers, sealer, words)
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
        before = None if event.notice is None else _NOTICE.decode(event.notice)
        try:
            envelope = await self._kept.envelope(event, event.received_at)
        except NotReadable as error:
            return _reading(event, None, str(error)), None
        now = envelope.notice
        if isinstance(now, Unreadable):
            return _reading(event, None, f"it cannot be read: {now.reason}"), None
        if now is None and not isinstance(before, Unreadable):
            return _reading(event, None, "it still says nothing about money"), None
        if now is not None and before is not None and _same(before, now) and event.mark == envelope.mark:
            return _reading(event, None, "it reads as before"), None
        again = read_again_of(event.name(), event.event_id, envelope, self._actions)
        kind = _SAYS_NOTHING if now is None else str(type(now).__struct_config__.tag)
        return _reading(event, kind, None, envelope.payment_id), again


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


def _same(before: StoredNotice, now: StoredNotice) -> bool:
    """But for the seal of what a payer has to do next, which is another one each time."""
    return with_action(before, public_part) == with_action(now, public_part)
