"""Events of a right signature that cannot be read: dead letters, unless today's code reads their kept bytes.

A provider that begins to send what nobody reads sends much of it. Beyond a number an hour and account the events are
stored as before, and one dead letter stands for all of them: a list of a million helps nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final, NamedTuple

from tallystick.domain.notices import Unreadable
from tallystick.domain.provider_event_state import StateAfterTry, TryResult
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.kept_bytes import KeptBytes, NotReadable, read_again_of
from tallystick.kit.clock import monotonic_ms
from tallystick.kit.log_sampling import SampledLines
from tallystick.kit.logs import get_logger
from tallystick.providers.assembly import receivers
from tallystick.record.postgres.inbox_rows import LeasedEvent

log = get_logger("tallystick.flows.webhooks.inbound.unreadable")

#: Dead letters of one hour and account, each with an event of its own: more than a person reads, and few for a list.
DEAD_LETTERS_AN_HOUR: Final = 1_000

#: One alert of an account in this long: somebody has to write a release, and an hour wakes nobody twice.
ALERT_EVERY_S: Final = 3_600.0


class Place(NamedTuple):
    """Where an event that cannot be read goes: the try's result, the event's state, and why."""

    result: TryResult
    state: StateAfterTry
    detail: str


class UnreadableEvents:
    """Judges them, for one worker. Make it inside a running event loop."""

    def __init__(self, runtime: Runtime) -> None:
        self._inbox = runtime.stores.inbox
        self._actions = runtime.actions
        self._settings = runtime.settings
        self._sealer = runtime.sealer
        self._words = runtime.words
        self._alerts = SampledLines(ALERT_EVERY_S)
        self._counting = asyncio.Lock()
        self._full_until_ms: dict[tuple[str, str], int] = {}

    async def read_again(self, event: LeasedEvent) -> str | None:
        """None where today's code reads the kept bytes: the event is due as what they say. Else why it does not."""
        kept = KeptBytes(self._inbox, receivers(self._settings), self._sealer, self._words)
        try:
            envelope = await kept.envelope(event, datetime.now(UTC))
        except NotReadable as error:
            return str(error)
        if isinstance(envelope.notice, Unreadable):
            return envelope.notice.reason
        again = read_again_of(event.name(), event.event_id, envelope, self._actions)
        await self._inbox.translated(again, event.lease)
        return None

    @asynccontextmanager
    async def place(self, event: LeasedEvent, reason: str) -> AsyncIterator[Place]:
        """Where the event goes; commit it inside. While dead letters are counted, one event follows another: of the
        workers together a few more may become dead letters than the number says. One that a person replayed is dead
        again, however many there are."""
        if event.replays:
            yield Place("failed", "dead", reason)
        elif self._is_full(event):
            yield Place("unreadable", "unreadable", reason)
        else:
            async with self._counting:
                yield await self._counted(event, reason)

    async def _counted(self, event: LeasedEvent, reason: str) -> Place:
        if self._is_full(event):
            return Place("unreadable", "unreadable", reason)
        most = DEAD_LETTERS_AN_HOUR + 1
        dead, ends_in_ms = await self._inbox.unreadable_dead_letters(event.provider, event.account, most)
        if dead < DEAD_LETTERS_AN_HOUR:
            return Place("failed", "dead", reason)
        self._full_until_ms[event.provider, event.account] = monotonic_ms() + ends_in_ms
        if dead > DEAD_LETTERS_AN_HOUR:
            return Place("unreadable", "unreadable", reason)
        return Place("failed", "dead", f"{reason}; it stands for all later ones of this hour, filed as unreadable")

    def _is_full(self, event: LeasedEvent) -> bool:
        return monotonic_ms() < self._full_until_ms.get((event.provider, event.account), 0)

    def say(self, event: LeasedEvent, reason: str, owner: str) -> None:
        """The alert, with how many there were since the last one."""

        def line(since_last_line: int) -> None:
            log.error(
                "event cannot be read",
                alert=True,
                event_id=event.event_id,
                provider=event.provider,
                account=event.account,
                owner=owner,
                last_error=reason,
                since_last_line=since_last_line,
                next=f"tallystick dead-letters show {event.event_id}",
            )

        self._alerts.line((event.provider, event.account), line)

    def flush(self) -> None:
        """Log what is still counted."""
        self._alerts.flush()
