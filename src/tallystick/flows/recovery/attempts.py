"""Attempts without an outcome: looked up, sent again, given up with proof, or parked for an operator."""

from __future__ import annotations

from typing import Final, assert_never

from tallystick.decisions.lookups import DueStep, NoNews, due_step, evidence_in, is_news, no_news
from tallystick.decisions.resubmission import (
    Move,
    gives_up_waiting,
    in_doubt,
    next_move,
    park,
    resubmit,
    still_possible,
)
from tallystick.decisions.verdicts import give_up
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.subjects import Attempt
from tallystick.domain.verdicts import NotFound, Unknown
from tallystick.flows.payments.attempts import carry_out, look_behind, look_up, send_by, settle_verdict
from tallystick.flows.payments.kept_answers import AnswerKept
from tallystick.flows.recovery.changes import ACTOR, commit_first, recovery_cause
from tallystick.flows.recovery.deadlines import expire
from tallystick.flows.runtime import Runtime
from tallystick.kit.backoff import backoff_ms
from tallystick.kit.logs import get_logger
from tallystick.record.postgres.reads import AttemptClock, SnapshotWithClocks
from tallystick.record.postgres.recovery_schedule import DueAttempt, RecoverySchedule

log = get_logger("tallystick.flows.recovery.attempts")


#: Why an attempt is parked whose key the provider used for another request: after a restore, most likely.
KEY_TAKEN: Final = "the provider used its key for another request"


