"""Settlement files that an operator takes back.

Of a file that was not compared the rows go. One that was compared is superseded row by row, in one transaction with
the act: each row's last evidence says that its file was withdrawn, and counts for nothing. What was posted is then
posted back as the next version of the batch and of each merchant's part, as any later evidence is: a worker goes on
where a process dies in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import asyncpg
from msgspec import Struct

from tallystick.domain.bank_statement import STATEMENT_FORMATS
from tallystick.domain.errors import Overloaded, TallystickError
from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.domain.settlement_file import SettlementFile
from tallystick.flows.compliance.day_sums import count_in_day, moves_alone
from tallystick.flows.reconciliation.bank import post_statement
from tallystick.flows.reconciliation.entries_by_hand import statement_of
from tallystick.flows.reconciliation.entries_taken_back import stands_in_the_way, take_back
from tallystick.flows.reconciliation.files import NoSuchFile
from tallystick.flows.reconciliation.posting import post_batch
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import derived_id
from tallystick.record.postgres.moved_alone import PlaceTaken
from tallystick.record.postgres.settlement_withdrawals import ArrivedEntry, ComparedAmount, Withdrawing, withdrawing

#: An act that loses so many races in a row is about a file that others work on: nothing was written.
_RACES: Final = 20

#: What is said of why a file cannot be withdrawn names so many others.
_NAMED: Final = 10


class CannotWithdraw(TallystickError):
    """The file cannot be withdrawn, and the message names what stands in the way; nothing was written."""


class _Found(Struct, frozen=True, kw_only=True):
    """What a withdrawal is about. ``files``: the one that was named, and then earlier ones whose rows only its total
    proves. ``amounts``: what is compared of them. ``entries``: of banks, with which payouts of them arrived."""

    files: Sequence[SettlementFile]
    amounts: Sequence[ComparedAmount]
    entries: Sequence[ArrivedEntry]

    @property
    def by_currency(self) -> dict[str, int]:
        """What may be posted of it and is taken back, in minor units."""
        return {each.currency: each.amount for each in self.amounts}


async def look(runtime: Runtime, target: str, _: Mapping[str, Any]) -> dict[str, Any]:
    """The file and what goes with it, in minor units: what a second person is shown. Raises NoSuchFile and
    CannotWithdraw."""
    async with withdrawing(runtime.pool) as withdrawal:
        found = await _found(withdrawal, target)
    file, *others = found.files
    return {
        "file": file.file_id,
        "name": file.name,
        "provider": file.provider,
        "account": file.account,
        "state": file.state,
        "with it": [each.file_id for each in others],
        "compared rows": {each.currency: each.rows for each in found.amounts},
        "of them by hand": {each.currency: each.by_hand for each in found.amounts},
        "entries of banks": [each.name for each in found.entries],
        "amounts": found.by_currency,
    }


async def withdraw(runtime: Runtime, asked: AskedAct, /) -> OperatorAct:
    """Take the file ``asked.target`` back, with earlier files that only its total proves: nothing of them counts any
    more, and their bytes can be imported again. Raises NoSuchFile, CannotWithdraw, NeedsSecondPerson and Overloaded."""
    for _ in range(_RACES):
        shown = await look(runtime, asked.target, asked.arguments)
        moved = await moves_alone(runtime, asked, asked.target, shown["amounts"], {"amounts": shown["amounts"]})
        try:
            async with withdrawing(runtime.pool) as withdrawal:
                await withdrawal.take_turn(shown["provider"])
                found = await _found(withdrawal, asked.target, holds=True)
                if found.by_currency != shown["amounts"]:
                    continue  # it was compared meanwhile
                act = await _taken_back(runtime, withdrawal, found, asked)
                await count_in_day(runtime.settings, withdrawal.moved_alone(), act, moved)
                await withdrawal.write_act(act)
                await withdrawal.withdraw_news([each.file_id for each in found.files])
        except (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError, asyncpg.SerializationError, PlaceTaken):
            continue
        await _posted_back(runtime, found, asked)
        return act
    raise Overloaded("others work on the file all the time")


async def _found(withdrawal: Withdrawing, file_id: str, *, holds: bool = False) -> _Found:
    """``holds``: it stays so until the transaction ends."""
    file = await withdrawal.file(file_id)
    if file is None:
        raise NoSuchFile(f"there is no settlement file {file_id}")
    if file.state in ("withdrawn", "refused"):
        raise CannotWithdraw(f"the file is {file.state}")
    every = await withdrawal.proved_by(file_id)
    if holds:
        await withdrawal.hold(every)
    if newer := await withdrawal.newer(every):
        named = ", ".join(newer[:_NAMED])
        raise CannotWithdraw(f"a newer file was compared with this one: withdraw that one first ({named})")
    amounts = await withdrawal.amounts(every)
    if amounts and file.format in STATEMENT_FORMATS:
        raise CannotWithdraw("its entries are compared with payouts, and what they moved is posted")
    entries = await withdrawal.arrived(every)
    if fixed := [each.name for each in entries if stands_in_the_way(each, every)]:
        named = ", ".join(fixed[:_NAMED])
        raise CannotWithdraw(
            "payouts of it arrived with entries of a bank statement that a person resolved, or that are payouts of"
            f" other files too: {named}"
        )
    others = [found for each in every[1:] if (found := await withdrawal.file(each)) is not None]
    return _Found(files=[file, *others], amounts=amounts, entries=entries)


async def _taken_back(runtime: Runtime, withdrawal: Withdrawing, found: _Found, asked: AskedAct) -> OperatorAct:
    at = runtime.clock.now()
    await take_back(withdrawal.entries(), found.entries, asked.operator, at)  # before the payouts' files are withdrawn
    for file in found.files:
        dropped = await withdrawal.drop(file.file_id, asked.reason)
        if not dropped and not await withdrawal.supersede(file, asked.reason, _set_id(asked, file), asked.operator, at):
            raise CannotWithdraw(f"the file {file.file_id} is being imported")
    file, *others = found.files
    result: dict[str, Any] = {"settlement_file": file.file_id, "digest": file.digest}
    if others:
        result["with_it"] = [each.file_id for each in others]
    if found.amounts:
        result["rows"] = sum(each.rows for each in found.amounts)
        result["amounts"] = found.by_currency
        if found.entries:
            result["entries"] = [each.name for each in found.entries]
        result["counted_in"] = [_set_id(asked, each) for each in found.files]
    return asked.done(result, at)


def _set_id(asked: AskedAct, file: SettlementFile) -> str:
    return derived_id("wdr", asked.act_id, file.file_id)


async def _posted_back(runtime: Runtime, found: _Found, asked: AskedAct) -> None:
    """A worker does it where others are faster, or this process dies."""
    for file in found.files if found.amounts else ():
        for name in await runtime.stores.evidence.batches_of(_set_id(asked, file)):
            with suppress(Overloaded):
                await post_batch(runtime, name, asked.operator)
    for statement in {statement_of(each.row) for each in found.entries}:
        with suppress(Overloaded):
            await post_statement(runtime, statement, asked.operator)
