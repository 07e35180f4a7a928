"""What a merchant was told of a movement that a settlement file has: that it is settled, that this was taken back, or
that its row disagrees. Plain data, and what the merchant sees.

One subject a movement, or a row: its versions are the guard, so nothing is told twice.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import UNSET, Struct, UnsetType

from tallystick.domain.json_types import (
    CreatedAt,
    Currency,
    DisputeId,
    PaymentId,
    ProviderName,
    RefundId,
    Version,
    described,
    example_id,
    id_pattern,
)
from tallystick.domain.lifecycles.reconciliation import RECONCILIATION
from tallystick.domain.settlement_evidence import OF_PAYMENTS, REASON_MEANINGS, Reason
from tallystick.domain.settlement_row import RowKind

#: withdrawn: the file that settled it was taken back, and no other one was told of since.
ReconciliationStep = Literal["settled", "exception", "withdrawn"]

#: Why a row of a merchant's payment disagrees with it. A wrong fee is the platform's, and no merchant is told.
EXCEPTION_REASONS: Final[tuple[Reason, ...]] = ("amount", "currency", "reference", "state", "duplicate")


class Reconciliation(Struct, frozen=True, kw_only=True):
    """``subject_id``: the payment, refund or dispute whose money it is. Amounts are the row's, signed, in minor units
    of ``currency``. (``file_id``, ``position``, ``evidence_version``) is the comparison that it follows from. Of what
    was withdrawn it is the one that says so, and the amounts are those that were taken back."""

    merchant_id: str
    reconciliation_id: str
    version: int
    state: ReconciliationStep
    payment_id: str
    subject_id: str
    kind: RowKind
    reason: Reason
    provider: str
    account: str
    batch: str
    currency: str
    amount: int
    fee: int
    net: int
    file_id: str
    position: int
    evidence_version: int
    created_at: datetime
    updated_at: datetime


_REASONS: Final = "; ".join(f"`{reason}`: {REASON_MEANINGS[reason]}" for reason in EXCEPTION_REASONS)


class ReconciliationView(Struct, frozen=True, kw_only=True):
    """A row of a settlement file that disagrees with a payment. Amounts are in the currency's minor unit; money that
    leaves is below zero."""

    id: Annotated[str, described("Its id.", example_id("rcn"), pattern=id_pattern("rcn"))]
    object: Annotated[str, described("The kind of object.", const="reconciliation")]
    payment_id: PaymentId
    refund_id: RefundId | UnsetType = UNSET
    dispute_id: DisputeId | UnsetType = UNSET
    state: Annotated[str, described("What reconciliation found.", "exception", enum=RECONCILIATION.states)]
    kind: Annotated[str, described("What the row says that it is.", "charge", enum=sorted(OF_PAYMENTS))]
    reason: Annotated[str, described(f"Why. {_REASONS}. The list is open.", "amount")]
    amount: Annotated[int, described("The row's amount.", 1250)]
    fee: Annotated[int, described("What the provider charged for it.", 30)]
    net: Annotated[int, described("The amount less the fee.", 1220)]
    currency: Currency
    provider: ProviderName
    batch: Annotated[str, described("The provider's batch that has the row.", "po_1")]
    version: Version
    created_at: CreatedAt


def reconciliation_view(said: Reconciliation) -> ReconciliationView:
    """What a merchant sees of it."""
    prefix = said.subject_id.partition("_")[0]
    return ReconciliationView(
        id=said.reconciliation_id,
        object="reconciliation",
        payment_id=said.payment_id,
        refund_id=said.subject_id if prefix == "re" else UNSET,
        dispute_id=said.subject_id if prefix == "dp" else UNSET,
        state=said.state,
        kind=said.kind,
        reason=said.reason,
        amount=said.amount,
        fee=said.fee,
        net=said.net,
        currency=said.currency,
        provider=said.provider,
        batch=said.batch,
        version=said.version,
        created_at=said.created_at,
    )
