"""Rows of a settlement file that tell of what the record does not have, as a provider's notices. Pure.

Each format that makes news has one table here: from its rows to the names that the provider's webhooks have for the
same movement. What a format does not name exactly is no news.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tallystick.decisions.settlement_match import Match, paid
from tallystick.decisions.settlement_names import ADYEN_DISPUTE_CODES
from tallystick.domain.dispute_movement import Funds, Movement
from tallystick.domain.notices import AttemptNotice, CaptureNotice, ChargeNotice, DisputeNotice, Notice, RefundNotice
from tallystick.domain.settlement_evidence import NEWS_STAGES, Candidate, FoundBy, Reason, Stage
from tallystick.domain.settlement_news import News
from tallystick.domain.settlement_row import RowKind, SettlementRow
from tallystick.domain.subjects import DisputeState
from tallystick.domain.verdicts import Approved, Reversed

#: How a row names a payment, by the stage that compares it, the surest first.
_STAGE_OF: Final[Mapping[FoundBy, Stage]] = {
    "provider_reference": "provider_reference",
    "alternative_reference": "alternative_reference",
    "payment_reference": "reference_amount_currency",
}

#: What a row came to that the record may lack: nothing has its name, or no money moved for it. Not: another amount or
#: currency, and what fits several things.
_UNKNOWN: Final[frozenset[Reason]] = frozenset({"not_in_record", "state"})

#: These have the name of what they are about: where that moved in another way, it has not moved in this one.
_REVERSALS: Final[frozenset[RowKind]] = frozenset({"refund_reversal", "dispute", "dispute_reversal"})

#: Several movements of one dispute have its name: that one of them has its row says nothing of the next.
_OF_DISPUTES: Final[frozenset[RowKind]] = frozenset({"dispute", "dispute_reversal"})

#: Whether money of a kind of row comes to us (1) or leaves (-1).
_DIRECTION: Final[Mapping[RowKind, int]] = {
    "charge": 1,
    "charge_reversal": -1,
    "refund": -1,
    "refund_reversal": 1,
    "dispute": -1,
    "dispute_reversal": 1,
}

#: What is said of a refund that came back.
_CAME_BACK: Final = ("refund_failed", "The refund came back, by a settlement file.")


class _Row(Struct, frozen=True):
    """A row that may be news, and the payment that it names. ``attempt_id``: of the attempt that it names."""

    row: SettlementRow
    merchant_id: str
    payment_id: str
    attempt_id: str | None

    @property
    def amount(self) -> int:
        return abs(paid(self.row)[0])

    @property
    def currency(self) -> str:
        return paid(self.row)[1]


#: A movement's names at the provider, and what a row, or the rows of a charge, say of it; None: it is no news.
_Told = tuple[tuple[str, ...], Notice]
_Read = Callable[[Sequence[_Row]], _Told | None]


class _Table(Struct, frozen=True):
    """One format. ``provider``: whose names it has. ``named``: kinds of rows with a name of their own, so that one of
    another name is another movement, whatever its amount. ``folds``: types of rows that take back a part of their
    charge at once."""

    provider: str
    reads: Mapping[RowKind, _Read]
    named: frozenset[RowKind]
    folds: Collection[str] = ()


class NewsIn:
    """Gathers the news of one file. ``told``: positions of rows that were told of before."""

    def __init__(self, table: _Table, told: Collection[int] = ()) -> None:
        self._table, self._told = table, told
        self._rows: dict[tuple[object, ...], list[_Row]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: SettlementRow, match: Match, found: Sequence[Candidate]) -> bool:
        """Whether it may be news. ``found``: everything that the row may be about."""
        folded = row.raw_type in self._table.folds
        if (row.kind not in self._table.reads and not folded) or row.position in self._told:
            return False
        if not self._may_be_unknown(row, match.reason, found) or paid(row)[0] * _DIRECTION[row.kind] <= 0:
            return False
        named = _named(row, found)
        if named is None:
            return False
        charge = ("charge", named.merchant_id, named.payment_id, row.payment_reference)
        key = charge if self._table.folds and row.kind in ("charge", "charge_reversal") else (row.position,)
        self._rows.setdefault(key, []).append(named)
        return True

    def _may_be_unknown(self, row: SettlementRow, reason: Reason, found: Sequence[Candidate]) -> bool:
        if reason == "duplicate":
            another = row.kind in self._table.named and all(each.found_by == "payment_reference" for each in found)
            return another or row.kind in _OF_DISPUTES
        return reason in _UNKNOWN or (reason == "reference" and row.kind in _REVERSALS)

    def news(self) -> list[News]:
        """Each movement once, in the order of its first rows."""
        found: dict[tuple[str, tuple[str, ...]], News] = {}
        for rows in self._rows.values():
            first = next((each for each in rows if each.row.kind in self._table.reads), None)
            told = None if first is None else self._table.reads[first.row.kind](rows)
            if first is None or told is None:
                continue
            movement, notice = told
            positions = tuple(each.row.position for each in rows)
            earlier = found.get((first.row.kind, movement))
            found[first.row.kind, movement] = News(
                positions=positions if earlier is None else (*earlier.positions, *positions),
                line=first.row.line if earlier is None else earlier.line,
                kind=first.row.kind,
                movement=movement,
                merchant_id=first.merchant_id,
                payment_id=first.payment_id,
                charge=first.row.payment_reference,
                occurred_at=first.row.occurred_at,
                notice=notice if earlier is None else earlier.notice,
            )
        return list(found.values())


def news_in(format_name: str, provider: str, told: Collection[int] = ()) -> NewsIn | None:
    """What gathers the news of a file; None where its format makes none for this provider."""
    table = _TABLES.get(format_name)
    return NewsIn(table, told) if table is not None and table.provider == provider else None


def _named(row: SettlementRow, found: Sequence[Candidate]) -> _Row | None:
    """The one payment that the row names by its surest name; None where there are several, or of another currency."""
    for found_by, stage in _STAGE_OF.items():
        named = [each for each in found if each.found_by == found_by]
        if not named:
            continue
        payments = {(each.merchant_id, each.payment_id) for each in named}
        currencies = {each.currency for each in named if each.currency is not None}
        if len(payments) != 1 or stage not in NEWS_STAGES or (currencies and currencies != {paid(row)[1]}):
            return None
        attempts = {each.attempt_id for each in named if each.attempt_id is not None}
        return _Row(row, *payments.pop(), attempts.pop() if len(attempts) == 1 else None)
    return None


def _charge(rows: Sequence[_Row]) -> _Told | None:
    """The whole charge: what was captured, less what was taken back at once. Doubled rows count once."""
    first, intent = rows[0], rows[0].row.payment_reference
    once = {each.row.row_key: paid(each.row)[0] for each in rows}
    amount = sum(once.values())
    if intent is None or amount <= 0 or {each.currency for each in rows} != {first.currency}:
        return None
    verdict = Approved(
        amount=amount,
        currency=first.currency,
        effect="captured",
        reference=intent,
        occurred_at=first.row.occurred_at,
    )
    return (intent,), ChargeNotice(verdict=verdict)


def _capture(rows: Sequence[_Row]) -> _Told | None:
    each, name = rows[0], rows[0].row.reference
    if name is None:
        return None
    at = each.row.occurred_at
    return (name,), CaptureNotice(reference=name, amount=each.amount, currency=each.currency, occurred_at=at)


def _refund(rows: Sequence[_Row]) -> _Told | None:
    """One of ours is the outcome of its attempt."""
    each, name = rows[0], rows[0].row.reference
    if name is None:
        return None
    at, amount, currency = each.row.occurred_at, each.amount, each.currency
    if each.attempt_id is None:
        return (name,), RefundNotice(reference=name, occurred_at=at, amount=amount, currency=currency)
    verdict = Approved(effect="refunded", reference=name, occurred_at=at, amount=amount, currency=currency)
    return (name,), AttemptNotice(operation="refund", attempt_id=each.attempt_id, reference=name, verdict=verdict)


def _refund_reversal(rows: Sequence[_Row]) -> _Told | None:
    each, name = rows[0], rows[0].row.reference
    if name is None:
        return None
    code, message = _CAME_BACK
    verdict = Reversed(code=code, message=message, reference=name, occurred_at=each.row.occurred_at)
    return (name,), AttemptNotice(operation="refund", reference=name, verdict=verdict)


def _dispute(each: _Row, movement: Movement, state: DisputeState) -> DisputeNotice | None:
    name = each.row.reference
    if name is None:
        return None
    return DisputeNotice(
        reference=name,
        state=state,
        amount=each.amount,
        currency=each.currency,
        movements=(movement,),
        occurred_at=each.row.occurred_at,
    )


def _stripe_dispute(rows: Sequence[_Row]) -> _Told | None:
    """A movement is named by its balance transaction, which is the row's own name. That money came back is no verdict
    here, and opens no dispute."""
    each = rows[0]
    funds: Funds = "withdrawn" if each.row.kind == "dispute" else "returned"
    moved = Movement(reference=each.row.row_key, funds=funds, amount=each.amount, before_verdict=funds == "withdrawn")
    notice = _dispute(each, moved, "opened")
    return (
        None if notice is None else ((notice.reference, moved.reference), replace(notice, opens=funds == "withdrawn"))
    )


def _adyen_dispute(rows: Sequence[_Row]) -> _Told | None:
    """A movement is named by the code of its event, which comes once for a dispute."""
    each = rows[0]
    code = ADYEN_DISPUTE_CODES.get(each.row.raw_type.lower())
    if code is None:
        return None
    funds, state = _ADYEN_DISPUTES[code]
    moved = Movement(reference=code, funds=funds, amount=each.amount, before_verdict=state != "lost")
    notice = _dispute(each, moved, state)
    return None if notice is None else ((notice.reference, code), replace(notice, funds=funds))


#: Event code -> what moved, and where the dispute stands with it, as the webhooks of these codes are read.
_ADYEN_DISPUTES: Final[Mapping[str, tuple[Funds, DisputeState]]] = {
    "CHARGEBACK": ("withdrawn", "opened"),
    "CHARGEBACK_REVERSED": ("returned", "under_review"),
    "SECOND_CHARGEBACK": ("withdrawn", "lost"),
}

#: Format -> its table. Not here, so that they make no news: bank statements and the generic format, which name nothing
#: exactly; the test acquirer's own; a report that is only compared; and providers to which there is no connector.
_TABLES: Final[Mapping[str, _Table]] = {
    "stripe": _Table(
        "stripe",
        {
            "charge": _charge,
            "refund": _refund,
            "refund_reversal": _refund_reversal,
            "dispute": _stripe_dispute,
            "dispute_reversal": _stripe_dispute,
        },
        frozenset({"refund"}),
        ("partial_capture_reversal",),
    ),
    "adyen_settlement_details": _Table(
        "adyen",
        {
            "charge": _capture,
            "refund": _refund,
            "refund_reversal": _refund_reversal,
            "dispute": _adyen_dispute,
            "dispute_reversal": _adyen_dispute,
        },
        frozenset({"charge", "refund"}),
    ),
}

#: Formats that make news.
NEWS_FORMATS: Final = tuple(_TABLES)
