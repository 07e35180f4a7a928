"""What an event is decided by: the stored state, and the provider's own word where the event contradicts it. The same
for the first try of an event and for one that an operator has processed again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from tallystick.decisions.change_builder import Cause
from tallystick.decisions.provider_events.dispositions import Ask, Decided, NotYet
from tallystick.decisions.provider_events.from_files import as_told
from tallystick.decisions.provider_events.route import decide_notice
from tallystick.domain.change import ToldByFile
from tallystick.domain.notices import (
    AttemptNotice,
    CancelOrRefundNotice,
    CaptureNotice,
    ChargeNotice,
    Notice,
    RefundNotice,
    ReportNotice,
    StoredNotice,
    Unreadable,
)
from tallystick.domain.provider_amounts import notice_about
from tallystick.domain.settlement_news import is_news
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.verdicts import Verdict
from tallystick.flows.asked_together import AskedTogether
from tallystick.flows.payments.attempts import look_up
from tallystick.flows.payments.kept_answers import AnswerKept
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import sibling_id
from tallystick.record.postgres.inbox_rows import EventName, LeasedEvent

NOTICE: Final = msgspec.json.Decoder(StoredNotice)


class Newest(NamedTuple):
    """What the provider says now of an attempt that an event contradicts. ``kept``: its answer; None where the event
    itself is its word."""

    verdict: Verdict
    kept: AnswerKept | None = None


class Deciding:
    """Reads, asks and decides; writes nothing."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._looks: AskedTogether[EventName, bool] = AskedTogether(self._taken_back)

    async def decided_again(self, event: LeasedEvent, stored: PaymentSnapshot, by: Cause) -> Decided | NotYet:
        """What a closed event comes to now, by the very same guards as at first; nothing is written. ``by``: who wants
        to know, and under which change. Its payment must be known."""
        notice = None if event.notice is None else NOTICE.decode(event.notice)
        if notice is None or isinstance(notice, Unreadable | ReportNotice):
            return NotYet("its bytes cannot be read, or say nothing about money")
        notice = self._runtime.words.screened_stored(notice, event.provider, event.account)
        payment = stored.payment
        notice = self._runtime.actions.delivered(
            notice_about(payment, notice), event.event_id, payment.merchant_id, payment.payment_id
        )
        step = replace(by, evidence={**evidence_of_event(event), **(by.evidence or {})})
        unsettled_ms = await self.unsettled_ms(event, notice)
        decided = await self.decided(event, notice, stored, step, None, unsettled_ms)
        if isinstance(decided, Ask):
            if not self.can_ask(stored, decided):
                return NotYet("its provider's account is not configured here")
            if self._runtime.pauses.left_ms(stored.attempt(decided.attempt_id).provider):
                return NotYet(self.why_paused(stored, decided))
            newest = await self.newest(stored, decided, notice)
            decided = await self.decided(event, notice, stored, step, newest, unsettled_ms)
        return NotYet(f"still contradicted: {decided.reason}") if isinstance(decided, Ask) else decided

    async def decided(
        self,
        event: LeasedEvent,
        notice: Notice,
        stored: PaymentSnapshot,
        step: Cause,
        newest: Newest | None,
        unsettled_ms: int,
    ) -> Decided | Ask | NotYet:
        if is_news(event.type, event.provider_event_id):
            if await self._looks.ask(event.name()):
                return Decided("stale", reason="every file that told of it was withdrawn")
            told = as_told(
                stored,
                notice,
                event.account,
                None if newest is None else newest.verdict,
                can_look_up=self._can_look_up(event.provider),
            )
            if isinstance(told, Ask | NotYet):
                return told
            notice = told
        found = decide_notice(
            stored,
            notice,
            provider=event.provider,
            account=event.account,
            cause=step,
            rejection_id=sibling_id("rej", step.change_id),
            checks=self._runtime.checks(stored.payment.provider, learned_late=True),
            charge=event.charge_reference,
            newest=None if newest is None else newest.verdict,
            unsettled_ms=unsettled_ms,
        )
        if not isinstance(found, Decided) or found.change is None:
            return found
        change = found.change
        if newest is not None and newest.kept is not None:
            change = await newest.kept.beside(change, newest.verdict, step.at)
        if is_news(event.type, event.provider_event_id):
            change = replace(change, told_by_files=(_told_by_file(event),))
        return replace(found, change=change)

    async def _taken_back(self, events: Sequence[EventName]) -> Mapping[EventName, bool]:
        """Those that only withdrawn files told of."""
        return dict.fromkeys(await self._runtime.stores.evidence.taken_back(events), True)

    async def unsettled_ms(self, event: LeasedEvent, notice: Notice) -> int:
        """Until the settling time since the event's first arrival has passed, on the database's clock. It is asked for
        the kind of event alone that depends on it."""
        if not isinstance(notice, CancelOrRefundNotice):
            return 0
        age_ms = await self._runtime.reads.event_age_ms(event.event_id)
        return max(0, self._runtime.settings.settling_time_ms - age_ms)

    def _can_look_up(self, provider: str) -> bool:
        """Of a provider that is not configured here nobody knows it: the question waits for a process that does."""
        connector = self._runtime.providers.get(provider)
        return connector is None or connector.traits.can_fetch

    def can_ask(self, stored: PaymentSnapshot, ask: Ask) -> bool:
        attempt = stored.attempt(ask.attempt_id)
        return self._runtime.serves(attempt.provider, attempt.account)

    def why_paused(self, stored: PaymentSnapshot, ask: Ask) -> str:
        return self._runtime.pauses.why(stored.attempt(ask.attempt_id).provider)

    async def newest(self, stored: PaymentSnapshot, ask: Ask, notice: Notice) -> Newest:
        """Look up an attempt that an event contradicts."""
        attempt = stored.attempt(ask.attempt_id)
        traits = self._runtime.provider(attempt.provider).traits
        if not traits.can_fetch and isinstance(notice, AttemptNotice | ChargeNotice):
            return Newest(notice.verdict)
        if not traits.can_fetch and isinstance(notice, CaptureNotice | RefundNotice):
            return Newest(notice.as_verdict())
        verdict, heard = await look_up(self._runtime, stored.payment, attempt)
        return Newest(verdict, AnswerKept(self._runtime, attempt, heard, "lookup"))


def _told_by_file(event: LeasedEvent) -> ToldByFile:
    provider, account, name = event.name()
    return ToldByFile(provider=provider, account=account, provider_event_id=name)


def evidence_of_event(event: LeasedEvent) -> dict[str, Any]:
    """Which event a step was decided by, as history keeps it."""
    return {
        "event_id": event.event_id,
        "provider_event_id": event.provider_event_id,
        "type": event.type,
        "traceparent": event.traceparent,
        "api_version": event.api_version,
    }
