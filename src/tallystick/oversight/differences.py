"""Why a provider's files and our record differ, to the minor unit: each cause with its sum, and what no cause explains.

The difference is taken from the rows and from the postings themselves. The causes are taken from evidence. So what is
left over is proof, and is zero unless something is broken.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from tallystick.oversight.cause import Cause
from tallystick.record.postgres.settlement_evidence import EvidenceBook, Explained


class Difference(Struct, frozen=True, kw_only=True):
    """One currency. ``difference`` is ``files - record``; ``unexplained_remainder`` is what the causes do not come
    to."""

    currency: str
    files: int
    record: int
    difference: int
    causes: Sequence[Cause]
    unexplained_remainder: int
    fees_not_checked: int


async def differences(book: EvidenceBook, provider: str) -> Sequence[Difference]:
    """Of every currency that the provider's compared files, or our postings, have."""
    found = await book.explained(provider)
    currencies = {each.currency for each in (*found.files, *found.record)}
    return [_of_currency(found, currency) for currency in sorted(currencies)]


def _of_currency(found: Explained, currency: str) -> Difference:
    files = sum(each.net for each in found.files if each.currency == currency)
    record = sum(each.net for each in found.record if each.currency == currency)
    causes: list[Cause] = []
    unchecked = 0
    for each in found.reasons:
        if each.currency != currency:
            continue
        unchecked += each.fees_unchecked
        causes += _causes(
            (f"{each.status}: {each.reason}", "rows whose amount differs", each.rows, each.difference, each.absolute)
        )
    fees = [each for each in found.reasons if each.currency == currency]
    off = sum(each.fee_off for each in fees)
    charged = sum(each.fee for each in fees)
    wrong, wrong_rows = sum(each.fee_off_absolute for each in fees), sum(each.fees_wrong for each in fees)
    causes += _causes(
        (
            "fees",
            "charged as agreed, or not checked",
            sum(each.rows for each in fees),
            off - charged,
            abs(charged - off),
        )
    )
    causes += _causes(("fees: not as agreed", "charged above or below the schedule", wrong_rows, -off, wrong))
    for missing in found.missing:
        if missing.currency == currency:
            cause = "converted" if missing.converted else "no_row"
            causes += _causes((cause, missing.kind, missing.postings, -missing.amount, missing.absolute))
    return Difference(
        currency=currency,
        files=files,
        record=record,
        difference=files - record,
        causes=causes,
        unexplained_remainder=files - record - sum(each.amount for each in causes),
        fees_not_checked=unchecked,
    )


def _causes(given: tuple[str, str, int, int, int]) -> list[Cause]:
    """The cause, where it moves anything."""
    cause, detail, count, amount, absolute = given
    if not absolute:
        return []
    return [Cause(cause=cause, detail=detail, count=count, amount=amount, absolute=absolute)]
