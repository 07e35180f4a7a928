"""The recovery worker: leases due attempts and deadlines, and handles each.

It finds what a crash between the two commits left, and resolves it by the same decisions and the same journal as the
sender. Any number of workers may run it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final

from tallystick.domain.errors import OutcomeUnknown, Overloaded, TallystickError
from tallystick.flows.recovery.attempts import DueAttempts
from tallystick.flows.recovery.deadlines import DueDeadlines
from tallystick.flows.runtime import Runtime
from tallystick.kit.log_sampling import SampledLines
from tallystick.kit.logs import get_logger
from tallystick.record.postgres.recovery_schedule import RecoverySchedule

log = get_logger("tallystick.flows.recovery.worker")

#: Work that is due for this long is taken by no other process: recovery looks every half second.
WAITS_AFTER_MS: Final = 60_000

#: How often a worker looks for work of accounts that it lacks: the alert is hourly.
LOOK_FOR_WAITING_EVERY_MS: Final = 60_000


class RecoveryWorker:
    """Rounds over everything that is due. Make it inside a running event loop."""

    def __init__(self, runtime: Runtime, book: RecoverySchedule) -> None:
        self._runtime = runtime
        self._settings = runtime.settings
        self._book = book
        self._outage = runtime.outage
        self._not_finished = SampledLines()
        self._pauses = runtime.pauses
        self._attempts = DueAttempts(runtime, book)
        self._deadlines = DueDeadlines(runtime, book)
        self._slots = asyncio.Semaphore(runtime.settings.recovery_concurrency)

    async def round(self) -> int:
        """Handle everything that is due. Returns how much there was."""
        batch, lease_ms = self._settings.recovery_batch, self._settings.recovery_lease_ms
        accounts = self._runtime.accounts  # what others have stays due, for a process that can ask them
        attempts = await self._book.lease_due(batch, lease_ms, accounts)
        deadlines = await self._book.lease_deadlines(batch, lease_ms, accounts)
        if attempts or deadlines:
            await self._pauses.learn()  # whoever left an attempt behind wrote first what its provider asked for
        work = [self._log_failures(self._attempts.recover(due), due.payment_id) for due in attempts]
        work += [self._log_failures(self._deadlines.check(due), due.payment_id) for due in deadlines]
        await asyncio.gather(*work)
        return len(work)

    async def finish(self) -> None:
        """Log what is still counted."""
        self._not_finished.flush()

    async def report_waiting(self, due_for_ms: int = WAITS_AFTER_MS) -> None:
        """Alert of what is due for so long, and waits for a process with other settings."""
        for provider, account, count in await self._book.waiting(self._runtime.accounts, due_for_ms):
            self._runtime.report_waiting("recovery", provider, account, count)

    async def _log_failures(self, work: Awaitable[None], payment_id: str) -> None:
        """A payment that fails does not block others: its lease expires, and a later round finds it again."""
        async with self._slots:
            try:
                await work
            except (OutcomeUnknown, Overloaded) as error:  # the journal has said why
                self._say_not_finished(payment_id, error)
            except Exception as error:
                if self._outage.failed("recovery of a payment", error):
                    return
                if isinstance(error, TallystickError | OSError | LookupError):
                    log.warning("recovery could not finish", payment_id=payment_id, error=repr(error))
                else:
                    log.error("recovery failed on a payment", payment_id=payment_id, error=repr(error))

    def _say_not_finished(self, payment_id: str, error: Exception) -> None:
        """Every payment of a round meets the same database; the line names the last of those it counts."""

        def say(since_last_line: int) -> None:
            log.warning(
                "recovery could not finish", payment_id=payment_id, error=repr(error), since_last_line=since_last_line
            )

        self._not_finished.line(type(error).__name__, say)
