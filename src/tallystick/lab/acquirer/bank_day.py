"""What our bank books of a day's payouts, and what can be wrong with it. Pure: payouts in, entries out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tallystick.lab.acquirer.rules import NotPossible
from tallystick.lab.acquirer.settlement_entries import Entry

#: What the bank books less of a payout than was sent.
TOO_LITTLE: Final = 100


class BankEntry(Struct, frozen=True, kw_only=True):
    """One entry. ``name``: the payout's, which stands in its text. ``amount``: in minor units, more than 0 came."""

    name: str
    currency: str
    amount: int


class BankDay(Struct, kw_only=True):
    """What the bank has of a day. ``statements``: how often it writes the day's; 0: never, and the money is there."""

    entries: list[BankEntry]
    statements: int = 1
    spoilt: set[str] = set()

    def untouched(self) -> BankEntry:
        """The oldest entry with which nothing is wrong yet. Raises NotPossible."""
        for each in self.entries:
            if each.name not in self.spoilt and each.amount > TOO_LITTLE:
                self.spoilt.add(each.name)
                return each
        raise NotPossible("no_payout_is_left_for_the_defect")

    def put(self, entry: BankEntry, *instead: BankEntry) -> None:
        """These entries in its place."""
        at = self.entries.index(entry)
        self.entries[at : at + 1] = instead


class BankDefect(Struct, frozen=True, kw_only=True):
    """What was done, and to which payout. ``amount``: in minor units of ``currency``, what the bank has more than it
    should, or its statements of it."""

    payout: str = ""
    currency: str = ""
    amount: int = 0


def booked(entries: Sequence[Entry]) -> BankDay:
    """Every payout has arrived the same day."""
    payouts = [each for each in entries if each.kind == "payout" and each.net]
    return BankDay(entries=[BankEntry(name=each.effect, currency=each.currency, amount=-each.net) for each in payouts])


def _about(entry: BankEntry, amount: int) -> BankDefect:
    return BankDefect(payout=entry.name, currency=entry.currency, amount=amount)


def _in_two_entries(day: BankDay) -> BankDefect:
    entry = day.untouched()
    half = entry.amount // 2
    day.put(entry, replace(entry, amount=half), replace(entry, amount=entry.amount - half))
    return _about(entry, 0)


def _missing(day: BankDay) -> BankDefect:
    entry = day.untouched()
    day.put(entry)
    return _about(entry, -entry.amount)


def _doubled(day: BankDay) -> BankDefect:
    entry = day.untouched()
    day.put(entry, entry, entry)
    return _about(entry, entry.amount)


def _wrong_amount(day: BankDay) -> BankDefect:
    entry = day.untouched()
    day.put(entry, replace(entry, amount=entry.amount - TOO_LITTLE))
    return _about(entry, -TOO_LITTLE)


def _gap(day: BankDay) -> BankDefect:
    day.statements = 0
    return BankDefect()


def _twice(day: BankDay) -> BankDefect:
    day.statements = 2
    return BankDefect()


#: Every defect of a bank's statement.
BANK_DEFECTS: Final[dict[str, Callable[[BankDay], BankDefect]]] = {
    "payout_in_two_entries": _in_two_entries,
    "payout_not_arrived": _missing,
    "entry_doubled": _doubled,
    "entry_of_other_amount": _wrong_amount,
    "statement_gap": _gap,
    "statement_twice": _twice,
}
