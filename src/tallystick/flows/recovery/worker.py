"""Recovery: every attempt without an outcome is asked about, sent again, given up with proof, or handed to a person.

It finds by lease what a crash between the two commits left, and resolves it through the same door and the same
decisions as the sender would have. Any number of workers may run it.
"""

from __future__ import annotations

import asyncio

from tallystick.decisions.change_builder import Cause
from tallystick.decisions.instructions import expire_payment
from tallystick.decisions.late_effects import observe_authorization
from tallystick.decisions.resubmission import (
    Move,
    backoff_ms,
    believes_not_found,
    in_doubt,
    next_move,
    park,
    resubmit,
)
from tallystick.decisions.verdicts import give_up
from tallystick.domain.change import Change
from tallystick.domain.errors import TallystickError
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.subjects import Attempt
from tallystick.domain.verdicts import NotFound, Unknown, Verdict
from tallystick.flows.payments.attempts import carry_out, provider_call, send_by, settle_verdict
from tallystick.flows.runtime import Runtime
from tallystick.kit.clock import monotonic_ms
from tallystick.kit.ids import new_id
from tallystick.kit.logs import get_logger
from tallystick.providers.circuit import Guarded
from tallystick.record.journal import Fresh
from tallystick.record.postgres.reads import AttemptClock, Loaded
from tallystick.record.postgres.recovery_schedule import Due, DueDeadline, ScheduleBook

log = get_logger("tallystick.flows.recovery.worker")

ACTOR = "recovery"


