"""Whether bank statements go on from each other: numbers without gaps, and each opens as the last one closed. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby, pairwise
from typing import Final, Literal, Protocol

from msgspec import Struct

from tallystick.decisions.balance_accounts import accounts_apart
from tallystick.domain.bank_statement import StatementHead

#: gap: statements between two numbers are missing. opening: the numbers go on, or there are none, and the balance does
#: not. number_taken: another statement has the number already, with other balances. doubled: the same statement came
#: again under another id, or in another format.
BreakKind = Literal["gap", "opening", "number_taken", "doubled"]

_NUMBER: Final = re.compile(r"0*(\d{1,9})(?:/0*(\d{1,9}))?", re.ASCII)

#: A statement that ends at midnight has, by a reader that takes that for a day, its last day one day later.
ONE_DAY: Final = timedelta(days=1)


class Said(Protocol):
    """What a statement says of itself."""

    @property
    def sequence(self) -> str | None: ...
    @property
    def to_on(self) -> date | None: ...
    @property
    def opening(self) -> int: ...
    @property
    def closing(self) -> int: ...


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
    """A statement's number and its page; None where it has none that can be counted. Banks that do not count write
    0."""
    match = _NUMBER.fullmatch(sequence.strip()) if sequence else None
    if match is None or int(match[1]) == 0:
        return None
    return int(match[1]), int(match[2] or 1) or 1


def name_of_statement(sequence: str | None, to_on: date | None, opening: int, closing: int) -> str:
    """What a statement is known by in every format: its year, number and page; without a number or a day, its last day
    and balances."""
    number = number_of(sequence)
    if number is None or to_on is None:
        return f"{to_on} {opening} {closing}"
    return f"{to_on.year} {number[0]}/{number[1]}"


def is_same_statement(one: Said, other: Said) -> bool:
    """Whether two statements of an account are one, though their names differ: they have the same number and balances,
    and the last day, which readers of earlier versions took for one day later. One without a number that moved nothing
    is another one on another day."""
    if (one.opening, one.closing) != (other.opening, other.closing) or one.to_on is None or other.to_on is None:
        return False
    if (number := number_of(one.sequence)) != number_of(other.sequence):
        return False
    apart = abs(one.to_on - other.to_on)
    return not apart or (apart == ONE_DAY and (number is not None or one.opening != one.closing))


def breaks(heads: Sequence[StatementHead]) -> Iterator[StatementBreak]:
    """Every break, by account and currency, in the order of the statements."""
    taken = {(_account(each), _name(each)): each for each in heads if not each.doubled}
    for every in by_account(heads):
        kept = [each for each in every if not each.doubled]
        yield from (found for before, after in pairwise(kept) for found in _between(before, after))
        for each in every:
            first = (taken.get((_account(each), _name(each))) or _same(each, kept)) if each.doubled else None
            if first is not None:
                same = (first.opening, first.closing) == (each.opening, each.closing)
                yield _break("doubled" if same else "number_taken", first, each, 0, 0)


def by_account(heads: Iterable[StatementHead]) -> list[list[StatementHead]]:
    """The statements of each account and currency, in the order in which they follow each other. A provider may keep
    several balances for one account of ours, under names of its own."""
    found = []
    for (*_, currency), group in groupby(sorted(heads, key=_account), key=_account):
        every = sorted(group, key=_place)
        names = accounts_apart({each.balance_account for each in every}, currency)
        of: dict[str, list[StatementHead]] = {}
        for each in every:
            of.setdefault(names[each.balance_account], []).append(each)
        found += [of[name] for name in sorted(of)]
    return found


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


def _same(head: StatementHead, kept: Sequence[StatementHead]) -> StatementHead | None:
    return next((each for each in kept if is_same_statement(each, head)), None)


def _name(head: StatementHead) -> str:
    return name_of_statement(head.sequence, head.to_on, head.opening, head.closing)
