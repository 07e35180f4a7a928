"""Settlement rows that a person resolves: matched by hand with a posting of ours, or written off. An entry of a bank
statement is matched with a payout.

The person's word is the row's next evidence, written with the act in one transaction. What it moves is posted as the
next version of the batch and of the merchant's part, and a worker goes on where a process dies in between.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import asyncpg
from msgspec import Struct
from msgspec.structs import replace

from tallystick.decisions.bank_matching import Payout
from tallystick.decisions.entries_by_hand import EntryByHand
from tallystick.decisions.rows_by_hand import NotResolvable, matched_by_hand, written_off
from tallystick.decisions.settlements import BatchName
from tallystick.decisions.superseding import difference_of
from tallystick.domain.bank_statement import STATEMENT_FORMATS
from tallystick.domain.errors import Overloaded
from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.domain.settlement_evidence import Evidence
from tallystick.domain.work_owner import PERSON, may_own
from tallystick.flows.compliance.day_sums import count_in_day, moves_alone
from tallystick.flows.reconciliation.bank import post_statement
from tallystick.flows.reconciliation.entries_by_hand import entry_decided, statement_of, write_entry, writes_off
from tallystick.flows.reconciliation.posting import post_batch
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import derived_id
from tallystick.kit.logs import get_logger
from tallystick.record.postgres.bank_book import PayoutWithdrawn
from tallystick.record.postgres.moved_alone import PlaceTaken
from tallystick.record.postgres.settlement_evidence import EvidenceSet, digest_input
from tallystick.record.postgres.settlement_rows_by_hand import RowByHand, RowsByHand, rows_by_hand

#: An act that loses so many races in a row is about a row that others work on: nothing was written.
_RACES: Final = 20

log = get_logger("tallystick.flows.reconciliation.by_hand")


class NoSuchRow(NotResolvable):
    """There is no such row, or it was not compared yet."""


def target_of(file_id: str, position: int) -> str:
    """What an act about a row names."""
    return f"{file_id}/{position}"


async def look(runtime: Runtime, target: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The row and what would become of it, in minor units: what a second person is shown. Raises NotResolvable."""
    async with rows_by_hand(runtime.pool) as rows:
        return _shown(target, arguments, await _decided(rows, target, arguments))


def _shown(target: str, arguments: Mapping[str, Any], said: _Said) -> dict[str, Any]:
    row, after, before = said.row, said.after, said.row.evidence
    # Where a word of before gave it to another merchant, it is about both: whoever is limited to one does not decide.
    is_taken = bool(before.covers) and before.merchant_id not in (None, after.merchant_id)
    return {
        "row": target,
        "line": before.line,
        "comparison": before.version,
        "provider": row.provider,
        "batch": before.batch,
        "reason": f"{before.status}: {before.reason}",
        "merchant": None if is_taken else after.merchant_id,
        **({"taken from": before.merchant_id, "given to": after.merchant_id} if is_taken else {}),
        "payment": after.payment_id,
        **({} if said.entry is None else {"payout": arguments.get("subject")}),
        "has": before.gross,
        "covered before": before.covers,
        "to the merchant" if said.entry is None else "arrived": after.covers,
        "written off": after.written_off,
        "currency": before.currency,
        "amount": _moves(before, after),
    }


def _moves(before: Evidence, after: Evidence) -> int:
    """The largest amount that the word moves. A small row may be matched with a large posting, and the difference is
    written off; and a word of before may have moved more than the row has."""
    moved = (before.gross, before.covers, before.written_off, after.covers, after.written_off)
    return max(abs(each) for each in moved)


async def resolve(runtime: Runtime, asked: AskedAct, /) -> OperatorAct:
    """Do what was asked of the row ``asked.target``. ``asked.arguments``: ``subject``, the payment, refund or dispute
    that it is, and ``writes_off_difference``; without a subject the row is written off. Raises NotResolvable,
    NeedsSecondPerson and Overloaded."""
    shown = await look(runtime, asked.target, asked.arguments)
    await _require_theirs(runtime, asked.operator, shown["merchant"])
    amounts = {shown["currency"]: shown["amount"]}
    approved_as = {"currency": shown["currency"], "amount": shown["amount"]}
    for _ in range(_RACES):
        moved = await moves_alone(runtime, asked, asked.target, amounts, approved_as)
        try:
            async with rows_by_hand(runtime.pool) as rows:
                said = await _decided(rows, asked.target, asked.arguments)
                if said.row.evidence.version != shown["comparison"]:
                    raise NotResolvable("somebody else has resolved the row meanwhile")
                if _shown(asked.target, asked.arguments, said) != shown:
                    raise NotResolvable("what the row would be matched with has changed meanwhile")
                act = await _written(runtime, rows, said, asked, moved)
        except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, PayoutWithdrawn, PlaceTaken):
            continue
        except asyncpg.UniqueViolationError:
            raise NotResolvable("somebody else has resolved the row meanwhile") from None
        await _posted(runtime, said.row, asked.operator)
        return act
    raise Overloaded("the row is resolved by too many others")


