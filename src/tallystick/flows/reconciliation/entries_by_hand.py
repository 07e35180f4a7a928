"""Entries of bank statements that a person resolves: what is decided of one, and how its next evidence is written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tallystick.decisions.bank_matching import Payout
from tallystick.decisions.bank_statements import StatementName
from tallystick.decisions.entries_by_hand import EntryByHand, entry_matched, entry_written_off
from tallystick.decisions.rows_by_hand import NotResolvable
from tallystick.domain.settlement_evidence import Evidence
from tallystick.record.postgres.bank_book import ArrivalRow, ComparingEntries
from tallystick.record.postgres.settlement_evidence import digest_input
from tallystick.record.postgres.settlement_rows_by_hand import RowByHand


def statement_of(row: RowByHand) -> StatementName:
    """The statement that an entry is of."""
    of = row.evidence
    return StatementName(provider=row.provider, account=row.account, batch=of.batch, currency=of.currency)


def writes_off(arguments: Mapping[str, Any]) -> bool:
    """Whether what a row has more or less is written off: a form says it in words."""
    return arguments.get("writes_off_difference") in (True, "yes")


async def entry_decided(
    entries: ComparingEntries, row: RowByHand, arguments: Mapping[str, Any]
) -> tuple[EntryByHand, Payout | None]:
    """What a person's word makes of an entry. ``subject``: the payout's row, as ``file/position``. Raises
    NotResolvable."""
    subject = arguments.get("subject")
    if subject is None:
        decided = entry_written_off(row.evidence)
        payout = None if not decided.arrives else await _payout_of(entries, row.evidence)
        return decided, payout
    payout = _named(await entries.payouts(), subject)
    off = writes_off(arguments)
    return entry_matched(row.evidence, payout, writes_off_difference=off), payout


async def write_entry(
    entries: ComparingEntries, row: RowByHand, decided: EntryByHand, payout: Payout | None, at: datetime
) -> None:
    """The next evidence, what arrived with it, and that the statement was compared. UniqueViolationError where somebody
    else was first."""
    after, name = decided.after, statement_of(row)
    arrivals = [] if payout is None or not decided.arrives else [_arrival(after, payout, decided.arrives)]
    number, before = await entries.newest(name)
    await entries.add([after], arrivals)
    root = hashlib.sha256(before.encode() + hashlib.sha256(digest_input(after)).digest()).hexdigest()
    await entries.compared(name, number + 1, 1, root, at)


def _arrival(after: Evidence, payout: Payout, amount: int) -> ArrivalRow:
    return ArrivalRow(
        payout_file_id=payout.file_id,
        payout_position=payout.position,
        ordinal=payout.arrivals + 1,
        file_id=after.file_id,
        position=after.position,
        version=after.version,
        batch=after.batch,
        currency=after.currency,
        provider=payout.provider,
        amount=amount,
    )


def _named(payouts: Sequence[Payout], subject: str) -> Payout:
    file_id, _, position = subject.rpartition("/")
    for each in payouts:
        if each.file_id == file_id and str(each.position) == position:
            return each
    raise NotResolvable(f"{subject} is no payout of a provider: name its row as FILE/ROW")


async def _payout_of(entries: ComparingEntries, entry: Evidence) -> Payout:
    """The one payout that an entry has a part of."""
    payout_file_id, position = await entries.payout_of_entry(entry.file_id, entry.position)
    return _named(await entries.payouts(), f"{payout_file_id}/{position}")
