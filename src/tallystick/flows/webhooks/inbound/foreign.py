"""Events whose payment is not here: of other software on the same account, by proof, or still to be routed."""

from __future__ import annotations

import asyncio
from typing import Final

from tallystick.decisions.provider_events.dispositions import NotYet
from tallystick.decisions.provider_events.foreign import (
    CHARGE_IS_FOREIGN,
    NO_PAYMENT,
    Foreign,
    Unanswered,
    by_its_charge,
    by_its_own_mark,
)
from tallystick.flows.runtime import Runtime
from tallystick.kit.log_sampling import SampledLines
from tallystick.kit.logs import get_logger
from tallystick.record.postgres.inbox_rows import LeasedEvent

log = get_logger("tallystick.flows.webhooks.inbound.foreign")

#: Charges asked for at once: foreign events come in floods, and a slow provider must not hold up the events of ours.
QUESTIONS_AT_ONCE: Final = 8

#: One line of an account in this long, with how many there were: they are no alert.
COUNT_EVERY_S: Final = 3_600.0

#: Events filed in this time before a look are compared. A change that brings a reference takes up what it finds; one
#: that began before the event came, and is committed after it was filed, finds nothing. No transaction lasts so long.
LOOK_BACK_MS: Final = 600_000

#: The same for the first look of a worker: none may have run for a while.
FIRST_LOOK_BACK_MS: Final = 86_400_000


class ForeignEvents:
    """Judges them, for one worker. Make it inside a running event loop."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._inbox = runtime.stores.inbox
        self._asking = asyncio.Semaphore(QUESTIONS_AT_ONCE)
        self._counts = SampledLines(COUNT_EVERY_S)

    async def judge(self, event: LeasedEvent) -> Foreign | Unanswered | NotYet:
        """What an event comes to whose payment is not here. An attempt without a reference that is older than the event
        may be the one that made its charge: then nobody is asked, and it waits."""
        names_payment = event.payment_id is not None
        found = by_its_own_mark(event.mark, names_payment=names_payment, charge=event.charge_reference)
        if isinstance(found, Foreign | NotYet):
            return found
        if await self._inbox.is_foreign_charge(event.provider, event.account, found.charge):
            return Foreign(CHARGE_IS_FOREIGN)
        if await self._inbox.may_be_of_an_open_attempt(event):
            return NotYet(f"{NO_PAYMENT}, and an attempt of the account has no reference yet")
        return await self._ask(event, found.charge)

    async def _ask(self, event: LeasedEvent, charge: str) -> Foreign | Unanswered | NotYet:
        if not self._runtime.serves(event.provider, event.account):
            return NotYet(NO_PAYMENT)  # the settings have the webhook's secret alone: nobody can ask
        if self._asking.locked():
            return Unanswered("the provider is being asked for other charges")
        async with self._asking:
            return by_its_charge(await self._runtime.provider(event.provider).charge_mark(charge))

    def count(self, event: LeasedEvent) -> None:
        """One more, for the log."""

        def say(since_last_line: int) -> None:
            log.info(
                "events of other software",
                provider=event.provider,
                account=event.account,
                since_last_line=since_last_line,
                next="tallystick webhooks foreign",
            )

        self._counts.line((event.provider, event.account), say)

    def flush(self) -> None:
        """Log what is still counted."""
        self._counts.flush()