class Recovery:
    """One worker's recovery loop."""

    def __init__(self, runtime: Runtime, book: ScheduleBook) -> None:
        self._runtime = runtime
        self._book = book
        self._slots = asyncio.Semaphore(runtime.settings.recovery_concurrency)
        self._trials: set[str] = set()  # providers whose circuit is not closed, and that one attempt is sent to

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop``: look for what is due; a round that fails is logged and tried again."""
        interval_s = self._runtime.settings.recovery_interval_ms / 1000
        while not stop.is_set():
            found = 0
            try:
                found = await self.round()
            except Exception as error:
                log.error("recovery round failed", error=repr(error))
            if found < self._runtime.settings.recovery_batch:
                try:
                    await asyncio.wait_for(stop.wait(), timeout=interval_s)
                except TimeoutError:
                    continue

    async def round(self) -> int:
        """One look at everything that is due. Returns how much there was."""
        settings = self._runtime.settings
        attempts = await self._book.lease_due(settings.recovery_batch, settings.recovery_lease_ms)
        deadlines = await self._book.lease_deadlines(settings.recovery_batch, settings.recovery_lease_ms)
        work = [self._guarded(self._attempt(due), due.payment_id) for due in attempts]
        work += [self._guarded(self._deadline(due), due.payment_id) for due in deadlines]
        await asyncio.gather(*work)
        return len(work)

    async def _guarded(self, work: object, payment_id: str) -> None:
        async with self._slots:
            try:
                await work  # type: ignore[misc]  # a coroutine of either kind
            except (TallystickError, OSError, LookupError) as error:
                # The lease runs out and the next round finds it again.
                log.warning("recovery could not finish", payment_id=payment_id, error=repr(error))
            except Exception as error:
                log.error("recovery failed on a payment", payment_id=payment_id, error=repr(error))

    async def _attempt(self, due: Due) -> None:
        loaded = await self._runtime.reads.load(due.merchant_id, due.payment_id)
        if loaded is None or due.attempt_id not in loaded.clocks:
            return
        clock = loaded.clocks[due.attempt_id]
        match clock.attempt.state:
            case "not_sent" | "not_found":
                await self._next_move(loaded, clock, due)
            case "submitted" if clock.sending:
                await self._book.look_again(due, clock.attempt.version, self._runtime.settings.send_window_ms)
            case "submitted" | "unknown" | "pending" | "requires_action":
                await self._ask(loaded, clock, due)

    async def _ask(self, loaded: Loaded, clock: AttemptClock, due: Due) -> None:
        """Ask the provider what became of the attempt; believe "no such charge" only when everything has settled."""
        attempt = clock.attempt
        provider = self._runtime.provider(attempt.provider)
        if not provider.traits.can_fetch and attempt.state != "submitted":
            # Nobody to ask: the same request again is the question, and what is pending is told by a notification.
            if attempt.state == "unknown":
                await self._next_move(loaded, clock, due)
            else:
                await self._no_news(loaded, clock, due)
            return
        verdict = await self._fetch(attempt)
        if isinstance(verdict, NotFound) and not believes_not_found(provider.traits, settled=clock.settled):
            verdict = Unknown(reason="not there yet: no evidence", raw=verdict.raw)
        change = None
        # What was being sent and cannot be told becomes unknown; what is unknown already learns nothing from that.
        if attempt.state == "submitted" or not isinstance(verdict, Unknown):
            change = await settle_verdict(
                self._runtime, loaded.stored, attempt.attempt_id, verdict, cause="recovery", actor=ACTOR
            )
        if isinstance(verdict, Unknown) and change is not None:
            return  # its schedule came with the change
        if change is None or not change.transitions:
            await self._no_news(loaded, clock, due)
        elif isinstance(verdict, NotFound):
            await self._look_at(attempt, due)

    async def _fetch(self, attempt: Attempt) -> Verdict:
        provider = self._runtime.provider(attempt.provider)
        try:
            return await provider.fetch(provider_call(attempt, monotonic_ms()))
        except Exception as error:
            failed = type(error).__name__  # its text may repeat what the provider sent
            log.error("connector failed", provider=provider.name, payment_id=attempt.payment_id, error=failed)
            return Unknown(reason=f"connector failed with {type(error).__name__}")

    async def _no_news(self, loaded: Loaded, clock: AttemptClock, due: Due) -> None:
        """Look again later, expire what waited too long for its customer, or hand over to the in-doubt lane."""
        settings, attempt = self._runtime.settings, clock.attempt
        waiting = attempt.state in ("pending", "requires_action")
        if attempt.state == "requires_action" and clock.age_ms > settings.action_deadline_ms:
            if loaded.stored.payment.state == "requires_action":
                await self._expire(loaded.stored)
            await self._book.look_again(due, attempt.version, settings.recovery_backoff_cap_ms)
            return
        over = clock.age_ms > settings.pending_deadline_ms if waiting else due.checks >= settings.recovery_checks_limit
        if over and attempt.state in ("pending", "unknown"):
            await self._commit(park(loaded.stored, attempt.attempt_id, self._step("bounded recovery ended")))
            log.error("attempt is in doubt", alert=True, payment_id=attempt.payment_id, attempt_id=attempt.attempt_id)
            return
        base_ms = settings.pending_poll_ms if waiting else settings.recovery_backoff_base_ms
        in_ms = backoff_ms(due.checks, base_ms, settings.recovery_backoff_cap_ms, self._runtime.chance)
        if not self._runtime.provider(attempt.provider).traits.can_fetch:
            in_ms = settings.recovery_backoff_cap_ms  # only the deadline is looked at
        await self._book.look_again(due, attempt.version, in_ms)

    async def _look_at(self, attempt: Attempt, due: Due) -> None:
        """Go on at once with an attempt that negative evidence just freed for its next move."""
        loaded = await self._runtime.reads.load(attempt.merchant_id, attempt.payment_id)
        if loaded is not None and loaded.clocks[attempt.attempt_id].attempt.state == "not_found":
            await self._next_move(loaded, loaded.clocks[attempt.attempt_id], due)

    async def _next_move(self, loaded: Loaded, clock: AttemptClock, due: Due) -> None:
        attempt, stored = clock.attempt, loaded.stored
        traits = self._runtime.provider(attempt.provider).traits
        move = next_move(attempt, traits, age_ms=clock.age_ms, resubmit_limit=self._runtime.settings.resubmit_limit)
        match move:
            case Move.RESUBMIT:
                await self._send_again(loaded, clock, due)
            case Move.GIVE_UP:
                await self._commit(give_up(stored, attempt.attempt_id, self._step("no more tries")))
            case Move.PARK:
                await self._commit(park(stored, attempt.attempt_id, self._step("no safe way to send again")))

    async def _send_again(self, loaded: Loaded, clock: AttemptClock, due: Due) -> None:
        """While the provider's circuit is not closed, one attempt at a time tries it, when a probe is due. The others
        wait, as long as their customers may: refused, they would spend resubmissions on calls that nobody made."""
        attempt, settings = clock.attempt, self._runtime.settings
        provider = self._runtime.provider(attempt.provider)
        patient = clock.age_ms < settings.provider_circuit_patience_ms
        if not isinstance(provider, Guarded) or provider.circuit == "closed" or not patient:
            await self._resubmit(loaded.stored, attempt)
        elif provider.rests or provider.name in self._trials:
            base_ms, cap_ms = settings.recovery_backoff_base_ms, settings.recovery_backoff_cap_ms
            await self._book.look_again(
                due, attempt.version, backoff_ms(due.checks, base_ms, cap_ms, self._runtime.chance)
            )
        else:
            self._trials.add(provider.name)
            try:
                await self._resubmit(loaded.stored, attempt)
            finally:
                self._trials.remove(provider.name)

    async def _resubmit(self, stored: PaymentSnapshot, attempt: Attempt) -> None:
        deadline_ms = send_by(self._runtime)
        change = resubmit(stored, attempt.attempt_id, self._step("resubmit"), self._runtime.terms(attempt.provider))
        if await self._commit(change):
            doubted = in_doubt(attempt, self._runtime.provider(attempt.provider).traits)
            await carry_out(self._runtime, stored.after(change), attempt.attempt_id, deadline_ms, doubted=doubted)

    async def _deadline(self, due: DueDeadline) -> None:
        """An authorization that nobody captured, or whose capture or cancel was refused: what does the provider say?"""
        loaded = await self._runtime.reads.load(due.merchant_id, due.payment_id)
        if loaded is None or loaded.stored.payment.state != "authorized":
            if loaded is None or loaded.stored.payment.state not in ("capturing", "canceling"):
                await self._book.drop_deadline(due)
            else:
                await self._book.move_deadline(due, self._runtime.settings.recovery_backoff_cap_ms)
            return
        stored, settings = loaded.stored, self._runtime.settings
        attempt = next(a for a in stored.attempts if a.operation == "authorize")
        verdict = await self._fetch(attempt)
        change = observe_authorization(stored, attempt.attempt_id, verdict, self._step("deadline"))
        if change is not None:
            await self._commit(change)
            return
        left_ms = settings.authorization_deadline_ms - loaded.clocks[attempt.attempt_id].age_ms
        if left_ms <= 0:
            await self._expire(stored)
        await self._book.move_deadline(due, max(left_ms, settings.recovery_backoff_cap_ms))

    async def _expire(self, stored: PaymentSnapshot) -> None:
        attempt_id, deadline_ms = new_id("att"), send_by(self._runtime)
        change = expire_payment(
            stored.payment, attempt_id, self._step("expiry"), self._runtime.terms(stored.payment.provider)
        )
        if await self._commit(change):
            await carry_out(self._runtime, stored.after(change), attempt_id, deadline_ms)

    def _step(self, cause: str) -> Cause:
        return Cause(change_id=new_id("chg"), at=self._runtime.clock.now(), trigger=f"recovery: {cause}", actor=ACTOR)

    async def _commit(self, change: Change) -> bool:
        """Whether the change is in the record. Where another was first, that one's outcome is looked at next round."""
        return isinstance(await self._runtime.journal.commit(change), Fresh)
