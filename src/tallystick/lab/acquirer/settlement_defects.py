"""What can be wrong with a day's settlement file. Pure: entries in, entries out, and what was done to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from tallystick.lab.acquirer.rules import NotPossible
from tallystick.lab.acquirer.settlement_entries import Entry

#: How much too high a wrong fee is, in minor units: more than any rounding.
FEE_TOO_HIGH: Final = 7

#: What an entry of a type that nobody announced comes to, and its type.
UNKNOWN_AMOUNT: Final = 321
UNKNOWN_TYPE: Final = "goodwill"

#: What somebody has paid out by hand, in minor units.
MANUAL_AMOUNT: Final = 200

#: How far below zero a negative batch is, in minor units.
BELOW_ZERO: Final = 1_000


class Defect(Struct, frozen=True, kw_only=True):
    """What was done. ``amount``: in minor units of ``currency``, what the file says more than the books, fees aside; of
    a wrong fee, what was charged too much. ``entry_id`` and ``payment_id``: "" where it is about no entry."""

    defect: str
    entry_id: str = ""
    payment_id: str = ""
    currency: str = ""
    amount: int = 0


class Contents(Struct, kw_only=True):
    """What the files of a day will say. ``entries``: of the file; ``later``: held back for the next day; ``added``:
    held back for a second file of the same batch; ``copies``: of the first file, 0 where none is written;
    ``corrected``: entry_id -> the entry that a second file has in its place; ``payouts``: in how many the batch leaves;
    ``manual``: currency and amount of payouts that somebody made by hand."""

    entries: list[Entry]
    later: list[Entry] = []
    added: list[Entry] = []
    copies: int = 1
    corrected: dict[str, Entry] = {}
    payouts: int = 1
    manual: list[tuple[str, int]] = []
    done: list[Defect] = []


def apply_defects(entries: Sequence[Entry], names: Sequence[str]) -> Contents:
    """What the files say with these defects, each about another charge: the oldest one to which nothing else happened
    that day. Raises KeyError for a name that is not in ``DEFECTS``, and NotPossible where there is no such charge."""
    contents = Contents(entries=list(entries))
    for name in names:
        defect = DEFECTS[name](contents)
        contents.done.append(msgspec.structs.replace(defect, defect=name))
    return contents


def _untouched(contents: Contents) -> Entry:
    met = Counter(each.charge for each in contents.entries)
    spoilt = {each.entry_id for each in contents.done}
    for each in contents.entries:
        if each.kind == "charge" and met[each.charge] == 1 and each.entry_id not in spoilt:
            return each
    raise NotPossible("no_charge_is_left_for_the_defect")


def _about(entry: Entry, amount: int) -> Defect:
    return Defect(
        defect="", entry_id=entry.entry_id, payment_id=entry.payment_id, currency=entry.currency, amount=amount
    )


def _put(contents: Contents, entry: Entry, *instead: Entry) -> None:
    at = contents.entries.index(entry)
    contents.entries[at : at + 1] = instead


def _missing_row(contents: Contents) -> Defect:
    entry = _untouched(contents)
    _put(contents, entry)
    return _about(entry, -entry.gross)


def _doubled_row(contents: Contents) -> Defect:
    entry = _untouched(contents)
    _put(contents, entry, entry, entry)
    return _about(entry, entry.gross)


def _off_by_one(contents: Contents) -> Defect:
    entry = _untouched(contents)
    _put(contents, entry, msgspec.structs.replace(entry, gross=entry.gross + 1))
    return _about(entry, 1)


def _wrong_fee(contents: Contents) -> Defect:
    entry = _untouched(contents)
    _put(contents, entry, msgspec.structs.replace(entry, fee=entry.fee + FEE_TOO_HIGH))
    return _about(entry, FEE_TOO_HIGH)


def _other_currency(contents: Contents) -> Defect:
    entry = _untouched(contents)
    other = "EUR" if entry.currency == "USD" else "USD"
    _put(contents, entry, msgspec.structs.replace(entry, currency=other))
    return _about(entry, -entry.gross)


def _unknown_type(contents: Contents) -> Defect:
    currency = _currency(contents)
    entry = Entry(entry_id="en_unknown", kind=UNKNOWN_TYPE, currency=currency, gross=UNKNOWN_AMOUNT)
    contents.entries.append(entry)
    return _about(entry, UNKNOWN_AMOUNT)


def _late_row(contents: Contents) -> Defect:
    entry = _untouched(contents)
    _put(contents, entry)
    contents.later.append(entry)
    return _about(entry, -entry.gross)


def _negative_batch(contents: Contents) -> Defect:
    """The acquirer keeps more back than the day came to."""
    currency = _currency(contents)
    net = sum(each.net for each in contents.entries if each.currency == currency)
    entry = Entry(entry_id="en_reserve", kind="reserve", currency=currency, gross=-max(0, net) - BELOW_ZERO)
    contents.entries.append(entry)
    return _about(entry, entry.gross)


def _regenerated(contents: Contents) -> Defect:
    """A first file lacks a row; a second one of the same batch has it."""
    entry = _untouched(contents)
    _put(contents, entry)
    contents.added.append(entry)
    return _about(entry, 0)


def _corrected(contents: Contents) -> Defect:
    """A second file of the same batch has another amount in a row."""
    entry = _untouched(contents)
    contents.corrected[entry.entry_id] = msgspec.structs.replace(entry, gross=entry.gross + 1)
    return _about(entry, 0)


def _file_twice(contents: Contents) -> Defect:
    contents.copies = 2
    return Defect(defect="")


def _missing(contents: Contents) -> Defect:
    contents.copies = 0
    return Defect(defect="")


def _two_payouts(contents: Contents) -> Defect:
    """What the batch comes to leaves for the bank in two payouts."""
    contents.payouts = 2
    return Defect(defect="")


def _manual_payout(contents: Contents) -> Defect:
    """Somebody has a part of the balance paid out by hand: it is of no batch, and the batch is paid out without it."""
    currency = _currency(contents)
    net = sum(each.net for each in contents.entries if each.currency == currency)
    if net <= MANUAL_AMOUNT:
        raise NotPossible("too_little_for_a_manual_payout")
    contents.manual.append((currency, MANUAL_AMOUNT))
    return Defect(defect="", currency=currency, amount=MANUAL_AMOUNT)


def _currency(contents: Contents) -> str:
    if not contents.entries:
        raise NotPossible("the_day_has_no_entries")
    return contents.entries[0].currency


#: Every defect of a file. What only looks like one is made by controls: a refund that fails late, a dispute.
DEFECTS: Final[dict[str, Callable[[Contents], Defect]]] = {
    "missing_row": _missing_row,
    "doubled_row": _doubled_row,
    "off_by_one": _off_by_one,
    "wrong_fee": _wrong_fee,
    "other_currency": _other_currency,
    "unknown_type": _unknown_type,
    "late_row": _late_row,
    "negative_batch": _negative_batch,
    "file_twice": _file_twice,
    "regenerated": _regenerated,
    "corrected": _corrected,
    "missing": _missing,
    "two_payouts": _two_payouts,
    "manual_payout": _manual_payout,
}
