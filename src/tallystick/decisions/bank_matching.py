"""Entries of a bank statement compared with providers' payouts, stage by stage. Pure.

By the payout's name (such as a trace id); by its name or its batch in the entry's text; by the sum of a batch, where
one payout came in several entries or several in one; last by amount and date, where nothing else has them. What fits
several things is *ambiguous*, and is never given to one of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any, Final

import msgspec
from msgspec import Struct

from tallystick.domain.bank_statement import BankPart
from tallystick.domain.settlement_evidence import Reason, Stage, Status
from tallystick.domain.settlement_row import SettlementRow

#: Shorter names are found in any text.
SHORTEST_NAME: Final = 5

#: Money that was sent arrives within so many days, over weekends and holidays too; a bank may book it a day before the
#: provider's own date.
ARRIVES_WITHIN: Final = timedelta(days=7)
BEFORE: Final = timedelta(days=1)

#: Of payouts that were compared are kept so many names.
_NAMED: Final = 20

_WORD: Final = re.compile(r"[^\s,;:/|()\[\]<>\"']+")


class Payout(Struct, kw_only=True):
    """A provider's payout row. ``amount``: what has to arrive; less than 0 has to leave. ``names``: what names it;
    ``settled``: its batch is posted. ``returned``: the provider says that it came back. ``arrivals``, ``arrived``: so
    many entries have it already, or a part of it, in all."""

    file_id: str
    position: int
    provider: str
    account: str
    batch: str
    currency: str
    amount: int
    names: tuple[str, ...]
    sent_on: date | None
    settled: bool
    returned: bool = False
    arrivals: int = 0
    arrived: int = 0

    @property
    def is_open(self) -> bool:
        return self.arrivals == 0


class Arrival(Struct, frozen=True):
    """What of an entry is this payout."""

    payout: Payout
    amount: int


class EntryMatch(Struct, frozen=True, kw_only=True):
    """What an entry came to. ``of``: the payouts that it is about; ``covers``: what of them it accounts for."""

    row: SettlementRow
    status: Status
    reason: Reason
    stage: Stage
    of: Sequence[Payout] = ()
    arrivals: Sequence[Arrival] = ()
    covers: int = 0
    part: BankPart = "unexplained"

    @property
    def compared(self) -> dict[str, Any]:
        """The values that were compared, each as (entry, payouts)."""
        if not self.of:
            return {}
        return {
            "amount": (self.row.net, sum(each.amount for each in self.of)),
            "currency": (self.row.currency, self.of[0].currency),
            "date": (_day(self.row), self.of[0].sent_on),
            "reference": (self.row.reference, [name for each in self.of for name in each.names][:_NAMED]),
            "batch": (self.row.text, sorted({each.batch for each in self.of})),
        }


class EntryMatcher:
    """Compares entries with the payouts that are known. A payout is given to one entry, or to one group of them."""

    def __init__(self, payouts: Sequence[Payout]) -> None:
        self._payouts = payouts
        self._by_name: dict[tuple[str, str], list[Payout]] = {}
        self._by_word: dict[tuple[str, str], list[tuple[str, Payout]]] = {}
        for each in payouts:
            for name in each.names:
                self._by_name.setdefault((each.currency, name), []).append(each)
            for phrase in {*each.names, each.batch}:
                if _is_long(phrase) and (words := _WORD.findall(phrase)):
                    self._by_word.setdefault((each.currency, words[0]), []).append((phrase, each))

    def match(self, rows: Sequence[SettlementRow]) -> Iterator[EntryMatch]:
        """What each row came to, not in their order."""
        groups: dict[tuple[int, ...], list[tuple[SettlementRow, list[Payout], Stage]]] = {}
        unnamed: list[SettlementRow] = []
        for row in rows:
            if row.kind in ("fee", "tax"):
                yield _match(row, "explained", "bank_charge", "row_type", part="bank_fees")
                continue
            named, stage = self._named(row)
            if not named:
                unnamed.append(row)
                continue
            one_way = [each for each in named if (each.amount > 0) == (row.net > 0)]
            if not one_way:  # a charge about a payout, or its return: no part of it
                yield _match(row, "unexplained", "not_in_record", stage, named)
            elif (found := _one(row, one_way, stage)) is not None:
                yield found
            else:
                groups.setdefault(tuple(sorted(id(each) for each in one_way)), []).append((row, one_way, stage))
        for group in groups.values():
            yield from _group(group)
        yield from self._by_date(unnamed)

    def _named(self, row: SettlementRow) -> tuple[list[Payout], Stage]:
        names = dict.fromkeys(name for name in (row.reference, *(row.other_references or ())) if name)
        found = {id(p): p for name in names for p in self._by_name.get((row.currency, name), ())}
        if found:
            return list(found.values()), "provider_reference"
        text = " ".join((row.text or "", *names))
        for word in dict.fromkeys(_WORD.findall(text)):
            for phrase, payout in self._by_word.get((row.currency, word), ()):
                if phrase in text:
                    found[id(payout)] = payout
        exact = [each for each in found.values() if any(_is_long(name) and name in text for name in each.names)]
        return exact or list(found.values()), "alternative_reference"

    def _by_date(self, rows: Sequence[SettlementRow]) -> Iterator[EntryMatch]:
        wanted: dict[int, list[int]] = {}
        near = [[p for p in self._payouts if _may_be(row, p)] for row in rows]
        for at, found in enumerate(near):
            for payout in found:
                wanted.setdefault(id(payout), []).append(at)
        for row, found in zip(rows, near, strict=True):
            if len(found) == 1 and len(wanted[id(found[0])]) == 1:
                yield _arrived(row, found[0], "amount_date")
            elif found:
                yield _match(row, "unexplained", "ambiguous", "amount_date", found)
            else:
                says = row.reference or row.other_references or row.text
                yield _match(row, "unexplained", "not_in_record" if says else "no_reference", "none")


def _one(row: SettlementRow, named: Sequence[Payout], stage: Stage) -> EntryMatch | None:
    """The entry is one of the payouts that it names, or an entry had it before; None: others of its group decide."""
    alike = [each for each in named if each.amount == row.net]
    free = [each for each in alike if each.is_open]
    if free and not any(each.settled for each in free):
        return _match(row, "unexplained", "not_settled", stage, free)
    settled = [each for each in free if each.settled]
    if settled and len({(each.provider, each.account, each.batch) for each in settled}) == 1:
        return _arrived(row, settled[0], stage)
    if settled:
        return _match(row, "unexplained", "ambiguous", stage, settled)
    rest = [each for each in named if not each.is_open and each.arrived + row.net == each.amount]
    if len(rest) == 1:
        return _arrived(row, rest[0], "batch_group")  # a part of it came before
    if alike or not any(each.is_open for each in named):
        return _match(row, "mismatched", "duplicate", stage, alike or named)
    return None


def _group(group: Sequence[tuple[SettlementRow, list[Payout], Stage]]) -> Iterator[EntryMatch]:
    """Entries that name the same payouts: all of them together are these, or one of them has another amount."""
    named = [each for each in group[0][1] if each.is_open]
    rows = [row for row, _, _ in group]
    if any(not each.settled for each in named):
        for row, _, stage in group:
            yield _match(row, "unexplained", "not_settled", stage, named)
    elif _is_whole(rows, named):
        yield from _together(rows, named)
    elif len(rows) == len(named) == 1:
        row, _, stage = group[0]
        named[0].arrivals += 1
        named[0].arrived += row.net
        yield EntryMatch(
            row=row,
            status="mismatched",
            reason="amount",
            stage=stage,
            of=[msgspec.structs.replace(named[0], arrivals=0, arrived=0)],
            arrivals=[Arrival(named[0], row.net)],
            covers=named[0].amount,
            part="arrived",
        )
    else:
        for row, payouts, stage in group:
            reason: Reason = "ambiguous" if named else "duplicate"
            yield _match(row, "unexplained" if named else "mismatched", reason, stage, named or payouts)


def _is_whole(rows: Sequence[SettlementRow], payouts: Sequence[Payout]) -> bool:
    """Whether the entries, which all move money in one direction, come to the payouts."""
    amounts = [each.amount for each in payouts]
    one_way = len({amount > 0 for amount in (*amounts, *(row.net for row in rows))}) == 1
    return bool(amounts) and one_way and sum(row.net for row in rows) == sum(amounts)


def _together(rows: Sequence[SettlementRow], payouts: Sequence[Payout]) -> Iterator[EntryMatch]:
    """Each entry's amount is given to the payouts in turn."""
    left, at, last = [each.amount for each in payouts], 0, len(payouts) - 1
    for row in rows:
        rest, arrivals = row.net, list[Arrival]()
        while rest:
            part = rest if at == last or abs(rest) < abs(left[at]) else left[at]
            arrivals.append(Arrival(payouts[at], part))
            left[at] -= part
            rest -= part
            if left[at] == 0:
                at = min(at + 1, last)
        for each in arrivals:
            each.payout.arrivals += 1
            each.payout.arrived += each.amount
        yield EntryMatch(
            row=row,
            status="matched",
            reason="same",
            stage="batch_group",
            of=[each.payout for each in arrivals],
            arrivals=arrivals,
            covers=row.net,
            part="arrived",
        )


