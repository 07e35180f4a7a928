"""Deadlines: an authorization that nobody captured in time, and a payment that waited too long for its customer."""

from __future__ import annotations

from tallystick.decisions.instructions import expire_payment
from tallystick.decisions.late_effects import observe_authorization
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.flows.payments.attempts import carry_out, look_up, send_by
from tallystick.flows.payments.kept_answers import AnswerKept
from tallystick.flows.recovery.changes import commit_first, recovery_cause
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.record.postgres.recovery_schedule import DueDeadline, RecoverySchedule


class DueDeadlines:
    """What recovery does with an authorization whose deadline is due."""

    def __init__(self, runtime: Runtime, book: RecoverySchedule) -> None:
        self._runtime = runtime
        self._book = book

    async def check(self, due: DueDeadline) -> None:
        """Look up an authorization that was not captured, or whose capture or cancel was refused."""
        settings = self._runtime.settings
        loaded = await self._runtime.reads.load(due.merchant_id, due.payment_id)
        if loaded is None or loaded.stored.payment.state != "authorized":
            if loaded is None or loaded.stored.payment.state not in ("capturing", "canceling"):
                await self._book.drop_deadline(due)
            else:
                await self._book.move_deadline(due, settings.recovery_backoff_cap_ms)
            return
        stored = loaded.stored
        attempt = next(a for a in stored.attempts if a.operation == "authorize")
        verdict, heard = await look_up(self._runtime, stored.payment, attempt)
        cause = recovery_cause(self._runtime, "deadline")
        change = observe_authorization(stored, attempt.attempt_id, verdict, cause)
        if change is not None:
            change = await AnswerKept(self._runtime, attempt, heard, "lookup").beside(change, verdict, cause.at)
            await commit_first(self._runtime, change)
            return
        left_ms = settings.authorization_deadline_ms - loaded.clocks[attempt.attempt_id].age_ms
        if left_ms <= 0:
            await expire(self._runtime, stored)
        await self._book.move_deadline(due, max(left_ms, settings.recovery_backoff_cap_ms))


async def expire(runtime: Runtime, stored: PaymentSnapshot) -> None:
    """Cancel a payment whose time is over, at the provider too."""
    attempt_id, deadline_ms = new_id("att"), send_by(runtime)
    change = expire_payment(
        stored.payment, attempt_id, recovery_cause(runtime, "expiry"), runtime.terms(stored.payment.provider)
    )
    if await commit_first(runtime, change):
        await carry_out(runtime, stored.after(change), attempt_id, deadline_ms)