class DueAttempts:
    """What recovery does with a due attempt."""

    def __init__(self, runtime: Runtime, book: RecoverySchedule) -> None:
        self._runtime = runtime
        self._book = book
        self._trials: set[str] = set()  # providers whose open circuit one attempt is probing now

    async def recover(self, due: DueAttempt) -> None:
        """One step towards an outcome. Raises what the database raises; the lease then expires."""
        loaded = await self._runtime.reads.load(due.merchant_id, due.payment_id)
        if loaded is None or due.attempt_id not in loaded.clocks:
            return
        clock = loaded.clocks[due.attempt_id]
        traits = self._runtime.provider(clock.attempt.provider).traits
        match due_step(clock.attempt, traits, sending=clock.sending):
            case DueStep.MOVE:
                await self._next_move(loaded, clock, due)
            case DueStep.WAIT:
                await self._book.look_again(due, clock.attempt.version, self._runtime.settings.send_window_ms)
            case DueStep.ASK if self._paused_ms(clock.attempt):
                await self._wait(clock, due)
            case DueStep.ASK:
                await self._ask(loaded, clock, due)
            case DueStep.NO_NEWS:
                await self._no_news(loaded, clock, due)
            case DueStep.NONE:
                return  # closed since it was leased
            case unreachable:
                assert_never(unreachable)

    async def _ask(self, loaded: SnapshotWithClocks, clock: AttemptClock, due: DueAttempt) -> None:
        """Look up the attempt; "no such charge" is evidence only after the settling time."""
        attempt = clock.attempt
        traits = self._runtime.provider(attempt.provider).traits
        asked, heard = await look_up(self._runtime, loaded.stored.payment, attempt)
        agree = isinstance(asked, NotFound) and await self._runtime.clocks.absence_counts(attempt.provider)
        verdict = evidence_in(attempt, asked, traits, settled=clock.settled, clocks_agree=agree)
        if verdict is None:
            await self._park(loaded.stored, attempt, KEY_TAKEN)
            return
        change = None
        if is_news(attempt, verdict):
            await look_behind(self._runtime, loaded.stored, attempt, verdict, cause="recovery", actor=ACTOR)
            kept = AnswerKept(self._runtime, attempt, heard, "lookup")
            change = await settle_verdict(
                self._runtime, loaded.stored, attempt.attempt_id, verdict, cause="recovery", actor=ACTOR, kept=kept
            )
        if isinstance(verdict, Unknown) and change is not None:
            return  # its schedule came with the change
        if change is None or not change.transitions:
            if isinstance(verdict, Unknown) and self._paused_ms(attempt):
                await self._wait(clock, due)  # it may not have been asked: no check is spent
            else:
                await self._no_news(loaded, clock, due)
        elif isinstance(verdict, NotFound):
            await self._look_at(attempt, due)

    async def _no_news(self, loaded: SnapshotWithClocks, clock: AttemptClock, due: DueAttempt) -> None:
        """Look again later, expire what waited too long for its customer, or park what was looked up often enough."""
        settings, attempt = self._runtime.settings, clock.attempt
        match no_news(
            attempt,
            age_ms=clock.age_ms,
            checks=due.checks,
            action_deadline_ms=settings.action_deadline_ms,
            pending_deadline_ms=settings.pending_deadline_ms,
            checks_limit=settings.recovery_checks_limit,
        ):
            case NoNews.EXPIRE:
                if loaded.stored.payment.state == "requires_action":
                    await expire(self._runtime, loaded.stored)
                await self._book.look_again(due, attempt.version, settings.recovery_backoff_cap_ms)
            case NoNews.PARK:
                await self._park(loaded.stored, attempt, "bounded recovery ended")
            case NoNews.LOOK_AGAIN:
                await self._look_again(attempt, due)
            case unreachable:
                assert_never(unreachable)

    async def _look_again(self, attempt: Attempt, due: DueAttempt) -> None:
        settings = self._runtime.settings
        waiting = attempt.state in ("pending", "requires_action")
        in_ms = self._backoff_ms(due, settings.pending_poll_ms if waiting else settings.recovery_backoff_base_ms)
        if not self._runtime.provider(attempt.provider).traits.can_fetch:
            in_ms = settings.recovery_backoff_cap_ms  # only the deadline is looked at
        await self._book.look_again(due, attempt.version, in_ms)

    async def _look_at(self, attempt: Attempt, due: DueAttempt) -> None:
        """Continue at once with an attempt that negative evidence has just freed."""
        loaded = await self._runtime.reads.load(attempt.merchant_id, attempt.payment_id)
        if loaded is not None and loaded.clocks[attempt.attempt_id].attempt.state == "not_found":
            await self._next_move(loaded, loaded.clocks[attempt.attempt_id], due)

    async def _next_move(self, loaded: SnapshotWithClocks, clock: AttemptClock, due: DueAttempt) -> None:
        attempt, stored = clock.attempt, loaded.stored
        traits = self._runtime.provider(attempt.provider).traits
        move = next_move(
            attempt,
            traits,
            age_ms=clock.age_ms,
            resubmit_limit=self._runtime.settings.resubmit_limit,
            possible=still_possible(stored, attempt),
            record_was_restored=self._runtime.settings.record_was_restored,
        )
        match move:
            case Move.RESUBMIT:
                await self._send_again(loaded, clock, due)
            case Move.GIVE_UP:
                cause = recovery_cause(self._runtime, "no more tries")
                await commit_first(self._runtime, give_up(stored, attempt.attempt_id, cause))
            case Move.PARK:
                await self._park(stored, attempt, KEY_TAKEN if attempt.key_taken else "no safe way to send again")
            case _:
                assert_never(move)

    async def _park(self, stored: PaymentSnapshot, attempt: Attempt, reason: str) -> None:
        """Park the attempt for an operator. Only the worker whose change parked it raises the alert."""
        if await commit_first(self._runtime, park(stored, attempt.attempt_id, recovery_cause(self._runtime, reason))):
            log.error(
                "attempt is in doubt",
                alert=True,
                payment_id=attempt.payment_id,
                attempt_id=attempt.attempt_id,
                operation=attempt.operation,
                amount=attempt.amount,
                currency=attempt.currency,
                provider=attempt.provider,
                key_kind=attempt.instructed_by,
                reason=reason,
                next=f"tallystick in-doubt show {attempt.attempt_id}",
            )

    async def _send_again(self, loaded: SnapshotWithClocks, clock: AttemptClock, due: DueAttempt) -> None:
        """While the provider's circuit is not closed, one attempt at a time probes it. The others wait up to the
        patience limit: otherwise they would spend resubmissions on calls that were never made. While the provider has
        asked to wait all of them do, and after it one attempt at a time finds out whether it takes calls again."""
        attempt, settings = clock.attempt, self._runtime.settings
        provider = self._runtime.provider(attempt.provider)
        patient = clock.age_ms < settings.provider_circuit_patience_ms
        tested = self._runtime.pauses.is_tested(attempt.provider)
        if self._paused_ms(attempt):
            await self._wait_or_give_up(loaded, clock, due)
        elif tested and (provider.circuit == "closed" or not patient):
            await self._resubmit(loaded.stored, attempt)
        elif provider.rests or provider.name in self._trials:
            await self._book.look_again(due, attempt.version, self._backoff_ms(due, settings.recovery_backoff_base_ms))
        else:
            self._trials.add(provider.name)
            try:
                await self._resubmit(loaded.stored, attempt)
            finally:
                self._trials.remove(provider.name)

    async def _wait_or_give_up(self, loaded: SnapshotWithClocks, clock: AttemptClock, due: DueAttempt) -> None:
        """The provider asked to wait, and nothing is sent: no submission is spent either way."""
        attempt, settings = clock.attempt, self._runtime.settings
        if gives_up_waiting(
            attempt,
            self._runtime.provider(attempt.provider).traits,
            age_ms=clock.age_ms,
            patience_ms=settings.provider_circuit_patience_ms,
            record_was_restored=settings.record_was_restored,
        ):
            cause = recovery_cause(self._runtime, "the provider asked to wait for too long")
            await commit_first(self._runtime, give_up(loaded.stored, attempt.attempt_id, cause))
        else:
            await self._wait(clock, due, at_most_ms=settings.provider_circuit_patience_ms - clock.age_ms)

    async def _wait(self, clock: AttemptClock, due: DueAttempt, at_most_ms: int = 0) -> None:
        """Until the provider takes calls again, and a little longer, so that not all come at once; ``at_most_ms``
        where that is above 0."""
        attempt = clock.attempt
        in_ms = self._paused_ms(attempt) + self._backoff_ms(due, self._runtime.settings.recovery_backoff_base_ms)
        await self._book.wait(due, attempt.version, min(in_ms, at_most_ms) if at_most_ms > 0 else in_ms)

    def _paused_ms(self, attempt: Attempt) -> int:
        return self._runtime.pauses.left_ms(attempt.provider)

    async def _resubmit(self, stored: PaymentSnapshot, attempt: Attempt) -> None:
        deadline_ms = send_by(self._runtime)
        cause = recovery_cause(self._runtime, "resubmit")
        change = resubmit(stored, attempt.attempt_id, cause, self._runtime.terms(attempt.provider))
        if await commit_first(self._runtime, change):
            doubted = in_doubt(attempt, self._runtime.provider(attempt.provider).traits)
            await carry_out(self._runtime, stored.after(change), attempt.attempt_id, deadline_ms, doubted=doubted)

    def _backoff_ms(self, due: DueAttempt, base_ms: int) -> int:
        cap_ms = self._runtime.settings.recovery_backoff_cap_ms
        return backoff_ms(due.checks, base_ms, cap_ms, self._runtime.jitter)
