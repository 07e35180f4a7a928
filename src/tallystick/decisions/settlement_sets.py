"""Postings of one payment that one settlement row is together. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Final

from tallystick.domain.settlement_evidence import Candidate
from tallystick.domain.settlement_row import SettlementRow

#: Of more free postings than this only all together are tried: sets grow with a power of two.
_MOST: Final = 12


def sets_of(row: SettlementRow, free: Sequence[Candidate], named: Candidate | None) -> list[Sequence[Candidate]]:
    """Sets of two postings and more that come to exactly the row's amount: of one payment, of the row's kind and
    currency, with the posting that the row names where it names one. At most two: the second one is one too many."""
    if row.payer_amount is not None:
        return []
    known = {
        each.posting: each
        for each in free
        if each.amount is not None and each.kind == row.kind and each.currency == row.currency
    }
    fit = [known[posting] for posting in sorted(known)]
    if named is not None and named.amount is None:
        named = None
    if len(fit) < 2 or len({(each.merchant_id, each.payment_id) for each in fit}) != 1:
        return []
    sizes = range(2, len(fit) + 1) if len(fit) <= _MOST else range(len(fit), len(fit) + 1)
    found: list[Sequence[Candidate]] = []
    for size in sizes:
        for some in combinations(fit, size):
            has_named = named is None or any(each.posting == named.posting for each in some)
            if has_named and sum(each.amount or 0 for each in some) == row.gross:
                found.append(some)
                if len(found) > 1:
                    return found
    return found
