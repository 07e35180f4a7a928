"""Records how a try at an event ended where it had no effect: acknowledged, put off, to be tried again, or a dead
letter."""

from __future__ import annotations

import traceback
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from tallystick.decisions.provider_events.dispositions import Decided, NotYet
from tallystick.domain.change import Acknowledgement, Change
from tallystick.domain.errors import OutcomeUnknown, Overloaded
from tallystick.domain.provider_event_state import Disposition, TryResult
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.event_lines import named
from tallystick.flows.webhooks.inbound.retries import Retries
from tallystick.kit.ids import new_id
from tallystick.kit.logs import get_logger
from tallystick.record.postgres.inbox_rows import LeasedEvent

log = get_logger("tallystick.flows.webhooks.inbound.tries")

#: Until an event is looked at again that waits for a provider's answer or settings: as recovery waits at most.
NOT_READY_WAIT_MS: Final = 60_000


class Tries:
    """Writes the acknowledgements of one worker's tries."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._retries = Retries(runtime.settings, runtime.jitter)

    def owner(self, provider: str) -> str:
        """The owner of a provider's dead letters."""
        return self._retries.owner(provider)

    def acknowledgement(
        self,
        event: LeasedEvent,
        result: TryResult,
        started_at: datetime,
        *,
        stored: PaymentSnapshot | None = None,
        detail: str | None = None,
    ) -> Acknowledgement:
        """The acknowledgement of one try. It names the payment if that is known, so that its merchant sees the event
        and filters find it."""
        return Acknowledgement(
            provider=event.provider,
            account=event.account,
            provider_event_id=event.provider_event_id,
            try_id=new_id("try"),
            number=event.tries + 1,
            started_at=started_at,
            ended_at=self._runtime.clock.now(),
            result=result,
            state=result,
            detail=detail,
            actor="worker",
            merchant_id=stored.payment.merchant_id if stored else None,
            payment_id=stored.payment.payment_id if stored else None,
        )

    async def commit(self, event: LeasedEvent, acknowledgement: Acknowledgement) -> None:
        """Commit the acknowledgement alone: a change that moves nothing. Raises OutcomeUnknown and Overloaded."""
        change = Change(
            change_id=new_id("chg"),
            merchant_id=event.merchant_id or "",
            stream_id=event.payment_id or "",
            acknowledgements=(acknowledgement,),
            must_not_be_shed=True,
        )
        await self._runtime.journal.commit(change)

    async def acknowledge(
        self, event: LeasedEvent, decided: Decided, stored: PaymentSnapshot | None, started_at: datetime
    ) -> Disposition:
        """Record that the event had no effect."""
        ack = self.acknowledgement(event, decided.disposition, started_at, stored=stored, detail=decided.reason)
        await self.commit(event, ack)
        return decided.disposition

    async def put_off(self, event: LeasedEvent, why: str) -> Disposition:
        """Let the event wait for something that is not there now, for a reason that is not the event's. No try is
        spent."""
        await self._runtime.stores.inbox.put_off(event, why, NOT_READY_WAIT_MS)
        return "not_ready"

    async def not_yet(
        self, event: LeasedEvent, why: NotYet, stored: PaymentSnapshot | None, started_at: datetime
    ) -> Disposition:
        """Record that the event cannot be decided yet: it is tried again later, or is dead."""
        return await self._again_or_dead(event, "unroutable", why.reason, stored, started_at, wait_ms=why.wait_ms)

    async def failed(
        self, event: LeasedEvent, stored: PaymentSnapshot | None, started_at: datetime, error: Exception
    ) -> Disposition | None:
        """Record that the handler raised: a defect. Returns the event's state; None if that could not be recorded."""
        frames = traceback.extract_tb(error.__traceback__)
        place = f" at {frames[-1].name}:{frames[-1].lineno}" if frames else ""
        detail = f"{type(error).__name__}{place}"  # its text may repeat what a provider sent
        log.error("event handler failed", event_id=event.event_id, error=detail, **named(event, stored))
        try:
            return await self._again_or_dead(event, "failed", detail, stored, started_at)
        except (OutcomeUnknown, Overloaded):
            return None

    async def _again_or_dead(
        self,
        event: LeasedEvent,
        result: TryResult,
        detail: str,
        stored: PaymentSnapshot | None,
        started_at: datetime,
        *,
        wait_ms: int = 0,
    ) -> Disposition:
        """If another worker holds the event by now, its result wins."""
        number = event.tries + 1
        dead = number >= self._retries.limit(event.provider)
        ack = self.acknowledgement(event, result, started_at, stored=stored, detail=detail)
        ack = replace(ack, lease=event.lease)
        if dead:
            log.error(
                "dead letter",
                alert=True,
                event_id=event.event_id,
                provider=event.provider,
                type=event.type,
                owner=self.owner(event.provider),
                tries=number,
                last_error=detail,
                **named(event, stored),
                next=f"tallystick dead-letters show {event.event_id}",
            )
            ack = replace(ack, state="dead")
        else:
            ack = replace(ack, next_try_in_ms=max(wait_ms, self._retries.wait_ms(event.tries)))
        await self.commit(event, ack)
        return ack.state
