"""Merchants are told what became of their money in settlement files: ``payment.settled``,
``payment.settlement_withdrawn`` and ``reconciliation.exception``.

It is found from posted evidence, and told after it, at its own pace: a file is compared and posted without waiting for
messages. A process that dies leaves what the next one tells; two at once tell everything once.

Whoever tells is late: the file may be withdrawn at that moment. So it is looked at what was said of a movement last,
then whether the comparison still stands, and then the next version is written. A withdrawal takes the next version of
each movement of its file, also where nothing was said of it. So whoever looked before it finds the version taken.
After that it is looked for other rows that have the movement: whoever read them before had nothing to say, for the
movement was settled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from tallystick.decisions import reconciliation_messages
from tallystick.decisions.change_builder import Cause
from tallystick.decisions.reconciliation_messages import Compared, is_known, taken_back, to_tell
from tallystick.domain.change import Change
from tallystick.domain.errors import Overloaded
from tallystick.domain.reconciliation import Reconciliation
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.flows.asked_together import AskedTogether
from tallystick.flows.reconciliation.failures import Failures
from tallystick.flows.reconciliation.posting import RACES, batch_id_of
from tallystick.flows.reconciliation.worker import ACTOR
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.kit.logs import get_logger
from tallystick.record.journal import Fresh
from tallystick.record.postgres.reconciliation_told import PAGE, Comparison, SetToTell

#: What is told follows what is posted, which is looked for as often.
EVERY_MS: Final = 5_000

#: Steps that are under way at once, beside payments.
_AT_ONCE: Final = 64

log = get_logger("tallystick.flows.reconciliation.telling")


class SettlementTeller:
    """Any number may run: each version of what is told is taken once."""

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
        book, told, after, is_whole = self._runtime.stores.told, 0, 0, True
        said_of = taken_back if of.is_withdrawal else to_tell
        while page := await book.page(of, after):
            at = self._runtime.clock.now()
            told += await self._say([said for row in page for said in said_of(row, of.name, at)])
            if of.is_withdrawal:
                settled_again, all_posted = await self._settled_again(page)
                told, is_whole = told + settled_again, is_whole and all_posted
            after = page[-1].position
            if len(page) < PAGE:
                break
        if is_whole:
            await book.close(of, self._runtime.clock.now())
        return told

    async def _settled_again(self, page: Sequence[Compared]) -> tuple[int, bool]:
        """Tell what other rows have of these movements, whose sets may have been told while the movements were settled.
        Returns how many steps that were, and whether all of it is posted: what is not is told in a later round."""
        stores, at = self._runtime.stores, self._runtime.clock.now()
        found = await stores.told.settling(page)
        batches = {name: await stores.evidence.batch(batch_id_of(name)) for name in {each.name for each in found}}
        counted = [(each, of) for each in found if (of := batches[each.name]) is not None and each.set_id in of.files]
        posted = [each for each, batch in counted if batch.state != "posting"]
        told = await self._say([said for each in posted for said in to_tell(each.row, each.name, at)])
        return told, len(posted) == len(counted)

    async def _say(self, wanted: Sequence[Reconciliation]) -> int:
        """Say each of these where it is new and its comparison stands. Returns how many were said."""
        if not wanted:
            return 0
        book = self._runtime.stores.told
        before = await book.said([_name(said) for said in wanted])  # before it is looked at what stands: see above
        superseded = await book.superseded([_comparison(said) for said in wanted])
        new = {
            said.reconciliation_id: said
            for said in wanted
            if _comparison(said) not in superseded and not is_known(before.get(said.reconciliation_id), said)
        }
        moved = {
            _payment_of(said)
            for id_, said in new.items()
            if reconciliation_messages.moves_payment(before.get(id_), said)
        }
        payments = await self._runtime.reads.load_many(sorted(moved)) if moved else {}
        turn = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for id_, said in new.items():
                group.create_task(self._once(said, before.get(id_), payments.get(_payment_of(said)), turn))
        return len(new)

    async def _once(
        self,
        said: Reconciliation,
        stored: Reconciliation | None,
        payment: PaymentSnapshot | None,
        turn: asyncio.Semaphore,
    ) -> None:
        """``payment``: as the page found it; where another change was faster, it is read again."""
        async with turn:
            book = self._runtime.stores.told
            for _ in range(RACES):
                change = self._change(said, stored, payment)
                if isinstance(await self._runtime.journal.commit(change), Fresh):
                    return
                stored = (await book.said([_name(said)])).get(said.reconciliation_id)
                if is_known(stored, said) or await book.superseded([_comparison(said)]):
                    return  # another process was first, or the file went
                payment = await self._loads.ask(_payment_of(said))
        raise Overloaded("the payment is changed by too many others")

    def _change(self, said: Reconciliation, stored: Reconciliation | None, payment: PaymentSnapshot | None) -> Change:
        cause = self._cause(said)
        if not reconciliation_messages.moves_payment(stored, said):
            return reconciliation_messages.noted(stored, said, cause)
        assert payment is not None, "evidence names a payment of the record"
        return reconciliation_messages.told(payment.payment, stored, said, cause)

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


def _name(said: Reconciliation) -> tuple[str, str]:
    return said.merchant_id, said.reconciliation_id


def _comparison(said: Reconciliation) -> Comparison:
    return said.file_id, said.position, said.evidence_version
