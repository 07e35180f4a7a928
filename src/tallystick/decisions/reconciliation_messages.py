"""What a merchant is told of a settlement row: that a movement of theirs is settled, that this is taken back with its
file, or that the row disagrees. Pure.

A movement is told once, until it is taken back, and a row that disagrees is told once: the versions of a subject whose
id is made from the movement, or from the row, are the guard.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from tallystick.decisions.change_builder import Cause, ChangeBuilder
from tallystick.decisions.settlements import BatchName
from tallystick.domain.change import Change
from tallystick.domain.reconciliation import EXCEPTION_REASONS, Reconciliation, ReconciliationStep
from tallystick.domain.settlement import PART_OF_KIND
from tallystick.domain.settlement_evidence import CoveredPosting, Reason, Status
from tallystick.domain.settlement_row import RowKind
from tallystick.domain.subjects import Payment
from tallystick.kit.ids import derived_id

#: Which step of its payment tells the merchant of a movement.
_STEPS: Final = {"settled": "settled", "withdrawn": "settlement_withdrawn"}

#: What another comparison says of a movement.
_OF_COMPARISON: Final = (
    "kind",
    "reason",
    "provider",
    "account",
    "batch",
    "currency",
    "amount",
    "fee",
    "net",
    "file_id",
    "position",
    "evidence_version",
)

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
        yield from _movements(row, batch, at, "settled")
    elif row.status in ("mismatched", "unexplained") and row.reason in EXCEPTION_REASONS:
        of = (batch.provider, batch.account, batch.batch, batch.currency, row.row_key, str(row.occurrence))
        yield _said(row, batch, at, "exception", of)


def taken_back(row: Compared, batch: BatchName, at: datetime) -> Iterator[Reconciliation]:
    """What the merchant is told of a row whose file was withdrawn: of each movement that it had settled. ``row``: what
    it came to before, and the ``version`` of the evidence that it was withdrawn."""
    if row.part in SETTLED_PARTS:
        yield from _movements(replace(row, reason="withdrawn"), batch, at, "withdrawn")


def _movements(
    row: Compared, batch: BatchName, at: datetime, state: Literal["settled", "withdrawn"]
) -> Iterator[Reconciliation]:
    if row.subject_version is None or row.leg is None:
        return
    yield _said(row, batch, at, state, (row.merchant_id, row.subject_id, str(row.subject_version), str(row.leg)))
    for each in row.further or ():
        other = replace(row, subject_id=each.subject_id, gross=each.covers, fee=0, net=each.covers)
        name = (row.merchant_id, each.subject_id, str(each.subject_version), str(each.leg))
        yield _said(other, batch, at, state, name)


def _said(
    row: Compared, batch: BatchName, at: datetime, state: ReconciliationStep, name: tuple[str, ...]
) -> Reconciliation:
    return Reconciliation(
        merchant_id=row.merchant_id,
        reconciliation_id=derived_id("rcn", *name),
        version=1,
        state=state,
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


def is_known(stored: Reconciliation | None, said: Reconciliation) -> bool:
    """Whether it adds nothing to what was said last, which is ``stored``. What one file has settled no other one
    settles again; and a withdrawn file takes back what was said of it, and not what another file said since."""
    if stored is None:
        return False
    if said.state != "withdrawn":
        return stored.state != "withdrawn"
    is_of_this_file = stored.file_id == said.file_id
    return is_of_this_file if stored.state == "withdrawn" else not is_of_this_file


def moves_payment(stored: Reconciliation | None, said: Reconciliation) -> bool:
    """Whether the merchant is told of it by a step of the payment. Nobody is told that something is taken back of which
    nothing was said."""
    if said.state == "withdrawn":
        return stored is not None and stored.state == "settled"
    return said.state == "settled"


def noted(stored: Reconciliation | None, said: Reconciliation, cause: Cause) -> Change:
    """What is said of the row or movement from now on, without a step of the payment. A row that disagrees is told by
    this; whoever was about to say something else of a movement finds the version taken."""
    builder = ChangeBuilder(said.merchant_id, said.reconciliation_id, cause)
    if stored is None:
        builder.open(replace(said, created_at=cause.at, updated_at=cause.at))
    else:
        builder.move(stored, said.state, **{name: getattr(said, name) for name in _OF_COMPARISON})
    return builder.change(must_not_be_shed=False)


def told(payment: Payment, stored: Reconciliation | None, said: Reconciliation, cause: Cause) -> Change:
    """The merchant is told of a movement: a step of the payment, in the order of its messages."""
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, cause)
    builder.move(payment, _STEPS[said.state])
    beside = noted(stored, said, replace(cause, evidence=None))
    return replace(builder.change(must_not_be_shed=False), beside=(beside,))
