"""One try at one event: decide from the stored state, and commit the effect and its acknowledgement in one change.

An event that cannot be decided yet, or whose handler fails, is tried again with backoff and full jitter up to the
provider's limit; then it is a dead letter.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec
from msgspec.structs import replace

from tallystick.decisions.change_builder import Cause
from tallystick.decisions.provider_events.dispositions import DISPOSITIONS, Ask, Decided, NotYet
from tallystick.decisions.provider_events.foreign import Foreign, Unanswered
from tallystick.decisions.provider_events.route import unknown_money
from tallystick.domain.errors import OutcomeUnknown, Overloaded
from tallystick.domain.measures import EVENT_TIME, EVENT_TRIES
from tallystick.domain.notices import (
    Notice,
    ReportNotice,
    StoredNotice,
    UnknownNotice,
    Unreadable,
)
from tallystick.domain.provider_amounts import notice_about
from tallystick.domain.settlement_news import RECONCILIATION, is_news
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.flows.asked_together import AskedTogether
from tallystick.flows.event_results import EventResults
from tallystick.flows.payments.attempts import report_rejections
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.deciding import Deciding, Newest, evidence_of_event
from tallystick.flows.webhooks.inbound.event_lines import PROCESSED, end_processed, named, traces_of
from tallystick.flows.webhooks.inbound.foreign import ForeignEvents
from tallystick.flows.webhooks.inbound.tries import Tries
from tallystick.flows.webhooks.inbound.unreadable import UnreadableEvents
from tallystick.kit.clock import monotonic_ms
from tallystick.kit.ids import new_id
from tallystick.kit.log_sampling import SampledLines
from tallystick.kit.logs import get_logger
from tallystick.kit.spans import within
from tallystick.kit.steps import begin, naming
from tallystick.providers.event_codes import EventMeaning
from tallystick.providers.registry import PROVIDERS
from tallystick.record.journal import Stale
from tallystick.record.postgres.failures import may_run_again
from tallystick.record.postgres.inbox_rows import LeasedEvent

log = get_logger("tallystick.flows.webhooks.inbound.handler")

#: Lost races that one try loads and decides again; more means that something else is wrong.
RACES_IN_ONE_TRY: Final = 20

#: One alert of a code that nobody knows in this long: somebody has to write a release, and an hour wakes nobody twice.
UNKNOWN_CODE_EVERY_S: Final = 3_600.0

#: Why an event that was read has no notice, by the row of its code.
_SILENT: Final[Mapping[EventMeaning, str]] = {
    "moves_money": "it can move money, and this one moved none",
    "informs": "it informs about a payment",
    "not_about_payments": "it is not about payments",
}

#: How events of a type without a row are counted.
OTHER_TYPES: Final = "other"

_NOTICE: Final = msgspec.json.Decoder(StoredNotice)


class Handler:
    """Turns events into changes."""

    def __init__(self, runtime: Runtime, results: EventResults | None = None) -> None:
        self._runtime = runtime
        self._results = results
        self._tries = Tries(runtime)
        self._deciding = Deciding(runtime)
        self._not_processed = SampledLines()
        self._unknown_codes = SampledLines(UNKNOWN_CODE_EVERY_S)
        self._unreadable = UnreadableEvents(runtime)
        self._foreign = ForeignEvents(runtime)
        self._loads = AskedTogether[tuple[str, str], PaymentSnapshot](lambda names: runtime.reads.load_many(names))

    async def handle(self, event: LeasedEvent, stored: PaymentSnapshot | None, started_at: datetime) -> bool:
        """One try at one event. False if the database was unavailable, which does not count as a try."""
        step = begin(PROCESSED, "consumer", linked=traces_of(event, stored))
        if step is None:
            return await self._tried(event, stored, started_at) is not None
        with within(step.span), naming(named(event, stored)):
            disposition = await self._tried(event, stored, started_at)
        end_processed(step, event, stored, disposition)
        return disposition is not None

    async def _tried(self, event: LeasedEvent, stored: PaymentSnapshot | None, started_at: datetime) -> str | None:
        """What the try came to; None if the database was unavailable."""
        began_ms = monotonic_ms()
        try:
            disposition = await self._carry_out(event, stored, started_at)
            EVENT_TRIES[event.provider, disposition] += 1
            EVENT_TIME.observe((event.provider,), monotonic_ms() - began_ms)
            self._count(event, disposition)
            return disposition
        except (OutcomeUnknown, Overloaded) as error:
            self._say_not_processed(event, error)
            return None
        except Exception as error:
            if may_run_again(error):
                if not self._runtime.outage.failed("inbox", error):
                    self._say_not_processed(event, error)
                return None
            EVENT_TRIES[event.provider, "failed"] += 1
            return await self._tries.failed(event, stored, started_at, error)

    def flush(self) -> None:
        """Log what is still counted."""
        for lines in (self._not_processed, self._unknown_codes, self._unreadable, self._foreign):
            lines.flush()

    def _count(self, event: LeasedEvent, disposition: str) -> None:
        """Types that no table has are counted together: their names are the provider's choice."""
        if self._results is not None and disposition in DISPOSITIONS:
            setup = PROVIDERS.get(event.provider)
            known = setup is not None and event.type in setup.event_codes()
            self._results.count(event.provider, event.type if known else OTHER_TYPES, disposition)

    async def _carry_out(self, event: LeasedEvent, stored: PaymentSnapshot | None, started_at: datetime) -> str:
        notice = None if event.notice is None else _NOTICE.decode(event.notice)
        if notice is None:
            silent = Decided("unknown_type", reason=_why_silent(event))
            return await self._tries.acknowledge(event, silent, None, started_at)
        if isinstance(notice, ReportNotice):
            return await self._report(event, notice, started_at)
        if isinstance(notice, Unreadable):
            return await self._not_read(event, notice, started_at)
        notice = self._runtime.words.screened_stored(notice, event.provider, event.account)
        if stored is None:
            return await self._unrouted(event, notice, started_at)
        notice = self._runtime.actions.delivered(
            notice_about(stored.payment, notice), event.event_id, stored.payment.merchant_id, stored.payment.payment_id
        )
        change_id = new_id("chg")
        newest: Newest | None = None
        unsettled_ms = await self._deciding.unsettled_ms(event, notice)
        for _ in range(RACES_IN_ONE_TRY):
            decided = await self._decide(event, notice, stored, change_id, newest, unsettled_ms)
            if not isinstance(decided, Decided) and (current := await self._loaded(stored)).versions != stored.versions:
                # It was read while a change was written. No guard would refuse this decision: it writes nothing.
                stored = current
                continue
            if isinstance(decided, Ask) and not self._deciding.can_ask(stored, decided):
                self._runtime.report_waiting("events", event.provider, event.account, 1)
                return await self._tries.put_off(event, "its provider's account is not configured in this worker")
            if isinstance(decided, Ask) and self._runtime.pauses.left_ms(stored.attempt(decided.attempt_id).provider):
                return await self._tries.put_off(event, self._deciding.why_paused(stored, decided))
            if isinstance(decided, Ask):
                newest = await self._deciding.newest(stored, decided, notice)
                decided = await self._decide(event, notice, stored, change_id, newest, unsettled_ms)
            if isinstance(decided, Ask):
                still = NotYet(f"still contradicted: {decided.reason}")
                return await self._tries.not_yet(event, still, stored, started_at)
            if isinstance(decided, NotYet):
                return await self._tries.not_yet(event, decided, stored, started_at)
            done = await self._commit(event, notice, decided, stored, started_at)
            if done is not None:
                return done
            stored, newest = await self._loaded(stored), None
        raise RuntimeError("lost every race")

    async def _report(self, event: LeasedEvent, notice: ReportNotice, started_at: datetime) -> str:
        """A report is noted first, and then the event is acknowledged: noted twice, it is one."""
        actor = f"provider:{event.provider}"
        await self._runtime.stores.settlement_reports.add(
            event.provider, event.account, notice.report, notice.url, actor
        )
        noted = Decided("unknown_type", reason="it offers a settlement report, which is fetched")
        return await self._tries.acknowledge(event, noted, None, started_at)

    async def load_again(self, stored: PaymentSnapshot) -> PaymentSnapshot | None:
        """The same payment as it is now, read with those that other events ask for at the same time."""
        return await self._loads.ask((stored.payment.merchant_id, stored.payment.payment_id))

    async def _loaded(self, stored: PaymentSnapshot) -> PaymentSnapshot:
        loaded = await self.load_again(stored)
        if loaded is None:
            raise LookupError("a payment is missing")
        return loaded

    async def _unrouted(self, event: LeasedEvent, notice: Notice, started_at: datetime) -> str:
        """Its payment is not here."""
        judged = await self._foreign.judge(event)
        if isinstance(judged, Foreign):
            return await self._file_as_foreign(event, judged, started_at)
        if isinstance(notice, UnknownNotice) and event.payment_id is None:
            self._say_unknown(event, notice)  # it names no payment of ours, and none will come
            conflict = Decided("conflict", reason=unknown_money(notice))
            return await self._tries.acknowledge(event, conflict, None, started_at)
        if isinstance(judged, Unanswered):
            return await self._tries.put_off(event, judged.reason)
        return await self._tries.not_yet(event, judged, None, started_at)

    async def _file_as_foreign(self, event: LeasedEvent, judged: Foreign, started_at: datetime) -> str:
        """The lease decides: a change that brings its charge's reference takes the lease away."""
        ack = self._tries.acknowledgement(event, "foreign", started_at, detail=judged.proof)
        await self._tries.commit(event, replace(ack, lease=event.lease))
        self._foreign.count(event)
        return "foreign"

    async def _decide(
        self,
        event: LeasedEvent,
        notice: Notice,
        stored: PaymentSnapshot,
        change_id: str,
        newest: Newest | None,
        unsettled_ms: int,
    ) -> Decided | Ask | NotYet:
        is_of_file = is_news(event.type, event.provider_event_id)
        step = Cause(
            change_id=change_id,
            at=self._runtime.clock.now(),
            trigger="settlement" if is_of_file else "webhook",
            actor=RECONCILIATION if is_of_file else f"provider:{event.provider}",
            evidence=evidence_of_event(event),
        )
        return await self._deciding.decided(event, notice, stored, step, newest, unsettled_ms)

    async def _commit(
        self, event: LeasedEvent, notice: Notice, decided: Decided, stored: PaymentSnapshot, started_at: datetime
    ) -> str | None:
        """The effect and its acknowledgement; None after a lost race."""
        if decided.change is None:
            return await self._tries.acknowledge(event, decided, stored, started_at)
        ack = self._tries.acknowledgement(event, decided.disposition, started_at, stored=stored, detail=decided.reason)
        change = replace(
            decided.change,
            acknowledgements=(replace(ack, change_id=decided.change.change_id),),
            must_not_be_shed=True,
        )
        if isinstance(await self._runtime.journal.commit(change), Stale):
            return None
        if isinstance(notice, UnknownNotice):
            self._say_unknown(event, notice)
        else:
            report_rejections(change, event_id=event.event_id)
        return decided.disposition

    async def _not_read(self, event: LeasedEvent, notice: Unreadable, started_at: datetime) -> str:
        """Dead at once: the same code reads no more in a minute. A replay reads the kept bytes with today's."""
        reason: str | None = notice.reason
        if event.replays:
            reason = await self._unreadable.read_again(event)
        if reason is None:
            return "read again"
        judged = await self._foreign.judge(event) if event.mark == "absent" else None
        if isinstance(judged, Foreign):
            return await self._file_as_foreign(event, judged, started_at)
        async with self._unreadable.place(event, reason) as place:
            ack = self._tries.acknowledgement(event, place.result, started_at, detail=place.detail)
            await self._tries.commit(event, replace(ack, state=place.state, lease=event.lease))
        self._unreadable.say(event, reason, self._tries.owner(event.provider))
        return place.state

    def _say_not_processed(self, event: LeasedEvent, error: Exception) -> None:
        """Every event of a batch meets the same database; the line names the last of those it counts."""

        def say(since_last_line: int) -> None:
            name = type(error).__name__
            log.warning("event not processed", event_id=event.event_id, error=name, since_last_line=since_last_line)

        self._not_processed.line(type(error).__name__, say)

    def _say_unknown(self, event: LeasedEvent, notice: UnknownNotice) -> None:
        """One alert a code and hour, with how many there were: a code that a provider begins to send comes often."""

        def say(since_last_line: int) -> None:
            log.error(
                "unknown event about money",
                alert=True,
                event_id=event.event_id,
                provider=event.provider,
                account=event.account,
                type=notice.code,
                since_last_line=since_last_line,
                next=f"tallystick provider-events show {event.event_id}",
            )

        self._unknown_codes.line((event.provider, event.account, notice.code), say)


def _why_silent(event: LeasedEvent) -> str | None:
    """Why an event that was read says nothing: by its row in the provider's table."""
    setup = PROVIDERS.get(event.provider)
    meaning = None if setup is None else setup.event_codes().get(event.type)
    return None if meaning is None else _SILENT[meaning]
