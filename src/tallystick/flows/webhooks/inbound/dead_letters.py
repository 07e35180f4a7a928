"""Dead letters: events that bounded retries could not process. Listed with their owner, replayed by the same
rules, or discarded with a reason. An operator's act is recorded beside the tries."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Final

from msgspec import Struct

from tallystick.domain.errors import TallystickError
from tallystick.domain.json_types import (
    AccountName,
    Count,
    EventId,
    EventType,
    MerchantOfEvent,
    PaymentOfEvent,
    ProviderEventId,
    ProviderName,
    TakenBy,
    Time,
    described,
)
from tallystick.domain.operator_act import ActName, AskedAct, OperatorAct
from tallystick.flows.webhooks.inbound.retries import Retries
from tallystick.kit.clock import Clock
from tallystick.record.postgres.inbox import Inbox, Recorded
from tallystick.record.postgres.inbox_rows import DeadLetterFilter, EventName, ListPosition
from tallystick.settings.load import Settings

__all__ = ["DeadLetter", "DeadLetterFilter", "DeadLetters", "NotReplayable"]

#: Dead letters replayed or discarded in one transaction.
_ACT_BATCH: Final = 500


#: The target of an act on many: which of them is among its arguments.
ALL_DEAD_LETTERS: Final = "dead_letters"

#: The act on one dead letter, and the same on many.
MANY: Final[Mapping[ActName, ActName]] = {
    "dead_letter.replay": "dead_letter.replay_many",
    "dead_letter.discard": "dead_letter.discard_many",
}


class NotReplayable(TallystickError):
    """The event does not exist or is still open; for a discard: it is not a dead letter."""


class DeadLetter(Struct, frozen=True, kw_only=True):
    """One event that bounded retries could not process."""

    event_id: EventId
    provider: ProviderName
    account: AccountName
    provider_event_id: ProviderEventId
    type: EventType
    merchant_id: MerchantOfEvent
    payment_id: PaymentOfEvent
    tries: Annotated[Count, described("How often it was tried.", 8)]
    replays: Annotated[Count, described("How often an operator had it processed again.", 0)]
    last_error: Annotated[str | None, described("Why the last try failed, for people.", "its payment is not known")]
    received_at: Annotated[Time, described("When it arrived first.")]
    dead_since: Annotated[Time, described("When its tries were used up.")]
    owner: Annotated[str, described("Who has to decide about it, as configured.", "payments-oncall")]
    taken_by: TakenBy = None
    overdue: Annotated[bool, described("Whether it has waited longer than the alarm allows.", False)]


class DeadLetters:
    """The list that operators work on."""

    def __init__(self, inbox: Inbox, settings: Settings) -> None:
        self._inbox = inbox
        self._clock = Clock(settings.clock_shift_ms)
        self._alarm_age_ms = settings.webhook_dead_letter_alarm_age_ms
        self._retries = Retries(settings, random.Random())

    async def page(self, which: DeadLetterFilter, after: ListPosition | None, limit: int) -> list[DeadLetter]:
        """A page of the list, in the order of arrival, after the position ``after``."""
        events = await self._inbox.dead(which, after, limit)
        taken = await self._inbox.owners.of("dead_letters", [each.event_id for each in events])
        return [
            DeadLetter(
                event_id=event.event_id,
                provider=event.provider,
                account=event.account,
                provider_event_id=event.provider_event_id,
                type=event.type,
                merchant_id=event.merchant_id,
                payment_id=event.payment_id,
                tries=event.tries,
                replays=event.replays,
                last_error=event.detail,
                received_at=event.received_at,
                dead_since=event.closed_at,
                owner=self._retries.owner(event.provider),
                taken_by=taken.get(event.event_id),
                overdue=event.dead_for_ms > self._alarm_age_ms,
            )
            for event in events
        ]

    async def replay(self, event_id: str, asked: AskedAct | None = None, /, *, actor: str, reason: str) -> None:
        """Process one closed event again, dead or not. Raises NotReplayable."""
        name = await self._name(event_id)
        recorded = self._of_one(asked, "replayed")
        if not await self._inbox.reopen([name], _last_place_ms(), actor=actor, reason=reason, recorded=recorded):
            raise NotReplayable(f"event {event_id} is still open")

    async def replay_all(
        self, which: DeadLetterFilter, asked: AskedAct | None = None, /, *, actor: str, reason: str
    ) -> int:
        """Replay every dead letter that matches the filter. Returns how many, without those that another operator
        replayed or discarded meanwhile."""

        async def reopen(names: list[EventName], recorded: Recorded | None) -> int:
            turn = _last_place_ms()
            return await self._inbox.reopen(names, turn, actor=actor, reason=reason, dead_alone=True, recorded=recorded)

        return await self._in_batches(which, asked, reopen)

    async def discard(self, event_id: str, asked: AskedAct | None = None, /, *, actor: str, reason: str) -> None:
        """Close one dead letter for good. Raises NotReplayable."""
        name = await self._name(event_id)
        recorded = self._of_one(asked, "discarded")
        if not await self._inbox.discard([name], actor=actor, reason=reason, recorded=recorded):
            raise NotReplayable(f"event {event_id} is not a dead letter")

    async def discard_all(
        self, which: DeadLetterFilter, asked: AskedAct | None = None, /, *, actor: str, reason: str
    ) -> int:
        """Discard every dead letter that matches the filter. Returns how many."""

        async def discard(names: list[EventName], recorded: Recorded | None) -> int:
            return await self._inbox.discard(names, actor=actor, reason=reason, recorded=recorded)

        return await self._in_batches(which, asked, discard)

    async def _in_batches(
        self,
        which: DeadLetterFilter,
        asked: AskedAct | None,
        act_on: Callable[[list[EventName], Recorded | None], Awaitable[int]],
    ) -> int:
        """Batch by batch, each in one transaction. The act is recorded with the last one: where a process dies before,
        the same act goes on with what is left, and counts that."""
        done = 0
        page = await self._inbox.dead(which, None, _ACT_BATCH)
        while True:
            following = await self._inbox.dead(which, page[-1].position(), _ACT_BATCH) if page else []
            recorded = None if following or asked is None else self._of_many(asked, done)
            done += await act_on([event.name() for event in page], recorded)
            if not following:
                return done
            page = following

    def _of_one(self, asked: AskedAct | None, became: str) -> Recorded | None:
        if asked is None:
            return None

        def recorded(count: int) -> OperatorAct | None:
            return asked.done({"event_id": asked.target, "became": became}, self._clock.now()) if count else None

        return recorded

    def _of_many(self, asked: AskedAct, before: int) -> Recorded:
        return lambda count: asked.done({"count": before + count}, self._clock.now())

    async def _name(self, event_id: str) -> EventName:
        event = await self._inbox.event(event_id)
        if event is None:
            raise NotReplayable(f"there is no event {event_id}")
        return event.name()


def _last_place_ms() -> int:
    """Behind everything that is due already, and nothing else."""
    return time.time_ns() // 1_000_000
