"""What a merchant is told of a settlement row: that a movement of theirs is settled, or that the row disagrees. Pure.

A movement is told once, and a row that disagrees is told once: the first version of a subject whose id is made from the
movement, or from the row, is the guard.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tallystick.decisions.change_builder import Cause, ChangeBuilder
from tallystick.decisions.settlements import BatchName
from tallystick.domain.change import Change
from tallystick.domain.reconciliation import EXCEPTION_REASONS, Reconciliation
from tallystick.domain.settlement import PART_OF_KIND
from tallystick.domain.settlement_evidence import CoveredPosting, Reason, Status
from tallystick.domain.settlement_row import RowKind
from tallystick.domain.subjects import Payment
from tallystick.kit.ids import derived_id

#: Parts that a merchant is told of as settled. Late money waits for a person, and its merchant does not know of it.
SETTLED_PARTS: Final = frozenset(PART_OF_KIND.values())


class Compared(Struct, frozen=True, kw_only=True):
    """Of a row's evidence what a merchant may be told. The names are those of ``Evidence``; ``occurrence``: which one
    it is among the batch's rows of one key."""

    merchant_id: str
    payment_id: str
    subject_id: str
    subject_version: int | None
    leg: int | None
    file_id: str
    position: int
    version: int
    kind: RowKind
    status: Status
    reason: Reason
    part: str
    gross: int
    fee: int
    net: int
    row_key: str
    further: tuple[CoveredPosting, ...] | None
    occurrence: int


def to_tell(row: Compared, batch: BatchName, at: datetime) -> Iterator[Reconciliation]:
    """What the merchant is told of a row: of each movement that it settles, or that it disagrees."""
    if row.part in SETTLED_PARTS:
        if row.subject_version is None or row.leg is None:
            return
        yield _said(
            row, batch, at, "settled", (row.merchant_id, row.subject_id, str(row.subject_version), str(row.leg))
        )
        for each in row.further or ():
            other = replace(row, subject_id=each.subject_id, gross=each.covers, fee=0, net=each.covers)
            name = (row.merchant_id, each.subject_id, str(each.subject_version), str(each.leg))
            yield _said(other, batch, at, "settled", name)
    elif row.status in ("mismatched", "unexplained") and row.reason in EXCEPTION_REASONS:
        of = (batch.provider, batch.account, batch.batch, batch.currency, row.row_key, str(row.occurrence))
        yield _said(row, batch, at, "exception", of)


def _said(row: Compared, batch: BatchName, at: datetime, state: str, name: tuple[str, ...]) -> Reconciliation:
    return Reconciliation(
        merchant_id=row.merchant_id,
        reconciliation_id=derived_id("rcn", *name),
        version=1,
        state="settled" if state == "settled" else "exception",
        payment_id=row.payment_id,
        subject_id=row.subject_id,
        kind=row.kind,
        reason=row.reason,
        provider=batch.provider,
        account=batch.account,
        batch=batch.batch,
        currency=batch.currency,
        amount=row.gross,
        fee=row.fee,
        net=row.net,
        file_id=row.file_id,
        position=row.position,
        evidence_version=row.version,
        created_at=at,
        updated_at=at,
    )


def disagreed(said: Reconciliation, cause: Cause) -> Change:
    """The merchant is told that a row disagrees."""
    builder = ChangeBuilder(said.merchant_id, said.reconciliation_id, cause)
    builder.open(replace(said, created_at=cause.at, updated_at=cause.at))
    return builder.change(must_not_be_shed=False)


def settled(payment: Payment, said: Reconciliation, cause: Cause) -> Change:
    """The merchant is told that a movement is settled: a step of the payment, in the order of its messages."""
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, cause)
    builder.move(payment, "settled")
    return replace(builder.change(must_not_be_shed=False), beside=(disagreed(said, replace(cause, evidence=None)),))
