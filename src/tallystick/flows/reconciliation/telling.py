"""Merchants are told what became of their money in settlement files: ``payment.settled`` and
``reconciliation.exception``.

It is found from posted evidence, and told after it, at its own pace: a file is compared and posted without waiting for
messages. A process that dies leaves what the next one tells; two at once tell everything once.
"""

from __future__ import annotations

import asyncio
from typing import Final

from tallystick.decisions import reconciliation_messages
from tallystick.decisions.change_builder import Cause
from tallystick.domain.errors import Overloaded
from tallystick.domain.reconciliation import Reconciliation
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.flows.asked_together import AskedTogether
from tallystick.flows.reconciliation.failures import Failures
from tallystick.flows.reconciliation.posting import RACES
from tallystick.flows.reconciliation.worker import ACTOR
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.kit.logs import get_logger
from tallystick.record.journal import Fresh
from tallystick.record.postgres.reconciliation_told import PAGE, SetToTell

#: What is told follows what is posted, which is looked for as often.
EVERY_MS: Final = 5_000

#: Steps that are under way at once, beside payments.
_AT_ONCE: Final = 64

log = get_logger("tallystick.flows.reconciliation.telling")


class SettlementTeller:
    """Any number may run: what is told has a first version, which is taken once."""

    def __init__(self, runtime: Runtime, actor: str = ACTOR) -> None:
        self._runtime, self._actor = runtime, actor
        self._failures = Failures("settlement messages")
        self._loads = AskedTogether[tuple[str, str], PaymentSnapshot](lambda names: runtime.reads.load_many(names))

    async def round(self) -> int:
        """Tell everything that was posted and not told; a set that cannot be told keeps no other one from it. Returns
        how many steps that were."""
        told = 0
        for each in await self._runtime.stores.told.sets():
            try:
                with self._failures.apart(f"{each.file_id} batch {each.batch} {each.currency}"):
                    told += await self._tell(each)
            except Overloaded:
                break  # payments come first: the next round goes on
        self._failures.about.clear()  # the log has it
        if told:
            log.info("merchants were told of settlements", steps=told)
        return told

    async def _tell(self, of: SetToTell) -> int:
        book, told, after = self._runtime.stores.told, 0, 0
        while page := await book.page(of, after):
            at = self._runtime.clock.now()
            wanted = [said for row in page for said in reconciliation_messages.to_tell(row, of.name, at)]
            known = await book.told([(said.merchant_id, said.reconciliation_id) for said in wanted])
            turn = asyncio.Semaphore(_AT_ONCE)
            new = {said.reconciliation_id: said for said in wanted if said.reconciliation_id not in known}
            settled = {_payment_of(said) for said in new.values() if said.state != "exception"}
            payments = await self._runtime.reads.load_many(sorted(settled)) if settled else {}
            async with asyncio.TaskGroup() as group:
                for said in new.values():
                    group.create_task(self._once(said, payments.get(_payment_of(said)), turn))
            told, after = told + len(new), page[-1].position
            if len(page) < PAGE:
                break
        await book.close(of, self._runtime.clock.now())
        return told

    async def _once(self, said: Reconciliation, stored: PaymentSnapshot | None, turn: asyncio.Semaphore) -> None:
        """``stored``: its payment, as the page found it; where another change was faster, it is read again."""
        async with turn:
            for _ in range(RACES):
                cause = self._cause(said)
                if said.state == "exception":
                    change = reconciliation_messages.disagreed(said, cause)
                else:
                    assert stored is not None, "evidence names a payment of the record"
                    change = reconciliation_messages.settled(stored.payment, said, cause)
                if isinstance(await self._runtime.journal.commit(change), Fresh):
                    return
                if await self._runtime.stores.told.told([(said.merchant_id, said.reconciliation_id)]):
                    return  # another process was first
                stored = await self._loads.ask(_payment_of(said))
        raise Overloaded("the payment is changed by too many others")

    def _cause(self, said: Reconciliation) -> Cause:
        row = {"file_id": said.file_id, "position": said.position, "version": said.evidence_version}
        return Cause(
            change_id=new_id("chg"),
            at=self._runtime.clock.now(),
            trigger="settlement",
            actor=self._actor,
            evidence={"settlement_row": row},
        )


def _payment_of(said: Reconciliation) -> tuple[str, str]:
    return said.merchant_id, said.payment_id
