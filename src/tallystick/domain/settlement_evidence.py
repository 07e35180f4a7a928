"""What came of comparing one settlement row with the record: evidence. Plain data.

A *posting* here is one of ours to a provider's account (``provider:<p>``): what the provider owes us by our
record. A row is matched with postings, so that what is left over on either side adds up to the difference of the
balances.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, get_args

from msgspec import Struct

from tallystick.domain.authority import Authority, authority
from tallystick.domain.bank_statement import BankPart
from tallystick.domain.settlement import Part
from tallystick.domain.settlement_row import RowKind

#: What a comparison came to. matched: row and record say the same. mismatched: they are about the same and differ.
#: unexplained: nobody knows what the row is about. explained: it is no payment's, and its type says what it is; or a
#: person said it.
Status = Literal["matched", "mismatched", "unexplained", "explained"]
STATUSES: Final[tuple[Status, ...]] = get_args(Status)

#: With these somebody has to look at it.
OPEN_STATUSES: Final[frozenset[Status]] = frozenset({"mismatched", "unexplained"})

#: Why. Stored evidence has these names for ever.
Reason = Literal[
    "same",
    "conversion",
    "fee_in_amount",
    "rounding",
    "amount",
    "currency",
    "fee",
    "reference",
    "state",
    "duplicate",
    "unknown_type",
    "needs_a_person",
    "no_reference",
    "not_in_record",
    "ambiguous",
    "provider_fee",
    "tax",
    "reserve",
    "payout",
    "carry",
    "external",
    "person",
    "withdrawn",
    "not_settled",
    "bank_charge",
]
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)

#: What each reason means, for people.
REASON_MEANINGS: Final[dict[Reason, str]] = {
    "same": "row and record agree",
    "conversion": "what the payer paid agrees; it was settled in another currency at the provider's rate",
    "fee_in_amount": "the row has the amount less the agreed fee, and no fee of its own",
    "rounding": "rows that are one movement together, or one with its costs, but for their rounding",
    "amount": "the row has another amount than the record",
    "currency": "the row has another currency than the record",
    "fee": "the fee is not the agreed one; the payment agrees",
    "reference": "the row names two things that do not belong together",
    "state": "the record knows it, and no money has moved for it here",
    "duplicate": "another row has it already",
    "unknown_type": "a type of row that nobody knows",
    "needs_a_person": "a correction, transfer or conversion that names no payment",
    "no_reference": "the row names nothing",
    "not_in_record": "the row names something that the record does not have",
    "ambiguous": "more than one thing in the record fits",
    "provider_fee": "a cost of the provider with a row of its own",
    "tax": "a tax with a row of its own",
    "reserve": "money that the provider keeps back, or releases",
    "payout": "money sent from the balance to a bank, or back from it",
    "carry": "a balance carried from one batch to the next",
    "external": "settled by another company: no money of this balance",
    "person": "a person said what it is",
    "withdrawn": "its file was taken back, and it counts for nothing",
    "not_settled": "it names a payout whose batch is not posted: a manual payout, or a batch that does not add up yet",
    "bank_charge": "a charge of the bank with an entry of its own",
}

#: How it was found, the surest first. Only ``NEWS_STAGES`` may bring something to the record that it does not have.
Stage = Literal[
    "provider_reference",
    "alternative_reference",
    "reference_amount_currency",
    "batch_group",
    "amount_date",
    "tolerance",
    "row_type",
    "person",
    "none",
]
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)
NEWS_STAGES: Final[frozenset[Stage]] = frozenset(
    {"provider_reference", "alternative_reference", "reference_amount_currency"}
)

#: How a candidate was found: by the row's reference, by another name, or only by the payment that it belongs to.
FoundBy = Literal["provider_reference", "alternative_reference", "payment_reference"]

#: What a posting to ``provider:<p>`` is, by its kind. The direction is the sign of the posting's amount.
POSTING_KINDS: Final[dict[str, RowKind]] = {
    "capture": "charge",
    "late_capture": "charge",
    "capture_reversed": "charge_reversal",
    "refund_succeeded": "refund",
    "late_refund": "refund",
    "late_money_returned": "refund",
    "refund_reversed": "refund_reversal",
    "late_money_came_back": "refund_reversal",
    "dispute_withdrawn": "dispute",
    "dispute_returned": "dispute_reversal",
}

#: Postings against suspense: a person decides what becomes of the money.
LATE_KINDS: Final = frozenset(
    {"late_capture", "late_refund", "late_movement", "late_money_returned", "late_money_came_back"}
)


def kind_of_posting(posted_as: str, amount: int) -> RowKind | None:
    """What kind of row a posting to ``provider:<p>`` is. ``late_movement`` is of a dispute, in either direction."""
    if posted_as == "late_movement":
        return "dispute_reversal" if amount > 0 else "dispute"
    return POSTING_KINDS.get(posted_as)


#: Rows that are about a payment: they are compared with postings.
OF_PAYMENTS: Final[frozenset[RowKind]] = frozenset(POSTING_KINDS.values())

#: Rows that say by their type what they are, and are no payment's.
BY_TYPE: Final[dict[RowKind, Reason]] = {
    "fee": "provider_fee",
    "tax": "tax",
    "reserve": "reserve",
    "payout": "payout",
    "payout_reversal": "payout",
    "carry": "carry",
    "external": "external",
}


class Candidate(Struct, frozen=True, kw_only=True):
    """Something in the record that a row may be about. ``amount`` is signed, as in rows; None: the subject is there and
    no money has moved for it. (``merchant_id``, ``subject_id``, ``version``, ``leg``) is the posting. ``taken``:
    evidence of an earlier file has it. ``late``: it was posted against suspense, and a person decides what becomes of
    it. ``name``: the provider's name of what was posted; None where it has none besides its payment's, nobody told it,
    or the row has none to compare it with. ``movements``: of a dispute, the provider's names of all that is known of
    it."""

    found_by: FoundBy
    merchant_id: str
    payment_id: str
    subject_id: str
    state: str
    kind: RowKind | None = None
    version: int = 0
    leg: int = 0
    amount: int | None = None
    currency: str | None = None
    late: bool = False
    attempt_id: str | None = None
    idempotency_key: str | None = None
    provider_reference: str | None = None
    taken: bool = False
    name: str | None = None
    movements: tuple[str, ...] = ()

    @property
    def posting(self) -> tuple[str, str, int, int]:
        """Which posting it is."""
        return (self.merchant_id, self.subject_id, self.version, self.leg)


class CoveredPosting(Struct, frozen=True, kw_only=True):
    """One more posting that a row is about, besides the one that its evidence names, and how much of it."""

    subject_id: str
    subject_version: int
    leg: int
    covers: int


class Evidence(Struct, frozen=True, kw_only=True):
    """One comparison, kept for ever. (``file_id``, ``position``) is the row, ``version`` counts its comparisons: a
    later one supersedes the one before.

    ``covers``: how much of the posting the row accounts for, or of all postings where ``further`` names more of them;
    ``difference``: the row's net less that, which is what this row adds to the difference of the balances. ``part``:
    what its gross amount goes to; its fee is the platform's cost. ``rounding`` and ``written_off`` are of its gross
    amount, and go to no part. ``compared``: the values, each as (row, record). ``fee_expected`` None: not checked,
    because of ``fee_unchecked``. ``tolerance``: allowed, in minor units. ``counted_in``: the set that what a person
    said counts in; None: its file's.

    Of a file that was withdrawn each row's last evidence has no amounts, and ``counted_in`` names the withdrawal. Of a
    row whose amount has its fee in it, ``gross`` and ``fee`` are taken apart here; ``net`` is the row's.
    """

    file_id: str
    position: int
    version: int = 1
    line: int
    batch: str
    currency: str
    kind: RowKind
    row_key: str
    gross: int
    fee: int
    net: int
    status: Status
    reason: Reason
    stage: Stage
    covers: int = 0
    difference: int
    part: Part | BankPart
    merchant_id: str | None = None
    payment_id: str | None = None
    subject_id: str | None = None
    subject_version: int | None = None
    leg: int | None = None
    attempt_id: str | None = None
    idempotency_key: str | None = None
    provider_reference: str | None = None
    row_reference: str | None = None
    payment_reference: str | None = None
    compared: Mapping[str, Any]
    tolerance: int = 0
    fee_expected: int | None = None
    fee_unchecked: str | None = None
    fee_schedule_version: int | None = None
    parser: str
    parser_version: int
    actor: str
    compared_at: datetime
    supersedes: int | None = None
    rounding: int = 0
    written_off: int = 0
    counted_in: str | None = None
    further: tuple[CoveredPosting, ...] | None = None

    @property
    def authority(self) -> Authority:
        """Who settles it, and who is told."""
        return authority_of(self.reason)


def authority_of(reason: str) -> Authority:
    """Who settles what a row disagrees about: a state that contradicts it came of a provider's answer."""
    return authority("answer" if reason == "state" else "record", "settlement_row")
