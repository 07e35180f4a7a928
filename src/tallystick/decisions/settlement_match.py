"""What a settlement row came to: the values that were compared, and where its money goes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from tallystick.decisions.provider_fees import FeeCheck
from tallystick.decisions.settlement_tolerance import converts, rounding_bound
from tallystick.domain.settlement import PART_OF_KIND, Part
from tallystick.domain.settlement_evidence import BY_TYPE, Candidate, CoveredPosting, Reason, Stage, Status
from tallystick.domain.settlement_row import RowKind, SettlementRow

#: Where a row goes by its type alone. A row of a cost has no gross amount.
_PART_BY_TYPE: Final[dict[RowKind, Part]] = {
    "reserve": "reserve",
    "payout": "paid_out",
    "payout_reversal": "paid_out",
    "carry": "carried",
    "external": "external",
}

#: What is charged for a row, were this its gross amount.
FeesOf = Callable[[int], FeeCheck]


class Match(Struct, frozen=True, kw_only=True):
    """What a row came to. ``of``: the posting or subject that it is about; ``further``: more postings of the same
    payment. ``covers``, ``part``, ``tolerance`` and ``rounding``: as in ``Evidence``. ``fee_in_amount``: how much of
    the row's amount is its fee."""

    row: SettlementRow
    fee: FeeCheck
    status: Status
    reason: Reason
    stage: Stage
    of: Candidate | None = None
    covers: int = 0
    part: Part
    tolerance: int = 0
    rounding: int = 0
    fee_in_amount: int = 0
    further: tuple[CoveredPosting, ...] | None = None

    @property
    def difference(self) -> int:
        """What the row adds to the difference between the provider's balance and ours."""
        return self.row.net - self.covers

    @property
    def compared(self) -> dict[str, Any]:
        """The values that were compared, each as (row, record)."""
        found: dict[str, Any] = {"fee": (self.fee.charged, self.fee.expected)}
        if self.of is not None:
            amount, currency = paid(self.row)
            found |= {
                "amount": (amount, self.of.amount),
                "currency": (currency, self.of.currency),
                "reference": (self.row.reference, self.of.name or self.of.provider_reference),
                "kind": (self.row.kind, self.of.kind),
                "state": (None, self.of.state),
            }
        return found


def paid(row: SettlementRow) -> tuple[int, str]:
    """What the payer paid or got, by the row: in the payer's currency where the file has it. In the row's own currency
    that is what moved, but for its rounding: a row that says one amount and moves another is that other one."""
    if row.payer_amount is None or row.payer_currency is None or row.payer_currency == row.currency:
        return row.gross - _rounded(row), row.currency
    return row.payer_amount, row.payer_currency


def _rounded(row: SettlementRow) -> int:
    """What of a row's gross amount is rounding: it is the sum of its net amount and its costs, each rounded by itself.
    0 where the row does not say what was paid, and where that is further off."""
    if row.payer_amount is None or row.payer_currency != row.currency:
        return 0
    off = row.gross - row.payer_amount
    return off if abs(off) <= _bound(row) else 0


def _bound(row: SettlementRow) -> int:
    """Half a unit for each cost of a row, and for its net amount; nothing for a row that does not name its costs."""
    return rounding_bound(len(row.fee_parts) + 1) if row.fee_parts else 0


def agreeing(row: SettlementRow, fee: FeeCheck, stage: Stage, of: Candidate, covers: int | None = None) -> Match:
    """What was paid agrees. Whose the money is is known, whether or not the fee is right."""
    amount = paid(row)[0] if covers is None else covers
    converted = of.currency != row.currency
    status: Status = "mismatched" if fee.is_wrong else "matched"
    rounded = 0 if converted else _rounded(row)
    reason: Reason = "fee" if fee.is_wrong else "conversion" if converted else "rounding" if rounded else "same"
    return Match(
        row=row,
        fee=fee,
        status=status,
        reason=reason,
        stage="tolerance" if rounded else stage,
        of=of,
        covers=0 if converted else amount,
        part="unexplained" if converted else "late" if of.late else PART_OF_KIND[row.kind],
        tolerance=_bound(row) if rounded else 0,
        rounding=rounded,
    )


def not_agreeing(
    row: SettlementRow, fee: FeeCheck, status: Status, reason: Reason, stage: Stage, of: Candidate | None = None
) -> Match:
    """What does not agree: nothing of it goes to a merchant. Of another amount the posting is accounted for, so that
    the difference is what is too much or too little."""
    covers = of.amount if reason == "amount" and of is not None and of.amount is not None else 0
    part: Part = _PART_BY_TYPE.get(row.kind, "unexplained")
    return Match(row=row, fee=fee, status=status, reason=reason, stage=stage, of=of, covers=covers, part=part)


def by_type(row: SettlementRow, fee: FeeCheck) -> Match:
    """What is no payment's says by its type what it is."""
    reason = BY_TYPE.get(row.kind)
    if reason is not None:
        return not_agreeing(row, fee, "explained", reason, "row_type")
    return not_agreeing(row, fee, "unexplained", "unknown_type" if row.kind == "unknown" else "needs_a_person", "none")


def not_moved(
    row: SettlementRow, named: Sequence[Candidate], possible: Sequence[Candidate], fee: FeeCheck, stage: Stage
) -> Match:
    """Nothing of what the row names moved in its way: by that name. What our own mark names has another name there."""
    others = [each for each in named if each.kind == row.kind and each not in possible]
    if others:
        of = replace(others[0], kind=None, version=0, leg=0, amount=None, currency=None, taken=False)
        reason: Reason = "state" if stage == "provider_reference" else "reference"
        return not_agreeing(row, fee, "mismatched", reason, stage, of)
    moved = [each for each in possible if each.amount is not None]
    return not_agreeing(row, fee, "mismatched", "reference" if moved else "state", stage, (moved or named)[0])


def converted(row: SettlementRow, fee: FeeCheck, stage: Stage, of: Candidate) -> Match:
    """Of another currency: the posting at the provider's rate, where the file has it, or another thing."""
    has_rate = row.payer_amount is None and row.rate is not None
    if has_rate and converts(of.amount or 0, of.currency or "", row.gross, row.currency, row.rate or ""):
        return replace(agreeing(row, fee, "tolerance", of), tolerance=1)
    return not_agreeing(row, fee, "mismatched", "currency", stage, of)


def with_fee_in_amount(row: SettlementRow, of: Candidate, fees: FeesOf) -> Match | None:
    """The row is the posting less exactly the fee that was agreed for it, and has no fee of its own."""
    amount = of.amount
    if amount is None or row.fee or row.payer_amount is not None:
        return None
    expected = fees(amount)
    if not expected.expected or amount - expected.expected != row.gross:
        return None
    paid_fee = replace(expected, charged=expected.expected)
    agreed = agreeing(row, paid_fee, "tolerance", of, covers=amount)
    return replace(agreed, reason="fee_in_amount", tolerance=expected.expected, fee_in_amount=expected.expected)