def _arrived(row: SettlementRow, payout: Payout, stage: Stage) -> EntryMatch:
    payout.arrivals += 1
    payout.arrived += row.net
    return EntryMatch(
        row=row,
        status="matched",
        reason="same",
        stage=stage,
        of=[payout],
        arrivals=[Arrival(payout, row.net)],
        covers=row.net,
        part="arrived",
    )


def _match(
    row: SettlementRow,
    status: Status,
    reason: Reason,
    stage: Stage,
    of: Sequence[Payout] = (),
    part: BankPart = "unexplained",
) -> EntryMatch:
    return EntryMatch(row=row, status=status, reason=reason, stage=stage, of=list(of), part=part)


def _may_be(row: SettlementRow, payout: Payout) -> bool:
    """Whether amount, currency and date alone allow it. What came back to the provider never arrived."""
    if not (payout.is_open and payout.settled and not payout.returned):
        return False
    on = _day(row)
    if (payout.amount, payout.currency) != (row.net, row.currency) or on is None or payout.sent_on is None:
        return False
    return payout.sent_on - BEFORE <= on <= payout.sent_on + ARRIVES_WITHIN


def _day(row: SettlementRow) -> date | None:
    return row.value_on or (None if row.booked_at is None else row.booked_at.date())


def _is_long(name: str) -> bool:
    return len(name) >= SHORTEST_NAME