async def _require_theirs(runtime: Runtime, operator: str, merchant_id: str | None) -> None:
    """Whoever is limited to merchants gives a row's money to no other, and takes none from another. ``merchant_id``:
    None where it is about several. Raises NotResolvable."""
    if operator.startswith(PERSON):
        found = await runtime.stores.accounts.find(operator.removeprefix(PERSON))
        if found is not None and not may_own(found.merchants, merchant_id):
            raise NotResolvable("what the row is said to be, or was before, belongs to a merchant that is not yours")


class _Said(Struct, frozen=True):
    """A row and its next evidence. ``entry``: it is a bank's, and what of ``payout`` arrives with it."""

    row: RowByHand
    after: Evidence
    entry: EntryByHand | None = None
    payout: Payout | None = None


async def _decided(rows: RowsByHand, target: str, arguments: Mapping[str, Any]) -> _Said:
    file_id, _, position = target.rpartition("/")
    row = await rows.newest(file_id, int(position))
    if row is None:
        raise NoSuchRow(f"there is no compared row {position} of the file {file_id}")
    if row.format in STATEMENT_FORMATS:
        entries = rows.entries()
        await entries.for_lists()
        decided, payout = await entry_decided(entries, row, arguments)
        return _Said(row, decided.after, decided, payout)
    subject = arguments.get("subject")
    if subject is None:
        return _Said(row, written_off(row.evidence))
    found = await rows.postings(row, subject)
    off = writes_off(arguments)
    return _Said(row, matched_by_hand(row.evidence, found, writes_off_difference=off))


async def _written(
    runtime: Runtime, rows: RowsByHand, said: _Said, asked: AskedAct, moved: Mapping[str, int]
) -> OperatorAct:
    """``moved``: what it counts in the operator's day."""
    at, row, before = runtime.clock.now(), said.row, said.row.evidence
    after = replace(said.after, actor=asked.operator, compared_at=at)
    if said.entry is not None:
        await write_entry(rows.entries(), row, replace(said.entry, after=after), said.payout, at)
        act = asked.done(_result(after) | {"arrived": said.entry.arrives}, at)
        await count_in_day(runtime.settings, rows.moved_alone(), act, moved)
        await rows.write_act(act)
        return act
    await rows.take_turn(row)
    after = replace(after, counted_in=derived_id("rsl", asked.act_id))
    digest = hashlib.sha256(digest_input(after)).digest()
    counted = EvidenceSet(
        batch=after.batch,
        currency=after.currency,
        rows=1,
        net=after.net,
        root=hashlib.sha256(digest).hexdigest(),
        sums=difference_of(before, after),
    )
    result = _result(after) | {"subject_id": after.subject_id, "to_merchant": after.covers}
    act = asked.done(result, at, merchant_id=after.merchant_id, payment_id=after.payment_id)
    await count_in_day(runtime.settings, rows.moved_alone(), act, moved)
    await rows.write(row, after, counted, act)
    return act


def _result(after: Evidence) -> dict[str, Any]:
    return {
        "settlement_file": after.file_id,
        "position": after.position,
        "line": after.line,
        "evidence_version": after.version,
        "status": after.status,
        "written_off": after.written_off,
        "currency": after.currency,
    }


async def _posted(runtime: Runtime, row: RowByHand, actor: str) -> None:
    of = row.evidence
    is_entry = row.format in STATEMENT_FORMATS
    name = BatchName(provider=row.provider, account=row.account, batch=of.batch, currency=of.currency)
    try:
        await (post_statement(runtime, statement_of(row), actor) if is_entry else post_batch(runtime, name, actor))
    except Overloaded:
        log.info("a worker posts what a person said of a row", file_id=of.file_id, position=of.position)
