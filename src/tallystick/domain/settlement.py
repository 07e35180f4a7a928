"""What of a provider's batch is posted: the platform's side, and each merchant's part. Plain data.

Amounts are signed minor units of ``currency``, summed over all files that have rows of the batch. A later file makes
the next version, which posts the difference.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, get_args

from msgspec import Struct

from tallystick.domain.settlement_row import RowKind

#: withdrawn: every file with rows of it was taken back, and nothing of it is posted any more.
SettledBatchState = Literal["posting", "posted", "withdrawn"]
SettlementState = Literal["posted"]

#: What a row's gross amount goes to. Stored sums have these names for ever. ``late``: a merchant's, and not payable: a
#: person decides what becomes of it.
Part = Literal[
    "charges",
    "charge_reversals",
    "refunds",
    "refund_reversals",
    "disputes",
    "dispute_reversals",
    "late",
    "reserve",
    "paid_out",
    "carried",
    "external",
    "unexplained",
]
PARTS: Final[tuple[Part, ...]] = get_args(Part)

#: The parts that are merchants', by the kind of row. A row's own kind decides; nothing is shared out.
PART_OF_KIND: Final[dict[RowKind, Part]] = {
    "charge": "charges",
    "charge_reversal": "charge_reversals",
    "refund": "refunds",
    "refund_reversal": "refund_reversals",
    "dispute": "disputes",
    "dispute_reversal": "dispute_reversals",
}

#: Merchants' parts that become payable.
PAYABLE: Final[tuple[Part, ...]] = tuple(PART_OF_KIND.values())

#: Parts that are merchants': in sums, those of the platform have no merchant.
MERCHANTS_PARTS: Final[tuple[Part, ...]] = (*PAYABLE, "late")


class SettledBatch(Struct, frozen=True, kw_only=True):
    """The platform's side of one batch in one currency. ``merchant_id`` is the operators'.

    ``files``: the files and later sets whose evidence counts, in the order in which they were counted; ``roots``: the
    digest of each one's evidence. ``merchants``: what all merchants' parts come to. ``net`` is
    ``merchants + reserve + paid_out + carried + unexplained + rounding + written_off - fees - tax``.
    """

    merchant_id: str
    batch_id: str
    version: int
    state: SettledBatchState
    provider: str
    account: str
    batch: str
    currency: str
    files: tuple[str, ...]
    roots: tuple[str, ...]
    rows: int
    net: int
    merchants: int
    fees: int
    tax: int
    reserve: int
    paid_out: int
    carried: int
    unexplained: int
    rounding: int = 0
    written_off: int = 0
    created_at: datetime
    updated_at: datetime


class Settlement(Struct, frozen=True, kw_only=True):
    """One merchant's part of a batch, by kind of row, fees apart: ``fees`` is what the provider charged for its rows,
    and posts nothing here."""

    merchant_id: str
    settlement_id: str
    version: int
    state: SettlementState
    batch_id: str
    provider: str
    account: str
    batch: str
    currency: str
    rows: int
    charges: int
    charge_reversals: int
    refunds: int
    refund_reversals: int
    disputes: int
    dispute_reversals: int
    late: int
    fees: int
    created_at: datetime
    updated_at: datetime
