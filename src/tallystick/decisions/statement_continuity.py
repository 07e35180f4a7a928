"""Whether bank statements go on from each other: numbers without gaps, and each opens as the last one closed. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from itertools import groupby, pairwise
from typing import Final, Literal

from msgspec import Struct

from tallystick.domain.bank_statement import StatementHead

#: gap: statements between two numbers are missing. opening: the numbers go on, or there are none, and the balance does
#: not. number_taken: another statement has the number already, with other balances. doubled: the same statement came
#: again under another id, or in another format.
BreakKind = Literal["gap", "opening", "number_taken", "doubled"]

_NUMBER: Final = re.compile(r"0*(\d{1,9})(?:/0*(\d{1,9}))?", re.ASCII)


class StatementBreak(Struct, frozen=True, kw_only=True):
    """Where statements of one account do not go on. ``amount``: what the later one opens with, less what the earlier
    one closes with. ``missing``: how many numbers are between the two."""

    kind: BreakKind
    provider: str
    account: str
    balance_account: str | None
    currency: str
    before: str
    after: str
    after_file: str
    amount: int
    missing: int
    since: datetime


def number_of(sequence: str | None) -> tuple[int, int] | None:
    """A statement's number and its page; None where it has none that can be counted."""
    match = _NUMBER.fullmatch(sequence.strip()) if sequence else None
    return None if match is None else (int(match[1]), int(match[2] or 1))


def name_of_statement(sequence: str | None, to_on: date | None, opening: int, closing: int) -> str:
    """What a statement is known by in every format: its year, number and page; without a number or a day, its last day
    and balances."""
    number = number_of(sequence)
    if number is None or to_on is None:
        return f"{to_on} {opening} {closing}"
    return f"{to_on.year} {number[0]}/{number[1]}"


def breaks(heads: Sequence[StatementHead]) -> Iterator[StatementBreak]:
    """Every break, by account and currency, in the order of the statements."""
    by_account = sorted(heads, key=_account)
    for _, group in groupby(by_account, key=_account):
        every = list(group)
        kept = sorted((each for each in every if not each.doubled), key=_place)
        yield from (found for before, after in pairwise(kept) for found in _between(before, after))
        names = {_name(each): each for each in kept}
        for each in every:
            if each.doubled and (first := names.get(_name(each))) is not None:
                same = (first.opening, first.closing) == (each.opening, each.closing)
                yield _break("doubled" if same else "number_taken", first, each, 0, 0)


def in_order(heads: Sequence[StatementHead]) -> list[StatementHead]:
    """By account and currency, and in the order in which they follow each other."""
    return sorted(heads, key=lambda each: (_account(each), _place(each)))


def _between(before: StatementHead, after: StatementHead) -> Iterator[StatementBreak]:
    amount, missing = after.opening - before.closing, _missing(before, after)
    if missing:
        yield _break("gap", before, after, amount, missing)
    elif amount:
        yield _break("opening", before, after, amount, 0)


def _missing(before: StatementHead, after: StatementHead) -> int:
    """How many numbers are between the two. Banks begin anew each year; then nobody knows the last one's."""
    first, second = number_of(before.sequence), number_of(after.sequence)
    if first is None or second is None:
        return 0
    if before.to_on is not None and after.to_on is not None and before.to_on.year != after.to_on.year:
        return max(0, second[0] - 1) if second[0] <= first[0] else second[0] - first[0] - 1
    if second[0] == first[0]:
        return max(0, second[1] - first[1] - 1)
    return max(0, second[0] - first[0] - 1)


def _break(kind: BreakKind, before: StatementHead, after: StatementHead, amount: int, missing: int) -> StatementBreak:
    return StatementBreak(
        kind=kind,
        provider=after.provider,
        account=after.account,
        balance_account=after.balance_account,
        currency=after.currency,
        before=before.batch,
        after=after.batch,
        after_file=after.file_id,
        amount=amount,
        missing=missing,
        since=after.imported_at,
    )


def _account(head: StatementHead) -> tuple[str, str, str]:
    return (head.provider, head.account, head.currency)


def _place(head: StatementHead) -> tuple[date, tuple[int, int], datetime, str]:
    return (head.to_on or date.min, number_of(head.sequence) or (0, 0), head.imported_at, head.batch)


def _name(head: StatementHead) -> str:
    return name_of_statement(head.sequence, head.to_on, head.opening, head.closing)
