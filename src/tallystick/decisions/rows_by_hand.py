"""What a person says of a settlement row: it is a posting of ours, or it is written off. Pure.

Their word is the row's next evidence. It counts as a set of its own, whose sums are the difference to the word before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from tallystick.domain.errors import TallystickError
from tallystick.domain.settlement import PART_OF_KIND
from tallystick.domain.settlement_evidence import OF_PAYMENTS, Candidate, Evidence

#: Rows that may be a movement of a payment, besides those that say so.
_MAY_BE: Final = frozenset({*OF_PAYMENTS, "unknown", "adjustment", "transfer"})


class NotResolvable(TallystickError):
    """The row is settled already, or is not what was said; nothing was written."""


def require_open(row: Evidence) -> None:
    """The row waits for a person, or a person has spoken of it before. Raises NotResolvable."""
    if row.reason == "withdrawn":
        raise NotResolvable("the row's file was withdrawn")
    if row.status not in ("mismatched", "unexplained") and row.stage != "person":
        raise NotResolvable(f"the row is {row.status}: {row.reason}")


def matched_by_hand(row: Evidence, postings: Sequence[Candidate], *, writes_off_difference: bool) -> Evidence:
    """The row is one of these postings of one subject: the one of its amount, or the only one that is free. What it has
    more or less is written off where that was asked for. Raises NotResolvable."""
    require_open(row)
    if row.kind not in _MAY_BE:
        raise NotResolvable(f"a row of the kind {row.kind} is no payment's")
    fit = [
        each
        for each in postings
        if not each.taken and each.currency == row.currency and each.amount and (each.amount > 0) == (row.gross > 0)
    ]
    if row.kind in OF_PAYMENTS:
        fit = [each for each in fit if each.kind == row.kind]
    alike = [each for each in fit if each.amount == row.gross] or fit
    if not alike:
        raise NotResolvable("it has no free posting of this direction and currency at the row's provider")
    if len({each.amount for each in alike}) > 1:
        raise NotResolvable("several of its postings are free, and none has the row's amount")
    of = alike[0]
    assert of.amount is not None and of.kind is not None, "it was looked for by them"
    if of.amount != row.gross and not writes_off_difference:
        raise NotResolvable(f"the row has {row.gross}, the posting {of.amount}: the difference is not written off")
    return replace(
        _next(row),
        status="explained",
        reason="person",
        stage="person",
        covers=of.amount,
        difference=row.net - of.amount,
        written_off=row.gross - of.amount,
        part="late" if of.late else PART_OF_KIND[of.kind],
        merchant_id=of.merchant_id,
        payment_id=of.payment_id,
        subject_id=of.subject_id,
        subject_version=of.version,
        leg=of.leg,
        compared={
            "amount": (row.gross, of.amount),
            "currency": (row.currency, of.currency),
            "kind": (row.kind, of.kind),
        },
    )


def written_off(row: Evidence) -> Evidence:
    """Nobody will find out what the row is. Where the fee alone is wrong it is accepted, and no money moves. Raises
    NotResolvable."""
    require_open(row)
    if row.reason == "fee":  # its payment agrees: what it accounts for, and its rounding, stay as they are
        return replace(row, version=row.version + 1, supersedes=row.version, status="explained", stage="person")
    if row.part != "unexplained" and row.stage != "person":
        raise NotResolvable(f"the row's money is not in doubt: it is {row.part}")
    return replace(
        _next(row),
        status="explained",
        reason="person",
        stage="person",
        covers=0,
        difference=row.net,
        written_off=row.gross,
        part="unexplained",
        subject_id=None,
        subject_version=None,
        leg=None,
    )


def _next(row: Evidence) -> Evidence:
    return replace(
        row, version=row.version + 1, supersedes=row.version, tolerance=0, rounding=0, written_off=0, further=None
    )
